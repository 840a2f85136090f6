"""Data types of mixed operands: as in PyTorch, neither integers nor sequences of numbers widen floats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from ..backend.convert import operand
from ..backend.device import is_array, on_device_of
from ..engine.aside import aside
from ..engine.graph import Variable, provided
from ..typing import Array, TensorLike

_FLOAT32, _FLOAT64, _BOOL = map(numpy.dtype, ("float32", "float64", "bool"))


def recast(args: Sequence[Any], values: Sequence[Any]) -> list[Array] | None:
    """Return arguments that widen no other, or None if they are right as they are.

    As in PyTorch, integers don't widen floats. A sequence of numbers, which becomes float32 at first, is
    read again beside an array of float64.
    """
    floats = {value.dtype for value in values if getattr(value, "dtype", _BOOL).kind == "f"}
    if floats == {_FLOAT32}:
        dtype, recast = _FLOAT32, [is_array(value) and value.dtype.kind in "iu" for value in values]
    else:
        dtype, recast = _FLOAT64, [
            len(floats) > 1 and not isinstance(arg, Variable) and not is_array(arg)
            and getattr(value, "dtype", None) == _FLOAT32
            for arg, value in zip(args, values, strict=True)
        ]  # fmt: skip
    if not any(recast):
        return None
    return [
        arg if not wrong
        else provided.ops.astype(arg, dtype=dtype) if isinstance(arg, Variable)
        else aside(_as_floats, arg, dtype)
        for arg, wrong in zip(args, recast, strict=True)
    ]  # fmt: skip


def _as_floats(values: TensorLike, dtype: Any) -> Array:
    if dtype == _FLOAT64:
        return numpy.array(values, dtype)
    array = operand("astype", values)
    with on_device_of(array, "astype"):
        return array.astype(dtype)


provided.recast = recast
