"""One table of kernels for each array library and each choice of kernel set.

``reference`` holds readable array code that runs on any NumPy-like namespace: the textbook and
the oracle. ``cpu`` overrides some of it with Numba loops that make a single pass over memory, ``cuda``
with kernels in CUDA C.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator
from contextvars import ContextVar
from functools import partial
from types import ModuleType
from typing import Any

from ..errors import unknown_name
from ..kernels import reference, reference_optim, reference_windows
from .scopes import scope

KERNEL_SETS = ("fast", "reference")
_REFERENCE = (reference, reference_optim, reference_windows)
_chosen: ContextVar[str] = ContextVar("tinygrad_adam_kernels", default="fast")


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


def _modules(package: ModuleType) -> tuple[ModuleType, ...]:
    """Import all modules of a package of kernels."""
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    return tuple(importlib.import_module(f"{package.__name__}.{name}") for name in names)


def _find(name: str, modules: tuple[ModuleType, ...]) -> Any:
    """Return the kernel of the name from the first module that has one, or None."""
    return next((getattr(module, name) for module in modules if hasattr(module, name)), None)


def chosen_kernels() -> str:
    """Name the kernel set in use in this context."""
    return _chosen.get()


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
