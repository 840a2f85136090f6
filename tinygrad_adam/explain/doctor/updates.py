"""What the optimizer does: how far each layer moves in a step, and whether eps drowns the second moment."""

from __future__ import annotations

import math
from typing import Any

from ...backend.device import backend_of
from .check import PERSISTENCE, Check, norm
from .finding import Finding

USUAL = 1e-3
"""Norm of the update over norm of the weights. CS231n, "Neural Networks Part 3": "this ratio should be
somewhere around 1e-3. If it is lower than this then the learning rate might be too low. If it is higher,
[...] too high"."""

LARGE = 0.1
"""A hundred times the usual, in `LOOKS` looks in a row after the first: the layer is new every few steps.
Adam moves each entry by its rate at first, so that the examples begin near 0.1; they are below 0.04 seven
steps later."""

WHOLE = 1.0
"""A single update as large as the weights."""

TINY_WEIGHTS = 0.01
"""Root mean square of weights that are meant to be left quickly; they may change as a whole."""

SMALL = 1e-6
"""Below this from the first look on, a thousand steps change a layer by less than a thousandth."""

LOOKS = 3
"""Looks in a row, for both."""

SWAMPED_SHARE = 0.5
"""The share of a layer's entries whose root of the second moment is below eps, of those that ever had a
gradient."""


class UpdateSizes(Check):
    """Finds layers whose updates are far too large or too small for their weights."""

    def __init__(self, doctor: Any) -> None:
        super().__init__(doctor)
        self.before: list[Any] = []
        self.largest: dict[int, float] = {}
        self.looks: dict[int, int] = {}
        self.rates: dict[int, float] = {}
        self.rising = False

    def step_begins(self, optimizer: Any) -> None:
        self.before = [storage.data.copy() for storages in optimizer._storages for storage in storages]

    def step_ends(self, optimizer: Any) -> None:
        storages = [storage for storages in optimizer._storages for storage in storages]
        for storage, before in zip(storages, self.before, strict=True):
            moved = storage.data - before
            for p, value, update in zip(
                storage.params, storage.views(before), storage.views(moved), strict=True
            ):
                weight = norm(value)
                if p.ndim > 1 and p._grad is not None and weight > 0:
                    tiny = weight < TINY_WEIGHTS * math.sqrt(p.size)
                    self._judge(optimizer, p, norm(update) / weight, tiny)
        rate = max(group["lr"] for group in optimizer.param_groups if "lr" in group)
        self.rising = rate > self.rates.get(id(optimizer), rate)  # a warm-up begins with tiny updates
        self.rates[id(optimizer)] = rate
        self.before = []

    def _judge(self, optimizer: Any, p: Any, ratio: float, tiny: bool) -> None:
        if not math.isfinite(ratio):
            return
        looks = self.looks[id(p)] = self.looks.get(id(p), 0) + 1
        largest = self.largest[id(p)] = max(ratio, self.largest.get(id(p), 0.0))
        lasting = self.lasts(("large", id(p)), ratio > LARGE and looks > 1, LOOKS)
        if lasting or (ratio > WHOLE and not tiny):
            self.doctor.find(("large", id(p)), lambda: self._words(optimizer, p, ratio, "large"))
        if looks >= LOOKS and largest < SMALL and not self.rising:
            self.doctor.find(("small", id(p)), lambda: self._words(optimizer, p, largest, "small"))

    def greatest(self) -> float:
        """Return the greatest ratio of any layer in any look."""
        return max(self.largest.values(), default=math.nan)

    def _words(self, optimizer: Any, p: Any, ratio: float, kind: str) -> Finding:
        large = kind == "large"
        rate = optimizer.param_groups[0].get("lr")
        return Finding(
            kind=f"{kind}-updates",
            what=f"{type(optimizer).__name__} changes {self.doctor.name(p)} by {ratio:.1e} of its norm in "
            "a step; "
            + (
                "the layer is new every few steps and cannot settle."
                if large
                else "at that pace it hardly leaves where it began."
            ),
            where=self.doctor.where(),
            remedy=(
                f"lower the learning rate, {rate:g} now, by ten; "
                if large
                else f"raise the learning rate, {rate:g} now, by ten; "
            )
            + "`tinygrad-adam lr-find` and training.lr_find measure what a network bears.",
            evidence=f"norm of the update over norm of the weights {ratio:.1e}, usual is {USUAL:.0e}; told "
            + (f"above {WHOLE:g}, or above {LARGE:g}" if large else f"below {SMALL:.0e}")
            + f" in {LOOKS} looks",
        )


class Epsilon(Check):
    """Finds layers in which eps is larger than the root of the second moment that it is added to."""

    def step_ends(self, optimizer: Any) -> None:
        for settings, storages in zip(optimizer.param_groups, optimizer._storages, strict=True):
            for storage in storages:
                name = (
                    "total" if "total" in storage.moments else "v_max" if "v_max" in storage.moments else "v"
                )
                if name not in storage.moments or "eps" not in settings or "rho" in settings:
                    continue  # Adadelta's eps is what its steps begin with
                for i, (p, v) in enumerate(
                    zip(storage.params, storage.views(storage.moments[name]), strict=True)
                ):
                    if p._grad is not None and p.ndim > 1:  # a bias before a BatchNorm has none to speak of
                        scalars = optimizer._scalars(settings, storage.steps[i])
                        self._judge(optimizer, p, v, scalars)

    def _judge(self, optimizer: Any, p: Any, v: Any, scalars: dict[str, Any]) -> None:
        eps, inside = scalars["eps"], scalars.get("eps_root", 0.0)
        correction = scalars.get("correction2", 1.0)
        limit = (inside if inside else eps**2) * correction
        xp = backend_of((v,)).xp
        moved = int(xp.count_nonzero(v))
        drowned = int(xp.count_nonzero(v < limit)) - (v.size - moved)
        if moved and self.lasts(("eps", id(p)), drowned > SWAMPED_SHARE * moved):
            middle = math.sqrt(float(xp.median(v[v > 0])) / correction)
            self.doctor.find(
                ("eps", id(p)),
                lambda: Finding(
                    kind="large-eps",
                    what=f"eps is larger than the root of the second moment for {drowned / moved:.0%} of "
                    f"the entries of {self.doctor.name(p)}. The division no longer evens out their "
                    f"gradients: {type(optimizer).__name__} becomes plain gradient descent there, with "
                    "the rate lr / eps.",
                    where=self.doctor.where(),
                    remedy=f"lower eps below {middle / 10:.0e}, or make the gradients larger: multiply "
                    "the loss, take a mean instead of dividing twice, look why the gradient vanishes.",
                    evidence=f"eps {math.sqrt(inside) if inside else eps:.1e}, median root of the second "
                    f"moment {middle:.1e}; told when more than {SWAMPED_SHARE:.0%} of the entries are "
                    f"below eps in {PERSISTENCE} looks",
                ),
            )
