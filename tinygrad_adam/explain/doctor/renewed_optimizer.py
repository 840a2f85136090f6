"""Optimizers that are made anew in every step, and so forget what they have learned of the gradients."""

from __future__ import annotations

from ...optim import Optimizer
from ..optimizers import held, parameters_of
from .chart import Chart
from .check import PERSISTENCE, Check


class RenewedOptimizer(Check):
    """Finds moments that begin at 0 in each step, because each step has an optimizer of its own."""

    every_step = True

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.last: dict[int, tuple[Optimizer, int]] = {}
        self.renewed: dict[int, int] = {}

    def step_begins(self, optimizer: Optimizer) -> None:
        first = id(parameters_of(optimizer)[0])
        last, steps = self.last.get(first, (None, 0))
        if last is optimizer:
            self.last[first] = optimizer, steps + 1
            return
        # One for each phase or task is meant to begin anew.
        self.renewed[first] = self.renewed.get(first, 0) + 1 if last is not None and steps == 1 else 0
        self.last[first] = optimizer, 1
        if self.renewed[first] >= PERSISTENCE and any(moments for _, _, _, moments, _ in held(optimizer)):
            name = type(optimizer).__name__
            self.find(
                ("renewed", first),
                kind="optimizer-anew",
                what=f"each step has a new {name}, whose moments begin at 0: none remembers the gradients "
                f"of earlier steps, so {name} is no more than a scaled gradient descent.",
                where=self.doctor.where(),
                remedy="make the optimizer once, before the loop.",
                evidence=f"{PERSISTENCE + 1} steps in a row by as many optimizers of the same parameters; "
                f"reported from {PERSISTENCE + 1} on",
            )
