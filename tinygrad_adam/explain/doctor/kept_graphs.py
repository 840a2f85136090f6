"""Sums of losses that keep the graphs of all steps in memory."""

from __future__ import annotations

from ...engine.graph import Node, Primitive, Variable
from ...typing import Args, Settings
from .check import PERSISTENCE, Check


class KeptGraphs(Check):
    """Finds a sum that grows by a loss in each step, with everything that the losses were made from."""

    def operation(self, primitive: Primitive, args: Args, settings: Settings, output: Variable) -> None:
        if primitive.name != "add" or output.node is None or output._data.size != 1:
            return
        sums = [
            arg.node
            for arg in args
            if isinstance(arg, Variable) and arg.node is not None and arg.node.primitive is primitive
        ]
        if sums and self.lasts(("kept", place := self.doctor.place(output.node)), self._old(sums[0])):
            self.find(
                ("kept", place),
                kind="history-kept",
                what="a sum of losses grows from step to step as a Tensor, and keeps the graph of every "
                "step so far, until memory is full.",
                where=self.doctor.where(place),
                remedy="add numbers: total += loss.item().",
                evidence=f"the sum holds operations of more than two steps; reported in {PERSISTENCE} looks",
            )

    def _old(self, node: Node) -> bool:
        """Return whether a sum holds an earlier sum that is older than the step before this one."""
        for _ in range(PERSISTENCE):
            if self.doctor.is_old(node.number):
                return True
            earlier = [p for p in node.parents or () if isinstance(p, Node) and p.primitive is node.primitive]
            if not earlier:
                return False
            node = earlier[0]
        return False
