"""Adamax: Adam with the infinity norm."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .adaptive import bias_correction
from .optimizer import Optimizer


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
    moment_names = ("m", "u")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
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
            },
            on_nonfinite,
        )

    def _validate(self, settings: dict[str, Any]) -> None:
        self._require_not_negative(settings, "lr", "eps", "weight_decay")
        self._require_betas(settings)

    def _scalars(self, settings: dict[str, Any], step: int) -> dict[str, Any]:
        beta1, beta2 = settings["betas"]
        return {
            "l2": settings["weight_decay"],
            "lr": settings["lr"],
            "beta1": beta1,
            "beta2": beta2,
            "eps": settings["eps"],
            "correction1": bias_correction(beta1, step),
        }
