"""One look for each optimizer: color, line and marker are the same in every picture that shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

# The colors of Okabe and Ito, which readers with color blindness can tell apart, without yellow, which is too
# light for a line; brown, purple and wine differ from them in lightness.
BLUE, VERMILION, GREEN, PINK, AMBER = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"
SKY, BLACK, BROWN, PURPLE, WINE = "#56b4e9", "#000000", "#8c510a", "#6a3d9a", "#882255"

SOLID, DASHED, DOTTED = "-", (0, (5, 1.5)), (0, (1.5, 1))
DASH_DOT, LONG, SHORT = (0, (6, 1.5, 1.5, 1.5)), (0, (8, 2)), (0, (3, 1))
DASHES = (SOLID, DASHED, DOTTED, DASH_DOT, LONG, SHORT)
MARKERS = "osD^vPX*h"

LOOKS: dict[str, tuple[str, Any, str]] = {
    "sgd": (VERMILION, DASHED, "o"),
    "momentum": (GREEN, DASH_DOT, "^"),
    "nesterov": (SKY, LONG, "v"),
    "adagrad": (PINK, SHORT, "D"),
    "rmsprop": (AMBER, DOTTED, "s"),
    "adam": (BLUE, SOLID, "P"),
    "adamw": (BLACK, DASHED, "X"),
    "adadelta": (BROWN, SOLID, "D"),
    "nadam": (PURPLE, DASH_DOT, "*"),
    "lion": (WINE, LONG, "h"),
    "amsgrad": (GREEN, DOTTED, "s"),
    "adamax": (GREEN, SOLID, "v"),
    "radam": (SKY, SOLID, "X"),
    "adabelief": (PURPLE, SHORT, "o"),
    "adabound": (BROWN, DASHED, "^"),
    "amsbound": (WINE, DOTTED, "*"),
    "rprop": (VERMILION, DOTTED, "h"),
}
"""Color, line and marker by the name of the optimizer or recipe."""

OTHER = ("#5f6b7a", SOLID, "o")
"""The look of an optimizer that is not in the table."""


def looks(labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return how to draw each of several optimizers, as arguments of ``Axes.plot``.

    Parameters
    ----------
    labels : sequence of str
        As `Entry.label` gives them: a name, perhaps with settings, as in ``"adam:lr=0.1"``. The second entry
        of one name keeps its color, and gets another line and marker.

    Returns
    -------
    list of dict
        ``color``, ``linestyle`` and ``marker`` of each.

    Examples
    --------
    >>> looks(["adam", "adam:lr=0.1"])[1]
    {'color': '#0072b2', 'linestyle': (0, (5, 1.5)), 'marker': 'X'}
    """
    seen: Counter[str] = Counter()
    found = []
    for label in labels:
        name = label.partition(":")[0]
        name = name if name in LOOKS else ""  # a user's own differ by line and marker
        color, dashes, marker = LOOKS.get(name, OTHER)
        line, sign = DASHES.index(dashes) + seen[name], MARKERS.index(marker) + seen[name]
        found.append(
            {
                "color": color,
                "linestyle": DASHES[line % len(DASHES)],
                "marker": MARKERS[sign % len(MARKERS)],
            }
        )
        seen[name] += 1
    return found
