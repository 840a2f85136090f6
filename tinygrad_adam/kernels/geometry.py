"""How windows lie on images, in the integers that compiled kernels take."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from ..ops.windows import Sides

HW: TypeAlias = tuple[int, int]
"""A number for the height and one for the width."""


class Windows(NamedTuple):
    """Sizes of the images, the number of windows, their sizes, and the steps between and in them."""

    height: int
    width: int
    rows: int
    columns: int
    kernel_height: int
    kernel_width: int
    stride_down: int
    stride_across: int
    top: int
    left: int
    dilation_down: int
    dilation_across: int

    @property
    def one_to_one(self) -> bool:
        """Whether each window is a pixel and each pixel a window, in order, as in a 1x1 convolution."""
        plain = Windows(self.height, self.width, self.height, self.width, 1, 1, 1, 1, 0, 0, 1, 1)
        return self._replace(dilation_down=1, dilation_across=1) == plain


def windows_of(size: HW, count: HW, kernel: HW, stride: HW, padding: Sides, dilation: HW = (1, 1)) -> Windows:
    """Return the geometry of `count` windows on images of `size`, as Python integers."""
    before = padding[0][0], padding[1][0]
    return Windows(*(int(v) for pair in (size, count, kernel, stride, before, dilation) for v in pair))
