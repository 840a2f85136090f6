"""Time a step of every optimizer, on a large parameter against a copy, and on a small network.

Run with ``python -m benchmarks.optimizers``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

from .machine import rates
from .measure import hold_cores

SIZE = 20_000_000
VARIANTS = {
    "sgd": [{}, {"momentum": 0.9}],
    "adam": [{}, {"amsgrad": True}],
    "rmsprop": [{}, {"momentum": 0.9, "centered": True}],
}
"""Options that change the number of arrays kept; other optimizers have a single variant."""


def median(step: Callable[[], None], count: int) -> float:
    """Return the median time of a call in seconds, after three untimed calls."""
    for _ in range(3):
        step()
    times = []
    for _ in range(count):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def rows(copy: float, size: int = SIZE, calls: int = 5000) -> Iterator[str]:
    """Yield the row of each optimizer and its variants, given the machine's copying rate in bytes/s."""
    import numpy as np

    from tinygrad_adam import nn, optim, tensor

    rng = np.random.default_rng(0)
    large, gradient = rng.random(size, np.float32), rng.random(size, np.float32)
    for name, cls in optim.OPTIMIZERS.items():
        for options in VARIANTS.get(name, [{}]):
            p = nn.Parameter(large)
            p.grad = gradient
            optimizer = cls([p], **options)
            seconds = median(optimizer.step, 9)
            arrays = len(optimizer._storages[0][0].moments)
            least = 4 * size * (2 * (1 + arrays) + 1) / copy  # the gradient is only read
            model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
            model(tensor(rng.random((32, 64), np.float32))).sum().backward()
            small = median(cls(model.parameters(), **options).step, calls)
            times = f"{seconds * 1e3:.1f} | {least * 1e3:.1f} | {seconds / least:.2f} | {small * 1e6:.1f}"
            yield f"| {', '.join([name, *options])} | {times} |"


def main() -> None:
    """Measure all optimizers and print the table."""
    hold_cores()
    copy = rates()["copy"]
    print(f"copying {copy / 1e9:.1f} GB/s; {SIZE:,} float32 parameters, and an MLP 64-32-10; medians\n")
    print("| optimizer | large, ms | time of its bytes, ms | ratio | MLP, us |\n|---|---|---|---|---|")
    for row in rows(copy):
        print(row, flush=True)


if __name__ == "__main__":
    main()
