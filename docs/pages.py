"""Run the code of the pages, and write below each block what it prints.

    python docs/pages.py [PAGE ...]     # all of them, if none is named

A page is a program. Its blocks of Python run from the top in one namespace and in an empty folder, and the
indented lines below a block are what it printed; tests/docs/test_pages.py holds every page to that. A word
behind ``python`` says more of a block: ``measured`` depends on the machine, and the test leaves it out;
``torch`` needs PyTorch, and runs where that is installed.
"""

from __future__ import annotations

import contextlib
import contextvars
import importlib
import importlib.util
import io
import linecache
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    path
    for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    if not {"tutorial", "generated"} & set(path.relative_to(ROOT).parts)
    and "```python" in path.read_text("utf-8")
)
PICTURES = {"docs/promises.md": "promises_pictures"} | {
    f"docs/explanation/{page}.md": "explanation_pictures"
    for page in ("corrections", "eps", "larger-steps", "schedules")
}
"""Which module draws the pictures of a page, from the names that its blocks leave."""

BLOCK = re.compile(
    r"^```python(?: (measured|torch))?\n((?:(?!```).*\n)+)```\n(?:\n((?: {4}.*\n|\n(?= {4}))+))?",
    re.MULTILINE,
)
FILE = "train.py"
"""What the program of a page is called where a line of it is shown."""
HAS_TORCH = importlib.util.find_spec("torch") is not None


def run(page: str, measured: bool = True) -> tuple[str, dict[str, Any]]:
    """Return the page with what its blocks print now, and the names that they leave.

    Blocks that cannot run here are left as they are, and so are those that measure the machine unless
    `measured`. Seeds and other settings of the blocks end with them.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    context = contextvars.copy_context()
    program: list[str] = []  # the lines so far, which tracebacks and the package's own pages show

    def rerun(block: re.Match[str]) -> str:
        kind, code, _ = block.groups()
        if (kind == "measured" and not measured) or (kind == "torch" and not HAS_TORCH):
            return block[0]
        compiled = compile("\n" * len(program) + code, FILE, "exec")
        program.extend(code.splitlines(keepends=True))
        linecache.cache[FILE] = (sum(map(len, program)), None, program, FILE)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            context.run(exec, compiled, names)
        lines = [f"    {line}".rstrip() + "\n" for line in printed.getvalue().rstrip().splitlines()]
        fence = f"```python{f' {kind}' if kind else ''}\n{code}```\n"
        return fence + ("\n" + "".join(lines) if lines else "")

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        return BLOCK.sub(rerun, page), names


def write(path: Path) -> None:
    """Run a page, write it anew, and draw its pictures."""
    text, names = run(path.read_text("utf-8"))
    path.write_text(text, "utf-8")
    module = PICTURES.get(path.relative_to(ROOT).as_posix())
    if module is not None:
        importlib.import_module(module).draw(names, ROOT / "docs" / "images")


if __name__ == "__main__":
    for page in [Path(name).resolve() for name in sys.argv[1:]] or PAGES:
        print(os.path.relpath(page), flush=True)
        write(page)
