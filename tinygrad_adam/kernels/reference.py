"""Kernels in plain array code: the textbook, and the oracle for every faster version.

Each takes the array namespace ``xp`` first and works for any library with NumPy's interface.
"""

from __future__ import annotations

import math
from typing import Any

from ..backend import sums
from ..values import is_integer


def matmul(xp: Any, a: Any, b: Any, into: Any = None) -> Any:
    """Product of matrices, or of batches of them."""
    return xp.matmul(a, b) if into is None else xp.matmul(a, b, out=into)


def linear(xp: Any, x: Any, weight: Any, bias: Any, relu: bool) -> Any:
    """``x @ weight.T + bias`` of the last axis, and of that the greater of it and 0 if `relu` is set."""
    y = xp.matmul(x, weight.T)
    if bias is not None:
        y += bias
    return xp.maximum(y, 0) if relu else y


# --- Error function --------------------------------------------------------------------------

# W. J. Cody, "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969):
# numerator and denominator, highest power first, for |x| <= 0.46875, up to 4, and beyond 4.
_ERF_NUMERATOR = (
    1.85777706184603153e-1,
    3.16112374387056560,
    1.13864154151050156e2,
    3.77485237685302021e2,
    3.20937758913846947e3,
)
_ERF_DENOMINATOR = (
    1.0,
    2.36012909523441209e1,
    2.44024637934444173e2,
    1.28261652607737228e3,
    2.84423683343917062e3,
)
_ERFC_NUMERATOR = (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1,
                   2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3,
                   1.23033935479799725e3)  # fmt: skip
_ERFC_DENOMINATOR = (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2,
                     1.62138957456669019e3, 3.29079923573345963e3, 4.36261909014324716e3,
                     3.43936767414372164e3, 1.23033935480374942e3)  # fmt: skip


def _polynomial(coefficients: tuple[float, ...], x: Any) -> Any:
    total = coefficients[0]
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


def erf(xp: Any, x: Any) -> Any:
    """Error function to double precision, by Cody's rational approximations."""
    size = xp.abs(x)
    small = xp.minimum(size, 0.46875)
    square = small * small
    near = small * _polynomial(_ERF_NUMERATOR, square) / _polynomial(_ERF_DENOMINATOR, square)
    # Beyond 6 the complement is below half a unit in the last place of 1.
    large = xp.clip(size, 0.46875, 6.0)
    complement = (
        xp.exp(-large * large) * _polynomial(_ERFC_NUMERATOR, large) / _polynomial(_ERFC_DENOMINATOR, large)
    )
    value = xp.where(size <= 0.46875, near, 1.0 - complement)
    return xp.where(xp.isnan(x), x, xp.sign(x) * value)


# --- ReLU ------------------------------------------------------------------------------------


def relu(xp: Any, x: Any) -> Any:
    """Greater of `x` and 0."""
    return xp.maximum(x, 0)


def relu_vjp(xp: Any, g: Any, y: Any) -> Any:
    """0 where the output `y` is 0, and ``g`` elsewhere, also where `y` is NaN."""
    return xp.where(y <= 0, 0, g)  # selected, for an infinite g times 0 would be NaN


# --- Random numbers --------------------------------------------------------------------------


def random_bits(xp: Any, key: int, count: int) -> Any:
    """Return `count` random 64-bit words, each a function of `key` and its position only.

    SplitMix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number generators", 2014): a
    counter in steps of the golden ratio, then a mixing function. Having no state, it gives the
    same words in any order, on any device.
    """
    word = xp.arange(1, count + 1, dtype=xp.uint64) * xp.uint64(0x9E3779B97F4A7C15) + xp.uint64(key)
    word = (word ^ (word >> xp.uint64(30))) * xp.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> xp.uint64(27))) * xp.uint64(0x94D049BB133111EB)
    return word ^ (word >> xp.uint64(31))


def dropout_threshold(p: float) -> int:
    """Return below which value the upper 32 bits of a random word fall with probability `p`."""
    return min(int(p * 2.0**32), 2**32 - 1)


def dropout(xp: Any, x: Any, p: float, key: int) -> Any:
    """Zero each element with probability `p` and divide the others by ``1 - p``."""
    kept = (random_bits(xp, key, x.size) >> xp.uint64(32)) >= xp.uint64(dropout_threshold(p))
    scale = 1.0 / (1.0 - p)
    return xp.where(kept.reshape(x.shape), x * scale, 0)


# --- Indexing --------------------------------------------------------------------------------


def is_basic(index: Any) -> bool:
    """Tell whether an index is one of slices and single places, which picks no element twice."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(p is None or p is Ellipsis or isinstance(p, slice) or is_integer(p) for p in parts)


def add_at(xp: Any, values: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Return zeros of `shape` with `values` added at `index`, repeated indices included.

    A place may get millions of terms, so they are added up in float64.
    """
    total = xp.zeros(shape, xp.float64)
    xp.add.at(total, index, values.astype(total.dtype))
    return total.astype(values.dtype)


