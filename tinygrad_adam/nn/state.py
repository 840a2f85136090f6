"""Loading saved values: reading them as arrays, checking that they fit, and writing them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy

from ..backend.device import asarray, to_host
from ..engine.graph import look_at
from ..errors import StateError, TinygradAdamError
from ..tensor.tensor import Tensor
from ..typing import TensorLike


class Unmatched(NamedTuple):
    """Names that `Module.load_state_dict` could not match.

    Attributes
    ----------
    missing_keys : list of str
        Parameters and buffers that the state does not have; they stay as they are.
    unexpected_keys : list of str
        Names in the state that the module does not have.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]


def load_state(where: str, entries: dict[str, Tensor], state: Mapping[str, Any], strict: bool) -> Unmatched:
    """Copy the values of a state into the Tensors of the same names; see `Module.load_state_dict`."""
    require_state(where, state)
    arrays = {name: saved_array(value, "load_state_dict") for name, value in state.items()}
    unmatched = Unmatched(
        [name for name in entries if name not in arrays], [name for name in arrays if name not in entries]
    )
    known = {name: (entry, arrays[name]) for name, entry in entries.items() if name in arrays}
    first: dict[int, str] = {}
    report = {
        "missing": unmatched.missing_keys,
        "unexpected": unmatched.unexpected_keys,
        "misshapen": [
            f"{name}: here {entry.shape}, there {array.shape}"
            for name, (entry, array) in known.items()
            if array.shape != entry.shape
        ],
        "unfit": [
            f"{name}: {problem}"
            for name, (entry, array) in known.items()
            if (problem := misfit(array, entry.dtype))
        ],
        "tied here, different there": [
            f"{first[id(entry)]} and {name}"
            for name, (entry, array) in known.items()
            if first.setdefault(id(entry), name) != name
            and not numpy.array_equal(array, arrays[first[id(entry)]], equal_nan=array.dtype.kind == "f")
        ],
    }
    if not strict and (known or not arrays):
        del report["missing"], report["unexpected"]
    if any(report.values()):
        raise StateError(
            where,
            "the state does not fit this module",
            **{kind: "; ".join(map(str, names)) for kind, names in report.items() if names},
        )
    for entry, array in known.values():
        entry._write("load_state_dict", ..., asarray(array, dtype=entry.dtype, device=entry.device))
    return unmatched


def require_state(where: str, state: object, *keys: str) -> None:
    """Refuse a state that is no dict, or that lacks one of the keys that every such state has."""
    if not isinstance(state, Mapping) or not all(key in state for key in keys):
        raise StateError(
            where,
            "give a state as state_dict() returns it",
            got=f"a dict without {', '.join(key for key in keys if key not in state)}"
            if isinstance(state, Mapping)
            else type(state).__name__,
        )


def saved_array(value: TensorLike, where: str) -> numpy.ndarray[Any, Any]:
    """Return a saved Tensor, array or list as an array of the host; one with a mask keeps it."""
    try:
        array = look_at(value, where)
        return array if isinstance(array, numpy.ndarray) else to_host(array)
    except (TypeError, ValueError, RuntimeError) as error:  # of lists, and of other packages' tensors
        if isinstance(error, TinygradAdamError):
            raise
        raise StateError(
            where, "a value cannot be read as an array; a Tensor of PyTorch can after .detach().float()",
            got=type(value).__name__, reason=error,
        ) from error  # fmt: skip


def misfit(array: numpy.ndarray[Any, Any], dtype: numpy.dtype[Any]) -> str | None:
    """Return the reason why an array cannot be loaded into one of another dtype, or None if it can.

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


def _held(array: numpy.ndarray[Any, Any], dtype: numpy.dtype[Any]) -> Any:
    """Mark the numbers that a dtype can hold, without a cast, whose result may depend on the processor."""
    if dtype.kind == "f":
        return ~numpy.isfinite(array) | (abs(array) <= numpy.finfo(dtype).max)
    if dtype.kind == "b":
        return (array == 0) | (array == 1)
    bounds = numpy.iinfo(dtype)
    if array.dtype.kind == "f":  # floats hold the bounds exactly where they are powers of two
        return (array == numpy.floor(array)) & (array >= float(bounds.min)) & (array < float(bounds.max + 1))
    return (array >= bounds.min) & (array <= bounds.max)
