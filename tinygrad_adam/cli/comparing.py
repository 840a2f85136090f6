"""The command that trains one model with several optimizers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from . import options
from .shared import counted, new_folder, read_settings, say, say_table


def compare(
    data: options.Data = "digits",
    model: options.Model = "mlp:256,256",
    optimizer: Annotated[
        list[str],
        typer.Option(
            help="An optimizer, as adam or adam:lr=0.01,beta1=0.8; once for each of them.  "
            "\\[default: sgd, momentum, nesterov, adagrad, rmsprop, adadelta, adam, adamw and nadam]",
        ),
    ] = [],  # noqa: B006
    seeds: Annotated[int, typer.Option(min=1, help="How many times each is trained.")] = 3,
    schedule: options.Schedule = "constant",
    schedule_set: options.ScheduleSet = [],  # noqa: B006
    schedule_per: options.SchedulePer = "epoch",
    epochs: options.Epochs = 12,
    batch_size: options.BatchSize = 64,
    dropout: options.Dropout = 0.3,
    augment: options.Augment = None,
    max_grad_norm: options.MaxGradNorm = None,
    seed: Annotated[int, typer.Option(help="The first seed; the others follow it.")] = 0,
    device: options.Device = "cpu",
    workers: options.Workers = None,
    threads: options.Threads = 1,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results.  \\[default: a new one in runs/]")
    ] = None,
) -> None:
    """Train a model with several optimizers: same initial weights, same batches, several seeds.

    Each has a learning rate that suits small networks, if you name no other.
    Seconds are those of one training; give each worker a core of its own. The
    folder holds comparison.png, table.md and results.json.
    """
    from ..training import Entry, Experiment, Outcome, RunConfig, plot_comparison, process_pool
    from ..training.comparison import STANDARD, as_json, check_entries, table
    from ..training.comparison import compare as compare_optimizers
    from ..training.display import summary_line
    from ..training.run import next_path

    config = RunConfig(
        data=data,
        model=model,
        dropout=dropout,
        schedule=schedule,
        schedule_settings=read_settings("--schedule-set", schedule_set),
        schedule_per=schedule_per,
        epochs=epochs,
        batch_size=batch_size,
        augment=augment,
        max_grad_norm=max_grad_norm,
        seed=seed,
        device=device,
    )
    entries = [Entry.parse(text) for text in optimizer or STANDARD]
    check_entries(entries, range(seed, seed + seeds))
    folder = new_folder("compare", out or next_path("compare-", config))
    example = Experiment(config)  # what cannot be trained is refused here, not by each training
    total, done = len(entries) * seeds, 0
    say(
        f"{model} ({example.trainer.model.parameter_count():,} parameters) on {data}: "
        f"{counted(len(entries), 'optimizer')}, {counted(seeds, 'seed')}, {counted(epochs, 'epoch')} each"
    )

    def report(entry: Entry, seed: int, outcome: Outcome) -> None:
        nonlocal done
        done += 1
        text = (
            options.trouble(outcome.status, outcome.error)
            if outcome.error
            else summary_line(outcome.rows[-1], epochs)
        )
        say(f"{done:>{len(str(total))}}/{total}  {entry.label}, seed {seed}: {text}")

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with process_pool(workers, threads) as pool:
            results = compare_optimizers(config, entries, range(seed, seed + seeds), pool, report)
    except KeyboardInterrupt:
        folder.rmdir()
        say("\nStopped; nothing is kept.")
        raise typer.Exit(130) from None
    columns, rows = table(results)
    lines = [columns, ("---",) * len(columns), *rows]
    (folder / "table.md").write_text("".join(f"| {' | '.join(line)} |\n" for line in lines))
    values = {"version": __version__, "config": config, "results": as_json(results)}
    (folder / "results.json").write_text(json.dumps(values, default=vars, allow_nan=False) + "\n")
    say("")
    say_table(columns, rows, wrapped="settings")
    plot_comparison(config, results, folder / "comparison.png")
    say(f"\n{folder} holds comparison.png, table.md and results.json.")
