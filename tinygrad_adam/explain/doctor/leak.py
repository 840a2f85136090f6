"""Inputs that contain the answer."""

from __future__ import annotations

import numpy

from ...backend.device import to_host
from ...engine.graph import Variable
from .check import PERSISTENCE, Check

LEAST = 8
"""Examples in a batch, of more than one label, that a column must agree with."""

COLUMNS = 2
"""Columns of inputs from which on one that is the target is suspicious: a single one may be all there is."""


class Leak(Check):
    """Finds a column of the inputs that is the target itself, as where a table was not split."""

    def backward_begins(self, root: Variable) -> None:
        inputs = self.doctor.inputs
        if inputs is None or inputs.ndim != 2 or inputs.shape[1] < COLUMNS:
            return
        for answer in self.doctor.answers:
            x, y = to_host(inputs), to_host(answer.target)
            if y.size != len(x) or len(x) < LEAST or len(numpy.unique(y)) < 2:
                continue
            same = (x == y.reshape(-1, 1)).all(axis=0)
            place = self.doctor.place_of(answer.number)
            if self.lasts(("leak", place), bool(same.any())):
                self.find(
                    ("leak", place),
                    kind="target-in-inputs",
                    what=f"column {int(same.argmax())} of the inputs {x.shape} is the target {y.shape} "
                    "itself: the network copies it, and fails on data without a target.",
                    where=self.doctor.where(place),
                    remedy="remove that column from the inputs: numpy.delete(x, column, axis=1).",
                    evidence=f"equal in all examples of {PERSISTENCE} looks; reported from {PERSISTENCE} on",
                )
