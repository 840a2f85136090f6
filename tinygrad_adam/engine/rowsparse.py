"""Gradients of which only some rows are stored: those of a table that was read in a few places."""

from __future__ import annotations

import math
from typing import Any

from ..backend.device import backend_of, on_device_of
from ..errors import IndexingError, ShapeError
from ..typing import Array, DType
from .graph import provided


class RowSparse:
    """An array whose rows are zero but for a few, which are all that is stored.

    The gradient of an `Embedding` with ``sparse=True`` is one: memory and time follow the rows that
    were looked up, not the size of the table. A row is an index of the first axis.

    Parameters
    ----------
    index : integer array, shape (n,)
        Which row each of `values` belongs to, in any order.
    values : array, shape (n, ...)
        Floats. Where an index repeats, all of its values are added up.
    shape : tuple of int
        The shape of the whole; all but the first axis are those of `values`.

    Attributes
    ----------
    rows : int64 array, shape (k,)
        The rows that are stored, each once, ascending.
    values : array, shape (k, ...)
        Their values; a raw array, to be changed in place if need be.
    shape : tuple of int
        The shape of the whole.

    Raises
    ------
    ShapeError
        If the shapes do not fit together.
    IndexingError
        If an index is not in ``range(shape[0])``.

    Notes
    -----
    How many rows there are depends on values, so making one waits for a GPU.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygrad_adam as tg
    >>> g = tg.RowSparse(np.array([2, 0, 2]), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), (4, 2))
    >>> g
    RowSparse(2 of 4 rows, shape=(4, 2), dtype=float64)
    >>> g.rows
    array([0, 2])
    >>> g.to_dense()
    array([[3., 4.],
           [0., 0.],
           [6., 8.],
           [0., 0.]])
    """

    __slots__ = ("rows", "shape", "values")

    __array_ufunc__ = None  # arithmetic with an array is refused, not spread over objects

    def __init__(self, index: Array, values: Array, shape: tuple[int, ...]) -> None:
        if not shape or index.ndim != 1 or values.shape != (len(index), *shape[1:]):
            raise ShapeError(
                "RowSparse",
                "index must have shape (n,) and values shape (n, *shape[1:])",
                index=index.shape,
                values=values.shape,
                shape=shape,
            )
        backend = backend_of((values,))
        with backend.current("RowSparse"):
            rows, place = backend.xp.unique(index, return_inverse=True)
            if len(rows) and (rows[0] < 0 or rows[-1] >= shape[0]):
                raise IndexingError(
                    "RowSparse", f"rows must lie in range({shape[0]})", least=rows[0], greatest=rows[-1]
                )
            flat = values.reshape(len(index), math.prod(shape[1:]))
            added = provided.ops.indexing.add_rows(flat, place, len(rows))
            self.rows, self.values = rows.astype("int64"), added.reshape(len(rows), *shape[1:])
        self.shape = tuple(shape)

    @property
    def dtype(self) -> Any:
        """The data type of the values."""
        return self.values.dtype

    def to_dense(self) -> Array:
        """Return the whole as a raw array, zeros included."""
        backend = backend_of((self.values,))
        with backend.current("RowSparse.to_dense"):
            dense = backend.xp.zeros(self.shape, self.dtype)
            dense[self.rows] = self.values
        return dense

    def astype(self, dtype: DType) -> RowSparse:
        """Return a copy with values of another dtype."""
        with on_device_of(self.values, "RowSparse.astype"):
            return self._like(self.values.astype(dtype))

    def copy(self) -> RowSparse:
        """Return a copy whose values are its own."""
        with on_device_of(self.values, "RowSparse.copy"):
            return self._like(self.values.copy())

    def _like(self, values: Array) -> RowSparse:
        twin = object.__new__(RowSparse)
        twin.rows, twin.values, twin.shape = self.rows, values, self.shape
        return twin

    def __add__(self, other: RowSparse) -> RowSparse:
        if not isinstance(other, RowSparse):
            return NotImplemented
        if self.shape != other.shape:
            raise ShapeError(
                "RowSparse", "only equal shapes can be added", left=self.shape, right=other.shape
            )
        backend = backend_of((self.values,))
        with backend.current("RowSparse"):
            return RowSparse(
                backend.xp.concatenate([self.rows, other.rows]),
                backend.xp.concatenate([self.values, other.values]),
                self.shape,
            )

    def __repr__(self) -> str:
        return f"RowSparse({len(self.rows)} of {self.shape[0]} rows, shape={self.shape}, dtype={self.dtype})"


def alike(a: Array | RowSparse, b: Array | RowSparse) -> tuple[Any, Any]:
    """Return two gradients that can be added: beside a dense one, a row-sparse one is made dense."""
    if isinstance(a, RowSparse) != isinstance(b, RowSparse):
        return (a.to_dense(), b) if isinstance(a, RowSparse) else (a, b.to_dense())
    return a, b
