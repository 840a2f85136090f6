"""Operations that move elements about: reshape, transpose, join, pad, repeat."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from ..engine.graph import primitive
from ..errors import ShapeError
from ..typing import Array, TensorLike, Xp
from ..values import integer, is_integer
from .indexing import getitem
from .reduction import normalize_axes

__all__ = [
    "broadcast_to",
    "concatenate",
    "expand_dims",
    "flip",
    "moveaxis",
    "pad",
    "repeat",
    "reshape",
    "roll",
    "split",
    "squeeze",
    "stack",
    "swapaxes",
    "tile",
    "transpose",
]


@primitive(view=True, a=lambda xp, g, a_shape: xp.reshape(g, a_shape))
def reshape(xp: Xp, a: Array, *, shape: int | tuple[int, ...]) -> Array:
    """The same elements in the same order, in `shape`; one size may be -1."""
    return xp.reshape(a, shape)


def _transpose_rule(xp: Xp, g: Array, axes: Sequence[int] | None) -> Array:
    if axes is None:
        return xp.transpose(g)
    axes = [axis % g.ndim for axis in axes]
    return xp.transpose(g, tuple(axes.index(i) for i in range(len(axes))))


@primitive(view=True, a=_transpose_rule)
def transpose(xp: Xp, a: Array, *, axes: Sequence[int] | None = None) -> Array:
    """Permute the axes; reverse them if `axes` is None."""
    return xp.transpose(a, axes)


# The engine sums the gradient over the axes along which the input was spread.
@primitive(view=True, a=lambda g: g)
def broadcast_to(xp: Xp, a: Array, *, shape: tuple[int, ...]) -> Array:
    """Spread `a` over `shape` by NumPy's broadcasting."""
    return xp.broadcast_to(a, shape)


@primitive(view=True, a=lambda xp, g, axis: xp.flip(g, axis=axis))
def flip(xp: Xp, a: Array, *, axis: int | tuple[int, ...] | None = None) -> Array:
    """Reverse the order of the elements along `axis`."""
    return xp.flip(a, axis)


def _opposite(shift: int | tuple[int, ...]) -> int | tuple[int, ...]:
    return tuple(-s for s in shift) if isinstance(shift, tuple | list) else -shift


@primitive(a=lambda xp, g, shift, axis: xp.roll(g, _opposite(shift), axis=axis))
def roll(
    xp: Xp, a: Array, *, shift: int | tuple[int, ...], axis: int | tuple[int, ...] | None = None
) -> Array:
    """Shift the elements along `axis`; those that leave at one end come in at the other."""
    return xp.roll(a, shift, axis)


def swapaxes(a: TensorLike, axis1: int, axis2: int) -> Array:
    """Exchange two axes."""
    (first, second), order = _axes("swapaxes", (axis1, axis2), a.ndim), list(range(a.ndim))
    order[first], order[second] = second, first
    return transpose(a, axes=tuple(order))


def moveaxis(a: TensorLike, source: int | Sequence[int], destination: int | Sequence[int]) -> Array:
    """Move axes to new positions; the others keep their order."""
    sources, destinations = (_axes("moveaxis", each, a.ndim) for each in (source, destination))
    if len(sources) != len(destinations):
        raise ShapeError(
            "moveaxis",
            "source and destination must name as many axes",
            source=source,
            destination=destination,
        )
    order = [i for i in range(a.ndim) if i not in sources]
    for to, origin in sorted(zip(destinations, sources, strict=True)):
        order.insert(to, origin)
    return transpose(a, axes=tuple(order))


def _axes(where: str, axes: int | Sequence[int], ndim: int) -> tuple[int, ...]:
    """Return non-negative axes; unlike for a reduction, they may repeat (``swapaxes(a, 0, 0)``)."""
    return tuple(normalize_axes(axis, ndim, where)[0] for axis in _listed(axes))


def _listed(value: Any) -> list[Any]:
    return list(value) if hasattr(value, "__iter__") else [value]


def squeeze(a: TensorLike, axis: int | tuple[int, ...] | None = None) -> Array:
    """Drop axes of size one: all of them, or those in `axis`.

    Raises
    ------
    ShapeError
        If an axis in `axis` has another size.
    """
    if axis is None:
        return reshape(a, shape=tuple(n for n in a.shape if n != 1))
    axes = normalize_axes(axis, a.ndim, "squeeze")
    if any(a.shape[i] != 1 for i in axes):
        raise ShapeError("squeeze", "only axes of size one can be dropped", a=a.shape, axis=axis)
    return reshape(a, shape=tuple(n for i, n in enumerate(a.shape) if i not in axes))


def expand_dims(a: TensorLike, axis: int | tuple[int, ...]) -> Array:
    """Insert axes of size one at the positions that `axis` names in the result."""
    return _expanded("expand_dims", a, axis)


def _expanded(where: str, a: TensorLike, axis: int | tuple[int, ...]) -> Array:
    count = len(axis) if isinstance(axis, tuple | list) else 1
    axes = normalize_axes(axis, a.ndim + count, where)
    sizes = iter(a.shape)
    return reshape(a, shape=tuple(1 if i in axes else next(sizes) for i in range(a.ndim + count)))


