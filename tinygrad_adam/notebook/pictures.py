"""Small pictures of arrays, and figures of matplotlib, as images within HTML."""

from __future__ import annotations

import base64
import html
import io
import struct
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from .html import Html

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PIXELS = 64
"""The least height of a picture on the screen; smaller ones are enlarged by a whole number."""


DPI, COLORS = 64, 128
"""The dots of an inch of a figure on the screen, and its colors."""


def image(png: bytes, text: str, width: int, height: int) -> Html:
    """Return an image that carries its data, with a text for readers who do not see it."""
    data = base64.b64encode(png).decode()
    described = html.escape(text)
    return Html(
        f'<img alt="{described}" width="{width}" height="{height}" src="data:image/png;base64,{data}">'
    )


def picture(pixels: NDArray[Any], low: float, high: float) -> Html:
    """Return a picture of an array.

    Parameters
    ----------
    pixels : numpy.ndarray, shape (1 or 3, height, width)
        Gray, or red, green and blue.
    low, high : float
        The values of black and white.
    """
    _, height, width = pixels.shape
    scaled = (numpy.asarray(pixels, numpy.float64) - low) / ((high - low) or 1.0)
    levels = numpy.nan_to_num(numpy.clip(scaled, 0, 1) * 255).round().astype(numpy.uint8)
    times = max(1, -(-PIXELS // height))
    return image(encoded(levels), "an example", times * width, times * height)


def encoded(levels: NDArray[numpy.uint8]) -> bytes:
    """Return an array of shape (1 or 3, height, width) as a PNG file.

    Written here since the library that writes such files is an extra, and a data set is shown without.
    """
    channels, height, width = levels.shape
    rows = levels.transpose(1, 2, 0).reshape(height, width * channels)
    unfiltered = numpy.zeros(
        (height, 1), numpy.uint8
    )  # each row begins with the number of its filter, 0 for none
    data = zlib.compress(numpy.hstack([unfiltered, rows]).tobytes())
    color = {1: 0, 3: 2}[channels]
    header = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def figure_image(draw: Callable[[], Figure], text: str) -> Html:
    """Return a figure as an image on white, with twice the pixels for fine screens and few colors.

    There is none where matplotlib is not installed, or nothing can be drawn, since nothing ended well.
    """
    try:
        figure = draw()
    except Exception:  # the table beside it must not be lost
        return Html("")
    from PIL import Image  # comes with matplotlib

    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=2 * DPI, facecolor="white")
    few = Image.open(drawn).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    few.save(small, "png", optimize=True)
    width, height = (round(DPI * inches) for inches in figure.get_size_inches())
    return image(small.getvalue(), text, width, height)
