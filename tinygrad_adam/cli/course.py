"""The command that writes the course as notebooks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .shared import say


def course(
    folder: Annotated[Path, typer.Argument(help="A new folder for the notebooks.", show_default=False)],
    instructor: Annotated[bool, typer.Option("--instructor", help="With the answers.")] = False,
) -> None:
    """Write the course as notebooks: ten chapters with exercises that grade themselves.

    The cells carry nbgrader's metadata. A notebook for instructors contains the answers; nbgrader removes
    them when it releases it to students.
    """
    from ..course.notebooks import write_course

    notebooks = write_course(folder, instructor)
    first, last = notebooks[0].name, notebooks[-1].name
    say(f"{folder} holds {len(notebooks)} notebooks, {first} to {last}, and the examples.")
