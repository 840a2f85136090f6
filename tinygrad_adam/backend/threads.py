"""The one place that chooses how many threads compute, and which.

Our compiled loops are serial and release the interpreter lock, as NumPy's matrix products do. Large
ones are cut in pieces for a few Python threads that wait in a queue. Two pools of others are not used.
Numba's keep spinning after a loop has ended, and so do those of the BLAS library after a product (some
25 ms in OpenBLAS): whatever computes next finds the cores taken. A training step of a network with both
kinds of layers took twice as long with them. So products are cut in pieces too, each with the BLAS library
held to one thread, and given back its own for the products that the user's program makes besides.

How many threads there are changes no bit where each element is computed by itself: in optimizers,
activations, dropout and pooling. Matrix products, convolutions and sums over the channels of a batch may
differ in their last bits, for sums are cut, and a BLAS library may round a product by the shapes of its
pieces. The same number of threads gives the same bits on the same machine with the same kernels of the BLAS
library.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar, copy_context
from queue import SimpleQueue
from typing import Any

import numpy

from ..errors import OptionError
from ..values import integer

_workers: list[_Worker] = []
_lock = threading.Lock()
_holders = 0  # how many hold the BLAS library to one thread now
_before: list[int] = []  # how many threads its libraries had before


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _asked_for(variable: str) -> int | None:
    """Return the number that an environment variable holds, the first of several, or None."""
    first = os.environ.get(variable, "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


_count = _asked_for("OMP_NUM_THREADS") or _usable_cores()
_scopes = 0  # how many blocks of `num_threads` are open now; while there is none, nobody looks for one
_scoped: ContextVar[int] = ContextVar("num_threads")


def get_num_threads() -> int:
    """Return how many threads compute at most.

    At first they are as many as the environment variable ``TINYGRAD_ADAM_NUM_THREADS`` says, else
    ``OMP_NUM_THREADS``, else as there are usable cores.
    """
    return _scoped.get(_count) if _scopes else _count


@contextmanager
def num_threads(count: int) -> Iterator[None]:
    """Compute with at most `count` threads inside the ``with`` block; other threads keep their number.

    With one, the BLAS library is held to one thread as well, and that in the whole program: products that
    others make with NumPy meanwhile may take longer.
    """
    global _scopes
    token = _scoped.set(integer("num_threads", "count", count, 1))
    with _lock:
        _scopes += 1
    try:
        with one_blas_thread if count == 1 else nullcontext():
            yield
    finally:
        _scoped.reset(token)
        with _lock:
            _scopes -= 1


def set_num_threads(count: int) -> None:
    """Choose how many threads compute at most, those of the BLAS library included.

    The BLAS library follows if threadpoolctl is installed, as it is with the extra ``fast``. Another count
    may change the last bits of matrix products, convolutions and sums over channels; the same count gives the
    same bits again.

    Parameters
    ----------
    count : int
        At least 1.

    Raises
    ------
    OptionError
        If `count` is no positive integer.
    """
    global _count, _before
    _count = count = integer("set_num_threads", "count", count, 1)
    with _lock:
        libraries = _blas()
        if _holders:  # to be restored to the new count
            _before = [count] * len(libraries)
        else:
            _give_threads(libraries, [count] * len(libraries))


def _after_fork() -> None:
    """Begin anew: a child process inherits who holds what, but none of the other threads."""
    global _lock, _holders
    _workers.clear()
    _lock = threading.Lock()
    if _holders:
        _holders = 0
        _give_threads(_blas(), _before)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


_Switch = tuple[Callable[[], int], Callable[[int], object]]
"""What tells and what sets how many threads a library has."""


@functools.cache
def _blas() -> list[_Switch]:
    """Return the switches of the BLAS libraries in this process; nothing without threadpoolctl."""
    if importlib.util.find_spec("threadpoolctl") is None:
        return []
    from threadpoolctl import ThreadpoolController

    return [_switch(library) for library in ThreadpoolController().select(user_api="blas").lib_controllers]


def _switch(library: Any) -> _Switch:
    """Return OpenBLAS's own functions, which take 0.1 us each, or those of threadpoolctl, which take 2."""
    if library.internal_api == "openblas" and library.threading_layer == "pthreads":
        functions = ctypes.PyDLL(library.filepath)
        for prefix, suffix in itertools.product(("scipy_", ""), ("64_", "")):
            names = [f"{prefix}openblas_{what}_num_threads{suffix}" for what in ("get", "set")]
            if all(hasattr(functions, name) for name in names):
                return functions[names[0]], functions[names[1]]
    return library.get_num_threads, library.set_num_threads


def _give_threads(libraries: list[_Switch], counts: list[int]) -> None:
    for (_, give), count in zip(libraries, counts, strict=True):
        give(count)


class _OneThread:
    """Hold the BLAS library to one thread, for products that several threads make side by side.

    ``with one_blas_thread as possible:`` tells whether it can be; if not, let one thread do all the work.
    """

    def __enter__(self) -> bool:
        global _holders, _before
        libraries = _blas()
        with _lock:  # of those who overlap, the first limits and the last restores
            if not _holders:
                _before = [count() for count, _ in libraries]
                _give_threads(libraries, [1] * len(libraries))
            _holders += 1
        return bool(libraries)

    def __exit__(self, *error: object) -> None:
        global _holders
        with _lock:
            _holders -= 1
            if not _holders:
                _give_threads(_blas(), _before)


