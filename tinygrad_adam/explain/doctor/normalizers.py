"""Normalizations over so few numbers that nothing but their order is left."""

from __future__ import annotations

import math

from ...engine.graph import Primitive, Variable
from ...files.text import counted
from ...typing import Args, Settings
from .check import PERSISTENCE, Check

FEW = 2
"""Numbers that are standardized together. Two become -1 and 1 whatever they were, and one becomes 0 (Wu & He,
2018, show how BatchNorm degrades with small batches)."""


class Normalizers(Check):
    """Finds BatchNorm of tiny batches, and other normalizations over one or two numbers."""

    def operation(self, primitive: Primitive, args: Args, settings: Settings, output: Variable) -> None:
        if primitive.name != "standardize":
            return
        shape, axes, place = output._data.shape, settings["axes"], self.doctor.place()
        count = math.prod(shape[axis] for axis in axes)
        if not self.lasts(("few", place), count <= FEW):
            return
        over = "the batch" if 0 in axes else "the features"
        self.find(
            ("few", place),
            kind="tiny-norm",
            what=f"the normalization of {shape} over {over} has {counted(count, 'number')} to "
            "normalize at a time: "
            + ("of two only the order is left, as -1 and 1." if count == 2 else "each becomes 0."),
            where=self.doctor.where(place),
            remedy="use larger batches, or LayerNorm or GroupNorm, which do not look at the batch."
            if 0 in axes
            else "normalize over more features, or leave the normalization out.",
            evidence=f"{count} at a time in {PERSISTENCE} looks; reported up to {FEW}",
        )
