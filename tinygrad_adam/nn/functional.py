"""Layers and losses as functions, under PyTorch's names.

import tinygrad_adam.nn.functional as F
"""

from __future__ import annotations

from typing import Any

from ..creation import ones, tensor
from ..errors import DTypeError, IndexingError, OptionError, ShapeError
from ..ops import (
    adaptive_avg_pool2d,
    avg_pool2d,
    batch_norm,
    binary_cross_entropy_with_logits,
    conv1d,
    conv2d,
    conv_transpose2d,
    cross_entropy,
    elu,
    gelu,
    getitem,
    global_avg_pool2d,
    group_norm,
    hinge_loss,
    huber_loss,
    interpolate,
    kl_div,
    l1_loss,
    layer_norm,
    leaky_relu,
    linear,
    log_softmax,
    max_pool2d,
    mse_loss,
    nll_loss,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
    unfold,
)
from ..ops import dropout as _dropout
from ..random import random_key
from ..tensor import Tensor

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "dropout2d",
    "elu",
    "embedding",
    "gelu",
    "global_avg_pool2d",
    "group_norm",
    "hinge_loss",
    "huber_loss",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
    "unfold",
]


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero each element with probability `p` and enlarge the others by ``1 / (1 - p)``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    p : float
        In [0, 1).
    training : bool
        If False, `x` is returned as it is.

    Raises
    ------
    OptionError
        If `p` is out of its domain.
    """
    if not 0 <= p < 1:
        raise OptionError("dropout", "p must be in [0, 1)", p=p)
    return _dropout(x, p=p, key=random_key()) if training and p else x


def dropout2d(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero whole channels with probability `p` and enlarge the others by ``1 / (1 - p)``.

    Neighboring pixels tell the same, so dropping single ones would drop little (Tompson et al., 2015).

    Parameters
    ----------
    x : Tensor, shape (N, C, ...)
        The input.
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
    return x if mask is channels else x * mask


def embedding(indices: Any, weight: Tensor) -> Tensor:
    """Look rows of `weight` up.

    Parameters
    ----------
    indices : integer Tensor or array
        Any shape, each in ``range(len(weight))``.
    weight : Tensor, shape (num_embeddings, embedding_dim)
        The rows.

    Returns
    -------
    Tensor
        With one more axis than `indices`, of size embedding_dim.

    Raises
    ------
    DTypeError
        If `indices` are not integers.
    IndexingError
        If one is out of range.
    """
    if not isinstance(indices, Tensor):
        indices = tensor(indices)
    if indices.dtype.kind not in "iu":
        raise DTypeError("embedding", "indices must be integers", indices=indices.dtype)
    if (
        indices.size
        and indices.device == "cpu"
        and (indices._data.min() < 0 or indices._data.max() >= len(weight))
    ):
        raise IndexingError(
            "embedding", f"indices must lie in range({len(weight)})",
            least=indices._data.min(), greatest=indices._data.max(),
        )  # fmt: skip
    return getitem(weight, indices)
