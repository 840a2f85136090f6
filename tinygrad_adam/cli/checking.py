"""The command that tells whether everything holds on a device, and how fast it is there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ..files.writing import check_writable
from . import options
from .shared import console, say

ROOM = 24
"""Columns that must be left to say where the largest error is."""
STYLES = {"ok": "green", "FAILED": "bold red", "left out": "dim"}


def selfcheck(
    device: options.Device = "auto",
    quick: Annotated[bool, typer.Option("--quick", help="Train less, and measure no speed.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for selfcheck.json and selfcheck.md.")] = None,
) -> None:
    """Check a device: every operation, layer and optimizer, small trainings, and the speed.

    A GPU is compared with the CPU, the CPU's compiled kernels with the plain ones.
    Ends with status 1 if something does not hold.
    """
    from ..testing.selfcheck import selfcheck as check_device
    from ..testing.selfcheck.report import SPEED_COLUMNS

    if out is not None:
        check_writable(out / "selfcheck.json")  # before the long work
    with _shown() as told:
        report = check_device(device, quick, told)
    device_line, *rest = report.title()
    say(device_line, "bold")
    say("\n".join(rest))
    say("")
    console.print(_checks(report.check_rows()))
    if report.speeds:
        say("")
        console.print(_speeds(SPEED_COLUMNS, report.speed_rows(), words=2))
    if report.others:
        say("")
        console.print(_speeds(*report.others_table(), words=1))
    say("")
    for line in report.note_lines():
        say(line, "dim")
    say("")
    say(f"{report.verdict()}.", "bold red" if report.failed else "bold green")
    for line in report.failure_lines():
        say(f"  {line}", "red")
    if out is not None:
        report.write(out)
        say(f"{out} holds selfcheck.json and selfcheck.md.")
    if report.failed:
        raise typer.Exit(1)


@contextlib.contextmanager
def _shown() -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is being checked."""
    with console.status("") as status:
        yield lambda text: status.update(escape(text))


def _checks(rows: list[tuple[str, ...]]) -> Table:
    """Return the table of the checks; where there is room, it says where the largest error is."""
    room = console.width - console.measure(_columns_of_checks([row[:-1] for row in rows])).maximum
    if room < ROOM:
        return _columns_of_checks([row[:-1] for row in rows])
    # Cut here: rich would take the room for a long text from the other columns.
    cut = [text if len(text) < room else text[: room - 2] + "…" for *_, text in rows]
    return _columns_of_checks([(*row[:-1], text) for row, text in zip(rows, cut, strict=True)])


def _columns_of_checks(rows: list[tuple[str, ...]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("check", no_wrap=True)
    table.add_column("result", no_wrap=True)
    for column in ("cases", "largest\nerror", "tolerance", "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    if len(rows[0]) > len(table.columns):
        table.add_column("where the largest is", no_wrap=True)
    for name, result, *others in rows:
        table.add_row(escape(name), f"[{STYLES[result]}]{result}[/]", *map(escape, others))
    return table


def _speeds(columns: tuple[str, ...], rows: list[tuple[str, ...]], words: int) -> Table:
    """Return a table of numbers, the first columns of which are words."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < words else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    return table
