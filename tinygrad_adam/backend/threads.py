"""The threads that compute, and their number.

Our compiled loops are serial and release the interpreter lock, as NumPy's matrix products do. Large loops and
products are cut into pieces for a few Python threads, each of which takes its pieces from a queue. The pools
of Numba and of the BLAS library are not used: their threads keep spinning after a loop or a product has ended
(some 25 ms in OpenBLAS), and so keep the cores from the next computation. A training step of a network with
both kinds of layers took twice as long with them. So the BLAS library is held to one thread during our
products, and gets its threads back for other products of the user's program.

The number of threads changes no bit where each element is computed by itself: in optimizers, activations,
dropout and pooling. Matrix products, convolutions and sums over the channels of a batch may differ in their
last bits, for sums are cut, and a BLAS library may round a product differently for other shapes of the
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
from ..typing import Array
from ..values import integer

_workers: list[_Worker] = []
_lock = threading.Lock()
_holders = 0  # the number of threads that hold the BLAS libraries to one thread now
_before: list[int] = []  # the number of threads of each library before


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _asked_for(variable: str) -> int | None:
    """Return the first positive number in an environment variable, or None."""
    first = os.environ.get(variable, "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


_count = _asked_for("OMP_NUM_THREADS") or _usable_cores()
_scopes = 0  # the number of open blocks of `num_threads`; without any, `_scoped` need not be read
_scoped: ContextVar[int] = ContextVar("num_threads")


def get_num_threads() -> int:
    """Return the largest number of threads that compute.

    At first it is the value of the environment variable ``TINYGRAD_ADAM_NUM_THREADS``, else of
    ``OMP_NUM_THREADS``, else the number of usable cores.
    """
    return _scoped.get(_count) if _scopes else _count


@contextmanager
def num_threads(count: int) -> Iterator[None]:
    """Compute with at most `count` threads inside the ``with`` block; other contexts keep their number.

    With one, the BLAS library is held to one thread in the whole program: products that other threads of the
    program make with NumPy meanwhile may take longer.
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
    """Set the largest number of threads that compute, including threads of the BLAS library.

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
        If `count` is not a positive integer.
    """
    global _count, _before
    _count = count = integer("set_num_threads", "count", count, 1)
    with _lock:
        libraries = _blas()
        if _holders:  # to be restored to the new count
            _before = [count] * len(libraries)
        else:
            _set_threads(libraries, [count] * len(libraries))


def _after_fork() -> None:
    """Reset the state of a child process, which inherits all counts and locks, but no other thread."""
    global _lock, _holders
    _workers.clear()
    _lock = threading.Lock()
    if _holders:
        _holders = 0
        _set_threads(_blas(), _before)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


_Switch = tuple[Callable[[], int], Callable[[int], object]]
"""The functions that return and set the number of threads of a library."""


@functools.cache
def _blas() -> list[_Switch]:
    """Return the switches of the BLAS libraries in this process; none without threadpoolctl."""
    if importlib.util.find_spec("threadpoolctl") is None:
        return []
    from threadpoolctl import ThreadpoolController

    return [_switch(library) for library in ThreadpoolController().select(user_api="blas").lib_controllers]


def _switch(library: Any) -> _Switch:
    """Return OpenBLAS's own functions, which take 0.1 us each, or threadpoolctl's, which take 2."""
    if library.internal_api == "openblas" and library.threading_layer == "pthreads":
        functions = ctypes.PyDLL(library.filepath)
        for prefix, suffix in itertools.product(("scipy_", ""), ("64_", "")):
            names = [f"{prefix}openblas_{verb}_num_threads{suffix}" for verb in ("get", "set")]
            if all(hasattr(functions, name) for name in names):
                return functions[names[0]], functions[names[1]]
    return library.get_num_threads, library.set_num_threads


def _set_threads(libraries: list[_Switch], counts: list[int]) -> None:
    for (_, set_count), count in zip(libraries, counts, strict=True):
        set_count(count)


