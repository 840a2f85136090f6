"""How Sphinx builds the site: ``sphinx-build -W docs site``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import tinygrad_adam

project = "tinygrad_adam"
copyright = "the tinygrad_adam authors"
version = release = tinygrad_adam.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["site", "_templates"]
templates_path = ["_templates"]
default_role = "autolink"
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}

html_theme = "furo"
html_title = "tinygrad_adam"
html_show_sourcelink = False

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 4

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say what things are, shapes included
numpydoc_show_class_members = False
add_module_names = False

sphinx_gallery_conf = {
    "examples_dirs": ["../examples/tutorial"],
    "gallery_dirs": ["tutorial"],
    "filename_pattern": r"/\d\d_.*\.py$",
    "ignore_pattern": r"(exercises|solutions).*\.py$",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_memory": False,
    "abort_on_example_error": True,
    "matplotlib_animations": False,
    "remove_config_comments": True,
}

_ROOT = Path(__file__).resolve().parent.parent
_OUTSIDE = re.compile(r"\[([^\]]*)\]\(((?:\.\./)+)([^)#]*)(#[^)]*)?\)")


def _name_files(app: Any, docname: str, source: list[str]) -> None:
    """Turn links to files of the repository, which the site does not hold, into their paths."""

    def named(match: re.Match[str]) -> str:
        target = (_ROOT / "docs" / docname).parent / match[2] / match[3]
        if target.resolve().is_relative_to(_ROOT / "docs"):
            return match[0]
        path = target.resolve().relative_to(_ROOT).as_posix()
        text = match[1].strip("`")
        return f"`{path}`" if text.rstrip("/") in path else f"{match[1]} (`{path}`)"

    source[0] = _OUTSIDE.sub(named, source[0])


def setup(app: Any) -> None:
    """Hook into the reading of pages."""
    app.connect("source-read", _name_files)
