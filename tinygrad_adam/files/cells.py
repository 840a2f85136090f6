"""The notebook that the program runs in, if there is one: its kernel, and the numbers of its cells.

IPython is never imported here: where it runs, it has been imported already.
"""

from __future__ import annotations

import re
import sys
from typing import Any

OLD_NAME = re.compile(r"<ipython-input-(\d+)-")
"""The names of files for IPython's terminal, which hold the number of the cell."""


def shell() -> Any:
    """Return the IPython that runs the program, or None."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def in_kernel() -> bool:
    """Return whether the program runs in a kernel, so that a notebook can show more than text."""
    return getattr(shell(), "kernel", None) is not None


def cell_of(file: str) -> int | None:
    """Return the number of the cell that Python knows as `file`, or None if it is none.

    A cell that ran again unchanged has the number of its last execution.
    """
    known = getattr(getattr(shell(), "compile", None), "_filename_map", {})
    if file in known:
        return int(known[file])
    old = OLD_NAME.match(file)
    return None if old is None else int(old[1])
