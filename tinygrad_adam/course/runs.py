"""The runs of a notebook: one, and another one after each cell that ended its process, without that cell."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import sys
import tempfile
import threading
import time
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from .processes import Family
from .submissions import TOO_LONG, Submission, Verdict

POLL = 0.1
"""Seconds between two looks at a process."""
GRACE = 60.0
"""Seconds after which a cell is ended by force, beyond the processor's time that its own alarm allows."""
START = 60.0
"""Seconds for the start of Python and the imports, on a busy machine."""
THREADS = ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMBA")
ENVIRONMENT = {"MPLBACKEND": "Agg", "PYTHONHASHSEED": "0", "PYTHONWARNINGS": "ignore"} | {
    f"{name}_NUM_THREADS": "1" for name in THREADS
}
PACKAGE = __name__.partition(".")[0]


class Limits(NamedTuple):
    """The bounds of a notebook: seconds for a cell and in all, bytes of memory, threads of all processes."""

    cell: float = 60
    whole: float = 600
    memory: int = 2 * 2**30
    threads: int = 256


class StoppedError(Exception):
    """The check ends before a notebook does."""


class Death(NamedTuple):
    """The end of a process before it had run the notebook: in which cell, and why."""

    place: int
    kind: str
    sentence: str


class Runs:
    """All runs of a notebook.

    Parameters
    ----------
    submission : Submission
        The notebook.
    limits : Limits
        Its bounds.
    stop : threading.Event
        When it is set, the notebook is given up.
    """

    def __init__(self, submission: Submission, limits: Limits, stop: threading.Event) -> None:
        self.submission, self.limits, self.stop = submission, limits, stop
        self.found: dict[str, Verdict] = {}
        self.troubles: dict[int, str] = {}
        """Sentences about the cells that failed."""
        self.deadline = time.monotonic() + limits.whole

    def verdicts(self) -> dict[str, Verdict]:
        """Run the notebook until there is a verdict on each exercise that has a cell."""
        places, deadly = self.submission.places, set[int]()
        while (todo := {number: places[number] for number in places if number not in self.found}) and (
            death := self._run(todo, deadly)
        ):
            if death.place >= 0:
                self.troubles[death.place] = death.sentence
            # The cell is left out from now on. If it was left out already, there is no use in going on.
            of_all = death.place in deadly or death.place < 0
            deadly.add(death.place)
            for number, cells in todo.items():
                if number not in self.found and (of_all or death.place in cells):
                    self.found[number] = Verdict(False, death.kind, death.sentence)
        return {number: self._explained(number, verdict) for number, verdict in self.found.items()}

    def _explained(self, number: str, verdict: Verdict) -> Verdict:
        """Add the mistake in a cell before, if a name is missing."""
        sentence = verdict.sentence
        if not verdict.passed and "NameError" in sentence:
            first = self.submission.places[number][0]
            for place in sorted(place for place in self.troubles if place < first)[:1]:
                cell = self.submission.cells[place]
                line = next((line.strip() for line in cell.source.splitlines() if line.strip()), "empty")
                sentence += f". Before it, {cell.name} ({line[:40]}) fails: {self.troubles[place]}"
        return verdict._replace(sentence=sentence if sentence.endswith((".", "?", ".)")) else f"{sentence}.")

    def _run(self, todo: dict[str, tuple[int, ...]], skip: set[int]) -> Death | None:
        """Run the notebook in a new process until all is graded or the process ends; return how it ended."""
        secret = secrets.token_hex(16)
        job = {
            "secret": secret,
            "cells": [(cell.name, cell.source) for cell in self.submission.cells],
            "places": todo,
            "skip": [*skip],
            "limits": self.limits,
        }
        path = os.pathsep.join(map(os.path.abspath, sys.path))  # the same package, wherever it lies
        environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": path}
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            family = Family([sys.executable, "-m", f"{PACKAGE}.course.runner"], folder, environment)
            try:
                return self._watched(family, f"{json.dumps(job)}\n".encode(), secret.encode())
            finally:
                family.end()

    def _watched(self, family: Family, job: bytes, secret: bytes) -> Death | None:
        """Give a process its job, keep its verdicts, and see that it keeps its bounds."""
        messages = SimpleQueue[Any]()
        for task in (lambda: _write(family, job), lambda: _read(family, secret, messages)):
            threading.Thread(target=task, daemon=True).start()
        place, since, looked, gone = -1, time.monotonic() + START, 0.0, False
        while not self.stop.is_set():
            try:
                kind, *rest = messages.get(timeout=POLL)
            except Empty:
                if gone and place < 0:
                    return Death(place, "not checked", "the process for it did not start here")
                if gone:
                    return Death(place, "ended", _ending(family.first.returncode))
                gone = family.first.poll() is not None  # once more: messages may be on their way
                kind, rest = "", []
            if kind == "end":
                return None
            if kind == "cell":
                place, since = rest[0], time.monotonic()
            elif kind == "trouble":
                self.troubles[rest[0]] = rest[1]
            elif kind == "verdict":
                self.found[rest[0]] = Verdict(*rest[1:])
            if time.monotonic() - looked > POLL:
                looked = time.monotonic()
                if death := self._crossed(family, place, looked - since):
                    return death
        raise StoppedError

    def _crossed(self, family: Family, place: int, seconds: float) -> Death | None:
        """Return the bound that a process crosses, if it does, `seconds` after the beginning of a cell."""
        cell, whole, memory, threads = self.limits
        if time.monotonic() > self.deadline:
            return Death(-1, "too long", f"the notebook takes longer than {whole:g} seconds in all")
        if seconds > cell + GRACE:
            return Death(place, "too long", TOO_LONG.format("the cell", cell, ""))
        members = family.members()
        if sum(found.threads for found in members) > threads:
            return Death(place, "processes", f"the cell starts more than {threads} processes and threads")
        if sum(found.memory for found in members) > memory:
            size = f"more than {memory / 2**30:.3g} GiB of memory"
            if len(members) > 1:
                return Death(
                    place, "processes", f"the cell starts {len(members)} processes, which take {size}"
                )
            return Death(place, "memory", f"the cell takes {size}: does a list or an array grow without end?")
        return None


def _write(family: Family, job: bytes) -> None:
    assert family.first.stdin is not None
    with contextlib.suppress(OSError), family.first.stdin as pipe:  # it may have ended already
        pipe.write(job)


def _read(family: Family, secret: bytes, messages: SimpleQueue[Any]) -> None:
    """Pass the messages on; all that does not begin with the secret was written by a student's code."""
    assert family.first.stdout is not None
    with family.first.stdout as pipe:
        while line := pipe.readline(2**16):
            if line.startswith(secret):
                with contextlib.suppress(ValueError):  # torn apart
                    messages.put(json.loads(line[len(secret) :]))


def _ending(code: int) -> str:
    """Return a sentence about a process that ended by itself."""
    if code >= 0:
        return "the cell ends the Python process, as os._exit does, or closes its files; take that out"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"the cell crashes Python, or kills it ({name})"
