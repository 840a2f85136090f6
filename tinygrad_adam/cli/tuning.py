"""The command that searches hyper-parameters."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import OptionError
from . import options
from .shared import check_resumed, given, read_settings, results_folder, say, say_table

if TYPE_CHECKING:
    from ..training import Trial


def tune(
    context: typer.Context,
    data: options.Data = "digits",
    model: options.Model = "mlp:256,256",
    optimizer: options.Optimizer = "adam",
    space: Annotated[
        list[str],
        typer.Option(
            help="What to search: a range, lr=1e-4..1e-1, or values, beta1=0.8,0.9,0.95; once for each "
            "setting of the optimizer. Ranges of lr and eps are logarithmic; those of beta1 and beta2 too, "
            "in 1 - beta."
        ),
    ] = ["lr=1e-4..1e-1"],  # noqa: B006
    trials: Annotated[
        int | None, typer.Option(help="Draw so many at random.  \\[default: the whole grid]")
    ] = None,
    points: Annotated[int, typer.Option(help="How many values of each range a grid has.")] = 5,
    lr: options.LearningRate = None,
    weight_decay: options.WeightDecay = None,
    set_: options.Set = [],  # noqa: B006
    schedule: options.Schedule = "cosine",
    schedule_set: options.ScheduleSet = [],  # noqa: B006
    schedule_per: options.SchedulePer = "epoch",
    epochs: options.Epochs = 10,
    batch_size: options.BatchSize = 64,
    dropout: options.Dropout = 0.3,
    augment: options.Augment = None,
    max_grad_norm: options.MaxGradNorm = None,
    seed: Annotated[int, typer.Option(help="Fixes weights, shuffles, dropout and random draws.")] = 0,
    device: options.Device = "cpu",
    workers: options.Workers = None,
    threads: options.Threads = 1,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results.  \\[default: a new one in runs/]")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Go on with the search in this folder, as it was set up; --trials may be more."),
    ] = None,
) -> None:
    """Search learning rate, betas, eps and other settings of an optimizer, and tell the best command.

    Trials are compared by validation accuracy. Each is a line of trials.jsonl
    in the folder as soon as it ends, so a search that was stopped in any way
    goes on with --resume. The folder also holds heatmap.png.
    """
    from ..training import (
        Experiment,
        RunConfig,
        Search,
        parse_space,
        plot_search,
        process_pool,
        rank_trials,
    )

    if resume is not None:
        check_resumed(context, "search", "--trials", "--workers", "--threads")
        search = Search.open(resume / "trials.jsonl", trials)
    else:
        if trials is not None and "--points" in given(context):
            raise OptionError("--points", "they are of a grid; leave them out, or leave out --trials")
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
            seed=seed,
            device=device,
        )
        search = Search(config, parse_space(space), trials, points)
    config = search.config
    example = Experiment(search.configs[0])  # what cannot be trained is refused here, not by each trial
    total = len(search.configs)

    kind = "points of a grid" if search.trials is None else "random trials"
    title = (
        f"{config.optimizer}, {config.model} ({example.trainer.model.parameter_count():,} parameters) on "
        f"{config.data}: {total} {kind} over {', '.join(search.space)}; {config.epochs} epochs each"
    )

    def report(trial: Trial) -> None:
        say(f"trial {trial.trial + 1:>{len(str(total))}}/{total}  {_settings(trial)}: {_result(trial)}")

    place = results_folder("tune", out, config) if resume is None else contextlib.nullcontext(resume)
    try:
        with place as folder, process_pool(workers, threads) as pool:
            say(title)
            found = search.run(folder / "trials.jsonl", pool, report)
    except KeyboardInterrupt:
        more = f" --trials {trials}" if trials is not None else ""
        say(
            f"\nStopped; the trials that ended are kept. Go on with:\n"
            f"  tinygrad-adam tune --resume {shlex.quote(str(folder))}{more}"
        )
        raise typer.Exit(130) from None
    plot_search(search, found, folder / "heatmap.png")
    ranked = rank_trials(found)
    columns = ("", *search.space, "validation accuracy", "validation loss", "epoch", "seconds")
    say("")
    say_table(
        columns,
        [
            (
                str(place),
                *(str(trial.settings[name]) for name in search.space),
                f"{trial.val_accuracy:.2%}",
                f"{trial.val_loss:.4f}",
                str(trial.epoch),
                f"{trial.seconds:.1f}",
            )
            for place, trial in enumerate(ranked[:10], 1)
        ],
    )
    if len(ranked) < len(found):
        say(f"{len(found) - len(ranked)} of {len(found)} trials did not end well; trials.jsonl tells why.")
    say(f"\n{folder} holds heatmap.png and trials.jsonl.")
    say(f"The best again:\n  {options.train_command(search.config_of(ranked[0].settings), threads)}")


def _settings(trial: Trial) -> str:
    return ", ".join(f"{name}={value}" for name, value in trial.settings.items())


def _result(trial: Trial) -> str:
    if trial.status != "ok":
        return options.trouble(trial.status, trial.error)
    return f"validation accuracy {trial.val_accuracy:.2%} after epoch {trial.epoch}, {trial.seconds:.1f} s"
