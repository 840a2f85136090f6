"""The prose of a chapter, from reStructuredText to Markdown.

Docutils parses; the functions here write what it found. A construct that they do not know is refused, so that
no markup of the scripts appears in a notebook.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import DataError, optional

if TYPE_CHECKING:
    from docutils.nodes import Element

SETTINGS = {"report_level": 5, "doctitle_xform": False, "file_insertion_enabled": False}
"""Docutils prints nothing (its complaints are in the tree) and leaves the first heading where it is."""


def markdown(text: str, level: int = 1) -> str:
    """Return reStructuredText as Markdown.

    Parameters
    ----------
    text : str
        The text.
    level : int, optional
        The level of its outermost headings.

    Raises
    ------
    DataError
        If the text has a mistake, or a construct that is not known here.
    """
    with optional("course", "course"):
        from docutils.core import publish_doctree
    return "\n\n".join(_blocks(publish_doctree(text, settings_overrides=SETTINGS), level))


def _blocks(parent: Element, level: int) -> Iterator[str]:
    """Yield the paragraphs, headings, lists and tables inside a node."""
    for node in parent.children:
        match node.tagname:
            case "paragraph":
                yield re.sub(r"^([#>])", r"\\\1", _inline(node))
            case "title":
                yield "#" * (level - 1) + " " + _inline(node)
            case "section":
                yield from _blocks(node, level + 1)
            case "block_quote":
                yield _prefixed("\n\n".join(_blocks(node, level)), "> ", "> ")
            case "bullet_list":
                yield "\n".join(_prefixed("\n\n".join(_blocks(item, level)), "- ", "  ") for item in node)
            case "enumerated_list":
                items = ["\n\n".join(_blocks(item, level)) for item in node]
                yield "\n".join(_prefixed(item, f"{n}. ", "   ") for n, item in enumerate(items, 1))
            case "literal_block":
                language = next((name for name in node["classes"] if name != "code"), "")
                yield f"```{language}\n{node.astext()}\n```"
            case "math_block":
                yield f"$$\n{node.astext()}\n$$"
            case "table":
                yield _table(node)
            case _:
                raise _unknown(node)


def _table(table: Element) -> str:
    """Return a table; a bar inside a cell, also in code, is escaped."""
    rows = [
        [" ".join(_inline(paragraph) for paragraph in cell).replace("|", r"\|") for cell in row]
        for row in _all(table, "row")
    ]
    if not _all(table, "thead"):
        rows.insert(0, [""] * len(rows[0]))  # Markdown has no table without a heading
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _all(parent: Element, tag: str) -> list[Any]:
    return list(parent.findall(lambda node: node.tagname == tag))


def _inline(parent: Element) -> str:
    """Return the text of a paragraph, a heading or a cell, on one line."""
    parts = []
    for node in parent.children:
        match node.tagname:
            case "#text":
                parts.append(re.sub(r"([\\`*_<$])", r"\\\1", node.astext()))
            case "literal" | "title_reference":
                parts.append(_code(node.astext()))
            case "emphasis":
                parts.append(f"*{_inline(node)}*")
            case "strong":
                parts.append(f"**{_inline(node)}**")
            case "math":
                parts.append(f"${node.astext()}$")
            case "reference":
                parts.append(f"[{_inline(node)}]({node['refuri']})")
            case "target":  # the address of the reference before it
                pass
            case _:
                raise _unknown(node)
    return "".join(parts).replace("\n", " ")


def _code(text: str) -> str:
    """Return code between backticks, more of them than occur in it."""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _prefixed(text: str, first: str, others: str) -> str:
    """Return lines with a prefix for the first, and one for each of the others that are not empty."""
    lines = [(first if place == 0 else others) + line for place, line in enumerate(text.split("\n"))]
    return "\n".join(line.rstrip() for line in lines)


def _unknown(node: Element) -> DataError:
    return DataError(
        "course",
        "the text of a chapter has a mistake, or a construct that is not turned into Markdown",
        construct=node.tagname,
        text=node.astext()[:200],
    )
