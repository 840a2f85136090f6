"""What recorded passes are tried with."""

from __future__ import annotations

import numpy as np

import tinygrad_adam as tg


def counted(function):
    """Return a function that counts its calls in ``.calls``."""

    def counting(*args):
        counting.calls += 1
        return function(*args)

    counting.calls = 0
    return counting


def batches_of(shape, classes, count=6, seed=1):
    rng = np.random.default_rng(seed)
    return [
        (
            tg.tensor(rng.standard_normal(shape).astype(np.float32)),
            tg.tensor(rng.integers(0, classes, shape[0])),
        )
        for _ in range(count)
    ]
