"""The command that checks that a device computes right, and measures its speed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..files.writing import check_writable
from . import options
from .shared import console, say

ROOM = 24
"""The least width of the column that says where the largest error is."""
STYLES = {"ok": "green", "FAILED": "bold red", "left out": "dim"}


def selfcheck(
    device: Annotated[str, typer.Option(help=options.about("device"))] = "auto",
    quick: Annotated[bool, typer.Option("--quick", help="Train less, and measure no speed.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for selfcheck.json and selfcheck.md.")] = None,
) -> None:
    """Check a device: every operation, layer and optimizer, small trainings, and the speed.

    A GPU is compared with the CPU, the CPU's compiled kernels with the plain ones.
    Ends with status 1 if a check fails.
    """
    from ..testing.selfcheck import selfcheck as check_device
    from ..testing.selfcheck.report import CHECK_COLUMNS, SPEED_COLUMNS

    if out is not None:
        check_writable(out / "selfcheck.json")  # before the long work
    with console.status("") as status:
        report = check_device(device, quick, lambda text: status.update(escape(text)))
    device_line, *rest = report.title()
    say(device_line, "bold")
    say("\n".join(rest))
    say("")
    console.print(_checks(CHECK_COLUMNS, report.check_rows()))
    if report.speeds:
        say("")
        console.print(_table(SPEED_COLUMNS, report.speed_rows(), range(2, len(SPEED_COLUMNS))))
    if report.others:
        columns, rows = report.others_table()
        say("")
        console.print(_table(columns, rows, range(1, len(columns))))
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


def _checks(columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Table:
    """Return the table of the checks, with the last column if it has room."""
    columns = [column.replace("largest error", "largest\nerror") for column in columns]
    numbers = range(2, len(columns) - 1)
    table = _table(columns[:-1], [row[:-1] for row in rows], numbers)
    room = console.width - console.measure(table).maximum
    if room < ROOM:
        return table
    # Cut here: rich would take the room for a long text from the other columns.
    cut = [text if len(text) < room else text[: room - 2] + "…" for *_, text in rows]
    return _table(columns, [(*row[:-1], text) for row, text in zip(rows, cut, strict=True)], numbers)


def _table(columns: Sequence[str], rows: Sequence[tuple[str, ...]], numbers: Collection[int]) -> Table:
    """Return a table with some columns of numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place in numbers else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell, STYLES.get(cell, "")) for cell in row))
    return table
