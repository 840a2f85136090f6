"""One training of many: it leaves no folder, only an outcome."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ...backend.threads import num_threads
from ...errors import NonFiniteError
from ...tensor import random
from ..config import RunConfig
from ..loop import Callback, Trainer
from ..run import Experiment
from . import parallel


@dataclass
class Outcome:
    """The outcome of a training.

    Attributes
    ----------
    status : {"ok", "diverged", "failed"}
        "diverged" if a loss became NaN or infinite, "failed" if it ended with another error.
    rows : list of dict
        The epochs that are complete, as in `History`.
    test : dict of str to float
        Loss and accuracy on the test images with the last weights, if asked for.
    error : str
        The message, if it did not end well.
    """

    status: str
    rows: list[dict[str, float]] = field(default_factory=list)
    test: dict[str, float] = field(default_factory=dict)
    error: str = ""

    @classmethod
    def of_a_death(cls, problem: str) -> Outcome:
        """Return the outcome of a training whose process died."""
        return cls("failed", error=problem)

    @property
    def best(self) -> dict[str, float]:
        """The epoch with the highest validation accuracy; the later of equals, which a run keeps as well."""
        return max(reversed(self.rows), key=lambda row: row["val_accuracy"])


def run_trial(config: RunConfig, warm: bool = False, test: bool = False) -> Outcome:
    """Train as a `Run` with this configuration would, step by step the same, but leave no file.

    It can be called in any process or thread, and gives the same numbers in each: it computes with one thread
    wherever it runs, except in the workers of a `process_pool` with more.

    Parameters
    ----------
    config : RunConfig
        The configuration.
    warm : bool
        Whether to take a step with a model of the same kind first, so that work done once in a process
        (compiling, reserving memory) does not count in the seconds.
    test : bool
        Whether to measure on the test images at the end.

    Returns
    -------
    Outcome
        Errors included, except Ctrl-C: an error of one training must not end the others.
    """
    rows: list[dict[str, float]] = []
    try:
        with num_threads(parallel.threads_per_job), random.fork_rng(config.seed):
            if warm:
                _fit(Experiment(config, [_OneStep()]))
            experiment = Experiment(config)
            rows = experiment.trainer.history.rows
            _fit(experiment)
            if not all(math.isfinite(row["val_loss"]) for row in rows):
                raise NonFiniteError("training", "a validation loss is not finite; lower the learning rate")
            return Outcome("ok", rows, experiment.evaluate() if test else {})
    except NonFiniteError as error:
        return Outcome("diverged", rows, error=str(error))
    except Exception as error:
        return Outcome("failed", rows, error=f"{type(error).__name__}: {error}")


class _OneStep(Callback):
    """Ends training after the first step."""

    def on_step_end(self, trainer: Trainer) -> None:
        trainer.stop("one step")


def _fit(experiment: Experiment) -> None:
    experiment.fit(progress=False)
    if experiment.trainer.interrupted:
        raise KeyboardInterrupt
