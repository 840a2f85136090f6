"""How the pictures of the pages look, and how they are saved."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

# The palette of Okabe and Ito, which can be told apart with any color vision; lines differ in dashes too.
BLACK, ORANGE, SKY, GREEN, BLUE, RED = "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00"
GRAY = "#777777"
STYLE = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "xtick.minor.visible": False,
}


def save(picture: Callable[[dict[str, Any]], Figure], page: dict[str, Any], path: Path) -> None:
    """Draw a picture from the names of a page, and save it with few colors: a third of the size."""
    pixels = io.BytesIO()
    with rc_context(STYLE):
        picture(page).savefig(pixels, dpi=110)
    Image.open(pixels).convert("RGB").quantize(48).save(path, optimize=True)
