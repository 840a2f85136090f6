"""What stands beside a Tensor in an operation, and which data types Tensors hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import numpy

from ..errors import DTypeError
from ..scopes import scope
from .device import is_array

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
    if dtype.kind not in "fiub" or dtype.itemsize > 8 or dtype == numpy.float16:
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
        array = numpy.array(data, dtype=dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise DTypeError(where, f"the data do not form an array of numbers: {error}") from error
    if dtype is None and array.dtype == numpy.float64 and not isinstance(data, numpy.ndarray | numpy.generic):
        array = array.astype(_default_dtype.get())
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    check_dtype(where, array.dtype)
    return array


def operand(value: Any) -> Any:
    """Return what stands beside a Tensor as operations take it: a plain array, or a number.

    Python numbers stay what they are, since an array made of one would widen float32 to float64.

    Raises
    ------
    DTypeError
        If it is none of these, or hides something that would be lost, such as a mask.
    """
    if type(value) in _NUMBERS:
        return value
    if not is_array(value) and not isinstance(value, numpy.generic):
        if isinstance(value, float | int):
            return value
        try:
            return array_of("operand", value)
        except DTypeError as error:
            raise DTypeError(
                "operand",
                "beside a Tensor there must be a Tensor, an array, or real numbers",
                operand=repr(value),
                type=type(value).__name__,
            ) from error
    if hasattr(value, "mask"):
        raise DTypeError("operand", "a Tensor has no mask; call .filled() first", type=type(value).__name__)
    check_dtype("operand", value.dtype)
    if isinstance(value, numpy.ndarray):
        # A subclass, such as numpy.matrix, may give an operator in a gradient rule another meaning.
        return numpy.asarray(value)
    return value
