"""Adamax: Adam with the infinity norm."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..typing import Array, Xp
from .domains import Betas, NotNegative
from .lines import StepLines
from .optimizer import Optimizer, Scalars
from .quantity import absolute, maximum
from .settings import Group


class Adamax(Optimizer):
    r"""Adamax: Adam with the infinity norm in place of the second moment.

    Algorithm 2 of Kingma & Ba (2015), element by element, with PyTorch's eps; with ``eps=0`` it is the
    paper's to the letter, and a gradient that was always zero divides 0 by 0::

        m_0 = 0, u_0 = 0
        g_t = gradient of the loss with respect to theta_{t-1}  (+ weight_decay * theta_{t-1})
        m_t = beta_1 * m_{t-1} + (1 - beta_1) * g_t
        u_t = max(beta_2 * u_{t-1}, |g_t| + eps)                         equation 12
        theta_t = theta_{t-1} - alpha / (1 - beta_1^t) * m_t / u_t

    Parameters
    ----------
    params : iterable
        Parameters, pairs of name and Parameter, or groups; see `Optimizer`.
    lr : float
        Step size, which no element exceeds by much in a step.
    betas : tuple of float
        Decay rates of the mean and of the norm, each in [0, 1).
    eps : float
        Added to the size of each gradient.
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
    D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, section 7.1,
    arXiv:1412.6980.

    Examples
    --------
    The first step is the learning rate, whatever the size of the gradient:

    >>> import tinygrad_adam as tg
    >>> p = tg.nn.Parameter([1.0, 1.0])
    >>> opt = tg.optim.Adamax([p], lr=0.1)
    >>> (p * tg.tensor([3.0, -0.01])).sum().backward()
    >>> opt.step()
    >>> p.detach().numpy().round(6)
    array([0.9, 1.1], dtype=float32)
    """

    kernel = "adamax"

    def __init__(
        self,
        params: Iterable[Any],
        lr: NotNegative = 2e-3,
        betas: Betas = (0.9, 0.999),
        eps: NotNegative = 1e-8,
        weight_decay: NotNegative = 0.0,
        *,
        on_nonfinite: str = "ignore",
    ) -> None:
        super().__init__(params, locals(), on_nonfinite)

    def scalars(self, group: Group, t: int) -> Scalars:  # noqa: D102
        beta1, beta2 = group["betas"]
        return {
            "l2": group["weight_decay"],
            "lr": group["lr"],
            "beta1": beta1,
            "beta2": beta2,
            "eps": group["eps"],
            "correction1": 1.0 - beta1**t,
        }

    @staticmethod
    def update(
        xp: Xp, param: Array, grad: Array, m: Array, u: Array, *,
        scale: float, l2: float, lr: float, beta1: float, beta2: float, eps: float, correction1: float,
    ) -> None:  # fmt: skip
        """Change the parameters by one step; `u` is the infinity norm."""
        grad = scale * grad + l2 * param if l2 else scale * grad
        m[...] = beta1 * m + (1 - beta1) * grad
        xp.maximum(beta2 * u, xp.abs(grad) + eps, out=u)
        param -= lr * (m / correction1) / u

    @staticmethod
    def lines(w: StepLines) -> None:
        """Algorithm 2 of Kingma & Ba (2015), with eps as in PyTorch."""
        theta, t, alpha, g = w.begin("5", "6")
        beta1, beta2 = w.betas()
        mean = w.average(w.before("m", "m"), g, beta1)
        m = w.let("m", "m_t", mean, "first moment: mean of gradients", "7")
        largest = maximum(beta2 * w.before("u", "u"), absolute(g) + w.setting("eps"))
        u = w.let("u", "u_t", largest, "weighted infinity norm of the gradients", "8")
        m_hat = w.corrected("m", m, beta1, t)
        w.rate(alpha / u)
        w.end(theta, alpha * m_hat / u, "9")
