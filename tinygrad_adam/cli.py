"""The command line: parses, calls the library, prints."""

from __future__ import annotations

import ast
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

from .data import DATASETS
from .errors import OptionError, TinygradAdamError
from .optim import SCHEDULES

try:
    import typer
    from rich.console import Console
    from rich.table import Table
except ImportError:
    sys.exit('the command line needs some packages more: pip install "tinygrad-adam[cli]"')

app = typer.Typer(
    name="tinygrad-adam",
    help="Train small networks with backpropagation and Adam that you can read.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(highlight=False)


def _say(text: str, style: str | None = None) -> None:
    # Paths and commands as they are: unbroken, and brackets and colons without a meaning.
    console.print(text, style=style, markup=False, emoji=False, soft_wrap=True)


def _settings(option: str, pairs: list[str], **others: float | None) -> dict[str, Any]:
    """Read ``name=value`` pairs; a value is a number, a truth value, a word, or numbers with commas."""
    settings: dict[str, Any] = {name: value for name, value in others.items() if value is not None}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        try:
            settings[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
            if not text.isidentifier():
                raise OptionError(
                    option, "write name=value, as in lr=0.01, betas=0.9,0.99 or amsgrad=True", got=pair
                ) from error
            settings[name] = text
        if not sign:
            raise OptionError(option, "write name=value", got=pair)
    return settings


@app.command()
def train(
    context: typer.Context,
    data: Annotated[str, typer.Option(help="Data set; see the command 'datasets'.")] = "digits",
    model: Annotated[
        str, typer.Option(help="mlp:256,128 with the hidden sizes, cnn, cnn:paper, or file.py:function.")
    ] = "mlp:256,256",
    optimizer: Annotated[
        str,
        typer.Option(
            help="sgd, adagrad, adadelta, rmsprop, adam, adamw, adamax, nadam, radam, adabound, amsbound, "
            "adabelief or lion."
        ),
    ] = "adam",
    lr: Annotated[
        float | None,
        typer.Option(help="Learning rate.  [default for adam and adamw: 0.004, for a cnn 0.001]"),
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay.")] = None,
    set_: Annotated[
        list[str], typer.Option("--set", help="Another setting of the optimizer: betas=0.9,0.99")
    ] = [],  # noqa: B006
    schedule: Annotated[
        str, typer.Option(help=f"How the learning rate changes: {', '.join(SCHEDULES)}.")
    ] = "cosine",
    schedule_set: Annotated[list[str], typer.Option(help="A setting of the schedule: step_size=3")] = [],  # noqa: B006
    schedule_per: Annotated[str, typer.Option(help="When it changes: epoch or step.")] = "epoch",
    epochs: Annotated[
        int | None,
        typer.Option(help="Passes over the data.  [default: 40 on digits, 5 for a cnn on mnist, else 10]"),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = 64,
    dropout: Annotated[float, typer.Option(help="Share of hidden units dropped in training.")] = 0.3,
    augment: Annotated[
        bool | None, typer.Option(help="Shift and mirror training images.  [default: on cifar10]")
    ] = None,
    max_grad_norm: Annotated[float | None, typer.Option(help="Scale gradients down to this norm.")] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without improvement.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Fixes weights, shuffles and dropout.")] = 0,
    device: Annotated[str, typer.Option(help="cpu")] = "cpu",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run.  [default: a new one in runs/]")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that is in --out.")] = False,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with the run in this folder, as it was set up.")
    ] = None,
) -> None:
    """Train a model, and leave its curves, predictions and checkpoints in a folder."""
    from .training import Run, RunConfig, choose_display

    if resume is not None:
        given = _given(context) - {"--resume"}
        if given:
            raise OptionError(
                "--resume", "a run goes on as it was set up; leave out the other options",
                given=", ".join(sorted(given)),
            )  # fmt: skip
        run = Run.open(resume)
        run.resume()
        trainer = run.trainer
        if trainer.epoch == run.config.epochs:
            _say(f"{run.folder} is finished: its {trainer.epoch} epochs are done.")
        else:
            _say(f"Going on with {run.folder} after epoch {trainer.epoch}, step {trainer.step:,}.")
    else:
        if lr is None and optimizer in ("adam", "adamw"):
            lr = 1e-3 if model.startswith("cnn") else 4e-3
        config = RunConfig(
            data=data,
            model=model,
            dropout=dropout,
            optimizer=optimizer,
            settings=_settings("--set", set_, lr=lr, weight_decay=weight_decay),
            schedule=schedule,
            schedule_settings=_settings("--schedule-set", schedule_set),
            schedule_per=schedule_per,
            epochs=epochs,
            batch_size=batch_size,
            augment=augment,
            max_grad_norm=max_grad_norm,
            patience=patience,
            seed=seed,
            device=device,
        )
        run = Run.start(config, out, overwrite)
    training, validation = (len(loader.dataset) for loader in run.loaders())
    _say(
        f"{run.config.model} ({run.trainer.model.parameter_count():,} parameters) on {run.config.data}: "
        f"{training:,} images to train on, {validation:,} to validate, "
        f"{len(run.data.test_labels):,} to test; "
        f"{run.config.optimizer} on {run.config.device}"
    )
    try:
        results = run.train(choose_display())
    except TinygradAdamError:
        if run.checkpoints.last.exists():
            _say(f"The checkpoint of the last whole epoch is in {run.folder}.", "bold")
        raise
    if not results:
        _say(
            f"\nStopped at step {run.trainer.step:,} and saved. Go on with:\n"
            f"  tinygrad-adam train --resume {shlex.quote(str(run.folder))}"
        )
        raise typer.Exit(130)
    if run.trainer.stop_reason:
        _say(f"Stopped early: {run.trainer.stop_reason}.")
    _say(
        f"\nTest accuracy {results['accuracy']:.2%} on {len(run.data.test_labels):,} unseen images, "
        f"after {results['seconds']:.1f} s of training.",
        "bold",
    )
    _say(f"{run.folder} holds curves.png, predictions.png and the checkpoints.")
    _say(f"Next, try:\n  {_next_command(run)}")


def _given(context: typer.Context) -> set[str]:
    """Return the options that were written on the command line."""
    sources = [(p.opts[0], context.get_parameter_source(p.name or "")) for p in context.command.params]
    return {option for option, source in sources if source is not None and source.name == "COMMANDLINE"}


def _next_command(run: Any) -> str:
    if run.config.data == "digits":
        return "tinygrad-adam train --data mnist --model mlp:512,256"
    return f"tinygrad-adam predict {shlex.quote(str(run.folder))} picture.png"


@app.command()
def evaluate(run: Annotated[Path, typer.Argument(help="Folder of a run.")]) -> None:
    """Measure the best weights of a run on the test images."""
    from .training import Run

    opened = Run.open(run)
    opened.load_best()
    results = opened.evaluate()
    _say(
        f"{opened.config.model} on {opened.config.data}: test accuracy {results['accuracy']:.2%}, "
        f"loss {results['loss']:.4f}, on {len(opened.data.test_labels):,} images"
    )


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    image: Annotated[Path, typer.Argument(help="A picture, or a .npy file with one or more images.")],
    top: Annotated[int, typer.Option(min=1, help="How many answers to show.")] = 3,
) -> None:
    """Tell what an image shows."""
    from .training import Run
    from .training.reading import read_images

    opened = Run.open(run)
    opened.load_best()
    images, inverted = read_images(image, opened.data.shape, opened.data.scale)
    if inverted:
        _say("The picture is dark on light; it was inverted, as the model learned light on dark.")
    for i, probabilities in enumerate(opened.predict(images)):
        best = probabilities.argsort()[::-1][:top]
        answers = ", ".join(f"{opened.data.classes[j]} ({probabilities[j]:.1%})" for j in best)
        _say(f"{image}{f'[{i}]' if len(images) > 1 else ''}: {answers}")


@app.command()
def datasets() -> None:
    """List the data sets."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("name", "images", "what it is", "size", "license"):
        table.add_column(column)
    for info in DATASETS.values():
        table.add_row(info.name, "x".join(map(str, info.shape)), info.description, info.size, info.license)
    console.print(table)


def main() -> None:
    """Run the command line; what a user can mend ends in a message, not in a traceback."""
    try:
        app()
    except (TinygradAdamError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
    except MemoryError as error:
        print(f"MemoryError: {error}; a smaller model or batch needs less", file=sys.stderr)
        sys.exit(1)
