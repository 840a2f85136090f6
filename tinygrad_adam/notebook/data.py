"""Data sets: a few examples as pictures or numbers; loaders: the batches that they make."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Any

import numpy
from numpy.typing import NDArray

from ..backend.device import device_of, to_host
from ..data.dataset import TensorDataset
from ..data.datasets.images import ImageData
from ..data.loader import DataLoader
from ..files.text import counted
from .html import Html, code, element, facts, heading, join, named, paragraphs, shown, soft, table
from .pictures import picture
from .tensors import written

PICTURES, ROWS, COLUMNS = 10, 5, 8
"""Pictures shown, and rows and columns of a table of numbers."""
LEAST, GREATEST = 4, 512
"""The sides of arrays that are taken for pictures."""


def pixels_of(array: NDArray[Any]) -> NDArray[Any] | None:
    """Return an array as pictures, shape (n, 1 or 3, height, width), or None if it does not look like any.

    Without an axis for channels, matrices are pictures if they are square or bytes.
    """
    if array.dtype.kind not in "fiub" or array.ndim not in (3, 4):
        return None
    height, width = array.shape[-2:]
    if not LEAST <= min(height, width) <= max(height, width) <= GREATEST:
        return None
    if array.ndim == 4:
        return array if array.shape[1] in (1, 3) else None
    return array[:, None] if height == width or array.dtype == numpy.uint8 else None


def _pictures(images: NDArray[Any], captions: Sequence[object]) -> Html:
    finite = images[numpy.isfinite(images)]
    low, high = (min(0.0, float(finite.min())), float(finite.max())) if finite.size else (0.0, 1.0)
    figures = [
        element(
            "figure",
            picture(image, low, high),
            element("figcaption", caption),
            kind="example",
            style="margin-left: 0",
        )
        for image, caption in zip(images, captions, strict=True)
    ]
    return element("div", *figures)


def _columns(name: str, array: NDArray[Any]) -> tuple[list[str], list[list[str]]]:
    """Return the columns of an array: their headings, and a list of texts for each example."""
    if array.ndim == 1:
        return [name], [[text] for text in written(array)] if array.size else []
    if array.ndim > 2:
        return [name], [[f"array {array.shape[1:]}"]] * len(array)
    shown_values = array[:, :COLUMNS]
    heads = [f"{name}[{i}]" for i in range(shown_values.shape[1])]
    texts = [written(row) if row.size else [] for row in shown_values]
    if array.shape[1] > COLUMNS:
        heads, texts = [*heads, f"... {array.shape[1]} in all"], [[*row, "⋯"] for row in texts]
    return heads, texts


def _name(i: int, count: int) -> str:
    return ("x", "y")[i] if count == 2 else "x" if count == 1 else f"array {i}"


def _arrays(dataset: TensorDataset) -> Html:
    """Return the first examples of arrays, as they are held: nothing is augmented or transformed."""
    arrays = dataset.arrays
    if not len(arrays[0]):
        return paragraphs("no examples")
    first = [to_host(array[:PICTURES]) for array in arrays]
    images = pixels_of(first[0])
    if images is not None:
        labels = first[1].tolist() if len(first) > 1 and first[1].ndim == 1 else [""] * len(images)
        return _pictures(images, labels)
    heads, texts = [], [[] for _ in first[0][:ROWS]]  # type: tuple[list[str], list[list[str]]]
    for i, array in enumerate(first):
        names, cells = _columns(_name(i, len(first)), array[:ROWS])
        heads += names
        for row, more in zip(texts, cells, strict=True):
            row += more
    rest = len(arrays[0]) - len(texts)
    note = paragraphs(f"and {counted(rest, 'more example')}" if rest else "")
    return join([table(heads, texts, numbers=range(len(heads))), note])


def _shapes(dataset: TensorDataset) -> Html:
    count = len(dataset.arrays)
    rows = [
        (soft(_name(i, count)), code(array.shape), array.dtype, device_of(array).replace("cpu", ""))
        for i, array in enumerate(dataset.arrays)
    ]
    return table((), rows, line=(0, 1, 2))


def _dataset(dataset: TensorDataset) -> Html:
    changes = {"batches are augmented": dataset.augment, "batches are transformed": dataset.transform}
    notes = [
        f"{words} by {name}" if (name := named(change)) else words
        for words, change in changes.items()
        if change is not None
    ]
    head = heading(type(dataset).__name__, counted(len(dataset), "example"), *notes)
    return join([head, _shapes(dataset), _arrays(dataset)])


def _image_data(data: ImageData) -> Html:
    sizes = f"{len(data.train_images):,} examples for training, {len(data.test_images):,} for testing"
    captions = [
        data.classes[label] if label < len(data.classes) else label
        for label in data.train_labels[:PICTURES].tolist()
    ]
    images = data.train_images[:PICTURES]
    images = images if images.ndim == 4 else images[:, None]
    return join([
        heading(data.name, sizes, f"images {data.shape}", f"{len(data.classes)} classes"),
        _pictures(images, captions) if len(images) else paragraphs("no examples"),
        paragraphs(f"{data.credit}; license: {data.license}"),
    ])  # fmt: skip


def _loader(loader: DataLoader) -> Html:
    dataset = loader.dataset
    state = loader.state_dict()
    order = "shuffled anew each epoch" if loader.shuffle else "in the order of the data set"
    left_out = ", an incomplete last one left out" if loader.drop_last else ""
    rows = {
        "batches": f"{len(loader):,} of {loader.batch_size:,} examples{left_out}",
        "order": f"{order}, seed {loader.seed}",
        "position": f"epoch {state['epoch']}, {state['batch']} batches handed out",
    }
    if loader.prefetch:
        rows["prefetch"] = f"{loader.prefetch} batches, by a thread"
    if loader.device != "cpu":
        rows["device"] = loader.device
    inner = _dataset(dataset) if isinstance(dataset, TensorDataset) else _unknown(dataset)
    return join([heading("DataLoader"), facts(dict(rows)), inner])


def _unknown(dataset: Sized) -> Html:
    """Describe a data set of the user's, of which reading an example may take long or change something."""
    return heading(type(dataset).__name__, counted(len(dataset), "example"))


dataset_html = shown(_dataset)
image_data_html = shown(_image_data)
loader_html = shown(_loader)
