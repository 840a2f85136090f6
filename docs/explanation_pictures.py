"""Draw the pictures of the explanations and corrections from the variables of their pages' blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from pictures import BLACK, BLUE, GREEN, ORANGE, RED, save

from tinygrad_adam.training.many.looks import looks

LINES = (
    {"color": BLUE},
    {"color": ORANGE, "linestyle": "--"},
    {"color": GREEN, "linestyle": "-."},
    {"color": RED, "linestyle": (0, (1, 1))},
    {"color": BLACK, "linestyle": (0, (6, 1, 1, 1))},
)


def schedules(page: dict[str, Any]) -> Figure:
    """Draw the distance from the minimum by step."""
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    panel = figure.subplots()
    for (name, far), line in zip(page["ways"].items(), LINES, strict=True):
        panel.loglog(np.arange(1, len(far) + 1), far, label=name, **line)
    panel.set(title="Distance from the minimum, noisy gradients", xlabel="step", ylabel="distance")
    panel.legend(loc="lower left")
    return figure


def eps(page: dict[str, Any]) -> Figure:
    """Draw the length of a step by the size of the gradient."""
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    panel = figure.subplots()
    sizes = 10.0 ** np.arange(-12, 2.01, 0.25)
    for value, line in zip(page["curves"], LINES[:3], strict=True):
        steps = [page["step"](size, value) for size in sizes]
        panel.loglog(sizes, steps, label=f"eps = {value:g}", **line)
    panel.set(title="Length of a step along a constant gradient", xlabel="gradient", ylabel="step / lr")
    panel.set(ylim=(1e-5, 3))
    panel.legend(loc="lower right")
    return figure


def rare(page: dict[str, Any]) -> Figure:
    """Draw the distance that an entry moves, by the frequency of its gradients."""
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    panel = figure.subplots()
    shares = page["shares"]
    for (name, share), look in zip(shares.items(), looks([name.lower() for name in shares]), strict=True):
        # Adagrad's line lies below Adam's, so that only larger markers show it.
        size = 11 if name == "Adagrad" else 6
        panel.loglog(1 / page["every"], share / share[0], label=name, markersize=size, **look)
    panel.set(title="Distance that an entry moves", ylabel="relative to a gradient in every step")
    panel.set(xlabel="fraction of the steps with a gradient")
    panel.legend(loc="lower right")
    return figure


def corrections(page: dict[str, Any]) -> Figure:
    """Draw the step along a constant gradient: corrected, uncorrected, without the power."""
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    panel = figure.subplots()
    for (name, steps), line in zip(page["along_ones"].items(), LINES[:3], strict=True):
        panel.semilogx(np.arange(1, len(steps) + 1), steps, label=name, **line)
    panel.set(title="Steps along a constant gradient", xlabel="step", ylabel="step / lr", ylim=(0, None))
    panel.legend(loc="upper right")
    return figure


def draw(page: dict[str, Any], folder: Path) -> None:
    """Save the picture whose variables the page defines."""
    pictures = {"ways": schedules, "curves": eps, "shares": rare, "along_ones": corrections}
    for name, picture in pictures.items():
        if name in page:
            save(picture, page, folder / f"explanation-{picture.__name__}.png")
