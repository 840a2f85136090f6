"""Convolutional layers."""

from __future__ import annotations

import math

from .. import ops
from ..errors import ShapeError
from ..ops.windows import Padding, Pair, pair
from ..tensor.creation import zeros
from ..tensor.tensor import Tensor
from ..typing import TensorLike
from ..values import plain
from . import init
from .function_layer import FunctionLayer
from .parameter import Parameter, sizes

__all__ = ["Conv1d", "Conv2d", "ConvTranspose2d"]


class _Convolution(FunctionLayer):
    """The filters, the bias and the settings of a convolutional layer."""

    _transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, ...],
        bias: bool,
        groups: int,
        **settings: Padding,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.in_channels, self.out_channels, groups = sizes(
            name, in_channels=in_channels, out_channels=out_channels, groups=groups
        )
        if self.in_channels % groups or self.out_channels % groups:
            raise ShapeError(
                name, "groups must divide in_channels and out_channels",
                in_channels=in_channels, out_channels=out_channels, groups=groups,
            )  # fmt: skip
        self.settings = {name: plain(value) for name, value in settings.items()} | {"groups": groups}
        first, second = self.out_channels, self.in_channels
        if self._transposed:
            first, second = second, first
        shape = (first, second // groups, *kernel)
        fan_in = math.prod(shape[1:])  # also where it counts outputs, as PyTorch does
        self.weight = Parameter(init.fan_in_uniform_(zeros(shape), fan_in))
        self.bias = Parameter(init.fan_in_uniform_(zeros(self.out_channels), fan_in)) if bias else None

    def forward(self, x: TensorLike) -> Tensor:
        """Map `x`, shape (N, in_channels, L) or (N, in_channels, H, W), to out_channels channels."""
        return self._function(x, self.weight, self.bias, **self.settings)

    def extra_repr(self) -> str:
        kernel = self.weight.shape[2:]
        size = kernel[0] if len(set(kernel)) == 1 else kernel
        settings = [(name, default) for name, default in self._defaults.items() if name in self.settings]
        chosen = [name for name, default in settings if self.settings[name] != default]
        shown = "".join(f", {name}={self.settings[name]!r}" for name in chosen)
        shown += "" if self.bias is not None else ", bias=False"
        return f"{self.in_channels}, {self.out_channels}, kernel_size={size}{shown}"


class Conv2d(_Convolution, function=ops.conv2d):
    """Bank of filters that slides over images; see `tinygrad_adam.nn.functional.conv2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    kernel_size : int or two of them
        Height and width of the filters.
    stride, dilation : int or two of them
        Steps between windows, and between the elements of a window.
    padding : int, two of them, "same" or "valid"
        Zeros on both sides.
    groups : int
        The number of independent parts that the channels are divided into.
    bias : bool
        Whether to add a bias to each output channel.

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels // groups, KH, KW)
        Sampled uniformly within ``1 / sqrt(in_channels // groups * KH * KW)``, as PyTorch does.
    bias : Parameter, shape (out_channels,), or None
        Sampled from the same interval.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.nn.Conv2d(3, 8, kernel_size=3, padding=1)(tg.ones(2, 3, 6, 6)).shape
    (2, 8, 6, 6)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Padding = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        kernel = pair("Conv2d", "kernel_size", kernel_size)
        super().__init__(
            in_channels, out_channels, kernel, bias, groups, stride=stride, padding=padding, dilation=dilation
        )

    def forward(self, x: TensorLike, activation: str | None = None) -> Tensor:
        """Map `x`, shape (N, in_channels, H, W), to shape (N, out_channels, H', W')."""
        return ops.conv2d(x, self.weight, self.bias, **self.settings, activation=activation)


class Conv1d(_Convolution, function=ops.conv1d):
    """Bank of filters that slides over sequences; see `Conv2d`.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, dilation, groups : int
        As for `Conv2d`.
    padding : int, "same" or "valid"
        Zeros on both sides.
    bias : bool
        Whether to add a bias to each output channel.

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels // groups, K)
    bias : Parameter, shape (out_channels,), or None
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int | str = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        kernel = sizes("Conv1d", kernel_size=kernel_size)
        super().__init__(
            in_channels, out_channels, kernel, bias, groups, stride=stride, padding=padding, dilation=dilation
        )


class ConvTranspose2d(_Convolution, function=ops.conv_transpose2d):
    """Bank of filters that spreads images; see `tinygrad_adam.nn.functional.conv_transpose2d`.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, groups, bias, dilation
        As for `Conv2d`, of the convolution whose transpose this is.
    output_padding : int or two of them
        Added to the size of the output: several sizes are convolved to one, and this chooses among them.

    Attributes
    ----------
    weight : Parameter, shape (in_channels, out_channels // groups, KH, KW)
    bias : Parameter, shape (out_channels,), or None
    """

    _transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        output_padding: Pair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Pair = 1,
    ) -> None:
        kernel = pair("ConvTranspose2d", "kernel_size", kernel_size)
        super().__init__(
            in_channels, out_channels, kernel, bias, groups,
            stride=stride, padding=padding, output_padding=output_padding, dilation=dilation,
        )  # fmt: skip
