"""Functions that look rows of a table up, with row-sparse gradients: `embedding` and `sparse_linear`."""

from __future__ import annotations

import math
import sys

from .. import ops, words
from ..backend.device import asarray, backend_of, device_of
from ..engine.aside import aside, relying_on
from ..errors import DTypeError, IndexingError, ShapeError
from ..ops.indexing import add_rows, lookup
from ..tensor.creation import tensor
from ..tensor.tensor import Tensor
from ..typing import Array, TensorLike


def embedding(indices: TensorLike, weight: Tensor, sparse: bool = False) -> Tensor:
    """Look up rows of `weight`; the gradient adds up those of a row that occurs several times.

    Parameters
    ----------
    indices : integer Tensor or array
        Any shape, each in ``range(len(weight))``.
    weight : Tensor, shape (num_embeddings, embedding_dim)
        The rows.
    sparse : bool
        Whether the gradient of `weight` is a `RowSparse`, of the rows that were looked up. It is dense
        nevertheless if `weight` is no leaf or has another use, and with ``create_graph``.

    Returns
    -------
    Tensor
        With one more axis than `indices`, of size embedding_dim.

    Raises
    ------
    DTypeError
        If `indices` are not integers.
    IndexingError
        If an index is out of range. On a GPU, where checking would wait for the device, its row is NaN
        instead, and only the backward pass of a row-sparse gradient raises the error.
    """
    if not isinstance(indices, Tensor):
        indices = aside(_array_of, indices, weight)
    if indices.dtype.kind not in "iu":
        raise DTypeError("embedding", "indices must be integers", indices=indices.dtype)
    return _rows("embedding", weight, indices, sparse)


def _array_of(indices: TensorLike, weight: Array) -> Array:
    return tensor(indices, device=device_of(weight))._data


def _rows(op: str, weight: Tensor, indices: TensorLike, sparse: bool) -> Tensor:
    """Look rows up; on a GPU, where an error would have to wait, indices out of range give rows of NaN."""
    rows = relying_on(lookup(weight, aside(_checked, op, indices, len(weight)), sparse), op, indices=indices)
    return rows if weight.device == "cpu" else ops.where(aside(_inside, op, indices, weight), rows, math.nan)


def _checked(op: str, indices: Array, count: int) -> Array:
    """Refuse indices out of range, except on a GPU, where checking would wait for the device."""
    if indices.size and device_of(indices) == "cpu" and (indices.min() < 0 or indices.max() >= count):
        raise IndexingError(
            op, f"indices must lie in range({count})", least=indices.min(), greatest=indices.max()
        )
    return indices


def _inside(op: str, indices: Array, weight: Array) -> Array:
    """Mark the indices in range; axes of size one stand for the axes of a row."""
    with backend_of((indices,)).current(op):
        inside = (indices >= 0) & (indices < len(weight))
        return inside.reshape(*inside.shape, *[1] * (weight.ndim - 1))


def sparse_linear(x: TensorLike, weight: Tensor, bias: TensorLike = None) -> Tensor:
    r"""Affine map :math:`x W + b` of a sparse matrix, whose cost grows with the numbers that it stores.

    Row i of the result is the sum of the rows of `weight` whose columns row i of `x` stores, each times the
    number stored. So the gradient of `weight` is row-sparse, with a row for each column that occurs.

    Parameters
    ----------
    x : sparse matrix, shape (N, in_features)
        In compressed sparse rows, as ``scipy.sparse.csr_array`` or CuPy's ``csr_matrix``: any object with
        ``indptr``, ``indices``, ``data`` and ``shape``. The numbers are cast to the dtype of `weight`, and
        get no gradient.
    weight : Tensor, shape (in_features, out_features)
        The transpose of the weight of `linear`: features are rows here.
    bias : Tensor or array, shape (out_features,), optional
        Added to every row.

    Returns
    -------
    Tensor, shape (N, out_features)

    Raises
    ------
    DTypeError
        If `x` is not such a matrix.
    ShapeError
        If the sizes do not match.
    IndexingError
        If `x` has a column out of its range.

    Notes
    -----
    The gradient is a `RowSparse` under the conditions of `embedding`. A call takes memory for its output and
    for out_features numbers for each number stored.
    """
    if getattr(x, "format", "csr") != "csr" or not all(
        hasattr(x, name) for name in ("indptr", "indices", "data", "shape")
    ):
        raise DTypeError(
            "sparse_linear",
            "x must be a matrix in compressed sparse rows; convert another sparse one with .tocsr(), and "
            "give a dense one to linear",
            x=type(x).__name__,
        )
    if len(x.shape) != 2 or weight.ndim != 2 or x.shape[1] != weight.shape[0]:
        raise ShapeError(
            "sparse_linear", "x.shape[1] must equal weight.shape[0]", x=tuple(x.shape), weight=weight.shape
        )
    if bias is not None and tuple(bias.shape) != weight.shape[1:]:
        raise ShapeError(
            "sparse_linear", "bias must have shape weight.shape[1:]", bias=bias.shape, weight=weight.shape
        )
    columns, starts = (asarray(part, device=weight.device) for part in (x.indices, x.indptr))
    numbers = asarray(x.data, dtype=weight.dtype, device=weight.device)
    if columns.shape != numbers.shape or starts.shape != (x.shape[0] + 1,):
        raise ShapeError(
            "sparse_linear", "x must have as many indices as data, and an indptr for each row and the end",
            x=x.shape, indices=columns.shape, data=numbers.shape, indptr=starts.shape,
        )  # fmt: skip
    backend = backend_of((columns,))
    with backend.current("sparse_linear"):
        row_of = backend.xp.searchsorted(starts, backend.xp.arange(len(columns)), side="right") - 1
    _checked("sparse_linear", row_of, x.shape[0])
    terms = _rows("sparse_linear", weight, columns, sparse=True) * numbers[:, None]
    y = add_rows(terms, row_of, x.shape[0])
    return y if bias is None else y + bias


words.answer_calls(sys.modules[__name__])
