"""Dropout that leaves hardly anything."""

from __future__ import annotations

from ...engine.graph import Primitive, Variable
from ...engine.modes import is_grad_enabled
from ...typing import Args, Settings
from .check import Check

HEAVY = 0.75
"""The probability of dropping a unit. Srivastava et al. (2014), section 7.3, find the test error flat while
0.4 to 0.8 of the units are kept; so it is best for p between 0.2 and 0.6 here, and a p of 0.8 or 0.9 was
probably meant as the share to keep, as the paper and TensorFlow 1 count it."""


class Dropout(Check):
    """Finds dropout that drops nearly all units."""

    def operation(self, primitive: Primitive, args: Args, settings: Settings, output: Variable) -> None:
        if primitive.name != "dropout" or settings["p"] < HEAVY or not is_grad_enabled():
            return
        p, place = settings["p"], self.doctor.place()
        self.find(
            ("heavy", place),
            kind="heavy-dropout",
            what=f"dropout sets {p:.0%} of {output._data.shape} to 0 and multiplies the rest by "
            f"{1 / (1 - p):.3g}: little passes, and most of it is noise.",
            where=self.doctor.where(place),
            remedy=f"p is the share that is dropped, not the share that is kept: {1 - p:.2g} if {p:g} was to "
            "be kept. Usual are 0.1 to 0.5.",
            evidence=f"p = {p:g}; reported from {HEAVY:g} on",
        )
