"""Data on the host: datasets, the loader that batches them, and data sets to learn from."""

import sys
from typing import Any

from .. import words
from .dataset import AugmentedDataset, Dataset, TensorDataset, split
from .datasets import (
    DATASETS,
    DatasetInfo,
    ImageData,
    load_cifar10,
    load_dataset,
    load_digits,
    load_fashion_mnist,
    load_mnist,
)
from .images import ImageDataset, random_crop, random_flip
from .loader import DataLoader
from .synthetic import blobs, moons, spirals

__all__ = [
    "DATASETS",
    "AugmentedDataset",
    "DataLoader",
    "Dataset",
    "DatasetInfo",
    "ImageData",
    "ImageDataset",
    "TensorDataset",
    "blobs",
    "load_cifar10",
    "load_dataset",
    "load_digits",
    "load_fashion_mnist",
    "load_mnist",
    "moons",
    "random_crop",
    "random_flip",
    "spirals",
    "split",
]

words.answer_calls(sys.modules[__name__])


def __getattr__(name: str) -> Any:
    raise words.missing("data", sys.modules[__name__], name)
