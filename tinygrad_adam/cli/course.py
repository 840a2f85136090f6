"""The command that writes the course as notebooks, and checks the notebooks that students hand in."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from ..errors import OptionError
from ..files.text import counted
from .shared import console, say, say_table


def course(
    folder: Annotated[
        Path,
        typer.Argument(
            help="A new folder for the notebooks; with --check, the folder that holds the students'.",
            show_default=False,
        ),
    ],
    instructor: Annotated[bool, typer.Option("--instructor", help="With the answers.")] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Run and grade STUDENT/NOTEBOOK.ipynb and STUDENT.ipynb instead; needs no network.",
        ),
    ] = False,
) -> None:
    """Write the course as notebooks: ten chapters with exercises that grade themselves.

    The cells carry nbgrader's metadata. A notebook for instructors contains the answers; nbgrader removes
    them when it releases it to students.

    With --check, run the notebooks of a class, each in a process of its own whose time and memory are
    bounded, and leave a table beside the folder: student, exercise, passed, and the grader's sentence.
    """
    if check and instructor:
        raise OptionError("course", "choose either --check or --instructor")
    if check:
        _check(folder)
        return
    from ..course.notebooks import write_course

    notebooks = write_course(folder, instructor)
    first, last = notebooks[0].name, notebooks[-1].name
    say(f"{folder} holds {len(notebooks)} notebooks, {first} to {last}, and the examples.")


def _check(folder: Path) -> None:
    """Grade the notebooks in a folder; after Ctrl-C, keep the rows of those that are done."""
    from ..course.checking import Row, check, in_order
    from ..course.processes import WATCHED
    from ..course.submissions import read_submissions
    from ..course.tables import by_exercise, table_file, visible, write_table

    submissions, file = read_submissions(folder), table_file(folder)
    total, rows, stopped = len(submissions), list[Row](), False
    if not WATCHED:
        say("This system bounds the time of a notebook only, not its memory and its processes.")
    try:
        with closing(check(submissions)) as results:
            for done, found in enumerate(results, 1):
                rows += found
                passed = f"{sum(row.passed for row in found)} of {len(found)} passed"
                what = found[0].kind if found[0].exercise == "all" else passed
                say(f"{done:>{len(str(total))}}/{total}  {visible(found[0].file)}: {what}")
    except KeyboardInterrupt:
        stopped = True
    rows = in_order(rows)
    write_table(rows, file)
    shown = [
        (_cut(visible(row.student)), row.exercise, "yes" if row.passed else "no", visible(row.sentence))
        for row in rows
    ]
    say("")
    say_table(("student", "exercise", "passed", "sentence"), shown, wrapped="sentence")
    say("")
    say_table(
        ("exercise", "passed", "most common mistakes"), by_exercise(rows), wrapped="most common mistakes"
    )
    say(f"\n{file} holds the table: {counted(len(rows), 'row')}.")
    if stopped:
        say(f"Stopped; {counted(len({row.file for row in rows}), 'notebook')} of {total} are in it.")
        raise typer.Exit(130)


def _cut(name: str) -> str:
    """Return a name that takes at most a quarter of the line; the file has all of it."""
    room = console.width // 4
    return name if len(name) <= room else f"{name[: room - 1]}…"