class _OneThread:
    """Hold the BLAS library to one thread, for products that several threads make in parallel.

    ``with one_blas_thread as possible:`` is True if it is; if not, let one thread do all the work.
    """

    def __enter__(self) -> bool:
        global _holders, _before
        libraries = _blas()
        with _lock:  # of overlapping blocks, the first limits and the last restores
            if not _holders:
                _before = [count() for count, _ in libraries]
                _set_threads(libraries, [1] * len(libraries))
            _holders += 1
        return bool(libraries)

    def __exit__(self, *error: object) -> None:
        global _holders
        with _lock:
            _holders -= 1
            if not _holders:
                _set_threads(_blas(), _before)


one_blas_thread = _OneThread()


@functools.cache
def _wait_awake() -> Callable[..., None]:
    """Return the compiled loop of `waiting.py`, or a function that does nothing without Numba."""
    if importlib.util.find_spec("numba") is None or not hasattr(os, "sched_yield"):
        return lambda *args: None
    from .waiting import wait_awake

    return wait_awake


_MOMENT = 1000
"""How often a thread yields the core, for about half a microsecond each, before it goes to sleep."""
_POLITELY = 12
"""How often a worker yields it to the thread that gave it work, until that thread's next kernel begins."""


def _new_count() -> Array:
    """Return a counter that compiled code can watch."""
    return numpy.zeros(1, numpy.int64)


class _Worker(threading.Thread):
    """A thread that works on pieces, one after the other, as long as the process lives."""

    def __init__(self) -> None:
        super().__init__(name="tinygrad_adam", daemon=True)
        self._pieces: SimpleQueue[tuple[Any, ...]] = SimpleQueue()
        self._given = _new_count()
        self.awake = False  # whether it looks for work without sleeping
        self.start()

    def give(self, *piece: object) -> None:
        self._pieces.put(piece)
        self._given[0] += 1

    def run(self) -> None:
        answered = _new_count()  # of no piece yet
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
            del context, work, answers  # they may refer to large arrays


def a_worker_is_awake() -> bool:
    """Return whether a worker would start at once; to wake one up takes some 70 us."""
    return bool(_workers) and _workers[0].awake


def _workers_for(count: int) -> list[_Worker]:
    """Return up to `count` workers: none inside a worker, fewer where no thread can be started any more."""
    if isinstance(threading.current_thread(), _Worker):
        return []
    try:
        while len(_workers) < count:
            _workers.append(_Worker())
    except RuntimeError:  # the interpreter is ending
        pass
    return _workers[:count]


def in_pieces(work: Callable[[int, int], Any], size: int, least: int, align: int = 1) -> list[Any]:
    """Call ``work(start, stop)`` on pieces of ``range(size)``, in parallel.

    Parameters
    ----------
    work : callable
        It should release the interpreter lock for most of its time, and write to separate elements.
    size : int
        The end of the last piece.
    least : int
        The smallest piece that is worth handing to a thread.
    align : int
        Pieces begin at multiples of it.

    Returns
    -------
    list
        The results of all pieces, in order. If one raises, its error is raised once all have ended.
    """
    wanted = min(get_num_threads(), size // max(least, 1))
    workers = _workers_for(wanted - 1) if wanted > 1 else []
    if not workers:
        return [work(0, size)]
    pieces = len(workers) + 1
    cuts = [size * i // pieces // align * align for i in range(pieces)] + [size]
    answers: SimpleQueue[Any] = SimpleQueue()
    answered = [_new_count() for _ in workers]
    for number, (worker, (start, stop)) in enumerate(zip(workers, itertools.pairwise(cuts[1:]), strict=True)):
        # Each gets a copy of the context, which holds numpy.errstate, for example.
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

    The BLAS library computes each product in one thread; where it cannot be held to one, there is one piece.
    """
    if get_num_threads() == 1:
        return [work(0, size)]
    with one_blas_thread as possible:
        return in_pieces(work, size, least if possible else max(size, 1))


if os.environ.get("TINYGRAD_ADAM_NUM_THREADS"):  # the BLAS library reads only OMP_NUM_THREADS itself
    _asked = _asked_for("TINYGRAD_ADAM_NUM_THREADS")
    if _asked is None:
        raise OptionError(
            "TINYGRAD_ADAM_NUM_THREADS", "it must be a positive integer, or not be set at all",
            value=os.environ["TINYGRAD_ADAM_NUM_THREADS"],
        )  # fmt: skip
    set_num_threads(_asked)
