"""Optical Recognition of Handwritten Digits: the data set that ships with the package."""

from __future__ import annotations

from importlib import resources

import numpy as np

from .images import ImageData


def load_digits() -> ImageData:
    """Load 5,620 handwritten digits of 8 x 8 pixels, each from 0 to 16.

    The official split: 3,823 training images by 30 writers, 1,797 test images by 13 others.

    Returns
    -------
    ImageData

    References
    ----------
    E. Alpaydin & C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine Learning
    Repository, DOI 10.24432/C50P49. Licensed under CC BY 4.0.

    Examples
    --------
    >>> from tinygrad_adam.data import load_digits
    >>> x, y = load_digits().arrays("train")
    >>> x.shape, y.shape
    ((3823, 64), (3823,))
    """
    with (
        resources.files(__package__).joinpath("optdigits.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as archive,
    ):
        arrays = dict(archive)
    return ImageData(
        name="digits",
        **arrays,
        classes=tuple("0123456789"),
        scale=16.0,
        credit=(
            "E. Alpaydin & C. Kaynak (1998), Optical Recognition of Handwritten Digits, "
            "UCI Machine Learning Repository, DOI 10.24432/C50P49"
        ),
        license="CC BY 4.0",
    )