def _part(g: Array, arrays_shape: list[tuple[int, ...]], index: int, axis: int) -> Array:
    """Cut the part of `g` that the input number `index` contributed."""
    axis %= g.ndim
    start = sum(shape[axis] for shape in arrays_shape[:index])
    return getitem(g, (slice(None),) * axis + (slice(start, start + arrays_shape[index][axis]),))


@primitive(arrays=_part)
def _concatenate(xp: Xp, *arrays: Array, axis: int) -> Array:
    """Arrays joined along an existing axis."""
    return xp.concatenate(arrays, axis=axis)


def concatenate(arrays: Sequence[Any], axis: int = 0) -> Array:
    """Join arrays along an existing axis; their other sizes must agree."""
    return _concatenate(*arrays, axis=axis)


def stack(arrays: Sequence[Any], axis: int = 0) -> Array:
    """Join arrays of one shape along a new axis."""
    if len({tuple(a.shape) for a in arrays}) > 1:
        raise ShapeError("stack", "all arrays must have one shape", shapes=[tuple(a.shape) for a in arrays])
    return _concatenate(*[_expanded("stack", a, axis) for a in arrays], axis=axis)


def split(a: TensorLike, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Array]:
    """Cut into parts along `axis`.

    Parameters
    ----------
    a : Tensor or array
        What to cut.
    indices_or_sections : int or sequence of int
        The number of equal parts, or the positions at which to cut.
    axis : int
        Along which axis.

    Raises
    ------
    ShapeError
        If the size is not a multiple of the number of parts.
    """
    (along,) = normalize_axes(axis, a.ndim, "split")
    size = a.shape[along]
    parts: Any = indices_or_sections
    if is_integer(parts):
        if parts < 1 or size % parts:
            raise ShapeError(
                "split", f"a.shape[{along}] must be a multiple of the number of parts", a=a.shape, parts=parts
            )
        cuts = list(range(0, size + 1, size // parts)) if size else [0] * (parts + 1)
    else:
        cuts = [0, *[integer("split", "indices_or_sections", part) for part in parts], size]
    before = (slice(None),) * along
    return [getitem(a, (*before, slice(start, stop))) for start, stop in itertools.pairwise(cuts)]


PadWidth = int | Sequence[int] | Sequence[Sequence[int]]


def _pairs(pad_width: PadWidth, ndim: int) -> list[tuple[int, int]]:
    """Return (before, after) for every axis, from any of NumPy's shorthands."""
    widths = _listed(pad_width)
    if len(widths) <= 2 and all(is_integer(w) for w in widths):
        return [(widths[0], widths[-1])] * ndim
    if len(widths) == 1:
        widths *= ndim
    if len(widths) != ndim:
        raise ShapeError("pad", f"pad_width must give one pair for each of {ndim} axes", pad_width=pad_width)
    return [(before, after) for before, after in widths]


def _crop(g: Array, a_shape: tuple[int, ...], pad_width: PadWidth) -> Array:
    starts = [before for before, _ in _pairs(pad_width, len(a_shape))]
    return getitem(g, tuple(slice(s, s + n) for s, n in zip(starts, a_shape, strict=True)))


@primitive(a=_crop)
def pad(xp: Xp, a: Array, *, pad_width: PadWidth, constant_values: float = 0) -> Array:
    """Surround with a constant; `pad_width` is (before, after) for each axis, or for all."""
    return xp.pad(a, _pairs(pad_width, a.ndim), constant_values=constant_values)


def repeat(a: TensorLike, repeats: int | Sequence[int], axis: int | None = None) -> Array:
    """Repeat each element along `axis`, or of the flattened array if it is None.

    Parameters
    ----------
    a : Tensor or array
        Any shape.
    repeats : int or sequence of int
        How often each element, or each of them in turn.
    axis : int, optional
        Along which axis.

    Raises
    ------
    ShapeError
        If there are not as many repeats as elements along `axis`.
    """
    if axis is None:
        a, axis = reshape(a, shape=-1), 0
    (along,) = normalize_axes(axis, a.ndim, "repeat")
    size = a.shape[along]
    times = _listed(repeats)
    times = times * size if len(times) == 1 else times
    if len(times) != size or not all(is_integer(t, 0) for t in times):
        raise ShapeError(
            "repeat", f"repeats must be {size} counts, none negative", a=a.shape, repeats=repeats
        )
    order = [i for i, count in enumerate(times) for _ in range(count)]
    return getitem(a, (slice(None),) * along + (order,))


def tile(a: TensorLike, reps: int | Sequence[int]) -> Array:
    """Lay copies of the whole of `a` side by side, `reps` of them along each axis."""
    counts = tuple(_listed(reps))
    ndim = max(a.ndim, len(counts))
    counts = (1,) * (ndim - len(counts)) + counts
    shape = (1,) * (ndim - a.ndim) + tuple(a.shape)
    apart = reshape(a, shape=tuple(n for size in shape for n in (1, size)))
    spread = broadcast_to(apart, shape=tuple(n for pair in zip(counts, shape, strict=True) for n in pair))
    return reshape(spread, shape=tuple(c * n for c, n in zip(counts, shape, strict=True)))
