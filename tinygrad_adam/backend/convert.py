"""Conversion of operands to arrays and numbers, and the data types that Tensors hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import numpy

from ..errors import DTypeError
from ..typing import Array, DType, TensorLike
from .device import asarray, backend_of, device_of, is_array, require_no_mask
from .scopes import scope

_FLOAT32 = numpy.dtype("float32")
_default_dtype: ContextVar[numpy.dtype[Any]] = ContextVar("tinygrad_adam_default_dtype", default=_FLOAT32)
_NUMBERS = {float, int, bool, type(None)}


@scope
def default_dtype(dtype: DType) -> Iterator[None]:
    """Choose the dtype of Python floats and of new parameters inside a ``with`` block.

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


def get_default_dtype() -> numpy.dtype[Any]:
    """Return the dtype that Python floats and new parameters get: float32 outside `default_dtype`."""
    return _default_dtype.get()


def known_dtype(where: str, dtype: DType) -> numpy.dtype[Any]:
    """Return `dtype` as a `numpy.dtype`; `where` names the operation in the error.

    Raises
    ------
    DTypeError
        If it names no data type.
    """
    try:
        return numpy.dtype(dtype)
    except TypeError as error:
        raise DTypeError(where, "unknown dtype", dtype=repr(dtype)) from error


def check_dtype(where: str, dtype: numpy.dtype[Any]) -> None:
    """Refuse data types that Tensors do not hold: complex numbers, text, dates, float16, 80-bit floats."""
    # Types that other packages register, such as 8-bit floats, have numbers from 256 on.
    if dtype.kind not in "fiub" or dtype.itemsize > 8 or dtype == numpy.float16 or dtype.num >= 256:
        raise DTypeError(
            where,
            "Tensors hold float32, float64, integers or booleans; pass dtype= to convert",
            dtype=dtype,
        )


def array_of(where: str, data: TensorLike, dtype: DType = None) -> Array:
    """Turn numbers, nested sequences or a NumPy array into a new NumPy array.

    Python floats get the default dtype unless `dtype` is given; arrays keep their own.

    Raises
    ------
    DTypeError
        If the data are not numbers, or have a type that Tensors do not hold.
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


def require_numbers(where: str, data: TensorLike) -> None:
    """Refuse masks, and data that a cast would silently turn into numbers: None, text, dates, complex."""
    require_no_mask(where, data)
    if isinstance(data, list | tuple):
        if not {float, int, bool}.issuperset(map(type, data)):
            for element in data:
                require_numbers(where, element)
        return
    dtype = getattr(data, "dtype", None)
    if data is None or isinstance(data, str | bytes) or getattr(dtype, "kind", "f") in "OSUTMmc":
        dtype = dtype or numpy.asarray(data).dtype
        raise DTypeError(where, "the data do not form an array of numbers", dtype=dtype, got=repr(data))


def assignable(where: str, data: TensorLike, like: Array) -> Array:
    """Copy data for the value or the gradient of a Tensor whose array is `like`, with its dtype and device.

    Raises
    ------
    DTypeError
        If they are not numbers, or are floats and `like` holds integers: the fractions would be lost.
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
"""Kinds of dtypes; each fits into the kinds after it (and signed integers into unsigned, as in NumPy)."""


def beside_floats(values: Sequence[TensorLike]) -> Sequence[TensorLike]:
    """Turn Python integers beyond every integer dtype into floats, if all arrays hold floats.

    NumPy does so by itself; CuPy does not.
    """
    if not any(type(value) is int and not -(2**63) <= value < 2**64 for value in values):
        return values
    if any(getattr(value, "dtype", _FLOAT32).kind != "f" for value in values):
        return values  # beside integers, CuPy refuses them as NumPy does
    return [float(value) if type(value) is int else value for value in values]


def operand(where: str, value: TensorLike) -> TensorLike:
    """Return the other operand of a Tensor in the form that operations take: a plain array, or a number.

    Numbers of NumPy become Python's: these adopt the dtype of the Tensor if it can hold their kind, whereas
    an array made of one would widen float32 to float64.

    Raises
    ------
    DTypeError
        If it cannot be converted without loss, as a masked array or text.
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
                "the other operand of a Tensor must be a Tensor, an array, or real numbers",
                operand=repr(value),
                type=type(value).__name__,
            ) from error
    require_no_mask(where, value)
    check_dtype(where, value.dtype)
    if isinstance(value, numpy.ndarray):
        # In a subclass such as numpy.matrix, an operator of a gradient rule may mean something else.
        return numpy.asarray(value)
    return value
