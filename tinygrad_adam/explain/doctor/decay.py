"""Weight decay that wins against the gradient: the weights go to 0, and nothing is learned."""

from __future__ import annotations

import math
from statistics import median
from typing import NamedTuple

from ...backend.device import on_device_of
from ...nn import Parameter
from ...optim import Optimizer
from ...typing import Array
from ..optimizers import held, scalars_of
from .chart import Chart
from .check import PERSISTENCE, Check, squares
from .curves import Curves

SHRUNK = 0.3
"""The share of the norm of a weight matrix at the start that is left; the median of the matrices counts.
Weights shrink in healthy runs, too, before a normalization layer above all; there the loss falls."""

LOSS_LEFT = 0.8
"""The share of the first losses that the last ones still have."""

WINDOW = 10
"""Losses whose median is compared."""


class _Look(NamedTuple):
    """The median share of their norms that weight matrices have left; squares of the changes."""

    left: float
    decay: float
    rest: float


class Decay(Check):
    """Compares the decay of the weights with the step that the gradients ask for."""

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.first: dict[int, float] = {}  # the norm of each weight matrix, by its id
        self.before: list[tuple[Parameter, Array, float]] = []
        self.won: dict[int, float] = {}

    def step_begins(self, optimizer: Optimizer) -> None:
        self.before = []
        left, decay, rest = [], 0.0, 0.0
        for _, p, steps, _, settings in held(optimizer):
            scalars = scalars_of(optimizer, settings, steps + 1)
            if p.ndim < 2 or p._grad is None or not math.isfinite(weight := squares(p._data)):
                continue
            left.append(self._left(p, weight))
            decay, rest = decay + scalars.get("l2", 0.0) ** 2 * weight, rest + squares(p._grad)
            if (shrink := scalars.get("shrink", 1.0)) != 1:
                self.before.append((p, p._data.copy(), 1 - shrink))
        if left and not self.before:
            self._judge(optimizer, _Look(median(left), decay, rest))

    def step_ends(self, optimizer: Optimizer) -> None:
        """Separate the decay from the rest of the step, where the optimizer decays by itself."""
        if not self.before:
            return
        left, decay, rest = [], 0.0, 0.0
        for p, before, share in self.before:
            with on_device_of(before, "doctor"):
                lost = before * share
                decay += squares(lost)
                rest += squares(p._data - before + lost)
                left.append(self._left(p, squares(p._data)))
        self.before = []
        self._judge(optimizer, _Look(median(left), decay, rest))

    def _left(self, p: Parameter, weight: float) -> float:
        """Return the share of the norm at the first look that a matrix has left, from its sum of squares."""
        first = self.first.setdefault(id(p), math.sqrt(weight))
        return math.sqrt(weight) / first if first > 0 else 1.0

    def _judge(self, optimizer: Optimizer, look: _Look) -> None:
        key = id(optimizer)
        if self.lasts(("stronger", key), look.decay > look.rest):
            self.won[key] = max(self.won.get(key, 0.0), math.sqrt(look.decay / max(look.rest, 1e-30)))
        curves = self.doctor.check_of(Curves)
        losses = next(iter(curves.losses.values()), [])
        if key not in self.won or look.left > SHRUNK or len(losses) < 2 * WINDOW:
            return
        first, now = median(losses[:3]), median(losses[-WINDOW:])
        if now > LOSS_LEFT * first > 0:
            self._words(optimizer, look.left, first, now)

    def _words(self, optimizer: Optimizer, left: float, first: float, now: float) -> None:
        amount = max(group.get("weight_decay", 0.0) for group in optimizer.param_groups)
        usual = "0.01 to 0.1" if "betas" in optimizer.param_groups[0] else "1e-4 to 5e-4"
        self.find(
            ("decay", id(optimizer)),
            kind="weight-decay",
            what="weight decay wins against the gradient: half of the weight matrices have shrunk to "
            f"{left:.0%} of their norm or less, and the loss is {now:.4g}, after {first:.4g} at the start. "
            "Weights near 0 give every input the same answer.",
            where=self.doctor.where(),
            remedy=f"lower weight_decay, {amount:g} now: {usual} are usual with {type(optimizer).__name__}.",
            evidence=f"decay over gradient {self.won[id(optimizer)]:.2g}, reported above 1 in {PERSISTENCE} "
            f"looks, when at most {SHRUNK:.0%} of the median norm and at least {LOSS_LEFT:.0%} of the loss "
            "are left",
        )
