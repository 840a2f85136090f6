"""The data sets by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ...errors import unknown_name
from .cifar10 import load_cifar10
from .digits import load_digits
from .images import ImageData
from .mnist import load_fashion_mnist, load_mnist


@dataclass(frozen=True)
class DatasetInfo:
    """Facts about a data set before it is loaded.

    Attributes
    ----------
    name : str
    loader : callable
    description : str
        One line.
    shape : tuple of int
        Of an image: height and width, or channels, height and width.
    classes : int
        Their number.
    source : str
        The address of the data.
    license : str
    size : str
        The size of its files.
    """

    name: str
    loader: Callable[[], ImageData] = field(repr=False)
    description: str
    shape: tuple[int, ...]
    classes: int
    source: str
    license: str
    size: str


DATASETS = {
    info.name: info
    for info in (
        DatasetInfo(
            "digits", load_digits, "5,620 handwritten digits, small enough to train on in seconds", (8, 8),
            10, "https://doi.org/10.24432/C50P49", "CC BY 4.0", "0.1 MB, ships with the package",
        ),
        DatasetInfo(
            "mnist", load_mnist, "70,000 handwritten digits, the classic", (28, 28), 10,
            "http://yann.lecun.com/exdb/mnist/", "CC BY-SA 3.0", "11.6 MB, fetched once",
        ),
        DatasetInfo(
            "fashion-mnist", load_fashion_mnist,
            "70,000 pictures of clothes, in the form of MNIST but harder", (28, 28), 10,
            "https://github.com/zalandoresearch/fashion-mnist", "MIT", "30.9 MB, fetched once",
        ),
        DatasetInfo(
            "cifar10", load_cifar10, "60,000 small color pictures of animals and vehicles", (3, 32, 32), 10,
            "https://www.cs.toronto.edu/~kriz/cifar.html", "none stated", "170.1 MB, fetched once",
        ),
    )
}  # fmt: skip


def load_dataset(name: str) -> ImageData:
    """Load the data set called `name` in `DATASETS`.

    Parameters
    ----------
    name : str

    Returns
    -------
    ImageData

    Raises
    ------
    OptionError
        If the name is not known.
    DataError
        If the data cannot be found, fetched or trusted.

    Examples
    --------
    >>> from tinygrad_adam.data import load_dataset
    >>> load_dataset("digits").test_images.shape
    (1797, 8, 8)
    """
    if name not in DATASETS:
        raise unknown_name("load_dataset", "data set", name, DATASETS)
    return DATASETS[name].loader()
