"""Events of a training step, and the watchers that receive them: a film, a doctor, a ledger, a recording.

The engine, modules and optimizers report each event from one line. Without a watcher, that line calls a
function of C which drops its argument.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..typing import Array

_lock = threading.Lock()
_count = 0  # of watchers, in all threads
_watchers: ContextVar[tuple[Watcher, ...]] = ContextVar("tinygrad_adam_watchers", default=())


class Watcher:
    """Receives events; a subclass defines the methods of the events that it wants.

    The arguments belong to the training step: a watcher must not change them, and must copy what it keeps,
    since arrays are used again. Operations that a watcher itself calls cause no events for it.
    """

    apart = True
    """Whether layers that could run as one run one by one, so that the values between them can be seen."""

    def operation(self, primitive: Any, args: tuple[Any, ...], settings: dict[str, Any], output: Any) -> None:
        """Receive an operation on Tensors and the Tensor that it made."""

    def read(self, variable: Any, where: str) -> None:
        """Receive a Tensor whose value the function `where` reads, which no graph shows."""

    def changed(self, variable: Any, where: str) -> None:
        """Receive a Tensor that is about to be changed in place, or its gradient, hooks or freezing."""

    def replaced(self, variable: Any, before: Any) -> None:
        """Receive a Tensor that is about to get another value and history; `before` has the old ones."""

    def detached(self, variable: Any, result: Any) -> None:
        """Receive a Tensor and one without history that shares its memory."""

    def aside(self, function: Callable[..., Any], args: tuple[Any, ...], result: Any) -> None:
        """Receive a function of raw arrays that is no operation, its arguments and its result."""

    def draws(self) -> None:
        """Receive the news that the random generator is about to be used or changed."""

    def module_begins(self, module: Any, args: tuple[Any, ...]) -> None:
        """Receive a module that was called."""

    def module_ends(self, module: Any, output: Any) -> None:
        """Receive its output, or None if it failed."""

    def backward_begins(self, root: Any) -> None:
        """Receive the Tensor from which a backward pass starts."""

    def backward_ends(self, root: Any) -> None:
        """Receive it again when all gradients of that pass are in their places."""

    def gradient(self, node: Any, g: Any) -> None:
        """Receive the complete gradient of the output of `node`, before its rules run."""

    def share(self, node: Any, position: int, parent: Any, share: Array) -> None:
        """Receive the result of a rule: the share of the input at `position`, made by `parent`."""

    def assigned(self, leaf: Any) -> None:
        """Receive a Tensor whose gradient the user's code assigned: ``leaf.grad = ...``."""

    def step_begins(self, optimizer: Any) -> None:
        """Receive an optimizer about to step; gradients are in place, parameters not yet changed."""

    def step_ends(self, optimizer: Any) -> None:
        """Receive it after its step."""


def _tell(event: tuple[Any, ...]) -> None:
    """Call the method of that name of all watchers in this context."""
    watchers = _watchers.get()
    if not watchers:
        return
    token = _watchers.set(())  # as `unwatched` does, at less cost: this runs several times an operation
    try:
        for watcher in watchers:
            getattr(watcher, event[0])(*event[1:])
    finally:
        _watchers.reset(token)


_nowhere: Callable[[tuple[Any, ...]], None] = deque[Any](maxlen=0).append
"""The fastest function that drops its argument."""

tell = _nowhere
"""Tell an event: the name of a method of `Watcher`, then its arguments, in one tuple."""


@contextmanager
def watch(watcher: Watcher) -> Iterator[None]:
    """Send the events of this context (thread) to `watcher` inside the block."""
    token = _watchers.set((*_watchers.get(), watcher))
    _add(1)
    try:
        yield
    finally:
        _add(-1)
        _watchers.reset(token)


def _add(change: int) -> None:
    global _count, tell
    with _lock:
        _count += change
        tell = _tell if _count else _nowhere


@contextmanager
def unwatched() -> Iterator[None]:
    """Suspend all watchers of this context inside the block; new ones may be added."""
    token = _watchers.set(())
    try:
        yield
    finally:
        _watchers.reset(token)


def watched() -> bool:
    """Return whether any thread has a watcher."""
    return tell is _tell


def apart() -> bool:
    """Return whether a watcher of this context wants layers to run one by one."""
    return any(watcher.apart for watcher in _watchers.get())
