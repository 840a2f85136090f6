"""The sizes of updates: how far each layer moves in a step, and whether eps drowns the second moment."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ...backend.device import backend_of, on_device_of
from ...nn import Parameter
from ...optim import Optimizer
from ...typing import Array
from ..optimizers import held, parameters_of, scalars_of
from .chart import Chart
from .check import PERSISTENCE, Check, norm

USUAL = 1e-3
"""Norm of the update over norm of the weights. CS231n, "Neural Networks Part 3": "this ratio should be
somewhere around 1e-3. If it is lower than this then the learning rate might be too low. If it is higher,
[...] too high"."""

LARGE = 0.3
"""In `LOOKS` looks in a row after the first: the layer is a new one every third step. Adam moves each entry
by its rate at first, so that the examples begin near 0.1; they are below 0.04 seven steps later. The most
that was seen of a network that learned well was 0.23, of tiny sigmoid layers under SGD."""

WHOLE = 1.0
"""A single update as large as the weights."""

TINY_WEIGHTS = 0.01
"""Root mean square of weights that are meant to be left quickly; they may change as a whole."""

SMALL = 1e-6
"""Below this from the first look on, a thousand steps change a layer by less than a thousandth."""

LEAST = 4
"""Numbers in a matrix from which on its norm tells a scale: one that is drawn at random may lie near 0."""

LOOKS = 3
"""Looks in a row, for both."""

SWAMPED_SHARE = 0.5
"""The share of a layer's entries whose root of the second moment is below eps, of those that ever had a
gradient."""

SECOND_MOMENTS = ("total", "v_max", "v")
"""The names of the moments whose root an optimizer takes: Adagrad, AMSGrad, the others."""


class UpdateSizes(Check):
    """Finds layers whose updates are far too large or too small for their weights."""

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.before: dict[int, Array] = {}
        self.largest: dict[int, float] = {}
        self.looks: dict[int, int] = {}
        self.rates: dict[int, float] = {}
        self.rising = False

    def step_begins(self, optimizer: Optimizer) -> None:
        self.before = {id(p): p._data.copy() for p in parameters_of(optimizer) if p.ndim > 1}

    def step_ends(self, optimizer: Optimizer) -> None:
        rate = max((group["lr"] for group in optimizer.param_groups if "lr" in group), default=math.nan)
        self.rising = rate > self.rates.get(id(optimizer), rate)  # a warm-up begins with tiny updates
        self.rates[id(optimizer)] = rate
        ratios = list(self._ratios(optimizer))
        large = [(ratio, p) for ratio, p, tiny in ratios if self._large(ratio, p, tiny)]
        small = [(self.largest[id(p)], p) for _, p, _ in ratios if self._small(p)]
        if large:
            self._words(optimizer, large, large=True)
        if small:
            self._words(optimizer, small, large=False)

    def _ratios(self, optimizer: Optimizer) -> Iterator[tuple[float, Parameter, bool]]:
        """Yield the ratio of each matrix that moved, and whether its weights are tiny."""
        for p in parameters_of(optimizer):
            if p.ndim < 2 or p._grad is None or (weight := norm(self.before[id(p)])) == 0:
                continue
            with on_device_of(p._data, "doctor"):
                ratio = norm(p._data - self.before[id(p)]) / weight
            if math.isfinite(ratio):
                self.looks[id(p)] = self.looks.get(id(p), 0) + 1
                self.largest[id(p)] = max(ratio, self.largest.get(id(p), 0.0))
                yield ratio, p, weight < TINY_WEIGHTS * math.sqrt(p.size)
        self.before = {}

    def _large(self, ratio: float, p: Parameter, tiny: bool) -> bool:
        lasting = self.lasts(("large", id(p)), ratio > LARGE and self.looks[id(p)] > 1, LOOKS)
        return lasting or (ratio > WHOLE and not tiny and p.size >= LEAST)

    def _small(self, p: Parameter) -> bool:
        # Without any gradient a layer does not move at all, and not for its learning rate.
        return self.looks[id(p)] >= LOOKS and 0 < self.largest[id(p)] < SMALL and not self.rising

    def greatest(self) -> float:
        """Return the greatest ratio of any layer in any look."""
        return max(self.largest.values(), default=math.nan)

    def _words(self, optimizer: Optimizer, layers: list[tuple[float, Parameter]], large: bool) -> None:
        ratio, p = max(layers, key=lambda layer: layer[0])
        others = f", and {len(layers) - 1} more," if len(layers) > 1 else ""
        rate = self.rates[id(optimizer)]
        self.find(
            ("large" if large else "small", id(optimizer)),
            kind="large-updates" if large else "small-updates",
            what=f"a step of {type(optimizer).__name__} changes {self.doctor.name(p)}{others} by "
            f"{ratio:.2g} times its norm: "
            + ("the layer is a new one, and cannot settle." if large else "it hardly leaves where it began."),
            where=self.doctor.where(),
            remedy=f"{'lower' if large else 'raise'} the learning rate, {rate:g} now, by ten; "
            "training.lr_find and `tinygrad-adam lr-find` measure what a network bears.",
            evidence=f"norm of the update over norm of the weights {ratio:.1e}, usual is {USUAL:.0e}; "
            + (f"reported above {WHOLE:g}, or above {LARGE:g}" if large else f"below {SMALL:.0e}")
            + f" in {LOOKS} looks",
        )


