"""NAdam: Adam with Nesterov momentum."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from .adaptive import bias_correction, weight_decay_scalars
from .optimizer import Optimizer


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
    moment_names = ("m", "v")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        on_nonfinite: str = "ignore",
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
            on_nonfinite,
        )

    def _validate(self, settings: dict[str, Any]) -> None:
        self._require_not_negative(settings, "lr", "eps", "weight_decay", "momentum_decay")
        self._require_betas(settings)
        self._require_switch(settings, "decoupled_weight_decay")

    def _scalars(self, settings: dict[str, Any], step: int) -> dict[str, Any]:
        lr, (beta1, beta2) = settings["lr"], settings["betas"]
        now = momentum(beta1, settings["momentum_decay"], step)
        following = momentum(beta1, settings["momentum_decay"], step + 1)
        products = momentum_products(beta1, settings["momentum_decay"])
        product = products[step] if step < len(products) else 0.0
        return {
            **weight_decay_scalars(settings, lr),
            "lr_grad": lr * (1.0 - now) / (1.0 - product),
            "lr_mean": lr * following / (1.0 - product * following),
            "beta1": beta1,
            "beta2": beta2,
            "eps": settings["eps"],
            "correction2": bias_correction(beta2, step),
        }


def momentum(beta1: float, decay: float, step: int) -> float:
    r"""Return the momentum of a step, :math:`\mu_t = \beta_1 (1 - 0.5 \cdot 0.96^{t \cdot decay})`."""
    return beta1 * (1.0 - 0.5 * 0.96 ** (step * decay))


@lru_cache(maxsize=16)
def momentum_products(beta1: float, decay: float) -> tuple[float, ...]:
    """Return the products of the momenta of the first 0, 1, 2, ... steps.

    No momentum is above `beta1`, so the products end where they are too small to change ``1 - product``.
    """
    count = math.ceil(math.log(1e-17) / math.log(beta1)) if beta1 else 1
    products = [1.0]
    for past in range(1, count + 1):
        products.append(products[-1] * momentum(beta1, decay, past))
    return tuple(products)
