"""Units that no longer pass a gradient: ReLUs that are always off, others at the flat ends of their curve."""

from __future__ import annotations

from typing import Any

from ...backend.device import backend_of
from ...engine.graph import Node, Primitive, Variable
from ...typing import Args, Array, Settings
from .chart import Chart, Place
from .check import PERSISTENCE, Check

DEAD_SHARE = 0.6
"""The share of a layer's units. CS231n, "Neural Networks Part 1", names 40 % for too high a learning rate.
But of networks of ten layers that learn the digits from the usual weights, up to 52 % are off for a while,
and in the examples at most 11 %, so the line is drawn beyond."""

DEAD_LOOKS = 5
"""Looks during which a dead unit gave 0 for every input: with batches of 64, 320 inputs."""

FLAT = 0.99
"""A unit is saturated where it is beyond 0.99 of its range: for tanh ``|y| > 0.99``, where the derivative 1 -
y^2 is below 0.02; for a sigmoid ``y < 0.01`` or ``y > 0.99``, below 0.01; for a softmax where one probability
is above 0.99."""

FLAT_SHARE = 0.7
"""The share of a layer's outputs. Glorot & Bengio (2010), section 3.1, saw training stall while the upper
hidden layer was saturated. Tanh layers that learn the digits stay below 0.02 with the usual rate of 1e-3, and
reach 0.52 with one of 1e-2, which is hardly worse; so the line is drawn beyond."""

RELU = ("relu", "linear_relu", "conv2d_relu")
WEIGHTED = ("linear", "linear_relu", "matmul", "conv2d", "conv2d_relu", "conv2d_input", "einsum")
"""Operations with weights behind which a unit is a hidden one. An output unit may be sure of its answer."""


class DeadUnits(Check):
    """Finds layers of ReLUs of which many give 0 whatever comes in."""

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.alive: dict[tuple[str, Place, int], tuple[Array, set[int], int]] = {}

    def operation(self, primitive: Primitive, args: Args, settings: Settings, output: Variable) -> None:
        if output.node is None or primitive.name not in RELU or output._data.ndim < 2:
            return
        y, place = output._data, self.doctor.place(output.node)
        units = 1 if y.ndim == 4 else y.ndim - 1
        xp = backend_of((y,)).xp
        alive = xp.max(y, axis=tuple(axis for axis in range(y.ndim) if axis != units)) > 0
        key = (primitive.name, place, len(alive))
        before, steps, inputs = self.alive.pop(key, (False, set(), 0))
        alive, steps, inputs = alive | before, steps | {self.doctor.step}, inputs + len(y)
        if len(steps) < DEAD_LOOKS:
            self.alive[key] = (alive, steps, inputs)
            return
        dead = int(len(alive) - alive.sum())
        if dead > DEAD_SHARE * len(alive):
            self.find(
                key,
                kind="dead-relu",
                what=f"{dead} of the {len(alive)} units of {primitive.name} {y.shape} gave 0 for every "
                "input. Where a ReLU is off its gradient is 0, so the weights before it no longer change and "
                "it stays off: it is dead.",
                where=self.doctor.where(place),
                remedy="lower the learning rate; look whether the inputs are centered and of a size near 1; "
                "start from Kaiming weights and zero biases (nn.init); or use LeakyReLU, ELU or GELU.",
                evidence=f"{dead / len(alive):.0%} dead over {inputs:,} inputs in {DEAD_LOOKS} looks; "
                f"reported above {DEAD_SHARE:.0%}",
            )


class SaturatedUnits(Check):
    """Finds hidden layers of tanh, sigmoid or softmax that are mostly at the flat ends."""

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.flat: dict[int, tuple[str, str, Any, float]] = {}
        self.hidden: set[int] = set()

    def operation(self, primitive: Primitive, args: Args, settings: Settings, output: Variable) -> None:
        node, name = output.node, primitive.name
        if node is None or name not in ("tanh", "sigmoid", "softmax"):
            return
        y = output._data
        xp = backend_of((y,)).xp
        if name == "tanh":
            flat = xp.abs(y) > FLAT
        elif name == "sigmoid":
            flat = xp.abs(y - 0.5) > FLAT - 0.5
        else:
            flat = xp.max(y, axis=settings.get("axis", -1)) > FLAT
        self.flat[node.number] = (name, str(y.shape), self.doctor.place(node), float(flat.mean()))

    def share(self, node: Node, position: int, parent: Node | Variable, share: Array) -> None:
        number = getattr(parent, "number", None)
        if number is not None and (node.number in self.hidden or node.primitive.name in WEIGHTED):
            self.hidden.add(number)

    def backward_ends(self, root: Variable) -> None:
        for number, (name, shape, place, flat) in self.flat.items():
            if number in self.hidden and self.lasts((name, place), flat > FLAT_SHARE):
                self._words(name, shape, place, flat)
        self.flat.clear()
        self.hidden.clear()

    def _words(self, name: str, shape: str, place: Place, flat: float) -> None:
        if name == "softmax":
            remedy = (
                "make its inputs smaller: divide scores by the root of their dimension, as attention does."
            )
        else:
            remedy = (
                "start from smaller weights (nn.init.xavier_uniform_), scale the inputs to a size near 1, "
                "lower the learning rate, or use ReLU."
            )
        self.find(
            ("saturated", name, place),
            kind="saturated",
            what=f"most outputs of {name} {shape} are at the flat ends of its curve, where the derivative "
            "is nearly 0: the layers before it get hardly any gradient.",
            where=self.doctor.where(place),
            remedy=remedy,
            evidence=f"{flat:.0%} of the outputs beyond {FLAT} of the range; reported above "
            f"{FLAT_SHARE:.0%} in {PERSISTENCE} looks",
        )
