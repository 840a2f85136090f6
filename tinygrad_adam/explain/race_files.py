"""Races as files: a picture, or an animation by matplotlib."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy

from ..errors import OptionError, unknown_name
from .race import Race
from .race_pictures import RacePicture
from .surfaces import Array

ENDINGS = (".png", ".gif", ".mp4", ".html")
FRAMES = 80
"""How many frames an animation has at most; of a longer race, steps between are left out."""
FRAMES_A_SECOND = 10
DPI = 80


def check_path(path: str | os.PathLike[str]) -> Path:
    """Return the path of a picture or an animation, or refuse it before anything is computed.

    Raises
    ------
    OptionError
        If it has none of the `ENDINGS`, its folder cannot be written to, or it is an animation in MP4 and
        there is no ffmpeg.
    """
    target = Path(path)
    if target.suffix.lower() not in ENDINGS:
        raise unknown_name("race", "file ending", target.suffix or target.name, ENDINGS)
    if target.suffix.lower() == ".mp4":
        from matplotlib.animation import FFMpegWriter

        if not FFMpegWriter.isAvailable():
            raise OptionError(
                "race", "matplotlib writes MP4 with the program ffmpeg, which is not there; install it, "
                "or choose .gif or .html", file=target,
            )  # fmt: skip
    if target.is_dir():
        raise OptionError("race", "there is a folder of that name; choose another with --out", file=target)
    folder = target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OptionError(
            "race", f"cannot write to the folder: {error.strerror}; choose another with --out", folder=folder
        ) from error
    return target


def frame_steps(steps: int) -> list[int]:
    """Return the steps that an animation shows, from the first to the last, at most `FRAMES`.

    Examples
    --------
    >>> frame_steps(3)
    [1, 2, 3]
    """
    return [int(step) for step in numpy.unique(numpy.linspace(1, steps, min(steps, FRAMES)).round())]


def save_race(
    race: Race, path: str | os.PathLike[str], report: Callable[[int, int], None] | None = None
) -> None:
    """Draw a race into a file; its ending tells what it becomes.

    Parameters
    ----------
    race : Race
        What to draw.
    path : path
        ``.png`` is a picture of the whole race, with the arrows of a step near its beginning. ``.gif``,
        ``.mp4`` (with the program ffmpeg) and ``.html`` (self-contained, with buttons) are animations. A
        file that is there is replaced, whole or not at all.
    report : callable, optional
        Called with the number of frames drawn and how many there are.

    Raises
    ------
    OptionError
        If the ending is unknown, or the file cannot be written.
    """
    target = check_path(path)
    picture = RacePicture(race)
    with replaced_whole(target) as partial:
        if target.suffix.lower() == ".png":
            picture.show(race.steps, moment=race.steps // 20)
            picture.label()
            picture.figure.savefig(partial, dpi=110)
        else:
            _animate(picture, partial, report)


def _animate(picture: RacePicture, path: Path, report: Callable[[int, int], None] | None) -> None:
    from matplotlib import rc_context
    from matplotlib.animation import FFMpegWriter, HTMLWriter
    from matplotlib.figure import Figure

    frames = frame_steps(picture.race.steps)
    drawn = _draw_frames(picture, frames)
    first = next(drawn)
    # The writers save a figure for each frame; this one holds nothing but the pixels.
    screen = Figure(figsize=(first.shape[1] / DPI, first.shape[0] / DPI), dpi=DPI)
    pixels = screen.figimage(first)
    writer: Any
    if path.suffix == ".gif":
        writer = _gif_writer()
    elif path.suffix == ".mp4":
        writer = FFMpegWriter(fps=FRAMES_A_SECOND)
    else:
        writer = HTMLWriter(fps=FRAMES_A_SECOND, embed_frames=True, default_mode="once")
    with rc_context({"animation.embed_limit": 200.0}), writer.saving(screen, str(path), dpi=DPI):
        for number, frame in enumerate(itertools.chain([first], drawn), 1):
            pixels.set_data(frame)
            writer.grab_frame()
            if report is not None:
                report(number, len(frames))


def _draw_frames(picture: RacePicture, frames: list[int]) -> Iterator[Array]:
    """Yield the pixels of each frame, shape (height, width, 4); what doesn't move is drawn once."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = picture.figure
    figure.set_dpi(DPI)
    canvas: Any = FigureCanvasAgg(figure)
    picture.show(frames[0])
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # so that nothing shifts from frame to frame
    for artist in picture.moving:
        artist.set_animated(True)
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)
    for step in frames[:-1]:
        picture.show(step)
        canvas.restore_region(background)
        for artist in picture.moving:
            artist.draw(canvas.get_renderer())
        yield numpy.asarray(canvas.buffer_rgba()).copy()
    for artist in picture.moving:
        artist.set_animated(False)
    picture.show(frames[-1])
    picture.label()
    canvas.draw()
    yield numpy.asarray(canvas.buffer_rgba()).copy()


def _gif_writer() -> Any:
    """Return matplotlib's writer of GIFs, with one palette for all frames: smaller, and without flicker."""
    from matplotlib.animation import PillowWriter
    from PIL import Image

    class OnePalette(PillowWriter):
        def finish(self) -> None:
            frames: list[Any] = self._frames  # type: ignore[has-type]
            flat = [frame.convert("RGB") for frame in frames]
            palette = flat[-1].quantize(128)
            self._frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in flat]
            super().finish()

    return OnePalette(fps=FRAMES_A_SECOND)


@contextmanager
def replaced_whole(target: Path) -> Iterator[Path]:
    """Yield a name beside `target` to write to; it takes its place at the end, and is gone after an error."""
    handle, name = tempfile.mkstemp(
        prefix=f".{target.stem}.", suffix=f".partial{target.suffix.lower()}", dir=target.parent
    )
    os.close(handle)
    try:
        yield Path(name)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
