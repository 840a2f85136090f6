"""AdaBound and AMSBound: Adam whose step sizes are bounded ever more closely."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .adaptive import bias_correction
from .optimizer import Optimizer


class AdaBound(Optimizer):
    r"""AdaBound: Adam that turns into SGD.

    Algorithm 2 of Luo et al., element by element, with the bounds and the corrections of the authors'
    code. The rate of each element is clipped between two bounds that meet at `final_lr`::

        g_t = gradient of the loss with respect to theta_{t-1}  (+ weight_decay * theta_{t-1})
        m_t, v_t as in Adam
        alpha_t = alpha * sqrt(1 - beta_2^t) / (1 - beta_1^t)
        lower_t = final_lr * (1 - 1 / (gamma * t + 1))
        upper_t = final_lr * (1 + 1 / (gamma * t))
        theta_t = theta_{t-1} - clip(alpha_t / (sqrt(v_t) + eps), lower_t, upper_t) * m_t

    Parameters
    ----------
    params : iterable
        Parameters, pairs of name and Parameter, or groups; see `Optimizer`.
    lr : float
        Step size of the beginning, that of Adam.
    betas : tuple of float
        Decay rates of the two moments, each in [0, 1).
    final_lr : float
        Step size of the end, that of SGD with momentum.
    gamma : float
        How fast the bounds meet; positive.
    eps : float
        Added to the root of the second moment, which is not corrected there.
    weight_decay : float
        Added to the gradient as ``weight_decay * param``: L2 regularization.
    base_lr : float, optional
        The `lr` that `final_lr` belongs to: where a schedule changes `lr`, the bounds change in
        proportion. By default the `lr` that a group begins with.
    on_nonfinite : {"ignore", "skip", "raise"}
        What to do about gradients that are not finite; see `Optimizer`.

    Raises
    ------
    OptionError
        If a hyper-parameter is out of its domain.

    References
    ----------
    L. Luo, Y. Xiong, Y. Liu and X. Sun, "Adaptive Gradient Methods with Dynamic Bound of Learning Rate",
    ICLR 2019, arXiv:1902.09843.

    Examples
    --------
    At the end the step is `final_lr` times the mean of the gradients, here at once:

    >>> import tinygrad_adam as tg
    >>> p = tg.nn.Parameter([1.0])
    >>> opt = tg.optim.AdaBound([p], betas=(0.5, 0.999), final_lr=0.25, gamma=1e6)
    >>> (p * 2.0).sum().backward()
    >>> opt.step()
    >>> round(p.item(), 4)
    0.75
    """

    kernel = "adabound"
    moment_names = ("m", "v", "v_max")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        final_lr: float = 0.1,
        gamma: float = 1e-3,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        base_lr: float | None = None,
        *,
        on_nonfinite: str = "ignore",
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "final_lr": final_lr,
                "gamma": gamma,
                "eps": eps,
                "weight_decay": weight_decay,
                "base_lr": base_lr,
            },
            on_nonfinite,
        )

    def _validate(self, settings: dict[str, Any]) -> None:
        self._require_not_negative(settings, "lr", "final_lr", "gamma", "eps", "weight_decay", "base_lr")
        self._require_betas(settings)
        self._require(settings, "gamma", "positive", settings["gamma"] > 0)
        self._require(settings, "base_lr", "positive", settings["base_lr"] > 0)

    def add_param_group(self, group: dict[str, Any]) -> None:  # noqa: D102
        if isinstance(group, dict) and group.get("base_lr", self.defaults["base_lr"]) is None:
            group = {**group, "base_lr": group.get("lr", self.defaults["lr"])}
        super().add_param_group(group)

    def _moments(self, settings: dict[str, Any]) -> tuple[str | None, ...]:
        return ("m", "v", None)

    def _scalars(self, settings: dict[str, Any], step: int) -> dict[str, Any]:
        beta1, beta2 = settings["betas"]
        correction1, correction2 = bias_correction(beta1, step), bias_correction(beta2, step)
        final_lr = settings["final_lr"] * settings["lr"] / settings["base_lr"]
        progress = settings["gamma"] * step
        return {
            "l2": settings["weight_decay"],
            "lr": settings["lr"] * math.sqrt(correction2) / correction1,
            "beta1": beta1,
            "beta2": beta2,
            "eps": settings["eps"],
            "lower": final_lr * (1.0 - 1.0 / (progress + 1.0)),
            "upper": final_lr * (1.0 + 1.0 / progress),
        }


class AMSBound(AdaBound):
    """AMSBound: AdaBound with the greatest second moment so far, as in AMSGrad.

    Algorithm 3 of the paper; see `AdaBound`.

    Examples
    --------
    A gradient that was large once keeps the steps small:

    >>> import tinygrad_adam as tg
    >>> moved = []
    >>> for rule in (tg.optim.AdaBound, tg.optim.AMSBound):
    ...     p = tg.nn.Parameter([1.0])
    ...     opt = rule([p], lr=0.1, betas=(0.0, 0.5), final_lr=1.0, gamma=1e-6)
    ...     for g in (100.0, 1.0, 1.0):
    ...         before = p.item()
    ...         opt.zero_grad()
    ...         (p * g).sum().backward()
    ...         opt.step()
    ...     moved.append(round(before - p.item(), 4))
    >>> moved
    [0.0026, 0.0013]
    """

    def _moments(self, settings: dict[str, Any]) -> tuple[str | None, ...]:
        return ("m", "v", "v_max")
