"""What stands beside a Tensor in an operation, and which data types Tensors hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import numpy

from ..errors import DTypeError
from ..typing import Array
from .device import asarray, backend_of, device_of, is_array, require_no_mask
from .scopes import scope

_FLOAT32 = numpy.dtype("float32")
_default_dtype: ContextVar[Any] = ContextVar("tinygrad_adam_default_dtype", default=_FLOAT32)
_NUMBERS = {float, int, bool, type(None)}


@scope
def default_dtype(dtype: Any) -> Iterator[None]:
    """Choose what Python floats become, and what new parameters are made of, in a ``with`` block.

    Parameters
    ----------
    dtype : dtype
        float32 (the default outside any block) or float64.

    Raises
    ------
    DTypeError
        If it is neither.
    """
    chosen = known_dtype("default_dtype", dtype)
    if chosen not in (numpy.float32, numpy.float64):
        raise DTypeError("default_dtype", "must be float32 or float64", dtype=dtype)
    token = _default_dtype.set(chosen)
    try:
        yield
    finally:
        _default_dtype.reset(token)


def get_default_dtype() -> Any:
    """Return the dtype of new parameters and of what is made from Python floats."""
    return _default_dtype.get()


def known_dtype(where: str, dtype: Any) -> Any:
    """Return `dtype` as an object of NumPy; `where` names the operation in the error.

    Raises
    ------
    DTypeError
        If it names no data type.
    """
    try:
        return numpy.dtype(dtype)
    except TypeError as error:
        raise DTypeError(where, "unknown dtype", dtype=repr(dtype)) from error


def check_dtype(where: str, dtype: Any) -> None:
    """Refuse data types that Tensors do not hold."""
    # Types that other packages register, such as 8-bit floats, have numbers from 256 on.
    if dtype.kind not in "fiub" or dtype.itemsize > 8 or dtype == numpy.float16 or dtype.num >= 256:
        raise DTypeError(
            where,
            "Tensors hold float32, float64, integers or truth values; give dtype= to convert",
            dtype=dtype,
        )


def array_of(where: str, data: Any, dtype: Any = None) -> Any:
    """Turn numbers, nested sequences or an array of the host into a new NumPy array.

    Python floats become the default dtype unless `dtype` is given; arrays keep theirs.

    Raises
    ------
    DTypeError
        If the data are no numbers, or of a type that Tensors do not hold.
    """
    try:
        require_numbers(where, data)
        array = numpy.array(data, dtype=dtype)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        if isinstance(error, DTypeError):
            raise
        raise DTypeError(where, f"the data do not form an array of numbers: {error}") from error
    if dtype is None and array.dtype == numpy.float64 and not isinstance(data, numpy.ndarray | numpy.generic):
        array = array.astype(_default_dtype.get())
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    check_dtype(where, array.dtype)
    return array


def require_numbers(where: str, data: Any) -> None:
    """Refuse masks, and what a cast would quietly make a number of: None, text, dates, imaginary parts."""
    require_no_mask(where, data)
    if isinstance(data, list | tuple):
        if not {float, int, bool}.issuperset(map(type, data)):
            for element in data:
                require_numbers(where, element)
    elif data is None or isinstance(data, str | bytes) or _kind(data) in "OSUTMmc":
        dtype = getattr(data, "dtype", None) or numpy.asarray(data).dtype
        raise DTypeError(where, "the data do not form an array of numbers", dtype=dtype, got=repr(data))


def _kind(data: Any) -> str:
    kind: str = getattr(getattr(data, "dtype", None), "kind", "f")
    return kind


def assignable(where: str, data: Any, like: Array) -> Array:
    """Copy data that are to become the value or the gradient of a Tensor whose array is `like`.

    Raises
    ------
    DTypeError
        If they are no numbers, or floats where `like` holds integers: the fractions would be lost.
    """
    require_numbers(where, data)
    array = asarray(data, device=device_of(like), where=where)
    if _KINDS.find(array.dtype.kind) > _KINDS.find(like.dtype.kind) or array.dtype.kind not in _KINDS:
        raise DTypeError(
            where, "the values do not fit the dtype; cast them first", dtype=like.dtype, got=array.dtype
        )
    backend = backend_of((like,))
    with backend.current(where):
        return backend.xp.array(array, dtype=like.dtype)


_KINDS = "buif"
"""Kinds of numbers; each fits into those after it (and integers into unsigned ones, as in NumPy)."""


def beside_floats(values: Sequence[Any]) -> Sequence[Any]:
    """Turn integers beyond every integer dtype into floats, as NumPy does beside floats; CuPy does not."""
    if not any(type(value) is int and not -(2**63) <= value < 2**64 for value in values):
        return values
    if any(getattr(value, "dtype", _FLOAT32).kind != "f" for value in values):
        return values  # CuPy refuses them beside integers, as NumPy does
    return [float(value) if type(value) is int else value for value in values]


def operand(where: str, value: Any) -> Any:
    """Return what stands beside a Tensor as operations take it: a plain array, or a number.

    Numbers of Python and NumPy become or stay Python's, whose dtype is that of the Tensor beside them if it
    can hold their kind: an array made of one would widen float32 to float64.

    Raises
    ------
    DTypeError
        If it is none of these, or hides something that would be lost, such as a mask.
    """
    kind = type(value)
    if kind not in _NUMBERS and isinstance(value, numpy.generic):
        value = value.item()
        kind = type(value)
    if kind in _NUMBERS:
        return value
    if not is_array(value):
        if isinstance(value, float | int):
            return value
        try:
            return array_of(where, value)
        except DTypeError as error:
            raise DTypeError(
                where,
                "beside a Tensor there must be a Tensor, an array, or real numbers",
                operand=repr(value),
                type=type(value).__name__,
            ) from error
    require_no_mask(where, value)
    check_dtype(where, value.dtype)
    if isinstance(value, numpy.ndarray):
        # A subclass, such as numpy.matrix, may give an operator in a gradient rule another meaning.
        return numpy.asarray(value)
    return value
