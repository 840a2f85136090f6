"""The chapters as notebooks: for students with scaffolds, for instructors with answers.

The cells of exercises carry nbgrader's metadata. In an instructor's notebook, the answer is between its marks
``### BEGIN SOLUTION`` and ``### END SOLUTION``; when nbgrader releases it, nothing between them remains.
"""

from __future__ import annotations

import ast
import re
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
        ignore=shutil.ignore_patterns("tutorial", "notebooks", "__pycache__", *answers),
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
        if answer.startswith(BEGIN):  # nothing of the scaffold remains when nbgrader releases it
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
    """Return the code of a solution between nbgrader's marks; texts become comments.

    If it begins with the functions of the scaffold, the marks are inside them: their heads and docstrings
    remain when the notebook is released.
    """
    text, heads = _commented(solution), _heads(scaffold)
    functions = "(.*?)".join(re.escape(bare) for _, bare in heads)
    found = re.fullmatch(rf"((?:#[^\n]*\n)*){functions}(.*)", text, re.DOTALL)
    if not heads or not found:
        return f"{BEGIN}\n{text}\n{END}"
    comments, *bodies = found.groups()
    bodies[0] = textwrap.indent(comments, "    ") + bodies[0]
    regions = (
        f"{shown}    {BEGIN}\n{body.rstrip()}\n" for (shown, _), body in zip(heads, bodies, strict=True)
    )
    return f"    {END}\n\n\n".join(regions) + END


def _commented(cells: list[Cell]) -> str:
    """Return cells as one piece of code."""
    code = ""
    for cell in cells:
        if cell.kind == "code":
            code += f"{cell.source}\n\n\n"
        else:
            lines = (textwrap.wrap(line, 100) or [""] for line in cell.source.splitlines())
            code += "".join(f"# {part}".rstrip() + "\n" for line in lines for part in line)
    return code.rstrip()


def _heads(scaffold: str) -> list[tuple[str, str]]:
    """Return the beginning of each function in a scaffold, with and without its docstring.

    The list is empty if the scaffold contains anything else.
    """
    lines, heads = scaffold.splitlines(keepends=True), []
    for function in ast.parse(scaffold).body:
        if not isinstance(function, ast.FunctionDef) or function.decorator_list:
            return []
        docstring, *_, last = function.body
        first, end = function.lineno - 1, last.lineno - 1
        bare = [*lines[first : docstring.lineno - 1], *lines[docstring.end_lineno : end]]
        heads.append(("".join(lines[first:end]), "".join(bare)))
    return heads
