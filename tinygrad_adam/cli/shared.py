"""What the commands share: how they speak, and how they read options."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..errors import OptionError
from ..values import read_value

if TYPE_CHECKING:
    from ..training import RunConfig

if not os.environ.get("COLUMNS", "").strip("0"):
    os.environ.pop("COLUMNS", None)  # rich would take 0 for no room at all, and print nothing

console = Console(highlight=False)


def say(text: str, style: str | None = None) -> None:
    """Print a text as it is: unbroken, and brackets and colons in paths and commands without a meaning."""
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


def counted(number: int, thing: str) -> str:
    """Say how many: 1 seed, 3 seeds."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def read_settings(option: str, pairs: list[str], **others: float | None) -> dict[str, Any]:
    """Read ``name=value`` pairs; a value is a number, a truth value, a word, or numbers with commas."""
    settings: dict[str, Any] = {name: value for name, value in others.items() if value is not None}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        example = "name=value, as in lr=0.01, betas=0.9,0.99 or amsgrad=True"
        settings[name] = read_value(option, text, pair, example)
        if not sign:
            raise OptionError(option, "write name=value", got=pair)
    return settings


def given(context: typer.Context) -> set[str]:
    """Return the options that were written on the command line."""
    sources = [(p.opts[0], context.get_parameter_source(p.name or "")) for p in context.command.params]
    return {option for option, source in sources if source is not None and source.name == "COMMANDLINE"}


def check_resumed(context: typer.Context, thing: str, *allowed: str) -> None:
    """Refuse options that a thing that goes on as it was set up does not take."""
    others = given(context) - {"--resume", *allowed}
    if others:
        raise OptionError(
            "--resume", f"a {thing} goes on as it was set up; leave out the other options",
            given=", ".join(sorted(others)),
        )  # fmt: skip


@contextlib.contextmanager
def results_folder(command: str, path: Path | None, config: RunConfig) -> Iterator[Path]:
    """Give a folder for results inside a ``with`` block: `path`, or a new one in ``runs/``.

    No other command has it. If nothing was put into it, it is gone afterwards.
    """
    from ..training.run import default_name, new_folder

    folder = path or new_folder(default_name(f"{command}-", config))
    if path is not None:
        try:
            path.mkdir(parents=True)
        except FileExistsError as error:
            if not path.is_dir() or any(path.iterdir()):
                raise OptionError(
                    command, "the folder exists; choose another with --out", folder=path
                ) from error
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):  # it holds something
            folder.rmdir()


@contextlib.contextmanager
def picture_file(command: str, path: Path | None, name: str) -> Iterator[Path]:
    """Give a path for a picture inside a ``with`` block: `path`, as PNG if it has no ending, or a new one."""
    from ..training.run import new_file

    if path is not None and not path.suffix:
        path = path.with_name(f"{path.name}.png")
    if path is not None and path.exists():
        raise OptionError(command, "the file exists; choose another with --out", file=path)
    file = path or new_file(name, ".png")
    try:
        yield file
    finally:
        if path is None and not file.stat().st_size:
            file.unlink()
