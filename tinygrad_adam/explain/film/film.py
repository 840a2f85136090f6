"""The film of a training: one HTML file that plays forward, backward and update, step by step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ...backend.scopes import scope
from ...engine.events import watch
from ...errors import OptionError
from ...files.writing import check_writable, write_text
from .camera import Camera
from .page import page


@scope
def film(path: str | os.PathLike[str], title: str | None = None) -> Iterator[Camera]:
    """Record the training steps inside a ``with`` block as a page to look at.

    The page is one file and needs no network. It plays the forward pass, the backward pass edge by edge and
    the update of every step, and shows the numbers of any entry that is clicked. It keeps up to 200
    steps, evenly spread over a longer training, and shows some elements of large arrays.

    Parameters
    ----------
    path : path
        The file of the page, ending in ``.html``. It is written at the end, also if the training fails after
        the first step.
    title : str, optional
        The heading of the page; by default the name of the file.

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
    target = Path(path)
    check_path(target)
    camera = Camera()
    failed = True
    try:
        with watch(camera):
            yield camera
        failed = False
    finally:
        if camera.frames or not failed:
            write_text(target, page(camera, title or target.stem))


def check_path(target: Path) -> None:
    """Refuse a path that no film can be written to."""
    if target.suffix not in (".html", ".htm"):
        raise OptionError("film", "the name of the file must end in .html", path=str(target))
    try:
        check_writable(target)
    except OSError as error:
        raise OptionError("film", f"cannot write there: {error.strerror}", path=str(target)) from error
