"""Classes that are never the answer: a network that always names the most frequent one."""

from __future__ import annotations

from typing import Any

import numpy

from ...backend.device import to_host
from ...engine.graph import Variable
from ...typing import Array
from .answers import Answer
from .chart import Chart
from .check import Check

LOOKS = 8
"""Batches in a row in which one class alone is the answer."""

STEPS = 100
"""Steps after which a network should name other classes, too."""

OTHERS = 20
"""Examples of other classes in these batches."""

SHARE = 0.7
"""The share of the most frequent class from which on naming it alone passes for a good accuracy."""


class Majority(Check):
    """Finds networks that name the most frequent class for every example."""

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.seen: dict[Any, list[tuple[Array, Array]]] = {}

    def backward_begins(self, root: Variable) -> None:
        for answer in self.doctor.answers:
            shape = answer.output._data.shape
            if len(shape) == 2 and (answer.kind == "classes" or (answer.kind == "binary" and shape[1] == 1)):
                guess, label = _named(answer)
                seen = self.seen.setdefault(self.doctor.place_of(answer.number), [])
                seen.append((guess, label))
                del seen[:-LOOKS]
                if len(seen) == LOOKS and self.doctor.step >= STEPS:
                    self._judge(answer, seen)

    def _judge(self, answer: Answer, seen: list[tuple[Array, Array]]) -> None:
        guesses, labels = (numpy.concatenate(part) for part in zip(*seen, strict=True))
        named = guesses[0]
        share, others = float((labels == named).mean()), int((labels != named).sum())
        if not (guesses == named).all() or others < OTHERS or share < SHARE:
            return
        place = self.doctor.place_of(answer.number)
        self.find(
            ("majority", place),
            kind="majority-only",
            what=f"the answer is class {named} for every one of {len(labels)} examples, though {others} are "
            f"of other classes. That is an accuracy of {share:.0%}, and nothing is learned.",
            where=self.doctor.where(place),
            remedy="give rare classes more weight, cross_entropy(..., weight=w) with w = 1 / frequency or "
            "pos_weight for two classes; or draw them more often. Measure the recall of each class besides "
            "accuracy.",
            evidence=f"{share:.0%} of the labels are {named}, reported above {SHARE:.0%}, when it is the "
            f"only answer in {LOOKS} looks after {STEPS} steps",
        )


def _named(answer: Answer) -> tuple[Array, Array]:
    """Return the classes that the network names, and the labels."""
    output, target = to_host(answer.output._data), to_host(answer.target)
    if answer.kind == "classes":
        return output.argmax(axis=1), target.reshape(-1)
    return (output > 0).astype(int).reshape(-1), (target > 0.5).astype(int).reshape(-1)
