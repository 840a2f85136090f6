"""The command that trains a model, watched by the doctor if asked for."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..backend.compiling import on_compilation
from ..backend.threads import set_num_threads
from ..errors import TinygradAdamError
from . import options
from .shared import console, described, say

if TYPE_CHECKING:
    from ..explain.doctor.finding import Finding
    from ..training import Run

COMPILING = "Compiling kernels for this processor, for a few seconds; later runs find them on disk."
LEARNED = 2  # times the accuracy of guessing


def train(
    context: typer.Context,
    threads: options.Threads = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run.  \\[default: a new one in runs/]")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that is in --out.")] = False,
    resume: Annotated[
        Path | None,
        typer.Option(help="Go on with the run in this folder, as it was set up; --device may be another."),
    ] = None,
    film: Annotated[
        Path | None, typer.Option(help="Record the training as a page to look at, film.html.")
    ] = None,
    doctor: Annotated[
        bool, typer.Option("--doctor", help="Watch the steps, and say what is wrong and what to do.")
    ] = False,
    **fields: Annotated[Any, options.Fields()],
) -> None:
    """Train a model, and leave its curves, predictions and checkpoints in a folder."""
    from ..training import Run, choose_display

    if threads is not None:
        set_num_threads(threads)
    if film is not None:
        from ..explain.film.film import check_path
        from ..explain.film.film import film as recorded

        check_path(film)  # before there is a folder of the run
    if resume is not None:
        options.check_resumed(context, "run", "--threads", "--film", "--doctor", "--device")
        run = Run.open(resume, fields["device"] if "--device" in options.given(context) else None)
        run.resume()
        epoch = run.trainer.epoch
        if epoch == run.config.epochs:
            say(f"{run.folder} is finished: its {epoch} epochs are done.")
        else:
            say(f"Going on with {run.folder} after epoch {epoch}, step {run.trainer.step:,}.")
    else:
        run = Run.start(options.read_config(fields), out, overwrite, film)
    training, validation = (len(loader.dataset) for loader in run.loaders())
    tested = f"{len(run.data.test_labels):,}"
    say(
        f"{described(run)}: {training:,} images to train on, {validation:,} to validate, {tested} to test; "
        f"{run.config.optimizer} on {run.config.device}"
    )
    try:
        with contextlib.ExitStack() as around:
            if film is not None:
                around.enter_context(recorded(film, f"{run.config.model} on {run.config.data}"))
            if doctor:
                around.enter_context(_watched_by_doctor(run))
            around.enter_context(on_compilation(lambda: say(COMPILING)))
            results = run.train(choose_display())
    except TinygradAdamError:
        if run.checkpoints.last.exists():
            say(f"The checkpoint of the last whole epoch is in {run.folder}.", "bold")
        raise
    folder = shlex.quote(str(run.folder))
    if not results:
        say(
            f"\nStopped at step {run.trainer.step:,} and saved. Go on with:\n"
            f"  tinygrad-adam train --resume {folder}"
        )
        raise typer.Exit(130)
    if film is not None:
        say(f"The film of the training: {film}")
    if run.trainer.stop_reason:
        say(f"Stopped early: {run.trainer.stop_reason}.")
    say(
        f"\nTest accuracy {results['accuracy']:.2%} on {tested} unseen images, "
        f"after {results['seconds']:.1f} s of training.",
        "bold",
    )
    say(f"{run.folder} holds curves.png, predictions.png and the checkpoints.")
    if results["accuracy"] < LEARNED / len(run.data.classes):
        say("That is hardly more than guessing. Ask the doctor why:")
        say(f"  {options.train_command(run.config)} --doctor")
    elif run.config.data == "digits":
        say("Next, try:\n  tinygrad-adam train --data mnist --model mlp:512,256")
    else:
        say(f"Next, try:\n  tinygrad-adam predict {folder} picture.png")


@contextlib.contextmanager
def _watched_by_doctor(run: Run) -> Iterator[None]:
    """Let the doctor watch a run inside the block, and show the findings at its end, also after an error."""
    from ..explain.doctor.doctor import Doctor

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
