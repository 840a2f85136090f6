"""Pictures of what a classifier of images answers."""

from __future__ import annotations

import os
from typing import Any

import numpy

from ..errors import optional
from ..files.writing import save_figure


def plot_predictions(
    images: Any,
    labels: Any,
    probabilities: Any,
    classes: tuple[str, ...],
    path: str | os.PathLike[str],
    columns: int = 10,
    rows: int = 4,
) -> None:
    """Draw images with what the model takes them for, its mistakes first shown last.

    Parameters
    ----------
    images : numpy.ndarray, shape (n, height, width) or (n, height, width, 3)
        Gray images or color images, in [0, 1].
    labels : numpy.ndarray, shape (n,)
        What they are.
    probabilities : numpy.ndarray, shape (n, classes)
        What the model answers.
    classes : tuple of str
        The names of the classes.
    path : path
        Where to save the picture.
    columns, rows : int
        The size of the grid. The last row holds the mistakes made with the most confidence.
    """
    with optional("plot_predictions", "cli"):
        from matplotlib.figure import Figure

    answers = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    wrong = numpy.flatnonzero(answers != labels)
    worst = wrong[numpy.argsort(-confidence[wrong])][:columns]
    first = numpy.arange(min(len(images), columns * (rows - 1)))
    figure = Figure(figsize=(columns * 0.95, rows * 1.25 + 0.5), layout="constrained")
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
