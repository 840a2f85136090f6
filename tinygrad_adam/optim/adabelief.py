"""AdaBelief: Adam with the variance of the gradient around its mean."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .adaptive import bias_correction, weight_decay_scalars
from .optimizer import Optimizer


class AdaBelief(Optimizer):
    r"""AdaBelief: large steps where the gradient is what its mean foretold.

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
    moment_names = ("m", "s")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-16,
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
        self._require(settings, "eps", "positive", settings["eps"] > 0)
        self._require_betas(settings)
        self._require_switch(settings, "decoupled_weight_decay")

    def _scalars(self, settings: dict[str, Any], step: int) -> dict[str, Any]:
        lr, (beta1, beta2) = settings["lr"], settings["betas"]
        return {
            **weight_decay_scalars(settings, lr),
            "lr": lr,
            "beta1": beta1,
            "beta2": beta2,
            "eps": settings["eps"],
            "correction1": bias_correction(beta1, step),
            "correction2": bias_correction(beta2, step),
        }
