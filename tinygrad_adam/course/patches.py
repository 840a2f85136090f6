"""The package as it was before a student's code ran: a grader that was replaced doesn't grade."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

PACKAGE = __name__.partition(".")[0]


class Originals:
    """The functions and classes in all modules that are loaded now, and the methods of this package.

    A cell may replace them, on purpose or not: ``np.sqrt = math.sqrt``, ``optim.Adam = MyAdam``.
    """

    def __init__(self) -> None:
        modules = [module for module in list(sys.modules.values()) if isinstance(module, ModuleType)]
        owners: list[Any] = [module for module in modules if module.__name__ != "__main__"]
        owners += {
            value
            for module in modules
            if module.__name__.partition(".")[0] == PACKAGE
            for value in vars(module).values()
            if isinstance(value, type) and value.__module__.partition(".")[0] == PACKAGE
        }
        self._kept = [(owner, self._contents(owner)) for owner in owners]

    @staticmethod
    def _contents(owner: Any) -> dict[str, Any]:
        kinds: tuple[type, ...] = (ModuleType, property, classmethod, staticmethod)
        return {
            name: value for name, value in vars(owner).items() if callable(value) or isinstance(value, kinds)
        }

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put them back inside a ``with`` block."""
        changed = [
            (owner, name, value, vars(owner).get(name))
            for owner, contents in self._kept
            for name, value in contents.items()
            if vars(owner).get(name) is not value
        ]
        for owner, name, value, _ in changed:
            setattr(owner, name, value)
        try:
            yield
        finally:
            for owner, name, _, students in changed:
                setattr(owner, name, students)
