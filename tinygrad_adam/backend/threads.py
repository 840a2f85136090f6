"""The one place that chooses how many threads compute, and which.

Matrix products bring their own threads, those of the BLAS library. Our compiled loops are serial and
release the interpreter lock; large ones are cut in pieces for a pool of Python threads. Numba's own
threads are not used: they keep spinning after a loop has ended, and so do those of the BLAS library
after a product, so that each would slow the other down.

Where one piece of work alternates between loops and small products, as a convolution does, each thread
does whole images by itself, with BLAS held to one thread meanwhile.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

from ..errors import OptionError

_pool: ThreadPoolExecutor | None = None
_lock = threading.Lock()
_holders = 0  # how many hold the BLAS library to one thread now
_limit: Any = None  # what sets it free again


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_count = _usable_cores()


def get_num_threads() -> int:
    """Return how many threads compute at most; at first as many as there are usable cores."""
    return _count


def set_num_threads(count: int) -> None:
    """Choose how many threads compute at most, those of the BLAS library included.

    The BLAS library follows if threadpoolctl is installed, as it is with the extra ``fast``.

    Parameters
    ----------
    count : int
        At least 1.

    Raises
    ------
    OptionError
        If `count` is no positive integer.
    """
    global _count, _limit
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise OptionError("set_num_threads", "the count must be a positive integer", count=count)
    _count = count
    _forget_pool()
    controller = _blas()
    if controller is not None:
        with _lock:
            controller.limit(limits=count, user_api="blas")
            if _holders:  # to be restored to the new count
                _limit = controller.limit(limits=1, user_api="blas")
            _let_go(controller)


def _forget_pool() -> None:
    global _pool
    _pool = None


def _after_fork() -> None:
    """Begin anew: a child process inherits the pool and who holds what, but none of the other threads."""
    global _lock, _holders
    _forget_pool()
    _lock = threading.Lock()
    if _holders:
        _holders = 0
        _limit.restore_original_limits()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@functools.cache
def _blas() -> Any:
    """Return what can limit the threads of the BLAS library, or None."""
    if importlib.util.find_spec("threadpoolctl") is None:
        return None
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def _let_go(controller: Any) -> None:
    """Let any thread limit the BLAS library next; threadpoolctl 3.8 reserves that to the first that did."""
    for library in controller.lib_controllers:
        getattr(library, "clear_controlling_thread", lambda: None)()


@contextmanager
def one_blas_thread() -> Iterator[bool]:
    """Hold the BLAS library to one thread, for products that several threads make side by side.

    Yields
    ------
    bool
        Whether that was possible; if not, let one thread do all the work.
    """
    global _holders, _limit
    controller = _blas()
    if controller is None or _count == 1:
        yield controller is not None
        return
    with _lock:  # of those who overlap, the first limits and the last restores
        if not _holders:
            _limit = controller.limit(limits=1, user_api="blas")
            _let_go(controller)
        _holders += 1
    try:
        yield True
    finally:
        with _lock:
            _holders -= 1
            if not _holders:
                _limit.restore_original_limits()
                _let_go(controller)


def _hand_over(
    pool: ThreadPoolExecutor, work: Callable[[int, int], Any], start: int, stop: int
) -> Future[Any]:
    try:
        # Each thread gets a copy of the context, for it holds numpy.errstate and the like.
        return pool.submit(copy_context().run, work, start, stop)
    except RuntimeError:  # the main thread has ended, after which pools take nothing more
        done: Future[Any] = Future()
        done.set_result(work(start, stop))
        return done


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
    global _pool
    count, pool = _count, _pool
    pieces = max(1, min(count, size // max(least, 1)))
    if pieces == 1:
        return [work(0, size)]
    if pool is None:
        pool = _pool = ThreadPoolExecutor(count - 1, thread_name_prefix="tinygrad_adam")
    cuts = [size * i // pieces // align * align for i in range(pieces)] + [size]
    others = [_hand_over(pool, work, start, stop) for start, stop in itertools.pairwise(cuts[1:])]
    try:
        return [work(cuts[0], cuts[1]), *(other.result() for other in others)]
    except BaseException:
        wait(others)
        raise
