"""Optimizers side by side: the same initial weights, the same batches, several seeds."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

from ..._version import __version__
from ...engine.viewers import view
from ...errors import OptionError, unknown_name
from ...files.text import aligned
from ...files.writing import finite_or_none
from ...optim import OPTIMIZERS
from ...values import integer, plain, read_value
from ..config import RunConfig
from .parallel import as_they_finish, process_pool
from .results import append_result, begin_results, check_same, read_results, readable
from .space import optimizer_settings
from .trial import Outcome, run_trial

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
"""The optimizer and settings of each label. The learning rates are 1, 2 or 5 times a power of ten, whichever
left the lowest validation loss after 12 epochs of the digits with mlp:256,256, a constant rate and two seeds:
a fair start for small networks. Other networks may need another rate for each optimizer."""

STANDARD = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta", "adam", "adamw", "nadam")


@dataclass(frozen=True)
class Entry:
    """One optimizer of a comparison.

    Attributes
    ----------
    label : str
        Its name in the table and the picture.
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
            The name is a key of `RECIPES` or of `OPTIMIZERS`; the settings override the recipe, and
            "beta1" and "beta2" stand for the parts of "betas". The text is the label.
        where : str
            The function that asks; its errors begin with it.

        Raises
        ------
        OptionError
            If the name or a setting is not known, with the nearest known one, or a value is out of domain.

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
    """The outcomes of one optimizer, over the seeds.

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

        They are the medians over the seeds, epoch by epoch, added up, so that other work of the machine
        during one training does not count. An epoch includes its validation.
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
            Of the trainings that ended well; NaN if none did. The deviation is the one of a sample (divided
            by one less than their number), NaN for one training.
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
        """Return how many trainings did not end well, and how they ended; nothing if all ended well."""
        count = len(self.outcomes)
        bad = [outcome for outcome in self.outcomes.values() if outcome.status != "ok"]
        kinds = sorted({outcome.status for outcome in bad})
        return f"{len(bad)} of {count} {' or '.join(kinds)}" if bad else ""


class Comparison(list[Result]):
    """The results of a comparison, the best first; a notebook shows them as a table and a picture.

    Attributes
    ----------
    config : RunConfig
        The configuration of every training.
    """

    def __init__(self, config: RunConfig, results: Iterable[Result]) -> None:
        super().__init__(results)
        self.config = config

    def __repr__(self) -> str:
        columns, rows = table(self)
        return "\n".join(aligned([columns, *rows], left=2))

    def _repr_html_(self) -> str | None:
        return view("Comparison._repr_html_")(self)


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
) -> Comparison:
    """Train a model with several optimizers.

    With a seed, all of them begin with the same weights and see the same batches in the same order, and the
    same units are dropped: these depend on the seed alone.

    Parameters
    ----------
    config : RunConfig
        The configuration of every training; its optimizer, settings and seed are replaced.
    entries : sequence of Entry
        The optimizers.
    seeds : sequence of int
        Each optimizer is trained once with each.
    executor : concurrent.futures.Executor, optional
        Where to train; by default one process a core, with one thread each. Seconds can be compared if each
        training has a core of its own.
    report : callable, optional
        Called with entry, seed and outcome of each training as it ends.
    path : path, optional
        A file that keeps each training as soon as it ends; made if it does not exist. Trainings in it are not
        repeated, unless they failed; `read_comparison` returns their configuration.

    Returns
    -------
    Comparison
        A list of Result: the highest mean validation accuracy first; optimizers that never ended well are
        last.

    Raises
    ------
    OptionError
        If there is no optimizer or seed, or two labels are the same.
    StateError
        If the file belongs to another comparison.
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
    # Seed by seed: other work of the machine meanwhile slows all optimizers alike.
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
                    line = {"optimizer": label, "seed": seed, **finite_or_none(dataclasses.asdict(outcome))}
                    append_result(Path(path), line)
                if report is not None:
                    report(results[label].entry, seed, outcome)
    ranked = sorted(
        results.values(), key=lambda result: -result.last("val_accuracy")[0] if result.ended else math.inf
    )
    return Comparison(config, ranked)


def read_comparison(path: str | os.PathLike[str]) -> tuple[RunConfig, list[Entry], list[int], int]:
    """Return configuration, optimizers and seeds of the comparison in a file, and how many are done.

    Returns
    -------
    config, entries, seeds
        The arguments of `compare`.
    done : int
        The number of trainings that need not be done again.

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
    """Return a saved entry; JSON makes lists of tuples."""
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
    check_same("compare", "comparison", path, there, here)
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

    The last column, if any, counts the trainings that did not end well.

    Parameters
    ----------
    results : sequence of Result
        The results of `compare`.
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
    """Return all measurements as JSON can hold them: None for numbers that are not finite.

    Parameters
    ----------
    results : sequence of Result
        The results of `compare`.
    """
    return [
        {
            **dataclasses.asdict(result.entry),
            "seeds": {
                seed: finite_or_none(dataclasses.asdict(o)) for seed, o in sorted(result.outcomes.items())
            },
        }
        for result in results
    ]
