"""Dropout."""

from __future__ import annotations

from ..tensor.tensor import Tensor
from ..values import number_in
from . import functional as F
from .module import Module


class Dropout(Module):
    """In training, zero each element with probability `p` and enlarge the others by ``1 / (1 - p)``.

    Parameters
    ----------
    p : float
        In [0, 1).

    References
    ----------
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = number_in(type(self).__name__, "p", p, 0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements of `x` in training; return it as it is otherwise."""
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:  # noqa: D102
        return f"p={self.p}"


class Dropout2d(Dropout):
    """In training, zero whole channels with probability `p` and enlarge the others by ``1 / (1 - p)``.

    Parameters
    ----------
    p : float
        In [0, 1).

    References
    ----------
    Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Drop channels of `x`, shape (N, C, H, W), in training; return it as it is otherwise."""
        return F.dropout2d(x, self.p, self.training)
