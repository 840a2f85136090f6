"""Matrix products, cut in pieces for our own threads; `threads.py` says why."""

from __future__ import annotations

from typing import Any

import numpy

from .. import memory
from ..threads import products_in_pieces

_ONE_THREAD = 1 << 18
"""Multiplications up to which BLAS libraries use one thread by themselves."""
_LEAST = 1 << 21
"""Multiplications that a thread must get for its share to be worth the handing over."""


def matmul(a: Any, b: Any, into: Any = None) -> Any:
    """Product of matrices, or of batches of them; see `reference.matmul`."""
    multiplications = a.size * b.shape[-1]
    floats = a.dtype.kind == b.dtype.kind == "f"  # NumPy multiplies others by itself
    if multiplications <= _ONE_THREAD or not floats or min(a.ndim, b.ndim) < 2:
        return numpy.matmul(a, b, out=into)
    if into is None:
        leading = numpy.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        into = memory.empty((*leading, a.shape[-2], b.shape[-1]), numpy.result_type(a, b))
    if a.ndim > 2 and b.ndim == 2 and a.flags.c_contiguous and into.flags.c_contiguous:
        matmul(a.reshape(-1, a.shape[-1]), b, into.reshape(-1, b.shape[-1]))
        return into
    single = a.ndim == b.ndim == 2

    def some_columns(start: int, stop: int) -> None:
        numpy.matmul(a, b[:, start:stop], out=into[:, start:stop])

    def some_rows(start: int, stop: int) -> None:  # or members of a batch
        numpy.matmul(a[start:stop], b if single else b[start:stop], out=into[start:stop])

    if single and into.shape[1] > into.shape[0]:
        work, size = some_columns, into.shape[1]
    elif single or a.shape[:-2] == b.shape[:-2]:
        work, size = some_rows, into.shape[0]
    else:  # broadcast
        work, size = (lambda start, stop: numpy.matmul(a, b, out=into)), 1
    products_in_pieces(work, size, 1 + _LEAST * size // multiplications)
    return into
