"""Element-by-element arithmetic and the elementary functions."""

from __future__ import annotations

from typing import Any

from ..backend.convert import check_dtype, known_dtype
from ..engine.graph import primitive
from ..errors import DTypeError
from ..typing import Array, Xp

__all__ = [
    "abs",
    "add",
    "arctan",
    "astype",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "clip",
    "cos",
    "cosh",
    "divide",
    "equal",
    "exp",
    "expm1",
    "floor_divide",
    "greater",
    "greater_equal",
    "invert",
    "isfinite",
    "less",
    "less_equal",
    "log",
    "log1p",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "not_equal",
    "power",
    "reciprocal",
    "remainder",
    "round",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "where",
    "zeros_like",
]

# A rule says what it needs by naming it: `a` and `b` are inputs, `y` the output, `g` the gradient
# of the output. Broadcasting is undone by the engine, so no rule mentions it.


@primitive(a=lambda g: g, b=lambda g: g)
def add(xp: Xp, a: Array, b: Array) -> Array:
    """Sum ``a + b``."""
    return xp.add(a, b)


@primitive(a=lambda g: g, b=lambda g: -g)
def subtract(xp: Xp, a: Array, b: Array) -> Array:
    """Difference ``a - b``."""
    return xp.subtract(a, b)


@primitive(a=lambda g, b: g * b, b=lambda g, a: g * a)
def multiply(xp: Xp, a: Array, b: Array) -> Array:
    """Product ``a * b``, element by element."""
    return xp.multiply(a, b)


@primitive(a=lambda g, b: g / b, b=lambda g, b, y: -g * y / b)
def divide(xp: Xp, a: Array, b: Array) -> Array:
    """Quotient ``a / b``."""
    return xp.divide(a, b)


def _power_base_rule(xp: Xp, g: Array, a: Array, b: Array) -> Array:
    """Return ``b * a ** (b - 1)``; where b is 0 that is 0, also at a = 0 with its infinite power."""
    if isinstance(b, int | float):
        return g * b * a ** (b - 1) if b else xp.zeros_like(g)
    return g * b * xp.where((a == 0) * (b == 0), 1, a) ** (b - 1.0)  # a float, since unsigned integers wrap


def _power_exponent_rule(xp: Xp, g: Array, a: Array, y: Array) -> Array:
    """Return ``a ** b * log(a)``; where a is 0 the power does not change with b > 0, and log(1) is 0."""
    base = xp.zeros_like(y) + a  # in the dtype of y, which may be wider
    return g * y * xp.log(xp.where(base == 0, 1, base))


@primitive(
    a=_power_base_rule,
    b=_power_exponent_rule,
)
def power(xp: Xp, a: Array, b: Array) -> Array:
    """Power ``a ** b``; the gradient of a negative base with respect to `b` is NaN.

    Integers have no negative powers. On a GPU an array of exponents is not looked at, and gives integers.
    """
    if (
        isinstance(b, int) and b < 0 and hasattr(a, "dtype") and a.dtype.kind in "iu"
    ):  # on a GPU it would be 0
        raise DTypeError("power", "integers have no negative powers; cast them to floats", a=a.dtype, b=b)
    return xp.power(a, b)


@primitive(a=lambda xp, g: xp.zeros_like(g), b=lambda xp, g: xp.zeros_like(g))
def floor_divide(xp: Xp, a: Array, b: Array) -> Array:
    """Quotient rounded down, ``a // b``; piecewise constant, so its gradient is zero."""
    return xp.floor_divide(a, b)


@primitive(a=lambda g: g, b=lambda xp, g, a, b: -g * xp.floor_divide(a, b))
def remainder(xp: Xp, a: Array, b: Array) -> Array:
    """Remainder ``a % b``, with the sign of `b` as in Python."""
    return xp.remainder(a, b)


@primitive(a=lambda g: -g)
def negative(xp: Xp, a: Array) -> Array:
    """Negative ``-a``."""
    return xp.negative(a)


