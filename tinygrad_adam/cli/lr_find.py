"""The command that looks for a learning rate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..backend.threads import set_num_threads
from ..errors import OptionError
from . import options
from .shared import picture_file, say


def lr_find(
    low: Annotated[float, typer.Option(help="The first learning rate.")] = 1e-6,
    high: Annotated[float, typer.Option(help="The last one.")] = 10.0,
    steps: Annotated[int, typer.Option(max=10**6, help="How many, at equal ratios; one a batch.")] = 100,
    threads: options.Threads = None,
    out: Annotated[Path | None, typer.Option(help="The picture.  \\[default: a new one in runs/]")] = None,
    **fields: Annotated[
        Any, options.Fields("lr", "schedule", "schedule_settings", "schedule_per", "epochs", "patience")
    ],
) -> None:
    """Raise the learning rate batch by batch until the loss diverges, and suggest one to train with."""
    from ..training import Experiment
    from ..training import lr_find as sweep_learning_rates
    from ..training.run import default_name

    if threads is not None:
        set_num_threads(threads)
    config = options.read_config(fields)
    experiment = Experiment(config)
    with picture_file("lr-find", out, default_name("lr-find-", config)) as picture:
        sweep = sweep_learning_rates(experiment.trainer, experiment.loaders()[0], low, high, steps)
        sweep.plot(picture)
    say(
        f"{config.optimizer}, {config.model} on {config.data}: {len(sweep.lrs)} steps, with learning rates "
        f"from {sweep.lrs[0]:.2g} to {sweep.lrs[-1]:.2g}"
        + (", where the loss diverged" if sweep.diverged else "")
    )
    say(f"{picture} shows the loss.")
    if sweep.steepest is None or sweep.decade_below_minimum is None:
        raise OptionError(
            "lr-find", "the loss never fell, so there is nothing to suggest; look at the picture, and choose "
            "another range with --low and --high", low=low, high=high,
        )  # fmt: skip
    say(f"The loss falls fastest at {sweep.steepest:.2g}: suggested.", "bold")
    say(f"A tenth of the learning rate with the lowest loss is {sweep.decade_below_minimum:.2g}.")
    config.settings["lr"] = float(f"{sweep.steepest:.2g}")
    say(f"Next, try:\n  {options.train_command(config)}")
