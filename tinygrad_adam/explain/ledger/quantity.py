"""Numbers that remember how they were computed: a formula in symbols, and with the numbers put in.

What the ledger shows is what was computed, because one expression makes both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy

ATOM, POWER, PRODUCT, SUM, NEGATIVE = range(5)
"""How loosely the outermost operation of a text binds; a negative number is bound as a sum is."""


class Quantity:
    """A value with its formula.

    Arithmetic is done by the value itself, in its own precision: NumPy's floats for what belongs to an
    entry, Python's for hyper-parameters.

    Parameters
    ----------
    value : float, NumPy scalar or array
        What it is.
    formula : str
        How it came about, in symbols.
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

    def __init__(self, value: Any, formula: str, numbers: str = "", rank: int = ATOM) -> None:
        self.value = value
        self.formula = formula
        self.numbers = numbers or shown(value)
        self.ranks = (rank, NEGATIVE if not numbers and self.numbers.startswith("-") else rank)

    def _with(self, other: Any, sign: str, value: Any, rank: int, left: int, right: int) -> Quantity:
        """Join two texts; an operand that binds more loosely than its side allows gets parentheses."""
        a, b = self._texts(left, begins=left != ATOM), _quantity(other)._texts(right, begins=False)
        return Quantity(value, f"{a[0]}{sign}{b[0]}", f"{a[1]}{sign}{b[1]}", rank)

    def _texts(self, limit: int, begins: bool) -> list[str]:
        texts = zip((self.formula, self.numbers), self.ranks, strict=True)
        return [
            text if rank <= limit or (begins and rank == NEGATIVE) else f"({text})" for text, rank in texts
        ]

    def __add__(self, other: Any) -> Quantity:
        return self._with(other, " + ", self.value + _value(other), SUM, SUM, SUM)

    def __sub__(self, other: Any) -> Quantity:
        return self._with(other, " - ", self.value - _value(other), SUM, SUM, PRODUCT)

    def __mul__(self, other: Any) -> Quantity:
        # a * (b / c) is written a * b / c, as papers do, and rounded as it is computed.
        return self._with(other, " * ", self.value * _value(other), PRODUCT, PRODUCT, PRODUCT)

    def __truediv__(self, other: Any) -> Quantity:
        return self._with(other, " / ", self.value / _value(other), PRODUCT, PRODUCT, POWER)

    def __pow__(self, other: Any) -> Quantity:
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
    """Return ``a^2``, rounded as a product is."""
    return a._with(2, "^", a.value * a.value, POWER, ATOM, ATOM)


def sqrt(a: Quantity) -> Quantity:
    """Return the square root."""
    return _call("sqrt", math.sqrt(a.value) if type(a.value) is float else numpy.sqrt(a.value), a)


def absolute(a: Quantity) -> Quantity:
    """Return the absolute value."""
    return Quantity(abs(a.value), f"|{a.formula}|", f"|{a.numbers}|")


def sign(a: Quantity) -> Quantity:
    """Return 1, 0 or -1."""
    return _call("sign", numpy.sign(a.value), a)


def maximum(a: Any, b: Any) -> Quantity:
    """Return the greater."""
    return _call("max", numpy.maximum(_value(a), _value(b)), a, b)


def clip(a: Any, low: Any, high: Any) -> Quantity:
    """Return what is nearest to `a` between two bounds."""
    return _call("clip", numpy.clip(_value(a), _value(low), _value(high)), a, low, high)


def _call(name: str, value: Any, *of: Any) -> Quantity:
    parts = [_quantity(a) for a in of]
    formula, numbers = (", ".join(getattr(p, text) for p in parts) for text in ("formula", "numbers"))
    return Quantity(value, f"{name}({formula})", f"{name}({numbers})")


def _value(a: Any) -> Any:
    return a.value if isinstance(a, Quantity) else a


def _quantity(a: Any) -> Quantity:
    return a if isinstance(a, Quantity) else Quantity(a, shown(a))


def shown(value: Any) -> str:
    """Write a number: a hyper-parameter as it was set, what was computed with six digits.

    Examples
    --------
    >>> shown(0.999), shown(1 - 1e-8), shown(numpy.float32(1 / 3)), shown(1e-8)
    ('0.999', '0.99999999', '0.333333', '1e-08')
    """
    if numpy.ndim(value):
        return "..."
    return f"{value:.10g}" if type(value) in (int, float) else f"{value:.6g}"  # NumPy's floats are no float


@dataclass(frozen=True)
class Line:
    """One quantity of a step.

    Attributes
    ----------
    name : str
        What the ledger finds it by, such as ``"m_hat"``.
    symbol : str
        As formulas write it, such as ``"m_hat_t"``.
    meaning : str
        What it is, in words.
    source : str
        The line of the algorithm, or the equation, that it stands in; empty if the paper has none.
    formula : str
        In symbols; empty for what was given.
    numbers : str
        The formula with the numbers put in.
    value : float or array
        What it is.
    """

    name: str
    symbol: str
    meaning: str
    source: str
    formula: str
    numbers: str
    value: Any


class Lines:
    """The lines of a step, written one after the other."""

    def __init__(self) -> None:
        self.written: list[Line] = []

    def given(self, name: str, symbol: str, value: Any, meaning: str, source: str = "") -> Quantity:
        """Write down what the step began with, and return it under its symbol."""
        self.written.append(Line(name, symbol, meaning, source, "", "", value))
        return Quantity(value, symbol)

    def let(self, name: str, symbol: str, quantity: Quantity, meaning: str, source: str = "") -> Quantity:
        """Write down what was computed, and return it under its symbol."""
        numbers = "" if quantity.numbers == shown(quantity.value) else quantity.numbers
        self.written.append(Line(name, symbol, meaning, source, quantity.formula, numbers, quantity.value))
        return Quantity(quantity.value, symbol)
