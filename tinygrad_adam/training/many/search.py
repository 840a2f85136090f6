"""Tuning: many trainings with different hyper-parameters, in a file that a killed search goes on from.

The file is JSON Lines. Its first line names the search, each line below it is a trial::

    {"search": {"version": "0.1.0", "config": {"data": "digits", ...}, "space": {"lr": ...}, ...}}
    {"trial": 0, "settings": {"lr": 0.001}, "status": "ok", "val_accuracy": 0.97, ...}

See `results`, which writes and reads it.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..._version import __version__
from ...engine.viewers import view
from ...errors import OptionError
from ...values import integer, plain
from ..config import RunConfig
from .parallel import as_they_finish, process_pool
from .results import append_result, begin_results, check_same, read_results, readable
from .space import Range, Space, draw, grid, optimizer_settings
from .trial import Outcome, run_trial


@dataclass(frozen=True)
class Trial:
    """One training of a search.

    Attributes
    ----------
    trial : int
        Its number, from 0.
    settings : dict
        The hyper-parameters of this training.
    status : {"ok", "diverged", "failed"}
        "diverged" if the loss became NaN or infinite, "failed" if it ended with another error.
    epoch : int or None
        The best epoch, by validation accuracy, as a run keeps it; None if the trial did not end well.
    val_accuracy, val_loss, loss : float or None
        Of that epoch.
    seconds : float
        The time of the epochs that were complete.
    error : str
        The message, if the trial did not end well.
    """

    trial: int
    settings: dict[str, Any]
    status: str
    epoch: int | None = None
    val_accuracy: float | None = None
    val_loss: float | None = None
    loss: float | None = None
    seconds: float = 0.0
    error: str = ""

    @classmethod
    def of(cls, number: int, settings: dict[str, Any], outcome: Outcome) -> Trial:
        """Sum up the outcome of a training."""
        seconds = round(sum(row["seconds"] for row in outcome.rows), 3)
        if outcome.status != "ok":
            return cls(number, settings, outcome.status, seconds=seconds, error=outcome.error)
        best: Any = {name: outcome.best[name] for name in ("epoch", "val_accuracy", "val_loss", "loss")}
        return cls(number, settings, "ok", seconds=seconds, **best)


class Trials(list[Trial]):
    """The trials of a search, in the order of their numbers; a notebook shows them as a table and a picture.

    Attributes
    ----------
    search : Search
        The search.
    """

    def __init__(self, search: Search, trials: Iterable[Trial]) -> None:
        super().__init__(trials)
        self.search = search

    def _repr_html_(self) -> str | None:
        return view("Trials._repr_html_")(self)


class Search:
    """Looks for the hyper-parameters of an optimizer that train best.

    Parameters
    ----------
    config : RunConfig
        The configuration of every trial; its optimizer's settings hold where they are not searched.
    space : mapping of str to Range or sequence
        The hyper-parameters to search, with "beta1" and "beta2" for the parts of betas.
    trials : int, optional
        The number of trials drawn at random; None for a grid.
    points : int
        The number of values that a grid takes from each range.

    Attributes
    ----------
    configs : list of RunConfig
        The configuration of each trial.
    settings : list of dict
        The hyper-parameters of each trial.

    Raises
    ------
    OptionError
        If the space is empty, a name in it is not known, or a value out of its domain; all trials are checked
        before any is run.

    Examples
    --------
    >>> import tempfile
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from tinygrad_adam.training import Range, RunConfig, Search, rank_trials
    >>> config = RunConfig(model="mlp:8", epochs=1, batch_size=512)
    >>> search = Search(config, {"lr": Range("lr", 1e-3, 1e-1)}, points=3)
    >>> with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as executor:
    ...     trials = search.run(f"{folder}/trials.jsonl", executor)
    >>> [trial.settings["lr"] for trial in trials], rank_trials(trials)[0].settings["lr"]
    ([0.001, 0.01, 0.1], 0.1)
    """

    def __init__(self, config: RunConfig, space: Space, trials: int | None = None, points: int = 5) -> None:
        # JSON holds no numbers of NumPy.
        self.config, self.points = config, integer("search", "points", points)
        self.trials = None if trials is None else integer("search", "trials", trials)
        self.space: dict[str, Range | Sequence[Any]] = {
            name: values if isinstance(values, Range) else plain(list(values))
            for name, values in dict(space).items()
        }
        if not self.space or not all(self.space.values()):
            raise OptionError(
                "search",
                "the search space is empty; name what to try, as in lr=1e-4..1e-1 or beta1=0.8,0.9",
            )
        if self.trials is None:
            drawn = grid(self.space, self.points)
        else:
            drawn = draw(self.space, self.trials, config.seed)
        self.settings = list({_key(settings): settings for settings in drawn}.values())
        self.configs = [self.config_of(settings) for settings in self.settings]

    def config_of(self, settings: Mapping[str, Any]) -> RunConfig:
        """Return the configuration of a run with these hyper-parameters."""
        together = optimizer_settings(self.config.optimizer, self.config.settings, settings)
        return dataclasses.replace(self.config, settings=together)

    def header(self) -> dict[str, Any]:
        """Return the first line of a results file."""
        space = {
            name: {"low": values.low, "high": values.high} if isinstance(values, Range) else list(values)
            for name, values in self.space.items()
        }
        return {
            "version": __version__,
            "config": dataclasses.asdict(self.config),
            "space": space,
            "trials": self.trials,
            "points": self.points,
        }

    @classmethod
    def open(cls, path: str | os.PathLike[str], trials: int | None = None) -> Search:
        """Make the search again that wrote a results file.

        Parameters
        ----------
        path : path
            The file.
        trials : int, optional
            More draws of a random search than it had.

        Raises
        ------
        CheckpointError
            If it is not a results file, or damaged.
        OptionError
            If `trials` is given for a grid.
        """
        header, _ = _read(Path(path))
        if trials is not None and header["trials"] is None:
            raise OptionError("search", "it is a grid; trials are drawn in a random search only", file=path)
        with readable(Path(path), "search"):
            space = {
                name: Range(name, **values) if isinstance(values, dict) else values
                for name, values in header["space"].items()
            }
            config = RunConfig(**header["config"])
        return cls(config, space, trials or header["trials"], header["points"])

    def run(
        self,
        path: str | os.PathLike[str],
        executor: Executor | None = None,
        report: Callable[[Trial], None] | None = None,
    ) -> Trials:
        """Run the trials that the file does not hold yet; those that failed are tried again.

        Parameters
        ----------
        path : path
            The results file; made if it does not exist.
        executor : concurrent.futures.Executor, optional
            Where to run the trials; by default one process a core, with one thread each.
        report : callable, optional
            Called with each new trial.

        Returns
        -------
        Trials
            A list of Trial: all trials of the file, in the order of their numbers.

        Raises
        ------
        StateError
            If the file belongs to another search.
        CheckpointError
            If it is not a results file, or damaged.
        """
        target = Path(path)
        trials = {_key(trial.settings): trial for trial in self._finished(target)}
        todo = [
            number
            for number, settings in enumerate(self.settings)
            if (old := trials.get(_key(settings))) is None or old.status == "failed"
        ]
        if todo:
            with process_pool() if executor is None else nullcontext(executor) as pool:
                jobs = {number: self.configs[number] for number in todo}
                for number, outcome in as_they_finish(pool, run_trial, jobs, Outcome.of_a_death):
                    trial = Trial.of(number, self.settings[number], outcome)
                    append_result(target, dataclasses.asdict(trial))
                    trials[_key(trial.settings)] = trial
                    if report is not None:
                        report(trial)
        return Trials(self, sorted(trials.values(), key=lambda trial: trial.trial))

    def _finished(self, path: Path) -> list[Trial]:
        """Return the trials in the file, and make it ready for more."""
        if begin_results(path, {"search": self.header()}):
            return []
        there, trials = _read(path)
        if there["trials"] is not None and self.trials is not None:
            there["trials"] = self.trials  # a random search may draw more than before
        check_same("search", "search", path, there, self.header())
        return trials


def rank_trials(trials: list[Trial]) -> list[Trial]:
    """Return the trials that ended well: the highest validation accuracy first, then the lowest loss.

    Raises
    ------
    OptionError
        If there is none.
    """
    good = [trial for trial in trials if trial.status == "ok"]
    if not good:
        raise OptionError(
            "search", "no trial ended well; try lower learning rates, or look at the errors",
            **{f"trial {trial.trial}": trial.error.splitlines()[0] for trial in trials[:3]},
        )  # fmt: skip
    return sorted(good, key=lambda trial: (-(trial.val_accuracy or 0), trial.val_loss, trial.trial))


# --- The file ----------------------------------------------------------------------------


def _key(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)


def _read(path: Path) -> tuple[dict[str, Any], list[Trial]]:
    return read_results(path, "search", {"config", "space", "trials", "points"}, _trial)


def _trial(header: dict[str, Any], line: dict[str, Any]) -> Trial:
    trial = Trial(**line)
    if set(trial.settings) != set(header["space"]):
        raise ValueError("its hyper-parameters are not the ones of the search")
    return trial
