"""Sliding windows: their sizes, and the parts of images that they meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..errors import DTypeError, OptionError, ShapeError
from ..typing import Array, Xp
from ..values import is_integer

Pair = int | Sequence[int]
Padding = int | Sequence[int] | str
Sides = tuple[tuple[int, int], tuple[int, int]]
"""Padding before and after, along the height and along the width."""


def pair(where: str, name: str, value: Pair, least: int = 1) -> tuple[int, int]:
    """Return a setting for height and width; one number stands for both.

    Raises
    ------
    OptionError
        If it is not one or two integers, none below `least`.
    """
    values = (value, value) if is_integer(value) else tuple(value) if isinstance(value, Sequence) else ()
    if len(values) != 2 or not all(is_integer(v, least) for v in values):
        raise OptionError(where, f"{name} must be one or two integers >= {least}", **{name: repr(value)})
    return int(values[0]), int(values[1])


def sides(
    where: str, padding: Padding, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> Sides:
    """Return the padding on each side; ``"valid"`` is none, ``"same"`` keeps the size at stride 1.

    Raises
    ------
    OptionError
        If it is negative or unknown, or ``"same"`` with a stride.
    """
    if padding == "valid":
        padding = 0
    if padding == "same":
        if stride != (1, 1):
            raise OptionError(
                where, "padding='same' needs stride 1; give the padding as a number", stride=stride
            )
        totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return (totals[0] // 2, totals[0] - totals[0] // 2), (totals[1] // 2, totals[1] - totals[1] // 2)
    if isinstance(padding, str):
        raise OptionError(where, "padding must be 'same', 'valid' or integers", padding=repr(padding))
    height, width = pair(where, "padding", padding, least=0)
    return (height, height), (width, width)


def output_size(
    where: str,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: Sides,
    dilation: tuple[int, int],
    ceil_mode: bool = False,
) -> tuple[int, int]:
    """Return how many windows there are along the height and along the width.

    Raises
    ------
    ShapeError
        If there is none, because the kernel is larger than the padded input. With `ceil_mode` a single window
        may be.
    """
    counts = []
    for n, k, s, (before, after), d in zip(size, kernel, stride, padding, dilation, strict=True):
        room = n + before + after - (d * (k - 1) + 1)
        count = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (count - 1) * s >= n + before:
            count -= 1  # a window that would begin beyond the input has nothing to look at
        if count < 1:
            raise ShapeError(
                where,
                "the kernel is larger than the padded input: "
                "size + padding must be at least dilation * (kernel - 1) + 1",
                size=size, kernel=kernel, padding=padding, dilation=dilation,
            )  # fmt: skip
        counts.append(count)
    return counts[0], counts[1]


def check_images(where: str, x: Array, ndim: int = 4) -> None:
    """Refuse anything but a batch of images of floats, with a hint at the layout."""
    if not hasattr(x, "dtype"):
        raise DTypeError(where, "x must be a Tensor or an array", x=type(x).__name__)
    if len(x.shape) != ndim:
        layout = "(N, C, H, W)" if ndim == 4 else "(N, C, L)"
        raise ShapeError(where, f"x must have shape {layout}", x=tuple(x.shape))
    if x.dtype.name not in ("float32", "float64"):
        raise DTypeError(where, "images must be float32 or float64; cast with .astype and scale", x=x.dtype)


# Each place (i, j) in the window is a tap: one slice of the padded images holds what all windows have
# there.


def taps(
    size: tuple[int, int],
    kernel: tuple[int, int],
    count: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> Iterator[tuple[int, int, tuple[Array, ...]]]:
    """Yield each place in the window, and the slice of padded images of `size` that it meets."""
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            rows = slice(i * dilation[0], i * dilation[0] + (count[0] - 1) * stride[0] + 1, stride[0])
            columns = slice(j * dilation[1], j * dilation[1] + (count[1] - 1) * stride[1] + 1, stride[1])
            yield i, j, (..., rows, columns)


def padded(xp: Xp, x: Array, padding: Sides, value: float = 0.0) -> Array:
    """Surround images with a constant."""
    return xp.pad(x, ((0, 0), (0, 0), *padding), constant_values=value)


def cropped(x: Array, padding: Sides, size: tuple[int, int]) -> Array:
    """Return the images of `size` inside padded ones."""
    (top, _), (left, _) = padding
    return x[:, :, top : top + size[0], left : left + size[1]]


def padded_size(size: tuple[int, int], padding: Sides) -> tuple[int, int]:
    """Return the height and the width of padded images."""
    (top, bottom), (left, right) = padding
    return size[0] + top + bottom, size[1] + left + right
