"""Run the code of docs/promises.md, write what it prints into the page, and draw the pictures.

    python docs/promises.py

The page is the program: its blocks of Python are run from the top in one namespace, and the indented lines
below a block are what it printed. Blocks that begin with the word "measured" depend on the machine.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_suffix(".md")
BLOCK = re.compile(r"^```python( measured)?\n((?:(?!```).*\n)+)```\n(?:\n((?: {4}.*\n)+))?", re.MULTILINE)


def run(page: str, measured: bool = True) -> tuple[str, dict[str, Any]]:
    """Return the page with what its blocks print now, and the names that they leave.

    Blocks that measure the machine are left as they are unless `measured`.
    """
    names: dict[str, Any] = {}

    def rerun(block: re.Match[str]) -> str:
        measures, code, _ = block.groups()
        if measures and not measured:
            return block[0]
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, f"{PAGE.name}: {code.splitlines()[0]}", "exec"), names)
        lines = [f"    {line}".rstrip() + "\n" for line in printed.getvalue().splitlines()]
        fence = f"```python{measures or ''}\n{code}```\n"
        return fence + ("\n" + "".join(lines) if lines else "")

    return BLOCK.sub(rerun, page), names


if __name__ == "__main__":
    sys.path.insert(0, str(PAGE.parent))
    text, names = run(PAGE.read_text("utf-8"))
    PAGE.write_text(text, "utf-8")
    from promises_pictures import draw  # matplotlib is needed for the pictures only

    draw(names, PAGE.parent / "images")
