"""Convolution in CUDA: windows laid out as columns, and matrix products of cuBLAS.

Each window of the images is a column of a matrix, and a line of that matrix holds one place of all windows.
So a convolution is one product, however small the images; a group of channels takes a band of the matrix. The
columns take kernel height times kernel width as much memory as the images, so a few images are laid out at a
time. Going back, each pixel gathers from the columns that it was copied to, always in the same order;
scattering would need atomic additions.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator

from ...ops import convolution
from ...ops.windows import Sides, output_size
from ...typing import Array, DType
from ..geometry import HW, Windows, windows_of
from .elementwise import add_bias
from .launching import Source, blocks_for, floats, overriding
from .windows import WINDOWS

_AT_ONCE = 1 << 26
"""Elements of columns at a time: 256 MiB in float32, unless a single image has more."""

SOURCE = Source(
    WINDOWS
    + r"""
// laid[(c, i, j), (n, p, q)] is element (i, j) of channel c of window (p, q) of image n. A thread copies all
// places of one window, so that neighboring threads write neighboring columns of each line.
extern "C" __global__ void lay_out(const REAL* x, REAL* laid, INDEX images, INDEX channels, WINDOWS) {
    const INDEX length = images * rows * columns;
    EACH(t, channels * length) {
        const INDEX q = t % columns, p = t / columns % rows, n = t / columns / rows % images, c = t / length;
        const REAL* plane = x + (n * channels + c) * height * width;
        REAL* to = laid + c * kernel_height * kernel_width * length + t % length;
        for (INDEX i = 0; i < kernel_height; ++i) {
            const INDEX h = p * stride_down - top + i * dilation_down;
            for (INDEX j = 0; j < kernel_width; ++j, to += length) {
                const INDEX v = q * stride_across - left + j * dilation_across;
                *to = h >= 0 && h < height && v >= 0 && v < width ? plane[h * width + v] : 0;
            }
        }
    }
}

// The transpose of laying out: each pixel is the sum of all places that it was copied to.
extern "C" __global__ void gather_back(const REAL* laid, REAL* x, INDEX images, INDEX channels, WINDOWS) {
    const INDEX length = images * rows * columns;
    EACH(t, images * channels * height * width) {
        const INDEX v = t % width, h = t / width % height;
        const INDEX c = t / width / height % channels, n = t / width / height / channels;
        const REAL* from = laid + c * kernel_height * kernel_width * length + n * rows * columns;
        REAL total = 0;
        EACH_WINDOW(i, j, p, q) total += from[(i * kernel_width + j) * length + p * columns + q];
        x[t] = total;
    }
}

