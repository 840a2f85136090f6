"""Wrong calls of data sets, loaders and transforms."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import data

BYTES = np.zeros((2, 4, 4), np.uint8)


def numbers(n=4):
    return data.TensorDataset(np.arange(n))


def loaded(**state):
    data.DataLoader(numbers(9), 3).load_state_dict(state)


def batches(**functions):
    return list(data.DataLoader(data.TensorDataset(np.arange(4), **functions), 2))


def image_data(images):
    labels = np.array([1, 0], np.uint8)
    return data.ImageData("n", images, labels, images[:1], labels[:1], ("a", "b"), 255.0, "", "")


CALLS = {
    "TensorDataset of other lengths": lambda: data.TensorDataset(np.zeros((5, 2)), np.zeros(4)),
    "TensorDataset of nothing": lambda: data.TensorDataset(),
    "TensorDataset of a number": lambda: data.TensorDataset(np.float32(3)),
    "TensorDataset out of range": lambda: numbers()[4],
    "TensorDataset at a list out of range": lambda: numbers()[[0, -5]],
    "TensorDataset at fractions": lambda: numbers()[np.array([0.5])],
    "TensorDataset at a mask of another length": lambda: numbers()[np.array([True])],
    "TensorDataset to an unknown device": lambda: numbers().to("gpu"),
    "a transform that returns an array": lambda: data.TensorDataset(np.ones(2), transform=lambda x: x)[:],
    "an augment that returns an array": lambda: batches(augment=lambda _, x: x),
    **{
        f"split by {fraction!r}": lambda fraction=fraction: data.split(numbers(10), fraction)
        for fraction in (0, 1, -0.5, 0.01, math.nan, "0.5")
    },
    "split with a negative seed": lambda: data.split(numbers(10), 0.5, seed=-1),
    **{
        f"DataLoader with {name}={value!r}": lambda name=name, value=value: data.DataLoader(
            numbers(), **{name: value}
        )
        for name, value in [
            ("batch_size", 0), ("batch_size", 2.0), ("batch_size", True), ("seed", -1), ("seed", None),
            ("prefetch", -1), ("prefetch", "2"), ("shuffle", 1), ("drop_last", "no"), ("device", "tpu"),
        ]
    },
    "DataLoader of two arrays": lambda: data.DataLoader((np.zeros((4, 2)), np.arange(4))),
    "DataLoader of an array": lambda: data.DataLoader(np.zeros(4)),
    "DataLoader of None": lambda: data.DataLoader(None),
    "DataLoader of a Tensor": lambda: data.DataLoader(tg.ones(4)),
    "DataLoader of no example": lambda: list(data.DataLoader(numbers(0))),
    "DataLoader of less than a batch": lambda: list(data.DataLoader(numbers(3), 4, drop_last=True)),
    "the state of a loader without a seed": lambda: loaded(epoch=0, batch=0),
    "the state of a loader of a negative epoch": lambda: loaded(epoch=-1, batch=0, seed=0),
    "the state of a loader with too many batches": lambda: loaded(epoch=0, batch=4, seed=0),
    "the state of a loader of a fraction": lambda: loaded(epoch=0, batch=1.0, seed=0),
    "ImageDataset of floats": lambda: data.ImageDataset(np.zeros((2, 4, 4), np.float32), np.arange(2)),
    "ImageDataset of a list": lambda: data.ImageDataset([[[1]]], np.arange(1)),
    "ImageDataset of channels last": lambda: data.ImageDataset(np.zeros((2, 4, 5, 3), "u1"), np.arange(2)),
    "ImageDataset of rows": lambda: data.ImageDataset(np.zeros((2, 4), np.uint8), np.arange(2)),
    "ImageDataset of other labels": lambda: data.ImageDataset(BYTES, np.arange(3)),
    "ImageDataset of labels of floats": lambda: data.ImageDataset(BYTES, np.zeros(2)),
    "ImageDataset of no scale": lambda: data.ImageDataset(BYTES, np.arange(2), 0),
    "ImageDataset with a word for a scale": lambda: data.ImageDataset(BYTES, np.arange(2), "1"),
    "ImageDataset with one augmentation": lambda: data.ImageDataset(
        BYTES, np.arange(2), 1.0, data.random_flip()
    ),
    "ImageDataset with a word for one": lambda: data.ImageDataset(BYTES, np.arange(2), 1.0, ["a"]),
    "ImageDataset out of range": lambda: data.ImageDataset(BYTES, np.arange(2))[9],
    "ImageData of rows": lambda: image_data(np.zeros((2, 4), np.uint8)),
    "ImageData of channels last": lambda: image_data(np.zeros((2, 4, 5, 3), np.uint8)),
    "ImageData of floats": lambda: image_data(np.zeros((2, 4, 5))),
    "ImageData that is replaced": lambda: replace(image_data(BYTES), test_images=np.zeros((1, 4), np.uint8)),
    **{
        f"random_crop by {padding!r}": lambda padding=padding: data.random_crop(padding)
        for padding in (-1, 1.0, True, "4")
    },
    "load_dataset of an unknown name": lambda: data.load_dataset("fashion_mnist"),
    "an unknown part of a data set": lambda: data.load_digits().dataset("training"),
    "unknown arrays of a data set": lambda: data.load_digits().arrays("training"),
    "spirals of none": lambda: data.spirals(0),
    "spirals of a fraction": lambda: data.spirals(10.0),
    "spirals of one class": lambda: data.spirals(10, classes=1),
    "spirals with negative noise": lambda: data.spirals(10, noise=-1),
    "moons with noise of nan": lambda: data.moons(10, noise=math.nan),
    "moons with a word for noise": lambda: data.moons(10, noise="much"),
    "blobs of an infinite spread": lambda: data.blobs(10, spread=math.inf),
    "blobs with a negative seed": lambda: data.blobs(10, seed=-1),
}  # fmt: skip
