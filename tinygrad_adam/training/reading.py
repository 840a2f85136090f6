"""Images for `predict`, from pictures and from arrays in files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy
from numpy.typing import NDArray

from ..errors import OptionError, optional
from .framing import FRAMINGS, Framing, frame_digit

if TYPE_CHECKING:
    from PIL import Image


LARGEST = 1024
"""Pixels along a side; a photo is reduced to about as many first."""


class ReadImages(NamedTuple):
    """Images as a model takes them.

    Attributes
    ----------
    images : numpy.ndarray, float32, shape (n, channels, height, width)
        In [0, 1]; gray images are light on dark, like the training images.
    changes : list of str
        The changes made to a picture beyond scaling it, as sentences.
    """

    images: NDArray[Any]
    changes: list[str]


def read_images(
    path: str | os.PathLike[str], shape: tuple[int, ...], scale: float, dataset: str = ""
) -> ReadImages:
    """Read images as a model takes them.

    Parameters
    ----------
    path : path
        A picture that Pillow reads, which is scaled to the size of the model's images, and to gray for a
        model of gray images; or a ``.npy`` file with one image or several, (height, width) or (channels,
        height, width) each. Integers there are divided by `scale`.
    shape : tuple of int
        Channels, height and width that the model takes.
    scale : float
        The largest value of the data set's pixels.
    dataset : str
        Its name. A picture of a digit is placed as `FRAMINGS` says: a network has never seen one in a
        corner. Arrays are taken as they are.

    Returns
    -------
    ReadImages

    Raises
    ------
    OptionError
        If the file cannot be read as images of that size, or shows no digit where it should.
    """
    target = Path(path)
    if not target.is_file():
        raise OptionError("predict", "there is no such file", file=target)
    if target.suffix == ".npy":
        return ReadImages(_read_array(target, shape, scale), [])
    if shape[0] == 3:
        return ReadImages(_read_color(target, shape), [])
    return _read_gray(target, shape, FRAMINGS.get(dataset))


def _read_array(path: Path, shape: tuple[int, ...], scale: float) -> NDArray[Any]:
    try:
        with path.open("rb") as file:  # unlike numpy.load, read_array takes no archive and no pickle
            array = numpy.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError, OSError, OverflowError, MemoryError) as error:
        raise OptionError("predict", f"not an array that can be read: {error}", file=path) from error
    one = shape[1:] if shape[0] == 1 else shape
    fits = array.shape[-len(one) :] == one and array.ndim <= len(one) + 1 and array.size > 0
    if not fits or array.dtype.kind not in "fiu":
        raise OptionError(
            "predict", f"the array must hold numbers of shape (n, {', '.join(map(str, one))})",
            file=path, shape=array.shape, dtype=array.dtype,
        )  # fmt: skip
    images = array.reshape(-1, *shape).astype(numpy.float32) / (1.0 if array.dtype.kind == "f" else scale)
    if not numpy.isfinite(images).all() or images.min() < 0 or images.max() > 1:
        raise OptionError(
            "predict", f"pixels must be floats in [0, 1] or integers up to {scale:g}",
            file=path, least=array.min(), greatest=array.max(),
        )  # fmt: skip
    return images


def _read_color(path: Path, shape: tuple[int, ...]) -> NDArray[Any]:
    pixels = _pixels(path, "RGBA")
    seen = pixels[..., 3:] * pixels[..., :3] + 1 - pixels[..., 3:]  # on white, as a page shows it
    return numpy.moveaxis(_shrunk(seen, shape), -1, 0)[None]


def _read_gray(path: Path, shape: tuple[int, ...], framing: Framing | None) -> ReadImages:
    gray, alpha = numpy.moveaxis(_pixels(path, "LA"), -1, 0)
    # What is drawn in white on nothing would vanish on white.
    light = alpha.min() < 1 and (gray * alpha).sum() > 0.5 * alpha.sum()
    seen = alpha * gray + (1 - alpha) * (0.0 if light else 1.0)
    edge = numpy.concatenate([seen[0], seen[-1], seen[1:-1, 0], seen[1:-1, -1]])
    ground = float(numpy.median(edge))
    changes = []
    if ground > 0.5:
        changes.append("The picture is dark on light; it was inverted, as the model learned light on dark.")
        seen, ground = 1 - seen, 1 - ground
    if framing is None:
        return ReadImages(_shrunk(seen, shape)[None, None], changes)
    image = frame_digit((seen - ground).clip(0), framing)
    changes.append(f"The digit was {framing.words}.")
    return ReadImages(image[None, None], changes)


def _pixels(path: Path, mode: str) -> NDArray[Any]:
    """Read the pixels of a picture in a mode with transparency, as floats in [0, 1]."""
    with optional("predict", "cli"):
        from PIL import Image
    try:
        with Image.open(path) as picture:
            seen = _eight_bits(picture).convert(mode)
            seen = seen.reduce(max(1, max(seen.size) // LARGEST))
            return numpy.asarray(seen, numpy.float32) / 255
    except Exception as error:  # Pillow's decoders raise errors of many kinds for damaged files
        raise OptionError("predict", f"not a picture that can be read: {error}", file=path) from error


def _shrunk(pixels: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Scale a picture to the height and width that a model takes."""
    from PIL import Image

    layers = [
        Image.fromarray(layer).resize((shape[2], shape[1]), Image.Resampling.BOX)
        for layer in numpy.atleast_3d(pixels).transpose(2, 0, 1)
    ]
    return numpy.stack([numpy.asarray(layer) for layer in layers], axis=-1).reshape(
        *shape[1:], *pixels.shape[2:]
    )


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Scale pixels of 16 bits down; Pillow would cut them off at 255."""
    from PIL import Image

    if picture.mode == "F":
        raise ValueError("its pixels are floats; save it with 8 or 16 bits")
    if not picture.mode.startswith("I"):
        return picture
    return Image.fromarray((numpy.asarray(picture).clip(0, 65535) // 257).astype(numpy.uint8))
