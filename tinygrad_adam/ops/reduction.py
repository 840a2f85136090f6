"""Reductions over axes, and cumulative sums."""

from __future__ import annotations

import math
from typing import Any

from ..errors import ShapeError
from ..primitive import primitive
from .activation import softmax
from .arithmetic import abs, power

Axis = int | tuple[int, ...] | None


def normalize_axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """Return `axis` as a tuple of non-negative axes; None stands for all of them."""
    if axis is None:
        return tuple(range(ndim))
    axes = tuple(a + ndim if a < 0 else a for a in (axis if isinstance(axis, tuple | list) else (axis,)))
    if any(not 0 <= a < ndim for a in axes) or len(set(axes)) < len(axes):
        raise ShapeError("axis", f"axes must be distinct and within {ndim} dimensions", axis=axis)
    return axes


def _kept(xp: Any, reduced: Any, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> Any:
    """Give a reduced array its axes of size one back, so that it broadcasts against its input."""
    if keepdims or not shape:
        return reduced
    axes = normalize_axes(axis, len(shape))
    return xp.reshape(reduced, tuple(1 if a in axes else n for a, n in enumerate(shape)))


def _count(shape: tuple[int, ...], axis: Axis) -> int:
    return math.prod(shape[a] for a in normalize_axes(axis, len(shape)))


@primitive(a=lambda xp, g, a_shape, axis, keepdims: _kept(xp, g, a_shape, axis, keepdims))
def sum(xp: Any, a: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Sum over `axis`."""
    return xp.sum(a, axis=axis, keepdims=keepdims)


@primitive(
    a=lambda xp, g, a_shape, axis, keepdims: _kept(xp, g, a_shape, axis, keepdims) / _count(a_shape, axis)
)
def mean(xp: Any, a: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Arithmetic mean over `axis`."""
    return xp.mean(a, axis=axis, keepdims=keepdims)


def _deviation(xp: Any, a: Any, axis: Axis, ddof: int) -> Any:
    """Deviation from the mean, over the number of degrees of freedom."""
    return (a - xp.mean(a, axis=axis, keepdims=True)) / (_count(a.shape, axis) - ddof)


@primitive(
    a=lambda xp, g, a, axis, ddof, keepdims: (
        2 * _kept(xp, g, a.shape, axis, keepdims) * _deviation(xp, a, axis, ddof)
    )
)
def var(xp: Any, a: Any, *, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """Variance over `axis`; ``ddof=1`` divides by n - 1 instead of n."""
    return xp.var(a, axis=axis, ddof=ddof, keepdims=keepdims)


@primitive(
    a=lambda xp, g, a, y, axis, ddof, keepdims: (
        # Where all elements are equal, every direction would do: take 0.
        _kept(xp, g / xp.where(y == 0, 1, y), a.shape, axis, keepdims) * _deviation(xp, a, axis, ddof)
    )
)
def std(xp: Any, a: Any, *, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """Standard deviation over `axis`; ``ddof=1`` divides by n - 1 instead of n."""
    return xp.std(a, axis=axis, ddof=ddof, keepdims=keepdims)


def _extremum_rule(xp: Any, g: Any, a: Any, y: Any, axis: Axis, keepdims: bool) -> Any:
    """Share the gradient equally among all elements that attain the extremum, as PyTorch's amax does."""
    attained = a == _kept(xp, y, a.shape, axis, keepdims)
    ties = xp.sum(attained, axis=axis, keepdims=True)
    return xp.where(attained, _kept(xp, g, a.shape, axis, keepdims) / ties, 0)


@primitive(a=_extremum_rule)
def max(xp: Any, a: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Greatest element over `axis`."""
    return xp.max(a, axis=axis, keepdims=keepdims)


@primitive(a=_extremum_rule)
def min(xp: Any, a: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Least element over `axis`."""
    return xp.min(a, axis=axis, keepdims=keepdims)


def _products_of_others(xp: Any, a: Any, axis: Axis) -> Any:
    """For each element, the product of all others over `axis`, zeros among them or not.

    Dividing the whole product by the element fails at zero. The product of all before it times
    that of all after it does not, and it differentiates again. Both come from a scan that
    doubles its reach each round (Hillis & Steele, 1986): log2(n) rounds.
    """
    shape = a.shape
    axes = normalize_axes(axis, len(shape))
    others = tuple(i for i in range(len(shape)) if i not in axes)
    order = others + axes
    flat = xp.reshape(xp.transpose(a, order), (*(shape[i] for i in others), _count(shape, axis)))

    def before(x: Any) -> Any:
        n = x.shape[-1]
        shifted = _shift(xp, x, 1)
        reach = 1
        while reach < n:
            shifted = shifted * _shift(xp, shifted, reach)
            reach *= 2
        return shifted

    products = before(flat) * xp.flip(before(xp.flip(flat, axis=-1)), axis=-1)
    inverse = tuple(order.index(i) for i in range(len(order)))
    return xp.transpose(xp.reshape(products, tuple(shape[i] for i in order)), inverse)


def _shift(xp: Any, x: Any, by: int) -> Any:
    """Move elements `by` places towards the end of the last axis, and fill up with ones."""
    widths = [(0, 0)] * (x.ndim - 1) + [(by, 0)]
    return xp.pad(x, widths, constant_values=1)[..., : x.shape[-1]]


@primitive(
    a=lambda xp, g, a, axis, keepdims: (
        _kept(xp, g, a.shape, axis, keepdims) * _products_of_others(xp, a, axis)
    )
)
def prod(xp: Any, a: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Product over `axis`; the gradient is right also where factors are zero."""
    return xp.prod(a, axis=axis, keepdims=keepdims)


# Not exp(a - y): a large y is rounded, and all of it would be an error of the exponent.
@primitive(a=lambda xp, g, a, axis, keepdims: _kept(xp, g, a.shape, axis, keepdims) * softmax(a, axis=axis))
def logsumexp(xp: Any, a: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Logarithm of the sum of exponentials over `axis`, without overflow."""
    top = xp.max(a, axis=axis, keepdims=True)
    top = xp.where(xp.isfinite(top), top, 0)
    total = xp.log(xp.sum(xp.exp(a - top), axis=axis, keepdims=True)) + top
    return total if keepdims else xp.squeeze(total, axis=normalize_axes(axis, a.ndim))


def _norm_rule(xp: Any, g: Any, a: Any, y: Any, axis: Axis, keepdims: bool) -> Any:
    """Point along `a`; at 0, where every direction would do, take 0."""
    length = _kept(xp, y, a.shape, axis, keepdims)
    return _kept(xp, g, a.shape, axis, keepdims) * a / xp.where(length == 0, 1, length)


@primitive(a=_norm_rule)
def _euclidean_norm(xp: Any, a: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Square root of the sum of squares."""
    return xp.sqrt(xp.sum(xp.square(a), axis=axis, keepdims=keepdims))


def norm(a: Any, ord: float = 2, axis: Axis = None, keepdims: bool = False) -> Any:
    """Vector norm of the elements over `axis`.

    Parameters
    ----------
    a : Tensor or array
        Any shape; with several axes its elements count as one vector.
    ord : float
        ``sum(abs(a) ** ord) ** (1 / ord)``; ``inf`` is the greatest absolute value.
    axis : int or tuple of int, optional
        The axes to reduce; all by default.
    keepdims : bool
        Whether the reduced axes stay, with size one.

    Raises
    ------
    ShapeError
        If `ord` is not positive.
    """
    if not ord > 0:
        raise ShapeError("norm", "ord must be positive", ord=ord)
    if ord == 2:
        return _euclidean_norm(a, axis=axis, keepdims=keepdims)
    if ord == 1:
        return sum(abs(a), axis=axis, keepdims=keepdims)
    if ord == math.inf:
        return max(abs(a), axis=axis, keepdims=keepdims)
    return power(sum(power(abs(a), ord), axis=axis, keepdims=keepdims), 1 / ord)


def _cumsum_rule(xp: Any, g: Any, a_shape: tuple[int, ...], axis: int | None) -> Any:
    """Sum from the end: element i reaches every partial sum from the i-th on."""
    along = 0 if axis is None else axis
    return xp.reshape(xp.flip(xp.cumsum(xp.flip(g, axis=along), axis=along), axis=along), a_shape)


@primitive(a=_cumsum_rule)
def cumsum(xp: Any, a: Any, *, axis: int | None = None) -> Any:
    """Partial sums along `axis`, or of the flattened array if it is None."""
    return xp.cumsum(a, axis=axis)


@primitive()
def argmax(xp: Any, a: Any, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """Index of the greatest element; the first of equals."""
    return xp.argmax(a, axis=axis, keepdims=keepdims)


@primitive()
def argmin(xp: Any, a: Any, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """Index of the least element; the first of equals."""
    return xp.argmin(a, axis=axis, keepdims=keepdims)
