"""Losses that are summed over the batch, with a learning rate for means."""

from __future__ import annotations

import math

from ...engine.graph import Variable
from ...optim import Optimizer
from ..optimizers import held
from .answers import Made, below, raw
from .chart import Chart, Place
from .check import Check

LEAST = 8
"""Losses in a sum from which on it matters."""

GROWN = 2.0
"""How many times its first value the loss may be, as for a learning rate that is too high."""


class SummedLoss(Check):
    """Finds trainings that diverge because the gradient is a sum over the batch, and so as much larger.

    Adam and the others that divide by the root of a second moment do not mind; plain gradient descent does.
    """

    every_step = True

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.summed: tuple[Place, int] | None = None
        self.first: float | None = None
        self.last = 0.0

    def backward_begins(self, root: Variable) -> None:
        if root._data.size != 1 or not self.doctor.may_read(root._data):
            return
        self.last = float(root._data.reshape(-1)[0])
        if self.first is None:
            self.first = self.last
        if self.doctor.close:
            self.summed = self._find_sum(root)

    def _find_sum(self, root: Variable) -> tuple[Place, int] | None:
        for node, made in below(self.doctor.made, root):
            if made.name in ("mean", "divide", "multiply"):
                return None
            if count := _summed(made):
                return self.doctor.place_of(node.number), count
        return None

    def step_begins(self, optimizer: Optimizer) -> None:
        if self.summed is None or self.first is None or _evens_out(optimizer):
            return
        grown = not math.isfinite(self.last) or self.last > GROWN * self.first > 0
        if grown:
            self._words(optimizer, *self.summed)

    def _words(self, optimizer: Optimizer, place: Place, count: int) -> None:
        rate = max(group["lr"] for group in optimizer.param_groups)
        self.find(
            ("summed", place),
            kind="loss-summed",
            what=f"the loss is the sum of {count} losses, not their mean, so the gradient is {count} times "
            f"as large, and with it each step of {type(optimizer).__name__}; the loss rises, from "
            f"{self.first:.4g} to {self.last:.4g}.",
            where=self.doctor.where(place),
            remedy=f"take the mean: loss.mean(), or reduction='mean'; or divide the learning rate, {rate:g} "
            f"now, by {count}.",
            evidence=f"{count} losses in the sum, reported from {LEAST} on, once the loss is above {GROWN:g} "
            "times its first value or not finite",
        )


def _evens_out(optimizer: Optimizer) -> bool:
    """Return whether the size of the gradient does not matter to an optimizer."""
    return any(not {"velocity"}.issuperset(moments) for _, _, _, moments, _ in held(optimizer))


def _summed(made: Made) -> int:
    """Return how many losses an operation adds up, or 0."""
    if made.name == "softmax_cross_entropy" and made.settings.get("reduction") == "sum":
        return len(raw(made.args[0]))
    if made.name == "sum":
        size = int(raw(made.args[0]).size)
        return size if size >= LEAST and made.settings.get("axis") is None else 0
    return 0
