"""AdaBelief: Adam with the variance of the gradient around its mean."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..typing import Array, Xp
from .domains import Betas, NotNegative, Positive, Switch
from .lines import StepLines
from .optimizer import Optimizer, Scalars
from .quantity import square
from .settings import Group


class AdaBelief(Optimizer):
    r"""AdaBelief: large steps where the gradient is near its predicted mean.

    Algorithm 2 of Zhuang et al., element by element: Adam with the square of g_t - m_t in place of that
    of g_t. Its eps enters twice, and the one within the moment is never left out::

        m_0 = 0, s_0 = 0
        g_t = gradient of the loss with respect to theta_{t-1}  (+ weight_decay * theta_{t-1})
        m_t = beta_1 * m_{t-1} + (1 - beta_1) * g_t
        s_t = beta_2 * s_{t-1} + (1 - beta_2) * (g_t - m_t)^2 + eps
        m_hat_t = m_t / (1 - beta_1^t),  s_hat_t = s_t / (1 - beta_2^t)
        theta_t = theta_{t-1} - alpha * m_hat_t / (sqrt(s_hat_t) + eps)

    Parameters
    ----------
    params : iterable
        Parameters, pairs of name and Parameter, or groups; see `Optimizer`.
    lr : float
        Step size.
    betas : tuple of float
        Decay rates of the two moments, each in [0, 1).
    eps : float
        Positive, for a steady gradient has no variance.
    weight_decay : float
        Added to the gradient as ``weight_decay * param``: L2 regularization.
    decoupled_weight_decay : bool
        Whether the decay acts on the parameters themselves instead, as in `AdamW`.
    on_nonfinite : {"ignore", "skip", "raise"}
        What to do about gradients that are not finite; see `Optimizer`.

    Raises
    ------
    OptionError
        If a hyper-parameter is out of its domain.

    References
    ----------
    J. Zhuang, T. Tang, Y. Ding, S. Tatikonda, N. Dvornek, X. Papademetris and J. Duncan, "AdaBelief
    Optimizer: Adapting Stepsizes by the Belief in Observed Gradients", NeurIPS 2020, arXiv:2010.07468.

    Examples
    --------
    The mean foretells a tenth of the first gradient, so the first step is lr over 0.9:

    >>> import tinygrad_adam as tg
    >>> p = tg.nn.Parameter([1.0])
    >>> opt = tg.optim.AdaBelief([p], lr=0.1)
    >>> (p * 3.0).sum().backward()
    >>> opt.step()
    >>> round(1 - p.item(), 4)
    0.1111
    """

    kernel = "adabelief"

    def __init__(
        self,
        params: Iterable[Any],
        lr: NotNegative = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: Positive = 1e-16,
        weight_decay: NotNegative = 0.0,
        decoupled_weight_decay: Switch = False,
        *,
        on_nonfinite: str = "ignore",
    ) -> None:
        super().__init__(params, locals(), on_nonfinite)

    def scalars(self, group: Group, t: int) -> Scalars:  # noqa: D102
        lr, (beta1, beta2) = group["lr"], group["betas"]
        decay, decoupled = group["weight_decay"], group["decoupled_weight_decay"]
        return {
            "l2": 0.0 if decoupled else decay,
            "shrink": 1.0 - lr * decay if decoupled else 1.0,
            "lr": lr,
            "beta1": beta1,
            "beta2": beta2,
            "eps": group["eps"],
            "correction1": 1.0 - beta1**t,
            "correction2": 1.0 - beta2**t,
        }

    @staticmethod
    def update(
        xp: Xp, param: Array, grad: Array, m: Array, s: Array, *,
        scale: float, l2: float, shrink: float, lr: float, beta1: float, beta2: float, eps: float,
        correction1: float, correction2: float,
    ) -> None:  # fmt: skip
        """Change the parameters by one step."""
        grad = scale * grad + l2 * param if l2 else scale * grad
        param *= shrink
        m[...] = beta1 * m + (1 - beta1) * grad
        missed = grad - m
        s[...] = beta2 * s + (1 - beta2) * (missed * missed) + eps
        param -= lr * ((m / correction1) / (xp.sqrt(s / correction2) + eps))

    @staticmethod
    def lines(w: StepLines) -> None:
        """Algorithm 2 of Zhuang et al. (2020)."""
        theta, t, alpha, g = w.begin()
        beta1, beta2 = w.betas()
        eps = w.setting("eps")
        mean = w.average(w.before("m", "m"), g, beta1)
        m = w.let("m", "m_t", mean, "first moment: mean of gradients")
        missed = w.let("missed", "e_t", g - m, "by how much the mean missed the gradient")
        spread = w.average(w.before("s", "s"), square(missed), beta2) + eps
        s = w.let("s", "s_t", spread, "mean of the squares of that")
        m_hat = w.corrected("m", m, beta1, t)
        s_hat = w.let("s_hat", "s_hat_t", s / (1 - beta2**t), "the same, its bias corrected")
        root = w.root(s_hat)
        w.rate(alpha / (root + eps))
        left = w.decayed(theta, alpha)
        w.end(theta, alpha * (m_hat / (root + eps)), "", left)
