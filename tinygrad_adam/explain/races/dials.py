"""The arrows of one step: gradient, momentum, root of the squares, and the step that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy

from .trajectories import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, BOX = "#222222", "#e3e7ec"


class Dial:
    """Shows a step of a trajectory in its own axes.

    The gradient and the first moment are drawn against their direction, for that is where they push. The
    root of the second moment is drawn as a box of that half-width and half-height: an optimizer that
    divides by it moves by the learning rate (but for bias corrections) where the arrow reaches the edge, and
    by less where it ends well inside. These three share a scale, which is set anew for each step. Of
    the step only the direction is drawn; its length is written.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        The axes to draw on.
    trajectory : Trajectory
        The trajectory to show.
    look : dict
        Color, marker and line style of the optimizer.

    Attributes
    ----------
    moving : list of matplotlib.artist.Artist
        The artists that `show` changes.
    """

    def __init__(self, axes: Axes, trajectory: Trajectory, look: dict[str, Any]) -> None:
        from matplotlib.patches import Rectangle

        self._trajectory = trajectory
        axes.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), xticks=[], yticks=[], aspect="equal")
        axes.spines[:].set_color("#c8cdd3")
        axes.axhline(0, color="#e3e7ec", linewidth=0.8, zorder=0)
        axes.axvline(0, color="#e3e7ec", linewidth=0.8, zorder=0)
        # The line and the marker of its path: the dials are the legend.
        at: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False}
        axes.plot([0.0, 0.1, 0.2], [1.075] * 3, linewidth=1.9, markevery=[1], **at, **look)
        name, _, settings = trajectory.entry.label.partition(":")
        axes.text(
            0.25, 1.04, name, transform=axes.transAxes, color=look["color"], fontsize=10, fontweight="bold"
        )
        lr = trajectory.entry.settings.get("lr")
        axes.text(-1.12, 1.12, settings.replace(",", "\n") or f"lr={lr:g}", fontsize=7.5, va="top", zorder=9)
        self._box: Any = axes.add_patch(Rectangle((0, 0), 0, 0, facecolor=BOX, edgecolor="#9aa3ad", zorder=1))
        arrows: dict[str, Any] = {
            "angles": "xy", "scale_units": "xy", "scale": 1, "units": "width", "minlength": 0,
        }  # fmt: skip
        self._step = axes.quiver(0, 0, 0, 0, color=look["color"], width=0.06, zorder=2, **arrows)
        self._momentum = axes.quiver(
            0, 0, 0, 0, width=0.035, facecolor="white", edgecolor=INK, linewidth=0.9, zorder=3, **arrows
        )
        self._gradient = axes.quiver(0, 0, 0, 0, color=INK, width=0.018, headwidth=5, zorder=4, **arrows)
        axes.set_xlabel(" ", fontsize=8, labelpad=4)  # room for the numbers, of whatever length
        self._scale = axes.text(0, -1.32, "", fontsize=7.5, ha="center", va="top", in_layout=False)
        self.moving = [self._box, self._step, self._momentum, self._gradient, self._scale]

    def show(self, step: int) -> None:
        """Show the step with this number, from 0; the last one if there are not so many."""
        t = self._trajectory
        if not len(t.steps):
            self._scale.set_text("diverged at once")
            return
        step = min(step, len(t.steps) - 1)
        nothing = numpy.zeros(2)
        gradient = t.gradients[step]
        momentum = nothing if t.first_moment is None else t.first_moment[step]
        root = nothing if t.root_second_moment is None else t.root_second_moment[step]
        unit = max(float(numpy.abs([gradient, momentum, root]).max()), 1e-300)
        self._gradient.set_UVC(*(-gradient / unit))
        self._momentum.set_UVC(*(-momentum / unit))
        width, height = 2 * root / unit
        self._box.set_bounds(-width / 2, -height / 2, width, height)
        length = float(numpy.linalg.norm(t.steps[step]))
        self._step.set_UVC(*(t.steps[step] / max(length, 1e-300)))
        over = t.diverged and step == len(t.steps) - 1
        numbers = f"|g| {numpy.linalg.norm(gradient):.3g}   |step| {length:.2g}"
        self._scale.set_text(f"diverged after step {len(t.steps)}" if over else numbers)


def legend_handles() -> list[Any]:
    """Return the entries of a legend that explains the dials."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Line2D([], [], color=INK, linewidth=1.6, marker=">", markersize=6, label="minus gradient g"),
        Line2D(
            [], [], color=INK, linewidth=0.9, marker=">", markersize=8, markerfacecolor="white",
            label="minus momentum, of past g",
        ),
        Patch(facecolor=BOX, edgecolor="#9aa3ad", label="± root of running squares of g"),
        Line2D([], [], color="#8a8a8a", linewidth=5, marker=">", markersize=9, label="direction of the step"),
    ]  # fmt: skip
