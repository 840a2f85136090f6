"""Data sets to learn from: the digits ship with the package, the others are fetched and verified."""

from .cifar10 import load_cifar10
from .digits import load_digits
from .idx import read_idx
from .images import ImageData
from .mnist import load_fashion_mnist, load_mnist
from .registry import DATASETS, DatasetInfo, load_dataset

__all__ = [
    "DATASETS",
    "DatasetInfo",
    "ImageData",
    "load_cifar10",
    "load_dataset",
    "load_digits",
    "load_fashion_mnist",
    "load_mnist",
    "read_idx",
]