@primitive(a=lambda xp, g, a: g * xp.sign(a))
def abs(xp: Xp, a: Array) -> Array:
    """Absolute value; the gradient at 0 is 0."""
    return xp.abs(a)


@primitive(a=lambda xp, g: xp.zeros_like(g))
def sign(xp: Xp, a: Array) -> Array:
    """Sign, one of -1, 0 and 1; its gradient is zero."""
    return xp.sign(a)


@primitive(a=lambda xp, g: xp.zeros_like(g))
def round(xp: Xp, a: Array, *, decimals: int = 0) -> Array:
    """Round to that many decimals, halves to even; piecewise constant, so its gradient is zero."""
    return xp.around(a, decimals)


@primitive(a=lambda xp, g: xp.zeros_like(g))
def zeros_like(xp: Xp, a: Array) -> Array:
    """Zeros of the shape and dtype of `a`."""
    return xp.zeros_like(a)


@primitive(a=lambda g: g)
def astype(xp: Xp, a: Array, *, dtype: Any) -> Array:
    """Cast to `dtype`; the gradient is cast back."""
    check_dtype("astype", known_dtype("astype", dtype))
    return a.astype(dtype)


@primitive(a=lambda g, y: g * y)
def exp(xp: Xp, a: Array) -> Array:
    """Exponential."""
    return xp.exp(a)


# Not y + 1, which cancels where `a` is far below 0.
@primitive(a=lambda xp, g, a: g * xp.exp(a))
def expm1(xp: Xp, a: Array) -> Array:
    """``exp(a) - 1``, exact also for small `a`."""
    return xp.expm1(a)


@primitive(a=lambda g, a: g / a)
def log(xp: Xp, a: Array) -> Array:
    """Natural logarithm."""
    return xp.log(a)


@primitive(a=lambda g, a: g / (a + 1))
def log1p(xp: Xp, a: Array) -> Array:
    """``log(1 + a)``, exact also for small `a`."""
    return xp.log1p(a)


@primitive(a=lambda g, y: g * 0.5 / y)
def sqrt(xp: Xp, a: Array) -> Array:
    """Square root; its gradient at 0 is infinite."""
    return xp.sqrt(a)


@primitive(a=lambda g, a: g * 2 * a)
def square(xp: Xp, a: Array) -> Array:
    """Square ``a * a``."""
    return xp.square(a)


@primitive(a=lambda g, y: -g * y * y)
def reciprocal(xp: Xp, a: Array) -> Array:
    """Reciprocal ``1 / a``."""
    return xp.reciprocal(a)


@primitive(a=lambda xp, g, a: g * xp.cos(a))
def sin(xp: Xp, a: Array) -> Array:
    """Sine of an angle in radians."""
    return xp.sin(a)


@primitive(a=lambda xp, g, a: -g * xp.sin(a))
def cos(xp: Xp, a: Array) -> Array:
    """Cosine of an angle in radians."""
    return xp.cos(a)


@primitive(a=lambda g, y: g * (1 + y * y))
def tan(xp: Xp, a: Array) -> Array:
    """Tangent of an angle in radians."""
    return xp.tan(a)


@primitive(a=lambda g, a: g / (1 + a * a))
def arctan(xp: Xp, a: Array) -> Array:
    """Angle in radians whose tangent is `a`."""
    return xp.arctan(a)


@primitive(a=lambda xp, g, a: g * xp.cosh(a))
def sinh(xp: Xp, a: Array) -> Array:
    """Hyperbolic sine."""
    return xp.sinh(a)


@primitive(a=lambda xp, g, a: g * xp.sinh(a))
def cosh(xp: Xp, a: Array) -> Array:
    """Hyperbolic cosine."""
    return xp.cosh(a)


@primitive(a=lambda g, y: g * (1 - y * y))
def tanh(xp: Xp, a: Array) -> Array:
    """Hyperbolic tangent."""
    return xp.tanh(a)


