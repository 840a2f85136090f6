"""Normalization layers."""

from __future__ import annotations

from .. import ops
from ..errors import ShapeError
from ..tensor.creation import ones, zeros
from ..tensor.tensor import Tensor
from ..values import number_in
from .module import Module
from .parameter import Parameter, sizes

__all__ = ["BatchNorm1d", "BatchNorm2d", "GroupNorm", "LayerNorm"]


class LayerNorm(Module):
    """Standardize each sample over its last axes, then scale and shift (Ba, Kiros & Hinton, 2016).

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The last sizes of the input.
    eps : float
        Added to the variance.

    Attributes
    ----------
    weight, bias : Parameter, shape normalized_shape
        Scale and shift, at first 1 and 0.
    """

    def __init__(self, normalized_shape: int | tuple[int, ...], eps: float = 1e-5) -> None:
        super().__init__()
        shape = tuple(normalized_shape) if isinstance(normalized_shape, tuple | list) else (normalized_shape,)
        shape = sizes("LayerNorm", **{f"normalized_shape[{i}]": size for i, size in enumerate(shape)})
        self.normalized_shape, self.eps = shape, number_in("LayerNorm", "eps", eps, 0)
        self.weight, self.bias = Parameter(ones(shape)), Parameter(zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize `x`, shape (...) + normalized_shape."""
        return ops.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.normalized_shape}"


class _BatchNorm(Module):
    """Standardize each channel over the batch, then scale and shift (Ioffe & Szegedy, 2015).

    Subclasses declare the numbers of axes of their inputs.

    Parameters
    ----------
    num_features : int
        The number of channels.
    eps : float
        Added to the variance.
    momentum : float or None
        The share of each training batch in the running averages; None makes them the means over all batches.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_features,)
        Scale and shift, at first 1 and 0.
    running_mean, running_var : Tensor, shape (num_features,)
        The statistics of evaluation mode. A training batch with NaN or infinities does not change them.
    num_batches_tracked : Tensor
        The number of batches in the running averages.
    """

    dimensions: tuple[int, ...]
    layout: str
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1) -> None:
        super().__init__()
        name = type(self).__name__
        (num_features,) = sizes(name, num_features=num_features)
        self.num_features, self.eps = num_features, number_in(name, "eps", eps, 0)
        self.momentum = None if momentum is None else number_in(name, "momentum", momentum, 0)
        self.weight, self.bias = Parameter(ones(num_features)), Parameter(zeros(num_features))
        self.register_buffer("running_mean", zeros(num_features))
        self.register_buffer("running_var", ones(num_features))
        self.register_buffer("num_batches_tracked", zeros((), dtype="int64"))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize `x`, whose axis 1 holds the channels."""
        if x.ndim not in self.dimensions or x.shape[1] != self.num_features:
            raise ShapeError(
                type(self).__name__, f"x must be {self.layout} with C equal to num_features",
                x=x.shape, num_features=self.num_features,
            )  # fmt: skip
        return ops.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias,
            self.training, self.momentum, self.eps, self.num_batches_tracked,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"{self.num_features}"


class BatchNorm1d(_BatchNorm):
    """Batch normalization of features, shape (N, C), or sequences, shape (N, C, L)."""

    dimensions = (2, 3)
    layout = "(N, C) or (N, C, L)"


class BatchNorm2d(_BatchNorm):
    """Batch normalization of images, shape (N, C, H, W)."""

    dimensions = (4,)
    layout = "(N, C, H, W)"


class GroupNorm(Module):
    """Standardize each group of channels of each sample, then scale and shift (Wu & He, 2018).

    Parameters
    ----------
    num_groups : int
        The number of groups that the channels are divided into.
    num_channels : int
        The number of channels.
    eps : float
        Added to the variance.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_channels,)
        Scale and shift, at first 1 and 0.
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        num_groups, num_channels = sizes("GroupNorm", num_groups=num_groups, num_channels=num_channels)
        if num_channels % num_groups:
            raise ShapeError(
                "GroupNorm", "num_groups must divide num_channels",
                num_groups=num_groups, num_channels=num_channels,
            )  # fmt: skip
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps = number_in("GroupNorm", "eps", eps, 0)
        self.weight, self.bias = Parameter(ones(num_channels)), Parameter(zeros(num_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize `x`, shape (N, C, ...)."""
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise ShapeError(
                "GroupNorm", "x must be (N, C, ...) with C equal to num_channels",
                x=x.shape, num_channels=self.num_channels,
            )  # fmt: skip
        return ops.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.num_groups}, {self.num_channels}"
