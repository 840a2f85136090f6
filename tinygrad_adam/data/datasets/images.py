"""What every image loader returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import unknown_name


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare by
class ImageData:
    """Gray images with a label each, in an official training and test split.

    Attributes
    ----------
    name : str
    train_images, test_images : numpy.ndarray, uint8, shape (n, height, width)
    train_labels, test_labels : numpy.ndarray, uint8, shape (n,)
    classes : tuple of str
        The name of each label.
    scale : float
        The largest value that a pixel can have.
    credit : str
        Who made the data, to be cited.
    license : str
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

    def arrays(
        self, split: Literal["train", "test"], flatten: bool = True
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return a split in the form that a network takes.

        Parameters
        ----------
        split : {"train", "test"}
        flatten : bool
            Whether an image is a row of pixels, or a height and a width with one channel.

        Returns
        -------
        x : numpy.ndarray, float32, shape (n, height * width) or (n, 1, height, width)
            Pixels in [0, 1].
        y : numpy.ndarray, int64, shape (n,)

        Raises
        ------
        OptionError
            If `split` is neither.
        """
        splits: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {
            "train": (self.train_images, self.train_labels),
            "test": (self.test_images, self.test_labels),
        }
        if split not in splits:
            raise unknown_name("ImageData.arrays", "split", split, splits)
        images, labels = splits[split]
        x = images.astype(np.float32)
        x /= self.scale
        n, height, width = x.shape
        shape = (n, height * width) if flatten else (n, 1, height, width)
        return x.reshape(shape), labels.astype(np.int64)
