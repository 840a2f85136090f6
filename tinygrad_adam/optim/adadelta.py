"""Adadelta: step sizes from past steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .optimizer import Optimizer


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
    moment_names = ("v", "moved")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        on_nonfinite: str = "ignore",
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "rho": rho,
                "eps": eps,
                "weight_decay": weight_decay,
            },
            on_nonfinite,
        )

    def _validate(self, settings: dict[str, Any]) -> None:
        self._require_not_negative(settings, "lr", "eps", "weight_decay")
        self._require(settings, "eps", "positive", settings["eps"] > 0)
        self._require_below_one(settings, "rho")

    def _scalars(self, settings: dict[str, Any], step: int) -> dict[str, Any]:
        return {
            "l2": settings["weight_decay"],
            "lr": settings["lr"],
            "rho": settings["rho"],
            "eps": settings["eps"],
        }
