"""NAdam: Adam with Nesterov momentum."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from ..typing import Array, Xp
from .domains import Betas, NotNegative, Switch
from .lines import StepLines
from .optimizer import Optimizer, Scalars
from .settings import Group


class NAdam(Optimizer):
    r"""NAdam: Adam with Nesterov's momentum.

    Algorithm 2 of Dozat, element by element, with the momentum schedule of his section 3 and P_t the
    product of mu_1 to mu_t::

        m_0 = 0, v_0 = 0
        mu_t = beta_1 * (1 - 0.5 * 0.96^(t * momentum_decay))
        g_t = gradient of the loss with respect to theta_{t-1}  (+ weight_decay * theta_{t-1})
        m_t = beta_1 * m_{t-1} + (1 - beta_1) * g_t
        v_t = beta_2 * v_{t-1} + (1 - beta_2) * g_t^2
        m_bar_t = mu_{t+1} * m_t / (1 - P_{t+1}) + (1 - mu_t) * g_t / (1 - P_t)
        v_hat_t = v_t / (1 - beta_2^t)
        theta_t = theta_{t-1} - alpha * m_bar_t / (sqrt(v_hat_t) + eps)

    Parameters
    ----------
    params : iterable
        Parameters, pairs of name and Parameter, or groups; see `Optimizer`.
    lr : float
        Step size.
    betas : tuple of float
        Decay rates of the two moments, each in [0, 1).
    eps : float
        Added to the root of the corrected second moment, outside the root.
    weight_decay : float
        Added to the gradient as ``weight_decay * param``: L2 regularization.
    momentum_decay : float
        How fast the momentum rises from half of beta_1 to beta_1.
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
    P_t is computed from the betas of the present step, as Adam's corrections are; PyTorch keeps it, which
    differs only where betas change on the way.

    References
    ----------
    T. Dozat, "Incorporating Nesterov Momentum into Adam", ICLR 2016 workshop.

    Examples
    --------
    The first step goes further than Adam's, which would be the learning rate:

    >>> import tinygrad_adam as tg
    >>> p = tg.nn.Parameter([1.0])
    >>> opt = tg.optim.NAdam([p], lr=0.1)
    >>> (p * 3.0).sum().backward()
    >>> opt.step()
    >>> round(1 - p.item(), 4)
    0.1056
    """

    kernel = "nadam"

    def __init__(
        self,
        params: Iterable[Any],
        lr: NotNegative = 2e-3,
        betas: Betas = (0.9, 0.999),
        eps: NotNegative = 1e-8,
        weight_decay: NotNegative = 0.0,
        momentum_decay: NotNegative = 4e-3,
        decoupled_weight_decay: Switch = False,
        *,
        on_nonfinite: str = "ignore",
    ) -> None:
        super().__init__(params, locals(), on_nonfinite)

    def scalars(self, group: Group, t: int) -> Scalars:  # noqa: D102
        lr, (beta1, beta2) = group["lr"], group["betas"]
        decay, decoupled = group["weight_decay"], group["decoupled_weight_decay"]
        now, following, product = momenta(beta1, group["momentum_decay"], t)
        return {
            "l2": 0.0 if decoupled else decay,
            "shrink": 1.0 - lr * decay if decoupled else 1.0,
            "lr_grad": lr * (1.0 - now) / (1.0 - product),
            "lr_mean": lr * following / (1.0 - product * following),
            "beta1": beta1,
            "beta2": beta2,
            "eps": group["eps"],
            "correction2": 1.0 - beta2**t,
        }

    @staticmethod
    def update(
        xp: Xp, param: Array, grad: Array, m: Array, v: Array, *,
        scale: float, l2: float, shrink: float, lr_grad: float, lr_mean: float,
        beta1: float, beta2: float, eps: float, correction2: float,
    ) -> None:  # fmt: skip
        """Change the parameters by one step; the factors of g_t and m_t in m_bar_t hold alpha."""
        grad = scale * grad + l2 * param if l2 else scale * grad
        param *= shrink
        m[...] = beta1 * m + (1 - beta1) * grad
        v[...] = beta2 * v + (1 - beta2) * (grad * grad)
        param -= (lr_grad * grad + lr_mean * m) / (xp.sqrt(v / correction2) + eps)

    @staticmethod
    def lines(w: StepLines) -> None:
        """Algorithm 2 of Dozat (2016)."""
        s = w.settings
        theta, t, alpha, g = w.begin()
        beta1, beta2 = w.betas()
        beta, decay, number = s["betas"][0], s["momentum_decay"], w.step.number
        now, following, product = momenta(beta, decay, number)
        mu = w.given("mu", "mu_t", now, "momentum of this step, section 3")
        mu_next = w.given("mu_next", "mu_{t+1}", following, "momentum of the next step")
        P = w.given("product", "P_t", product, "product of the momenta of steps 1 to t")
        m, v = w.moments(g, beta1, beta2)
        ahead = mu_next / (1 - P * mu_next) * m + (1 - mu) / (1 - P) * g
        m_bar = w.let("m_bar", "m_bar_t", ahead, "first moment, corrected, looked ahead with")
        v_hat = w.corrected("v", v, beta2, t)
        root = w.root(v_hat)
        divisor = root + w.setting("eps")
        w.rate(alpha / divisor)
        w.signal(m_bar, root)
        left = w.decayed(theta, alpha)
        w.end(theta, alpha * (m_bar / divisor), "", left)


def momenta(beta1: float, decay: float, t: int) -> tuple[float, float, float]:
    r"""Return :math:`\mu_t`, :math:`\mu_{t+1}` and :math:`P_t`, the product of the first t."""
    products = _products(beta1, decay)
    product = products[t] if t < len(products) else 0.0
    return _momentum(beta1, decay, t), _momentum(beta1, decay, t + 1), product


def _momentum(beta1: float, decay: float, t: int) -> float:
    return beta1 * (1.0 - 0.5 * 0.96 ** (t * decay))


@lru_cache(maxsize=16)
def _products(beta1: float, decay: float) -> tuple[float, ...]:
    """Return the products of the momenta of the first 0, 1, 2, ... steps.

    No momentum is above `beta1`, so the products end where they are too small to change ``1 - product``.
    """
    count = math.ceil(math.log(1e-17) / math.log(beta1)) if beta1 else 1
    products = [1.0]
    for past in range(1, count + 1):
        products.append(products[-1] * _momentum(beta1, decay, past))
    return tuple(products)
