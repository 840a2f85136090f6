"""``with`` blocks that also decorate functions.

A decorator of `contextlib.contextmanager` would do nothing for a generator or a coroutine: the call returns
at once, the block ends, and the body runs afterwards. Here such a function is refused, or the block is
entered for each of its steps.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, _GeneratorContextManager
from typing import Any, NoReturn, ParamSpec, TypeVar, cast

from ..errors import DTypeError

P = ParamSpec("P")
T = TypeVar("T")

LATER = (inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction)
"""Tests for functions whose body runs after the call."""


class Scope(_GeneratorContextManager[T]):
    """A block that decorates only functions whose body has finished when they return."""

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:  # type: ignore[override]
        """Run each call of `function` inside the block."""
        if any(_is(kind, function) for kind in LATER):
            _refuse(self.func.__name__, function)
        return super().__call__(function)


def scope(function: Callable[P, Iterator[T]]) -> Callable[P, Scope[T]]:
    """Make a ``with`` block of a generator function, as `contextlib.contextmanager` does."""

    @functools.wraps(function)
    def block(*args: P.args, **settings: P.kwargs) -> Scope[T]:
        return Scope(cast("Any", function), args, settings)

    return block


def entered_for_each_step(
    where: str, block: Callable[[], AbstractContextManager[Any]], function: Callable[..., T]
) -> Callable[..., T]:
    """Decorate a function, generator or coroutine so that its own code, and no other, runs inside blocks.

    Parameters
    ----------
    where : str
        The name at the beginning of errors.
    block : callable
        Makes a block. A generator leaves its block at each ``yield`` and enters a new one when it continues,
        so blocks must be repeatable.
    function : callable
        The function to decorate.

    Raises
    ------
    DTypeError
        If it is not a function, or is an asynchronous generator.
    """
    if not callable(function) or _is(inspect.isasyncgenfunction, function):
        _refuse(where, function)

    @types.coroutine  # makes generators that can be awaited, too
    def stepped(steps: Any) -> Any:
        resume = functools.partial(steps.send, None)
        while True:
            try:
                with block():
                    given = resume()
            except StopIteration as end:
                return end.value
            try:
                resume = functools.partial(steps.send, (yield given))
            except BaseException as error:  # GeneratorExit of close() included
                resume = functools.partial(steps.throw, error)

    decorated: Any
    if _is(inspect.isgeneratorfunction, function):

        def decorated(*args: object, **settings: object) -> Any:
            return (yield from stepped(function(*args, **settings)))

    elif _is(inspect.iscoroutinefunction, function):

        async def decorated(*args: object, **settings: object) -> Any:
            return await stepped(function(*args, **settings))

    else:

        def decorated(*args: object, **settings: object) -> Any:
            with block():
                return function(*args, **settings)

    return functools.wraps(function)(decorated)


def _is(kind: Callable[[object], bool], function: object) -> bool:
    return kind(getattr(function, "__func__", function))  # a static method wraps its function


def _refuse(where: str, function: object) -> NoReturn:
    raise DTypeError(
        where,
        "decorates functions whose body has finished when they return; the body of a generator or coroutine "
        "has not: write the `with` block inside the body",
        function=getattr(function, "__qualname__", repr(function)),
    )
