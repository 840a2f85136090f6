"""Convolutional layers."""

from __future__ import annotations

import math
from typing import Any

from ..errors import ShapeError
from ..ops.windows import Padding, Pair, pair
from ..tensor.creation import zeros
from ..tensor.tensor import Tensor
from ..values import plain
from . import functional as F
from . import init
from .linear import sizes
from .module import Module
from .parameter import Parameter


class _Convolution(Module):
    """What the convolutional layers share: filters, a bias, and a line that shows the settings."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        weight_shape: tuple[int, ...],
        fan_in: int,
        bias: bool,
        settings: dict[str, Any],
        defaults: dict[str, Any],
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        settings = {name: plain(value) for name, value in settings.items()}
        self.settings = settings
        self._shown = {name: value for name, value in settings.items() if value != defaults[name]}
        self.weight = Parameter(init.fan_in_uniform_(zeros(weight_shape), fan_in))
        self.bias = Parameter(init.fan_in_uniform_(zeros(out_channels), fan_in)) if bias else None

    def extra_repr(self) -> str:
        kernel = self.weight.shape[2:]
        size = kernel[0] if len(set(kernel)) == 1 else kernel
        shown = "".join(f", {name}={value!r}" for name, value in self._shown.items())
        shown += "" if self.bias is not None else ", bias=False"
        return f"{self.in_channels}, {self.out_channels}, kernel_size={size}{shown}"


_DEFAULTS: dict[str, Any] = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "output_padding": 0}


def _channels(where: str, in_channels: int, out_channels: int, groups: int) -> tuple[int, ...]:
    """Return the numbers of channels and groups as Python's integers, or refuse them."""
    in_channels, out_channels, groups = sizes(
        where, in_channels=in_channels, out_channels=out_channels, groups=groups
    )
    if in_channels % groups or out_channels % groups:
        raise ShapeError(
            where, "groups must divide in_channels and out_channels",
            in_channels=in_channels, out_channels=out_channels, groups=groups,
        )  # fmt: skip
    return in_channels, out_channels, groups


class Conv2d(_Convolution):
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
        Into how many independent parts the channels fall.
    bias : bool
        Whether to add a bias to each output channel.

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels // groups, KH, KW)
        Drawn uniformly within one over the root of the inputs to an output, as PyTorch does.
    bias : Parameter, shape (out_channels,), or None
        Drawn from the same interval.

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
        in_channels, out_channels, groups = _channels("Conv2d", in_channels, out_channels, groups)
        kernel = pair("Conv2d", "kernel_size", kernel_size)
        inputs = in_channels // groups
        settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        shape = (out_channels, inputs, *kernel)
        super().__init__(
            in_channels, out_channels, shape, inputs * math.prod(kernel), bias, settings, _DEFAULTS
        )

    def forward(self, x: Any, activation: str | None = None) -> Tensor:
        """Map `x`, shape (N, in_channels, H, W), to shape (N, out_channels, H', W')."""
        return F.conv2d(x, self.weight, self.bias, **self.settings, activation=activation)


class Conv1d(_Convolution):
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
        in_channels, out_channels, groups = _channels("Conv1d", in_channels, out_channels, groups)
        (kernel_size,) = sizes("Conv1d", kernel_size=kernel_size)
        inputs = in_channels // groups
        settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        shape = (out_channels, inputs, kernel_size)
        super().__init__(in_channels, out_channels, shape, inputs * kernel_size, bias, settings, _DEFAULTS)

    def forward(self, x: Any) -> Tensor:
        """Map `x`, shape (N, in_channels, L), to shape (N, out_channels, L')."""
        return F.conv1d(x, self.weight, self.bias, **self.settings)


class ConvTranspose2d(_Convolution):
    """Bank of filters that spreads images; see `tinygrad_adam.nn.functional.conv_transpose2d`.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, groups, bias, dilation
        As for `Conv2d`, of the convolution whose transpose this is.
    output_padding : int or two of them
        Which of the sizes that the convolution would have mapped to this one.

    Attributes
    ----------
    weight : Parameter, shape (in_channels, out_channels // groups, KH, KW)
    bias : Parameter, shape (out_channels,), or None
    """

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
        in_channels, out_channels, groups = _channels("ConvTranspose2d", in_channels, out_channels, groups)
        kernel = pair("ConvTranspose2d", "kernel_size", kernel_size)
        outputs = out_channels // groups
        settings = {
            "stride": stride,
            "padding": padding,
            "output_padding": output_padding,
            "groups": groups,
            "dilation": dilation,
        }
        shape = (in_channels, outputs, *kernel)
        # The fan of PyTorch's default: the second axis, though here it counts outputs.
        super().__init__(
            in_channels, out_channels, shape, outputs * math.prod(kernel), bias, settings, _DEFAULTS
        )

    def forward(self, x: Any) -> Tensor:
        """Map `x`, shape (N, in_channels, H, W), to shape (N, out_channels, H', W')."""
        return F.conv_transpose2d(x, self.weight, self.bias, **self.settings)