// Transposes a product, (channels, images, pixels), to (images, channels, pixels); then bias and ReLU.
extern "C" __global__ void put_in_place(
    const REAL* product, const REAL* bias, REAL* y, INDEX relu, INDEX images, INDEX channels, INDEX pixels
) {
    EACH(t, images * channels * pixels) {
        const INDEX pixel = t % pixels, c = t / pixels % channels, n = t / pixels / channels;
        const REAL value = product[(c * images + n) * pixels + pixel] + (bias ? bias[c] : 0);
        y[t] = relu && value <= 0 ? 0 : value;  // NaN stays NaN
    }
}
"""
)


class _Columns:
    """The windows of images, shape (n, channels, height, width), as columns, a few images at a time."""

    def __init__(self, shape: tuple[int, ...], windows: Windows, groups: int, dtype: DType) -> None:
        self.shape, self.windows, self.groups, self.dtype = shape, windows, groups, dtype
        self.pixels = windows.rows * windows.columns
        self.places = windows.kernel_height * windows.kernel_width
        self.lines = shape[1] * self.places
        self.plain = windows.one_to_one  # the images are their columns

    def parts(self) -> Iterator[slice]:
        """Cut the images into parts whose columns fit `_AT_ONCE`."""
        step = max(1, _AT_ONCE // (self.lines * self.pixels))
        for first in range(0, self.shape[0], step):
            yield slice(first, min(first + step, self.shape[0]))

    def of(self, x: Array) -> Array:
        """Return the columns of some images, a band for each group."""
        import cupy

        laid = cupy.empty((self.lines, len(x) * self.pixels), self.dtype)
        args = x, laid, len(x), self.shape[1], *self.windows
        SOURCE.launch("lay_out", self.dtype, args, blocks_for(laid.size // self.places))
        return laid.reshape(self.groups, -1, laid.shape[1])

    def gather_back(self, laid: Array, x: Array) -> None:
        """Write to each pixel of some images the sum of the elements of the columns that hold it."""
        args = laid, x, len(x), self.shape[1], *self.windows
        SOURCE.launch("gather_back", self.dtype, args, blocks_for(x.size))

    def values(self, gy: Array) -> Array:
        """Return values of the windows of some images, (n, out, rows, columns), in the layout of columns."""
        import cupy

        return cupy.ascontiguousarray(gy.transpose(1, 0, 2, 3)).reshape(
            self.groups, gy.shape[1] // self.groups, len(gy) * self.pixels
        )


def _product(a: Array, b: Array) -> Array:
    """Multiply the matrices of each group; CuPy multiplies transposed ones without a copy only in pairs."""
    import cupy

    return cupy.matmul(a[0], b[0])[None] if len(a) == 1 else cupy.matmul(a, b)


def _by_transposed(values: Array, laid: Array) -> Array:
    """Multiply the matrices of each group by transposed columns; see `_product`."""
    import cupy

    if len(laid) == 1:
        return cupy.matmul(values[0], laid[0].T)[None]
    return cupy.matmul(laid, values.swapaxes(1, 2)).swapaxes(1, 2)  # values are fewer to copy


def _fit(a: Array, b: Array, bias: Array = None) -> bool:
    return floats(a, b) and a.size > 0 and b.size > 0


@overriding(convolution._conv2d.forward, _fit)
def conv2d(
    x: Array, weight: Array, bias: Array = None, *, stride: HW, padding: Sides, dilation: HW, groups: int
) -> Array:
    """See `convolution._conv2d`."""
    return _convolved(x, weight, bias, False, stride, padding, dilation, groups)


@overriding(convolution._conv2d_relu.forward, _fit)
def conv2d_relu(
    x: Array, weight: Array, bias: Array = None, *, stride: HW, padding: Sides, dilation: HW, groups: int
) -> Array:
    """See `convolution._conv2d_relu`."""
    return _convolved(x, weight, bias, True, stride, padding, dilation, groups)


def _convolved(
    x: Array, weight: Array, bias: Array, relu: bool, stride: HW, padding: Sides, dilation: HW, groups: int
) -> Array:
    import cupy

    dtype = cupy.result_type(x, weight)
    x = cupy.ascontiguousarray(x, dtype)
    out, _, *kernel = weight.shape
    count = output_size("conv2d", x.shape[2:], kernel, stride, padding, dilation)
    windows = windows_of(x.shape[2:], count, kernel, stride, padding, dilation)
    columns = _Columns(x.shape, windows, groups, dtype)
    matrices = weight.astype(dtype, copy=False).reshape(groups, out // groups, -1)
    bias = None if bias is None else cupy.ascontiguousarray(bias, dtype)
    if columns.plain:
        y = cupy.matmul(matrices, x.reshape(len(x), groups, -1, columns.pixels))
        y = y.reshape(len(x), out, *count)
        add_bias(y, bias, relu, columns.pixels)
        return y
    y = cupy.empty((len(x), out, *count), dtype)
    for part in columns.parts():
        some = y[part]
        args = _product(matrices, columns.of(x[part])), bias, some, relu, len(some), out, columns.pixels
        SOURCE.launch("put_in_place", dtype, args, blocks_for(some.size))
    return y


@overriding(convolution._conv2d_input.forward, _fit)
def conv2d_input(
    gy: Array, weight: Array, *, size: HW, stride: HW, padding: Sides, dilation: HW, groups: int
) -> Array:
    """See `convolution._conv2d_input`."""
    import cupy

    dtype = cupy.result_type(gy, weight)
    gy = gy.astype(dtype, copy=False)
    out, inner, *kernel = weight.shape
    shape = len(gy), groups * inner, *size
    windows = windows_of(size, gy.shape[2:], kernel, stride, padding, dilation)
    columns = _Columns(shape, windows, groups, dtype)
    matrices = weight.astype(dtype, copy=False).reshape(groups, out // groups, -1).swapaxes(1, 2)
    if columns.plain:
        gy = cupy.ascontiguousarray(gy).reshape(len(gy), groups, -1, columns.pixels)
        return cupy.matmul(matrices, gy).reshape(shape)
    x = cupy.empty(shape, dtype)
    for part in columns.parts():
        columns.gather_back(_product(matrices, columns.values(gy[part])), x[part])
    return x


@overriding(convolution._conv2d_weight.forward, _fit)
def conv2d_weight(
    x: Array, gy: Array, *, size: HW, stride: HW, padding: Sides, dilation: HW, groups: int
) -> Array:
    """See `convolution._conv2d_weight`.

    It sums over images, so even the columns of single pixels are laid out: all images side by side.
    """
    import cupy

    dtype = cupy.result_type(x, gy)
    x, gy = cupy.ascontiguousarray(x, dtype), gy.astype(dtype, copy=False)
    out, inner = gy.shape[1], x.shape[1] // groups
    windows = windows_of(x.shape[2:], gy.shape[2:], size, stride, padding, dilation)
    columns = _Columns(x.shape, windows, groups, dtype)
    products = (_by_transposed(columns.values(gy[part]), columns.of(x[part])) for part in columns.parts())
    return functools.reduce(operator.iadd, products).reshape(out, inner, *size)
