"""The scripts of the course: beside the package in a clone, inside it in an installation."""

from __future__ import annotations

from pathlib import Path


def examples_folder() -> Path:
    """Return the folder of the examples, which holds the chapters in its folder ``tutorial``."""
    installed = Path(__file__).parent / "examples"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "examples"


def chapter_files() -> list[Path]:
    """Return the scripts of the chapters, in the order of the course."""
    return sorted((examples_folder() / "tutorial").glob("[0-9][0-9]_*.py"))
