"""The command that classifies pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .shared import say


def predict(
    run: options.RunFolder,
    image: Annotated[Path, typer.Argument(help="A picture, or a .npy file with one or more images.")],
    top: Annotated[int, typer.Option(min=1, help="How many answers to show.")] = 3,
    device: options.OtherDevice = None,
) -> None:
    """Name the classes that an image most likely shows."""
    from ..training import Run
    from ..training.reading import read_images

    opened = Run.open(run, device)
    opened.load_best()
    images, inverted = read_images(image, opened.data.shape, opened.data.scale)
    if inverted:
        say("The picture is dark on light; it was inverted, as the model learned light on dark.")
    for i, probabilities in enumerate(opened.predict(images)):
        best = probabilities.argsort()[::-1][:top]
        answers = ", ".join(f"{opened.data.classes[j]} ({probabilities[j]:.1%})" for j in best)
        say(f"{image}{f'[{i}]' if len(images) > 1 else ''}: {answers}")
