"""Jobs side by side, in processes that may die or on any executor."""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, TypeVar

from ...backend.threads import get_num_threads, set_num_threads
from ...errors import OptionError, TinygradAdamError

Key = TypeVar("Key")
Result = TypeVar("Result")

threads_per_job = 1
"""The number of threads that compute a job here: one, so that its numbers are the same in any process and
thread; in the workers of `process_pool` the number that was asked for."""

DEATHS = 3
"""The number of processes that may die before the first job is done; after more, all would die."""
DIED = "a worker process died; it may have run out of memory: try fewer --workers"


class Workers(ProcessPoolExecutor):
    """The processes of `process_pool`, which can be replaced when one of them dies.

    Parameters
    ----------
    count : int
        The number of processes.
    threads : int
        The number of threads that each computes with.
    lifeline : Connection
        They end when its other end is closed.
    """

    def __init__(self, count: int, threads: int, lifeline: Connection) -> None:
        self.count, self.settings = count, (count, threads, lifeline)
        super().__init__(
            count,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(threads, lifeline),
        )

    def again(self) -> Workers:
        """Return new processes in place of these, which are broken."""
        self.shutdown(wait=False, cancel_futures=True)
        return Workers(*self.settings)


def as_they_finish(
    executor: Executor,
    function: Callable[..., Result],
    jobs: Mapping[Key, Any],
    died: Callable[[str], Result] | None = None,
    **settings: Any,
) -> Iterator[tuple[Key, Result]]:
    """Call a function with each job, in parallel, and yield the results as they come.

    When a process of a `process_pool` dies, new ones take their place. The jobs that were under way are
    repeated, one at a time, which shows the job that killed it.

    Parameters
    ----------
    executor : concurrent.futures.Executor
        Any one: of processes, of threads, of a cluster, or one that works at once.
    function : callable
        Called with a job and the settings.
    jobs : mapping
        The jobs, by name or number.
    died : callable, optional
        Makes the result of a job that killed a process twice, from a text. Without it, this is an error.
    **settings
        More arguments of `function`.

    Yields
    ------
    key, result
        In the order in which they are ready.

    Raises
    ------
    TinygradAdamError
        If the executor fails, with the names of the jobs that are done.
    """
    pool, todo, finished, deaths = executor, deque(jobs), list[Key](), 0
    suspects: set[Key] = set()  # they were under way when a process died
    waiting: dict[Future[Result], Key] = {}
    # Not `concurrent.futures.wait`, which locks all futures one by one: Ctrl-C amid that would leave some of
    # them locked, and the end of the pool would wait for them forever.
    done: SimpleQueue[Future[Result]] = SimpleQueue()
    try:
        while todo or waiting:
            try:
                if todo and len(waiting) < _room(pool, suspects.intersection({todo[0], *waiting.values()})):
                    future = pool.submit(function, jobs[todo[0]], **settings)
                    waiting[future] = todo.popleft()
                    future.add_done_callback(done.put)
                    if done.empty():
                        continue  # with the next; of one that works at once, the result is there
                ready = done.get()
                result = ready.result()
            except BrokenProcessPool as error:
                lost, deaths = list(waiting.values()), deaths + 1
                again = suspects.intersection(lost)
                hopeless = (again and died is None) or (deaths > DEATHS and not finished)
                if hopeless or not isinstance(pool, Workers):
                    raise _stopped(DIED, finished, jobs) from error
                pool, done = pool.again(), SimpleQueue()
                waiting.clear()
                if again and died is not None:
                    suspects -= again
                    yield lost[0], died(DIED)
                else:
                    suspects.update(lost)
                    todo.extendleft(reversed(lost))
            except (Exception, asyncio.CancelledError) as error:  # the executor's; `function` raises none
                problem = f"the executor failed: {type(error).__name__}: {error}".rstrip(": ")
                raise _stopped(problem, finished, jobs) from error
            else:
                finished.append(waiting.pop(ready))
                suspects.discard(finished[-1])
                yield finished[-1], result
    finally:
        for future in waiting:
            future.cancel()
        if pool is not executor:  # waiting is for `process_pool`, which hangs up first
            pool.shutdown(wait=False, cancel_futures=True)


def _room(pool: Executor, suspects: Collection[Any]) -> float:
    """Return how many jobs may be under way: one if it is a suspect, else one for each of our processes."""
    if suspects:
        return 1
    return pool.count if isinstance(pool, Workers) else math.inf


def _stopped(problem: str, finished: list[Any], jobs: Collection[Any]) -> TinygradAdamError:
    shown = [", ".join(map(str, key)) if isinstance(key, tuple) else str(key) for key in finished]
    return TinygradAdamError(
        "parallel",
        problem,
        done=f"{len(finished)} of {len(jobs)}" + (": " if shown else "") + "; ".join(shown),
    )


@contextmanager
def process_pool(workers: int | None = None, threads: int = 1) -> Iterator[Workers]:
    """Make worker processes; they end with the ``with`` block, at once if it ends by an exception.

    Each is started afresh ("spawn"), so a script that uses them needs ``if __name__ == "__main__":``.

    Parameters
    ----------
    workers : int, optional
        The number of processes; by default as many as keep the threads of this process busy.
    threads : int
        The number of threads that each computes with. One is best for small models: as many trainings side by
        side as there are cores.

    Raises
    ------
    OptionError
        If a number is not positive.
    """
    for name, count in {"workers": workers, "threads": threads}.items():
        if count is not None and count < 1:
            raise OptionError("parallel", f"{name} must be positive", **{name: count})
    reader, writer = multiprocessing.get_context("spawn").Pipe(duplex=False)
    pool = Workers(workers or max(1, get_num_threads() // threads), threads, reader)
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
    global threads_per_job
    threads_per_job = threads
    set_num_threads(threads)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    """End this process when the other end is closed: the parent has stopped, or was killed."""
    try:
        lifeline.recv()
    except EOFError:
        os._exit(1)
