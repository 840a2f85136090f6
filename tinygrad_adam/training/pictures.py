"""A picture of a classifier's predictions."""

from __future__ import annotations

import os

import numpy

from ..files.figures import new_figure, save_figure
from ..typing import Array


def plot_predictions(
    images: Array,
    labels: Array,
    probabilities: Array,
    classes: tuple[str, ...],
    path: str | os.PathLike[str],
    columns: int = 10,
    rows: int = 4,
) -> None:
    """Draw test images with the predicted classes; the last row holds the most confident mistakes.

    Parameters
    ----------
    images : numpy.ndarray, shape (n, height, width) or (n, height, width, 3)
        Gray images or color images, in [0, 1].
    labels : numpy.ndarray, shape (n,)
        The numbers of their classes.
    probabilities : numpy.ndarray, shape (n, classes)
        The model's predictions.
    classes : tuple of str
        The names of the classes.
    path : path
        Where to save the picture.
    columns, rows : int
        The size of the grid.
    """
    figure = new_figure("plot_predictions", columns * 0.95, rows * 1.25 + 0.5)
    answers = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    wrong = numpy.flatnonzero(answers != labels)
    worst = wrong[numpy.argsort(-confidence[wrong])][:columns]
    first = numpy.arange(min(len(images), columns * (rows - 1)))
    panels = figure.subplots(rows, columns, squeeze=False)
    right, mistaken = "#1b6e4a", "#b3261e"
    for panel in panels.flat:
        panel.set_axis_off()
    places = [*zip(panels.flat, first, strict=False), *zip(panels[-1], worst, strict=False)]
    for panel, i in places:
        panel.imshow(images[i], cmap="gray_r", interpolation="nearest")
        good = answers[i] == labels[i]
        note = classes[answers[i]] if good else f"{classes[answers[i]]}, not {classes[labels[i]]}"
        panel.set_title(f"{note}\n{confidence[i]:.0%}", color=right if good else mistaken, fontsize=8)
    accuracy = float((answers == labels).mean())
    figure.suptitle(
        f"{accuracy:.2%} of {len(labels):,} test images right; bottom row: the {len(worst)} most confident "
        f"of {len(wrong)} mistakes",
        fontsize=10,
    )
    save_figure(figure, path)