# At a tie both inputs are the extremum and each gets half; beside NaN, which no comparison tells from the
# extremum, each gets all: as in PyTorch.
@primitive(
    a=lambda xp, g, a, b: xp.where(a == b, g / 2, xp.where(a < b, 0, g)),
    b=lambda xp, g, a, b: xp.where(a == b, g / 2, xp.where(b < a, 0, g)),
)
def maximum(xp: Xp, a: Array, b: Array) -> Array:
    """The greater of `a` and `b`, element by element."""
    return xp.maximum(a, b)


@primitive(
    a=lambda xp, g, a, b: xp.where(a == b, g / 2, xp.where(a > b, 0, g)),
    b=lambda xp, g, a, b: xp.where(a == b, g / 2, xp.where(b > a, 0, g)),
)
def minimum(xp: Xp, a: Array, b: Array) -> Array:
    """The lesser of `a` and `b`, element by element."""
    return xp.minimum(a, b)


def _clip_rule(xp: Xp, g: Array, a: Array, min: float | None, max: float | None) -> Array:
    """Give ``g`` inside and on the bounds; the output does not depend on elements elsewhere."""
    if min is not None:
        g = xp.where(a >= min, g, 0)
    return g if max is None else xp.where(a <= max, g, 0)


@primitive(a=_clip_rule)
def clip(xp: Xp, a: Array, *, min: float | None = None, max: float | None = None) -> Array:
    """Limit `a` to the interval from `min` to `max`; None leaves that side open.

    Where `min` exceeds `max` the result is `max` everywhere, and the gradient 0.
    """
    return xp.clip(a, min, max)


@primitive(
    a=lambda xp, g, condition: xp.where(condition, g, 0),
    b=lambda xp, g, condition: xp.where(condition, 0, g),
)
def where(xp: Xp, condition: Array, a: Array, b: Array) -> Array:
    """`a` where `condition` holds and `b` elsewhere."""
    return xp.where(condition, a, b)


# Comparisons have no rules: their outputs are truth values, which carry no gradient.


@primitive()
def equal(xp: Xp, a: Array, b: Array) -> Array:
    """Whether ``a == b``, element by element."""
    return xp.equal(a, b)


@primitive()
def not_equal(xp: Xp, a: Array, b: Array) -> Array:
    """Whether ``a != b``, element by element."""
    return xp.not_equal(a, b)


@primitive()
def less(xp: Xp, a: Array, b: Array) -> Array:
    """Whether ``a < b``, element by element."""
    return xp.less(a, b)


@primitive()
def less_equal(xp: Xp, a: Array, b: Array) -> Array:
    """Whether ``a <= b``, element by element."""
    return xp.less_equal(a, b)


@primitive()
def greater(xp: Xp, a: Array, b: Array) -> Array:
    """Whether ``a > b``, element by element."""
    return xp.greater(a, b)


@primitive()
def greater_equal(xp: Xp, a: Array, b: Array) -> Array:
    """Whether ``a >= b``, element by element."""
    return xp.greater_equal(a, b)


@primitive()
def bitwise_and(xp: Xp, a: Array, b: Array) -> Array:
    """``a & b`` of truth values, or bit by bit of integers."""
    return xp.bitwise_and(a, b)


@primitive()
def bitwise_or(xp: Xp, a: Array, b: Array) -> Array:
    """``a | b`` of truth values, or bit by bit of integers."""
    return xp.bitwise_or(a, b)


@primitive()
def bitwise_xor(xp: Xp, a: Array, b: Array) -> Array:
    """``a ^ b`` of truth values, or bit by bit of integers."""
    return xp.bitwise_xor(a, b)


@primitive()
def invert(xp: Xp, a: Array) -> Array:
    """``~a`` of truth values, or bit by bit of integers."""
    return xp.invert(a)


@primitive()
def isfinite(xp: Xp, a: Array) -> Array:
    """Whether each element is neither infinite nor NaN."""
    return xp.isfinite(a)
