"""Data in sorted order: each batch is of one kind, and the next of another."""

from __future__ import annotations

from typing import Any

import numpy

from ...backend.device import to_host
from ...engine.graph import Variable
from ...files.text import counted
from ...typing import Array
from .answers import Answer
from .chart import Chart, Place
from .check import Check

LOOKS = 5
"""Batches in a row that must be in order. One of 8 even labels of two classes is so by chance in 6 % of
cases, five in a row in less than one of a million."""

LEAST_BATCH = 8
"""Examples from which on a batch has an order."""

RUNS = 4.0
"""The number of runs of equal labels that a shuffled batch would have, from which on one without order tells
something."""


class SortedData(Check):
    """Finds batches whose labels come class by class, or whose inputs or targets only rise or fall.

    The whole data in one batch, and the same batch in each step, may be in any order. Windows of a series
    that follow each other do not rise all the time.
    """

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.labels: dict[Place, list[Array]] = {}
        self.values: dict[Any, list[Array]] = {}

    def backward_begins(self, root: Variable) -> None:
        for answer in self.doctor.answers[:1]:
            target = to_host(answer.target)
            if len(target) < LEAST_BATCH:
                return
            if answer.kind == "values":
                self._values(answer, target)
            elif target.ndim == 1 or target.shape[1:] == (1,):
                self._labels(answer, target.reshape(-1))

    def _labels(self, answer: Answer, labels: Array) -> None:
        place = self.doctor.place_of(answer.number)
        seen = self.labels.setdefault(place, [])
        seen.append(labels)
        del seen[:-LOOKS]
        values = numpy.concatenate(seen)
        shares = numpy.unique_counts(values).counts / len(values)
        shuffled = 1 + len(labels) * (1 - float((shares**2).sum()))
        runs = 1 + int(numpy.count_nonzero(labels[1:] != labels[:-1]))
        kinds = len(numpy.unique(labels))
        there = runs == kinds and len(seen) == LOOKS and shuffled >= RUNS
        in_order = all(
            numpy.count_nonzero(batch[1:] != batch[:-1]) < len(numpy.unique(batch)) for batch in seen
        )
        # One class alone in each batch is reported as constant labels.
        mixed = any(len(numpy.unique(batch)) > 1 for batch in seen)
        if there and in_order and mixed and _differ(seen):
            self._words(
                place, f"the labels of each batch come class by class: the last {len(labels)} hold {kinds} "
                f"class{'es' * (kinds > 1)} in {counted(runs, 'run')}.",
                f"shuffled, a batch would have about {shuffled:.0f} runs of equal labels",
            )  # fmt: skip

    def _values(self, answer: Answer, target: Array) -> None:
        place = self.doctor.place_of(answer.number)
        inputs = self.doctor.inputs
        if inputs is not None and _windows(to_host(inputs)):
            return
        columns = {"targets": target.reshape(len(target), -1)}
        if inputs is not None and inputs.ndim == 2 and inputs.dtype.kind == "f":
            columns["inputs"] = to_host(inputs)
        for name, column in columns.items():
            if column.shape[1] != 1 or len(column) < LEAST_BATCH:
                continue
            seen = self.values.setdefault((place, name), [])
            seen.append(column[:, 0])
            del seen[:-LOOKS]
            if len(seen) == LOOKS and all(map(_monotone, seen)) and _differ(seen):
                self._words(
                    place, f"the {name} of each batch only rise or only fall, so that each holds a small "
                    f"range of them: the last from {column.min():.3g} to {column.max():.3g}.",
                    f"monotone in {LOOKS} batches",
                )  # fmt: skip

    def _words(self, place: Place, what: str, evidence: str) -> None:
        self.find(
            ("sorted", place),
            kind="sorted-data",
            what=f"{what} The network follows each batch and forgets the one before.",
            where=self.doctor.where(place),
            remedy="shuffle: DataLoader(..., shuffle=True), or rows = rng.permutation(len(x)) in each epoch.",
            evidence=f"{evidence}; reported in {LOOKS} looks",
        )


def _monotone(values: Array) -> bool:
    steps = numpy.diff(values)
    return bool((steps >= 0).all() or (steps <= 0).all()) and bool(steps.any())


def _windows(x: Array) -> bool:
    """Return whether each row is the one before, shifted by one: windows of a series, in its order."""
    if x.ndim < 2 or x.shape[1] < 2:
        return False
    return bool((x[1:, :-1] == x[:-1, 1:]).all() or (x[:-1, :-1] == x[1:, 1:]).all())


def _differ(batches: list[Array]) -> bool:
    """Return whether not all batches are the same."""
    return any(not numpy.array_equal(batch, batches[0]) for batch in batches[1:])
