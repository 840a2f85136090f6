"""Targets that the output cannot reach, because its last operation has another range."""

from __future__ import annotations

import math

from ...engine.graph import Variable
from .answers import Answer
from .check import PERSISTENCE, Check, ranges
from .losses import maker_of

RANGES = {
    "sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "relu": (0.0, math.inf),
    "softplus": (0.0, math.inf),
}
"""The ranges of operations that a model may end with."""

MARGIN = 0.05
"""How far outside a target may be: labels 0 and 1 of a tanh that are smoothed, or noise."""

OUTSIDE = 0.05
"""The share of the targets that must be outside; single ones cost little."""


class TargetRange(Check):
    """Compares the range of the model's last operation with the targets of a regression."""

    def backward_begins(self, root: Variable) -> None:
        for answer in self.doctor.answers:
            node = maker_of(answer.output)
            if answer.kind == "values" and node is not None and node.primitive.name in RANGES:
                self._look(answer, node.primitive.name)

    def _look(self, answer: Answer, name: str) -> None:
        low, high = RANGES[name]
        target, place = answer.target, self.doctor.place_of(answer.number)
        share = float(((target < low - MARGIN) | (target > high + MARGIN)).mean())
        if self.lasts(("reach", place), share > OUTSIDE):
            self.find(
                ("reach", place),
                kind="targets-out-of-reach",
                what=f"the model ends with {name}, which gives numbers from {low:g} to {high:g}, but the "
                f"targets {target.shape} are {ranges(target)}: no weights can reach the targets outside.",
                where=self.doctor.where(place),
                remedy=f"end with the last Linear, without {name}; or bring the targets into its range, as "
                "(y - min) / (max - min) does for a sigmoid.",
                evidence=f"{share:.0%} of the targets are outside, reported above {OUTSIDE:.0%} in "
                f"{PERSISTENCE} looks",
            )
