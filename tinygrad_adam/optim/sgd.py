"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .optimizer import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent with heavy-ball or Nesterov momentum.

    With u the velocity, element by element::

        g_t = gradient of the loss with respect to theta_{t-1}  (+ weight_decay * theta_{t-1})
        u_1 = g_1,  u_t = momentum * u_{t-1} + (1 - dampening) * g_t
        theta_t = theta_{t-1} - lr * u_t                        without nesterov
        theta_t = theta_{t-1} - lr * (g_t + momentum * u_t)     with nesterov

    These are equations 1 and 2, and 3 and 4, of Sutskever et al., with two changes that PyTorch made
    usual: the learning rate multiplies the velocity instead of being part of it, and for Nesterov
    theta is the point that was already looked ahead to.

    Parameters
    ----------
    params : iterable
        Parameters, pairs of name and Parameter, or groups; see `Optimizer`.
    lr : float
        Step size.
    momentum : float
        How much of the velocity stays, in [0, 1).
    dampening : float
        How much less of the gradient enters the velocity.
    weight_decay : float
        Added to the gradient as ``weight_decay * param``: L2 regularization.
    nesterov : bool
        Whether to look ahead; it needs momentum and no dampening.
    on_nonfinite : {"ignore", "skip", "raise"}
        What to do about gradients that are not finite; see `Optimizer`.

    Raises
    ------
    OptionError
        If a hyper-parameter is out of its domain.

    References
    ----------
    B. T. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.
    I. Sutskever, J. Martens, G. Dahl and G. Hinton, "On the importance of initialization and
    momentum in deep learning", ICML 2013.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> p = tg.nn.Parameter([1.0])
    >>> opt = tg.optim.SGD([p], lr=0.5)
    >>> (p * 0.5).sum().backward()
    >>> opt.step()
    >>> p.detach()
    tensor([0.75])
    """

    kernel = "sgd"
    moment_names = ("velocity",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        on_nonfinite: str = "ignore",
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
            },
            on_nonfinite,
        )

    def _validate(self, settings: dict[str, Any]) -> None:
        self._require_not_negative(settings, "lr", "dampening", "weight_decay")
        self._require_below_one(settings, "momentum")
        self._require(settings, "dampening", "at most 1", settings["dampening"] <= 1)
        self._require_switch(settings, "nesterov")
        self._require(
            settings,
            "nesterov",
            "False unless momentum > 0 and dampening = 0",
            not settings["nesterov"] or (settings["momentum"] > 0 and settings["dampening"] == 0),
        )

    def _moments(self, settings: dict[str, Any]) -> tuple[str | None, ...]:
        return ("velocity" if settings["momentum"] else None,)

    def _scalars(self, settings: dict[str, Any], step: int) -> dict[str, Any]:
        return {
            "l2": settings["weight_decay"],
            "lr": settings["lr"],
            "momentum": settings["momentum"],
            # The first velocity is the gradient: the one before is zero, and nothing is dampened.
            "undamped": 1.0 if step == 1 else 1.0 - settings["dampening"],
            "nesterov": settings["nesterov"],
        }
