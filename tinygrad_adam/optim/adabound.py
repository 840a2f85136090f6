"""AdaBound and AMSBound: Adam whose step sizes are bounded ever more closely."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

from ..typing import Array, Xp
from .domains import Betas, NotNegative, Positive
from .lines import StepLines
from .optimizer import Optimizer, Scalars
from .quantity import clip, maximum, sqrt
from .settings import Group


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
    optional: ClassVar = {"v_max": "amsbound"}  # no setting of this class, which has no maximum

    def __init__(
        self,
        params: Iterable[Any],
        lr: NotNegative = 1e-3,
        betas: Betas = (0.9, 0.999),
        final_lr: NotNegative = 0.1,
        gamma: Positive = 1e-3,
        eps: NotNegative = 1e-8,
        weight_decay: NotNegative = 0.0,
        base_lr: Positive | None = None,
        *,
        on_nonfinite: str = "ignore",
    ) -> None:
        super().__init__(params, locals(), on_nonfinite)

    def add_param_group(self, group: dict[str, Any]) -> None:  # noqa: D102
        if isinstance(group, dict) and group.get("base_lr", self.defaults["base_lr"]) is None:
            group = {**group, "base_lr": group.get("lr", self.defaults["lr"])}
        super().add_param_group(group)

    def scalars(self, group: Group, t: int) -> Scalars:  # noqa: D102
        lr, (beta1, beta2) = group["lr"], group["betas"]
        final_lr = group["final_lr"] * lr / group["base_lr"]
        progress = group["gamma"] * t
        return {
            "l2": group["weight_decay"],
            "lr": lr * math.sqrt(1.0 - beta2**t) / (1.0 - beta1**t),
            "beta1": beta1,
            "beta2": beta2,
            "eps": group["eps"],
            "lower": final_lr * (1.0 - 1.0 / (progress + 1.0)),
            "upper": final_lr * (1.0 + 1.0 / progress),
        }

    @staticmethod
    def update(
        xp: Xp, param: Array, grad: Array, m: Array, v: Array, v_max: Array | None, *,
        scale: float, l2: float, lr: float, beta1: float, beta2: float, eps: float,
        lower: float, upper: float,
    ) -> None:  # fmt: skip
        """Change the parameters by one step; `lr` is alpha_t, and only AMSBound has `v_max`."""
        grad = scale * grad + l2 * param if l2 else scale * grad
        m[...] = beta1 * m + (1 - beta1) * grad
        v[...] = beta2 * v + (1 - beta2) * (grad * grad)
        if v_max is not None:
            v = xp.maximum(v_max, v, out=v_max)
        param -= xp.clip(lr / (xp.sqrt(v) + eps), lower, upper) * m

    @staticmethod
    def lines(w: StepLines) -> None:
        """Algorithms 2 and 3 of Luo et al. (2019)."""
        theta, t, alpha, g = w.begin()
        beta1, beta2 = w.betas()
        m, v = w.moments(g, beta1, beta2)
        final = w.setting("final_lr") * alpha / w.setting("base_lr")
        final = w.let("final_lr", "final_t", final, "where the bounds meet")
        progress = w.setting("gamma") * t
        low = w.let("lower", "lower_t", final * (1 - 1 / (progress + 1)), "lower bound")
        high = w.let("upper", "upper_t", final * (1 + 1 / progress), "upper bound")
        if "v_max" in w.step.moments:
            v = w.let("v_max", "v_max_t", maximum(w.before("v_max", "v_max"), v), "greatest v so far")
        root = w.root(v)
        free = alpha * sqrt(1 - beta2**t) / (1 - beta1**t) / (root + w.setting("eps"))
        free = w.let("free_rate", "free_t", free, "rate of Adam, without bounds")
        rate = w.let("effective_lr", "rate_t", clip(free, low, high), "effective learning rate of this entry")
        w.signal(m / (1 - beta1**t), sqrt(v / (1 - beta2**t)))
        w.end(theta, rate * m)


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

    optional: ClassVar = {}
