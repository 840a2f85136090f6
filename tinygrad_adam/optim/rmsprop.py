"""RMSprop: the gradient over its root mean square."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from ..typing import Array, Xp
from .domains import BelowOne, NotNegative, Switch
from .lines import StepLines
from .optimizer import Optimizer, Scalars
from .quantity import maximum, square
from .settings import Group


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
    optional: ClassVar = {"mean": "centered", "velocity": "momentum"}

    def __init__(
        self,
        params: Iterable[Any],
        lr: NotNegative = 1e-2,
        alpha: BelowOne = 0.99,
        eps: NotNegative = 1e-8,
        weight_decay: NotNegative = 0.0,
        momentum: BelowOne = 0.0,
        centered: Switch = False,
        *,
        on_nonfinite: str = "ignore",
    ) -> None:
        super().__init__(params, locals(), on_nonfinite)

    def _validate(self, group: dict[str, Any]) -> None:
        super()._validate(group)
        self._require(group, "eps", "positive if centered", group["eps"] > 0 or not group["centered"])

    def scalars(self, group: Group, t: int) -> Scalars:  # noqa: D102
        return {
            "l2": group["weight_decay"],
            "lr": group["lr"],
            "alpha": group["alpha"],
            "eps": group["eps"],
            "momentum": group["momentum"],
        }

    @staticmethod
    def update(
        xp: Xp, param: Array, grad: Array, v: Array, mean: Array | None, velocity: Array | None, *,
        scale: float, l2: float, lr: float, alpha: float, eps: float, momentum: float,
    ) -> None:  # fmt: skip
        """Change the parameters by one step; there is a `mean` if centered, a `velocity` with momentum."""
        grad = scale * grad + l2 * param if l2 else scale * grad
        v[...] = alpha * v + (1 - alpha) * (grad * grad)
        if mean is not None:
            mean[...] = alpha * mean + (1 - alpha) * grad
            v = xp.maximum(v - mean * mean, 0)  # rounding can make it negative for a steady gradient
        change = grad / (xp.sqrt(v) + eps)
        if velocity is not None:
            velocity[...] = momentum * velocity + change
            change = velocity
        param -= lr * change

    @staticmethod
    def lines(w: StepLines) -> None:
        """Hinton's lecture 6.5, slide 29; equations 38 to 41 of Graves (2013)."""
        s = w.settings
        theta, _, lr, g = w.begin(lr="lr")
        decay = w.setting("alpha")
        mean = w.average(w.before("v", "v"), square(g), decay)
        v = w.let("v", "v_t", mean, "mean of squared gradients", "eq. 38")
        if s["centered"]:
            a = w.let(
                "mean", "a_t", w.average(w.before("mean", "a"), g, decay), "mean of gradients", "eq. 39"
            )
            v = w.let("variance", "var_t", maximum(v - square(a), 0), "their variance")
        root = w.root(v)
        divisor = root + w.setting("eps")
        w.rate(lr / divisor)
        d = w.let("scaled", "d_t", g / divisor, "gradient over its root mean square")
        if s["momentum"]:
            velocity = w.setting("momentum") * w.before("velocity", "u") + d
            d = w.let("velocity", "u_t", velocity, "velocity", "eq. 40")
        w.end(theta, lr * d, "eq. 41")
