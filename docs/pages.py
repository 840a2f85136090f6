"""Run the code of the pages, and write the output of each block below it.

    python docs/pages.py [PAGE ...]     # all pages by default

A page is a program. Its Python blocks run from the top in one namespace and in an empty folder, and the
indented lines below a block are its output; tests/docs/test_pages.py checks this for every page. A word after
``python`` marks a special block: the output of ``measured`` blocks depends on the machine, and the test skips
them; ``torch`` blocks run only if PyTorch is installed.
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
"""The module that draws the pictures of a page, from the variables that its blocks define."""

BLOCK = re.compile(
    r"^```python(?: (measured|torch))?\n((?:(?!```).*\n)+)```\n(?:\n((?: {4}.*\n|\n(?= {4}))+))?",
    re.MULTILINE,
)
FILE = "train.py"
"""The file name of a page's program, in tracebacks and in output that names a line."""
HAS_TORCH = importlib.util.find_spec("torch") is not None


def run(page: str, measured: bool = True) -> tuple[str, dict[str, Any]]:
    """Return the page with the current output of its blocks, and the variables that they define.

    Blocks that cannot run here are left unchanged, and so are ``measured`` blocks unless `measured` is true.
    Seeds and other settings made by the blocks do not outlast the call.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    context = contextvars.copy_context()
    program: list[str] = []  # the lines so far, shown by tracebacks and by output that quotes a line

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
    """Run a page, rewrite its file, and draw its pictures."""
    text, names = run(path.read_text("utf-8"))
    path.write_text(text, "utf-8")
    module = PICTURES.get(path.relative_to(ROOT).as_posix())
    if module is not None:
        importlib.import_module(module).draw(names, ROOT / "docs" / "images")


if __name__ == "__main__":
    for page in [Path(name).resolve() for name in sys.argv[1:]] or PAGES:
        print(os.path.relpath(page), flush=True)
        write(page)
