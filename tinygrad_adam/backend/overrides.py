"""Which function computes: the reference, or a kernel that overrides it by name.

A forward rule, or the update of an optimizer, is readable array code that runs on any NumPy-like namespace:
the reference. ``kernels/cpu`` overrides some of them with Numba loops that make a single pass over memory,
``kernels/cuda`` with CUDA C. Without the folder ``kernels`` everything computes the same, more slowly.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any

from ..errors import unknown_name
from .scopes import scope

_PACKAGE = __name__.partition(".")[0]
KERNEL_SETS = ("fast", "reference")
_chosen: ContextVar[str] = ContextVar("tinygrad_adam_kernels", default="fast")


class Overrides(dict[str, Any]):
    """The kernels of one array library by name, each imported when first asked for; None where there is none.

    Parameters
    ----------
    folder : str
        The folder of ``kernels/`` that may hold some; its `KERNELS` say in which module.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder

    def __missing__(self, name: str) -> Any:
        self[name] = None
        package = f"{_PACKAGE}.kernels"
        if importlib.util.find_spec(package) is not None:
            folder = importlib.import_module(f"{package}.{self._folder}")
            home = next((module for module, names in folder.KERNELS.items() if name in names.split()), None)
            if home is not None and (self._folder != "cpu" or importlib.util.find_spec("numba") is not None):
                self[name] = getattr(importlib.import_module(f"{folder.__name__}.{home}"), name)
        return self[name]


class Rules(dict[Callable[..., Any], Callable[..., Any]]):
    """For each reference function, the function that computes it on one backend.

    That is the kernel of the same name, without underscores, if `kernels` has one; else the reference itself
    with the array namespace filled in. A function that shares its name with others, as the updates of
    optimizers do, names its kernel by an attribute ``kernel``. Only functions of this package are overridden,
    and remembered.
    """

    def __init__(self, xp: Any, kernels: Overrides | None = None) -> None:
        super().__init__()
        self._xp, self._kernels = xp, kernels

    def __missing__(self, reference: Callable[..., Any]) -> Callable[..., Any]:
        rule = partial(reference, self._xp)
        if reference.__module__.partition(".")[0] == _PACKAGE:
            name = getattr(reference, "kernel", None) or reference.__name__.strip("_")
            kernel = self._kernels[name] if self._kernels is not None else None
            self[reference] = rule = kernel or rule
        return rule


def fast_or_reference(reference: Callable[..., Any], backend: Any) -> Callable[..., Any]:
    """Return the function that computes `reference` on a backend, with the chosen kernels; see `Rules`."""
    rule: Callable[..., Any] = backend.rules[chosen_kernels()][reference]
    return rule


chosen_kernels = _chosen.get
"""Return the name of the kernel set in use in this context."""


@scope
def use_kernels(name: str) -> Iterator[None]:
    """Choose the kernel set inside a ``with`` block.

    Parameters
    ----------
    name : {"fast", "reference"}
        ``"fast"`` (the default outside any block) uses compiled kernels where there are some;
        ``"reference"`` uses plain array code only.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> with tg.use_kernels("reference"):
    ...     float(tg.tensor([0.0]).sigmoid().sum().item())
    0.5
    """
    if name not in KERNEL_SETS:
        raise unknown_name("use_kernels", "kernel set", name, KERNEL_SETS)
    token = _chosen.set(name)
    try:
        yield
    finally:
        _chosen.reset(token)
