"""An optimizer with its settings, and a schedule with its curve."""

from __future__ import annotations

from collections.abc import Iterator

from ..files.text import counted
from ..optim import Optimizer, ReduceLROnPlateau, Schedule
from .charts import Curve, chart, hue_of
from .html import Html, code, facts, heading, join, paragraphs, shown, soft, table

POINTS = 300
"""The counts at which a curve is computed."""
HORIZON = 100
"""The steps that are shown of a schedule that has no end."""
LENGTHS = {"total_steps": 1.0, "t_max": 1.0, "total_iters": 1.25, "step_size": 5.0, "t_0": 3.0}
"""How often a setting fits into the steps that are worth showing."""
NAMED = 12
"""Parameters whose names are shown."""


def _optimizer(optimizer: Optimizer) -> Html:
    groups = optimizer.param_groups
    names = list(dict.fromkeys(name for group in groups for name in group if name != "params"))
    columns = ("", *(f"group {i}" for i in range(len(groups)))) if len(groups) > 1 else ()
    rows = [(soft(name), *(code(_setting(group.get(name))) for group in groups)) for name in names]
    rows.append((soft("parameters"), *(_parameters(optimizer, group["params"]) for group in groups)))
    sizes = sum(p.size for group in groups for p in group["params"])
    steps = max((count for _, storage in optimizer.storages() for count in storage.steps), default=0)
    taken = f"{counted(steps, 'step')} taken" + f", {optimizer.skipped:,} skipped" * bool(optimizer.skipped)
    head = heading(type(optimizer).__name__, counted(sizes, "number"), taken)
    return join([head, table(columns, rows, line=(0,))])


def _setting(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


def _parameters(optimizer: Optimizer, params: list[object]) -> Html:
    names = [optimizer.name_of(p) or str(i) for i, p in enumerate(params)]  # type: ignore[arg-type]
    more = f" ... and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return join([f"{len(names)}: ", code(", ".join(names[:NAMED])), soft(more)])


def _schedule(schedule: Schedule) -> Html:
    now = ", ".join(f"{lr:.4g}" for lr in schedule.last_lrs)
    head = heading(
        type(schedule).__name__,
        f"{counted(schedule.count, 'step')} taken",
        f"learning rate {now}",
    )
    if isinstance(schedule, ReduceLROnPlateau):
        return join([head, _plateau(schedule)])
    steps = max(horizon(schedule), round(schedule.count * 1.25)) + 1
    counts = sorted({*range(0, steps, max(1, steps // POINTS)), steps - 1})
    several = len(schedule.base_lrs) > 1
    curves = [
        Curve(f"group {i}" if several else "", list(_points(schedule, base_lr, counts)), hue_of(i))
        for i, base_lr in enumerate(schedule.base_lrs)
    ]
    curves.append(Curve("now", [(schedule.count, lr) for lr in schedule.last_lrs], "orange", mark=True))
    return join([head, chart(curves, "steps of the schedule", "learning rate", from_zero=True)])


def _points(schedule: Schedule, base_lr: float, counts: list[int]) -> Iterator[tuple[float, float]]:
    """Yield counts and learning rates, as far as a user's function knows them."""
    for count in counts:
        try:
            yield count, float(schedule.lr(base_lr, count))
        except Exception:
            return


def _plateau(schedule: ReduceLROnPlateau) -> Html:
    better = "lower" if schedule.mode == "min" else "higher"
    return join([
        paragraphs("The learning rate follows from the values that it watches: it has no curve yet."),
        facts({
            "better is": better,
            "best value so far": f"{schedule.best:.6g}",
            "values without improvement": f"{schedule.waited}; {schedule.patience} are allowed",
            "reductions": schedule.reductions,
        }),
    ])  # fmt: skip


def horizon(schedule: Schedule) -> int:
    """Return how many steps of a schedule are worth showing."""
    milestones = getattr(schedule, "milestones", [])
    parts = [horizon(part) for part in getattr(schedule, "schedulers", ())]
    if parts:  # one after the other, or all at once
        return int(milestones[-1] + parts[-1]) if milestones else max(parts)
    if milestones:
        return round(1.25 * milestones[-1]) + 1
    ends = [times * getattr(schedule, name, 0) for name, times in LENGTHS.items()]
    return round(max(ends)) or HORIZON


optimizer_html = shown(_optimizer)
schedule_html = shown(_schedule)
