"""Figures of matplotlib: made with one look, and saved whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OptionError, optional
from .writing import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .picture import Picture


def new_figure(where: str, width: float, height: float) -> Picture:
    """Return an empty figure of a size in inches, which a notebook shows as a picture.

    Raises
    ------
    OptionError
        If matplotlib is not installed; `where` names the function that needs it.
    """
    with optional(where, "cli"):
        from .picture import Picture

    return Picture(figsize=(width, height), layout="constrained")


def tidy(panel: Axes) -> None:
    """Draw a light grid, and no frame at the top and on the right."""
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Save a figure whole or not at all, in the format of the path's ending; PNG if it has none.

    Raises
    ------
    OptionError
        If matplotlib does not write such files.
    OSError
        If the file cannot be written.
    """
    target = Path(path)
    if not target.suffix:
        target = target.with_name(f"{target.name}.png")
    known = figure.canvas.get_supported_filetypes()
    ending = target.suffix[1:].lower()
    if ending not in known:
        raise OptionError(
            f"saving {target}", "a picture's name ends in .png, .svg, .pdf or another of these endings",
            known=", ".join(sorted(known)),
        )  # fmt: skip
    with replacing(target) as partial:
        figure.savefig(partial, format=ending, dpi=130)
