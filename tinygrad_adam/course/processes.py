"""A process and its descendants: how much memory they take, how many they are, and the end of them all."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
WATCHED = PROC.joinpath("self", "stat").exists()
"""Whether this system shows memory and descendants of a process as Linux does."""
MARK = "TINYGRAD_ADAM_CHECK"
"""An environment variable that descendants inherit, also those that leave the group of processes."""


class Found(NamedTuple):
    """A running process; `began` tells it from a later one of the same number, `memory` is in bytes."""

    pid: int
    began: int
    parent: int
    session: int
    threads: int
    memory: int


class Family:
    """A process, and all that it starts.

    Parameters
    ----------
    command : list of str
        The command of the first one. It gets a session of its own, and pipes for input and output.
    folder : str
        Where it runs.
    environment : mapping
        Its environment variables.
    """

    def __init__(self, command: list[str], folder: str, environment: Mapping[str, str]) -> None:
        mark = secrets.token_hex(8)
        self._mark = f"{MARK}={mark}".encode()
        self._others: set[tuple[int, int]] = set()
        self.first: subprocess.Popen[bytes] = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={**environment, MARK: mark},
            start_new_session=True,
        )

    def members(self) -> list[Found]:
        """Return all that run; on systems without ``/proc``, an empty list."""
        everyone = [found for found in _running() if (found.pid, found.began) not in self._others]
        family = {found.pid for found in everyone if self._is_member(found)}
        while grown := {found.pid for found in everyone if found.parent in family} - family:
            family |= grown
        self._others |= {(found.pid, found.began) for found in everyone if found.pid not in family}
        return [found for found in everyone if found.pid in family]

    def _is_member(self, found: Found) -> bool:
        if self.first.pid in (found.pid, found.session):
            return True
        try:
            return self._mark in PROC.joinpath(str(found.pid), "environ").read_bytes()
        except OSError:  # another user's, or it has ended
            return False

    def end(self) -> None:
        """Kill them all, and wait until they are gone."""
        deadline = time.monotonic() + 10
        if hasattr(os, "killpg"):
            with contextlib.suppress(OSError):
                os.killpg(self.first.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            self.first.kill()
        while (members := self.members()) and time.monotonic() < deadline:
            for found in members:
                with contextlib.suppress(OSError):
                    os.kill(found.pid, signal.SIGKILL)
        self.first.wait()


def _running() -> Iterator[Found]:
    """Yield the processes of the machine that have not ended."""
    for entry in os.listdir(PROC) if WATCHED else ():
        if not entry.isdigit():
            continue
        try:
            stat = PROC.joinpath(entry, "stat").read_bytes()
        except OSError:  # it has ended meanwhile
            continue
        fields = stat[stat.rindex(b")") + 2 :].split()  # the name before it may contain anything
        if fields[0] not in (b"Z", b"X"):
            parent, session, threads, began, pages = (int(fields[i]) for i in (1, 3, 17, 19, 21))
            yield Found(int(entry), began, parent, session, threads, pages * os.sysconf("SC_PAGE_SIZE"))
