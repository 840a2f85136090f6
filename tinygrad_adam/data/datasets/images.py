"""The images that every loader of a data set returns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...engine.viewers import view
from ...errors import unknown_name
from ..images import Augmentation, ImageDataset, check_images


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare by
class ImageData:
    """Gray or color images with a label each, in an official training and test split.

    Attributes
    ----------
    name : str
    train_images, test_images : numpy.ndarray, uint8, shape (n, height, width) or (n, 3, height, width)
    train_labels, test_labels : numpy.ndarray, uint8, shape (n,)
    classes : tuple of str
        The name of each label.
    scale : float
        The largest value that a pixel can have.
    credit : str
        The makers of the data, for citations.
    license : str

    Raises
    ------
    DTypeError, ShapeError
        If the images are not of that form.
    """

    name: str
    train_images: NDArray[np.uint8] = field(repr=False)
    train_labels: NDArray[np.uint8] = field(repr=False)
    test_images: NDArray[np.uint8] = field(repr=False)
    test_labels: NDArray[np.uint8] = field(repr=False)
    classes: tuple[str, ...]
    scale: float
    credit: str
    license: str

    def __post_init__(self) -> None:
        check_images("ImageData", self.train_images)
        check_images("ImageData", self.test_images)

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width of an image, as a network takes it."""
        return (1, *self.train_images.shape[1:])[-3:]

    def _repr_html_(self) -> str | None:
        return view("ImageData._repr_html_")(self)

    def dataset(self, split: Literal["train", "test"], augment: Sequence[Augmentation] = ()) -> ImageDataset:
        """Return a split as a dataset that keeps the images as bytes and turns each batch to floats.

        Parameters
        ----------
        split : {"train", "test"}
        augment : sequence of callables
            See `ImageDataset`.

        Returns
        -------
        ImageDataset
            The same values as `arrays` returns, images not flattened.

        Raises
        ------
        OptionError
            If `split` is neither.
        """
        return ImageDataset(*self._part(split), self.scale, augment)

    def arrays(
        self, split: Literal["train", "test"], flatten: bool = True
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return a split in the form that a network takes.

        Parameters
        ----------
        split : {"train", "test"}
        flatten : bool
            Whether an image is a row of pixels, or has its channels, height and width.

        Returns
        -------
        x : numpy.ndarray, float32, shape (n, channels * height * width) or (n, channels, height, width)
            Pixels in [0, 1].
        y : numpy.ndarray, int64, shape (n,)

        Raises
        ------
        OptionError
            If `split` is neither.
        """
        images, labels = self._part(split)
        x = images.astype(np.float32)
        x /= self.scale
        shape = (math.prod(self.shape),) if flatten else self.shape
        return x.reshape(len(x), *shape), labels.astype(np.int64)

    def _part(self, split: str) -> tuple[NDArray[Any], NDArray[Any]]:
        parts: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {
            "train": (self.train_images, self.train_labels),
            "test": (self.test_images, self.test_labels),
        }
        if split not in parts:
            raise unknown_name("ImageData", "split", split, parts)
        return parts[split]
