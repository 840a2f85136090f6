"""Lion: the sign of a blend of gradient and mean."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..typing import Array, Xp
from .domains import Betas, NotNegative
from .lines import StepLines
from .optimizer import Optimizer, Scalars
from .quantity import sign
from .settings import Group


class Lion(Optimizer):
    r"""Lion: every element moves by the learning rate.

    Algorithm 2 of Chen et al., element by element::

        m_0 = 0
        g_t = gradient of the loss with respect to theta_{t-1}
        c_t = beta_1 * m_{t-1} + (1 - beta_1) * g_t
        theta_t = theta_{t-1} - lr * (sign(c_t) + weight_decay * theta_{t-1})
        m_t = beta_2 * m_{t-1} + (1 - beta_2) * g_t

    The memory beside the parameters and their gradients is one number for each parameter.

    Parameters
    ----------
    params : iterable
        Parameters, pairs of name and Parameter, or groups; see `Optimizer`.
    lr : float
        Step size; a third to a tenth of Adam's, say the authors.
    betas : tuple of float
        The share of the mean in what is stepped along, and its decay rate, each in [0, 1).
    weight_decay : float
        The share of each parameter that a step takes away, over `lr`, apart from the gradient.
    on_nonfinite : {"ignore", "skip", "raise"}
        What to do about gradients that are not finite; see `Optimizer`.

    Raises
    ------
    OptionError
        If a hyper-parameter is out of its domain.

    References
    ----------
    X. Chen, C. Liang, D. Huang, E. Real, K. Wang, Y. Liu, H. Pham, X. Dong, T. Luong, C.-J. Hsieh, Y. Lu
    and Q. V. Le, "Symbolic Discovery of Optimization Algorithms", NeurIPS 2023, arXiv:2302.06675.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> p = tg.nn.Parameter([1.0, 1.0, 1.0])
    >>> opt = tg.optim.Lion([p], lr=0.1)
    >>> (p * tg.tensor([3.0, -0.01, 0.0])).sum().backward()
    >>> opt.step()
    >>> p.detach().numpy().round(6)
    array([0.9, 1.1, 1. ], dtype=float32)
    """

    kernel = "lion"

    def __init__(
        self,
        params: Iterable[Any],
        lr: NotNegative = 1e-4,
        betas: Betas = (0.9, 0.99),
        weight_decay: NotNegative = 0.0,
        *,
        on_nonfinite: str = "ignore",
    ) -> None:
        super().__init__(params, locals(), on_nonfinite)

    def scalars(self, group: Group, t: int) -> Scalars:  # noqa: D102
        lr, (beta1, beta2) = group["lr"], group["betas"]
        return {"shrink": 1.0 - lr * group["weight_decay"], "lr": lr, "beta1": beta1, "beta2": beta2}

    @staticmethod
    def update(
        xp: Xp, param: Array, grad: Array, m: Array, *,
        scale: float, shrink: float, lr: float, beta1: float, beta2: float,
    ) -> None:  # fmt: skip
        """Change the parameters by one step; the decay stands in `shrink`."""
        grad = scale * grad
        param *= shrink
        param -= lr * xp.sign(beta1 * m + (1 - beta1) * grad)
        m[...] = beta2 * m + (1 - beta2) * grad

    @staticmethod
    def lines(w: StepLines) -> None:
        """Algorithm 2 of Chen et al. (2023)."""
        theta, _, lr, g = w.begin(lr="lr", decoupled=True)
        beta1, beta2 = w.betas()
        m = w.before("m", "m")
        c = w.let("c", "c_t", w.average(m, g, beta1), "blend of mean and gradient")
        left = w.decayed(theta, lr)
        w.end(theta, lr * sign(c), "", left)
        w.let("m", "m_t", w.average(m, g, beta2), "mean of gradients, for the next step")
