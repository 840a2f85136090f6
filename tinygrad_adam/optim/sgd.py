"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from ..typing import Array, Xp
from .domains import BelowOne, NotNegative, Switch, UpToOne
from .lines import StepLines
from .optimizer import Optimizer, Scalars
from .settings import Group


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
    optional: ClassVar = {"velocity": "momentum"}

    def __init__(
        self,
        params: Iterable[Any],
        lr: NotNegative = 1e-3,
        momentum: BelowOne = 0.0,
        dampening: UpToOne = 0.0,
        weight_decay: NotNegative = 0.0,
        nesterov: Switch = False,
        *,
        on_nonfinite: str = "ignore",
    ) -> None:
        super().__init__(params, locals(), on_nonfinite)

    def _validate(self, group: dict[str, Any]) -> None:
        super()._validate(group)
        allowed = group["momentum"] > 0 and group["dampening"] == 0
        self._require(
            group, "nesterov", "False unless momentum > 0 and dampening = 0", allowed or not group["nesterov"]
        )

    def scalars(self, group: Group, t: int) -> Scalars:  # noqa: D102
        return {
            "l2": group["weight_decay"],
            "lr": group["lr"],
            "momentum": group["momentum"],
            # The first velocity is the gradient: the one before is zero, and nothing is dampened.
            "undamped": 1.0 if t == 1 else 1.0 - group["dampening"],
            "nesterov": group["nesterov"],
        }

    @staticmethod
    def update(
        xp: Xp, param: Array, grad: Array, velocity: Array | None, *,
        scale: float, l2: float, lr: float, momentum: float, undamped: float, nesterov: bool,
    ) -> None:  # fmt: skip
        """Change the parameters by one step; there is no velocity without momentum."""
        grad = scale * grad + l2 * param if l2 else scale * grad
        if velocity is not None:
            velocity[...] = momentum * velocity + undamped * grad
            grad = grad + momentum * velocity if nesterov else velocity
        param -= lr * grad

    @staticmethod
    def lines(w: StepLines) -> None:
        """Momentum as Sutskever et al. (2013) write it, in PyTorch's form."""
        s = w.settings
        theta, _, lr, g = w.begin(lr="lr")
        along = g
        if s["momentum"]:
            source = "eq. 3" if s["nesterov"] else "eq. 1"
            rest, new = w.setting("momentum"), g
            if w.step.number > 1:
                share = (1 - w.setting("dampening")) * g if s["dampening"] else g
                new = rest * w.before("velocity", "u") + share
            along = w.let("velocity", "u_t", new, "velocity", source)
            if s["nesterov"]:
                along = w.let("ahead", "d_t", g + rest * along, "velocity, looked ahead with", source)
        w.let("effective_lr", "rate_t", lr, "effective learning rate, of every entry")
        w.end(theta, lr * along, "eq. 4" if s["nesterov"] else "eq. 2" if s["momentum"] else "")
