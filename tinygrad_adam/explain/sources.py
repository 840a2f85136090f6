"""Which line of the user's program called an operation."""

from __future__ import annotations

import linecache
import os
import sys
from typing import NamedTuple

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
COMMANDS = os.path.join(PACKAGE, "cli") + os.sep


class Source(NamedTuple):
    """A line of a program.

    Attributes
    ----------
    file : str
        Its path.
    line : int
        The number of the line, from 1.
    """

    file: str
    line: int

    @property
    def text(self) -> str:
        """What stands there, or nothing if the file cannot be read."""
        return linecache.getline(self.file, self.line).strip()

    def __str__(self) -> str:
        path = os.path.relpath(self.file) if os.path.isabs(self.file) else self.file
        if path.startswith(os.pardir):
            path = os.path.basename(path)
        return f"{path}:{self.line}" + (f": {self.text}" if self.text else "")


def calling_line() -> Source | None:
    """Return the line outside this package that led here, or None if the command line did."""
    frame, inside = sys._getframe(1), ""
    while frame.f_code.co_filename.startswith(PACKAGE):
        inside = frame.f_code.co_filename
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return None if inside.startswith(COMMANDS) else Source(frame.f_code.co_filename, frame.f_lineno)
