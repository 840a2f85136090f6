"""Options that several commands have, with one text each, and the command that repeats a training."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..optim import OPTIMIZERS, SCHEDULES
from .shared import read_settings

if TYPE_CHECKING:
    from ..training import RunConfig

Data = Annotated[str, typer.Option(help="Data set; see the command 'datasets'.")]
Model = Annotated[
    str,
    typer.Option(
        help="mlp:256,128 with the hidden sizes, cnn, cnn:paper, or file.py:function, a function of yours "
        "that takes input_shape and classes and returns a Module."
    ),
]
Optimizer = Annotated[str, typer.Option(help=f"{', '.join(OPTIMIZERS)}.")]
LearningRate = Annotated[
    float | None,
    typer.Option("--lr", help="Learning rate.  \\[default for adam and adamw: 0.004, for a cnn 0.001]"),
]
WeightDecay = Annotated[float | None, typer.Option(help="Weight decay.")]
Set = Annotated[list[str], typer.Option("--set", help="Another setting of the optimizer: betas=0.9,0.99")]
Schedule = Annotated[str, typer.Option(help=f"How the learning rate changes: {', '.join(SCHEDULES)}.")]
ScheduleSet = Annotated[list[str], typer.Option(help="A setting of the schedule: step_size=3")]
SchedulePer = Annotated[str, typer.Option(help="When it changes: epoch or step.")]
Epochs = Annotated[int, typer.Option(help="Passes over the data, of each training.")]
BatchSize = Annotated[int, typer.Option(help="Images a step.")]
Dropout = Annotated[float, typer.Option(help="Share of hidden units dropped in training.")]
Augment = Annotated[
    bool | None, typer.Option(help="Shift and mirror training images.  \\[default: on cifar10]")
]
MaxGradNorm = Annotated[float | None, typer.Option(help="Scale gradients down to this norm.")]
Seed = Annotated[int, typer.Option(help="Fixes weights, shuffles and dropout.")]
Device = Annotated[
    str, typer.Option(help="Where to compute: cpu, cuda, cuda:N, or auto, the GPU if there is one to use.")
]
OtherDevice = Annotated[
    str | None,
    typer.Option(help="Where to compute: cpu, cuda, cuda:N or auto.  \\[default: where it was trained]"),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1, max=1000, help="How many trainings run at once, each in a process.  \\[default: one a core]"
    ),
]
Threads = Annotated[int, typer.Option(min=1, help="How many threads compute in each of them.")]

OTHERS = ("dropout", "schedule", "schedule_per", "batch_size", "max_grad_norm", "patience", "seed", "device")
"""Names of a RunConfig that `train_command` leaves out where they are as usual."""


def settings(
    optimizer: str, model: str, lr: float | None, weight_decay: float | None, pairs: list[str]
) -> dict[str, Any]:
    """Return the hyper-parameters that were given, and the learning rate that suits Adam here."""
    if lr is None and optimizer in ("adam", "adamw"):
        lr = 1e-3 if model.startswith("cnn") else 4e-3
    from ..training.many.space import optimizer_settings

    return optimizer_settings(optimizer, read_settings("--set", pairs, lr=lr, weight_decay=weight_decay))


def train_command(config: RunConfig, threads: int | None = None) -> str:
    """Return the command that trains as `config` says."""
    from ..training import RunConfig

    usual = RunConfig(data=config.data, model=config.model)
    words = ["tinygrad-adam", "train"]
    for name in ("data", "model", "optimizer", "epochs"):
        words += [f"--{name}", str(getattr(config, name))]
    for name, value in config.settings.items():
        text = ",".join(map(repr, value)) if isinstance(value, tuple | list) else repr(value)
        if name in ("lr", "weight_decay"):
            words += [f"--{name.replace('_', '-')}", text]
        else:
            words += ["--set", f"{name}={text}"]
    for name in OTHERS:
        if getattr(config, name) != getattr(usual, name):
            words += [f"--{name.replace('_', '-')}", str(getattr(config, name))]
    for name, value in config.schedule_settings.items():
        text = ",".join(map(repr, value)) if isinstance(value, tuple | list) else repr(value)
        words += ["--schedule-set", f"{name}={text}"]
    if config.augment != usual.augment:
        words.append("--augment" if config.augment else "--no-augment")
    if threads is not None:
        words += ["--threads", str(threads)]
    return shlex.join(words)


def trouble(status: str, error: str) -> str:
    """Return in a few words how a training ended that did not end well."""
    return "the loss diverged" if status == "diverged" else f"{status}: {error.splitlines()[0]}"
