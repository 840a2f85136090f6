"""Lion: the sign of a blend of gradient and mean."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .optimizer import Optimizer


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
    moment_names = ("m",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        on_nonfinite: str = "ignore",
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "weight_decay": weight_decay,
            },
            on_nonfinite,
        )

    def _validate(self, settings: dict[str, Any]) -> None:
        self._require_not_negative(settings, "lr", "weight_decay")
        self._require_betas(settings)

    def _scalars(self, settings: dict[str, Any], step: int) -> dict[str, Any]:
        lr, (beta1, beta2) = settings["lr"], settings["betas"]
        return {
            "l2": 0.0,
            "shrink": 1.0 - lr * settings["weight_decay"],
            "lr": lr,
            "beta1": beta1,
            "beta2": beta2,
        }
