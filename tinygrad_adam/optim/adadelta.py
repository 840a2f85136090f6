"""Adadelta: step sizes from past steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..typing import Array, Xp
from .domains import BelowOne, NotNegative, Positive
from .lines import StepLines
from .optimizer import Optimizer, Scalars
from .quantity import sqrt, square
from .settings import Group


class Adadelta(Optimizer):
    r"""Adadelta: steps of the size of past steps.

    Algorithm 1 of Zeiler, element by element, with RMS[x] the root of E[x^2] + eps (his equation 9)::

        E[g^2]_0 = 0, E[dx^2]_0 = 0
        g_t = gradient of the loss with respect to theta_{t-1}  (+ weight_decay * theta_{t-1})
        E[g^2]_t = rho * E[g^2]_{t-1} + (1 - rho) * g_t^2      equation 8
        dx_t = RMS[dx]_{t-1} / RMS[g]_t * g_t                  equation 14, without its sign
        E[dx^2]_t = rho * E[dx^2]_{t-1} + (1 - rho) * dx_t^2
        theta_t = theta_{t-1} - lr * dx_t

    Parameters
    ----------
    params : iterable
        Parameters, pairs of name and Parameter, or groups; see `Optimizer`.
    lr : float
        A factor that the paper does without; 1 is the paper's algorithm.
    rho : float
        Decay rate of both averages, in [0, 1).
    eps : float
        Positive: the first step is of the size of its root, and with 0 there would never be one.
    weight_decay : float
        Added to the gradient as ``weight_decay * param``: L2 regularization.
    on_nonfinite : {"ignore", "skip", "raise"}
        What to do about gradients that are not finite; see `Optimizer`.

    Raises
    ------
    OptionError
        If a hyper-parameter is out of its domain.

    References
    ----------
    M. D. Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012, arXiv:1212.5701.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> p = tg.nn.Parameter([1.0])
    >>> opt = tg.optim.Adadelta([p], rho=0.75, eps=0.01)
    >>> (p * 2.0).sum().backward()
    >>> opt.step()
    >>> round(1 - p.item(), 5)  # sqrt(0.01) / sqrt(0.25 * 2**2 + 0.01) * 2
    0.19901
    """

    kernel = "adadelta"

    def __init__(
        self,
        params: Iterable[Any],
        lr: NotNegative = 1.0,
        rho: BelowOne = 0.9,
        eps: Positive = 1e-6,
        weight_decay: NotNegative = 0.0,
        *,
        on_nonfinite: str = "ignore",
    ) -> None:
        super().__init__(params, locals(), on_nonfinite)

    def scalars(self, group: Group, t: int) -> Scalars:  # noqa: D102
        return {"l2": group["weight_decay"], "lr": group["lr"], "rho": group["rho"], "eps": group["eps"]}

    @staticmethod
    def update(
        xp: Xp, param: Array, grad: Array, v: Array, moved: Array, *,
        scale: float, l2: float, lr: float, rho: float, eps: float,
    ) -> None:  # fmt: skip
        """Change the parameters by one step; `v` is E[g^2], and `moved` is E[dx^2]."""
        grad = scale * grad + l2 * param if l2 else scale * grad
        v[...] = rho * v + (1 - rho) * (grad * grad)
        dx = xp.sqrt(moved + eps) * (grad / xp.sqrt(v + eps))
        moved[...] = rho * moved + (1 - rho) * (dx * dx)
        param -= lr * dx

    @staticmethod
    def lines(w: StepLines) -> None:
        """Algorithm 1 of Zeiler (2012)."""
        theta, _, lr, g = w.begin(lr="lr")
        rho, eps = w.setting("rho"), w.setting("eps")
        moved = w.before("moved", "E[dx^2]")
        mean = w.average(w.before("v", "E[g^2]"), square(g), rho)
        v = w.let("v", "E[g^2]_t", mean, "mean of squared gradients", "eq. 8")
        rms_g = w.let("rms_g", "RMS[g]_t", sqrt(v + eps), "their root", "eq. 9")
        rms_dx = w.let(
            "rms_dx", "RMS[dx]_{t-1}", sqrt(moved + eps), "root mean square of past steps", "eq. 9"
        )
        dx = w.let("dx", "dx_t", rms_dx * (g / rms_g), "step before lr", "eq. 14")
        w.let("moved", "E[dx^2]_t", w.average(moved, square(dx), rho), "mean of squared steps")
        w.rate(lr * (rms_dx / rms_g))
        w.end(theta, lr * dx)
