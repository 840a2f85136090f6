"""A chapter of the course, taken apart: its text and code, its exercises, and their solutions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError, optional
from .markdown import markdown

EXERCISES, SOLUTIONS = "Exercises\n---------\n", "Solutions\n---------\n"


@dataclass(frozen=True)
class Cell:
    """A text (``kind`` is ``"markdown"``) or a piece of Python (``"code"``)."""

    kind: str
    source: str


@dataclass(frozen=True)
class Chapter:
    """A chapter of the course; all text is Markdown.

    Attributes
    ----------
    name : str
        The name of its script, such as ``"07_adam"``.
    body : list of Cell
        The chapter, up to the heading of its exercises.
    questions : dict of str to str
        The text of each exercise by number, such as ``"7.1"``.
    solutions : dict of str to list of Cell
        The solution of each exercise by number.
    """

    name: str
    body: list[Cell]
    questions: dict[str, str]
    solutions: dict[str, list[Cell]]


def read_chapter(file: Path) -> Chapter:
    """Return the chapter of a script.

    Raises
    ------
    DataError
        If the script does not end with a list of exercises and a solution for each, or if the markup of a
        text is wrong.
    """
    number, cells = int(file.stem[:2]), _cells(file)
    ends = [place for place, cell in enumerate(cells) if EXERCISES in cell.source]
    starts = [place for place, cell in enumerate(cells) if cell.source.startswith(SOLUTIONS)]
    if not ends or starts != [ends[0] + 1]:
        raise DataError("course", "a chapter ends with Exercises, then Solutions", chapter=file.name)
    last, listed = re.split(r"^(?=1\. )", cells[ends[0]].source, maxsplit=1, flags=re.MULTILINE)
    title, *body = [*cells[: ends[0]], Cell("markdown", last)]
    first = Cell("markdown", cells[starts[0]].source.removeprefix(SOLUTIONS))
    chapter = Chapter(
        file.stem,
        [_in_markdown(title, 1), *(_in_markdown(cell, 2) for cell in body)],
        _questions(number, listed),
        _solutions(number, [first, *cells[starts[0] + 1 :]]),
    )
    if [*chapter.questions] != [*chapter.solutions]:
        raise DataError(
            "course",
            "a chapter needs a solution for each exercise",
            chapter=file.name,
            exercises=[*chapter.questions],
            solutions=[*chapter.solutions],
        )
    return chapter


def _cells(file: Path) -> list[Cell]:
    """Return the cells of a script as jupytext reads them; texts are in reStructuredText."""
    with optional("course", "course"):
        import jupytext
    # Jupytext knows only the older of sphinx-gallery's two marks for the beginning of a text.
    marked = re.sub(r"^# %%$", "#" * 79, file.read_text("utf-8"), flags=re.MULTILINE)
    notebook: Any = jupytext.reads(marked, "py:sphinx")
    _, *cells = notebook.cells  # jupytext begins with %matplotlib inline, which Jupyter does by itself
    return [Cell(cell.cell_type, cell.source.strip("\n")) for cell in cells]


def _in_markdown(cell: Cell, level: int) -> Cell:
    return cell if cell.kind == "code" else Cell(cell.kind, markdown(cell.source, level))


def _questions(chapter: int, listed: str) -> dict[str, str]:
    """Return the text of each exercise from a numbered list."""
    _, *parts = re.split(r"^(\d+)\. ", listed, flags=re.MULTILINE)
    texts = (re.sub(r"^ +", "", text, flags=re.MULTILINE) for text in parts[1::2])
    return {f"{chapter}.{n}": markdown(text) for n, text in zip(parts[::2], texts, strict=True)}


def _solutions(chapter: int, cells: list[Cell]) -> dict[str, list[Cell]]:
    """Return the cells of each solution; the first one begins with the number, as in ``**1.**``."""
    solutions: dict[str, list[Cell]] = {}
    for cell in cells:
        if number := re.match(r"\*\*(\d+)\.\*\* *", cell.source):
            solutions[f"{chapter}.{number[1]}"] = []
            cell = Cell(cell.kind, cell.source[number.end() :])
        [*solutions.values()][-1].append(_in_markdown(cell, 4))
    return solutions
