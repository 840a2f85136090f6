"""Functions that write HTML; text from elsewhere is escaped."""

from __future__ import annotations

import html
from collections.abc import Callable, Collection, Sequence
from functools import partial, wraps
from typing import TypeVar

from .style import STYLE

T = TypeVar("T")
LONGEST = 300
"""Characters of a user's representation that are shown."""


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def escaped(content: object) -> str:
    """Return HTML as it is, and everything else as text that HTML does not take for tags."""
    return content if isinstance(content, Html) else html.escape(str(content))


def element(name: str, *contents: object, kind: str = "", **attributes: object) -> Html:
    """Return an element with escaped contents and attributes.

    Parameters
    ----------
    name : str
        Of the element.
    *contents : object
        HTML, or anything to be shown as text.
    kind : str
        The classes, without their prefix ``tga-``.
    **attributes
        Further attributes.

    Examples
    --------
    >>> element("p", "a < b", kind="soft", title="'")
    '<p class="tga-soft" title="&#x27;">a &lt; b</p>'
    """
    if kind:
        attributes = {"class": " ".join(f"tga-{word}" for word in kind.split()), **attributes}
    written = "".join(f' {key}="{html.escape(str(value))}"' for key, value in attributes.items())
    return Html(f"<{name}{written}>{''.join(map(escaped, contents))}</{name}>")


def join(parts: Sequence[object], between: str = "") -> Html:
    """Return parts in a row."""
    return Html(between.join(map(escaped, parts)))


def soft(*contents: object) -> Html:
    """Return minor text."""
    return element("span", *contents, kind="soft")


def code(*contents: object) -> Html:
    """Return code."""
    return element("code", *contents)


def title(*contents: object) -> Html:
    """Return a title."""
    return element("p", element("b", *contents))


def heading(name: object, *facts: object) -> Html:
    """Return a title with facts after it; empty ones are left out."""
    return element("p", element("b", name), *[soft(" · ", fact) for fact in facts if fact])


def paragraphs(*texts: object) -> Html:
    """Return paragraphs of minor text; empty ones are left out."""
    return join([element("p", text, kind="soft") for text in texts if text])


def table(
    columns: Sequence[object],
    rows: Sequence[Sequence[object]],
    numbers: Collection[int] = (),
    line: Collection[int] = (),
) -> Html:
    """Return a table.

    Parameters
    ----------
    columns : sequence
        The headings; none for a table without.
    rows : sequence of sequences
        The cells.
    numbers, line : collection of int
        The columns that hold numbers, and those that are not broken into lines.
    """
    kinds = {**dict.fromkeys(line, "line"), **dict.fromkeys(numbers, "number")}

    def row(name: str, cells: Sequence[object]) -> Html:
        return element("tr", *[element(name, cell, kind=kinds.get(i, "")) for i, cell in enumerate(cells)])

    head = [element("thead", row("th", columns))] if columns else []
    return element("table", *head, element("tbody", *[row("td", cells) for cells in rows]), kind="table")


def facts(rows: dict[str, object]) -> Html:
    """Return a table of names and values."""
    return table((), [(soft(name), value) for name, value in rows.items()], line=(0,))


def said(value: object) -> str:
    """Return the representation of a value of the user's, cut; its type if it has none."""
    try:
        text = repr(value)
    except Exception as error:  # a user's class may raise anything
        return f"{type(value).__name__} (its __repr__ raises {type(error).__name__})"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def named(function: object) -> str:
    """Return a short name of a function or an object, without an address; nothing for a private one."""
    if isinstance(function, partial):
        return named(function.func)
    name = str(getattr(function, "__name__", "") or type(function).__name__)
    return "" if name.startswith("_") else name


def shown(body: Callable[[T], Html]) -> Callable[[T], str | None]:
    """Return the function that a ``_repr_html_`` calls: a body with the style.

    A display must not fail, whatever a user's class does: where the body raises, there is no HTML, and the
    notebook shows the plain representation.
    """

    @wraps(body)
    def page(thing: T) -> str | None:
        try:
            return f'<div class="tga">{STYLE}{body(thing)}</div>'
        except Exception:
            return None

    return page
