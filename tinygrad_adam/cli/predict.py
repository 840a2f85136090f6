"""The command that classifies pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .shared import say

SURE = 0.8
"""The probability below which the best answer is called unsure. Of 1,000 test digits that were moved and
scaled, mlp:256, trained on MNIST for 4 epochs, got 98.9 % right above it and 79 % below; of digits drawn too
thick, 94 % and 57 %."""


def predict(
    run: options.RunFolder,
    image: Annotated[Path, typer.Argument(help="A picture, or a .npy file with one or more images.")],
    top: Annotated[int, typer.Option(min=1, help="How many answers to show.")] = 3,
    device: options.OtherDevice = None,
) -> None:
    """Name the classes that an image most likely shows.

    The picture of a digit is cut out, scaled and centered as the training digits were.
    """
    from ..training import Run
    from ..training.reading import read_images

    opened = Run.open(run, device)
    opened.load_best()
    images, changes = read_images(image, opened.data.shape, opened.data.scale, opened.data.name)
    for change in changes:
        say(change)
    for i, probabilities in enumerate(opened.predict(images)):
        best = probabilities.argsort()[::-1][:top]
        answers = ", ".join(f"{opened.data.classes[j]} ({probabilities[j]:.1%})" for j in best)
        unsure = f"; unsure: below {SURE:.0%}" if probabilities.max() < SURE else ""
        say(f"{image}{f'[{i}]' if len(images) > 1 else ''}: {answers}{unsure}")
