"""The lines of a step: the words in which an optimizer writes down its update for the ledger.

An optimizer declares them in its own file, below its `update`: a static method ``lines(w)`` that writes on a
`StepLines`, whose docstring is the name of the algorithm. `Optimizer.explain` calls it with the numbers from
before the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..engine.rowsparse import RowSparse
from ..typing import Array
from .quantity import Quantity, absolute, shown, sqrt, square


@dataclass(frozen=True)
class BeforeStep:
    """The numbers that a step of one parameter is made from, as they were before it.

    Attributes
    ----------
    number : int
        The number of the parameter's step, from 1.
    value, gradient : array, NumPy scalar or RowSparse
        The parameter, and the gradient as the optimizer saw it.
    moments : dict of str to array or NumPy scalar
        The moments that the step before left.
    settings : mapping of str to object
        The hyper-parameters of its group.
    grad_scale : float
        The divisor of the gradient.
    """

    number: int
    value: Array
    gradient: Array | RowSparse
    moments: dict[str, Array]
    settings: Mapping[str, Any]
    grad_scale: float


@dataclass(frozen=True)
class Line:
    """One quantity of a step.

    Attributes
    ----------
    name : str
        The key of the quantity in a ledger, such as ``"m_hat"``.
    symbol : str
        The quantity in formulas, such as ``"m_hat_t"``.
    meaning : str
        The same in words.
    source : str
        The line of the algorithm, or the equation, that it stands in; empty if the paper has none.
    formula : str
        Its computation in symbols; empty for a number that the step began with.
    numbers : str
        The formula with the numbers put in.
    value : float or array
        The number, or the numbers of all entries.
    """

    name: str
    symbol: str
    meaning: str
    source: str
    formula: str
    numbers: str
    value: Array


class StepLines:
    """The lines of a step, written one after the other.

    Parameters
    ----------
    step : BeforeStep
        The numbers that the step is made from.

    Attributes
    ----------
    written : list of Line
        In the order of their computation.
    """

    def __init__(self, step: BeforeStep) -> None:
        self.step, self.settings = step, step.settings
        self.written: list[Line] = []

    def given(self, name: str, symbol: str, value: Array, meaning: str, source: str = "") -> Quantity:
        """Write down a number that the step began with, and return it under its symbol."""
        self.written.append(Line(name, symbol, meaning, source, "", "", value))
        return Quantity(value, symbol)

    def let(self, name: str, symbol: str, quantity: Quantity, meaning: str, source: str = "") -> Quantity:
        """Write down a computed quantity, and return it under its symbol."""
        numbers = "" if quantity.numbers == shown(quantity.value) else quantity.numbers
        self.written.append(Line(name, symbol, meaning, source, quantity.formula, numbers, quantity.value))
        return Quantity(quantity.value, symbol)

    def setting(self, name: str, symbol: str = "") -> Quantity:
        """Return a hyper-parameter, which needs no line: formulas show its value."""
        return Quantity(self.settings[name], symbol or name)

    def betas(self) -> list[Quantity]:
        """Return beta_1 and beta_2."""
        return [Quantity(beta, f"beta_{i}") for i, beta in enumerate(self.settings["betas"], 1)]

    def before(self, name: str, symbol: str) -> Quantity:
        """Return a moment of the step before."""
        return Quantity(self.step.moments[name], f"{symbol}_{{t-1}}")

    def begin(
        self, count: str = "", gradient: str = "", lr: str = "alpha", decoupled: bool = False
    ) -> tuple[Quantity, Quantity, Quantity, Quantity]:
        """Write the first lines; return the value, t, the learning rate and the gradient.

        Parameters
        ----------
        count, gradient : str
            The lines of the algorithm in which t and the gradient stand.
        lr : str
            The symbol of the learning rate.
        decoupled : bool
            Whether weight decay is decoupled in an optimizer that has no setting for that.
        """
        step, settings = self.step, self.settings
        theta = self.given("value", "theta_{t-1}", step.value, "value before the step")
        t = self.given("t", "t", step.number, "number of the step", count)
        alpha = self.given("lr", lr, settings["lr"], "learning rate")
        if settings.get("lr_decay"):
            decayed = alpha / (1 + self.setting("lr_decay") * (t - 1))
            alpha = self.let("decayed_lr", "alpha_t", decayed, "learning rate of this step")
        meaning = "gradient, as the optimizer saw it"
        decay = settings.get("weight_decay") and not settings.get("decoupled_weight_decay", decoupled)
        if step.grad_scale == 1 and not decay:
            return theta, t, alpha, self.given("g", "g_t", step.gradient, meaning, gradient)
        g = self.given("grad", "grad", step.gradient, meaning)
        if step.grad_scale != 1:
            scaled = g.value * (1 / step.grad_scale)  # rounded as in `update`
            g = g / Quantity(step.grad_scale, "grad_scale")
            g.value = scaled
        if decay:
            g = g + self.setting("weight_decay") * theta
        return theta, t, alpha, self.let("g", "g_t", g, "gradient that the step is made from", gradient)

    def average(self, before: Quantity, value: Quantity, beta: Quantity) -> Quantity:
        """Return an exponential moving average that takes in a value."""
        return beta * before + (1 - beta) * value

    def moments(self, g: Quantity, beta1: Quantity, beta2: Quantity, *sources: str) -> list[Quantity]:
        """Write the two moments of Adam and its relatives."""
        first, second = sources or ("", "")
        m = self.average(self.before("m", "m"), g, beta1)
        v = self.average(self.before("v", "v"), square(g), beta2)
        return [
            self.let("m", "m_t", m, "first moment: mean of gradients", first),
            self.let("v", "v_t", v, "second moment: mean of squared gradients", second),
        ]

    def corrected(
        self, symbol: str, moment: Quantity, beta: Quantity, t: Quantity, source: str = ""
    ) -> Quantity:
        """Write a moment with its bias corrected."""
        meaning = f"{'first' if symbol == 'm' else 'second'} moment, its bias corrected"
        return self.let(f"{symbol}_hat", f"{symbol}_hat_t", moment / (1 - beta**t), meaning, source)

    def root(self, inside: Quantity) -> Quantity:
        """Write the root in the divisor."""
        return self.let("root", "root_t", sqrt(inside), "root of the second moment")

    def rate(self, rate: Quantity, meaning: str = "effective learning rate of this entry") -> None:
        """Write the effective learning rate."""
        self.let("effective_lr", "rate_t", rate, meaning)

    def signal(self, mean: Quantity, root: Quantity) -> None:
        """Write the signal-to-noise ratio."""
        self.let("snr", "snr_t", mean / root, "signal-to-noise ratio, section 2.1 of the Adam paper")

    def decayed(self, theta: Quantity, alpha: Quantity) -> Quantity:
        """Write decoupled weight decay, if there is any, and return the value after it."""
        if not self.settings["weight_decay"] or not self.settings.get("decoupled_weight_decay", True):
            return theta
        left = theta * (1 - alpha * self.setting("weight_decay"))
        return self.let("decayed_value", "theta'_{t-1}", left, "value after decoupled weight decay")

    def end(self, theta: Quantity, update: Quantity, source: str = "", left: Quantity | None = None) -> None:
        """Write the update and the new value; `left` is the value after decoupled weight decay."""
        delta = self.let("update", "delta_t", update, "update", source)
        after = (theta if left is None else left) - delta
        self.let("new_value", "theta_t", after, "value after the step", source)
        self.let("ratio", "ratio_t", absolute(delta) / absolute(theta), "ratio of update to value")
