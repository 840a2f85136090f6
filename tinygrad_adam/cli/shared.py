"""What the commands share: how they speak, and how they read options."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import OptionError
from ..values import read_value

try:
    import typer
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
except ImportError:
    sys.exit('the command line needs some packages more: pip install "tinygrad-adam[cli]"')

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


def new_folder(command: str, path: Path) -> Path:
    """Return a folder that does not exist or is empty, or refuse it."""
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise OptionError(command, "the folder exists; choose another with --out", folder=path)
    return path
