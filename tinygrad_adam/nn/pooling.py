"""Pooling layers."""

from __future__ import annotations

from ..ops.windows import Pair
from ..tensor.tensor import Tensor
from ..values import plain
from . import functional as F
from .module import Module


class MaxPool2d(Module):
    """Greatest element of each window; see `tinygrad_adam.nn.functional.max_pool2d`.

    Parameters
    ----------
    kernel_size : int or two of them
        The size of the windows.
    stride : int or two of them, optional
        Steps between windows; by default their size.
    padding, dilation : int or two of them
        As for the function.
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

    def forward(self, x: Tensor) -> Tensor:
        """Map `x`, shape (N, C, H, W), to shape (N, C, H', W')."""
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def extra_repr(self) -> str:  # noqa: D102
        return _settings(self)


class AvgPool2d(Module):
    """Mean of each window; see `tinygrad_adam.nn.functional.avg_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode
        As for `MaxPool2d`.
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

    def forward(self, x: Tensor) -> Tensor:
        """Map `x`, shape (N, C, H, W), to shape (N, C, H', W')."""
        return F.avg_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )

    def extra_repr(self) -> str:  # noqa: D102
        return _settings(self)


_DEFAULTS = {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False, "count_include_pad": True}


def _settings(layer: MaxPool2d | AvgPool2d) -> str:
    chosen = [name for name, value in _DEFAULTS.items() if getattr(layer, name, value) != value]
    return ", ".join(f"{name}={getattr(layer, name)}" for name in ["kernel_size", *chosen])


class AdaptiveAvgPool2d(Module):
    """Mean over as many windows as are asked for; see `tinygrad_adam.nn.functional.adaptive_avg_pool2d`.

    Parameters
    ----------
    output_size : int or two of them
        Height and width of the output; 1 for global average pooling.
    """

    def __init__(self, output_size: Pair) -> None:
        super().__init__()
        self.output_size = plain(output_size)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x`, shape (N, C, H, W), to shape (N, C) + output_size."""
        return F.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.output_size}"
