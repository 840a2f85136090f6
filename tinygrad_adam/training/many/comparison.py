"""Optimizers side by side: the same initial weights, the same batches, several seeds."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

from ..._version import __version__
from ...errors import OptionError, StateError, unknown_name
from ...optim import OPTIMIZERS
from ...values import integer, plain, read_value
from ..config import RunConfig
from .results import append_result, begin_results, differences, read_results, readable
from .space import optimizer_settings
from .trial import Outcome, as_they_finish, process_pool, run_trial

RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("sgd", {"lr": 0.5}),
    "momentum": ("sgd", {"lr": 0.05, "momentum": 0.9}),
    "nesterov": ("sgd", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "adagrad": ("adagrad", {"lr": 0.05}),
    "rmsprop": ("rmsprop", {"lr": 2e-3}),
    "adadelta": ("adadelta", {"lr": 2.0}),
    "adam": ("adam", {"lr": 2e-3}),
    "amsgrad": ("adam", {"lr": 2e-3, "amsgrad": True}),
    "adamw": ("adamw", {"lr": 2e-3}),
    "adamax": ("adamax", {"lr": 0.01}),
    "nadam": ("nadam", {"lr": 2e-3}),
    "radam": ("radam", {"lr": 5e-3}),
    "adabelief": ("adabelief", {"lr": 2e-3}),
    "adabound": ("adabound", {"lr": 0.01}),
    "lion": ("lion", {"lr": 5e-4}),
}
"""What each label stands for. The learning rates are those of 1, 2 and 5 times powers of ten that left the
lowest validation loss after 12 epochs of the digits with mlp:256,256, a constant rate and two seeds: a fair
start for small networks. Others may need another for each optimizer."""

STANDARD = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta", "adam", "adamw", "nadam")


@dataclass(frozen=True)
class Entry:
    """One optimizer of a comparison.

    Attributes
    ----------
    label : str
        What it is called in the table and the picture.
    optimizer : str
        A name in `tinygrad_adam.optim.OPTIMIZERS`.
    settings : dict
        Its hyper-parameters.
    """

    label: str
    optimizer: str
    settings: dict[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", plain(self.settings))  # JSON holds no numbers of NumPy

    @classmethod
    def parse(cls, text: str, where: str = "compare") -> Entry:
        """Read ``name`` or ``name:setting=value,setting=value``.

        Parameters
        ----------
        text : str
            The name is a key of `RECIPES` or of `OPTIMIZERS`; the settings replace those of the recipe, and
            "beta1" and "beta2" stand for the parts of "betas". The text is the label.
        where : str
            Who asks, for messages.

        Raises
        ------
        OptionError
            If the name or a setting is not known, with the nearest that is, or a value is out of its domain.

        Examples
        --------
        >>> from tinygrad_adam.training import Entry
        >>> Entry.parse("momentum:lr=0.01")
        Entry(label='momentum:lr=0.01', optimizer='sgd', settings={'lr': 0.01, 'momentum': 0.9})
        """
        name, _, rest = text.partition(":")
        if name not in RECIPES and name not in OPTIMIZERS:
            raise unknown_name(where, "optimizer", name, {**RECIPES, **OPTIMIZERS})
        optimizer, recipe = RECIPES.get(name, (name, {}))
        changes: dict[str, Any] = {}
        for pair in rest.split(",") if rest else []:
            setting, _, value = pair.partition("=")
            example = "name:setting=value,setting=value, as in adam:lr=0.01,beta1=0.8"
            changes[setting] = read_value(where, value, text, example)
        return cls(text, optimizer, optimizer_settings(optimizer, recipe, changes))

    def describe(self) -> str:
        """Return the settings as a short text.

        Examples
        --------
        >>> from tinygrad_adam.training import Entry
        >>> Entry.parse("nesterov").describe()
        'lr=0.1, momentum=0.9, nesterov=True'
        """
        return ", ".join(f"{name}={value}" for name, value in self.settings.items())


@dataclass
class Result:
    """What one optimizer came to, over the seeds.

    Attributes
    ----------
    entry : Entry
        The optimizer.
    outcomes : dict of int to Outcome
        One a seed.
    """

    entry: Entry
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    @property
    def ended(self) -> list[Outcome]:
        """The trainings that ended well."""
        return [outcome for _, outcome in sorted(self.outcomes.items()) if outcome.status == "ok"]

    def curve(self, name: str) -> numpy.ndarray[Any, Any]:
        """Return a quantity of the history, shape (seeds, epochs), of the trainings that ended well.

        If some stopped earlier than others, the epochs are those that all of them have.

        Parameters
        ----------
        name : str
            As in the rows of the history.
        """
        epochs = min((len(outcome.rows) for outcome in self.ended), default=0)
        rows = [[row[name] for row in outcome.rows[:epochs]] for outcome in self.ended]
        return numpy.array(rows, dtype=float).reshape(len(rows), epochs)

    def seconds(self) -> numpy.ndarray[Any, Any]:
        """Return the seconds from the start to the end of each epoch, shape (epochs,).

        They are the medians over the seeds, epoch by epoch, added up: what else the machine did during one
        training does not count. An epoch includes its validation.
        """
        return numpy.cumsum(numpy.median(self.curve("seconds"), axis=0)) if self.ended else numpy.zeros(0)

    def last(self, name: str) -> tuple[float, float]:
        """Return mean and standard deviation over the seeds of a quantity after the last epoch.

        Parameters
        ----------
        name : str
            As in the rows of the history, or "test_loss" and "test_accuracy".

        Returns
        -------
        mean, deviation : float
            Of the trainings that ended well; NaN if none did. The deviation is that of a sample (divided by
            one less than their number), NaN for one.
        """
        if name.startswith("test_"):
            values = [outcome.test[name.removeprefix("test_")] for outcome in self.ended]
        else:
            values = [outcome.rows[-1][name] for outcome in self.ended]
        return (
            float(numpy.mean(values)) if values else math.nan,
            float(numpy.std(values, ddof=1)) if len(values) > 1 else math.nan,
        )

    def note(self) -> str:
        """Tell what did not end well, in a few words."""
        count = len(self.outcomes)
        bad = [outcome for outcome in self.outcomes.values() if outcome.status != "ok"]
        kinds = sorted({outcome.status for outcome in bad})
        return f"{len(bad)} of {count} {' or '.join(kinds)}" if bad else ""


def check_entries(entries: Sequence[Entry], seeds: Sequence[int], where: str = "compare") -> None:
    """Refuse a comparison of nothing, and one with a label twice."""
    labels = [entry.label for entry in entries]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if not entries or not seeds or twice:
        raise OptionError(
            where, "there must be at least one optimizer and one seed, and no optimizer twice",
            optimizers=", ".join(labels), twice=", ".join(twice), seeds=list(seeds),
        )  # fmt: skip


def compare(
    config: RunConfig,
    entries: Sequence[Entry],
    seeds: Sequence[int] = (0, 1, 2),
    executor: Executor | None = None,
    report: Callable[[Entry, int, Outcome], None] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> list[Result]:
    """Train a model with several optimizers.

    With a seed, all of them begin with the same weights and see the same batches in the same order, and the
    same units are dropped: these depend on the seed alone.

    Parameters
    ----------
    config : RunConfig
        What every training does; its optimizer, settings and seed are replaced.
    entries : sequence of Entry
        The optimizers.
    seeds : sequence of int
        Each optimizer is trained once with each.
    executor : concurrent.futures.Executor, optional
        Where; by default one process a core, with one thread each. Seconds can be compared if each training
        has a core of its own.
    report : callable, optional
        Called with entry, seed and outcome of each training as it ends.
    path : path, optional
        A file that keeps each training as soon as it ends; made if it does not exist. Those that it holds are
        not done again, unless they failed; `read_comparison` tells what it is of.

    Returns
    -------
    list of Result
        The highest mean validation accuracy first; those that never ended well are last.

    Raises
    ------
    OptionError
        If there is no optimizer or seed, or two labels are the same.
    StateError
        If the file is of another comparison.
    CheckpointError
        If it is not a results file, or damaged.
    TinygradAdamError
        If the executor fails, with the names of the trainings that are done.
    """
    seeds = [integer("compare", "a seed", seed, 0) for seed in seeds]
    check_entries(entries, seeds)
    results = {entry.label: Result(entry) for entry in entries}
    if path is not None:
        for label, seed, outcome in _finished(Path(path), config, entries, seeds):
            results[label].outcomes[seed] = outcome
    # Seed by seed: what a machine does meanwhile falls on all optimizers alike.
    jobs = {
        (entry.label, seed): dataclasses.replace(
            config, optimizer=entry.optimizer, settings=entry.settings, seed=seed
        )
        for seed in dict.fromkeys(seeds)
        for entry in entries
        if (old := results[entry.label].outcomes.get(seed)) is None or old.status == "failed"
    }
    if jobs:
        with process_pool() if executor is None else nullcontext(executor) as pool:
            ended = as_they_finish(pool, run_trial, jobs, Outcome.of_a_death, warm=True, test=True)
            for (label, seed), outcome in ended:
                results[label].outcomes[seed] = outcome
                if path is not None:
                    line = {"optimizer": label, "seed": seed, **_finite(dataclasses.asdict(outcome))}
                    append_result(Path(path), line)
                if report is not None:
                    report(results[label].entry, seed, outcome)
    return sorted(
        results.values(),
        key=lambda result: -result.last("val_accuracy")[0] if result.ended else math.inf,
    )


def read_comparison(path: str | os.PathLike[str]) -> tuple[RunConfig, list[Entry], list[int], int]:
    """Return configuration, optimizers and seeds of the comparison that a file is of, and how much is done.

    Returns
    -------
    config, entries, seeds
        What `compare` was given.
    done : int
        How many trainings need not be done again.

    Raises
    ------
    CheckpointError
        If it is not a results file of a comparison, or damaged.
    """
    header, lines = _read(Path(path))
    last = {(label, seed): outcome.status for label, seed, outcome in lines}
    done = sum(status != "failed" for status in last.values())
    with readable(Path(path), "comparison"):
        entries = [_entry(**entry) for entry in header["entries"]]
        return RunConfig(**header["config"]), entries, header["seeds"], done


def _entry(label: str, optimizer: str, settings: dict[str, Any]) -> Entry:
    """Return what was saved; JSON makes lists of tuples."""
    frozen = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    return Entry(label, optimizer, frozen)


def _finished(
    path: Path, config: RunConfig, entries: Sequence[Entry], seeds: Sequence[int]
) -> list[tuple[str, int, Outcome]]:
    """Return the trainings in the file, and make it ready for more."""
    here = {
        "version": __version__,
        "config": dataclasses.asdict(config),
        "entries": [dataclasses.asdict(entry) for entry in entries],
        "seeds": list(seeds),
    }
    if begin_results(path, {"comparison": here}):
        return []
    there, lines = _read(path)
    differing = differences(*({**json.loads(json.dumps(one)), "version": ""} for one in (there, here)))
    if differing:
        raise StateError(
            "compare",
            "the results file is of another comparison; name a new one",
            file=path,
            differing=differing,
        )
    return lines


def _read(path: Path) -> tuple[dict[str, Any], list[tuple[str, int, Outcome]]]:
    return read_results(path, "comparison", {"config", "entries", "seeds"}, _training)


def _training(header: dict[str, Any], line: dict[str, Any]) -> tuple[str, int, Outcome]:
    label, seed = line.pop("optimizer"), line.pop("seed")
    if label not in {entry["label"] for entry in header["entries"]} or seed not in header["seeds"]:
        raise ValueError("a training that is not of the comparison")
    outcome = Outcome(**line)
    for row in (*outcome.rows, outcome.test):
        row.update({name: math.nan for name, value in row.items() if value is None})
    return label, seed, outcome


def table(results: Sequence[Result]) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Return columns and rows of a table: mean and standard deviation over the seeds at the end.

    The last column, if any, tells which trainings did not end well.

    Parameters
    ----------
    results : sequence of Result
        What `compare` returned.
    """
    columns = (
        "optimizer",
        "settings",
        "training loss",
        "validation accuracy",
        "test accuracy",
        "seconds",
        "",
    )
    rows = [
        (
            result.entry.label,
            result.entry.describe(),
            _mean_and_deviation(result.last("loss"), ".3f"),
            _mean_and_deviation(result.last("val_accuracy"), ".2%"),
            _mean_and_deviation(result.last("test_accuracy"), ".2%"),
            f"{result.seconds()[-1]:.1f}" if result.ended else "",
            result.note(),
        )
        for result in results
    ]
    return (columns, rows) if any(row[-1] for row in rows) else (columns[:-1], [row[:-1] for row in rows])


def _mean_and_deviation(values: tuple[float, float], form: str) -> str:
    mean, deviation = ("" if math.isnan(value) else f"{value:{form}}" for value in values)
    return f"{mean.removesuffix('%')} ± {deviation}" if deviation else mean


def as_json(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return everything that was measured, as JSON can hold it: None for numbers that are not finite.

    Parameters
    ----------
    results : sequence of Result
        What `compare` returned.
    """
    return [
        {
            **dataclasses.asdict(result.entry),
            "seeds": {seed: _finite(dataclasses.asdict(o)) for seed, o in sorted(result.outcomes.items())},
        }
        for result in results
    ]


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
