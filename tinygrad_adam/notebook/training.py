"""Trainings: the trainer, its history, and the results of many trainings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy

from ..files.text import counted
from ..training.history import History
from ..training.loop import Trainer
from ..training.many.comparison import Comparison
from ..training.many.comparison import table as comparison_table
from ..training.many.curves import plot_comparison
from ..training.many.heatmap import plot_search
from ..training.many.lr_finder import WINDOW, Sweep
from ..training.many.search import Trials
from .charts import Curve, chart
from .html import Html, element, facts, heading, join, named, paragraphs, shown, soft, table
from .pictures import figure_image
from .tensors import written

MOST = 20
"""Epochs or trials that are shown; of more epochs, the first and the last ones."""
SHARES = ("accuracy",)
"""Words in the names of quantities that are written in percent."""


def history_table(history: History) -> Html:
    """Return the epochs as a table."""
    rows = history.rows
    if not rows:
        return paragraphs("no epoch is complete yet")
    names = list(dict.fromkeys(name for row in rows for name in row))
    between = len(rows) - MOST
    if between > 0:
        rows = [*rows[: MOST // 2], *rows[-MOST // 2 :]]
    cells = list(zip(*(_column(name, [row.get(name) for row in rows]) for name in names), strict=True))
    if between > 0:
        gap = ["⋮", soft(counted(between, "epoch")), *[""] * len(names)][: len(names)]
        cells.insert(MOST // 2, tuple(gap))
    return table(names, cells, numbers=range(len(names)))


def _column(name: str, values: Sequence[float | None]) -> list[object]:
    """Return a quantity over the epochs, its numbers with equally many digits; shares in percent."""
    numbers = [value for value in values if isinstance(value, float)]
    if any(word in name for word in SHARES) and all(0 <= value <= 1 for value in numbers):
        return [f"{value:.2%}" if isinstance(value, float) else _plain(value) for value in values]
    texts = iter(written(numpy.array(numbers))) if numbers else iter(())
    return [next(texts) if isinstance(value, float) else _plain(value) for value in values]


def _plain(value: object) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _history(history: History) -> Html:
    return join([
        heading("History", counted(len(history), "epoch"), ".plot() draws it"), history_table(history)
    ])  # fmt: skip


def _trainer(trainer: Trainer) -> Html:
    optimizer, model = trainer.optimizer, trainer.model
    rates = ", ".join(dict.fromkeys(f"{group['lr']:.4g}" for group in optimizer.param_groups))
    rows: dict[str, object] = {
        "model": f"{type(model).__name__}, {model.parameter_count():,} parameters",
        "loss": named(trainer.loss),
        "optimizer": f"{type(optimizer).__name__}, learning rate {rates}",
    }
    if trainer.metrics:
        rows["metrics"] = ", ".join(trainer.metrics)
    if trainer.schedule is not None:
        rows["schedule"] = f"{type(trainer.schedule).__name__}, advanced every {trainer.schedule_per}"
    if trainer.max_grad_norm is not None:
        rows["gradients"] = f"scaled down to a norm of {trainer.max_grad_norm:g}"
    if trainer.accumulate > 1:
        rows["step"] = f"of {trainer.accumulate} batches"
    if trainer.callbacks:
        rows["callbacks"] = ", ".join(type(callback).__name__ for callback in trainer.callbacks)
    if trainer.stop_reason:
        rows["stopped"] = trainer.stop_reason
    done = f"{counted(trainer.epoch, 'epoch')}, {counted(trainer.step, 'step')}"
    return join([heading(type(trainer).__name__, done), facts(rows), history_table(trainer.history)])


def _sweep(sweep: Sweep) -> Html:
    ends = f"{len(sweep.lrs)} learning rates from {sweep.lrs[0]:.2g} to {sweep.lrs[-1]:.2g}"
    curves = [Curve("a batch", list(zip(sweep.lrs, sweep.losses, strict=True)), "violet", "dotted")]
    curves.append(Curve(f"mean of {WINDOW}", list(zip(sweep.middles, sweep.smoothed, strict=True)), "blue"))
    suggestions = {
        "falls fastest at": sweep.steepest,
        "a decade below the minimum": sweep.decade_below_minimum,
    }
    found: dict[str, object] = {
        name: element("b", f"{lr:.3g}") for name, lr in suggestions.items() if lr is not None
    }
    # Losses of the divergence would press the rest flat.
    top = 1.25 * float(sweep.smoothed[: int(sweep.smoothed.argmin()) + 1].max())
    cut = [
        Curve(c.name, [(x, y if y <= top else math.nan) for x, y in c.points], c.hue, c.dash) for c in curves
    ]
    if sweep.steepest is not None:
        place = int(abs(sweep.middles - sweep.steepest).argmin())
        cut.append(
            Curve("falls fastest", [(sweep.steepest, float(sweep.smoothed[place]))], "orange", mark=True)
        )
    return join([
        heading("Learning rate sweep", ends, "the loss diverges" if sweep.diverged else "no divergence"),
        facts(found) if found else paragraphs("The loss never falls, so there is nothing to suggest."),
        chart(cut, "learning rate", "loss", log_x=True),
    ])  # fmt: skip


def _comparison(comparison: Comparison) -> Html:
    config = comparison.config
    columns, rows = comparison_table(comparison)
    return join([
        heading("Comparison", f"{config.model} on {config.data}", f"{config.epochs} epochs"),
        table(columns, rows, numbers=range(2, 6)),
        figure_image(lambda: plot_comparison(config, comparison), "loss and accuracy over steps and seconds"),
    ])  # fmt: skip


def _trials(trials: Trials) -> Html:
    config, names = trials.search.config, list(trials.search.space)
    ranked = sorted(trials, key=lambda trial: -(trial.val_accuracy or 0))[:MOST]
    measured = {"val_accuracy": "validation accuracy", "val_loss": "validation loss", "epoch": "best epoch"}
    columns = [_column(name, [trial.settings[name] for trial in ranked]) for name in names]
    columns += [_column(name, [getattr(trial, name) for trial in ranked]) for name in measured]
    columns.append([t.status if t.status == "ok" else element("b", t.status, kind="red") for t in ranked])
    heads = (*names, *measured.values(), "status")
    more = f"and {counted(len(trials) - MOST, 'more trial')}" if len(trials) > MOST else ""
    subject = f"{config.optimizer}, {config.model} on {config.data}"
    return join([
        heading("Search", subject, counted(len(trials), "trial")),
        table(heads, list(zip(*columns, strict=True)), numbers=range(len(heads) - 1)), paragraphs(more),
        figure_image(lambda: plot_search(trials.search, trials), "validation accuracy over the settings"),
    ])  # fmt: skip


history_html = shown(_history)
trainer_html = shown(_trainer)
sweep_html = shown(_sweep)
comparison_html = shown(_comparison)
trials_html = shown(_trials)
