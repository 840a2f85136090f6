"""Dropout, as functions and as layers."""

from __future__ import annotations

import sys

from .. import ops, words
from ..errors import OptionError, ShapeError
from ..tensor.creation import ones
from ..tensor.random import random_key
from ..tensor.tensor import Tensor
from ..values import number_in
from .module import Module

__all__ = ["Dropout", "Dropout2d"]


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero each element with probability `p` and enlarge the others by ``1 / (1 - p)``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    p : float
        In [0, 1).
    training : bool
        If False, `x` itself is returned.

    Raises
    ------
    OptionError
        If `p` is out of its domain.
    """
    if not 0 <= p < 1:
        raise OptionError("dropout", "p must be in [0, 1)", p=p)
    return ops.dropout(x, p=p, key=random_key()) if training and p else x


def dropout2d(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero whole channels with probability `p` and enlarge the others by ``1 / (1 - p)``.

    Neighboring pixels carry the same information, so dropping single ones drops little (Tompson et al.,
    2015).

    Parameters
    ----------
    x : Tensor, shape (N, C, ...)
        Images or sequences.
    p, training
        As for `dropout`.

    Raises
    ------
    OptionError
        If `p` is out of its domain.
    ShapeError
        If `x` has no axes for samples and channels.
    """
    if x.ndim < 2:
        raise ShapeError("dropout2d", "x must have shape (N, C, ...)", x=x.shape)
    channels = ones(x.shape[:2] + (1,) * (x.ndim - 2), dtype=x.dtype, device=x.device)
    mask = dropout(channels, p, training)
    return x if mask is channels else ops.where(mask > 0, x * mask, 0)  # an infinite x times 0 would be NaN


words.answer_calls(sys.modules[__name__])


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
        """Drop elements of `x` in training; return `x` itself otherwise."""
        return dropout(x, self.p, self.training)

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
        """Drop channels of `x`, shape (N, C, H, W), in training; return `x` itself otherwise."""
        return dropout2d(x, self.p, self.training)
