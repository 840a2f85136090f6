"""A picture of a search: validation accuracy over one hyper-parameter or two."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy

from ...errors import OptionError
from ...files.figures import new_figure, save_figure, tidy
from ...typing import Array
from .curves import accuracy_axis, errors
from .search import Search, Trial, rank_trials
from .space import Range

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BAD, BEST = "#8c8c8c", "#d55e00"


def plot_search(search: Search, trials: list[Trial], path: str | os.PathLike[str] | None = None) -> Figure:
    """Draw the validation accuracy of all trials over the first two hyper-parameters of the space.

    A grid gives a table of cells, each the best over the other hyper-parameters; a random search gives
    points, the best on top. With one hyper-parameter it is a curve. Trials that did not end well are crosses.

    Parameters
    ----------
    search : Search
        The search.
    trials : list of Trial
        Its trials.
    path : path, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    OptionError
        If there is no trial.
    """
    figure = new_figure("plot_search", 6.8, 4.6)
    if not trials:
        raise OptionError("search", "there is no trial to draw")
    good = [trial for trial in trials if trial.status == "ok"]
    bad = [trial for trial in trials if trial.status != "ok"]
    in_cells = len(search.space) > 1 and search.trials is None
    axes = [_Axis(search, trials, name, as_list=in_cells) for name in list(search.space)[:2]]
    panel = figure.subplots()
    for axis, which in zip(axes, "xy", strict=False):
        axis.label(panel, which)
    draw = _draw_cells if in_cells else _draw_points if len(axes) > 1 else _draw_curve
    draw(figure, panel, good, bad, *axes)
    title = f"{search.config.optimizer}, {search.config.model} on {search.config.data}, "
    title += f"{search.config.epochs} epochs: {len(trials)} trials"
    if bad:
        title += f", {len(bad)} of them (x) did not end well"
    if in_cells and len(search.space) > 2:
        title += f"\neach cell is the best over {', '.join(list(search.space)[2:])}"
    figure.suptitle(title, fontsize=10)
    if path is not None:
        save_figure(figure, path)
    return figure


class _Axis:
    """The places of values on an axis: ranges on their scale, listed values side by side."""

    def __init__(self, search: Search, trials: list[Trial], name: str, as_list: bool) -> None:
        self.name = name
        values = search.space[name]
        self.range = values if isinstance(values, Range) and not as_list else None
        found = {repr(trial.settings[name]): trial.settings[name] for trial in trials}
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in found.values())
        self.values = sorted(found.values()) if numbers else list(found.values())
        self.mirrored = self.range is not None and self.range.scale == "one minus log"

    def __call__(self, trial: Trial) -> float:
        value = trial.settings[self.name]
        if self.range is None:
            return self.values.index(value)
        return 1 - value if self.mirrored else value

    def label(self, panel: Axes, which: str) -> None:
        axis = getattr(panel, f"{which}axis")
        axis.set_label_text(self.name)
        if self.range is None:
            axis.set_ticks(
                range(len(self.values)), [f"{v:.5g}" if type(v) is float else str(v) for v in self.values]
            )
            axis.set_view_interval(-0.5, len(self.values) - 0.5, ignore=True)
            return
        ends = numpy.array([self.range.low, self.range.high])
        if self.range.scale == "linear":
            margin = 0.04 * (ends[1] - ends[0])
            ends += (-margin, margin)
        else:
            ends = 1 - ends if self.mirrored else ends
            margin = 0.04 * numpy.log(ends[1] / ends[0])
            ends *= numpy.exp((-margin, margin))
            getattr(panel, f"set_{which}scale")("log")
        getattr(panel, f"set_{which}lim")(*ends)
        if self.mirrored:  # 0.9, 0.99, 0.999 at equal distances, growing to the right: the ends are turned
            axis.set_major_formatter(lambda rest, _: f"{1 - rest:.6g}")
            axis.set_minor_formatter("")


def _error(trial: Trial) -> float:
    return float("nan") if trial.val_accuracy is None else float(errors(trial.val_accuracy))


def _colors(found: Array) -> dict[str, Any]:
    """Return the mapping from errors to colors: light is good, and the best differ in color."""
    from matplotlib.colors import LogNorm

    low, high = numpy.nanmin(found), numpy.nanmax(found)
    return {"cmap": "viridis_r", "norm": LogNorm(low, max(high, 1.1 * low))}


def _draw_cells(
    figure: Figure, panel: Axes, good: list[Trial], bad: list[Trial], across: _Axis, up: _Axis
) -> None:
    from matplotlib.patches import Rectangle

    table = numpy.full((len(up.values), len(across.values)), numpy.nan)
    for trial in good:
        place = int(up(trial)), int(across(trial))
        table[place] = numpy.fmin(table[place], _error(trial))
    figure.set_size_inches(2.6 + 0.75 * max(5, table.shape[1]), 1.8 + 0.5 * max(4, table.shape[0]))
    for row, column in zip(*numpy.isnan(table).nonzero(), strict=True):
        panel.text(column, row, "x", ha="center", va="center", color=BAD, fontsize=14)
    if not good:
        return
    colors = _colors(table)
    image = panel.imshow(table, origin="lower", aspect="auto", **colors)
    for row, column in zip(*(~numpy.isnan(table)).nonzero(), strict=True):
        color = "w" if colors["norm"](table[row, column]) > 0.45 else "k"
        text = f"{100 - table[row, column]:.1f}"
        panel.text(column, row, text, ha="center", va="center", fontsize=9, color=color)
    winner = rank_trials(good)[0]
    corner = across(winner) - 0.5, up(winner) - 0.5
    panel.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=BEST, linewidth=3, clip_on=False))
    panel.spines[:].set_visible(False)
    accuracy_axis(figure.colorbar(image).ax.yaxis)


def _draw_points(
    figure: Figure, panel: Axes, good: list[Trial], bad: list[Trial], across: _Axis, up: _Axis
) -> None:
    tidy(panel)
    panel.set_axisbelow(True)
    panel.scatter([across(t) for t in bad], [up(t) for t in bad], marker="x", c=BAD, s=60)
    if good:
        good = sorted(good, key=_error, reverse=True)
        found = [_error(t) for t in good]
        dots = panel.scatter(
            [across(t) for t in good], [up(t) for t in good],
            c=found, s=90, edgecolors="#404040", linewidths=0.6, **_colors(found),
        )  # fmt: skip
        winner = rank_trials(good)[0]
        place = across(winner), up(winner)
        panel.scatter(*place, s=240, facecolors="none", edgecolors=BEST, linewidths=2)
        panel.annotate(f"{winner.val_accuracy:.1%}", place, (12, 10), textcoords="offset points", fontsize=9)
        accuracy_axis(figure.colorbar(dots).ax.yaxis)


def _draw_curve(figure: Figure, panel: Axes, good: list[Trial], bad: list[Trial], axis: _Axis) -> None:
    tidy(panel)
    good = sorted(good, key=axis)
    found = [_error(t) for t in good]
    panel.plot([axis(t) for t in good], found, "o-", color="#0072b2", markersize=5)
    panel.plot([axis(t) for t in bad], [max(found, default=90)] * len(bad), "x", color=BAD, markersize=8)
    if good:
        winner = rank_trials(good)[0]
        place = axis(winner), _error(winner)
        panel.plot(*place, "o", color=BEST, markersize=9)
        text = f"{axis.name}={winner.settings[axis.name]}: {winner.val_accuracy:.1%}"
        panel.annotate(text, place, (0, 9), textcoords="offset points", ha="center", fontsize=9)
    panel.margins(y=0.15)
    accuracy_axis(panel.yaxis)
