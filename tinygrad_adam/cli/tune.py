"""The command that searches hyper-parameters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import OptionError
from . import options
from .shared import described, results_folder, say, say_table, trouble

if TYPE_CHECKING:
    from ..training import Trial


def tune(
    context: typer.Context,
    space: Annotated[
        list[str],
        typer.Option(
            help="What to search: a range, lr=1e-4..1e-1, or values, beta1=0.8,0.9,0.95; once for each "
            "setting of the optimizer. Ranges of lr and eps are logarithmic, ranges of beta1 and beta2 are "
            "logarithmic in 1 - beta."
        ),
    ] = ["lr=1e-4..1e-1"],  # noqa: B006
    trials: Annotated[
        int | None, typer.Option(help="Draw so many at random, by --seed.  \\[default: the whole grid]")
    ] = None,
    points: Annotated[int, typer.Option(help="How many values of each range a grid has.")] = 5,
    workers: options.Workers = None,
    threads: options.ThreadsOfEach = 1,
    out: options.Results = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Go on with the search in this folder, as it was set up; --trials may be more."),
    ] = None,
    **fields: Annotated[Any, options.Fields("patience", epochs=10)],
) -> None:
    """Search learning rate, betas, eps and other settings of an optimizer, and show the best command.

    Trials are compared by validation accuracy. Each is a line of trials.jsonl
    in the folder as soon as it ends, so a search that was stopped in any way
    goes on with --resume. The folder also holds heatmap.png.
    """
    from ..training import Experiment, Search, parse_space, plot_search, process_pool, rank_trials

    if resume is not None:
        options.check_resumed(context, "search", "--trials", "--workers", "--threads")
        search = Search.open(resume / "trials.jsonl", trials)
    else:
        if trials is not None and "--points" in options.given(context):
            raise OptionError("--points", "they belong to a grid; leave out either --points or --trials")
        search = Search(options.read_config(fields), parse_space(space), trials, points)
    config, total = search.config, len(search.configs)
    example = Experiment(search.configs[0])  # refuses one that cannot be trained, before the trials do
    kind = "points of a grid" if search.trials is None else "random trials"

    def report(trial: Trial) -> None:
        if trial.status != "ok":
            result = trouble(trial.status, trial.error)
        else:
            result = (
                f"validation accuracy {trial.val_accuracy:.2%} after epoch {trial.epoch}, "
                f"{trial.seconds:.1f} s"
            )
        settings = ", ".join(f"{name}={value}" for name, value in trial.settings.items())
        say(f"trial {trial.trial + 1:>{len(str(total))}}/{total}  {settings}: {result}")

    more = f" --trials {trials}" if trials is not None else ""
    with (
        results_folder("tune", out, resume, config, more) as folder,
        process_pool(workers, threads) as pool,
    ):
        say(
            f"{config.optimizer}, {described(example)}: {total} {kind} over {', '.join(search.space)}; "
            f"{config.epochs} epochs each"
        )
        found = search.run(folder / "trials.jsonl", pool, report)
    plot_search(search, found, folder / "heatmap.png")
    ranked = rank_trials(found)
    rows = [
        (
            str(place),
            *(str(trial.settings[name]) for name in search.space),
            f"{trial.val_accuracy:.2%}",
            f"{trial.val_loss:.4f}",
            str(trial.epoch),
            f"{trial.seconds:.1f}",
        )
        for place, trial in enumerate(ranked[:10], 1)
    ]
    say("")
    say_table(("", *search.space, "validation accuracy", "validation loss", "epoch", "seconds"), rows)
    if len(ranked) < len(found):
        say(f"{len(found) - len(ranked)} of {len(found)} trials did not end well; see trials.jsonl.")
    say(f"\n{folder} holds heatmap.png and trials.jsonl.")
    say(f"The best again:\n  {options.train_command(search.config_of(ranked[0].settings), threads)}")
