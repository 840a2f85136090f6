"""Draw the pictures of docs/promises.md from the variables of its blocks; `pages.py` calls `draw`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from pictures import BLACK, BLUE, GRAY, ORANGE, RED, SKY, save

from tinygrad_adam.training.many.looks import looks

LINES = {
    name: {"color": look["color"], "linestyle": look["linestyle"]}
    for name, look in zip(
        ("Adam", "Adagrad", "RMSprop", "SGD, Nesterov"),
        looks(["adam", "adagrad", "rmsprop", "nesterov"]),
        strict=True,
    )
}


def steps(page: dict[str, Any]) -> Figure:
    """Draw section 2, the last step for each kind of gradients, and section 3, uncorrected first steps."""
    figure = Figure(figsize=(8.4, 3.1), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    took, place = page["took"][0.9, 0.999], np.arange(4)
    left.bar(place, took, width=0.6, color=[SKY, SKY, BLUE, BLUE])
    for x, step in zip(place, took, strict=True):
        left.text(x, step + 0.12, f"{step:.2f}", ha="center")
    left.axhline(took[1], color=RED, linestyle="--", linewidth=1.2)
    left.text(-0.4, took[1] + 0.12, "paper's bound", color=RED)
    left.axhline(took[3], color=BLACK, linewidth=1)
    left.text(-0.4, took[3] + 0.12, "Cauchy-Schwarz")
    left.set_xticks(place, ["constant", "one\nafter zeros", "ten\nafter zeros", "growing"])
    left.set(title="Last step, usual betas, by kind of gradients", ylabel="step / lr", ylim=(0, 8.3))
    left.grid(visible=False, axis="x")
    t = np.arange(1, 3001)
    for (beta2, wrong), color in zip(page["uncorrected"].items(), (ORANGE, BLUE, RED), strict=True):
        right.plot(t, wrong, color=color)
        right.text(12, wrong.max() + 0.4, f"uncorrected, β2 = {beta2}", color=color, ha="center")
    right.plot(t, np.ones_like(t), color=BLACK, linewidth=1)
    right.text(1.1, -0.4, "corrected", va="top")
    right.set(title="Steps along a constant gradient, β1 = 0.9", ylabel="step / lr", xlabel="step")
    right.set(xscale="log", ylim=(-2.5, 23))
    return figure


def bias(page: dict[str, Any]) -> Figure:
    """Draw section 3's version of figure 4 of the paper."""
    figure = Figure(figsize=(8.4, 4.2), layout="constrained")
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    for i, beta1 in enumerate((0.0, 0.9)):
        for panel, beta2 in zip(panels[i], (0.99, 0.999, 0.9999), strict=True):
            rates = 10.0 ** np.arange(-4, -0.9, 0.5)
            panel.plot(rates, page["figure4"][beta1, beta2, False], "s--", color=ORANGE, markersize=4)
            panel.plot(rates, page["figure4"][beta1, beta2, True], "o-", color=BLUE, markersize=4)
            panel.set(title=f"β1 = {beta1:g}, β2 = {beta2}", xscale="log", yscale="log")
            panel.set_yticks([0.05, 0.1, 0.2, 0.5, 1, 2], ["0.05", "0.1", "0.2", "0.5", "1", "2"])
            panel.minorticks_off()
    panels[0, 1].text(9e-4, 1.3, "corrected", color=BLUE)
    panels[0, 1].text(1.1e-4, 0.085, "uncorrected", color=ORANGE)
    figure.supxlabel("learning rate", fontsize=9)
    figure.supylabel("loss after three epochs", fontsize=9)
    return figure


def cost(page: dict[str, Any]) -> Figure:
    """Draw section 5: the time of a step per parameter."""
    figure = Figure(figsize=(6.2, 3.0), layout="constrained")
    panel = figure.subplots()
    n = np.array([*page["cost"]])
    adam, copy = np.array([*page["cost"].values()]).T / n * 1e9
    panel.loglog(n, adam, "o-", color=BLUE, markersize=4, label="a step of Adam")
    panel.fill_between(
        n, 7 / 3 * copy, 3.5 * copy, color=GRAY, alpha=0.3, linewidth=0, label="2.3 to 3.5 copies"
    )
    panel.loglog(n, copy, "s--", color=GRAY, markersize=4, label="a copy of one array")
    panel.legend(loc="upper center")
    panel.set(
        title="Time for each parameter, one thread", xlabel="parameters", ylabel="ns for each parameter"
    )
    return figure


