"""Adagrad: the sum of all squared gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..typing import Array, Xp
from .domains import NotNegative
from .lines import StepLines
from .optimizer import Optimizer, Scalars
from .quantity import square
from .settings import Group


class Adagrad(Optimizer):
    r"""Adagrad: step sizes from the sum of all squared gradients.

    Element by element, as in equation 1 of Duchi et al. with the diagonal of G (their section 1.1),
    where :math:`\alpha_t` is ``lr / (1 + lr_decay * (t - 1))``::

        s_0 = initial_accumulator_value
        g_t = gradient of the loss with respect to theta_{t-1}  (+ weight_decay * theta_{t-1})
        s_t = s_{t-1} + g_t^2
        theta_t = theta_{t-1} - alpha_t * g_t / (sqrt(s_t) + eps)

    Parameters
    ----------
    params : iterable
        Parameters, pairs of name and Parameter, or groups; see `Optimizer`.
    lr : float
        Step size, of which each element gets less and less.
    lr_decay : float
        How much faster than the sum alone would make it the step size falls.
    weight_decay : float
        Added to the gradient as ``weight_decay * param``: L2 regularization.
    initial_accumulator_value : float
        What the sum begins with.
    eps : float
        Added to the root of the sum.
    on_nonfinite : {"ignore", "skip", "raise"}
        What to do about gradients that are not finite; see `Optimizer`.

    Raises
    ------
    OptionError
        If a hyper-parameter is out of its domain.

    References
    ----------
    J. Duchi, E. Hazan and Y. Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization", JMLR 12, 2011.

    Examples
    --------
    With a steady gradient, step t is lr over the root of t:

    >>> import tinygrad_adam as tg
    >>> p = tg.nn.Parameter([1.0])
    >>> opt = tg.optim.Adagrad([p], lr=0.1)
    >>> for _ in range(4):
    ...     opt.zero_grad()
    ...     (p * 7.0).sum().backward()
    ...     opt.step()
    >>> round(1 - p.item(), 5)  # 0.1 * (1 + 1 / sqrt(2) + 1 / sqrt(3) + 1 / 2)
    0.27845
    """

    kernel = "adagrad"

    def __init__(
        self,
        params: Iterable[Any],
        lr: NotNegative = 1e-2,
        lr_decay: NotNegative = 0.0,
        weight_decay: NotNegative = 0.0,
        initial_accumulator_value: NotNegative = 0.0,
        eps: NotNegative = 1e-10,
        *,
        on_nonfinite: str = "ignore",
    ) -> None:
        super().__init__(params, locals(), on_nonfinite)

    def scalars(self, group: Group, t: int) -> Scalars:  # noqa: D102
        return {
            "l2": group["weight_decay"],
            "lr": group["lr"] / (1.0 + group["lr_decay"] * (t - 1)),
            "eps": group["eps"],
            "initial": group["initial_accumulator_value"],
        }

    @staticmethod
    def update(
        xp: Xp, param: Array, grad: Array, total: Array, *,
        scale: float, l2: float, lr: float, eps: float, initial: float,
    ) -> None:  # fmt: skip
        """Change the parameters by one step; s_t is ``total + initial``, as moments begin with zeros."""
        grad = scale * grad + l2 * param if l2 else scale * grad
        total += grad * grad
        param -= lr * (grad / (xp.sqrt(total + initial) + eps))

    @staticmethod
    def lines(w: StepLines) -> None:
        """Equation 1 of Duchi et al. (2011), the diagonal case."""
        theta, _, alpha, g = w.begin()
        s = w.let("total", "s_t", w.before("total", "s") + square(g), "sum of squared gradients")
        initial = w.setting("initial_accumulator_value", "initial")
        root = w.root(s + initial if initial.value else s)
        divisor = root + w.setting("eps")
        w.rate(alpha / divisor)
        w.end(theta, alpha * (g / divisor), "eq. 1")
