"""The film of a training: one HTML file that plays forward, backward and update, step by step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ...backend.scopes import scope
from ...engine.events import watch
from ...errors import OptionError
from ...files.writing import check_writable, write_text
from .camera import Recorder
from .page import page


@scope
def film(path: str | os.PathLike[str], title: str | None = None) -> Iterator[Recorder]:
    """Record the training steps inside a ``with`` block as a page to look at.

    The page is one file and needs no network. It scrubs through the forward pass, the backward pass edge by
    edge and the update of every step, with the numbers of any entry that is clicked. Up to 200 steps
    are kept; of a longer training, evenly spread ones. Of large arrays some elements are shown.

    Parameters
    ----------
    path : path
        Where to write the page, ending in ``.html``. It is written at the end, and also if the training
        fails after the first step.
    title : str, optional
        What stands above it; the name of the file if left out.

    Raises
    ------
    OptionError
        If the path cannot be written to, which is found out before the training, or if no training
        step was seen.

    Examples
    --------
    >>> import tempfile
    >>> import tinygrad_adam as tg
    >>> model = tg.nn.Linear(2, 1)
    >>> opt = tg.optim.Adam(model.parameters(), lr=0.1)
    >>> with tempfile.TemporaryDirectory() as folder, tg.film(f"{folder}/line.html") as recorder:
    ...     for _ in range(3):
    ...         loss = (model(tg.ones(4, 2)) ** 2).mean()
    ...         opt.zero_grad()
    ...         loss.backward()
    ...         opt.step()
    >>> recorder.steps
    [1, 2, 3]
    """
    target = Path(path)
    check_path(target)
    recorder = Recorder()
    try:
        with watch(recorder):
            yield recorder
    except BaseException:
        if recorder.frames:
            _write(target, recorder, title)
        raise
    _write(target, recorder, title)


def check_path(target: Path) -> None:
    """Refuse a path that a film cannot be written to."""
    if target.suffix not in (".html", ".htm"):
        raise OptionError("film", "the name of the file must end in .html", path=str(target))
    try:
        check_writable(target)
    except OSError as error:
        raise OptionError("film", f"cannot write there: {error.strerror}", path=str(target)) from error


def _write(target: Path, recorder: Recorder, title: str | None) -> None:
    write_text(target, page(recorder, title or target.stem))
