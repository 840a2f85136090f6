"""The film of a training: one HTML file that plays forward, backward and update, step by step."""

from __future__ import annotations

import html
import os
from collections.abc import Iterator
from pathlib import Path

from ...backend.scopes import scope
from ...engine.events import watch
from ...errors import OptionError
from ...files.text import counted
from ...files.writing import check_writable, write_text
from .camera import Camera
from .page import asset, page

FRAME = (
    '<div style="height: min(46rem, 92vh); resize: vertical; overflow: hidden">'
    '<iframe title="{title}" srcdoc="{page}" style="width: 100%; height: 100%; border: 0"></iframe></div>'
)
"""The page as part of another, which needs no file; its lower edge can be dragged."""


class Film(Camera):
    """A camera whose film a notebook plays: ``film`` as the last line of a cell.

    Attributes
    ----------
    title : str
        The heading of the page.
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title

    def __repr__(self) -> str:
        count = len(self.frames)
        return f"<film {self.title!r}: {counted(count, 'step')}>"

    def _repr_html_(self) -> str | None:
        """Return the page as a frame, with all that it needs, or None before the first step."""
        if not self.frames:
            return None
        text = page(self, self.title)
        themed = text.replace("</body>", f"<script>{asset('in_notebook.js')}</script></body>")
        return FRAME.format(title=html.escape(self.title), page=html.escape(themed))


@scope
def film(path: str | os.PathLike[str] | None = None, title: str | None = None) -> Iterator[Film]:
    """Record the training steps inside a ``with`` block as a page to look at.

    The page is one file and needs no network; a notebook plays it where the film is the last line of a cell,
    also without a file. It plays the forward pass, the backward pass edge by edge and
    the update of every step, and shows the numbers of any entry that is clicked. It keeps up to 200
    steps, evenly spread over a longer training, and shows some elements of large arrays.

    Parameters
    ----------
    path : path, optional
        The file of the page, ending in ``.html``. It is written at the end, also if the training fails after
        the first step.
    title : str, optional
        The heading of the page; by default the name of the file, or "film".

    Yields
    ------
    Film
        The film, for a notebook.

    Raises
    ------
    OptionError
        If the path cannot be written to, which is checked before the training, or if there was no training
        step.

    Examples
    --------
    >>> import tempfile
    >>> import tinygrad_adam as tg
    >>> model = tg.nn.Linear(2, 1)
    >>> opt = tg.optim.Adam(model.parameters(), lr=0.1)
    >>> with tempfile.TemporaryDirectory() as folder, tg.film(f"{folder}/line.html") as camera:
    ...     for _ in range(3):
    ...         loss = (model(tg.ones(4, 2)) ** 2).mean()
    ...         opt.zero_grad()
    ...         loss.backward()
    ...         opt.step()
    >>> camera.steps
    [1, 2, 3]
    """
    target = None if path is None else Path(path)
    if target is not None:
        check_path(target)
    camera = Film(title or ("film" if target is None else target.stem))
    failed = True
    try:
        with watch(camera):
            yield camera
        failed = False
    finally:
        if camera.frames or not failed:
            text = page(camera, camera.title)
            if target is not None:
                write_text(target, text)


def check_path(target: Path) -> None:
    """Refuse a path that no film can be written to."""
    if target.suffix not in (".html", ".htm"):
        raise OptionError("film", "the name of the file must end in .html", path=str(target))
    try:
        check_writable(target)
    except OSError as error:
        raise OptionError("film", f"cannot write there: {error.strerror}", path=str(target)) from error
