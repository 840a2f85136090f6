"""Targets of a cross-entropy that are no probabilities of classes."""

from __future__ import annotations

from ...backend.device import backend_of
from ...engine.graph import Primitive, Variable
from ...typing import Args, Settings
from .answers import raw
from .check import PERSISTENCE, Check

SEVERAL = 0.05
"""The share of the rows that hold several ones, or none."""


class SeveralLabels(Check):
    """Finds rows of zeros and ones, given to cross_entropy, that do not hold exactly one 1."""

    def operation(self, primitive: Primitive, args: Args, settings: Settings, output: Variable) -> None:
        if primitive.name != "soft_cross_entropy" or output.node is None:
            return
        q = raw(args[1])
        xp = backend_of((q,)).xp
        if not bool(((q == 0) | (q == 1)).all()):
            return
        ones = q.sum(axis=-1)
        share, most = float(xp.mean(ones != 1)), int(ones.max())
        place = self.doctor.place(output.node)
        if self.lasts(("several", place), share > SEVERAL and most > 1):
            self.find(
                ("several", place),
                kind="several-labels",
                what=f"the targets {q.shape} of cross_entropy hold up to {most} ones in a row: several "
                "classes at once. A softmax shares one probability among the classes, so that they compete.",
                where=self.doctor.where(place),
                remedy="use binary_cross_entropy_with_logits, which asks yes or no of each class by "
                "itself; for one class of several give cross_entropy the numbers of the classes.",
                evidence=f"{share:.0%} of the rows do not sum to 1, reported above {SEVERAL:.0%} in "
                f"{PERSISTENCE} looks",
            )
