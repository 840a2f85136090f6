"""Rprop: a step size for each element, grown and shrunk by the signs of its gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from ..typing import Array, Xp
from ..values import is_number
from .domains import Domain, NotNegative
from .lines import StepLines
from .optimizer import Optimizer, Scalars
from .quantity import clip, maximum, sign
from .settings import Group


def _are_etas(value: Any) -> bool:
    return _are_two(value) and 0 < value[0] < 1 < value[1]


def _are_limits(value: Any) -> bool:
    return _are_two(value) and 0 <= value[0] <= value[1]


def _are_two(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and all(map(is_number, value))


Etas = Annotated[tuple[float, float], Domain("a number in (0, 1) and one above 1", _are_etas)]
Limits = Annotated[tuple[float, float], Domain("two numbers >= 0, the lesser first", _are_limits)]


class Rprop(Optimizer):
    r"""Rprop, resilient backpropagation: only the signs of gradients count.

    The algorithm of Riedmiller & Braun, element by element, in the form of PyTorch (without undoing a step
    after a change of sign)::

        size_0 = lr
        g_t = gradient of the loss with respect to theta_{t-1}
        a_t = sign(g_t * g_{t-1})
        size_t = size_{t-1} * (eta_plus if a_t > 0, eta_minus if a_t < 0, else 1), within the limits
        g_t = 0 where a_t < 0
        theta_t = theta_{t-1} - size_t * sign(g_t)

    It is meant for gradients of the whole data set: those of small batches change their signs by chance.

    Parameters
    ----------
    params : iterable
        Parameters, pairs of name and Parameter, or groups; see `Optimizer`.
    lr : float
        The first step size of every element.
    etas : tuple of float
        The factors after a change of sign, in (0, 1), and after none, above 1.
    step_sizes : tuple of float
        The least and the greatest step size.
    weight_decay : float
        The multiple of the parameter that is added to its gradient.
    on_nonfinite : {"ignore", "skip", "raise"}
        The treatment of gradients that are not finite; see `Optimizer`.

    Raises
    ------
    OptionError
        If a hyper-parameter is out of its domain.

    References
    ----------
    M. Riedmiller and H. Braun, "A direct adaptive method for faster backpropagation learning: the RPROP
    algorithm", IEEE International Conference on Neural Networks, 1993.

    Examples
    --------
    The second step is longer, because the sign of the gradient stayed:

    >>> import tinygrad_adam as tg
    >>> p = tg.nn.Parameter([1.0])
    >>> opt = tg.optim.Rprop([p], lr=0.1)
    >>> for _ in range(2):
    ...     opt.zero_grad()
    ...     (p * p).sum().backward()
    ...     opt.step()
    >>> p.detach().numpy().round(6)
    array([0.78], dtype=float32)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: NotNegative = 1e-2,
        etas: Etas = (0.5, 1.2),
        step_sizes: Limits = (1e-6, 50.0),
        weight_decay: NotNegative = 0.0,
        *,
        on_nonfinite: str = "ignore",
    ) -> None:
        super().__init__(params, locals(), on_nonfinite)

    def scalars(self, group: Group, t: int) -> Scalars:  # noqa: D102
        (down, up), (least, greatest) = group["etas"], group["step_sizes"]
        first = group["lr"] if t == 1 else 0.0
        limits = {"least": least, "greatest": greatest}
        return {"l2": group["weight_decay"], "first": first, "down": down, "up": up, **limits}

    @staticmethod
    def update(
        xp: Xp, param: Array, grad: Array, last: Array, size: Array, *,
        scale: float, l2: float, first: float, down: float, up: float, least: float, greatest: float,
    ) -> None:  # fmt: skip
        """Change the parameters by one step; `size` begins with zeros, and the first step adds `first`."""
        grad = scale * grad + l2 * param if l2 else scale * grad
        agree = xp.sign(grad) * xp.sign(last)
        size += first
        size[...] = xp.clip(size * xp.where(agree > 0, up, xp.where(agree < 0, down, 1)), least, greatest)
        last[...] = xp.where(agree < 0, 0, grad)
        param -= size * xp.sign(last)

    @staticmethod
    def lines(w: StepLines) -> None:
        """The algorithm of Riedmiller & Braun (1993), in PyTorch's form."""
        theta, _, lr, g = w.begin(lr="lr")
        (down, up), (least, greatest) = w.settings["etas"], w.settings["step_sizes"]
        same = sign(g) * sign(w.before("last", "g"))
        agree = w.let("agree", "a_t", same, "1 if the sign stayed, -1 if it changed")
        factor = 1 + (up - 1) * maximum(agree, 0) + (down - 1) * maximum(0 - agree, 0)
        factor = w.let("factor", "eta_t", factor, "factor of the step size")
        before = w.before("size", "size") if w.step.number > 1 else lr
        size = clip(before * factor, least, greatest)
        size = w.let("size", "size_t", size, "step size of this entry")
        w.rate(size)
        kept = w.let("last", "d_t", g * (1 - maximum(0 - agree, 0)), "gradient, 0 after a change of sign")
        w.end(theta, size * sign(kept))
