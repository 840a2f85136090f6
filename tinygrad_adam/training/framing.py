"""Drawn digits, placed as the digits that a model learned from: MNIST's, or the optical digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy
from numpy.typing import NDArray

from ..errors import OptionError

if TYPE_CHECKING:
    from PIL import Image

INK = 0.2
"""The share of the strongest ink from which on a pixel belongs to the digit, and not to its blurred edge."""
FAINTEST = 0.1
"""The contrast of ink and ground, as a share of black and white's, below which a picture is blank."""


class Framing(NamedTuple):
    """How a data set placed its digits.

    Attributes
    ----------
    place : callable
        ``place(ink)`` takes the ink of a cropped digit, float32 in [0, 1], and returns the model's image.
    words : str
        What it does, for a reader.
    """

    place: Callable[[NDArray[Any]], NDArray[Any]]
    words: str


def _mnist(ink: NDArray[Any]) -> NDArray[Any]:
    """Fit a digit into 20 x 20 pixels, and put its center of mass into the middle of 28 x 28."""
    small = resized(ink, 20 / max(ink.shape))
    small /= small.max()
    rows, columns = numpy.indices(small.shape)
    image = numpy.zeros((28, 28), numpy.float32)
    at = []
    for place, size in zip((rows, columns), small.shape, strict=True):
        middle = float((small * place).sum() / small.sum())
        at.append(min(max(round(14 - middle), 0), 28 - size))
    image[at[0] : at[0] + small.shape[0], at[1] : at[1] + small.shape[1]] = small
    return image


def _optical(ink: NDArray[Any]) -> NDArray[Any]:
    """Fit a digit into 32 x 32 pixels, and take the mean of blocks of 4 x 4; the data counts black pixels."""
    small = resized(ink, 32 / max(ink.shape))
    image = numpy.zeros((32, 32), numpy.float32)
    down, right = ((32 - size) // 2 for size in small.shape)
    image[down : down + small.shape[0], right : right + small.shape[1]] = small / small.max()
    return image.reshape(8, 4, 8, 4).mean(axis=(1, 3))


FRAMINGS = {
    "mnist": Framing(_mnist, "scaled to 20 pixels, its center of mass in the middle, as MNIST's digits are"),
    "digits": Framing(_optical, "scaled to the height of the image and centered, as the optical digits are"),
}
"""By the name of the data set. The pictures of other data sets are taken as they are.

MNIST: Y. LeCun, C. Cortes and C. J. C. Burges, yann.lecun.com/exdb/mnist. Optical digits: E. Alpaydin and
C. Kaynak, UCI Machine Learning Repository, DOI 10.24432/C50P49."""


def frame_digit(ink: NDArray[Any], framing: Framing) -> NDArray[Any]:
    """Cut a drawn digit out of its picture, and place it as a data set did.

    Parameters
    ----------
    ink : numpy.ndarray of float, shape (height, width)
        In [0, 1]; 0 is the ground.
    framing : Framing

    Returns
    -------
    numpy.ndarray, float32
        The image, of the size of the data set's.

    Raises
    ------
    OptionError
        If the picture is blank.
    """
    strongest = float(ink.max())
    if strongest < FAINTEST:
        raise OptionError(
            "predict", "the picture is blank: draw a digit that is darker or lighter than its ground",
            strongest_contrast=f"{strongest:.1%}",
        )  # fmt: skip
    there = ink > INK * strongest
    down, across = (numpy.flatnonzero(there.any(axis=axis)) for axis in (1, 0))
    crop = ink[down[0] : down[-1] + 1, across[0] : across[-1] + 1] / strongest
    return framing.place(crop.astype(numpy.float32))


def resized(ink: NDArray[Any], factor: float) -> NDArray[Any]:
    """Scale a picture, smoothly, both ways by one factor; no side vanishes."""
    from PIL import Image

    height, width = (max(1, round(size * factor)) for size in ink.shape)
    picture: Image.Image = Image.fromarray(ink)
    return numpy.asarray(picture.resize((width, height), Image.Resampling.BILINEAR)).clip(0, 1)
