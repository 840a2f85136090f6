"""The text of a Tensor."""

from __future__ import annotations

from typing import Any

import numpy

from ..backend.convert import get_default_dtype
from ..backend.device import to_host


def text_of(tensor: Any) -> str:
    """Return the values as NumPy writes them, with shape, dtype, device and origin where needed."""
    values = numpy.array2string(to_host(tensor._data), separator=", ", prefix="tensor(", floatmode="maxprec")
    dtype = (
        "" if tensor.dtype in (get_default_dtype(), numpy.int64, numpy.bool_) else f", dtype={tensor.dtype}"
    )
    shape = f", shape={tensor.shape}" if tensor.size == 0 and tensor.ndim != 1 else ""
    device = "" if tensor.device == "cpu" else f", device={tensor.device}"
    made = f", made_by={tensor.node.primitive.name}" if tensor.node is not None else ""
    origin = made or (", requires_grad=True" if tensor.requires_grad else "")
    return f"tensor({values}{shape}{dtype}{device}{origin})"
