"""Adagrad: the sum of all squared gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .adaptive import decayed_lr
from .optimizer import Optimizer


class Adagrad(Optimizer):
    r"""Adagrad: step sizes from the sum of all squared gradients.

    Element by element, as in equation 1 of Duchi et al. with the diagonal of G (their section 1.1),
    where :math:`\alpha_t` is ``lr / (1 + lr_decay * (t - 1))``::

        s_0 = initial_accumulator_value
        g_t = gradient of the loss with respect to theta_{t-1}  (+ weight_decay * theta_{t-1})
        s_t = s_{t-1} + g_t^2
        theta_t = theta_{t-1} - alpha_t * g_t / (sqrt(s_t) + eps)

    Parameters
    ----------
    params : iterable
        Parameters, pairs of name and Parameter, or groups; see `Optimizer`.
    lr : float
        Step size, of which each element gets less and less.
    lr_decay : float
        How much faster than the sum alone would make it the step size falls.
    weight_decay : float
        Added to the gradient as ``weight_decay * param``: L2 regularization.
    initial_accumulator_value : float
        What the sum begins with.
    eps : float
        Added to the root of the sum.
    on_nonfinite : {"ignore", "skip", "raise"}
        What to do about gradients that are not finite; see `Optimizer`.

    Raises
    ------
    OptionError
        If a hyper-parameter is out of its domain.

    References
    ----------
    J. Duchi, E. Hazan and Y. Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization", JMLR 12, 2011.

    Examples
    --------
    With a steady gradient, step t is lr over the root of t:

    >>> import tinygrad_adam as tg
    >>> p = tg.nn.Parameter([1.0])
    >>> opt = tg.optim.Adagrad([p], lr=0.1)
    >>> for _ in range(4):
    ...     opt.zero_grad()
    ...     (p * 7.0).sum().backward()
    ...     opt.step()
    >>> round(1 - p.item(), 5)  # 0.1 * (1 + 1 / sqrt(2) + 1 / sqrt(3) + 1 / 2)
    0.27845
    """

    kernel = "adagrad"
    moment_names = ("total",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        on_nonfinite: str = "ignore",
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "eps": eps,
            },
            on_nonfinite,
        )

    def _validate(self, settings: dict[str, Any]) -> None:
        self._require_not_negative(
            settings, "lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"
        )

    def _scalars(self, settings: dict[str, Any], step: int) -> dict[str, Any]:
        return {
            "l2": settings["weight_decay"],
            "lr": decayed_lr(settings["lr"], settings["lr_decay"], step),
            "eps": settings["eps"],
            "initial": settings["initial_accumulator_value"],
        }
