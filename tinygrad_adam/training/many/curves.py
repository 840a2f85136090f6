"""A picture of a comparison: loss and accuracy against steps and against seconds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy

from ...errors import OptionError
from ...files.figures import new_figure, save_figure, tidy
from ...typing import Array
from ..config import RunConfig
from .comparison import Result
from .looks import looks

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

ERROR_TICKS = (90, 80, 50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05)


def errors(accuracies: Array) -> Array:
    """Return error rates in percent, at least 0.05, for an axis that `accuracy_axis` labels."""
    return numpy.maximum(100 * (1 - numpy.asarray(accuracies)), ERROR_TICKS[-1])


def accuracy_axis(axis: Axis) -> None:
    """Label an axis of `errors` with accuracies, on a logarithmic scale of the error, the best on top.

    Parameters
    ----------
    axis : matplotlib.axis.Axis
        An axis or the long one of a color bar.
    """
    from matplotlib.ticker import NullLocator

    axis.axes.set_yscale("log")
    low, high = axis.get_view_interval()
    ticks = [tick for tick in ERROR_TICKS if min(low, high) <= tick <= max(low, high)]
    if len(ticks) < 3:  # all accuracies are alike
        ticks = list(numpy.geomspace(low, high, 5)[1:-1])
    axis.set_ticks(ticks, [f"{100 - tick:.4g}" for tick in ticks])
    axis.set_minor_locator(NullLocator())
    axis.set_inverted(True)
    axis.set_label_text("validation accuracy, %")


def plot_comparison(
    config: RunConfig, results: Sequence[Result], path: str | os.PathLike[str] | None = None
) -> Figure:
    """Draw training loss and validation accuracy over steps and seconds: mean and range over the seeds.

    Parameters
    ----------
    config : RunConfig
        The configuration of every training.
    results : sequence of Result
        The results of `compare`; those that never ended well are left out.
    path : path, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    OptionError
        If no training ended well.
    """
    figure = new_figure("plot_comparison", 11.5, 7)
    from matplotlib.ticker import LogLocator

    drawn = [result for result in results if result.ended]
    if not drawn:
        raise OptionError("compare", "no training ended well; there is nothing to draw")
    panels = figure.subplots(2, 2, sharey="row")
    for result, look in zip(drawn, looks([result.entry.label for result in drawn]), strict=True):
        for row, name in enumerate(("loss", "val_accuracy")):
            values = result.curve(name) if name == "loss" else errors(result.curve(name))
            for panel, along in zip(panels[row], ("step", "seconds"), strict=True):
                x = result.seconds() if along == "seconds" else result.curve("step").mean(axis=0)
                label = result.entry.label if row == 0 and along == "step" else None
                panel.plot(
                    x, values.mean(axis=0), linewidth=1.7, label=label, markersize=4.5,
                    markevery=max(1, len(x) // 10), **look,
                )  # fmt: skip
                panel.fill_between(
                    x, values.min(axis=0), values.max(axis=0), color=look["color"], alpha=0.1, linewidth=0
                )
    panels[0, 0].set_yscale("log")
    panels[0, 0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panels[0, 0].yaxis.set_major_formatter("{x:g}")
    panels[0, 0].set_ylabel("training loss")
    panels[0, 0].yaxis.set_minor_formatter("")
    accuracy_axis(panels[1, 0].yaxis)
    for panel, label in zip(panels[1], ("steps", "seconds of training"), strict=True):
        panel.set_xlabel(label)
    for panel in panels.flat:
        tidy(panel)
        panel.set_xlim(0, None)
    seeds = max(len(result.outcomes) for result in results)
    figure.suptitle(
        f"{config.model} on {config.data}, batches of {config.batch_size}: "
        + (f"mean of {seeds} seeds, shaded from the least to the greatest" if seeds > 1 else "one seed")
    )
    figure.legend(loc="outside right upper", frameon=False, title="best first")
    if path is not None:
        save_figure(figure, path)
    return figure
