"""Affine layers with nothing between: two of them compute no more than one."""

from __future__ import annotations

from typing import NamedTuple

from ...engine.graph import Node, Primitive, Variable
from ...nn import Module, Parameter
from ...typing import Args, Settings
from .chart import Chart
from .check import Check
from .losses import maker_of

AFFINE = ("linear", "matmul", "conv2d", "linear_relu", "conv2d_relu")
"""Operations with weights. What follows the last two is no longer affine."""

KEEPING = (
    "reshape", "transpose", "slice", "astype", "dropout", "mean", "sum", "sum_pool2d",
    "negative", "pad", "scale_channels",
)  # fmt: skip
"""Operations that keep an affine map of their input affine. Dropout does so for each of its masks."""

WITH_CONSTANTS = ("add", "subtract", "multiply", "divide")
"""Operations that keep it affine if the other operand is a constant or a Parameter."""


class _Map(NamedTuple):
    """An affine map that has just been applied.

    Attributes
    ----------
    number : int
        The number of the node of the operation with its weights. The node itself would keep its graph.
    shown : str
        That operation and the shape of its output.
    inputs, outputs : int
        The sizes of the axis of features, or channels.
    kernel : tuple of int
        The size of a convolution's window.
    last : int
        The number of the node from which the next one takes it.
    """

    number: int
    shown: str
    inputs: int
    outputs: int
    kernel: tuple[int, ...]
    last: int


class NothingBetween(Check):
    """Finds affine layers that follow each other without an activation.

    A layer that narrows is no finding: with fewer outputs than the two have ends, it limits the rank on
    purpose, as the code of a linear autoencoder or a factorized matrix does. So are separable convolutions:
    one by channel or along one axis, then one across channels or along the other.
    """

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.maps: dict[int, _Map] = {}
        self.pairs: list[tuple[_Map, _Map]] = []
        self.uses: dict[int, int] = {}

    def operation(self, primitive: Primitive, args: Args, settings: Settings, output: Variable) -> None:
        node, name = output.node, primitive.name
        if node is None:
            return
        for arg in args:
            if isinstance(arg, Variable) and arg.node is not None:
                self.uses[arg.node.number] = self.uses.get(arg.node.number, 0) + 1
        before = self._map_of(args[0])
        if name in AFFINE and isinstance(args[1], Parameter):
            here = _map(node, args[1], name)
            if before is not None and settings.get("groups", 1) == 1:
                self.pairs.append((before, here))
            if not name.endswith("_relu") and settings.get("groups", 1) == 1:
                self.maps[node.number] = here
        elif before is not None and (
            name in KEEPING
            or (name == "standardize" and 0 in settings["axes"])  # BatchNorm, for given statistics
            or (name in WITH_CONSTANTS and not _varies(args[1]))
        ):
            self.maps[node.number] = before._replace(last=node.number)

    def _map_of(self, x: object) -> _Map | None:
        return self.maps.get(x.node.number) if isinstance(x, Variable) and x.node is not None else None

    def module_ends(self, module: Module, output: object) -> None:
        if isinstance(output, Variable) and output.node is not None:
            self.maps.pop(output.node.number, None)  # it may be judged by another network, as in a GAN

    def backward_begins(self, root: Variable) -> None:
        # In the first step of a loop that accumulates gradients, pairs may be left of an earlier pass.
        pairs = [(one, other) for one, other in self.pairs if not self.doctor.is_old(other.number)]
        found = [(one, other) for one, other in pairs if self._is_one_map(one, other)]
        if found:
            self._words(found)
        self.maps, self.pairs, self.uses = {}, [], {}

    def _is_one_map(self, one: _Map, other: _Map) -> bool:
        if self.uses.get(one.number) != 1 or self.uses.get(one.last) != 1:
            return False  # another layer, or a skip connection, looks at the values between as well
        separable = any(a == 1 < b for a, b in zip(one.kernel, other.kernel, strict=False)) and any(
            b == 1 < a for a, b in zip(one.kernel, other.kernel, strict=False)
        )
        return one.outputs >= min(one.inputs, other.outputs) and not separable

    def _words(self, found: list[tuple[_Map, _Map]]) -> None:
        one, other = found[0]
        shapes = f"{one.shown} and {other.shown}"
        more = f", and {len(found) - 1} more pairs like it," if len(found) > 1 else ""
        first, second = (self.doctor.place_of(m.number) for m in (one, other))
        where = self.doctor.where(second)
        if first.line != second.line:
            where = f"from {self.doctor.where(first)} to {where}"
        elif first.module is not None and first.module is not second.module:
            where = f"{self.doctor.layer(first.module)} and {where}"
        self.find(
            ("affine", second),
            kind="no-activation",
            what=f"{shapes}{more} follow each other with no activation between: affine maps in a row are "
            "one affine map, so the network can represent no more than a single layer.",
            where=where,
            remedy="put an activation between, such as nn.ReLU(), or use one layer.",
            evidence=f"{one.outputs} features or channels between, {one.inputs} before and {other.outputs} "
            "after; reported at once where there are at least as many between as at one of the ends",
        )


def _map(node: Node, weight: Parameter, name: str) -> _Map:
    sizes = (weight.shape[1], weight.shape[0], weight.shape[2:])
    if name == "matmul":
        sizes = (weight.shape[-2], weight.shape[-1], ())
    return _Map(node.number, f"{name} {node.shape}", *sizes, node.number)


def _varies(x: object) -> bool:
    """Return whether the operand was computed by a part of the network, and not only brought into shape."""
    return isinstance(x, Variable) and maker_of(x) is not None
