"""A figure that a notebook shows as a picture, whether pyplot was used or not."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.figure import Figure

SHARPNESS = 2
"""Pixels of the picture for one of the screen, so that it is sharp on a laptop and a projector."""


class Picture(Figure):
    """A figure that pyplot does not know, so that nothing shows it a second time.

    IPython shows a `Figure` as a picture only after pyplot has registered a printer for the class. It then
    prefers that printer to the method below, so there is one picture in each case.
    """

    def _repr_png_(self) -> tuple[bytes, dict[str, Any]]:
        """Return the picture as PNG, and the size in which a notebook shows it."""
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=SHARPNESS * self.dpi)
        width, height = self.bbox.size
        return file.getvalue(), {"width": round(width), "height": round(height)}
