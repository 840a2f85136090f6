"""Values of hyper-parameters: numbers of Python and NumPy, and text from a command line."""

from __future__ import annotations

import ast
import math
import operator
from numbers import Integral, Real
from typing import Any, TypeGuard

import numpy

from .errors import OptionError


def is_integer(value: object, least: float = -math.inf) -> TypeGuard[int]:
    """Return whether `value` is an integer of Python or NumPy, not a bool, and at least `least`.

    Examples
    --------
    >>> import numpy
    >>> [is_integer(value, 1) for value in (2, numpy.int64(2), 0, 2.0, True)]
    [True, True, False, False, False]
    """
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def is_number(value: object) -> TypeGuard[float]:
    """Return whether `value` is a finite real number of Python or NumPy, and not a bool.

    Examples
    --------
    >>> import numpy
    >>> [is_number(value) for value in (1, numpy.float32(0.1), float("nan"), "1", True)]
    [True, True, False, False, False]
    """
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def integer(where: str, name: str, value: object, least: float = -math.inf) -> int:
    """Return `value` as a Python integer.

    Parameters
    ----------
    where : str
        The operation, class or function that takes it; an error begins with it.
    name : str
        The parameter.
    value : object
        An integer of Python or NumPy.
    least : float
        The least value allowed.

    Raises
    ------
    OptionError
        If it is not such an integer.
    """
    if is_integer(value, least):
        return int(value)
    domain = "an integer" if least == -math.inf else f"an integer >= {int(least)}"
    raise OptionError(where, f"{name} must be {domain}", **{name: repr(value)})


def number_in(where: str, name: str, value: object, low: float, high: float = math.inf) -> float:
    """Return `value` as a Python float in [low, high).

    Raises
    ------
    OptionError
        If it is not such a number.
    """
    if is_number(value) and low <= value < high:
        return float(value)
    domain = f"a finite number >= {low:g}" if high == math.inf else f"in [{low:g}, {high:g})"
    raise OptionError(where, f"{name} must be {domain}", **{name: repr(value)})


def plain(value: Any) -> Any:
    """Return numbers and bools of NumPy as Python's, also in a list, tuple or dict; other values unchanged.

    A list or dict without numbers of NumPy is returned itself. Python's numbers fit in a checkpoint, and they
    never change the dtype of an array.

    Examples
    --------
    >>> plain((numpy.float64(0.5), numpy.int64(2), numpy.True_, "min"))
    (0.5, 2, True, 'min')
    """
    if type(value) in (float, int, bool, str):
        return value
    if type(value) in (tuple, list):
        entries = list(map(plain, value))
        return value if all(map(operator.is_, entries, value)) else type(value)(entries)
    if type(value) is dict:
        entries = list(map(plain, value.values()))
        same = all(map(operator.is_, entries, value.values()))
        return value if same else dict(zip(value, entries, strict=True))
    if isinstance(value, bool | numpy.bool_):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def plain_number(value: object) -> Any:
    """Return `plain` of a number of NumPy; `json.dumps` calls this for values of unknown types."""
    number = plain(value)
    if number is value:
        raise TypeError(f"{type(value).__name__} is no number")
    return number


def read_value(where: str, text: str, pair: str, example: str) -> Any:
    """Read a number, a bool, None, a word, or several of them with commas.

    Parameters
    ----------
    where : str
        The option or function that takes it.
    text : str
        The value.
    pair : str
        The whole text, with the name, for the message.
    example : str
        The right form, for the message.

    Raises
    ------
    OptionError
        If it is none of these.

    Examples
    --------
    >>> [read_value("--set", text, "", "") for text in ("1e-3", "0.9,0.99", "True", "skip")]
    [0.001, (0.9, 0.99), True, 'skip']
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        if text.isidentifier():
            return text
        raise OptionError(where, f"write {example}", got=pair) from error
