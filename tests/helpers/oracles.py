"""What an operation must give: what NumPy makes of it, independent of the package, and PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Oracle:
    """What an operation must give; it takes the settings of the call by keyword.

    Attributes
    ----------
    expected : callable
        The same in NumPy.
    torch : callable or str
        The same in PyTorch, given the module and its tensors, or why there is no such thing.
    smooth : int
        How many derivatives exist; finite differences check as many. 0 at a kink or a tie, where
        `gradient` says which subgradient is meant.
    gradient : callable, optional
        Of the arrays: the gradients of the sum of the outputs, one for each input.
    """

    expected: Callable[..., Any]
    torch: Callable[..., Any] | str
    smooth: int = 2
    gradient: Callable[..., Any] | None = None


ORACLES: dict[str, Oracle] = {}
"""By operation; by the name of the row where one row is different."""


def oracle(names: str, expected: Callable[..., Any], torch: Callable[..., Any] | str, **more: Any) -> None:
    """Enter an oracle, by one name or by several with bars between."""
    for name in names.split(" | "):
        assert name not in ORACLES, name
        ORACLES[name] = Oracle(expected, torch, **more)


# --- How to call PyTorch, which is imported only when its tests run ---------------------------


def functional(name: str, **renamed: str) -> Callable[..., Any]:
    """Call a function of torch.nn.functional; it has other names for some settings."""
    return lambda torch, *tensors, **settings: getattr(torch.nn.functional, name)(
        *tensors, **{renamed.get(key, key): value for key, value in settings.items()}
    )


def named(name: str, **renamed: str) -> Callable[..., Any]:
    """Call a function of torch; it has other names for some settings."""
    return lambda torch, *tensors, **settings: getattr(torch, name)(
        *tensors, **{renamed.get(key, key): value for key, value in settings.items()}
    )
