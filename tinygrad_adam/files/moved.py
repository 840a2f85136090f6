"""Modules that moved: pickles and programs that name the old ones find the new ones."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_PACKAGE = __name__.partition(".")[0]

MOVED = {
    "backend.diagnosis": "backend.cuda.diagnosis",
    "chain_rule": "explain.chain_rule.explanation",
    "optim.ledger": "explain.ledger.ledgers",
    "primitive": "engine.graph",
    "rowsparse": "engine.rowsparse",
    "traces": "explain.chain_rule.traces",
    "watching": "engine.events",
    **{f"explain.{name}": f"explain.races.{name}" for name in ("landscape", "surfaces", "trajectories")},
    **{f"explain.{name}": f"explain.ledger.{name}" for name in ("layer_picture", "next_step")},
    **{
        f"training.{name}": f"training.many.{name}"
        for name in ("comparison", "lr_finder", "results", "search", "space", "trial")
    },
}
"""The old and the new name of each module whose classes or functions may be named by a pickle or a page."""


class _Finder(MetaPathFinder, Loader):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, old = name.partition(".")
        return importlib.util.spec_from_loader(name, self) if package == _PACKAGE and old in MOVED else None

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to Python: the module made now is replaced below."""

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__.partition(".")[2]
        sys.modules[module.__name__] = importlib.import_module(f"{_PACKAGE}.{MOVED[old]}")


def find_moved_modules() -> None:
    """Make the old names importable."""
    sys.meta_path.insert(0, _Finder())  # an old folder may be left, which Python would find
