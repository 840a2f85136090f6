"""How Sphinx builds the site: ``sphinx-build -W docs site``."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path
from typing import Any

import tinygrad_adam

sys.path.insert(0, str(Path(__file__).parent))
import pages
from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util.nodes import make_refnode

project = "tinygrad_adam"
copyright = "the tinygrad_adam authors"
version = release = tinygrad_adam.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["site", "_templates"]
templates_path = ["_templates"]
default_role = "py:obj"
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}

highlight_language = "none"  # blocks not marked as Python are output, commands or algorithms

html_theme = "furo"
html_title = "tinygrad_adam"
html_show_sourcelink = False
html_static_path = ["_static"]
html_extra_path = ["teach/handout.html", "teach/slides.html"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"  # rendered by browsers without a script, and therefore offline

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 4

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings give the types, including shapes
numpydoc_show_class_members = False
doctest_global_setup = "__name__ = '__main__'"  # primitives look up the module that defines them
add_module_names = False

sphinx_gallery_conf = {
    "examples_dirs": ["../examples/tutorial"],
    "gallery_dirs": ["tutorial"],
    "filename_pattern": r"/\d\d_.*\.py$",
    "ignore_pattern": r"(exercises|solutions).*\.py$",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,  # its page would load scripts from the network
    "abort_on_example_error": True,
    "matplotlib_animations": False,
    "remove_config_comments": True,
    "notebook_extensions": set(),  # pages offer the course's own notebooks, by _offer_notebook
}

_OUTSIDE = re.compile(r"\[([^\]]*)\]\(((?:\.\./)+)([^)#]*)(#[^)]*)?\)")


def _name_files(app: Any, docname: str, source: list[str]) -> None:
    """Replace links to repository files, which are not part of the site, by their paths."""

    def named(match: re.Match[str]) -> str:
        target = (pages.ROOT / "docs" / docname).parent / match[2] / match[3]
        if target.resolve().is_relative_to(pages.ROOT / "docs"):
            return match[0]
        path = target.resolve().relative_to(pages.ROOT).as_posix()
        text = match[1].strip("`")
        return f"`{path}`" if text.rstrip("/") in path else f"{match[1]} (`{path}`)"

    source[0] = _OUTSIDE.sub(named, source[0])


def _offer_notebook(app: Any, docname: str, source: list[str]) -> None:
    """Offer the course's notebook of a chapter, in place of an archive with nothing but the script."""
    notebook = r":download:`Download Jupyter notebook: \1.ipynb <../../examples/notebooks/\1.ipynb>`"
    source[0] = re.sub(r":download:`Download zipped: (\S+)\.zip <.*>`", notebook, source[0])


def _shorten_navigation(
    app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Omit the individual names of the reference from the sidebar, which lists only their sections.

    With them, every page would contain three hundred links, and building the site would take three
    times as long.
    """
    toctree = context.get("toctree")
    if toctree is not None:
        context["toctree"] = lambda **options: toctree(**{**options, "maxdepth": 2})


def _find_in_another_room(app: Any, env: Any, node: Any, text: Any) -> Any:
    """Link a name in single backticks to its definition in another module, if the name is unique.

    Names of lowercase letters only, which could be parameters, are not linked.
    """
    name, domain = node["reftarget"], env.domains["py"]
    if node.get("refdomain") != "py" or not re.search("[A-Z_]", name):
        return None
    found = [entry for full, entry in domain.objects.items() if full.endswith(f".{name}")]
    if len(found) != 1:
        return None
    return make_refnode(app.builder, node["refdoc"], found[0].docname, found[0].node_id, text)


def _write_formula(translator: Any, node: Any) -> None:
    """Write an inline or display formula as MathML."""
    block = isinstance(node, nodes.math_block)
    formula = convert(node.astext(), display="block" if block else "inline")
    translator.body.append(f'<div class="formula">{formula}</div>\n' if block else formula)
    raise nodes.SkipNode


def _record_film(app: Any, error: Exception | None) -> None:
    """Run the code of the front page in the site's folder, to record the film that the page links to."""
    if error is None and app.builder.format == "html":
        code = pages.BLOCK.search((pages.ROOT / "docs" / "index.md").read_text("utf-8"))[2]
        with contextlib.chdir(app.outdir), contextlib.redirect_stdout(None):
            exec(compile(code, "index.md", "exec"), {})


def setup(app: Any) -> None:
    """Connect the handlers above to Sphinx's events."""
    app.connect("missing-reference", _find_in_another_room)
    app.add_html_math_renderer("mathml", (_write_formula, None), (_write_formula, None))
    app.connect("build-finished", _record_film)
    app.connect("source-read", _name_files)
    app.connect("source-read", _offer_notebook)
    app.connect("html-page-context", _shorten_navigation, priority=100)  # before the theme's handler
