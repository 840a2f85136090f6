"""Saved values, and whether they fit where they are to be loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy

from ..backend.device import to_host
from ..engine.graph import look_at
from ..errors import StateError, TinygradAdamError


def require_state(where: str, state: Any, *keys: str) -> None:
    """Refuse what is no dict, or has no value under a key that every state has."""
    if not isinstance(state, Mapping) or not all(key in state for key in keys):
        raise StateError(
            where,
            "give a state as state_dict() returns it",
            got=f"a dict without {', '.join(key for key in keys if key not in state)}"
            if isinstance(state, Mapping)
            else type(state).__name__,
        )


def saved_array(value: Any, where: str) -> numpy.ndarray[Any, Any]:
    """Return a saved Tensor, array or list as an array of the host; one with a mask keeps it."""
    try:
        array = look_at(value, where)
        return array if isinstance(array, numpy.ndarray) else to_host(array)
    except (TypeError, ValueError, RuntimeError) as error:  # those of lists, and of other packages' tensors
        if isinstance(error, TinygradAdamError):
            raise
        raise StateError(
            where, "a value cannot be read as an array; those of PyTorch can after .detach().float()",
            got=type(value).__name__, reason=error,
        ) from error  # fmt: skip


def misfit(array: numpy.ndarray[Any, Any], dtype: Any) -> str | None:
    """Tell why an array cannot be loaded into one of another dtype, or return None if it can.

    Floats may be rounded, but a finite one must stay finite. Integers and truth values must be those saved.

    Examples
    --------
    >>> misfit(numpy.array([1.0, 3.5]), numpy.dtype("int64"))
    'float64 does not fit int64, as in 3.5'
    >>> misfit(numpy.array([1, 300]), numpy.dtype("uint8"))
    'int64 does not fit uint8, as in 300'
    >>> misfit(numpy.array(0.1), numpy.dtype("float32")) is None
    True
    """
    if hasattr(array, "mask"):
        return "the array has a mask; call .filled() first"
    # Types that other packages register, such as 8-bit floats, have numbers from 256 on.
    if array.dtype.kind not in "fiub" or array.dtype.num >= 256:
        return f"{array.dtype} is none of float, integer or truth value"
    if numpy.can_cast(array.dtype, dtype):
        return None
    wrong = ~_held(array, dtype)
    return f"{array.dtype} does not fit {dtype}, as in {array[wrong][0]}" if wrong.any() else None


def _held(array: numpy.ndarray[Any, Any], dtype: Any) -> Any:
    """Tell which numbers a dtype can hold, without a cast, whose result may depend on the processor."""
    if dtype.kind == "f":
        return ~numpy.isfinite(array) | (abs(array) <= numpy.finfo(dtype).max)
    if dtype.kind == "b":
        return (array == 0) | (array == 1)
    bounds = numpy.iinfo(dtype)
    if array.dtype.kind == "f":  # floats hold the bounds exactly where they are powers of two
        return (array == numpy.floor(array)) & (array >= float(bounds.min)) & (array < float(bounds.max + 1))
    return (array >= bounds.min) & (array <= bounds.max)
