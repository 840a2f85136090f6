"""Grad modes: blocks and functions whose operations are recorded, or are not."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar, cast, overload

from ..backend.scopes import entered_for_each_step

F = TypeVar("F", bound=Callable[..., Any])

grad_enabled: ContextVar[bool] = ContextVar("tinygrad_adam_grad_enabled", default=True)
"""Whether operations are recorded in this context."""


class GradMode:
    """A block inside which operations are recorded, or are not."""

    __slots__ = ("_enabled", "_token", "_where")

    def __init__(self, where: str, enabled: bool) -> None:
        self._where, self._enabled = where, enabled

    def __enter__(self) -> None:
        self._token = grad_enabled.set(self._enabled)

    def __exit__(self, *error: object) -> None:
        grad_enabled.reset(self._token)

    def __call__(self, function: F) -> F:
        """Apply the mode to the code of a function, a generator or a coroutine."""
        where, enabled = self._where, self._enabled
        return cast("F", entered_for_each_step(where, lambda: GradMode(where, enabled), function))


@overload
def no_grad() -> GradMode: ...
@overload
def no_grad(function: F) -> F: ...
def no_grad(function: Any = None) -> Any:
    """Record nothing inside ``with no_grad():``, or in a function decorated with ``@no_grad``.

    ``@no_grad()`` decorates, too. A decorated generator or coroutine records nothing in its own code; the
    code that runs between its steps is not affected.

    Parameters
    ----------
    function : callable, optional
        The function to decorate.

    Raises
    ------
    DTypeError
        If `function` is not callable, or is an asynchronous generator.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> x = tg.ones(2, requires_grad=True)
    >>> with tg.no_grad():
    ...     (x * 2).requires_grad
    False
    """
    mode = GradMode("no_grad", False)
    return mode if function is None else mode(function)


@overload
def enable_grad() -> GradMode: ...
@overload
def enable_grad(function: F) -> F: ...
def enable_grad(function: Any = None) -> Any:
    """Record again inside a surrounding `no_grad`; a block or a decorator, as `no_grad` is."""
    mode = GradMode("enable_grad", True)
    return mode if function is None else mode(function)


def is_grad_enabled() -> bool:
    """Return whether operations are recorded in this context."""
    return grad_enabled.get()
