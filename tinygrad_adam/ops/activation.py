"""Activation functions."""

from __future__ import annotations

import math

from ..backend import sums
from ..engine.graph import primitive
from ..errors import OptionError
from ..typing import Array, TensorLike, Xp
from .special import erf

__all__ = [
    "dropout",
    "elu",
    "gelu",
    "leaky_relu",
    "log_softmax",
    "mish",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
]


@primitive(a=lambda g, y: relu_vjp(g, y))
def relu(xp: Xp, a: Array) -> Array:
    """Rectified linear unit ``max(a, 0)``; the gradient at 0 is 0."""
    return xp.maximum(a, 0)


@primitive(a=lambda g, output: relu_vjp(g, output), output=lambda xp, output: xp.zeros_like(output))
def relu_vjp(xp: Xp, a: Array, output: Array) -> Array:
    """0 where the `output` of the ReLU is 0, and ``a`` elsewhere, also where the output is NaN."""
    return xp.where(output <= 0, 0, a)  # selected: an infinite a times 0 would be NaN


def _leaky_relu_rule(xp: Xp, g: Array, a: Array, negative_slope: float) -> Array:
    """Give ``g`` or ``negative_slope * g``; a slope of 0 selects 0, also of an infinite ``g``."""
    return xp.where(a > 0, g, g * negative_slope) if negative_slope else relu_vjp(g, a)


@primitive(a=_leaky_relu_rule)
def leaky_relu(xp: Xp, a: Array, *, negative_slope: float = 0.01) -> Array:
    """``a`` where it is positive, and ``negative_slope * a`` elsewhere; with a slope of 0 it is `relu`."""
    return xp.where(a > 0, a, a * negative_slope) if negative_slope else xp.maximum(a, 0)


@primitive(a=lambda xp, g, a, alpha: xp.where(a <= 0, g * alpha * xp.exp(xp.minimum(a, 0)), g))
def elu(xp: Xp, a: Array, *, alpha: float = 1.0) -> Array:
    """``a`` where it is positive, and ``alpha * (exp(a) - 1)`` elsewhere (Clevert et al., 2016)."""
    return xp.where(a > 0, a, alpha * xp.expm1(xp.minimum(a, 0)))


@primitive(a=lambda g, y: g * y * (1 - y))
def sigmoid(xp: Xp, a: Array) -> Array:
    """Logistic function ``1 / (1 + exp(-a))``."""
    e = xp.exp(-xp.abs(a))  # never overflows
    return xp.where(a >= 0, 1, e) / (1 + e)


@primitive(a=lambda g, a: g * sigmoid(a))
def softplus(xp: Xp, a: Array) -> Array:
    """``log(1 + exp(a))``, a smooth ReLU."""
    return xp.maximum(a, 0) + xp.log1p(xp.exp(-xp.abs(a)))


# Not y + sigmoid(a) * (1 - y), in which two large numbers would cancel.
@primitive(a=lambda g, a, y: g * (sigmoid(a) + y * sigmoid(-a)))
def silu(xp: Xp, a: Array) -> Array:
    """``a * sigmoid(a)``, also called swish."""
    return a * sigmoid(a)


def _mish_rule(xp: Xp, g: Array, a: Array) -> Array:
    bounded = xp.tanh(softplus(a))
    return g * (bounded + a * sigmoid(a) * (1 - bounded * bounded))


@primitive(a=_mish_rule)
def mish(xp: Xp, a: Array) -> Array:
    """``a * tanh(softplus(a))`` (Misra, 2020), smooth, with a minimum of -0.309."""
    return a * xp.tanh(softplus(a))


_FAR = 100.0
"""From here on, on both sides, the slope of GELU is 0 or 1 in any precision; powers beyond might overflow."""


def _gelu_rule(xp: Xp, g: Array, a: Array) -> Array:
    a = xp.clip(a, -_FAR, _FAR)
    return g * (_normal_cdf(a) + a * xp.exp(-0.5 * a * a) / math.sqrt(2 * math.pi))


