"""Results: checks with their failures, measured speeds, and their text."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...engine.viewers import view
from ...files.writing import finite_or_none, write_text


@dataclass
class Failure:
    """Something that does not hold.

    Attributes
    ----------
    case : str
        The operation, layer, optimizer or training, and how it was called.
    part : str
        The output or gradient that is wrong, if one is.
    error : float or None
        The largest relative error, if there is one.
    problem : str
        What is wrong, if not the error.
    """

    case: str
    part: str = ""
    error: float | None = None
    problem: str = ""

    def text(self, tolerance: float | None) -> str:
        """Return the failure in a line."""
        where = f"{self.case}, {self.part}" if self.part else self.case
        if self.error is None:
            return f"{where}: {self.problem}"
        if math.isinf(self.error):
            return f"{where}: shape, kind of number, NaN or infinities differ (tolerance {tolerance:.0e})"
        return f"{where}: largest relative error {self.error:.1e}, tolerance {tolerance:.0e}"


@dataclass
class Check:
    """One line of the table.

    Attributes
    ----------
    name : str
    tolerance : float or None
        The largest relative error that passes; None where bits or counts are compared.
    count : int
        How many cases were looked at.
    largest : float or None
        The largest relative error of all.
    where : str
        The case and the part that has it.
    failures : list of Failure
    note : str
        The reason why the check was left out, or a remark.
    seconds : float
    """

    name: str
    tolerance: float | None = None
    count: int = 0
    largest: float | None = None
    where: str = ""
    failures: list[Failure] = field(default_factory=list)
    note: str = ""
    seconds: float = 0.0
    _case = ""  # no field: not part of the results

    @property
    def result(self) -> str:
        """``"ok"``, ``"FAILED"``, or ``"left out"``."""
        return "FAILED" if self.failures else "ok" if self.count else "left out"

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the seconds of a ``with`` block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - started

    @contextmanager
    def case(self, name: str) -> Iterator[None]:
        """Look at a case in a ``with`` block; an error in it is a failure of that case."""
        self._case = name
        self.count += 1
        try:
            yield
        except Exception as error:  # a device may fail in any way
            self.fail(f"{type(error).__name__}: {error}")

    def fail(self, problem: str, part: str = "") -> None:
        """Note a failure of the running case."""
        self.failures.append(Failure(self._case, part, problem=problem))

    def enter(self, part: str, error: float) -> None:
        """Note an error of the running case, which fails if it is larger than the tolerance."""
        if self.largest is None or error > self.largest:
            self.largest, self.where = error, f"{self._case}, {part}"
        if self.tolerance is not None and not error <= self.tolerance:
            self.failures.append(Failure(self._case, part, error))


@dataclass
class Speed:
    """One measured time or rate.

    Attributes
    ----------
    name, description : str
    value : float or None
        None if it was left out.
    unit : str
    share : float or None
        Of the copy rate.
    note : str
        Why it was left out.
    """

    name: str
    description: str
    value: float | None
    unit: str
    share: float | None = None
    note: str = ""


@dataclass
class Beside:
    """A training step of several frameworks, measured in one run; the loss is read in every step.

    Attributes
    ----------
    name : str
        Of the workload.
    times : dict of str to float
        By framework, ours first: median milliseconds a step.
    """

    name: str
    times: dict[str, float]


@dataclass(repr=False)
class Report:
    """All that was found.

    Attributes
    ----------
    device : str
        Its full name, such as "cuda:0".
    name : str
        Of the processor or GPU.
    compared : str
        The two sides of the comparison.
    date : str
    quick : bool
    versions : dict of str to str
    checks : list of Check
    curves : dict of str to list of dict
        By training: for each epoch the values on the device and on the CPU.
    speeds : list of Speed
    others : list of Beside
        Training steps compared with other frameworks.
    others_note : str
        The reason why some or all of them are missing.
    """

    device: str
    name: str
    compared: str
    date: str
    quick: bool
    versions: dict[str, str]
    checks: list[Check] = field(default_factory=list)
    curves: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    speeds: list[Speed] = field(default_factory=list)
    others: list[Beside] = field(default_factory=list)
    others_note: str = ""

    @property
    def failed(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if check.failures]

    def title(self) -> list[str]:
        """Return the device, the machine and the versions in three lines."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return [f"{self.device}: {self.name}, {self.date}", versions, f"{self.compared}."]

    def verdict(self) -> str:
        """Say in a line whether all holds."""
        ran = [check for check in self.checks if check.count]
        if self.failed:
            return f"{len(self.failed)} of {len(ran)} checks FAILED"
        left_out = len(self.checks) - len(ran)
        return f"All {len(ran)} checks hold" + (f"; {left_out} left out" if left_out else "")

    def failure_lines(self, most: int = 20) -> list[str]:
        """Return the failures, a line each, and the number of further ones."""
        lines = [
            f"{check.name}: {failure.text(check.tolerance)}"
            for check in self.failed
            for failure in check.failures
        ]
        return lines[:most] + ([f"... and {len(lines) - most} more"] if len(lines) > most else [])

    def note_lines(self) -> list[str]:
        """Return the reasons for skipped checks, and remarks on others."""
        noted: list[Check | Speed] = [*self.checks, *self.speeds]
        lines = [f"{each.name}: {each.note}" for each in noted if each.note]
        return lines + ([f"other frameworks: {self.others_note}"] if self.others_note else [])

    def check_rows(self) -> list[tuple[str, ...]]:
        """Return the table of the checks: see `CHECK_COLUMNS`."""
        return [
            (
                check.name,
                check.result,
                str(check.count or ""),
                "" if check.largest is None else f"{check.largest:.1e}",
                f"{check.tolerance:.0e}" if check.tolerance and check.count else "",
                f"{check.seconds:.1f}" if check.count else "",
                check.where,
            )
            for check in self.checks
        ]

    def speed_rows(self) -> list[tuple[str, ...]]:
        """Return the table of the speeds: see `SPEED_COLUMNS`."""
        return [
            (
                speed.name,
                speed.description,
                "" if speed.value is None else f"{_three_digits(speed.value)} {speed.unit}",
                "" if speed.share is None else f"{speed.share:.0%}",
            )
            for speed in self.speeds
        ]

    def others_table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return columns and rows: the times, and how ours compares with the best of the others."""
        names = list(dict.fromkeys(name for each in self.others for name in each.times))
        columns = ("ms a step", *names, "ours over the best other")
        rows = []
        for each in self.others:
            times = [_three_digits(each.times[name]) if name in each.times else "" for name in names]
            others = [time for name, time in each.times.items() if name != "ours"]
            ratio = f"{each.times['ours'] / min(others):.2f}" if others and "ours" in each.times else ""
            rows.append((each.name, *times, ratio))
        return columns, rows

    def markdown(self) -> str:
        """Return everything as Markdown."""
        parts = [f"# Selfcheck of {self.device}: {self.name}", *self.title()[1:], f"Date: {self.date}."]
        parts += [f"**{self.verdict()}.**", _markdown_table(CHECK_COLUMNS, self.check_rows())]
        parts.append("\n".join(f"- {line}" for line in self.failure_lines(200) + self.note_lines()))
        for name, rows in self.curves.items():
            names = ("fast", "reference") if self.device == "cpu" else (self.device, "cpu")
            columns = ("epoch", *(f"{value}, {where}" for value in VALUES for where in names))
            cells = [
                (str(row["epoch"]), *(f"{row[where][v]:.4f}" for v in VALUES for where in ("device", "cpu")))
                for row in rows
            ]
            parts += [f"## {name}", _markdown_table(columns, cells)]
        if self.speeds:
            parts += ["## Speed", _markdown_table(SPEED_COLUMNS, self.speed_rows())]
        if self.others:
            parts += ["## Beside other frameworks", _markdown_table(*self.others_table())]
        return "\n\n".join(parts) + "\n"

    def __repr__(self) -> str:
        return "\n".join([*self.title(), f"{self.verdict()}.", *self.failure_lines(), *self.note_lines()])

    def _repr_html_(self) -> str | None:
        return view("Report._repr_html_")(self)

    def json(self) -> str:
        """Return everything as JSON; an error that is infinite is written as null."""
        values = {"passed": not self.failed, **asdict(self)}
        for entry, check in zip(values["checks"], self.checks, strict=True):
            entry["result"] = check.result
        return json.dumps(finite_or_none(values), indent=1, allow_nan=False) + "\n"

    def write(self, folder: Path) -> None:
        """Write ``selfcheck.json`` and ``selfcheck.md`` into a folder."""
        write_text(folder / "selfcheck.json", self.json())
        write_text(folder / "selfcheck.md", self.markdown())


CHECK_COLUMNS = ("check", "result", "cases", "largest error", "tolerance", "seconds", "where the largest is")
SPEED_COLUMNS = ("speed", "of what", "measured", "of copy")
VALUES = ("loss", "val_loss", "accuracy", "val_accuracy")


def _three_digits(value: float) -> str:
    """Write a number with three digits, and no fewer than it has before the point.

    Examples
    --------
    >>> _three_digits(0.01234), _three_digits(1.234), _three_digits(12345.6)
    ('0.0123', '1.23', '12,346')
    """
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _markdown_table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
