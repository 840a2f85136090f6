"""One training of many: what it came to, without a folder, and many of them side by side."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, TypeVar

from .. import random
from ..backend.threads import get_num_threads, set_num_threads
from ..errors import NonFiniteError, OptionError, TinygradAdamError
from .callbacks import Callback
from .loop import Trainer
from .run import Experiment, RunConfig

Key = TypeVar("Key")
Result = TypeVar("Result")


@dataclass
class Outcome:
    """What a training came to.

    Attributes
    ----------
    status : {"ok", "diverged", "failed"}
        "diverged" if a loss became NaN or infinite, "failed" if it ended with another error.
    rows : list of dict
        The epochs that are complete, as in `History`.
    test : dict of str to float
        Loss and accuracy on the test images with the last weights, where they were asked for.
    error : str
        What went wrong.
    """

    status: str
    rows: list[dict[str, float]] = field(default_factory=list)
    test: dict[str, float] = field(default_factory=dict)
    error: str = ""

    @property
    def best(self) -> dict[str, float]:
        """The epoch with the highest validation accuracy; the later of equals, which a run keeps as well."""
        return max(reversed(self.rows), key=lambda row: row["val_accuracy"])


def run_trial(config: RunConfig, warm: bool = False, test: bool = False) -> Outcome:
    """Train as `config` says and as a `Run` would, step by step the same, but leave no file.

    It can be called in any process or thread.

    Parameters
    ----------
    config : RunConfig
        What to do.
    warm : bool
        Whether to take a step with a model of the same kind first, so that what is done once in a process
        (compiling, reserving memory) does not count in the seconds.
    test : bool
        Whether to measure on the test images at the end.

    Returns
    -------
    Outcome
        Errors included, but for Ctrl-C: what goes wrong in one training must not end the others.
    """
    rows: list[dict[str, float]] = []
    try:
        with random.fork_rng(config.seed):
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
    experiment.fit()
    if experiment.trainer.interrupted:
        raise KeyboardInterrupt


# --- Side by side ------------------------------------------------------------------------


def as_they_finish(
    executor: Executor, function: Callable[..., Result], jobs: Mapping[Key, Any], **settings: Any
) -> Iterator[tuple[Key, Result]]:
    """Call a function with each job, in parallel, and yield the results as they come.

    Parameters
    ----------
    executor : concurrent.futures.Executor
        Any: processes, threads, a cluster's, or one that works at once.
    function : callable
        Called with a job and the settings.
    jobs : mapping
        What to work on, by name or number.
    **settings
        More arguments of `function`.

    Yields
    ------
    key, result
        In the order in which they are ready.

    Raises
    ------
    TinygradAdamError
        If a worker process dies.
    """
    waiting: dict[Future[Result], Key] = {}
    # Not `concurrent.futures.wait`, which locks all futures one by one: Ctrl-C amid that would leave some of
    # them locked, and the end of the pool would wait for them forever.
    done: SimpleQueue[Future[Result]] = SimpleQueue()
    try:
        for key, job in jobs.items():
            future = executor.submit(function, job, **settings)
            waiting[future] = key
            future.add_done_callback(done.put)
            while not done.empty():  # one that works at once is ready
                ready = done.get()
                yield waiting.pop(ready), ready.result()
        while waiting:
            ready = done.get()
            yield waiting.pop(ready), ready.result()
    except BrokenProcessPool as error:
        raise TinygradAdamError(
            "parallel", "a worker process died; it may have run out of memory: try fewer --workers"
        ) from error
    finally:
        for future in waiting:
            future.cancel()


@contextmanager
def process_pool(workers: int | None = None, threads: int = 1) -> Iterator[ProcessPoolExecutor]:
    """Make worker processes; they end with the ``with`` block, at once if it ends by an exception.

    Each is started afresh ("spawn"), so a script that uses them needs ``if __name__ == "__main__":``.

    Parameters
    ----------
    workers : int, optional
        How many; by default as many as keep the threads of this process busy.
    threads : int
        How many threads each of them computes with. One is best for small models: as many trainings side by
        side as there are cores.

    Raises
    ------
    OptionError
        If a number is not positive.
    """
    for name, count in {"workers": workers, "threads": threads}.items():
        if count is not None and count < 1:
            raise OptionError("parallel", f"{name} must be positive", **{name: count})
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        workers or max(1, get_num_threads() // threads),
        mp_context=context,
        initializer=_start_worker,
        initargs=(threads, reader),
    )
    try:
        yield pool
    except BaseException:
        writer.close()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        writer.close()
        reader.close()


def _start_worker(threads: int, lifeline: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which hangs up
    set_num_threads(threads)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    """End this process when the other end is closed: the parent has stopped, or was killed."""
    try:
        lifeline.recv()
    except EOFError:
        os._exit(1)
