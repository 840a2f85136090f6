"""The curve of the loss: learning rates too high or too low, over- and underfitting."""

from __future__ import annotations

import math
from statistics import median

from ...engine.graph import Variable
from ...training import Trainer
from ..chain_rule.source_lines import SourceLine
from .chart import Chart, Place
from .check import Check
from .updates import UpdateSizes

DIVERGED = 2.0
"""How many times its first value the loss may be. CS231n, "Neural Networks Part 3": with a very high learning
rate the loss rises. In the examples it never rises above its first value."""

WINDOW = 10
"""Steps in a row in each of which it was that high: a few bad batches are not enough. The median of as many
stands for the present loss."""

LOW_STEPS = 100
"""Steps after which a loss should have begun to fall."""

LOW_FALL = 0.05
"""The share by which it must have fallen by then."""

LOW_UPDATES = 1e-4
"""Norm of the update over norm of the weights of the layer that moves most: a tenth of the usual 1e-3.
Without this, labels that cannot be learned would look like a low learning rate."""

OVERFIT_RISE = 0.1
"""The share by which the validation loss has risen above its best value, while the training loss fell.
Prechelt (1998), "Early stopping - but when?", calls it generalization loss; 5 to 10 % are usual for
stopping."""

OVERFIT_EPOCHS = 3
"""Epochs in a row in which it was that far above its best, and above the training loss: a network that knows
its examples by heart does better on them. Without the second, a validation loss that hovers near 0 would
count."""

UNDERFIT_SHARE = 0.8
"""The share of the loss of the first step that is left at the end: the network knows little more than it
did."""

UNDERFIT_EPOCHS = 5
"""Epochs before which it is too early to judge."""

UNDERFIT_SHARE_OF_STEPS = 0.9
"""The share that is left in a loop of one's own, whose epochs are not known: the examples may be noisy, and
not seen often. The most that was left of fifty random trainings that learn was 0.61."""

UNDERFIT_STEPS = 200
"""Steps before which it is too early to judge such a loop."""


class Curves(Check):
    """Follows the losses of the steps, as backward passes begin with them."""

    every_step = True

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.losses: dict[SourceLine | None, list[float]] = {}
        self.passes: dict[SourceLine | None, int] = {}

    def backward_begins(self, root: Variable) -> None:
        if root._data.size != 1:
            return
        place = self.doctor.place()
        self.passes[place.line] = self.passes.get(place.line, 0) + 1
        if not self.doctor.may_read(root._data):
            return
        losses = self.losses.setdefault(place.line, [])
        losses.append(float(root._data.reshape(-1)[0]))
        if self.doctor.close and len(losses) > WINDOW and math.isfinite(losses[-1]):
            self._judge(losses, place)

    def main(self) -> tuple[SourceLine | None, list[float]]:
        """Return the line of ``backward()`` that ran most often, and the losses there that are known."""
        line = max(self.losses, key=lambda line: self.passes[line], default=None)
        return line, self.losses.get(line, [])

    def complete(self) -> bool:
        """Return whether the loss of every step is known; on a GPU it is not."""
        return all(len(losses) == self.passes[line] for line, losses in self.losses.items())

    def words(self) -> str:
        """Return in words from where to where the loss went."""
        _, losses = self.main()
        if not losses:
            return "none was seen: no scalar's backward() was called"
        if len(losses) < 2 * WINDOW:
            return f"from {losses[0]:.4g} to {losses[-1]:.4g}, the first and the last"
        first, now = median(losses[:3]), median(losses[-WINDOW:])
        verdict = "it has risen: " if now > first else ""
        if 0 < UNDERFIT_SHARE_OF_STEPS * first < now <= first:
            verdict = "it has hardly fallen: "
        return f"{verdict}from {first:.4g} to {now:.4g}, medians of the first 3 and the last {WINDOW}"

    def _judge(self, losses: list[float], place: Place) -> None:
        first, now = median(losses[:3]), median(losses[-WINDOW:])
        if min(losses[-WINDOW:]) > DIVERGED * first > 0:
            self._high(first, now, len(losses), place)
        if len(losses) < LOW_STEPS or not now > (1 - LOW_FALL) * median(losses[:WINDOW]) > 0:
            return
        sizes = self.doctor.check_of(UpdateSizes)
        if 0 < sizes.greatest() < LOW_UPDATES and not sizes.rising:
            self._low(median(losses[:WINDOW]), now, len(losses), sizes.greatest(), place)

    def _rate(self) -> str:
        rates = [group["lr"] for o in self.doctor.optimizers for group in o.param_groups if "lr" in group]
        return f", {max(rates):g} now," if rates else ""

    def _high(self, first: float, now: float, steps: int, place: Place) -> None:
        self.find(
            ("high", place.line),
            kind="learning-rate-high",
            what=f"the loss rises instead of falling: from {first:.4g} at the start to {now:.4g} after "
            f"{steps} steps. Each step jumps over the valley and lands higher on the other side.",
            where=self.doctor.where(place),
            remedy=f"lower the learning rate{self._rate()} by ten, and look again. training.lr_find "
            "measures what a network bears.",
            evidence=f"median of the last {WINDOW} losses over the median of the first 3: {now / first:.3g}; "
            f"reported when all {WINDOW} are above {DIVERGED:g}",
        )

    def _low(self, first: float, now: float, steps: int, ratio: float, place: Place) -> None:
        self.find(
            ("low", place.line),
            kind="learning-rate-low",
            what=f"the loss has hardly moved in {steps} steps, from {first:.4g} to {now:.4g}, and neither "
            "have the weights.",
            where=self.doctor.where(place),
            remedy=f"raise the learning rate{self._rate()} by ten, and look again. training.lr_find "
            "measures what a network bears.",
            evidence=f"it fell by {1 - now / first:.1%}, reported below {LOW_FALL:.0%} after {LOW_STEPS} "
            f"steps; greatest update over weights {ratio:.1e}, reported below {LOW_UPDATES:.0e}",
        )


