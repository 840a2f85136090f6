"""The style of the pages' pictures, and the function that saves them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

# The palette of Okabe and Ito, distinguishable with any color vision; lines also differ in their dashes.
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
    """Draw a picture from the variables of a page, and save it with 48 colors, a third of the size."""
    pixels = io.BytesIO()
    with rc_context(STYLE):
        picture(page).savefig(pixels, dpi=110)
    Image.open(pixels).convert("RGB").quantize(48).save(path, optimize=True)
