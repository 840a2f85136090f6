"""The command that measures a run on the test images."""

from __future__ import annotations

from . import options
from .shared import say


def evaluate(run: options.RunFolder, device: options.OtherDevice = None) -> None:
    """Measure the best weights of a run on the test images."""
    from ..training import Run

    opened = Run.open(run, device)
    opened.load_best()
    results = opened.evaluate()
    say(
        f"{opened.config.model} on {opened.config.data}: test accuracy {results['accuracy']:.2%}, "
        f"loss {results['loss']:.4f}, on {len(opened.data.test_labels):,} images"
    )
