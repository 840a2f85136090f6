"""Random programs in the making, and the form of an operation in them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")


class Draft:
    """A program in the making, with the values that its slots have in PyTorch so far."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.values: list[torch.Tensor] = []
        self.leaves = 0

    def below(self, n: int) -> int:
        return int(self.rng.integers(n))

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def pick(self, things: Any) -> Any:
        return things[self.below(len(things))]

    def shape(self, slot: int) -> tuple[int, ...]:
        return tuple(self.values[slot].shape)

    def floats(self) -> list[int]:
        return [i for i, v in enumerate(self.values) if v.is_floating_point()]

    def integers(self) -> list[int]:
        return [i for i, v in enumerate(self.values) if v.dtype in _INDEX_TYPES]

    def floating(self, least: int = 0, derived: bool = False) -> int | None:
        """Pick a float, one of the last with preference."""
        fits = [i for i in self.floats() if len(self.shape(i)) >= least and (not derived or i >= self.leaves)]
        if not fits:
            return None
        return self.pick(fits[-3:]) if self.chance(0.5) else self.pick(fits)

    def numeric(self, least: int = 0) -> int | None:
        if self.chance(0.1):
            fits = [i for i in range(len(self.values)) if len(self.shape(i)) >= least]
            return self.pick(fits) if fits else None
        return self.floating(least)

    def broadcast(self, a: int, b: int) -> bool:
        """Whether two slots broadcast, by a rule for the dtype on which NumPy and PyTorch agree."""
        x, y = self.values[a], self.values[b]
        if torch.bool in (x.dtype, y.dtype) or (x.dtype != y.dtype and (x.ndim == 0) != (y.ndim == 0)):
            return False
        with contextlib.suppress(ValueError):
            np.broadcast_shapes(x.shape, y.shape)
            return True
        return False

    def joins(self, a: int, b: int, axis: int) -> bool:
        first, second = list(self.shape(a)), list(self.shape(b))
        if len(first) != len(second) or self.values[a].dtype != self.values[b].dtype:
            return False
        first[axis] = second[axis] = 0
        return first == second

    def multiplies(self, a: int, b: int) -> bool:
        x, y = self.values[a], self.values[b]
        if x.dtype != y.dtype or not x.ndim or not y.ndim:
            return False
        with contextlib.suppress(RuntimeError):
            torch.matmul(x.detach(), y.detach())
            return True
        return False

    def fits_index(self, slot: int, size: int, negative: bool = True) -> bool:
        index = self.values[slot].long()
        return bool(((index >= (-size if negative else 0)) & (index < size)).all())


_INDEX_TYPES = (torch.int64, torch.int32, torch.uint8, torch.int16, torch.int8)


class Op(NamedTuple):
    """An operation here and there.

    Attributes
    ----------
    draw : callable
        Of a `Draft`: the slots and settings of a step, or None where nothing fits.
    ours, theirs : callable
        Of the arguments, then the settings.
    effect : str
        "" for a new value, "view" for one that shares memory, "name" for the same Tensor once more;
        "write" where the memory of a slot changes outside the graph, "assign" in it; "hook"; "refusal"
        for what must raise.
    """

    draw: Callable[[Draft], Any]
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    effect: str = ""


OPS: dict[str, Op] = {}


def axes_of(draft: Draft, ndim: int) -> Any:
    """Draw an axis, several, or None."""
    if ndim == 0 or draft.chance(0.2):
        return None
    if draft.chance(0.3):
        count = draft.below(ndim) + 1
        return tuple(int(i) for i in draft.rng.permutation(ndim)[:count])
    return draft.below(2 * ndim) - ndim


def named_axis(draft: Draft, ndim: int) -> int:
    return draft.below(2 * ndim) - ndim


def dims(x: Any, axis: Any) -> Any:
    return tuple(range(x.ndim)) if axis is None else axis
