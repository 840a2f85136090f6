"""The rows of data that pass through a model: epochs, and examples that are both learned and measured."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ...backend.device import device_of
from ...nn import Module
from ..chain_rule.source_lines import PACKAGE, SourceLine
from .answers import first_array
from .chart import Chart
from .check import Check

COLUMNS = 128
"""Numbers of each row by which it is known, evenly spaced."""

MOST = 100_000
"""Rows after which no more are remembered, as with random augmentation."""

REPEATED = 0.01
"""The share of rows that come twice in one batch, above which equal rows mean nothing: data of few values."""

OVERLAP = 0.05
"""The share of the measured examples that are training examples, too. Sets of photographs have up to 3 % of
near duplicates, CIFAR-10 3.3 % (Barz & Denzler, 2020)."""

WHOLE = 0.9
"""The share of the training examples that are measured, above which they are measured on purpose: as the
training accuracy, or all data together."""

LEAST = 50
"""Measured examples from which on they are judged."""


Calls: TypeAlias = tuple[tuple[str, int], ...]
"""Files and lines, the innermost first."""


@dataclass
class _Seen:
    """The rows of a model.

    Attributes
    ----------
    trained : set of int
        Hashes of rows that it was trained with.
    batches : int
        The training batches that were read.
    complete : bool
        Whether a whole batch has come again, so that the first epoch is over.
    repeated, rows : int
        Rows that came twice in their batch, of all.
    measured : dict
        For each chain of calls that measures: the rows, and the rows that had been trained with.
    """

    model: Module
    trained: set[int] = field(default_factory=set)
    batches: int = 0
    complete: bool = False
    repeated: int = 0
    rows: int = 0
    measured: dict[Calls, tuple[set[int], set[int]]] = field(default_factory=dict)


class Rows(Check):
    """Finds test examples that the model is trained with, and counts the batches of an epoch.

    It looks at data on the host only: reading a GPU's would wait. A row that is measured before it is trained
    with, as in learning from a stream, does not count as overlap.
    """

    every_step = True

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.seen: dict[int, _Seen] = {}

    def module_begins(self, module: Module, args: tuple[Any, ...]) -> None:
        seen = self._of(module)
        if seen.complete or len(seen.trained) >= MOST or (hashes := _hashes(args)) is None:
            return
        distinct = set(hashes)
        seen.complete = seen.batches > 0 and distinct <= seen.trained
        if seen.complete:
            if self.doctor.epoch is None and module is self.doctor.models[0]:
                self.doctor.epoch = max(self.doctor.step, 1)
            return
        seen.batches, seen.rows = seen.batches + 1, seen.rows + len(hashes)
        seen.repeated += len(hashes) - len(distinct)
        seen.trained |= distinct

    def evaluated(self, module: Module, args: tuple[Any, ...]) -> None:
        seen = self.seen.get(id(module))
        if seen is None or (hashes := _hashes(args)) is None:
            return
        rows, known = seen.measured.setdefault(_calls(), (set(), set()))
        if len(rows) < MOST:
            rows.update(hashes)
            known.update(seen.trained.intersection(hashes))

    def _of(self, module: Module) -> _Seen:
        return self.seen.setdefault(id(module), _Seen(module))

    def end(self) -> None:
        if self.doctor.knows("evaluation-mode"):
            return  # the training itself looks like a measurement
        for seen in self.seen.values():
            if seen.repeated <= REPEATED * seen.rows:
                self._judge(seen)

    def _judge(self, seen: _Seen) -> None:
        groups = [(calls, *group) for calls, group in seen.measured.items() if len(group[0]) >= LEAST]
        for calls, rows, known in groups:
            share = len(known) / len(rows)
            # With a separate test set, a part of the training examples may well be measured.
            apart = share == 1 and any(len(k) <= OVERLAP * len(r) for _, r, k in groups)
            if share > OVERLAP and len(known) < WHOLE * len(seen.trained) and not apart:
                self._words(seen, calls, len(rows), len(known))
                return

    def _words(self, seen: _Seen, calls: Calls, rows: int, known: int) -> None:
        self.find(
            ("overlap", id(seen.model)),
            kind="test-in-training",
            what=f"of {rows} examples that {type(seen.model).__name__} is measured with, it is trained with "
            f"{known} as well: it may have learned them by heart, so the measured loss "
            "is too low.",
            where=str(SourceLine(*calls[0], "")) if calls else "the evaluation",
            remedy="cut the data once, before training: data.split(dataset, 0.8), or rows = "
            "rng.permutation(len(x)); train, test = rows[:800], rows[800:].",
            evidence=f"{known / rows:.0%} of the measured examples, reported above {OVERLAP:.0%} unless they "
            f"are all {len(seen.trained)} training examples",
        )


def _hashes(args: tuple[Any, ...]) -> list[int] | None:
    """Return a number for each row of the first array that a model was given, or None without one."""
    x = first_array(args)
    if x is None or x.ndim < 2 or device_of(x) != "cpu":
        return None
    flat = x.reshape(len(x), -1)
    return [hash(row.tobytes()) for row in flat[:, :: -(-flat.shape[1] // COLUMNS) or 1]]


def _calls() -> Calls:
    """Return the lines of the program under way, from the innermost out; this package's own are left out."""
    frame, lines = sys._getframe(1), []
    while frame is not None:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            lines.append((frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back  # type: ignore[assignment]
    return tuple(lines)
