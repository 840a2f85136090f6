"""The command that trains one model with several optimizers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._version import __version__
from ..files.text import counted
from ..files.writing import write_text
from . import options
from .shared import described, results_folder, say, say_table, trouble

if TYPE_CHECKING:
    from ..training import Entry, Outcome


def _standard() -> str:
    from ..training.many.comparison import STANDARD

    return ", ".join(STANDARD)


def compare(
    context: typer.Context,
    optimizer: Annotated[
        list[str],
        typer.Option(
            help="An optimizer, as adam or adam:lr=0.01,beta1=0.8; once for each of them.  "
            f"\\[default: {_standard()}]",
        ),
    ] = [],  # noqa: B006
    seeds: Annotated[
        int, typer.Option(min=1, help="How many times each is trained, with --seed and the seeds after it.")
    ] = 3,
    workers: options.Workers = None,
    threads: options.ThreadsOfEach = 1,
    out: options.Results = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with the comparison in this folder, as it was set up.")
    ] = None,
    **fields: Annotated[
        Any, options.Fields("optimizer", "settings", "patience", schedule="constant", epochs=12)
    ],
) -> None:
    """Train a model with several optimizers: same initial weights, same batches, several seeds.

    Each has a learning rate that suits small networks, if you name no other.
    Seconds are per training; give each worker a core of its own. The
    folder holds comparison.png, table.md and results.json. Each training is a
    line of trials.jsonl there as soon as it ends, so a comparison that was
    stopped in any way goes on with --resume.
    """
    from ..training import Entry, Experiment, plot_comparison, process_pool
    from ..training.display import summary_line
    from ..training.many.comparison import STANDARD, as_json, check_entries, read_comparison, table
    from ..training.many.comparison import compare as compare_optimizers

    if resume is not None:
        options.check_resumed(context, "comparison", "--workers", "--threads")
        config, entries, all_seeds, done = read_comparison(resume / "trials.jsonl")
    else:
        config = options.read_config(fields)
        entries = [Entry.parse(text) for text in optimizer or STANDARD]
        all_seeds, done = list(range(config.seed, config.seed + seeds)), 0
    check_entries(entries, all_seeds)
    example = Experiment(config)  # refuses a configuration that cannot be trained, before the trainings do
    total, epochs = len(entries) * len(all_seeds), config.epochs or 1

    def report(entry: Entry, seed: int, outcome: Outcome) -> None:
        nonlocal done
        done += 1
        if outcome.error:
            text = trouble(outcome.status, outcome.error)
        else:
            text = summary_line(outcome.rows[-1], epochs)
        say(f"{done:>{len(str(total))}}/{total}  {entry.label}, seed {seed}: {text}")

    with (
        results_folder("compare", out, resume, config) as folder,
        process_pool(workers, threads) as pool,
    ):
        say(
            f"{described(example)}: {counted(len(entries), 'optimizer')}, "
            f"{counted(len(all_seeds), 'seed')}, {counted(epochs, 'epoch')} each"
        )
        results = compare_optimizers(config, entries, all_seeds, pool, report, folder / "trials.jsonl")
    columns, rows = table(results)
    lines = [columns, ("---",) * len(columns), *rows]
    write_text(folder / "table.md", "".join(f"| {' | '.join(line)} |\n" for line in lines))
    values = {"version": __version__, "config": config, "results": as_json(results)}
    write_text(folder / "results.json", json.dumps(values, default=vars, allow_nan=False) + "\n")
    say("")
    say_table(columns, rows, wrapped="settings")
    plot_comparison(config, results, folder / "comparison.png")
    say(f"\n{folder} holds comparison.png, table.md and results.json.")
