"""RAdam: Adam whose step size is rectified while its second moment is uncertain."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..typing import Array, Xp
from .domains import Betas, NotNegative, Switch
from .lines import StepLines
from .optimizer import Optimizer, Scalars
from .quantity import sqrt
from .settings import Group


class RAdam(Optimizer):
    r"""RAdam: rectified Adam, which waits for its second moment.

    Algorithm 2 of Liu et al., element by element. Early on few gradients have made the second moment, and
    its variance is large; until the approximated length of the average, rho_t, is above 5 the steps are
    those of momentum alone, and then they grow to Adam's::

        rho_inf = 2 / (1 - beta_2) - 1
        g_t = gradient of the loss with respect to theta_{t-1}  (+ weight_decay * theta_{t-1})
        m_t, v_t, m_hat_t as in Adam
        rho_t = rho_inf - 2 * t * beta_2^t / (1 - beta_2^t)
        if rho_t > 5:
            r_t = sqrt((rho_t - 4) (rho_t - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho_t))
            l_t = sqrt(1 - beta_2^t) / (sqrt(v_t) + eps)
            theta_t = theta_{t-1} - alpha * r_t * m_hat_t * l_t
        else:
            theta_t = theta_{t-1} - alpha * m_hat_t

    Parameters
    ----------
    params : iterable
        Parameters, pairs of name and Parameter, or groups; see `Optimizer`.
    lr : float
        Step size.
    betas : tuple of float
        Decay rates of the two moments, each in [0, 1).
    eps : float
        Added to the root of the second moment, which is not corrected there.
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

    Notes
    -----
    The paper's threshold is 4, which its authors' code and PyTorch raise to 5.

    References
    ----------
    L. Liu, H. Jiang, P. He, W. Chen, X. Liu, J. Gao and J. Han, "On the Variance of the Adaptive Learning
    Rate and Beyond", ICLR 2020, arXiv:1908.03265.

    Examples
    --------
    The first step is that of momentum, in proportion to the gradient:

    >>> import tinygrad_adam as tg
    >>> p = tg.nn.Parameter([1.0, 1.0])
    >>> opt = tg.optim.RAdam([p], lr=0.1)
    >>> (p * tg.tensor([3.0, -1.0])).sum().backward()
    >>> opt.step()
    >>> p.detach().numpy().round(6)
    array([0.7, 1.1], dtype=float32)
    """

    kernel = "radam"

    def __init__(
        self,
        params: Iterable[Any],
        lr: NotNegative = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: NotNegative = 1e-8,
        weight_decay: NotNegative = 0.0,
        decoupled_weight_decay: Switch = False,
        *,
        on_nonfinite: str = "ignore",
    ) -> None:
        super().__init__(params, locals(), on_nonfinite)

    def scalars(self, group: Group, t: int) -> Scalars:  # noqa: D102
        lr, (beta1, beta2) = group["lr"], group["betas"]
        decay, decoupled = group["weight_decay"], group["decoupled_weight_decay"]
        factor = rectification(beta2, t)
        return {
            "l2": 0.0 if decoupled else decay,
            "shrink": 1.0 - lr * decay if decoupled else 1.0,
            "lr": lr / (1.0 - beta1**t) * (1.0 if factor is None else factor * math.sqrt(1.0 - beta2**t)),
            "beta1": beta1,
            "beta2": beta2,
            "eps": group["eps"],
            "adaptive": factor is not None,
        }

    @staticmethod
    def update(
        xp: Xp, param: Array, grad: Array, m: Array, v: Array, *,
        scale: float, l2: float, shrink: float, lr: float, beta1: float, beta2: float, eps: float,
        adaptive: bool,
    ) -> None:  # fmt: skip
        """Change the parameters by one step; `lr` holds r_t and the corrections."""
        grad = scale * grad + l2 * param if l2 else scale * grad
        param *= shrink
        m[...] = beta1 * m + (1 - beta1) * grad
        v[...] = beta2 * v + (1 - beta2) * (grad * grad)
        param -= lr * (m / (xp.sqrt(v) + eps) if adaptive else m)

    @staticmethod
    def lines(w: StepLines) -> None:
        """Algorithm 2 of Liu et al. (2020)."""
        theta, t, alpha, g = w.begin()
        beta1, beta2 = w.betas()
        m, v = w.moments(g, beta1, beta2)
        m_hat = w.corrected("m", m, beta1, t)
        factor = rectification(w.settings["betas"][1], w.step.number)
        left = w.decayed(theta, alpha)
        if factor is None:
            w.rate(alpha, "effective learning rate, until v has seen enough gradients")
            w.end(theta, alpha * m_hat, "", left)
            return
        r = w.given("rectification", "r_t", factor, "rectification: how sure v is")
        v_hat = w.corrected("v", v, beta2, t)
        root = w.root(v)
        rate = alpha * r * sqrt(1 - beta2**t) / (root + w.setting("eps"))
        w.rate(rate)
        w.signal(m_hat, sqrt(v_hat))
        w.end(theta, alpha * r * sqrt(1 - beta2**t) * (m_hat / (root + w.setting("eps"))), "", left)


def rectification(beta2: float, t: int) -> float | None:
    """Return the factor r_t, or None as long as the second moment is too uncertain to divide by.

    Examples
    --------
    >>> rectification(0.999, 5)
    >>> round(rectification(0.999, 6), 4), round(rectification(0.999, 10_000), 4)
    (0.0258, 0.9998)
    """
    longest = 2.0 / (1.0 - beta2) - 1.0
    length = longest - 2.0 * t * beta2**t / (1.0 - beta2**t)
    if length <= 5.0:
        return None
    return math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