class Epochs(Check):
    """Compares training and validation loss, epoch by epoch, as a Trainer reports them.

    It judges last: a network that learns nothing is reported only if no other fault explains that.
    """

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.trainer: Trainer | None = None

    def epoch(self, trainer: Trainer) -> None:
        """Look at the rows of the history so far."""
        self.trainer = trainer
        rows = [row for row in trainer.history.rows if "val_loss" in row]
        if len(rows) <= OVERFIT_EPOCHS:
            return
        best = min(range(len(rows)), key=lambda i: rows[i]["val_loss"])
        after = rows[best + 1 :]
        above = 1 + OVERFIT_RISE
        if (
            len(after) >= OVERFIT_EPOCHS
            and all(
                row["val_loss"] > above * max(rows[best]["val_loss"], row["loss"])
                for row in after[-OVERFIT_EPOCHS:]
            )
            and after[-1]["loss"] < rows[best]["loss"]
        ):
            self._over(rows[best], after[-1])

    def validated(self) -> bool:
        """Return whether there was a validation loss."""
        return self.trainer is not None and any("val_loss" in row for row in self.trainer.history.rows)

    def end(self) -> None:
        curves = self.doctor.check_of(Curves)
        line, losses = curves.main()
        # Where there is another fault, a loss that does not fall is its consequence.
        if self.doctor.findings or self.doctor.error is not None or not losses:
            return
        first = median(losses[:3])
        if self.trainer is not None:
            rows = self.trainer.history.rows
            if len(rows) >= UNDERFIT_EPOCHS and rows[-1]["loss"] > UNDERFIT_SHARE * first > 0:
                epochs = f"{rows[-1]['epoch']:.0f} epochs"
                where = f"epoch {rows[-1]['epoch']:.0f} of the Trainer"
                limit = f"{UNDERFIT_SHARE:.0%} after {UNDERFIT_EPOCHS} epochs"
                self._under(first, rows[-1]["loss"], epochs, where, limit)
        elif len(self.doctor.optimizers) == 1:  # the losses of adversaries need not fall
            self._steps(first, losses, curves.passes[line], Place(None, line))

    def _steps(self, first: float, losses: list[float], steps: int, place: Place) -> None:
        now = median(losses[-WINDOW:])
        if (
            steps >= UNDERFIT_STEPS
            and now > UNDERFIT_SHARE_OF_STEPS * max(first, median(losses[:WINDOW])) > 0
        ):
            limit = f"{UNDERFIT_SHARE_OF_STEPS:.0%} after {UNDERFIT_STEPS} steps"
            self._under(first, now, f"{steps:,} steps", self.doctor.where(place), limit)

    def _over(self, best: dict[str, float], last: dict[str, float]) -> None:
        self.find(
            "overfitting",
            kind="overfitting",
            what=f"the training loss falls on, from {best['loss']:.4g} to {last['loss']:.4g}, but the "
            f"validation loss has risen from {best['val_loss']:.4g} in epoch {best['epoch']:.0f} to "
            f"{last['val_loss']:.4g} in epoch {last['epoch']:.0f}: the network learns its examples by "
            "heart.",
            where=f"epochs {best['epoch']:.0f} to {last['epoch']:.0f} of the Trainer",
            remedy=f"stop at epoch {best['epoch']:.0f} (EarlyStopping, or --patience); more data, "
            "augmentation, dropout or weight decay; or a smaller network.",
            evidence=f"validation loss {last['val_loss'] / best['val_loss'] - 1:.0%} above its best; "
            f"reported above {OVERFIT_RISE:.0%} in {OVERFIT_EPOCHS} epochs in a row",
        )

    def _under(self, first: float, last: float, after: str, where: str, limit: str) -> None:
        self.find(
            "underfitting",
            kind="underfitting",
            what=f"after {after} the training loss is {last:.4g}, not far below the {first:.4g} of the "
            "first step: the network does not even learn its own examples.",
            where=where,
            remedy="a larger network, more epochs, another learning rate, less dropout and weight decay. "
            "If a tiny part of the data cannot be learned by heart either, look at inputs and labels: do "
            "they belong together?",
            evidence=f"{last / first:.0%} of the first loss are left; reported above {limit} or more",
        )
