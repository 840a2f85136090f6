"""The learning rate over time: one that has come to 0, and schedules that count batches for epochs."""

from __future__ import annotations

from dataclasses import dataclass

from ...optim import Optimizer
from .chart import Chart
from .check import Check

GONE = 0.999e-3
"""The share of its greatest value below which a learning rate counts as gone. Half a cosine wave is there for
its last 2 %, a one-cycle schedule for its last 2 % as well, and three divisions by ten never."""

GONE_SHARE = 0.1
"""The share of the steps that may be taken with such a rate: the end of a planned schedule."""

GONE_STEPS = 20
"""The least number of such steps; a warm-up may begin at 0."""

EARLY = 0.1
"""The share of its greatest value to which the rate falls in the first epoch if a schedule meant for epochs
counts batches. Schedules that are planned in batches fall that far in the second half of a run."""

EARLY_STEPS = 0.9
"""The share of the first epoch in which it falls that far: a schedule that counts epochs moves when the first
is over, and where gradients are accumulated the doctor counts an epoch a step too long."""

EARLY_EPOCHS = 1.5
"""Epochs in which a rate that changes in most steps falls that far, as 0.9 to the power of the batch."""

EPOCHS = 3
"""The number of epochs after which the first one is early."""

LOW, HIGH = 0.5, 0.9
"""The shares of its greatest value between which a rate that falls and rises again makes a wave."""

WAVES = 3
"""Waves within one epoch. Smith (2017), "Cyclical learning rates for training neural networks", section 3.2,
has waves of 4 to 20 epochs."""


@dataclass
class _RateCurve:
    """The learning rates of an optimizer so far: the greatest of its groups at each step."""

    optimizer: Optimizer
    steps: int = 0
    greatest: float = 0.0
    rate: float = 0.0
    gone: int = 0
    changes: int = 0
    early_at: int | None = None
    where: str = ""
    waves: int = 0
    low: bool = False

    def add(self, rate: float) -> None:
        self.steps += 1
        self.changes += rate != self.rate and self.steps > 1
        self.rate = rate
        if rate > self.greatest:
            self.greatest, self.early_at = rate, None
        self.gone += rate <= GONE * self.greatest
        if rate <= EARLY * self.greatest and self.early_at is None:
            self.early_at = self.steps
        if rate <= LOW * self.greatest:
            self.low = True
        elif self.low and rate >= HIGH * self.greatest:
            self.low, self.waves = False, self.waves + 1


class Rates(Check):
    """Follows the learning rate of each optimizer; reads numbers of Python only."""

    every_step = True

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.curves: dict[int, _RateCurve] = {}

    def step_begins(self, optimizer: Optimizer) -> None:
        rates = [float(group["lr"]) for group in optimizer.param_groups if "lr" in group]
        if not rates:
            return
        curve = self.curves.setdefault(id(optimizer), _RateCurve(optimizer))
        curve.add(max(rates))
        if curve.gone == GONE_STEPS:
            curve.where = self.doctor.where()
        epoch = self.doctor.epoch
        if curve.greatest == 0:
            if curve.steps >= GONE_STEPS:
                self._zero(curve, "is 0 from the first step on")
        elif epoch is not None and curve.steps > epoch and not self._per_batch(curve, epoch):
            self._gone(curve)

    def end(self) -> None:
        if self.doctor.epoch is None:
            for curve in self.curves.values():
                self._gone(curve)

    def _per_batch(self, curve: _RateCurve, epoch: int) -> bool:
        """Report a schedule that went through its course within an epoch; return whether one may yet have."""
        steadily = curve.changes > curve.steps / 2
        latest = (EARLY_EPOCHS if steadily else EARLY_STEPS) * epoch
        early = (
            curve.early_at is not None and curve.early_at <= latest and curve.rate <= EARLY * curve.greatest
        )
        if not early and curve.waves < WAVES * curve.steps / epoch:
            return False
        if curve.steps >= EPOCHS * epoch:
            words = (
                f"fell from {curve.greatest:g} to a tenth of it in {curve.early_at} batches"
                if early
                else f"fell and rose again {curve.waves} times in {curve.steps} batches"
            )
            self.find(
                ("per batch", id(curve.optimizer)),
                kind="schedule-per-batch",
                what=f"the learning rate of {type(curve.optimizer).__name__} {words}, in the first of many "
                f"epochs; it is {curve.rate:.2g} now. The schedule counts batches where it is meant to "
                "count epochs.",
                where=self.doctor.where(),
                remedy="call schedule.step() once an epoch, after its last batch (a Trainer does, with "
                'schedule_per="epoch"); or plan it in batches: epochs * len(loader).',
                evidence=f"{curve.changes} changes in {curve.steps} steps, {epoch} steps an epoch; "
                f"reported after {EPOCHS} epochs when the rate has fallen below {EARLY:.0%} of the greatest "
                f"within {latest / epoch:g}",
            )
        return True

    def _gone(self, curve: _RateCurve) -> None:
        if (
            curve.gone >= GONE_STEPS
            and curve.gone > GONE_SHARE * curve.steps
            and curve.rate <= GONE * curve.greatest
        ):
            self._zero(curve, f"has come from {curve.greatest:g} to {curve.rate:.2g}")

    def _zero(self, curve: _RateCurve, words: str) -> None:
        self.find(
            ("gone", id(curve.optimizer)),
            kind="learning-rate-zero",
            what=f"the learning rate of {type(curve.optimizer).__name__} {words}: the weights stay as they "
            "are, whatever the gradients say.",
            where=curve.where or self.doctor.where(),
            remedy="plan the schedule for the whole run: as many steps as step() is called, epochs if it is "
            "called once an epoch, epochs * len(loader) if once a batch."
            if curve.changes
            else "give the optimizer a learning rate: 1e-3 for Adam, 0.1 for SGD.",
            evidence=f"{curve.gone} of {curve.steps} steps with less than {GONE / 0.999:g} of the "
            f"greatest rate, {curve.changes} changes; reported from {GONE_STEPS} steps on, above "
            f"{GONE_SHARE:.0%} of all",
        )
