"""One table of kernels for each array library and each choice of kernel set.

``reference`` holds readable array code that runs on any NumPy-like namespace: the textbook and
the oracle. ``cpu`` overrides some of it with Numba loops that make a single pass over memory, ``cuda``
with kernels in CUDA C.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from types import ModuleType
from typing import Any

from ..errors import unknown_name
from ..kernels import reference_optim
from .scopes import scope

_PACKAGE = __name__.partition(".")[0]
KERNEL_SETS = ("fast", "reference")
_REFERENCE = (reference_optim,)
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


class KernelTable:
    """The kernels of one array library, each looked up the first time it is called.

    Parameters
    ----------
    xp : module
        The array namespace that the reference kernels run on.
    override : {"cpu", "cuda", None}
        The modules whose kernels take precedence where it has one of the name.
    """

    def __init__(self, xp: ModuleType, override: str | None) -> None:
        self._xp = xp
        self._override = override

    def __getattr__(self, name: str) -> Any:
        textbook = None if name.startswith("__") else _find(name, _REFERENCE)
        if textbook is None:
            raise AttributeError(name)
        kernel = partial(textbook, self._xp)
        kernel = _find(name, self._homes()) or kernel
        setattr(self, name, kernel)
        return kernel

    def _homes(self) -> tuple[ModuleType, ...]:
        """Return the modules whose kernels take precedence, imported when a kernel is first needed."""
        if self._override == "cpu" and importlib.util.find_spec("numba") is not None:  # it is optional
            from ..kernels import cpu

            return _modules(cpu)
        if self._override == "cuda":
            from ..kernels import cuda

            return _modules(cuda)
        return ()


class Rules(dict[Callable[..., Any], Callable[..., Any]]):
    """For each reference function, the function that computes it on one backend.

    That is the kernel of the same name, without underscores, if `kernels` has one; else the reference itself
    with the array namespace filled in. Only functions of this package are overridden, and remembered.
    """

    def __init__(self, xp: Any, kernels: Overrides | None = None) -> None:
        super().__init__()
        self._xp, self._kernels = xp, kernels

    def __missing__(self, reference: Callable[..., Any]) -> Callable[..., Any]:
        rule = partial(reference, self._xp)
        if reference.__module__.partition(".")[0] == _PACKAGE:
            kernel = self._kernels[reference.__name__.strip("_")] if self._kernels is not None else None
            self[reference] = rule = kernel or rule
        return rule


def fast_or_reference(reference: Callable[..., Any], backend: Any) -> Callable[..., Any]:
    """Return the function that computes `reference` on a backend, with the chosen kernels; see `Rules`."""
    rule: Callable[..., Any] = backend.rules[chosen_kernels()][reference]
    return rule


def _modules(package: ModuleType) -> tuple[ModuleType, ...]:
    """Import all modules of a package of kernels."""
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    return tuple(importlib.import_module(f"{package.__name__}.{name}") for name in names)


def _find(name: str, modules: tuple[ModuleType, ...]) -> Any:
    """Return the kernel of the name from the first module that has one, or None."""
    return next((getattr(module, name) for module in modules if hasattr(module, name)), None)


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
