"""Draw a picture of the results: ``python -m benchmarks.picture [results.json [picture.png]]``."""

from __future__ import annotations

import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any

from .tables import RESULTS, number
from .workloads import WORKLOADS

PICTURE = Path("docs/images/speed.png")
INK, FAINT, BACKGROUND = "#1f2328", "#8b949e", "#ffffff"
SLOWER, FASTER, OURS = "#0072b2", "#d55e00", "#1f2328"
"""Blue and vermilion of Okabe and Ito (2008), distinguishable with any color vision; ink for this package."""


def ratios(rows: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return the ratio of each peer's median to ours, by workload: ours first, then by average speed."""
    found: dict[str, dict[str, float]] = {}
    for row, result in rows.items():
        for name, times in result["peers"].items():
            found.setdefault(name, {})[row] = times["median"] / result["peers"]["ours"]["median"]
    order = {name: statistics.fmean(map(math.log, of.values())) for name, of in found.items()}
    return {name: found[name] for name in sorted(found, key=lambda name: (name != "ours", order[name]))}


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw the time per step relative to ours, with one panel per workload, and save it.

    Parameters
    ----------
    results : dict
        As written by ``python -m benchmarks``. Shows the BLAS setting ``"own"``, or else the first one.
    path : Path
        Of the PNG file.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    blas = "own" if "own" in results["blas"] else next(iter(results["blas"]))
    rows = {
        row: result
        for row, result in results["blas"][blas]["rows"].items()
        if row in WORKLOADS and "ours" in result["peers"]
    }
    peers = ratios(rows)
    values = [value for of in peers.values() for value in of.values()]
    left, right = min(values) / 1.5, max(values) * 6  # room for the numbers next to the dots
    heights = {name: -i for i, name in enumerate(peers)}
    style = {"font.family": "sans-serif", "font.size": 9, "text.color": INK, "figure.facecolor": BACKGROUND}
    with plt.rc_context(style):
        figure, axes = plt.subplots(
            1,
            len(rows),
            figsize=(1.6 + 1.45 * len(rows), 1.35 + 0.26 * len(peers)),
            sharey=True,
            squeeze=False,
        )
        for axis, (row, result) in zip(axes[0], rows.items(), strict=True):
            panel(axis, row, result, peers, heights)
            axis.set_xlim(left, right)
        axes[0][0].set_yticks(list(heights.values()), list(heights), color=INK)
        for label in axes[0][0].get_yticklabels():
            label.set_fontweight("bold" if label.get_text() == "ours" else "normal")
        height = figure.get_figheight()
        legend = (
            ("Time of a training step, relative to tinygrad_adam (ours)", INK, "bold", 12, 0.22),
            ("\N{BLACK CIRCLE} slower than ours", SLOWER, "normal", 9, 0.46),
            ("\N{BLACK CIRCLE} faster than ours", FASTER, "normal", 9, 0.46),
        )
        for i, (text, color, weight, size, inches) in enumerate(legend):
            x = 0.008 if i < 2 else 0.008 + 1.35 / figure.get_figwidth()
            figure.text(x, 1 - inches / height, text, color=color, weight=weight, size=size)
        figure.text(
            0.008, 0.08 / height,
            f"Forward, backward, Adam, reading the loss; CPU, float32, {results['threads']} threads; "
            f"logarithmic scale. {results['machine']}; {results['date']}.",
            size=7.5, color=FAINT,
        )  # fmt: skip
        figure.tight_layout(rect=(0, 0.2 / height, 1, 1 - 0.52 / height), w_pad=0.6)
        figure.savefig(path, dpi=200)
        plt.close(figure)


def panel(
    axis: Any, row: str, result: dict[str, Any], peers: dict[str, Any], heights: dict[str, int]
) -> None:
    """Draw one workload: a dot for each peer, connected to the line of ours."""
    axis.set_xscale("log")
    axis.axvline(1, color=INK, linewidth=1)
    for name, y in heights.items():
        if row not in peers[name]:
            axis.text(1.25, y, "\N{EN DASH}", va="center", color=FAINT)
            continue
        value = peers[name][row]
        color = OURS if name == "ours" else SLOWER if value >= 1 else FASTER
        axis.plot([1, value], [y, y], color=color, linewidth=1.6, solid_capstyle="butt")
        axis.plot([value], [y], "o", color=color, markersize=5)
        ms = number(result["peers"][name]["median"] * 1e3)
        text = (
            f"{ms} ms"
            if name == "ours"
            else f"{value:.{1 if 1 <= value < 10 else 0 if value >= 10 else 2}f}\N{MULTIPLICATION SIGN}"
        )
        axis.annotate(
            text, (max(value, 1), y), xytext=(6, 0), textcoords="offset points", va="center", size=8,
            color=color, weight="bold" if name == "ours" else "normal",
            bbox={"color": BACKGROUND, "pad": 0.6},
        )  # fmt: skip
    kind, shape, *_ = result["title"].partition(",")[0].split(maxsplit=1)
    axis.set_title(f"{row}  {kind}\n{shape}", loc="left", size=8.5, color=INK)
    axis.set_xticks([1, 10, 100], ["1", "10", "100"])
    axis.minorticks_off()
    axis.grid(axis="x", color="#d8dee4", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(length=0, colors=FAINT, labelsize=8)
    axis.tick_params(axis="y", labelsize=9, labelcolor=INK)
    axis.spines[:].set_visible(False)


if __name__ == "__main__":
    source, target = (*map(Path, sys.argv[1:]), *(RESULTS, PICTURE)[len(sys.argv) - 1 :])
    draw(json.loads(source.read_text()), target)