def labels_in_range(xp: Any, labels: Any, classes: int, ignore_index: int) -> bool:
    """Tell whether every label is in ``range(classes)`` or equals `ignore_index`."""
    return bool(xp.all(((labels >= 0) & (labels < classes)) | (labels == ignore_index)))


# --- Softmax cross-entropy -------------------------------------------------------------------


def row_weights(
    xp: Any, labels: Any, classes: int, class_weight: Any, ignore_index: int, reduction: str, dtype: Any
) -> tuple[Any, Any]:
    """Return what each row's loss is multiplied by, and the column to read.

    The weight of the label's class, 0 where the label is to be ignored, divided by the sum of
    all if the reduction is a mean, or all 0 if that sum is. An ignored row reads column 0. A label that is
    not in ``range(classes)`` makes its row NaN: where nobody looks at values beforehand, the loss tells.
    """
    known = (labels >= 0) & (labels < classes)
    column = xp.where(known, labels, 0)
    row = xp.where(labels == ignore_index, 0, xp.where(known, 1, math.nan)).astype(dtype)
    if class_weight is not None:
        row = row * class_weight[column]
    if reduction == "mean":
        total = xp.sum(row)
        row = xp.where(total == 0, 0, row / xp.where(total == 0, 1, total))
    return row, column


def softmax_cross_entropy(
    xp: Any, logits: Any, labels: Any, class_weight: Any, ignore_index: int, reduction: str
) -> Any:
    """``logsumexp(z) - z[label]`` of each row z of (N, C) logits, weighted and reduced.

    Where no row has a weight the mean is NaN. What has none is selected, not multiplied by 0, which may be
    NaN.
    """
    row, column = row_weights(
        xp, labels, logits.shape[1], class_weight, ignore_index, reduction, logits.dtype
    )
    shifted = logits - xp.max(logits, axis=1, keepdims=True)
    log_sum = xp.log(xp.sum(xp.exp(shifted), axis=1))
    losses = xp.where(row == 0, 0, log_sum - shifted[xp.arange(len(column)), column]) * row
    if reduction == "mean":
        return xp.where(xp.any(row != 0), xp.sum(losses), math.nan)
    return losses if reduction == "none" else xp.sum(losses)


def softmax_cross_entropy_vjp(
    xp: Any, g: Any, logits: Any, labels: Any, class_weight: Any, ignore_index: int, reduction: str
) -> Any:
    """``g * row_weight * (softmax(z) - onehot(label))`` of each row z of (N, C) logits; 0 without weight."""
    row, column = row_weights(
        xp, labels, logits.shape[1], class_weight, ignore_index, reduction, logits.dtype
    )
    p = xp.exp(logits - xp.max(logits, axis=1, keepdims=True))
    p /= xp.sum(p, axis=1, keepdims=True)
    p[xp.arange(len(column)), column] -= 1
    return xp.where(row[:, None] == 0, 0, p * (g * row)[:, None])


# --- Channels --------------------------------------------------------------------------------


def _all_but_channels(x: Any) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def channel_sums(xp: Any, x: Any) -> Any:
    """Sum of each channel of x, shape (N, C, ...)."""
    return sums.total(xp, x, _all_but_channels(x))


def channel_products(xp: Any, a: Any, b: Any) -> Any:
    """Sum of ``a * b`` over each channel, shapes (N, C, ...)."""
    return sums.total(xp, a * b, _all_but_channels(a))


def scale_channels(xp: Any, x: Any, weight: Any, bias: Any) -> Any:
    """``x * weight + bias``: x of shape (N, C, ...), weight and bias, which may be None, of shape (C,)."""
    across = (-1,) + (1,) * (x.ndim - 2)
    y = x * weight.reshape(across)
    return y if bias is None else y + bias.reshape(across)


def channel_moments(xp: Any, x: Any) -> tuple[Any, Any]:
    """Mean and variance of each channel of x, shape (N, C, ...)."""
    axes = _all_but_channels(x)
    return sums.mean(xp, x, axes), sums.variance(xp, x, axes)


def _moments(xp: Any, x: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
    return sums.mean(xp, x, axes, keepdims=True), sums.variance(xp, x, axes, keepdims=True)


def standardize(xp: Any, x: Any, axes: tuple[int, ...], eps: float, moments: Any = None) -> Any:
    """``(x - mean) / sqrt(variance + eps)`` over `axes`; `moments` are the two, if they are known."""
    mean, variance = moments or _moments(xp, x, axes)
    return (x - mean) / xp.sqrt(variance + eps)


def standardize_vjp(xp: Any, g: Any, x: Any, axes: tuple[int, ...], eps: float, moments: Any = None) -> Any:
    """``r * (g - mean(g) - x_hat * mean(g * x_hat))`` with ``r = 1 / sqrt(variance + eps)``."""
    mean, variance = moments or _moments(xp, x, axes)
    r = (variance + eps) ** -0.5
    x_hat = (x - mean) * r
    g_mean = sums.mean(xp, g, axes, keepdims=True)
    return r * (g - g_mean - x_hat * sums.mean(xp, g * x_hat, axes, keepdims=True))
