"""The submissions of a class: the notebooks in a folder, read as data; nothing of them runs here."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataError
from .exercises import EXERCISES

LARGEST = 100 * 2**20
"""Bytes of the largest notebook that is read."""
NOT_STUDENTS = ("__MACOSX", "__pycache__")
"""Folders that unpacking and Python leave; those that begin with a dot are passed over, too."""
TOO_LONG = "{} runs longer than {:g} seconds{}: is there a loop that never ends?"


class Verdict(NamedTuple):
    """Whether an answer is right, the kind of the mistake, and the sentence."""

    passed: bool
    kind: str
    sentence: str


@dataclass(frozen=True)
class Cell:
    """A code cell: its text, and a name for sentences about it."""

    name: str
    source: str


@dataclass(frozen=True)
class Submission:
    """A student's notebook, or the reason why there is none to run.

    Attributes
    ----------
    student : str
        The first part of the path within the folder, without ``.ipynb``.
    file : str
        The path within the folder.
    problem : str
        A sentence if the file is no notebook of this course, else empty.
    cells : tuple of Cell
        The code cells, in order.
    places : dict of str to tuple of int
        By number, the cells of each exercise: one, or several if the student copied it.
    lost : dict of str to str
        By number, a sentence for each exercise of the chapter that has no cell any more.
    """

    student: str
    file: str
    problem: str = ""
    cells: tuple[Cell, ...] = ()
    places: dict[str, tuple[int, ...]] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)


def read_submissions(folder: Path) -> list[Submission]:
    """Return the submissions in a folder, in the order of the students' names.

    A student is a folder (with notebooks in it, at any depth) or a notebook.

    Raises
    ------
    DataError
        If there is no such folder, or nothing in it.
    """
    if not folder.is_dir():
        problem = (
            "this is a file; name the folder that holds it" if folder.exists() else "there is no such folder"
        )
        raise DataError("course --check", problem, folder=folder)
    found = [
        submission
        for entry in sorted(folder.iterdir(), key=lambda entry: (entry.name.casefold(), entry.name))
        if not entry.name.startswith(".") and entry.name not in NOT_STUDENTS
        for submission in _of_student(folder, entry)
    ]
    if not found:
        raise DataError(
            "course --check",
            "the folder holds no submissions: STUDENT/NOTEBOOK.ipynb or STUDENT.ipynb",
            folder=folder,
        )
    return found


def _of_student(folder: Path, entry: Path) -> Iterator[Submission]:
    if entry.is_dir():
        files = [Path(root, name) for root, _, names in _walk(entry) for name in sorted(names)]
        notebooks = [file for file in files if file.suffix.lower() == ".ipynb"]
        for file in notebooks:
            yield _read(entry.name, file, file.relative_to(folder).as_posix())
        if not notebooks:
            names = ", ".join(file.name for file in files[:3]) or "nothing"
            yield Submission(
                entry.name, entry.name, f"there is no notebook (.ipynb) in this folder; it holds {names}."
            )
    elif entry.suffix.lower() == ".ipynb":
        yield _read(entry.stem, entry, entry.name)


def _walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in NOT_STUDENTS)
        yield root, folders, [name for name in names if not name.startswith(".")]


def _read(student: str, file: Path, shown: str) -> Submission:
    """Read a notebook; the problem of one that cannot be read is a sentence."""
    try:
        return _submission(student, shown, _content(file))
    except DataError as error:
        return Submission(student, shown, str(error))
    except OSError as error:
        return Submission(student, shown, f"the file cannot be read: {error.strerror}.")


def _content(file: Path) -> dict[str, Any]:
    """Return the JSON of a notebook whose cells are in order.

    It is more lenient than nbformat: other programs save notebooks without ids of cells, and these are fine.
    """
    if not file.is_file():  # a pipe would never end
        raise DataError("this is no regular file.")
    if (size := file.stat().st_size) > LARGEST:
        raise DataError(
            f"the file has {size / 2**20:,.0f} MB. Clear all outputs in Jupyter, and save it again."
        )
    text = file.read_bytes()
    if not text.strip():
        raise DataError("the file is empty. Save the notebook in Jupyter, and submit it again.")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the file is no notebook, whatever its name: {_why(text, error)}.") from error
    if isinstance(content, dict) and "worksheets" in content:
        raise DataError("this notebook has a format of before 2015. Open it in Jupyter, and save it again.")
    cells = content.get("cells") if isinstance(content, dict) else None
    if not isinstance(cells, list) or not all(map(_is_cell, cells)):
        raise DataError("the file is JSON, but no notebook: it has no list of cells.")
    return content


def _why(text: bytes, error: Exception) -> str:
    if text.startswith(b"PK"):
        return "it is a zip archive. Unpack it"
    if b"<<<<<<<" in text:
        return "it contains the marks of a merge in Git"
    if isinstance(error, json.JSONDecodeError):
        return f"its JSON breaks off or is damaged in line {error.lineno} of {len(error.doc.splitlines())}"
    return "it is not JSON"


def _is_cell(cell: object) -> bool:
    if not isinstance(cell, dict) or not isinstance(cell.get("cell_type"), str):
        return False
    source = cell.get("source")
    return isinstance(source, str) or (
        isinstance(source, list) and all(isinstance(line, str) for line in source)
    )


def _submission(student: str, file: str, content: dict[str, Any]) -> Submission:
    numbers = _numbers(content)
    marked: dict[str, list[int]] = {number: [] for number in numbers}
    called: dict[str, list[int]] = {number: [] for number in numbers}
    texts: set[str] = set()
    cells: list[Cell] = []
    for cell in content["cells"]:
        source, number = "".join(cell["source"]), _number_of(cell)
        if cell["cell_type"] != "code":
            texts.add(number)
            continue
        name = f"code cell {len(cells) + 1}"
        if number in marked:
            name = f"exercise {number}"
            marked[number].append(len(cells))
        elif not _grade_id(cell).startswith("test-"):  # the tests of nbgrader call the grader, too
            for call in re.findall(r"course\.grade\(\s*[\"'](\d+\.\d+)[\"']", source):
                called.get(call, []).append(len(cells))
        cells.append(Cell(name, source))
    places = {number: tuple(marked[number] or called[number]) for number in numbers}
    lost = {
        number: f"its cell {'is text now, not code' if number in texts else 'is deleted'}. Copy the cell "
        "from the notebook that was handed out, and write the answer there."
        for number in numbers
        if not places[number]
    }
    return Submission(student, file, "", tuple(cells), {n: p for n, p in places.items() if p}, lost)


def _numbers(content: dict[str, Any]) -> list[str]:
    """Return the numbers of the exercises of the notebook's chapter."""
    chapter = _inner(content, "metadata", "tinygrad_adam").get("chapter")
    if isinstance(chapter, str) and (digits := re.match(r"\d{1,9}", chapter)):
        chapters = {str(int(digits[0]))}
    else:  # some programs drop the mark
        chapters = {number.partition(".")[0] for number in map(_number_of, content["cells"]) if number}
    numbers = [number for number in EXERCISES if number.partition(".")[0] in chapters]
    if not numbers:
        raise DataError(
            "this is a notebook, but not one of this course: no cell is the place of an exercise."
        )
    return numbers


def _number_of(cell: dict[str, Any]) -> str:
    """Return the number of the exercise whose cell it is, or an empty text."""
    number = _grade_id(cell).removeprefix("exercise-").replace("-", ".")
    return number if number in EXERCISES else ""


def _grade_id(cell: dict[str, Any]) -> str:
    return str(_inner(cell, "metadata", "nbgrader").get("grade_id", ""))


def _inner(content: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Return a dictionary within dictionaries, or an empty one."""
    for key in keys:
        found = content.get(key)
        content = found if isinstance(found, dict) else {}
    return content