@primitive(a=_gelu_rule)
def _gelu_exact(xp: Xp, a: Array) -> Array:
    """``a`` times the standard normal distribution function of `a`."""
    return a * _normal_cdf(a)


def _normal_cdf(a: TensorLike) -> Array:
    return 0.5 * (1 + erf(a * math.sqrt(0.5)))


_ROOT = math.sqrt(2 / math.pi)


def _gelu_tanh_rule(xp: Xp, g: Array, a: Array) -> Array:
    a = xp.clip(a, -_FAR, _FAR)
    t = xp.tanh(_ROOT * (a + 0.044715 * a**3))
    return g * 0.5 * (1 + t + a * (1 - t * t) * _ROOT * (1 + 3 * 0.044715 * a * a))


@primitive(a=_gelu_tanh_rule)
def _gelu_tanh(xp: Xp, a: Array) -> Array:
    """The approximation of GELU by a hyperbolic tangent."""
    near = xp.clip(a, -_FAR, _FAR)
    return 0.5 * a * (1 + xp.tanh(_ROOT * (near + 0.044715 * near**3)))


def gelu(a: TensorLike, approximate: str = "none") -> Array:
    """Gaussian error linear unit (Hendrycks & Gimpel, 2016).

    Parameters
    ----------
    a : Tensor or array
        Any shape.
    approximate : {"none", "tanh"}
        The exact function, or the approximation by a hyperbolic tangent that BERT and GPT-2 use.

    Raises
    ------
    OptionError
        If `approximate` is neither.
    """
    if approximate == "none":
        return _gelu_exact(a)
    if approximate == "tanh":
        return _gelu_tanh(a)
    raise OptionError("gelu", "approximate must be 'none' or 'tanh'", approximate=repr(approximate))


def sum(xp: Xp, a: Array, *, axis: int, keepdims: bool) -> Array:
    """Sum along `axis`, also of a number; this name and these arguments, for formulas show them."""
    return sums.total(xp, a, axis=_axis(a, axis), keepdims=keepdims)


def _below_greatest(xp: Xp, a: Array, axis: int) -> Array:
    """Subtract the greatest element along `axis`, if there is any, so that no exponential overflows."""
    return a - xp.max(a, axis=_axis(a, axis), keepdims=True) if a.size else a


def _axis(a: TensorLike, axis: int) -> int | None:
    """Return None for axis 0 or -1 of a number, which CuPy would not find."""
    return axis if a.ndim or axis not in (0, -1) else None


@primitive(a=lambda xp, g, y, axis: y * (g - sum(xp, g * y, axis=axis, keepdims=True)))
def softmax(xp: Xp, a: Array, *, axis: int = -1) -> Array:
    """Exponentials along `axis`, divided by their sum."""
    e = xp.exp(_below_greatest(xp, a, axis))
    return e / sum(xp, e, axis=axis, keepdims=True)


@primitive(a=lambda xp, g, y, axis: g - xp.exp(y) * sum(xp, g, axis=axis, keepdims=True))
def log_softmax(xp: Xp, a: Array, *, axis: int = -1) -> Array:
    """Logarithm of `softmax`, without its underflow."""
    shifted = _below_greatest(xp, a, axis)
    return shifted - xp.log(sum(xp, xp.exp(shifted), axis=axis, keepdims=True))


def random_bits(xp: Xp, key: int, count: int) -> Array:
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
    """Return the number below which the upper 32 bits of a random word fall with probability `p`."""
    return min(int(p * 2.0**32), 2**32 - 1)


# A linear map that is its own adjoint: the same key gives the same mask, so none is kept.
@primitive(a=lambda g, p, key: dropout(g, p=p, key=key))
def dropout(xp: Xp, a: Array, *, p: float, key: int) -> Array:
    """Set each element to zero with probability `p`, and divide the others by ``1 - p``.

    Which elements, depends on `key` and the element's position only (a counter-based generator,
    the same in every kernel set and on every device).
    """
    kept = (random_bits(xp, key, a.size) >> xp.uint64(32)) >= xp.uint64(dropout_threshold(p))
    return xp.where(kept.reshape(a.shape), a * (1.0 / (1.0 - p)), 0)
