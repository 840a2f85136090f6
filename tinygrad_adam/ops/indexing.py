"""Reading parts of an array, and the adjoint of it: adding into parts of zeros."""

from __future__ import annotations

import operator
from numbers import Integral
from typing import Any

from ..backend.convert import require_numbers
from ..backend.device import asarray, backend_of, device_of, is_array
from ..engine.aside import aside, relying_on
from ..engine.graph import Variable, look_at, primitive
from ..engine.rowsparse import RowSparse
from ..errors import DeviceError, ShapeError
from ..typing import Array, TensorLike, Xp
from .reduction import normalize_axes

__all__ = [
    "getitem",
    "take_along_axis",
]

# Reading a part and adding into a part of zeros are each other's transposes as linear maps, so
# each is the other's rule, to any order.


@primitive(view=True, a=lambda g, a_shape, index: _add_at(g, index=index, shape=a_shape))
def _slice(xp: Xp, a: Array, *, index: Any) -> Array:
    """Elements at a basic index: a view."""
    return a[index]


def _gather_rule(g: Array, a_shape: tuple[int, ...], index: Any, sparse: bool) -> Array:
    """Add `g` at `index`; a gradient that is differentiated again is dense, since it needs a graph."""
    if sparse and not isinstance(g, Variable):
        return RowSparse(index.reshape(-1), g.reshape(index.size, *a_shape[1:]), a_shape)
    return _add_at(g, index=index, shape=a_shape)


@primitive(a=_gather_rule)
def _gather(xp: Xp, a: Array, *, index: Any, sparse: bool = False) -> Array:
    """Elements at an advanced index: a copy, in which elements may repeat."""
    return a[index]


@primitive(a=lambda g, index: getitem(g, index))
def _add_at(xp: Xp, a: Array, *, index: Any, shape: tuple[int, ...]) -> Array:
    """Zeros of `shape`, with `a` added at `index`; where an index repeats, all of its terms count.

    A place may get millions of terms, so they are added up in float64.
    """
    total = xp.zeros(shape, xp.float64)
    xp.add.at(total, index, a.astype(total.dtype))
    return total.astype(a.dtype)


_BOUNDS = (int, type(None))


def is_basic(index: Any) -> bool:
    """Tell whether an index consists of slices and single places, and so picks no element twice."""
    return all(map(_is_basic, index)) if isinstance(index, tuple) else _is_basic(index)


def _is_basic(part: Any) -> bool:
    return (
        part is None
        or part is Ellipsis
        or isinstance(part, slice)
        or (isinstance(part, Integral) and not isinstance(part, bool))  # True is a mask, not 1
    )


def _fixed(part: Any) -> Any:
    """Return a slice whose bounds cannot be changed before the backward pass; all else as it is."""
    if type(part) is not slice:
        return part
    bounds = (part.start, part.stop, part.step)
    if type(bounds[0]) in _BOUNDS and type(bounds[1]) in _BOUNDS and type(bounds[2]) in _BOUNDS:
        return part
    return slice(*[operator.index(b) if isinstance(b, Variable) or is_array(b) else b for b in bounds])


def raw_index(index: Any, like: TensorLike, where: str = "getitem") -> Any:
    """Turn Tensors, arrays and lists inside an index into raw arrays beside `like`."""
    if isinstance(index, tuple):
        return tuple(raw_index(part, like, where) for part in index)
    index = look_at(index, where)
    if is_array(index):
        here, there = device_of(index), device_of(like)
        if here not in ("cpu", there):
            raise DeviceError(
                where,
                f"the index is on another device; move it with .to({there!r})",
                array=f"{like.shape} {like.dtype} on {there}",
                index=f"{index.shape} {index.dtype} on {here}",
            )
        return asarray(index, device=there, where=where)
    if isinstance(index, list):
        require_numbers(where, index)
        # An empty list would become a float array, which cannot index.
        return asarray(index, dtype=None if index else int, device=device_of(like), where=where)
    return index


def getitem(a: TensorLike, index: Any) -> Array:
    """Read ``a[index]`` for NumPy's basic and advanced indices, repeated ones included.

    Parameters
    ----------
    a : Tensor or array
        What to read from.
    index : int, slice, None, Ellipsis, list, integer or boolean array or Tensor, or a tuple of them
        As in NumPy. A basic index gives a view, an advanced one a copy.

    Raises
    ------
    IndexingError
        If an index is out of range.
    """
    parts = tuple(map(_fixed, index)) if isinstance(index, tuple) else (_fixed(index),)
    if is_basic(parts):
        # NumPy makes a number of what such an index leaves without axes; with an ellipsis, a view.
        return _slice(a, index=parts if Ellipsis in parts else (*parts, Ellipsis))
    y = _gather(a, index=aside(_raw_parts, a, "getitem", isinstance(index, tuple), *parts))
    return relying_on(y, "getitem", index=parts)


def _raw_parts(like: TensorLike, where: str, several: bool, *parts: Any) -> Any:
    raw = tuple(raw_index(part, like, where) for part in parts)
    return raw if several else raw[0]


def lookup(table: TensorLike, index: Any, sparse: bool) -> Array:
    """Read rows of `table` by an integer array; with `sparse`, its gradient holds only those rows.

    The index must have been checked: a row-sparse gradient knows no negative ones.
    """
    return _gather(table, index=index, sparse=sparse)


def add_rows(terms: TensorLike, index: Any, count: int) -> Array:
    """Sum `terms` into `count` rows: each into the one that the integer array names."""
    return _add_at(terms, index=index, shape=(count, *terms.shape[1:]))


def take_along_axis(a: TensorLike, indices: TensorLike, axis: int) -> Array:
    """Pick elements along `axis` by an index array of the same number of dimensions.

    Parameters
    ----------
    a : Tensor or array
        What to pick from.
    indices : integer Tensor or array
        Of the shape of `a`, but for `axis`; sizes of one are broadcast.
    axis : int
        Along which axis.

    Raises
    ------
    ShapeError
        If the number of dimensions differs.
    """
    if not isinstance(indices, Variable):
        indices = aside(_raw_parts, a, "take_along_axis", False, indices)
    if not hasattr(indices, "ndim") or indices.ndim != a.ndim:
        raise ShapeError(
            "take_along_axis",
            "indices must have as many dimensions as a",
            a=a.shape,
            indices=getattr(indices, "shape", indices),
        )
    (axis,) = normalize_axes(axis, a.ndim, "take_along_axis")
    return relying_on(getitem(a, aside(_grid, a, indices, axis)), "take_along_axis", indices=indices)


def _grid(like: TensorLike, indices: TensorLike, axis: int) -> tuple[Array, ...]:
    """Return an index for each axis, which broadcast to the shape of the indices."""
    indices = raw_index(indices, like, "take_along_axis")
    backend = backend_of((indices,))
    with backend.current("take_along_axis"):
        return tuple(
            indices
            if i == axis
            else backend.xp.arange(n).reshape((1,) * i + (n,) + (1,) * (indices.ndim - i - 1))
            for i, n in enumerate(like.shape)
        )
