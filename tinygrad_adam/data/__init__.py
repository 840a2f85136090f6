"""Data on the host: datasets, the loader that makes batches of them, and data sets to learn from."""

import sys
from typing import NoReturn

from .. import words
from .dataset import AugmentedDataset, Dataset, TensorDataset, split
from .datasets.cifar10 import load_cifar10
from .datasets.digits import load_digits
from .datasets.images import ImageData
from .datasets.mnist import load_fashion_mnist, load_mnist
from .datasets.registry import DATASETS, DatasetInfo, load_dataset
from .images import ImageDataset, random_crop, random_flip
from .loader import DataLoader
from .synthetic import blobs, moons, spirals

words.answer_calls(sys.modules[__name__])


def __getattr__(name: str) -> NoReturn:
    raise words.missing("data", sys.modules[__name__], name)
