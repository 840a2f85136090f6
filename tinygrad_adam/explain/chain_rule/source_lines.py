"""The line of the user's program that called an operation."""

from __future__ import annotations

import linecache
import os
import sys
from pathlib import Path
from typing import NamedTuple

from ...files.cells import cell_of

PACKAGE = str(Path(__file__).resolve().parents[2]) + os.sep
COMMANDS = os.path.join(PACKAGE, "cli") + os.sep
LONGEST = 90
"""Characters of a line that are shown."""


class SourceLine(NamedTuple):
    """A line of source: the innermost one outside this package when an operation ran.

    Attributes
    ----------
    file : str
        The file's name as Python knows it.
    number : int
        From 1.
    function : str
        The function that the line is part of.
    """

    file: str
    number: int
    function: str

    @property
    def text(self) -> str:
        """The line itself, or nothing if the source is not at hand."""
        return linecache.getline(self.file, self.number).strip()

    @property
    def place(self) -> str:
        """The line's place without its text: a file and a number, or a cell of a notebook and a number."""
        cell = cell_of(self.file)
        if cell is not None:
            return f"cell {cell}, line {self.number}"
        path = os.path.relpath(self.file) if os.path.isabs(self.file) else self.file
        if path.startswith(os.pardir):
            path = os.path.basename(path)
        return f"{path}:{self.number}"

    def __str__(self) -> str:
        text = self.text
        if len(text) > LONGEST:
            text = text[: LONGEST - 3] + "..."
        return self.place + (f": {text}" if text else "")


def users_line() -> SourceLine | None:
    """Return the innermost line outside this package, or None if it belongs to the command line's library."""
    frame, inside = sys._getframe(1), ""
    while frame.f_code.co_filename.startswith(PACKAGE):
        inside = frame.f_code.co_filename
        if frame.f_back is None:
            return None
        frame = frame.f_back
    if inside.startswith(COMMANDS):
        return None
    return SourceLine(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
