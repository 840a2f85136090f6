"""Charts of a few curves as SVG within HTML, in the colors of the theme; nothing to install."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .html import Html, element, join
from .style import HUES, accent

WIDTH, HEIGHT = 430.0, 150.0
LEFT, BOTTOM, TOP, RIGHT = 58.0, 34.0, 10.0, 14.0
DASHES = {"dashed": "6 3", "dotted": "2 3"}


@dataclass(frozen=True)
class Curve:
    """Points that are joined by a line.

    Attributes
    ----------
    name : str
        In the legend; empty for none.
    points : sequence of (float, float)
        From left to right. Points that are not finite leave a gap.
    hue : str
        A name in `HUES`.
    dash : str
        "dashed", "dotted", or empty.
    mark : bool
        Whether the points are drawn as dots.
    """

    name: str
    points: Sequence[tuple[float, float]]
    hue: str = "blue"
    dash: str = ""
    mark: bool = False


def hue_of(number: int) -> str:
    """Return the hue of a curve by its number; after the last, the first comes again."""
    return list(HUES)[(2 + number) % len(HUES)]


def chart(
    curves: Sequence[Curve],
    across: str,
    up: str,
    log_x: bool = False,
    log_y: bool = False,
    from_zero: bool = False,
) -> Html:
    """Return a chart.

    Parameters
    ----------
    curves : sequence of Curve
        At least one of them with a finite point.
    across, up : str
        The names of the axes.
    log_x, log_y : bool
        Whether an axis is logarithmic; values that are not positive are left out.
    from_zero : bool
        Whether the vertical axis begins at 0.
    """
    ok = [p for curve in curves for p in curve.points if _drawable(p, log_x, log_y)]
    horizontal = _Axis([x for x, _ in ok], LEFT, WIDTH - RIGHT, log_x)
    vertical = _Axis([y for _, y in ok] + [0.0] * from_zero, HEIGHT - BOTTOM, TOP, log_y)
    parts = [_line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, 0.6)]
    for value in horizontal.ticks():
        x = horizontal(value)
        parts += [
            _line(x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 4, 0.6),
            _text(x, HEIGHT - BOTTOM + 15, f"{value:.6g}"),
        ]
    for value in vertical.ticks():
        y = vertical(value)
        parts += [_line(LEFT, y, WIDTH - RIGHT, y, 0.15), _text(LEFT - 6, y + 4, f"{value:.3g}", "end")]
    middle = (HEIGHT - BOTTOM + TOP) / 2
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 2, across))
    parts.append(Html(f'<g transform="translate(11 {middle:g}) rotate(-90)">{_text(0, 0, up)}</g>'))
    for curve in curves:
        parts += _drawn(curve, horizontal, vertical, log_x, log_y)
    names = ", ".join(curve.name for curve in curves if curve.name)
    picture = element(
        "svg", element("title", f"{up} over {across}"), *parts,
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}", width=f"{WIDTH:g}", role="img", fill="none",
    )  # fmt: skip
    return join([picture, _legend(curves) if names else ""])


def _legend(curves: Sequence[Curve]) -> Html:
    entries = [
        element(
            "span",
            element("span", _sign(curve), kind=curve.hue),
            f" {curve.name}   ",
            style="white-space: pre",
        )
        for curve in curves
        if curve.name
    ]
    return element("p", *entries)


def _sign(curve: Curve) -> str:
    if curve.mark:
        return "●"
    return {"dashed": "╌╌", "dotted": "┈┈"}.get(curve.dash, "━━")


def _drawable(point: tuple[float, float], log_x: bool, log_y: bool) -> bool:
    x, y = point
    return math.isfinite(x) and math.isfinite(y) and (x > 0 or not log_x) and (y > 0 or not log_y)


def _drawn(curve: Curve, across: _Axis, up: _Axis, log_x: bool, log_y: bool) -> list[Html]:
    """Return the line of a curve, broken where points cannot be drawn, or its dots."""
    color = f'stroke="currentColor" style="stroke: {accent(curve.hue)}"'
    places = [
        (f"{across(x):.1f} {up(y):.1f}" if _drawable((x, y), log_x, log_y) else "") for x, y in curve.points
    ]
    if curve.mark:
        dots = " ".join(f"M{place}h0" for place in places if place)
        return [Html(f'<path d="{dots}" stroke-width="7" stroke-linecap="round" {color}/>')]
    path, pen = "", "M"
    for place in places:
        path += f"{pen}{place}" if place else ""
        pen = "L" if place else "M"
    dash = f' stroke-dasharray="{DASHES[curve.dash]}"' if curve.dash else ""
    return (
        [Html(f'<path d="{path}" stroke-width="2" stroke-linejoin="round"{dash} {color}/>')] if path else []
    )


def _line(x0: float, y0: float, x1: float, y1: float, opacity: float) -> Html:
    return Html(
        f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" stroke="currentColor" stroke-opacity="{opacity}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str = "middle") -> Html:
    return element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", fill="currentColor", **{"text-anchor": anchor})


class _Axis:
    """The places of values along an axis."""

    def __init__(self, values: Sequence[float], begin: float, end: float, log: bool) -> None:
        self.log, self.begin, self.end = log, begin, end
        self.low, self.high = min(values), max(values)
        if self.low == self.high:  # one value stands in the middle
            self.low, self.high = (self.low / 2, self.high * 2) if log else (self.low - 0.5, self.high + 0.5)
            if not log and values[0] != 0 and abs(values[0]) < 0.5:
                self.low, self.high = sorted((0.0, 2 * values[0]))

    def __call__(self, value: float) -> float:
        low, high, value = (
            map(math.log, (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        return self.begin + (self.end - self.begin) * (value - low) / (high - low)

    def ticks(self) -> list[float]:
        """Return a few round values."""
        if self.log:
            powers = range(
                math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1
            )
            every = max(1, -(-len(powers) // 5))
            return [10.0**power for power in powers][::every] if len(powers) > 1 else [self.low, self.high]
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / 2))
        step *= next(times for times in (5, 2, 1) if times * step * 2 <= self.high - self.low)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [step * number for number in range(first, last + 1)]