def tracking(page: dict[str, Any]) -> Figure:
    """Draw section 6: the moving target and two optimizers that track it."""
    figure = Figure(figsize=(8.4, 3.0), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    t, target, last = page["t"], page["target"], len(page["t"])
    for panel, begin, end, title in zip(
        panels, (0, last - 6000), (6000, last), ("The first 6,000 steps", "The last 6,000"), strict=True
    ):
        window = slice(begin, end)
        panel.plot(t[window], target[window], color=BLACK, linewidth=3.5, alpha=0.25, label="target")
        for name in ("Adagrad", "Adam"):
            panel.plot(t[window], page["follow"][name][1:][window], **LINES[name], label=name, linewidth=1.1)
        panel.set(title=title, xlabel="step")
        panel.margins(x=0)
    panels[0].set_ylabel("x")
    panels[1].legend(*panels[1].get_legend_handles_labels(), loc="upper left", ncols=3)
    panels[0].set_ylim(-1.8, 4.6)
    return figure


def regret(page: dict[str, Any]) -> Figure:
    """Draw section 8: the average regret, and the counterexample."""
    figure = Figure(figsize=(8.4, 3.1), layout="constrained")
    left, right = figure.subplots(1, 2)
    marks, falls, stays = page["marks"], page["regret"]["lr / sqrt(t)"], page["regret"]["lr"]
    left.loglog(marks, stays, "s--", color=ORANGE, markersize=4)
    left.loglog(marks, falls, "o-", color=BLUE, markersize=4)
    left.loglog(marks, falls[2] * (marks / marks[2]) ** -0.5 * 1.5, color=GRAY, linewidth=1)
    left.text(marks[3], falls[3] * 2.1, "slope -1/2", color=GRAY)
    left.text(marks[-1], stays[-1] * 1.2, "lr", color=ORANGE, ha="right")
    left.text(marks[-1], falls[-1] * 0.55, "lr / sqrt(t)", color=BLUE, ha="right")
    left.set(title="Average regret on |x - a_t|", xlabel="T", ylim=(8e-4, 0.4))
    for name, look in zip(
        ("Adam", "AMSGrad", "Adam, usual betas"), looks(["adam", "amsgrad", "adam:usual"]), strict=True
    ):
        x = page["reddi"][name][0][::3]  # the positions before each large gradient
        right.plot(1 + 3 * np.arange(len(x)), x, color=look["color"], linestyle=look["linestyle"], label=name)
    right.axhline(-1, color=GRAY, linewidth=0.8)
    right.text(1.2, -0.93, "best point", color=GRAY)
    right.set(title="The counterexample of Reddi et al.: x", xlabel="step", xscale="log", ylim=(-1.1, 1.15))
    right.legend(loc="center right", bbox_to_anchor=(1, 0.6))
    return figure


def race(page: dict[str, Any]) -> Figure:
    """Draw sections 7 and 9: the losses of the best run of each optimizer."""
    figure = Figure(figsize=(8.4, 3.1), layout="constrained")
    left, right = figure.subplots(1, 2)
    for panel, runs, title in (
        (left, page["race"], "Sparse words with dropout (section 7)"),
        (right, page["logistic"], "Digits of 8x8 pixels (section 9)"),
    ):
        for name, losses in runs.items():
            panel.plot(1 + np.arange(len(losses)), losses, **LINES[name], label=name)
        panel.set(title=title, xlabel="epoch", ylabel="loss", yscale="log")
        panel.set_xticks(range(1, 6) if panel is left else (1, 5, 10, 15, 20))
        ticks = (0.25, 0.3, 0.4, 0.5, 0.7) if panel is left else (0.05, 0.1, 0.2, 0.4)
        panel.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        panel.minorticks_off()
        panel.legend()
    return figure


def draw(page: dict[str, Any], folder: Path) -> None:
    """Save all pictures in a folder."""
    for picture in (steps, bias, cost, tracking, regret, race):
        save(picture, page, folder / f"promises-{picture.__name__}.png")
