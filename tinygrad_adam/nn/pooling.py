"""Pooling layers; the functions of the same names in snake case describe the settings in full."""

from __future__ import annotations

from .. import ops
from ..ops.windows import Pair
from ..tensor.tensor import Tensor
from ..values import plain
from .function_layer import FunctionLayer

__all__ = ["AdaptiveAvgPool2d", "AvgPool2d", "MaxPool2d"]


class _Pool(FunctionLayer):
    def forward(self, x: Tensor) -> Tensor:
        """Map `x`, shape (N, C, H, W), to shape (N, C, H', W')."""
        return self._function(x, **self._settings())

    def extra_repr(self) -> str:
        settings = self._settings().items()
        return ", ".join(f"{name}={value}" for name, value in settings if value != self._defaults[name])


class MaxPool2d(_Pool, function=ops.max_pool2d):
    """Greatest element of each window; see `tinygrad_adam.nn.functional.max_pool2d`.

    Parameters
    ----------
    kernel_size : int or two of them
        Height and width of the windows.
    stride : int or two of them, optional
        Steps between windows; by default their size.
    padding, dilation : int or two of them
        The padding on both sides, which never wins, and the steps between the elements of a window.
    ceil_mode : bool
        Whether a last window may reach beyond the edge.
    """

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        dilation: Pair = 1,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = plain(kernel_size), plain(stride), plain(padding)
        self.dilation, self.ceil_mode = plain(dilation), ceil_mode


class AvgPool2d(_Pool, function=ops.avg_pool2d):
    """Mean of each window; see `tinygrad_adam.nn.functional.avg_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode
        As for `MaxPool2d`; the padding is zeros.
    count_include_pad : bool
        Whether padded places count in the mean.
    """

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = plain(kernel_size), plain(stride), plain(padding)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad


class AdaptiveAvgPool2d(_Pool, function=ops.adaptive_avg_pool2d):
    """Mean over a given number of windows; see `tinygrad_adam.nn.functional.adaptive_avg_pool2d`.

    Parameters
    ----------
    output_size : int or two of them
        Height and width of the output; 1 for global average pooling.
    """

    def __init__(self, output_size: Pair) -> None:
        super().__init__()
        self.output_size = plain(output_size)

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.output_size}"
