"""Data on the host: datasets, the loader that batches them, and data sets to learn from."""

from .dataset import Dataset, TensorDataset, split
from .datasets import (
    DATASETS,
    DatasetInfo,
    ImageData,
    load_dataset,
    load_digits,
    load_fashion_mnist,
    load_mnist,
)
from .loader import DataLoader
from .synthetic import blobs, moons, spirals

__all__ = [
    "DATASETS",
    "DataLoader",
    "Dataset",
    "DatasetInfo",
    "ImageData",
    "TensorDataset",
    "blobs",
    "load_dataset",
    "load_digits",
    "load_fashion_mnist",
    "load_mnist",
    "moons",
    "spirals",
    "split",
]
