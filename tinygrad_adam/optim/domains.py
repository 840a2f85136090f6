"""Domains of hyper-parameters: they stand once, in the annotations of the constructor that takes them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

from ..errors import OptionError
from ..values import is_integer, is_number


class Domain(NamedTuple):
    """The values that a hyper-parameter may have, in words and as a test."""

    words: str
    holds: Callable[[Any], bool]


def one_of(*choices: str) -> Domain:
    """Return the domain of a few words."""
    return Domain(" or ".join(map(repr, choices)), lambda value: isinstance(value, str) and value in choices)


def _is_share(value: object) -> bool:
    return is_number(value) and 0 <= value < 1


def _are_shares(value: object) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and all(map(_is_share, value))


NOT_NEGATIVE = Domain("a finite number >= 0", lambda v: is_number(v) and v >= 0)
NotNegative = Annotated[float, NOT_NEGATIVE]
Positive = Annotated[float, Domain("a finite number > 0", lambda v: is_number(v) and v > 0)]
BelowOne = Annotated[float, Domain("a number in [0, 1)", _is_share)]
UpToOne = Annotated[float, Domain("a number in [0, 1]", lambda v: is_number(v) and 0 <= v <= 1)]
Betas = Annotated[tuple[float, float], Domain("two numbers in [0, 1)", _are_shares)]
Switch = Annotated[bool, Domain("True or False", lambda v: isinstance(v, bool))]
PositiveInteger = Annotated[int, Domain("a positive integer", lambda v: is_integer(v, 1))]


@functools.cache
def domains_of(constructor: Callable[..., None]) -> dict[str, Domain]:
    """Return the domains that a constructor declares, by parameter."""
    try:
        hints = get_type_hints(constructor, include_extras=True)
    except NameError:  # a class elsewhere may name types that it imports for type checkers only
        return {}
    return {
        name: mark
        for name, hint in hints.items()
        for kind in (hint, *get_args(hint))  # NotNegative, or NotNegative | None
        for mark in getattr(kind, "__metadata__", ())
        if isinstance(mark, Domain)
    }


def with_defaults(constructor: Callable[..., None], defaults: Mapping[str, object]) -> Callable[..., None]:
    """Return a copy of a constructor in which some parameters have other defaults."""
    plain = inspect.unwrap(constructor)
    code, positional, named = plain.__code__, plain.__defaults__ or (), plain.__kwdefaults__ or {}
    names = code.co_varnames[code.co_argcount - len(positional) : code.co_argcount]
    unknown = {*defaults} - {*names, *named}
    if unknown:
        raise OptionError(plain.__qualname__, "no parameters with a default", unknown=sorted(unknown))
    changed = tuple(map(defaults.get, names, positional))
    copy = FunctionType(code, plain.__globals__, plain.__name__, changed, plain.__closure__)
    copy.__kwdefaults__ = {name: defaults.get(name, value) for name, value in named.items()}
    copy.__annotations__, copy.__qualname__ = plain.__annotations__, plain.__qualname__
    return copy
