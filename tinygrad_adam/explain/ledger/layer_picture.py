"""A picture of one step of a whole parameter: how its entries were moved, and where."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from ...errors import OptionError
from ...files.figures import new_figure, save_figure
from .ledgers import DISTRIBUTED, LayerLedger

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BAR, MARK = "#0072b2", "#d55e00"  # of Okabe and Ito
SUFFIXES = (".pdf", ".png", ".svg")
MAP = "PuOr"  # its ends differ without color vision, too


def plot_layer(layer: LayerLedger, path: str | os.PathLike[str] | None = None) -> Figure:
    """Draw how a step moved the entries of a parameter.

    Histograms of effective learning rates, of signal-to-noise ratios and of the ratio of update to value,
    with their medians, those that the optimizer has; and a map of the updates, the largest marked.

    Parameters
    ----------
    layer : LayerLedger
        The result of ``optimizer.explain(name)``.
    path : path, optional
        Where to save the picture, as PNG, SVG or PDF by its ending.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    OptionError
        If `path` has another ending.
    """
    if path is not None and Path(path).suffix.lower() not in SUFFIXES:
        raise OptionError("plot_layer", f"the picture must end in {', '.join(SUFFIXES)}", path=Path(path))
    names = [name for name in ("effective_lr", "snr", "ratio") if name in layer.lines]
    count = len(names) + 1
    figure = new_figure("plot_layer", 10.5, 7.2 if count > 2 else 3.9)
    panels = figure.subplots((count + 1) // 2, 2).flat
    for panel, name in zip(panels, names, strict=False):
        _histogram(panel, layer, name)
    _map(figure, panels[count - 1], layer)
    for panel in panels[count:]:
        panel.remove()
    figure.suptitle(
        f"{layer.optimizer}, step {layer.step} of {layer.parameter} {layer.shape}: the update's norm is "
        f"{layer.norm_ratio:.2g} of the weights'"
    )
    if path is not None:
        save_figure(figure, path)
    return figure


def _histogram(panel: Any, layer: LayerLedger, name: str) -> None:
    """Draw how the absolute values of a quantity are distributed, most of them over powers of ten."""
    line = layer.lines[name]
    values = numpy.abs(numpy.broadcast_to(line.value, numpy.shape(layer["update"])).astype(float)).reshape(-1)
    finite = values[numpy.isfinite(values)]
    logarithmic = name != "snr"
    there = finite[finite > 0] if logarithmic else finite
    panel.set_title(f"{DISTRIBUTED[name]}\n{line.symbol} = {line.formula}", fontsize=10)
    panel.spines[["top", "right"]].set_visible(False)
    panel.set_ylabel("entries")
    left_out = values.size - there.size
    if left_out:
        panel.set_xlabel(f"{left_out:,} entries that are 0 or have none are left out", fontsize=9)
    if not there.size:
        return
    from matplotlib.ticker import MaxNLocator

    low, high = there.min(), there.max()
    bins = int(numpy.clip(2 * numpy.sqrt(there.size), 8, 40))
    if logarithmic:
        if high / low < 1.5:  # all alike
            low, high = low / 2, high * 2
        edges = numpy.geomspace(low, high, bins + 1)
        panel.set_xscale("log")
    else:
        edges = numpy.linspace(0, max(high, 1.0), bins + 1)
    panel.hist(there, edges, color=BAR)
    median = layer.distribution(name)["median"]
    panel.axvline(median, color=MARK, linewidth=2)
    panel.annotate(
        f" median {median:.3g} ", (median, 0.93), xycoords=("data", "axes fraction"),
        color=MARK, fontsize=9, ha="left" if median < numpy.sqrt(low * high) or not logarithmic else "right",
    )  # fmt: skip
    panel.margins(y=0.15)
    panel.yaxis.set_major_locator(MaxNLocator(5, integer=True))


def _map(figure: Any, panel: Any, layer: LayerLedger) -> None:
    """Draw the update of every entry, a row of the parameter a row, and number the largest."""
    update = numpy.atleast_1d(numpy.asarray(layer["update"], float))
    shape = update.shape
    table = update.reshape(shape[0], -1) if update.ndim > 1 else update.reshape(1, -1)
    from matplotlib.patheffects import withStroke
    from matplotlib.ticker import MaxNLocator

    limit = numpy.nanmax(numpy.abs(table[numpy.isfinite(table)]), initial=0.0) or 1.0
    image = panel.imshow(table, cmap=MAP, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    bar = figure.colorbar(image, ax=panel, fraction=0.05)
    bar.ax.set_title("update", fontsize=9)
    halo = [withStroke(linewidth=3, foreground="w")]
    order = numpy.argsort(-numpy.abs(table), axis=None, kind="stable")[:5]
    for number, place in enumerate(order, 1):
        row, column = numpy.unravel_index(place, table.shape)
        panel.plot(
            column, row, "o", markersize=13, markerfacecolor="none", markeredgecolor="k", path_effects=halo
        )
        panel.annotate(
            str(number), (column, row), (9, 7), textcoords="offset points", fontsize=9, fontweight="bold",
            path_effects=halo,
        )  # fmt: skip
    panel.set_title("update of each entry; 1 to 5 moved most\ntheta_t = theta_{t-1} - update", fontsize=10)
    rows = "row that has a gradient" if layer.rows is not None else "first axis"
    panel.set_ylabel(rows if table.shape[0] > 1 else "")
    panel.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    panel.yaxis.set_major_locator(MaxNLocator(8, integer=True))
    if table.shape[0] == 1:
        panel.set_yticks([])
    panel.set_xlabel("the other axes, side by side" if len(shape) > 2 else "entry")
