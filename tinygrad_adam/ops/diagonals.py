"""Diagonals and triangles of matrices."""

from __future__ import annotations

from ..engine.graph import primitive
from ..typing import Array, TensorLike, Xp
from ..values import integer
from .indexing import getitem
from .reduction import normalize_axes, sum
from .shaping import moveaxis

__all__ = ["diagonal", "trace", "tril", "triu"]


def diagonal(a: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """Read the diagonal of two axes, as the last axis of the result.

    Parameters
    ----------
    a : Tensor or array
        At least two-dimensional.
    offset : int
        Positive above the main diagonal, negative below.
    axis1, axis2 : int
        Rows and columns of the matrices.
    """
    return _diagonal("diagonal", a, offset, axis1, axis2)


def _diagonal(where: str, a: TensorLike, offset: int, axis1: int, axis2: int) -> Array:
    axes, offset = normalize_axes((axis1, axis2), a.ndim, where), integer(where, "offset", offset)
    a = moveaxis(a, axes, (-2, -1))
    rows, columns = a.shape[-2:]
    start_row, start_column = max(-offset, 0), max(offset, 0)
    length = max(0, min(rows - start_row, columns - start_column))
    return getitem(
        a,
        (
            Ellipsis,
            [start_row + i for i in range(length)],
            [start_column + i for i in range(length)],
        ),
    )


def trace(a: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """Sum of the `diagonal`."""
    return sum(_diagonal("trace", a, offset, axis1, axis2), axis=-1)


@primitive(a=lambda g, k: tril(g, k=k))
def tril(xp: Xp, a: Array, *, k: int = 0) -> Array:
    """The lower triangle of the last two axes; zero above diagonal number `k`."""
    return xp.tril(a, k)


@primitive(a=lambda g, k: triu(g, k=k))
def triu(xp: Xp, a: Array, *, k: int = 0) -> Array:
    """The upper triangle of the last two axes; zero below diagonal number `k`."""
    return xp.triu(a, k)
