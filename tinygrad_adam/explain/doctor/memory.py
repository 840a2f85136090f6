"""Arrays that change between the operation that kept them and the backward pass that needs them."""

from __future__ import annotations

from ...backend.device import is_array
from ...engine.graph import OUTPUT, Node, Primitive, Variable
from ...errors import GraphError
from ...typing import Args, Array, Settings
from .chart import Chart
from .check import Check, squares


class Memory(Check):
    """Finds arrays that are changed in place, where the engine sees it and where it does not.

    A change through a Tensor is counted, and the backward pass refuses. A change of the raw array, as of a
    batch whose memory is filled anew, is not: here the sum of the squares is compared.
    """

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.kept: dict[int, list[tuple[str, float]]] = {}  # no arrays, which may be large

    def operation(self, primitive: Primitive, args: Args, settings: Settings, output: Variable) -> None:
        node = output.node
        if node is not None:
            self.kept[node.number] = [
                (name, squares(value))
                for name, value in node.saved.items()
                if is_array(value) and value.dtype.kind == "f"
            ]

    def gradient(self, node: Node, g: Array) -> None:
        for name, before in self.kept.pop(node.number, ()):
            value = node.saved[name]
            after = squares(value)
            if after != before and after == after:
                self.find(
                    ("changed-in-place", node.primitive.name, name),
                    kind="changed-in-place",
                    what=f"{_named(name)} {value.shape} of {node.primitive.name} was changed in place "
                    "between the forward and the backward pass. The rule of the gradient needs the values of "
                    "then, so the gradient is wrong.",
                    where=self.doctor.where(self.doctor.place(node)),
                    remedy="change a copy, or change it after backward(). A batch that is filled anew needs "
                    "memory of its own: tg.tensor(x) copies, x[...] = and x += write into the same memory.",
                    evidence=f"its norm was {before**0.5:.6g}, and is {after**0.5:.6g} now; reported at once",
                )

    def backward_ends(self, root: Variable) -> None:
        self.kept.clear()


class Refused(Check):
    """Names the place of the array that the backward pass refused because it was changed in place."""

    every_step = True

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.node: Node | None = None

    def gradient(self, node: Node, g: Array) -> None:
        self.node = node

    def backward_ends(self, root: Variable) -> None:
        self.node = None

    def end(self) -> None:
        node = self.node
        if node is None or not isinstance(self.doctor.error, GraphError):
            return
        for position, version, kept in node.versions:
            if version[0] == kept:
                continue
            name = "y" if position == OUTPUT else node.names_of(position)[1]
            value = node.saved.get(name)
            shape = f"{value.shape} " if value is not None and is_array(value) else ""
            self.find(
                ("changed-in-place", node.primitive.name, name),
                kind="changed-in-place",
                what=f"{_named(name)} {shape}of {node.primitive.name} was changed in place between the "
                "forward and the backward pass, which needs the values of then and refuses.",
                where=self.doctor.where(self.doctor.place(node)),
                remedy="call backward() before optimizer.step() and before other changes; or change a copy.",
                evidence=f"changes of its memory: {kept} when it was kept, {version[0]} now; "
                "reported at once",
            )


def _named(name: str) -> str:
    return "its output" if name == "y" else name
