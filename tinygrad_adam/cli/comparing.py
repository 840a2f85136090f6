"""The command that trains one model with several optimizers."""

from __future__ import annotations

import contextlib
import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from ..files.writing import write_text
from . import options
from .shared import check_resumed, counted, read_settings, results_folder, say, say_table


def compare(
    context: typer.Context,
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
    resume: Annotated[
        Path | None, typer.Option(help="Go on with the comparison in this folder, as it was set up.")
    ] = None,
) -> None:
    """Train a model with several optimizers: same initial weights, same batches, several seeds.

    Each has a learning rate that suits small networks, if you name no other.
    Seconds are those of one training; give each worker a core of its own. The
    folder holds comparison.png, table.md and results.json. Each training is a
    line of trials.jsonl there as soon as it ends, so a comparison that was
    stopped in any way goes on with --resume.
    """
    from ..training import Entry, Experiment, Outcome, RunConfig, plot_comparison, process_pool
    from ..training.display import summary_line
    from ..training.many.comparison import STANDARD, as_json, check_entries, read_comparison, table
    from ..training.many.comparison import compare as compare_optimizers

    if resume is not None:
        check_resumed(context, "comparison", "--workers", "--threads")
        config, entries, all_seeds, done = read_comparison(resume / "trials.jsonl")
    else:
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
        all_seeds, done = list(range(seed, seed + seeds)), 0
    check_entries(entries, all_seeds)
    example = Experiment(config)  # what cannot be trained is refused here, not by each training
    total = len(entries) * len(all_seeds)

    def report(entry: Entry, seed: int, outcome: Outcome) -> None:
        nonlocal done
        done += 1
        text = (
            options.trouble(outcome.status, outcome.error)
            if outcome.error
            else summary_line(outcome.rows[-1], config.epochs or 1)
        )
        say(f"{done:>{len(str(total))}}/{total}  {entry.label}, seed {seed}: {text}")

    place = results_folder("compare", out, config) if resume is None else contextlib.nullcontext(resume)
    with place as folder:
        say(
            f"{config.model} ({example.trainer.model.parameter_count():,} parameters) on {config.data}: "
            f"{counted(len(entries), 'optimizer')}, {counted(len(all_seeds), 'seed')}, "
            f"{counted(config.epochs or 1, 'epoch')} each"
        )
        try:
            with process_pool(workers, threads) as pool:
                results = compare_optimizers(
                    config, entries, all_seeds, pool, report, folder / "trials.jsonl"
                )
        except KeyboardInterrupt:
            say(
                f"\nStopped; the trainings that ended are kept. Go on with:\n"
                f"  tinygrad-adam compare --resume {shlex.quote(str(folder))}"
            )
            raise typer.Exit(130) from None
    columns, rows = table(results)
    lines = [columns, ("---",) * len(columns), *rows]
    write_text(folder / "table.md", "".join(f"| {' | '.join(line)} |\n" for line in lines))
    values = {"version": __version__, "config": config, "results": as_json(results)}
    write_text(folder / "results.json", json.dumps(values, default=vars, allow_nan=False) + "\n")
    say("")
    say_table(columns, rows, wrapped="settings")
    plot_comparison(config, results, folder / "comparison.png")
    say(f"\n{folder} holds comparison.png, table.md and results.json.")
