"""Sums over batches that stay on a GPU until they are read."""

from __future__ import annotations

from typing import Any

from ..backend.device import device_of, on_device_of, to_host
from ..typing import Array


class RunningSum:
    """A sum in float64 whose terms may be on a GPU.

    Reading each term from a GPU would make it wait for the host in every step. So the sum is computed on the
    GPU, by the same additions, and only `value` reads it.

    Parameters
    ----------
    value : float
        The first term.
    """

    def __init__(self, value: float = 0.0) -> None:
        self._value: Any = value

    def add(self, term: Array, times: int = 1) -> None:
        """Add a number, or an array with one element, so many times."""
        if device_of(term) == "cpu":
            self._value = self.value + float(term) * times
            return
        with on_device_of(term, "RunningSum"):
            self._value = term.astype("float64") * times + self._value

    @property
    def value(self) -> float:
        """The sum so far; on a GPU, this waits."""
        return float(to_host(self._value))
