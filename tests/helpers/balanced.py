"""A reader of HTML that refuses tags which are not closed in their order."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"br", "img", "path"}


class Balanced(HTMLParser):
    """Reads HTML, and keeps its text, its tags and its attributes.

    Attributes
    ----------
    words : list of str
        The text between tags, except the style.
    tags : list of (str, dict)
        Each element with its attributes.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if not {"style", "title"} & set(self._open):
            self.words.append(data)

    @property
    def text(self) -> str:
        """All texts in a row."""
        return " ".join(" ".join(self.words).split())

    def rows(self) -> int:
        """Return the number of rows of all tables."""
        return sum(tag == "tr" for tag, _ in self.tags)


def words_of(thing: object) -> str:
    """Return the text that a notebook shows of an object, or fail if it shows no HTML."""
    html = thing._repr_html_()  # type: ignore[attr-defined]
    assert html is not None
    return Balanced(html).text
