"""The chapters as notebooks: for students with scaffolds, for instructors with answers.

The cells of exercises carry nbgrader's metadata. In an instructor's notebook, the answer is between its marks
``### BEGIN SOLUTION`` and ``### END SOLUTION``; when nbgrader releases it, nothing between them remains.
"""

from __future__ import annotations

import ast
import shutil
import textwrap
from pathlib import Path
from typing import Any

from ..errors import OptionError, optional
from .chapters import Cell, Chapter, read_chapter
from .exercise import Exercise
from .exercises import EXERCISES
from .scripts import chapter_files, examples_folder

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def write_course(folder: Path, instructor: bool = False) -> list[Path]:
    """Write the course into a new folder: a notebook for each chapter, and the examples.

    Parameters
    ----------
    folder : Path
        The folder; it does not exist yet, or is empty.
    instructor : bool, optional
        Write the answers, too.

    Returns
    -------
    list of Path
        The notebooks.

    Raises
    ------
    OptionError
        If the folder exists, or if a package of the extra ``course`` is missing.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise OptionError("course", "the folder exists; name a new one", folder=folder)
    notebooks = write_notebooks(folder, instructor)
    answers = () if instructor else ("exercises",)  # these scripts contain right answers
    shutil.copytree(
        examples_folder(),
        folder / "examples",
        ignore=shutil.ignore_patterns("tutorial", "__pycache__", *answers),
    )
    return notebooks


def write_notebooks(folder: Path, instructor: bool = False) -> list[Path]:
    """Write a notebook for each chapter into a folder, and return their paths."""
    with optional("course", "course"):
        import nbformat
    notebooks = {file.stem: notebook(read_chapter(file), instructor) for file in chapter_files()}
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, content in notebooks.items():
        paths.append(folder / f"{name}.ipynb")
        nbformat.write(content, paths[-1])
    return paths


def notebook(chapter: Chapter, instructor: bool) -> Any:
    """Return a chapter as a notebook of nbformat."""
    from nbformat import v4

    cells = [_cell(cell, f"cell-{place}") for place, cell in enumerate(chapter.body, 1)]
    cells.append(_cell(Cell("code", "from tinygrad_adam import course"), "graders"))
    for number, question in chapter.questions.items():
        if number not in EXERCISES:
            continue
        exercise = EXERCISES[number]
        cells.extend(_exercise(exercise, question, chapter.solutions[number] if instructor else None))
    return v4.new_notebook(cells=cells, metadata={**METADATA, "tinygrad_adam": {"chapter": chapter.name}})


def _cell(cell: Cell, name: str, **nbgrader: Any) -> Any:
    """Return a cell of nbformat; its name is the same each time, so that notebooks can be compared."""
    from nbformat import v4

    new = v4.new_markdown_cell if cell.kind == "markdown" else v4.new_code_cell
    if nbgrader:
        marks = {"grade_id": name, "schema_version": 3, "cell_type": cell.kind, "task": False, **nbgrader}
        return new(cell.source, id=name, metadata={"nbgrader": marks})
    return new(cell.source, id=name)


def _exercise(exercise: Exercise, question: str, solution: list[Cell] | None) -> list[Any]:
    """Return the cells of an exercise: the question, the place for the answer, and the test of nbgrader."""
    name, arguments = exercise.number.replace(".", "-"), ", ".join([f'"{exercise.number}"', *exercise.asks])
    question = f"### Exercise {exercise.number}\n\n{question}"
    answer = exercise.scaffold
    if solution is not None:
        answer = marked_answer(exercise.scaffold, solution)
        if answer.startswith(BEGIN):  # nothing of the scaffold remains when it is released
            question += f"\n\nBegin with:\n\n```python\n{exercise.scaffold.strip()}\n```"
    return [
        _cell(Cell("markdown", question), f"question-{name}"),
        _cell(
            Cell("code", f"{answer.strip()}\n\n\ncourse.grade({arguments})"),
            f"exercise-{name}", grade=False, solution=True, locked=False,
        ),
        _cell(
            Cell("code", f"course.require({arguments})"),
            f"test-{name}", grade=True, solution=False, locked=True, points=1,
        ),
    ]  # fmt: skip


def marked_answer(scaffold: str, solution: list[Cell]) -> str:
    """Return the code of a solution between nbgrader's marks.

    If it begins with the function of the scaffold, the first mark is inside that function: its head and
    docstring remain when the notebook is released. Texts become comments.
    """
    comments = "\n\n".join(_commented(cell) for cell in solution)
    head, shown = _head(scaffold)
    first = next(cell.source for cell in solution if cell.kind == "code")
    if head and first.startswith(head):
        before, _, after = comments.partition(head)
        return f"{shown}    {BEGIN}\n{textwrap.indent(before.rstrip(), '    ')}\n{after}\n{END}"
    return f"{BEGIN}\n{comments}\n{END}"


def _commented(cell: Cell) -> str:
    if cell.kind == "code":
        return cell.source
    lines = (textwrap.wrap(line, 100) or [""] for line in cell.source.splitlines())
    return "\n".join(f"# {part}".rstrip() for line in lines for part in line)


def _head(scaffold: str) -> tuple[str, str]:
    """Return the head of the only function in a scaffold, without and with its docstring, or empty texts."""
    function, *others = ast.parse(scaffold).body
    lines = scaffold.splitlines(keepends=True)
    if others or not isinstance(function, ast.FunctionDef) or function.decorator_list:
        return "", ""
    return "".join(lines[: function.body[0].lineno - 1]), "".join(lines[: function.body[-1].lineno - 1])