one_blas_thread = _OneThread()


@functools.cache
def _wait_awake() -> Any:
    """Return the compiled loop of `waiting.py`, or what does nothing where it cannot be had."""
    if importlib.util.find_spec("numba") is None or not hasattr(os, "sched_yield"):
        return lambda told, counter, value, times, politely: None
    from .waiting import wait_awake

    return wait_awake


_MOMENT = 1000
"""Times to yield the core, about half a microsecond each, before a thread goes to sleep."""
_POLITELY = 12
"""Times to yield it to one who has handed something over, until that one's next kernel has begun."""


def _new_count() -> numpy.ndarray[Any, Any]:
    """Return a number that compiled code can watch."""
    return numpy.zeros(1, numpy.int64)


class _Worker(threading.Thread):
    """Does pieces of work, one after the other, as long as the process lives."""

    def __init__(self) -> None:
        super().__init__(name="tinygrad_adam", daemon=True)
        self._pieces: SimpleQueue[Any] = SimpleQueue()
        self._given = _new_count()
        self.awake = False  # and looking for work
        self.start()

    def give(self, *piece: Any) -> None:
        self._pieces.put(piece)
        self._given[0] += 1

    def run(self) -> None:
        answered = _new_count()  # of nobody yet
        while True:
            given = self._given[0]
            self.awake = True
            _wait_awake()(answered, self._given, given, _MOMENT if self._pieces.empty() else 0, _POLITELY)
            self.awake = False
            context, work, start, stop, number, answers, answered = self._pieces.get()
            try:
                answers.put((number, context.run(work, start, stop), None))
            except BaseException as error:
                answers.put((number, None, error))
            del context, work, answers  # they may hold large arrays while this waits


def a_worker_is_awake() -> bool:
    """Tell whether handing something over now wakes nobody up, which would take some 70 us."""
    return bool(_workers) and _workers[0].awake


def _workers_for(count: int) -> list[_Worker]:
    """Return up to `count` workers: none inside of one, or where no thread can be started any more."""
    if isinstance(threading.current_thread(), _Worker):
        return []
    try:
        while len(_workers) < count:
            _workers.append(_Worker())
    except RuntimeError:  # the interpreter is ending
        pass
    return _workers[:count]


def in_pieces(work: Callable[[int, int], Any], size: int, least: int, align: int = 1) -> list[Any]:
    """Call ``work(start, stop)`` on pieces of ``range(size)``, side by side.

    Parameters
    ----------
    work : callable
        Must release the interpreter lock for most of its time, and write to places of its own.
    size : int
        Where the last piece ends.
    least : int
        The size of a piece below which handing it to a thread costs more than it saves.
    align : int
        Pieces begin at multiples of it.

    Returns
    -------
    list
        What each piece returned, in order. If one raises, so does this, once all have ended.
    """
    wanted = min(_scoped.get(_count) if _scopes else _count, size // max(least, 1))
    workers = _workers_for(wanted - 1) if wanted > 1 else []
    if not workers:
        return [work(0, size)]
    pieces = len(workers) + 1
    cuts = [size * i // pieces // align * align for i in range(pieces)] + [size]
    answers: SimpleQueue[Any] = SimpleQueue()
    answered = [_new_count() for _ in workers]
    for number, (worker, (start, stop)) in enumerate(zip(workers, itertools.pairwise(cuts[1:]), strict=True)):
        # Each gets a copy of the context, for it holds numpy.errstate and the like.
        worker.give(copy_context(), work, start, stop, number, answers, answered[number])
    results = [None] * pieces
    failure = None
    try:
        results[0] = work(cuts[0], cuts[1])
    except BaseException as error:
        failure = error
    for count in answered:
        _wait_awake()(_new_count(), count, 0, _MOMENT, 0)
        number, results[number + 1], problem = answers.get()
        failure = problem if failure is None else failure
    if failure is not None:
        raise failure
    return results


def products_in_pieces(work: Callable[[int, int], Any], size: int, least: int) -> list[Any]:
    """Call ``work(start, stop)``, which makes matrix products, on pieces of ``range(size)``, as `in_pieces`.

    Each product has one thread of the BLAS library; where that cannot be had, there is but one piece.
    """
    if (_scoped.get(_count) if _scopes else _count) == 1:
        return [work(0, size)]
    with one_blas_thread as possible:
        return in_pieces(work, size, least if possible else max(size, 1))


if os.environ.get("TINYGRAD_ADAM_NUM_THREADS"):  # the BLAS library follows; OMP_NUM_THREADS it reads itself
    _asked = _asked_for("TINYGRAD_ADAM_NUM_THREADS")
    if _asked is None:
        raise OptionError(
            "TINYGRAD_ADAM_NUM_THREADS", "it must be a positive integer, or not be set at all",
            value=os.environ["TINYGRAD_ADAM_NUM_THREADS"],
        )  # fmt: skip
    set_num_threads(_asked)
