"""The doctor at the command line: watches a training, and shows in panels what it found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .shared import console, say

if TYPE_CHECKING:
    from ..explain.doctor import Finding
    from ..training import Run


@contextmanager
def watched_by_doctor(run: Run) -> Iterator[None]:
    """Let the doctor watch a run inside the block, and show at its end, also a bad one, what is wrong."""
    from ..explain.doctor import Doctor

    doctor = Doctor(tell=None)
    run.trainer.callbacks.append(doctor)
    try:
        with doctor:
            yield
    finally:
        run.trainer.callbacks.remove(doctor)
        say("")
        for finding in doctor.findings:
            console.print(_panel(finding))
        say(doctor.summary())


def _panel(finding: Finding) -> Panel:
    parts = Table.grid(padding=(0, 2))
    parts.add_column(style="bold", no_wrap=True)
    parts.add_column()
    for name, text in finding.parts().items():
        parts.add_row(name, Text(text))
    body = Table.grid()
    body.add_row(Text(finding.what))
    body.add_row("")
    body.add_row(parts)
    times = f", seen {finding.times} times" if finding.times > 1 else ""
    title = Text(f"{finding.kind}: step {finding.step:,}{times}", style="bold")
    return Panel(body, title=title, title_align="left", border_style="yellow", width=min(console.width, 100))
