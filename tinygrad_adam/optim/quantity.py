"""Numbers that remember how they were computed: a formula in symbols, and with the numbers put in.

One expression makes the value and its formula, so a ledger cannot show another computation than its own.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy

from ..typing import Array

ATOM, POWER, PRODUCT, SUM, NEGATIVE = range(5)
"""How loosely the outermost operation of a text binds; a negative number binds as a sum does."""


Operand: TypeAlias = "Quantity | float"


class Quantity:
    """A value with its formula.

    The value itself does the arithmetic, in its own precision: a NumPy float for the numbers of an entry, a
    Python float for hyper-parameters.

    Parameters
    ----------
    value : float, NumPy scalar or array
        The number, or the numbers of all entries.
    formula : str
        Its computation in symbols.
    numbers : str, optional
        The same with numbers in place of symbols; by default the value.
    rank : int
        How loosely the outermost operation of both texts binds.

    Examples
    --------
    >>> beta, g = Quantity(0.75, "beta"), Quantity(-8.0, "g")
    >>> mean = (1 - beta) * g
    >>> mean.formula, mean.numbers, mean.value
    ('(1 - beta) * g', '(1 - 0.75) * (-8)', -2.0)
    """

    __slots__ = ("formula", "numbers", "ranks", "value")

    def __init__(self, value: Array, formula: str, numbers: str = "", rank: int = ATOM) -> None:
        self.value = value
        self.formula = formula
        self.numbers = numbers or shown(value)
        self.ranks = (rank, NEGATIVE if not numbers and self.numbers.startswith("-") else rank)

    def _with(self, other: Operand, sign: str, value: Array, rank: int, left: int, right: int) -> Quantity:
        """Join two texts; an operand that binds more loosely than its side allows gets parentheses."""
        a, b = self._texts(left, begins=left != ATOM), _quantity(other)._texts(right, begins=False)
        return Quantity(value, f"{a[0]}{sign}{b[0]}", f"{a[1]}{sign}{b[1]}", rank)

    def _texts(self, limit: int, begins: bool) -> list[str]:
        texts = zip((self.formula, self.numbers), self.ranks, strict=True)
        return [
            text if rank <= limit or (begins and rank == NEGATIVE) else f"({text})" for text, rank in texts
        ]

    def __add__(self, other: Operand) -> Quantity:
        return self._with(other, " + ", self.value + _value(other), SUM, SUM, SUM)

    def __sub__(self, other: Operand) -> Quantity:
        return self._with(other, " - ", self.value - _value(other), SUM, SUM, PRODUCT)

    def __mul__(self, other: Operand) -> Quantity:
        # Papers write a * (b / c) as a * b / c; the value is rounded in the order of the computation.
        return self._with(other, " * ", self.value * _value(other), PRODUCT, PRODUCT, PRODUCT)

    def __truediv__(self, other: Operand) -> Quantity:
        return self._with(other, " / ", self.value / _value(other), PRODUCT, PRODUCT, POWER)

    def __pow__(self, other: Operand) -> Quantity:
        return self._with(other, "^", self.value ** _value(other), POWER, ATOM, ATOM)

    def __radd__(self, other: float) -> Quantity:
        return _quantity(other) + self

    def __rsub__(self, other: float) -> Quantity:
        return _quantity(other) - self

    def __rmul__(self, other: float) -> Quantity:
        return _quantity(other) * self

    def __rtruediv__(self, other: float) -> Quantity:
        return _quantity(other) / self


def square(a: Quantity) -> Quantity:
    """Return ``a^2``, rounded as a product."""
    return a._with(2, "^", a.value * a.value, POWER, ATOM, ATOM)


def sqrt(a: Quantity) -> Quantity:
    """Return the square root; Python's for a hyper-parameter, NumPy's for the numbers of an entry."""
    return _call("sqrt", math.sqrt(a.value) if type(a.value) is float else numpy.sqrt(a.value), a)


def absolute(a: Quantity) -> Quantity:
    """Return ``|a|``."""
    return Quantity(abs(a.value), f"|{a.formula}|", f"|{a.numbers}|")


def sign(a: Quantity) -> Quantity:
    """Return 1, 0 or -1."""
    return _call("sign", numpy.sign(a.value), a)


def maximum(a: Operand, b: Operand) -> Quantity:
    """Return the greater of two, element by element."""
    return _call("max", numpy.maximum(_value(a), _value(b)), a, b)


def clip(a: Operand, low: Operand, high: Operand) -> Quantity:
    """Return the number between two bounds that is nearest to `a`."""
    return _call("clip", numpy.clip(_value(a), _value(low), _value(high)), a, low, high)


def _call(name: str, value: Array, *of: Operand) -> Quantity:
    parts = [_quantity(a) for a in of]
    formula, numbers = (", ".join(getattr(p, text) for p in parts) for text in ("formula", "numbers"))
    return Quantity(value, f"{name}({formula})", f"{name}({numbers})")


def _value(a: Operand) -> Array:
    return a.value if isinstance(a, Quantity) else a


def _quantity(a: Operand) -> Quantity:
    return a if isinstance(a, Quantity) else Quantity(a, shown(a))


def shown(value: Array) -> str:
    """Write a number: a hyper-parameter as it was set, a computed one with six digits.

    Examples
    --------
    >>> shown(0.999), shown(1 - 1e-8), shown(numpy.float32(1 / 3)), shown(1e-8)
    ('0.999', '0.99999999', '0.333333', '1e-08')
    """
    if numpy.ndim(value):
        return "..."
    return f"{value:.10g}" if type(value) in (int, float) else f"{value:.6g}"  # NumPy's floats are no float
