"""Values, calls and signatures as a student reads them in an explanation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from ..typing import TensorLike

FEW = 3
"""Entries of an array that are shown in a call; a larger one is shown by its parameter's name."""
MANY = 8
"""Entries of an array that are shown as a result."""
LONGEST = 60
"""Characters of a value of any other type."""


def shown(value: object) -> str:
    """Return a value in short form."""
    if inspect.isclass(value) or callable(value):
        return str(getattr(value, "__name__", type(value).__name__))
    if isinstance(value, numpy.ndarray) and value.ndim:
        if value.size > MANY:
            return f"an array of shape {value.shape}"
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, numpy.ndarray) and value.dtype == bool:
        return str(bool(value))
    if isinstance(value, float | numpy.ndarray | numpy.floating):
        return f"{float(value):.6g}"
    text = repr(value)
    if " at 0x" in text:  # of an object that does not know how to show itself
        return f"a {type(value).__name__}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def call(name: str, case: Sequence[Any], right: Callable[..., Any]) -> str:
    """Return a call as a student would write it; large arrays appear under the names of `right`."""
    given = [
        parameter if isinstance(value, numpy.ndarray) and value.size > FEW else shown(value)
        for parameter, value in zip(inspect.signature(right).parameters, case, strict=True)
    ]
    return f"{name}({', '.join(given)})"


def signature(function: Callable[..., Any]) -> str:
    """Return a function's parameters with their defaults, without types."""
    found = inspect.signature(function)
    bare = [each.replace(annotation=each.empty) for each in found.parameters.values()]
    return str(inspect.Signature(bare))


def difference(saying: str, got: TensorLike, wanted: TensorLike) -> str:
    """Return a result beside the right one; of large arrays the entry that differs most."""
    if got.size > MANY:
        place = numpy.unravel_index(numpy.argmax(numpy.abs(got - wanted)), got.shape)
        saying = f"{saying}, at {[int(i) for i in place]},"
        got, wanted = got[place], wanted[place]
    return f"{saying} {shown(got)}\nright is {shown(wanted)}"
