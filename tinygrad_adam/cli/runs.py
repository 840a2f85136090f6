"""Commands about one run: train, evaluate, predict; and the list of data sets."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from ..backend.threads import set_num_threads
from ..data import DATASETS
from ..errors import TinygradAdamError
from ..kernels.compiling import told_of_compilation
from . import options
from .doctoring import watched_by_doctor
from .shared import check_resumed, given, read_settings, say

COMPILING = "Compiling kernels for this processor, for a few seconds; later runs find them on disk."
LEARNED = 2  # times the accuracy of guessing


def train(
    context: typer.Context,
    data: options.Data = "digits",
    model: options.Model = "mlp:256,256",
    optimizer: options.Optimizer = "adam",
    lr: options.LearningRate = None,
    weight_decay: options.WeightDecay = None,
    set_: options.Set = [],  # noqa: B006
    schedule: options.Schedule = "cosine",
    schedule_set: options.ScheduleSet = [],  # noqa: B006
    schedule_per: options.SchedulePer = "epoch",
    epochs: Annotated[
        int | None,
        typer.Option(help="Passes over the data.  \\[default: 40 on digits, 5 for a cnn on mnist, else 10]"),
    ] = None,
    batch_size: options.BatchSize = 64,
    dropout: options.Dropout = 0.3,
    augment: options.Augment = None,
    max_grad_norm: options.MaxGradNorm = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without improvement.")
    ] = None,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    threads: Annotated[
        int | None, typer.Option(help="How many threads compute.  \\[default: one a core]")
    ] = None,
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
) -> None:
    """Train a model, and leave its curves, predictions and checkpoints in a folder."""
    from ..training import Run, RunConfig, choose_display

    if threads is not None:
        set_num_threads(threads)
    if film is not None:
        from ..explain.film import check_path
        from ..explain.film import film as recorded

        check_path(film)  # before there is a folder of the run
    if resume is not None:
        check_resumed(context, "run", "--threads", "--film", "--doctor", "--device")
        run = Run.open(resume, device if "--device" in given(context) else None)
        run.resume()
        trainer = run.trainer
        if trainer.epoch == run.config.epochs:
            say(f"{run.folder} is finished: its {trainer.epoch} epochs are done.")
        else:
            say(f"Going on with {run.folder} after epoch {trainer.epoch}, step {trainer.step:,}.")
    else:
        config = RunConfig(
            data=data,
            model=model,
            dropout=dropout,
            optimizer=optimizer,
            settings=options.settings(optimizer, model, lr, weight_decay, set_),
            schedule=schedule,
            schedule_settings=read_settings("--schedule-set", schedule_set),
            schedule_per=schedule_per,
            epochs=epochs,
            batch_size=batch_size,
            augment=augment,
            max_grad_norm=max_grad_norm,
            patience=patience,
            seed=seed,
            device=device,
        )
        run = Run.start(config, out, overwrite, film)
    training, validation = (len(loader.dataset) for loader in run.loaders())
    say(
        f"{run.config.model} ({run.trainer.model.parameter_count():,} parameters) on {run.config.data}: "
        f"{training:,} images to train on, {validation:,} to validate, "
        f"{len(run.data.test_labels):,} to test; "
        f"{run.config.optimizer} on {run.config.device}"
    )
    try:
        with contextlib.ExitStack() as around:
            if film is not None:
                around.enter_context(recorded(film, f"{run.config.model} on {run.config.data}"))
            if doctor:
                around.enter_context(watched_by_doctor(run))
            around.enter_context(told_of_compilation(lambda: say(COMPILING)))
            results = run.train(choose_display())
    except TinygradAdamError:
        if run.checkpoints.last.exists():
            say(f"The checkpoint of the last whole epoch is in {run.folder}.", "bold")
        raise
    if not results:
        say(
            f"\nStopped at step {run.trainer.step:,} and saved. Go on with:\n"
            f"  tinygrad-adam train --resume {shlex.quote(str(run.folder))}"
        )
        raise typer.Exit(130)
    if film is not None:
        say(f"The film of the training: {film}")
    if run.trainer.stop_reason:
        say(f"Stopped early: {run.trainer.stop_reason}.")
    say(
        f"\nTest accuracy {results['accuracy']:.2%} on {len(run.data.test_labels):,} unseen images, "
        f"after {results['seconds']:.1f} s of training.",
        "bold",
    )
    say(f"{run.folder} holds curves.png, predictions.png and the checkpoints.")
    if results["accuracy"] < LEARNED / len(run.data.classes):
        say(
            "That is hardly more than guessing. Ask the doctor why:\n  "
            + options.train_command(run.config)
            + " --doctor"
        )
    else:
        say(f"Next, try:\n  {_next_command(run)}")


def _next_command(run: Any) -> str:
    if run.config.data == "digits":
        return "tinygrad-adam train --data mnist --model mlp:512,256"
    return f"tinygrad-adam predict {shlex.quote(str(run.folder))} picture.png"


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    device: options.OtherDevice = None,
) -> None:
    """Measure the best weights of a run on the test images."""
    from ..training import Run

    opened = Run.open(run, device)
    opened.load_best()
    results = opened.evaluate()
    say(
        f"{opened.config.model} on {opened.config.data}: test accuracy {results['accuracy']:.2%}, "
        f"loss {results['loss']:.4f}, on {len(opened.data.test_labels):,} images"
    )


def predict(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    image: Annotated[Path, typer.Argument(help="A picture, or a .npy file with one or more images.")],
    top: Annotated[int, typer.Option(min=1, help="How many answers to show.")] = 3,
    device: options.OtherDevice = None,
) -> None:
    """Tell what an image shows."""
    from ..training import Run
    from ..training.reading import read_images

    opened = Run.open(run, device)
    opened.load_best()
    images, inverted = read_images(image, opened.data.shape, opened.data.scale)
    if inverted:
        say("The picture is dark on light; it was inverted, as the model learned light on dark.")
    for i, probabilities in enumerate(opened.predict(images)):
        best = probabilities.argsort()[::-1][:top]
        answers = ", ".join(f"{opened.data.classes[j]} ({probabilities[j]:.1%})" for j in best)
        say(f"{image}{f'[{i}]' if len(images) > 1 else ''}: {answers}")


def datasets() -> None:
    """List the data sets."""
    for info in DATASETS.values():
        say(f"{info.name}: {info.description}", "bold")
        say(f"  {'x'.join(map(str, info.shape))}; {info.size}; license: {info.license}")
