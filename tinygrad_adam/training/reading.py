"""Images for `predict`, from pictures and from arrays in files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from ..errors import OptionError, optional

if TYPE_CHECKING:
    from PIL import Image


def read_images(
    path: str | os.PathLike[str], shape: tuple[int, ...], scale: float
) -> tuple[NDArray[Any], bool]:
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

    Returns
    -------
    images : numpy.ndarray, float32, shape (n, channels, height, width)
        In [0, 1]; gray images are light on dark, like the training images.
    inverted : bool
        Whether a gray picture had a light ground, and was inverted.

    Raises
    ------
    OptionError
        If the file cannot be read as images of that size.
    """
    target = Path(path)
    if not target.is_file():
        raise OptionError("predict", "there is no such file", file=target)
    if target.suffix == ".npy":
        return _read_array(target, shape, scale), False
    return _read_picture(target, shape)


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


def _read_picture(path: Path, shape: tuple[int, ...]) -> tuple[NDArray[Any], bool]:
    with optional("predict", "cli"):
        from PIL import Image
    colored = shape[0] == 3
    try:
        with Image.open(path) as picture:
            seen = _eight_bits(picture)
            seen = (seen if colored else seen.convert("LA")).convert("RGBA")
            ground = Image.new("RGBA", seen.size, "white")
            ground.alpha_composite(seen)
            size = shape[2], shape[1]
            small = ground.convert("RGB" if colored else "L").resize(size, Image.Resampling.BOX)
    except Exception as error:  # Pillow's decoders raise errors of many kinds for damaged files
        raise OptionError("predict", f"not a picture that can be read: {error}", file=path) from error
    image = numpy.asarray(small, numpy.float32) / 255
    if colored:
        return numpy.moveaxis(image, -1, 0)[None], False
    edge = numpy.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
    inverted = bool(numpy.median(edge) > 0.5)
    return (1 - image if inverted else image)[None, None], inverted


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Scale pixels of 16 bits down; Pillow would cut them off at 255."""
    from PIL import Image

    if picture.mode == "F":
        raise ValueError("its pixels are floats; save it with 8 or 16 bits")
    if not picture.mode.startswith("I"):
        return picture
    return Image.fromarray((numpy.asarray(picture).clip(0, 65535) // 257).astype(numpy.uint8))
