"""The expected results of operations, from NumPy, independently of the package, and from PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Oracle:
    """The expected results of an operation; its functions take the settings of the call by keyword.

    Attributes
    ----------
    expected : callable
        The operation in NumPy.
    torch : callable or str
        The operation in PyTorch, called with the module and tensors, or the reason why there is none.
    smooth : int
        The number of derivatives that exist, all of which finite differences check. 0 at a kink or a tie,
        where `gradient` gives the expected subgradient.
    gradient : callable, optional
        Takes the arrays; returns the gradients of the sum of the outputs, one for each input.
    """

    expected: Callable[..., Any]
    torch: Callable[..., Any] | str
    smooth: int = 2
    gradient: Callable[..., Any] | None = None


ORACLES: dict[str, Oracle] = {}
"""Oracles by operation, or by the name of a single row that differs."""


def oracle(names: str, expected: Callable[..., Any], torch: Callable[..., Any] | str, **more: Any) -> None:
    """Register an oracle under one name, or several separated by bars."""
    for name in names.split(" | "):
        assert name not in ORACLES, name
        ORACLES[name] = Oracle(expected, torch, **more)


# --- How to call PyTorch, which is imported only when its tests run ---------------------------


def functional(name: str, **renamed: str) -> Callable[..., Any]:
    """Return a call of a function of torch.nn.functional, with some settings renamed."""
    return lambda torch, *tensors, **settings: getattr(torch.nn.functional, name)(
        *tensors, **{renamed.get(key, key): value for key, value in settings.items()}
    )


def named(name: str, **renamed: str) -> Callable[..., Any]:
    """Return a call of a function of torch, with some settings renamed."""
    return lambda torch, *tensors, **settings: getattr(torch, name)(
        *tensors, **{renamed.get(key, key): value for key, value in settings.items()}
    )


# --- In NumPy, for several families -----------------------------------------------------------


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))
