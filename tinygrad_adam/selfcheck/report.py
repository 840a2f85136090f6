"""What was found: checks with their failures, measured speeds, and how they are written down."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


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
        """Say what failed, in a line."""
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
        Why it was left out, if it was; else what is to be added.
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
    _case: str = field(default="", repr=False)

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
        except Exception as error:  # whatever a device does wrong is what is looked for
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
