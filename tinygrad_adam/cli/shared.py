"""The output of the commands: printed lines, and the folders and files for their results."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..errors import OptionError

if TYPE_CHECKING:
    from ..training import Experiment, RunConfig

if not os.environ.get("COLUMNS", "").strip("0"):
    os.environ.pop("COLUMNS", None)  # rich would take 0 for no room at all, and print nothing

console = Console(highlight=False)


def say(text: str, style: str | None = None) -> None:
    """Print a text on unbroken lines; brackets and colons in paths and commands have no meaning."""
    console.print(text, style=style, markup=False, emoji=False, soft_wrap=True)


def say_table(columns: Sequence[str], rows: Sequence[Sequence[str]], wrapped: str = "") -> None:
    """Print a table; only the column named is wrapped, if it gets too little room."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in columns:
        heading = column if column == wrapped else column.replace(" ", "\n")  # narrow, above narrow cells
        table.add_column(heading, no_wrap=column != wrapped, vertical="top", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def described(experiment: Experiment) -> str:
    """Return the model and the data set of an experiment in a few words."""
    count, config = experiment.trainer.model.parameter_count(), experiment.config
    return f"{config.model} ({count:,} parameters) on {config.data}"


def trouble(status: str, error: str) -> str:
    """Return in a few words how a training ended that did not end well."""
    return "the loss diverged" if status == "diverged" else f"{status}: {error.splitlines()[0]}"


@contextlib.contextmanager
def results_folder(
    command: str, out: Path | None, resumed: Path | None, config: RunConfig, more: str = ""
) -> Iterator[Path]:
    """Give a folder for results inside a ``with`` block: the resumed one, `out`, or a new one in ``runs/``.

    No other command uses it. If it is still empty at the end, it is removed. After Ctrl-C, the command that
    goes on is shown, with `more` options.
    """
    from ..training.run import default_name, new_path

    folder = resumed or out or new_path(default_name(f"{command}-", config))
    if out is not None:
        try:
            out.mkdir(parents=True)
        except FileExistsError as error:
            if not out.is_dir() or any(out.iterdir()):
                raise OptionError(
                    command, "the folder exists; choose another with --out", folder=out
                ) from error
    try:
        yield folder
    except KeyboardInterrupt:
        say("\nStopped; the trainings that ended are kept. Go on with:")
        say(f"  tinygrad-adam {command} --resume {shlex.quote(str(folder))}{more}")
        raise typer.Exit(130) from None
    finally:
        with contextlib.suppress(OSError):  # it holds something
            folder.rmdir()


@contextlib.contextmanager
def picture_file(command: str, path: Path | None, name: str) -> Iterator[Path]:
    """Give a path for a picture inside a ``with`` block: `path`, as PNG if it has no ending, or a new one."""
    from ..training.run import new_path

    if path is not None and not path.suffix:
        path = path.with_name(f"{path.name}.png")
    if path is not None and path.exists():
        raise OptionError(command, "the file exists; choose another with --out", file=path)
    file = path or new_path(name, ".png")
    try:
        yield file
    finally:
        if path is None and not file.stat().st_size:
            file.unlink()
