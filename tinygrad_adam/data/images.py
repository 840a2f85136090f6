"""Images kept as bytes: only a batch becomes floats, changed at random on request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..backend.device import backend_of
from ..errors import DTypeError, OptionError, ShapeError
from ..typing import Array
from ..values import integer, is_number
from .dataset import Arrays, TensorDataset

Augmentation = Callable[[np.random.Generator, NDArray[Any]], NDArray[Any]]


class ImageDataset(TensorDataset):
    """Images of one byte a pixel and channel, with a label each.

    The images stay as they are, a quarter of their size in float32; only the rows of a batch become floats,
    in one pass.

    Parameters
    ----------
    images : numpy.ndarray, uint8, shape (n, height, width) or (n, 1 or 3, height, width)
        Shared, not copied, if C-contiguous.
    labels : numpy.ndarray of int, shape (n,)
    scale : float
        The value that becomes 1.
    augment : sequence of callables
        Each is ``change(generator, images) -> images``, such as `random_crop` and `random_flip` make: random
        changes to the images of a batch that a `DataLoader` makes, one after the other. They get uint8 images
        of shape (batch, channels, height, width) and must leave those as they are. Indexing the dataset
        changes nothing.

    Raises
    ------
    DTypeError, ShapeError, OptionError
        If an argument is not of that form.

    Notes
    -----
    A batch is a tuple of the images, float32 of shape (batch, channels, height, width) in [0, 1], and the
    labels, int64 of shape (batch,).

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_adam.data import ImageDataset, random_flip
    >>> data = ImageDataset(np.full((5, 3, 8, 8), 255, np.uint8), np.arange(5), augment=[random_flip()])
    >>> x, y = data[1:3]
    >>> x.shape, x.dtype, float(x.max()), y
    ((2, 3, 8, 8), dtype('float32'), 1.0, array([1, 2]))
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[Any],
        scale: float = 255.0,
        augment: Sequence[Augmentation] = (),
    ) -> None:
        check_images("ImageDataset", images)
        if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu":
            found = labels.dtype if isinstance(labels, np.ndarray) else type(labels).__name__
            raise DTypeError("ImageDataset", "labels must be an array of integers", labels=found)
        if labels.shape != images.shape[:1]:
            raise ShapeError(
                "ImageDataset", "there must be one label an image", images=images.shape, labels=labels.shape
            )
        if not is_number(scale) or scale <= 0:
            raise OptionError("ImageDataset", "scale must be finite and > 0", scale=repr(scale))
        if not isinstance(augment, Sequence) or not all(map(callable, augment)):
            raise OptionError(
                "ImageDataset",
                "augment must be a sequence of callables, such as [random_crop(4), random_flip()]",
                augment=repr(augment),
            )
        super().__init__(
            images if images.ndim == 4 else images[:, None],
            labels.astype(np.int64),
            transform=_ToFloats(float(scale)),
            augment=partial(_change, tuple(augment)) if augment else None,
        )


def random_crop(padding: int) -> Augmentation:
    """Make an augmentation that pads images with zeros and cuts their old size out at a random place.

    Parameters
    ----------
    padding : int
        Pixels on each side; an image moves by as much at most, each of the ``(2 * padding + 1) ** 2`` places
        being as likely. The usual choice for CIFAR-10 is 4.

    Returns
    -------
    callable
        ``change(generator, images) -> images``, for an array of shape (batch, channels, height, width).

    Raises
    ------
    OptionError
        If `padding` is not an integer of at least 0.

    References
    ----------
    K. He, X. Zhang, S. Ren & J. Sun (2016), Deep residual learning for image recognition, section 4.2,
    arXiv:1512.03385.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_adam.data import random_crop
    >>> random_crop(1)(np.random.default_rng(0), np.arange(1, 10, dtype=np.uint8).reshape(1, 1, 3, 3))
    array([[[[4, 5, 6],
             [7, 8, 9],
             [0, 0, 0]]]], dtype=uint8)
    """
    return partial(_crop, integer("random_crop", "padding", padding, 0))


def random_flip() -> Augmentation:
    """Make an augmentation that mirrors every second image, chosen at random, from left to right.

    Returns
    -------
    callable
        ``change(generator, images) -> images``, for an array of shape (batch, channels, height, width).

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_adam.data import random_flip
    >>> images = np.array([1, 2], np.uint8) + np.zeros((4, 1, 1, 2), np.uint8)
    >>> random_flip()(np.random.default_rng(1), images)[:, 0, 0].tolist()
    [[1, 2], [1, 2], [2, 1], [1, 2]]
    """
    return _flip


def check_images(where: str, images: object) -> None:
    """Refuse all but uint8 arrays of gray images or of color images, channels first."""
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        found = images.dtype if isinstance(images, np.ndarray) else type(images).__name__
        raise DTypeError(where, "images must be an array of uint8", images=found)
    if images.ndim != 3 and not (images.ndim == 4 and images.shape[1] in (1, 3)):
        raise ShapeError(
            where, "images must be (n, height, width) or (n, 1 or 3, height, width)", images=images.shape
        )


@dataclass(frozen=True)
class _ToFloats:
    scale: float
    on_any_device = True

    def __call__(self, images: Array, labels: Array) -> Arrays:
        xp = backend_of((images,)).xp
        return xp.divide(images, np.float32(self.scale), dtype=np.float32), labels


def _change(
    steps: tuple[Augmentation, ...],
    generator: np.random.Generator,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
) -> Arrays:
    for step in steps:
        images = step(generator, images)
    return images, labels


def _crop(padding: int, generator: np.random.Generator, images: NDArray[Any]) -> NDArray[Any]:
    n, channels, height, width = images.shape
    padded = np.zeros((n, channels, height + 2 * padding, width + 2 * padding), images.dtype)
    padded[:, :, padding : padding + height, padding : padding + width] = images
    down, right = generator.integers(0, 2 * padding + 1, (2, n))
    # (n, channels, place down, place right, height, width), of which the gather takes a place an image
    places = sliding_window_view(padded, (height, width), axis=(2, 3))
    return places[np.arange(n), :, down, right]


def _flip(generator: np.random.Generator, images: NDArray[Any]) -> NDArray[Any]:
    chosen = generator.random(len(images)) < 0.5
    flipped = images.copy()
    flipped[chosen] = images[chosen, :, :, ::-1]
    return flipped
