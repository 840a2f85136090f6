"""Reductions over axes, and cumulative sums."""

from __future__ import annotations

import math

from ..backend import sums
from ..engine.graph import Variable, primitive
from ..errors import OptionError, ShapeError
from ..typing import Array, TensorLike, Xp
from ..values import is_integer, is_number
from .activation import softmax
from .arithmetic import abs, astype, not_equal

__all__ = [
    "argmax",
    "argmin",
    "cumsum",
    "logsumexp",
    "max",
    "mean",
    "min",
    "norm",
    "prod",
    "std",
    "sum",
    "var",
]

Axis = int | tuple[int, ...] | None


def normalize_axes(axis: Axis, ndim: int, where: str = "axis") -> tuple[int, ...]:
    """Return `axis` as a tuple of non-negative axes; None stands for all of them.

    Raises
    ------
    OptionError
        If they are no integers, in the name of the operation `where`.
    ShapeError
        If one is out of range or named twice.
    """
    if axis is None:
        return tuple(range(ndim))
    given = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    if not all(is_integer(a) for a in given):
        raise OptionError(where, "axis must be an integer, or a tuple of them", axis=repr(axis))
    axes = tuple(int(a) + ndim if a < 0 else int(a) for a in given)
    if any(not 0 <= a < ndim for a in axes) or len(set(axes)) < len(axes):
        raise ShapeError(where, f"axes must be distinct and within {ndim} dimensions", axis=axis)
    return axes


def _reduced(where: str, axis: Axis, ndim: int) -> tuple[int, ...] | None:
    """Return the axes of a reduction, None for all: for a number also 0 and -1, as in PyTorch."""
    if axis is None or (not ndim and axis in (0, -1)):
        return None
    if type(axis) is int and -ndim <= axis < ndim:  # the usual case, without detours
        return (axis % ndim,)
    return normalize_axes(axis, ndim, where)


