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

EPOCHS = 3
"""The number of epochs after which the first one is early."""

LOW, HIGH = 0.5, 0.9
"""The shares of its greatest value between which a rate that falls and rises again makes a wave."""

WAVES = 3
"""Waves within one epoch. Smith (2017), "Cyclical learning rates for training neural networks", section 3.2,
has waves of 4 to 20 epochs."""


@dataclass
class _Course:
    """The learning rates of an optimizer so far: the greatest of its groups at each step."""

    optimizer: Optimizer
    steps: int = 0
    greatest: float = 0.0
    rate: float = 0.0
    gone: int = 0
    changes: int = 0
    early_at: int | None = None
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
        self.courses: dict[int, _Course] = {}

    def step_begins(self, optimizer: Optimizer) -> None:
        rates = [float(group["lr"]) for group in optimizer.param_groups if "lr" in group]
        if not rates:
            return
        course = self.courses.setdefault(id(optimizer), _Course(optimizer))
        course.add(max(rates))
        epoch = self.doctor.epoch
        if course.greatest == 0:
            if course.steps >= GONE_STEPS:
                self._zero(course, "is 0 from the first step on")
        elif epoch is not None and course.steps > epoch and not self._per_batch(course, epoch):
            self._gone(course)

    def end(self) -> None:
        if self.doctor.epoch is None:
            for course in self.courses.values():
                self._gone(course)

    def _per_batch(self, course: _Course, epoch: int) -> bool:
        """Report a schedule that went through its course within an epoch; return whether one may yet have."""
        early = (
            course.early_at is not None
            and course.early_at <= epoch
            and course.rate <= EARLY * course.greatest
        )
        if not early and course.waves < WAVES * course.steps / epoch:
            return False
        if course.steps >= EPOCHS * epoch:
            words = (
                f"fell from {course.greatest:g} to a tenth of it in {course.early_at} batches"
                if early
                else f"fell and rose again {course.waves} times in {course.steps} batches"
            )
            self.find(
                ("per batch", id(course.optimizer)),
                kind="schedule-per-batch",
                what=f"the learning rate of {type(course.optimizer).__name__} {words}, in the first of many "
                f"epochs; it is {course.rate:.2g} now. The schedule counts batches where it is meant to "
                "count epochs.",
                where=self.doctor.where(),
                remedy="call schedule.step() once an epoch, after its last batch (a Trainer does, with "
                'schedule_per="epoch"); or plan it in batches: epochs * len(loader).',
                evidence=f"{course.changes} changes in {course.steps} steps, {epoch} steps an epoch; "
                f"reported when the rate is below {EARLY:.0%} of the greatest before the first epoch ends, "
                f"after {EPOCHS} epochs",
            )
        return True

    def _gone(self, course: _Course) -> None:
        if (
            course.gone >= GONE_STEPS
            and course.gone > GONE_SHARE * course.steps
            and course.rate <= GONE * course.greatest
        ):
            self._zero(course, f"has come from {course.greatest:g} to {course.rate:.2g}")

    def _zero(self, course: _Course, words: str) -> None:
        self.find(
            ("gone", id(course.optimizer)),
            kind="learning-rate-zero",
            what=f"the learning rate of {type(course.optimizer).__name__} {words}: the weights stay as they "
            "are, whatever the gradients say.",
            where=self.doctor.where(),
            remedy="plan the schedule for the whole run: as many steps as step() is called, epochs if it is "
            "called once an epoch, epochs * len(loader) if once a batch."
            if course.changes
            else "give the optimizer a learning rate: 1e-3 for Adam, 0.1 for SGD.",
            evidence=f"{course.gone} of {course.steps} steps with less than {GONE / 0.999:g} of the "
            f"greatest rate, {course.changes} changes; reported from {GONE_STEPS} steps on, above "
            f"{GONE_SHARE:.0%} of all",
        )
