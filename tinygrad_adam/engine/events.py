"""Watchers of a training step: what the doctor, the film and the ledger are told while it runs.

The engine, modules and optimizers tell whoever watches what they do. They first ask whether there is
anyone, a look at one number, so that watching costs nothing where nobody does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

anyone = 0
"""How many watch at this moment, in any thread."""

_lock = threading.Lock()
_watchers: ContextVar[tuple[Watcher, ...]] = ContextVar("tinygrad_adam_watchers", default=())


class Watcher:
    """Is told of each event; a subclass defines the methods of those that it wants to hear of.

    What it is given belongs to the training step: it must not change it, and must copy what it wants to
    keep, since arrays are used again. What it computes itself is not watched.
    """

    apart = True
    """Whether layers that could run as one run one by one, so that it hears of what lies between."""

    def operation(self, primitive: Any, args: tuple[Any, ...], settings: dict[str, Any], output: Any) -> None:
        """Hear that an operation on Tensors has made the Tensor `output`."""

    def read(self, variable: Any, where: str) -> None:
        """Hear that the function `where` looks at the value of a Tensor, which no graph shows."""

    def changed(self, variable: Any, where: str) -> None:
        """Hear that a Tensor is about to be changed in place, or its gradient, hooks or freezing."""

    def replaced(self, variable: Any, before: Any) -> None:
        """Hear that a Tensor is about to get another value and history; `before` has those of now."""

    def detached(self, variable: Any, result: Any) -> None:
        """Hear that `result` shares the memory of a Tensor, but not its history."""

    def aside(self, function: Any, args: tuple[Any, ...], result: Any) -> None:
        """Hear what a function that is no operation has made of raw arrays, those of Tensors among `args`."""

    def draws(self) -> None:
        """Hear that somebody takes the random generator, to draw from it or to change it."""

    def module_begins(self, module: Any, args: tuple[Any, ...]) -> None:
        """Hear that a module was called."""

    def module_ends(self, module: Any, output: Any) -> None:
        """Hear that its output is there, or None if it failed."""

    def backward_begins(self, root: Any) -> None:
        """Hear that a backward pass sets out from the Tensor `root`."""

    def backward_ends(self, root: Any) -> None:
        """Hear that all gradients of that pass are in their places."""

    def gradient(self, node: Any, g: Any) -> None:
        """Hear that the gradient of the output of `node` is complete; its rules come next."""

    def share(self, node: Any, position: int, parent: Any, share: Any) -> None:
        """Hear what a rule gave for the input at `position`, which `parent` (node or leaf) made."""

    def assigned(self, leaf: Any) -> None:
        """Hear that the user's code gave a Tensor a gradient: ``leaf.grad = ...``."""

    def step_begins(self, optimizer: Any) -> None:
        """Hear that an optimizer is about to step; gradients are in place, parameters not yet changed."""

    def step_ends(self, optimizer: Any) -> None:
        """Hear that it has stepped."""


@contextmanager
def watch(watcher: Watcher) -> Iterator[None]:
    """Let `watcher` be told of what happens in this context (thread) inside the block."""
    global anyone
    token = _watchers.set((*_watchers.get(), watcher))
    with _lock:
        anyone += 1
    try:
        yield
    finally:
        with _lock:
            anyone -= 1
        _watchers.reset(token)


@contextmanager
def unwatched() -> Iterator[None]:
    """Let nobody be told of what happens in this context inside the block, but who comes to watch in it."""
    token = _watchers.set(())
    try:
        yield
    finally:
        _watchers.reset(token)


def apart() -> bool:
    """Tell whether anyone who watches in this context wants layers to run one by one."""
    return anyone > 0 and any(watcher.apart for watcher in _watchers.get())


def tell(event: str, *what: Any) -> None:
    """Call the method named `event` of all who watch in this context."""
    watchers = _watchers.get()
    if not watchers:
        return
    token = _watchers.set(())  # as `unwatched`, which is dearer: this runs several times an operation
    try:
        for watcher in watchers:
            getattr(watcher, event)(*what)
    finally:
        _watchers.reset(token)
