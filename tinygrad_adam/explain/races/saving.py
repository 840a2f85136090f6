"""Races as files: a picture, or an animation by matplotlib."""

from __future__ import annotations

import base64
import io
import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy

from ...errors import OptionError, unknown_name
from ...files.writing import check_writable, replacing
from .pictures import RacePicture
from .race import Race
from .surfaces import Array

ENDINGS = (".png", ".gif", ".mp4", ".html")
FRAMES = 80
"""How many frames an animation has at most; of a longer race, steps between are left out."""
FRAMES_A_SECOND = 10
DPI = 80
COLORS = 128


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
    try:
        check_writable(target)
    except OSError as error:
        raise OptionError(
            "race", f"cannot write there: {error.strerror}; choose another with --out", file=target
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
    """Draw a race into a file: a picture or an animation, by its ending.

    Parameters
    ----------
    race : Race
        The race.
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
    with replacing(target) as partial:
        if target.suffix.lower() == ".png":
            picture.show(race.steps, moment=race.steps // 20)
            picture.label()
            picture.figure.savefig(partial, dpi=110)
        else:
            _animate(picture, partial, report)


def _animate(picture: RacePicture, path: Path, report: Callable[[int, int], None] | None) -> None:
    from matplotlib import rc_context
    from matplotlib.animation import FFMpegWriter, HTMLWriter, PillowWriter
    from matplotlib.figure import Figure

    frames = frame_steps(picture.race.steps)
    drawn = _draw_frames(picture, frames)
    first = next(drawn)
    # The writers save a figure for each frame; this one holds nothing but the pixels.
    screen = Figure(figsize=(first.shape[1] / DPI, first.shape[0] / DPI), dpi=DPI)
    pixels = screen.figimage(first)
    writer: Any
    ending = path.suffix.lower()
    if ending == ".gif":
        writer = PillowWriter(fps=FRAMES_A_SECOND)
    elif ending == ".mp4":
        writer = FFMpegWriter(fps=FRAMES_A_SECOND)
    else:
        writer = HTMLWriter(fps=FRAMES_A_SECOND, embed_frames=True, default_mode="once")
    with rc_context({"animation.embed_limit": 200.0}), writer.saving(screen, str(path), dpi=DPI):
        for number, frame in enumerate(itertools.chain([first], drawn), 1):
            pixels.set_data(frame)
            writer.grab_frame()
            if report is not None:
                report(number, len(frames))
    if ending == ".html":
        path.write_text(_alone(path.read_text()))


def _palette(image: Any, needed: list[str]) -> Any:
    """Return an image whose palette of `COLORS` colors suits another, those needed among them."""
    from matplotlib.colors import to_rgb
    from PIL import Image

    exact = [round(255 * part) for color in needed for part in to_rgb(color)]
    others = COLORS - len(needed)
    palette = Image.new("P", (1, 1))
    palette.putpalette(exact + image.quantize(others).getpalette()[: 3 * others])
    return palette


def _alone(page: str) -> str:
    """Return matplotlib's page with smaller frames, and buttons that need no font from the network."""
    from PIL import Image

    def smaller(match: re.Match[str]) -> str:
        pixels = Image.open(io.BytesIO(base64.b64decode(match[1].replace("\\\n", ""))))
        file = io.BytesIO()
        pixels.convert("RGB").quantize(COLORS).save(file, "png", optimize=True)
        return f'base64,{base64.b64encode(file.getvalue()).decode()}"'

    icons = {
        "minus": "2212", "fast-backward": "AB", "step-backward": "25C2", "play": "25B6",
        "play.fa-flip-horizontal": "25C0", "pause": "2016", "step-forward": "25B8", "fast-forward": "BB",
        "plus": "2B",
    }  # fmt: skip
    rules = "".join(f'.fa-{name}::before {{ content: "\\{code}" }}\n' for name, code in icons.items())
    style = f"<style>\n.fa {{ font-style: normal }}\n{rules}</style>"
    page = re.sub(r"<link[^>]*font-awesome[^>]*>", lambda _: style, page)
    return re.sub(r'base64,([^"]*)"', smaller, page)


def _draw_frames(picture: RacePicture, frames: list[int]) -> Iterator[Array]:
    """Yield the pixels of each frame, shape (height, width, 3); the parts that do not move are drawn once.

    All frames have the same few colors, which makes a file a tenth as large and keeps it from flickering.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure = picture.figure
    figure.set_dpi(DPI)
    canvas: Any = FigureCanvasAgg(figure)
    picture.show(frames[-1])
    canvas.draw()
    figure.set_layout_engine("none")  # so that nothing shifts from frame to frame
    whole = Image.fromarray(numpy.asarray(canvas.buffer_rgba())).convert("RGB")
    palette = _palette(whole, picture.colors)

    def pixels() -> Array:
        image = Image.fromarray(numpy.asarray(canvas.buffer_rgba())).convert("RGB")
        return numpy.asarray(image.quantize(palette=palette, dither=Image.Dither.NONE).convert("RGB"))

    for artist in picture.moving:
        artist.set_animated(True)
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)
    for step in frames[:-1]:
        picture.show(step)
        canvas.restore_region(background)
        for artist in picture.moving:
            artist.draw(canvas.get_renderer())
        yield pixels()
    for artist in picture.moving:
        artist.set_animated(False)
    picture.show(frames[-1])
    picture.label()
    canvas.draw()
    yield pixels()
