"""The picture of a race: paths on the surface, losses, and for each optimizer a dial with its arrows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy

from ...files.figures import new_figure
from ...training.many.looks import looks
from .dials import Dial, legend_handles
from .race import Race
from .surfaces import Array, Surface
from .trajectories import TOLERANCE, Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, GRAY = "#222222", "#66707c"
LOW, HIGH = "#ffffff", "#b3bfcc"  # light, so that every color of a path stands out
LABEL = (0.2, 0.05)
"""About the width and height of a label, as shares of the window's."""


class RacePicture:
    """The figure of a race; `show` sets how far it has run.

    Parameters
    ----------
    race : Race
        The race.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        The whole picture.
    colors : list of str
        Those that must not be taken for each other.
    moving : list of matplotlib.artist.Artist
        The artists that `show` changes, and those that they must not hide, from the lowest to the highest.
    """

    def __init__(self, race: Race) -> None:
        self.figure = new_figure("RacePicture", 12, 6.6)
        self.race = race
        count = len(race.trajectories)
        columns = min(count, 3 if count < 7 else 4)
        rows = -(-count // columns)
        parts: Any = self.figure.subfigures(1, 2, width_ratios=(1.2, 1))
        left, right = parts
        above, below = right.subfigures(2, 1, height_ratios=(1, 0.55 + 0.6 * rows))
        self._looks = looks([t.entry.label for t in race.trajectories])
        self.colors = list(dict.fromkeys([INK, "#ffffff", *(str(look["color"]) for look in self._looks)]))
        self._paths = [self._path(t) for t in race.trajectories]
        self._surface, self._losses = left.subplots(), above.subplots()
        marks = draw_surface(self._surface, race.surface)
        self._draw_losses()
        cells = list(numpy.atleast_1d(below.subplots(rows, columns)).flat)
        self._dials = [
            Dial(axes, t, look) for axes, t, look in zip(cells, race.trajectories, self._looks, strict=False)
        ]
        for axes in cells[count:]:
            axes.set_axis_off()
        below.legend(
            handles=legend_handles(), loc="outside lower center", ncols=2, frameon=False, fontsize=8.5
        )
        self._moment = below.suptitle(" ", fontsize=10)
        left.suptitle(f"{race.surface.name}:  {race.surface.formula}", fontsize=11)
        every = max(1, race.steps // 20)
        self._lines, self._heads, self._curves = [], [], []
        for i, look in enumerate(self._looks):
            line = {**look, "markevery": (every, every), "zorder": 4 + i}
            (drawn,) = self._surface.plot([], [], linewidth=1.9, markersize=4.5, **line, **_halo())
            (head,) = self._surface.plot(
                [], [], **look, markersize=11, markeredgecolor="white", markeredgewidth=1.5, zorder=20 + i
            )
            (curve,) = self._losses.plot([], [], linewidth=1.5, markersize=3.5, **line)
            self._lines.append(drawn)
            self._heads.append(head)
            self._curves.append(curve)
        if every > 1:
            self._surface.set_xlabel(f"{race.surface.axes[0]}      (a marker every {every} steps)")
        self.moving = [*self._lines, *marks, *self._heads, *self._curves, self._moment]
        for dial in self._dials:
            self.moving += dial.moving
        self.moving.sort(key=lambda artist: artist.get_zorder())

    def _path(self, t: Trajectory) -> Array:
        """Return the positions, up to the edge of the window if it is left for good."""
        left = self.race.left(t)
        if left is None:
            return t.positions
        edge = crossing(t.positions[left - 1], t.positions[left], self.race.surface)
        return numpy.concatenate([t.positions[:left], [edge]])

    def _draw_losses(self) -> None:
        race, axes = self.race, self._losses
        self._heights = [race.heights(t) for t in race.trajectories]
        heights = numpy.concatenate(self._heights)
        positive = heights[(heights > 0) & (heights < numpy.inf)]
        # A race that starts where nothing is lower stays at 0, which a logarithm has no place for.
        first = self._heights[0][0] or positive.max(initial=1e-12)
        low = max(positive.min(initial=first), 1e-7 * first)
        self._floor = min(low / 2, TOLERANCE * first / 6)
        axes.set(yscale="log", xlim=(0, race.steps), ylim=(self._floor, 8 * first), xlabel="step")
        axes.set_ylabel(f"loss above {race.lowest}")
        axes.axhline(TOLERANCE * first, color=GRAY, linewidth=0.8, linestyle=(0, (2, 2)))
        goal = f"{TOLERANCE:.1%} of the start"
        axes.text(0.01 * race.steps, 0.8 * TOLERANCE * first, goal, fontsize=8, color=GRAY, va="top")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)

    def show(self, step: int, moment: int | None = None) -> None:
        """Draw the race up to a step.

        Parameters
        ----------
        step : int
            How many steps are drawn.
        moment : int, optional
            The number, from 0, of the step that the dials show, by default the last of them. Where it
            begins is marked on the paths.
        """
        last = max(step - 1, 0) if moment is None else moment
        self._moment.set_text(f"Step {last + 1} of {self.race.steps}, from the large markers")
        for path, height, line, head, curve, dial in zip(
            self._paths, self._heights, self._lines, self._heads, self._curves, self._dials, strict=True
        ):
            line.set_data(*path[: step + 1].T)
            at = path[min(last, len(path) - 1)]
            head.set_data([at[0]], [at[1]])
            shown = numpy.maximum(height[: step + 1], self._floor / 100)  # a logarithm has no place for 0
            curve.set_data(numpy.arange(len(shown)), shown)
            dial.show(last)

    def label(self) -> None:
        """Write its name next to each path, far from the others, and mark the paths that left the window."""
        race = self.race
        x0, x1, y0, y1 = race.surface.window
        names = [t.entry.label.partition(":")[0] for t in race.trajectories]
        gone: list[Array] = []
        for t, path, name, spot, look in zip(
            race.trajectories, self._paths, names, label_spots(self._paths, race.surface), self._looks,
            strict=True,
        ):  # fmt: skip
            text = name if names.count(name) == 1 else t.entry.label
            left, lines = race.left(t), 0
            if left is not None:
                spot = path[-1]
                cross: dict[str, Any] = {"color": look["color"], "markersize": 12, "markeredgewidth": 3}
                self._surface.plot(*spot, "x", zorder=40, clip_on=False, **cross)
                text += f" left at step {left}"
                lines = sum(
                    bool((abs(spot - other) < (0.4 * (x1 - x0), 0.05 * (y1 - y0))).all()) for other in gone
                )
                gone.append(spot)
            right, high = spot[0] > (x0 + x1) / 2, spot[1] > y0 + 0.9 * (y1 - y0)
            self._surface.annotate(
                text, spot, xytext=(-9 if right else 9, -6 - 14 * lines if high else 4 + 14 * lines),
                textcoords="offset points", color=look["color"], fontsize=10, fontweight="bold",
                ha="right" if right else "left", va="top" if high else "bottom", zorder=50,
                annotation_clip=False, **_halo(),
            )  # fmt: skip


def draw_surface(axes: Axes, surface: Surface) -> list[Any]:
    """Draw contours, start and minima.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        The axes to draw on.
    surface : Surface
        The surface.

    Returns
    -------
    list of matplotlib.artist.Artist
        The marks of start and minima.
    """
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize

    x0, x1, y0, y1 = surface.window
    x, y = numpy.meshgrid(numpy.linspace(x0, x1, surface.grid), numpy.linspace(y0, y1, surface.grid))
    values = surface.function(x, y)
    # A plane through a network may lie lower in places than at its trained weights.
    heights = values - min(surface.least, float(values.min()))
    top = float(heights.max())
    if surface.log:
        bottom = max(float(numpy.quantile(heights, 0.002)), 1e-5 * top)
        levels = numpy.geomspace(bottom, top, 19)
        norm: Any = LogNorm(bottom, top)
    else:
        levels = numpy.linspace(0, top, 15)
        norm = Normalize(0, top)
    colors = LinearSegmentedColormap.from_list("heights", [LOW, HIGH])
    axes.contourf(x, y, numpy.maximum(heights, levels[0]), levels, cmap=colors, norm=norm, extend="both")
    lines = axes.contour(x, y, heights, levels, colors="#8391a1", linewidths=0.6)
    axes.clabel(lines, levels[1::3], fmt=_height, fontsize=7, colors=GRAY)
    axes.set(xlim=(x0, x1), ylim=(y0, y1), xlabel=surface.axes[0], ylabel=surface.axes[1])
    star: dict[str, Any] = {"color": INK, "markersize": 15, "markeredgecolor": "white", "zorder": 45}
    ring: dict[str, Any] = {"color": "white", "markersize": 10, "markeredgecolor": INK, "zorder": 3}
    marks: list[Any] = [*axes.plot(*surface.start, "o", markeredgewidth=2, **ring)]
    for minimum in surface.minima:
        marks += axes.plot(*minimum, "*", **star)
    for text, place in (("start", surface.start), (surface.goal, surface.minima[0])):
        marks.append(
            axes.annotate(
                text, place, xytext=(0, -9), textcoords="offset points", ha="center", va="top", color=INK,
                fontsize=10, zorder=50, **_halo(),
            )
        )  # fmt: skip
    return marks


def _height(height: float) -> str:
    return f"{height:,.0f}" if height > 99 else f"{height:.2g}"


def crossing(inside: Array, outside: Array, surface: Surface) -> Array:
    """Return where the way from a point inside the window to one outside meets its edge.

    Examples
    --------
    >>> from tinygrad_adam.explain import SURFACES
    >>> crossing(numpy.array([0.0, 1.0]), numpy.array([1e9, 1.0]), SURFACES["saddle"])
    array([2., 1.])
    """
    x0, x1, y0, y1 = surface.window
    middle, half = numpy.array([x0 + x1, y0 + y1]) / 2, numpy.array([x1 - x0, y1 - y0]) / 2
    begin, end = (inside - middle) / half, (outside - middle) / half
    ways = [(numpy.sign(b) - a) / (b - a) for a, b in zip(begin, end, strict=True) if abs(b) > 1]
    return middle + half * (begin + min(ways) * (end - begin))


def label_spots(paths: list[Array], surface: Surface) -> list[Array]:
    """Return for each path a place on it, inside the window, that is as far as can be from all others."""
    x0, x1, y0, y1 = surface.window
    size = numpy.array([x1 - x0, y1 - y0])
    low, high = numpy.array([x0, y0]) + 0.04 * size, numpy.array([x1, y1]) - 0.08 * size
    marks = numpy.array([surface.start, *surface.minima])
    taken = [*marks, *(marks - (0, LABEL[1] * size[1]))]  # their names stand below
    spots: list[Array] = []
    for i, path in enumerate(paths):
        inside = path[((path > low) & (path < high)).all(axis=1)]
        inside = inside if len(inside) else path[:1]
        others = numpy.concatenate([taken, *(other for j, other in enumerate(paths) if j != i)])
        gaps = numpy.linalg.norm((inside[:, None] - others[None]) / size, axis=2).min(axis=1)
        between = numpy.abs(inside[:, None] - numpy.array(taken)[None]) / size
        covered = ((between[..., 0] < LABEL[0]) & (between[..., 1] < LABEL[1])).any(axis=1)
        spots.append(inside[int((gaps - covered).argmax())])
        taken.append(spots[-1])
    return spots


def _halo() -> dict[str, Any]:
    from matplotlib.patheffects import withStroke

    return {"path_effects": [withStroke(linewidth=3.5, foreground="white", alpha=0.9)]}
