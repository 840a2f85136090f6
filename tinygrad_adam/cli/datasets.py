"""The command that lists the data sets."""

from __future__ import annotations

from .shared import say


def datasets() -> None:
    """List the data sets."""
    from ..data import DATASETS

    for info in DATASETS.values():
        say(f"{info.name}: {info.description}", "bold")
        say(f"  {'x'.join(map(str, info.shape))}; {info.size}; license: {info.license}")
