"""The chapters of the course in parts: definitions, exercises, and the code of the solutions."""

import ast
import contextlib
import io
import re
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "examples" / "tutorial"
CHAPTERS = {int(path.name[:2]): path for path in sorted(FOLDER.glob("[0-9]*.py"))}


@cache
def parts(chapter):
    """Return the text of a chapter, of its exercises, and of its solutions."""
    text, exercises = CHAPTERS[chapter].read_text("utf-8").split("# Exercises\n# ---------\n")
    return text, *exercises.split("# Solutions\n# ---------\n")


def asked():
    """Return the numbers of all exercises in the chapters."""
    return [f"{n}.{each}" for n in CHAPTERS for each in re.findall(r"^# (\d)\. ", parts(n)[1], re.MULTILINE)]


def exercise_text(number):
    """Return the text of an exercise as one line."""
    chapter, each = number.split(".")
    found = re.search(
        rf"^# {each}\. (.*?)(?=^# \d\. |^# %%|\Z)", parts(int(chapter))[1], re.MULTILINE | re.DOTALL
    )
    return re.sub(r"\s+#?\s*", " ", found[1])


def solution(number):
    """Return the first cell of code after the solution's number."""
    chapter, each = number.split(".")
    text = parts(int(chapter))[2].split(f"# **{each}.** ")[1].split("# %%")[0]
    return re.sub(r"\A.*\n(?:#.*\n)*", "", text)


@cache
def _definitions(chapter):
    """Compile the imports, functions and classes of a chapter, and nothing that computes."""
    tree = ast.parse(parts(chapter)[0])
    kinds = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef
    tree.body = [node for node in tree.body if isinstance(node, kinds)]
    return compile(tree, CHAPTERS[chapter], "exec")


def names_after(number, code):
    """Return the names of a notebook that has the chapter's definitions and one cell more."""
    names = {"__name__": "notebook"}
    exec(_definitions(int(number.split(".")[0])), names)
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code, names)
    return names
