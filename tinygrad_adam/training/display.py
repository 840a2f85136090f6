"""Progress while training: a bar in a terminal and in a notebook, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import html
import importlib.util
import io
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

from ..errors import OptionError
from ..files.cells import in_kernel, shell
from .loop import Callback, Trainer

REFRESH = 0.1
"""Seconds between two states of the bar; the loss is read as often."""
MOST_LINES = 50
"""Up to so many epochs have a line each; of more, the lines are evenly spaced or a second apart."""
_screen = threading.Lock()
"""Held by the display that is on the screen. Others, as in a training within a training, have no bar."""


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


def _stopped(trainer: Trainer) -> str:
    epochs, reason = trainer.epochs, trainer.stop_reason
    if trainer.batch == 0:
        return f"stopped after epoch {trainer.epoch}/{epochs}: {reason}"
    batch = f"batch {trainer.batch}/{trainer.batches_per_epoch}"
    return f"stopped in epoch {trainer.epoch + 1}/{epochs} after {batch}: {reason}"


class Display(Callback):
    """Base of the displays; it decides when there is something to show, and derived classes show it.

    A Trainer with a display among its callbacks shows no other.
    """

    _by_fit = False  # it says why training stopped; a program with a display of its own does so itself
    _unasked = False  # it is silent while another is on the screen, and ends no training by an error
    _has_screen = _is_open = False

    def on_fit_start(self, trainer: Trainer) -> None:  # noqa: D102
        self._next_bar = self._last_line = 0.0
        self._has_screen = _screen.acquire(blocking=False)
        self._is_open = self._has_screen or not self._unasked

    def on_epoch_start(self, trainer: Trainer) -> None:  # noqa: D102
        self._show_progress(trainer)

    def on_step_end(self, trainer: Trainer) -> None:  # noqa: D102
        self._show_progress(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:  # noqa: D102
        every, now = -(-trainer.epochs // MOST_LINES), time.monotonic()
        last = trainer.epoch == trainer.epochs or trainer.stop_reason is not None
        if last or trainer.epoch % every == 0 or now - self._last_line >= 1:
            self._last_line = now
            self._show_line(summary_line(trainer.history.rows[-1], trainer.epochs))

    def on_fit_end(self, trainer: Trainer) -> None:  # noqa: D102
        if self._by_fit and trainer.stop_reason is not None:
            self._show_line(_stopped(trainer))
        self._close()

    def _show_progress(self, trainer: Trainer) -> None:
        if not (self._has_screen and self._is_open) or time.monotonic() < self._next_bar:
            return
        title = f"epoch {trainer.epoch + 1}/{trainer.epochs}"
        loss = f"loss {trainer.last_loss:.4f}" if trainer.batch else ""
        with self._giving_up():
            self._bar(title, trainer.batch, trainer.batches_per_epoch, loss)
        self._next_bar = time.monotonic() + REFRESH

    def _show_line(self, text: str) -> None:
        """Show a line that stays."""
        if self._is_open:
            with self._giving_up():
                self._line(text)

    def _close(self) -> None:
        """Take the bar from the screen; the lines stay."""
        self._is_open = False
        if self._has_screen:
            self._has_screen = False
            try:
                with self._giving_up():
                    self._stop()
            finally:
                _screen.release()

    @contextlib.contextmanager
    def _giving_up(self) -> Iterator[None]:
        """Show nothing more after an error of writing, if the display was not asked for."""
        try:
            yield
        except (OSError, ValueError):  # the terminal is gone, or the file is closed
            if not self._unasked:
                raise
            self._is_open = False

    def _bar(self, title: str, done: int, total: int, loss: str) -> None:
        """Show how many of the batches of an epoch are done."""

    def _line(self, text: str) -> None:
        print(text, flush=True)

    def _stop(self) -> None:
        """Leave nothing but the lines."""


class PlainDisplay(Display):
    """A line an epoch, for logs and pipes; of more than 50 epochs, 50 lines or one a second."""


class RichDisplay(Display):
    """A line an epoch, and below it a bar for the epoch that is running."""

    _progress: Any = None
    _title = ""
    _task: Any = None

    def _bar(self, title: str, done: int, total: int, loss: str) -> None:
        if self._progress is None:
            self._start()
        if title != self._title:
            if self._title:
                self._progress.remove_task(self._task)
            self._title, self._task = title, self._progress.add_task(title, total=total, loss="")
        self._progress.update(self._task, completed=done, loss=loss, refresh=True)

    def _start(self) -> None:
        from rich.errors import LiveError
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed}/{task.total} batches   {task.fields[loss]}"),
            TimeRemainingColumn(),
            transient=True,
            auto_refresh=False,
        )
        with contextlib.suppress(LiveError):  # older versions refuse a bar while the program shows another
            self._progress.start()

    def _line(self, text: str) -> None:
        if self._progress is None:
            super()._line(text)
        else:  # above the bar; the terminal breaks a line that is too long, so that it can be copied as one
            self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _stop(self) -> None:
        progress, self._progress, self._title = self._progress, None, ""
        if progress is not None:
            progress.stop()


PAPER = "margin: 0; color: inherit; background: none"
FRAME = "display: inline-block; width: 16em; height: .7em; border: 1px solid; border-radius: 3px"
"""Styles that take over the colors of the page, be it light or dark."""


class NotebookDisplay(Display):
    """The lines of the epochs as one output of a cell, and below them a bar for the epoch that is running.

    The output is replaced and never grows by itself, so a saved notebook holds its last state. It needs no
    widgets.
    """

    _lines: tuple[str, ...] = ()
    _output = ""

    def _bar(self, title: str, done: int, total: int, loss: str) -> None:
        state = f"{done}/{total} batches  {loss}"
        full = f"display: block; height: 100%; width: {done / total:.0%}; background: #0072b2"
        bar = f'<span style="{FRAME}"><span style="{full}"></span></span>'
        self._show(f"{title}  {state}", f"{title}  {bar}  {state}")

    def _line(self, text: str) -> None:
        self._lines = (*self._lines, text)

    def _stop(self) -> None:
        if self._output:
            self._show("", "")
        self._lines, self._output = (), ""

    def _show(self, text: str, drawn: str) -> None:
        lines = "".join(f"{line}\n" for line in self._lines)
        page = f'<pre style="{PAPER}">{html.escape(lines)}{drawn}</pre>'
        bundle = {"text/plain": lines + text, "text/html": page}
        begun, self._output = bool(self._output), self._output or uuid.uuid4().hex
        shell().display_pub.publish(bundle, transient={"display_id": self._output}, update=begun)


def choose_display() -> Display:
    """Return the display that fits the place: a notebook, a terminal if rich is installed, or plain lines."""
    place = _place()
    if place == "notebook":
        return NotebookDisplay()
    if place == "terminal" and importlib.util.find_spec("rich") is not None:
        return RichDisplay()
    return PlainDisplay()


def _place() -> str:
    """Return "terminal", "notebook" or "" for the place that stdout leads to."""
    try:
        if sys.stdout.isatty():
            return "terminal"
    except (AttributeError, ValueError):  # there is none, or it is closed
        return ""
    captured = isinstance(sys.stdout, io.StringIO | io.TextIOWrapper)  # a kernel's is neither
    return "notebook" if in_kernel() and not captured else ""


@contextlib.contextmanager
def progress_of(trainer: Trainer, progress: bool | None) -> Iterator[list[Display]]:
    """Yield the display, if any, that `Trainer.fit` has besides its callbacks, and close all at the end."""
    if progress not in (None, True, False):
        raise OptionError("Trainer.fit", "progress must be True, False or None", progress=progress)
    given = [callback for callback in trainer.callbacks if isinstance(callback, Display)]
    own: list[Display] = []
    if not given and (_place() if progress is None else progress):
        own.append(choose_display())
        own[0]._by_fit, own[0]._unasked = True, progress is None
    try:
        yield own
    finally:
        for display in (*given, *own):
            display._close()
        own.clear()
