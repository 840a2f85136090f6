"""Progress on the terminal: a live bar where there is one, plain lines elsewhere."""

from __future__ import annotations

import importlib.util
import math
import sys
import time
from typing import Any

from .loop import Callback, Trainer

REFRESH = 0.1
"""Seconds between two losses on the live bar, which is drawn ten times a second."""


def summary_line(row: dict[str, float], epochs: int) -> str:
    """Return one epoch in a line; values of the validation data stand in parentheses."""
    parts = [f"epoch {row['epoch']:>{len(str(epochs))}.0f}/{epochs}"]
    for name, value in row.items():
        if name in ("epoch", "step", "lr", "seconds") or name.startswith("val_"):
            continue
        form = ".2%" if "accuracy" in name else ".4f"
        validation = f" (validation {row[f'val_{name}']:{form}})" if f"val_{name}" in row else ""
        parts.append(f"{name} {value:{form}}{validation}")
    return "  ".join([*parts, f"{row['seconds']:.1f} s"])


class PlainDisplay(Callback):
    """One line an epoch, for logs and pipes."""

    def on_epoch_end(self, trainer: Trainer) -> None:  # noqa: D102
        print(summary_line(trainer.history.rows[-1], trainer.epochs), flush=True)


class RichDisplay(Callback):
    """A line an epoch, and below it a bar for the epoch that is running."""

    def on_fit_start(self, trainer: Trainer) -> None:  # noqa: D102
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar: Any = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed}/{task.total} batches   {task.fields[loss]}"),
            TimeRemainingColumn(),
            transient=True,
        )
        self._bar.start()
        self._task = None
        self._shown = -math.inf

    def on_epoch_start(self, trainer: Trainer) -> None:  # noqa: D102
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(
            f"epoch {trainer.epoch + 1}/{trainer.epochs}",
            total=trainer.batches_per_epoch,
            completed=trainer.batch,
            loss="",
        )

    def on_step_end(self, trainer: Trainer) -> None:  # noqa: D102
        self._bar.update(self._task, completed=trainer.batch)
        now = time.monotonic()
        if now - self._shown >= REFRESH:  # the loss is read when it is shown: a look at it waits for a GPU
            self._shown = now
            self._bar.update(self._task, loss=f"loss {trainer.last_loss:.4f}")

    def on_epoch_end(self, trainer: Trainer) -> None:  # noqa: D102
        self._bar.console.print(summary_line(trainer.history.rows[-1], trainer.epochs), highlight=False)

    def on_fit_end(self, trainer: Trainer) -> None:  # noqa: D102
        self._bar.stop()


def choose_display() -> Callback:
    """Return the live display if there is a terminal and rich is installed, else the plain one."""
    if sys.stdout.isatty() and importlib.util.find_spec("rich") is not None:
        return RichDisplay()
    return PlainDisplay()
