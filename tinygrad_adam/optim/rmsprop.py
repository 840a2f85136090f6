"""RMSprop: the gradient over its root mean square."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .optimizer import Optimizer


class RMSprop(Optimizer):
    r"""RMSprop: the gradient divided by its running root mean square.

    Element by element; the first form is slide 29 of Hinton's lecture, the centered one and the velocity
    follow equations 38 to 41 of Graves but for where eps and the learning rate stand, as in PyTorch::

        v_0 = 0, a_0 = 0, u_0 = 0
        g_t = gradient of the loss with respect to theta_{t-1}  (+ weight_decay * theta_{t-1})
        v_t = alpha * v_{t-1} + (1 - alpha) * g_t^2       equation 38
        a_t = alpha * a_{t-1} + (1 - alpha) * g_t         equation 39, if centered
        d_t = g_t / (sqrt(v_t) + eps)                     not centered
        d_t = g_t / (sqrt(v_t - a_t^2) + eps)             centered
        u_t = momentum * u_{t-1} + d_t                    equation 40; d_t without momentum
        theta_t = theta_{t-1} - lr * u_t                  equation 41

    Parameters
    ----------
    params : iterable
        Parameters, pairs of name and Parameter, or groups; see `Optimizer`.
    lr : float
        Step size.
    alpha : float
        Decay rate of the averages, in [0, 1).
    eps : float
        Added to the root, outside; positive if `centered`, for a steady gradient has no variance.
    weight_decay : float
        Added to the gradient as ``weight_decay * param``: L2 regularization.
    momentum : float
        How much of the velocity stays, in [0, 1).
    centered : bool
        Whether to divide by the root of the variance instead of that of the second moment.
    on_nonfinite : {"ignore", "skip", "raise"}
        What to do about gradients that are not finite; see `Optimizer`.

    Raises
    ------
    OptionError
        If a hyper-parameter is out of its domain.

    References
    ----------
    T. Tieleman and G. Hinton, "Lecture 6.5 - rmsprop: Divide the gradient by a running average of its
    recent magnitude", Coursera, 2012. A. Graves, "Generating Sequences With Recurrent Neural Networks",
    2013, arXiv:1308.0850.

    Examples
    --------
    The average begins at zero and is not corrected, so the first steps are large:

    >>> import tinygrad_adam as tg
    >>> p = tg.nn.Parameter([1.0])
    >>> opt = tg.optim.RMSprop([p], lr=0.01, alpha=0.75)
    >>> (p * 5.0).sum().backward()
    >>> opt.step()
    >>> round(1 - p.item(), 5)  # 0.01 / sqrt(0.25)
    0.02
    """

    kernel = "rmsprop"
    moment_names = ("v", "mean", "velocity")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        on_nonfinite: str = "ignore",
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
            },
            on_nonfinite,
        )

    def _validate(self, settings: dict[str, Any]) -> None:
        self._require_not_negative(settings, "lr", "eps", "weight_decay")
        self._require_below_one(settings, "alpha", "momentum")
        self._require_switch(settings, "centered")
        self._require(
            settings, "eps", "positive if centered", settings["eps"] > 0 or not settings["centered"]
        )

    def _moments(self, settings: dict[str, Any]) -> tuple[str | None, ...]:
        return (
            "v",
            "mean" if settings["centered"] else None,
            "velocity" if settings["momentum"] else None,
        )

    def _scalars(self, settings: dict[str, Any], step: int) -> dict[str, Any]:
        return {
            "l2": settings["weight_decay"],
            "lr": settings["lr"],
            "alpha": settings["alpha"],
            "eps": settings["eps"],
            "momentum": settings["momentum"],
        }
