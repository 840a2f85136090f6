"""RAdam: Adam whose step size is rectified while its second moment is uncertain."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .adaptive import bias_correction, weight_decay_scalars
from .optimizer import Optimizer


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
    moment_names = ("m", "v")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
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
                "decoupled_weight_decay": decoupled_weight_decay,
            },
            on_nonfinite,
        )

    def _validate(self, settings: dict[str, Any]) -> None:
        self._require_not_negative(settings, "lr", "eps", "weight_decay")
        self._require_betas(settings)
        self._require_switch(settings, "decoupled_weight_decay")

    def _scalars(self, settings: dict[str, Any], step: int) -> dict[str, Any]:
        lr, (beta1, beta2) = settings["lr"], settings["betas"]
        factor = rectification(beta2, step)
        step_size = lr / bias_correction(beta1, step)
        if factor is not None:
            step_size *= factor * math.sqrt(bias_correction(beta2, step))
        return {
            **weight_decay_scalars(settings, lr),
            "lr": step_size,
            "beta1": beta1,
            "beta2": beta2,
            "eps": settings["eps"],
            "adaptive": factor is not None,
        }


def rectification(beta2: float, step: int) -> float | None:
    """Return the factor r_t, or None as long as the second moment is too uncertain to divide by.

    Examples
    --------
    >>> rectification(0.999, 5)
    >>> round(rectification(0.999, 6), 4), round(rectification(0.999, 10_000), 4)
    (0.0258, 0.9998)
    """
    longest = 2.0 / (1.0 - beta2) - 1.0
    length = longest - 2.0 * step * beta2**step / bias_correction(beta2, step)
    if length <= 5.0:
        return None
    return math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