class Epsilon(Check):
    """Finds layers in which eps is larger than the root of the second moment that it is added to."""

    def step_ends(self, optimizer: Optimizer) -> None:
        drowned = []
        for _, p, steps, moments, settings in held(optimizer):
            name = next((name for name in SECOND_MOMENTS if name in moments), None)
            if name is None or "rho" in settings:
                continue  # Adadelta's steps begin with its eps
            if p._grad is not None and p.ndim > 1:  # a bias may have a gradient of zero by design
                look = self._drowned(moments[name], scalars_of(optimizer, settings, steps))
                if self.lasts(("eps", id(p)), look[0] > SWAMPED_SHARE):
                    drowned.append((*look, p))
        if drowned:
            self._words(optimizer, drowned)

    def _drowned(self, v: Array, scalars: dict[str, float]) -> tuple[float, float, float]:
        """Return the share of entries below eps, eps, and the middle root of the second moment."""
        eps, inside = scalars["eps"], scalars.get("eps_root", 0.0)
        correction = scalars.get("correction2", 1.0)
        limit = (inside or eps**2) * correction
        xp = backend_of((v,)).xp
        moved = int(xp.count_nonzero(v))
        below = int(xp.count_nonzero(v < limit)) - (v.size - moved)
        if below <= SWAMPED_SHARE * moved:
            return 0.0, 0.0, 0.0
        middle = math.sqrt(float(xp.median(v[v > 0])) / correction)
        return below / moved, math.sqrt(inside) if inside else eps, middle

    def _words(self, optimizer: Optimizer, drowned: list[tuple[float, float, float, Parameter]]) -> None:
        share, eps, middle, p = max(drowned, key=lambda layer: layer[0])
        others = f", and of {len(drowned) - 1} more" if len(drowned) > 1 else ""
        name = type(optimizer).__name__
        self.find(
            ("eps", id(optimizer)),
            kind="large-eps",
            what=f"eps is larger than the root of the second moment for {share:.0%} of the entries of "
            f"{self.doctor.name(p)}{others}. The division no longer evens out their gradients: {name} "
            "becomes plain gradient descent there, with the rate lr / eps.",
            where=self.doctor.where(),
            remedy=f"lower eps below {middle / 10:.0e}, or find out why the gradients are so small: a "
            "loss that is divided twice, or a gradient that vanishes.",
            evidence=f"eps {eps:.1e}, median root of the second moment {middle:.1e}; reported when more than "
            f"{SWAMPED_SHARE:.0%} of the entries are below eps in {PERSISTENCE} looks",
        )