def _kept(xp: Xp, reduced: Array, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> Array:
    """Give a reduced array its axes of size one back, so that it broadcasts against its input."""
    if keepdims or not shape:
        return reduced
    axes = normalize_axes(axis, len(shape))
    return xp.reshape(reduced, tuple(1 if a in axes else n for a, n in enumerate(shape)))


def _count(shape: tuple[int, ...], axis: Axis) -> int:
    axes = _reduced("axis", axis, len(shape))
    return math.prod(shape if axes is None else (shape[a] for a in axes))


# Forward rules add by `sums`, which is exact along any axis; the rules of the way back by these operations.


@primitive(a=lambda xp, g, a_shape, axis, keepdims: _kept(xp, g, a_shape, axis, keepdims))
def sum(xp: Xp, a: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Sum over `axis`."""
    return sums.total(xp, a, _reduced("sum", axis, a.ndim), keepdims)


@primitive(
    a=lambda xp, g, a_shape, axis, keepdims: _kept(xp, g, a_shape, axis, keepdims) / _count(a_shape, axis)
)
def mean(xp: Xp, a: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Arithmetic mean over `axis`."""
    return sums.mean(xp, a, _reduced("mean", axis, a.ndim), keepdims)


def _deviation(a: TensorLike, axis: Axis, ddof: int) -> Array:
    """Deviation from the mean, over the number of degrees of freedom; 0 where all elements are equal."""
    away = a - mean(a, axis=axis, keepdims=True)
    return (away - mean(away, axis=axis, keepdims=True)) / (_count(a.shape, axis) - ddof)


@primitive(
    a=lambda xp, g, a, axis, ddof, keepdims: (
        2 * _kept(xp, g, a.shape, axis, keepdims) * _deviation(a, axis, ddof)
    )
)
def var(xp: Xp, a: Array, *, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Array:
    """Variance over `axis`; ``ddof=1`` divides by n - 1 instead of n."""
    return sums.variance(xp, a, _reduced("var", axis, a.ndim), ddof, keepdims)


def _std_rule(xp: Xp, g: Array, a: Array, y: Array, axis: Axis, ddof: int, keepdims: bool) -> Array:
    """Where all elements are equal, every direction would do: take 0, even if `g` is infinite there."""
    slope = xp.where(y == 0, 0, g) / xp.where(y == 0, 1, y)
    return _kept(xp, slope, a.shape, axis, keepdims) * _deviation(a, axis, ddof)


@primitive(a=_std_rule)
def std(xp: Xp, a: Array, *, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Array:
    """Standard deviation over `axis`; ``ddof=1`` divides by n - 1 instead of n."""
    return xp.sqrt(sums.variance(xp, a, _reduced("std", axis, a.ndim), ddof, keepdims))


def _extremum_rule(xp: Xp, g: Array, a: Array, y: Array, axis: Axis, keepdims: bool) -> Array:
    """Share the gradient equally among all elements that attain the extremum, as PyTorch's amax does.

    Where the extremum is NaN no element equals it, and the gradient of all of them is NaN.
    """
    extremum = _kept(xp, y, a.shape, axis, keepdims)
    attained = a == extremum
    ties = sum(attained, axis=axis, keepdims=True)
    share = _kept(xp, g, a.shape, axis, keepdims) / xp.where(ties == 0, 1, ties)
    return xp.where(attained, share, xp.where(extremum == extremum, 0, math.nan))


@primitive(a=_extremum_rule)
def max(xp: Xp, a: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Greatest element over `axis`."""
    return xp.max(a, axis=_reduced("max", axis, a.ndim), keepdims=keepdims)


@primitive(a=_extremum_rule)
def min(xp: Xp, a: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Least element over `axis`."""
    return xp.min(a, axis=_reduced("min", axis, a.ndim), keepdims=keepdims)


def _products_of_others(xp: Xp, a: Array, axis: Axis) -> Array:
    """For each element, the product of all others over `axis`, zeros among them or not.

    Dividing the whole product by the element fails at zero. The product of all before it times
    that of all after it does not, and it differentiates again.
    """
    shape = a.shape
    axes = normalize_axes(axis, len(shape)) if shape else ()
    others = tuple(i for i in range(len(shape)) if i not in axes)
    order = others + axes
    flat = xp.reshape(xp.transpose(a, order), (*(shape[i] for i in others), _count(shape, axis)))
    before, exponent = _products_before(xp, flat)
    after, exponent_after = (xp.flip(each, axis=-1) for each in _products_before(xp, xp.flip(flat, axis=-1)))
    products = before * after
    if not isinstance(products, Variable):
        products = xp.ldexp(products, exponent + exponent_after)
    inverse = tuple(order.index(i) for i in range(len(order)))
    return xp.transpose(xp.reshape(products, tuple(shape[i] for i in order)), inverse)


def _products_before(xp: Xp, x: Array) -> tuple[Array, Array]:
    """Return, for each element of the last axis, the product of all before it, and an exponent of two to it.

    A scan that doubles its reach each round (Hillis & Steele, 1986): log2(n) rounds. Some of its products
    could overflow and others underflow, so exponents are kept apart, except on Tensors, where they stay 0.
    """
    products, exponents = _mantissas(xp, _shift(xp, x, 1, 1))
    reach = 1
    while reach < x.shape[-1]:
        exponents = exponents + _shift(xp, exponents, reach, 0)
        products, more = _mantissas(xp, products * _shift(xp, products, reach, 1))
        exponents = exponents + more
        reach *= 2
    return products, exponents


def _mantissas(xp: Xp, x: Array) -> Array:
    return (x, xp.zeros_like(x)) if isinstance(x, Variable) else xp.frexp(x)


def _shift(xp: Xp, x: Array, by: int, fill: int) -> Array:
    """Move elements `by` places towards the end of the last axis, and put `fill` into the places left."""
    widths = [(0, 0)] * (x.ndim - 1) + [(by, 0)]
    return xp.pad(x, widths, constant_values=fill)[..., : x.shape[-1]]


@primitive(
    a=lambda xp, g, a, axis, keepdims: (
        _kept(xp, g, a.shape, axis, keepdims) * _products_of_others(xp, a, axis)
    )
)
def prod(xp: Xp, a: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Product over `axis`; the gradient is right also where factors are zero."""
    return xp.prod(a, axis=_reduced("prod", axis, a.ndim), keepdims=keepdims)


# Not exp(a - y): a large y is rounded, and all of it would be an error of the exponent.
@primitive(a=lambda xp, g, a, axis, keepdims: _kept(xp, g, a.shape, axis, keepdims) * softmax(a, axis=axis))
def logsumexp(xp: Xp, a: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Logarithm of the sum of exponentials over `axis`, without overflow; of no elements it is -inf."""
    axes = _reduced("logsumexp", axis, a.ndim)
    if not _count(a.shape, axis):
        return sums.total(xp, a, axes, keepdims) - math.inf
    top = xp.max(a, axis=axes, keepdims=True)
    top = xp.where(xp.isfinite(top), top, 0)
    total = xp.log(sums.total(xp, xp.exp(a - top), axes, keepdims=True)) + top
    return total if keepdims else xp.squeeze(total, axis=axes)


def _norm_rule(xp: Xp, g: Array, a: Array, y: Array, ord: float, axis: Axis, keepdims: bool) -> Array:
    """Point along ``sign(a) * abs(a) ** (ord - 1)``; at 0, where every direction would do, take 0."""
    slope = _kept(xp, xp.where(y == 0, 0, g), a.shape, axis, keepdims)
    ratio = a / _kept(xp, xp.where(y == 0, 1, y), a.shape, axis, keepdims)
    if ord == 2:
        return slope * ratio
    return slope * xp.sign(ratio) * xp.where(ratio == 0, 1, xp.abs(ratio)) ** (ord - 1)


@primitive(a=_norm_rule)
def _norm(xp: Xp, a: Array, *, ord: float, axis: Axis = None, keepdims: bool = False) -> Array:
    """``sum(abs(a) ** ord) ** (1 / ord)``, of ratios to the element that counts most: no power overflows."""
    axes = _reduced("norm", axis, a.ndim)
    size = xp.abs(a)
    if not size.size and ord > 0:
        return sums.total(xp, size, axes, keepdims)
    scale = (xp.max if ord > 0 else xp.min)(size, axis=axes, keepdims=True)
    scale = xp.where((scale > 0) & (scale < math.inf), scale, 1)
    y = scale * sums.total(xp, (size / scale) ** ord, axes, keepdims=True) ** (1 / ord)
    return y if keepdims else xp.squeeze(y, axis=axes)


def norm(a: TensorLike, ord: float = 2, axis: Axis = None, keepdims: bool = False) -> Array:
    """Vector norm of the elements over `axis`, as ``torch.linalg.vector_norm``.

    Small and large elements count in full: a square that is no float any more spoils nothing.

    Parameters
    ----------
    a : Tensor or array
        Any shape; with several axes its elements count as one vector.
    ord : float
        ``sum(abs(a) ** ord) ** (1 / ord)``, also for fractions and negative numbers; ``inf`` and ``-inf`` are
        the greatest and the least absolute value, 0 counts the elements that are not 0. Where the norm is 0
        its gradient is 0.
    axis : int or tuple of int, optional
        The axes to reduce; all by default.
    keepdims : bool
        Whether the reduced axes stay, with size one.

    Raises
    ------
    OptionError
        If `ord` is no number.
    ShapeError
        If there are no elements, and `ord` is infinite or negative.
    """
    if not is_number(ord) and ord not in (math.inf, -math.inf):
        raise OptionError("norm", "ord must be a number", ord=repr(ord))
    if ord == 0:
        return sum(astype(not_equal(a, 0), dtype=a.dtype), axis=axis, keepdims=keepdims)
    if ord == 1:
        return sum(abs(a), axis=axis, keepdims=keepdims)
    if math.isinf(ord):
        return (max if ord > 0 else min)(abs(a), axis=axis, keepdims=keepdims)
    return _norm(a, ord=float(ord), axis=axis, keepdims=keepdims)


def _cumsum_rule(xp: Xp, g: Array, a_shape: tuple[int, ...], axis: int | None) -> Array:
    """Sum from the end: element i reaches every partial sum from the i-th on."""
    along = 0 if axis is None else axis
    return xp.reshape(xp.flip(cumsum(xp.flip(g, axis=along), axis=along), axis=along), a_shape)


@primitive(a=_cumsum_rule)
def cumsum(xp: Xp, a: Array, *, axis: int | None = None) -> Array:
    """Partial sums along `axis`, or of the flattened array if it is None.

    Those of float32 are added up in float64, as in PyTorch.
    """
    if a.ndim == 0:
        a = xp.reshape(a, (1,))  # as NumPy does; CuPy refuses an axis
    if a.dtype != xp.float32:
        return xp.cumsum(a, axis=axis)
    return xp.cumsum(a, axis=axis, dtype=xp.float64).astype(a.dtype)


@primitive()
def argmax(xp: Xp, a: Array, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """Index of the greatest element; the first of equals."""
    return xp.argmax(a, axis=_along("argmax", axis, a.ndim), keepdims=keepdims)


@primitive()
def argmin(xp: Xp, a: Array, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """Index of the least element; the first of equals."""
    return xp.argmin(a, axis=_along("argmin", axis, a.ndim), keepdims=keepdims)


def _along(where: str, axis: int | None, ndim: int) -> int | None:
    """Return the one axis of a search, or None for all."""
    axes = None if axis is None else _reduced(where, axis, ndim)
    return axes[0] if axes else None
