"""Measure the cost of watching a training step, and the cost of the check when nothing watches.

Run with ``python -m benchmarks.watching``.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import timeit
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from .measure import hold_cores
from .peers.base import network
from .workloads import WORKLOADS

STEPS = {"W1": 300, "W2": 200, "W3": 21, "W4": 14}
"""Steps per turn of each network; at most 100 of the watched ones."""
TURNS = 7


def train(name: str) -> tuple[Callable[[], None], Any]:
    """Return a training step of a network of the benchmark, and its optimizer."""
    import tinygrad_adam as tg
    from tinygrad_adam import nn, optim
    from tinygrad_adam.nn import functional as F

    model = network(nn, WORKLOADS[name])
    optimizer = optim.Adam(model.named_parameters())
    x, labels = WORKLOADS[name].data()

    def step() -> None:
        loss = F.cross_entropy(model(tg.tensor(x)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step, optimizer


def ways(folder: Path, optimizer: Any) -> dict[str, Callable[[], AbstractContextManager[Any]]]:
    """Return the watchers. A film records its first 200 steps, and fewer and fewer after that."""
    import tinygrad_adam as tg

    return {
        "film": lambda: tg.film(folder / "film.html"),
        "doctor": lambda: tg.doctor(tell=None),
        "ledger": optimizer.ledger,
        "tracing": tg.tracing,
    }


def mean_time(step: Callable[[], None], count: int) -> float:
    """Return the mean seconds per step; the median would miss the doctor's occasional inspections."""
    started = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - started) / count


def looks(step: Callable[[], None]) -> int:
    """Count how often a step checks for watchers."""
    from tinygrad_adam.engine.events import Watcher, watch

    class Count(Watcher):
        events = 0

        def __getattribute__(self, name: str) -> Any:
            if name in vars(Watcher) and name != "module_ends":  # a module checks once for both of its events
                Count.events += 1
            return super().__getattribute__(name)

    with watch(Count()):
        step()
    return Count.events


def rows() -> Iterator[str]:
    """Yield the row of each network."""
    from tinygrad_adam.engine import events

    look = min(timeit.repeat("events.tell((1, 2))", globals={"events": events}, number=100_000)) / 100_000
    for name, count in STEPS.items():
        step, optimizer = train(name)
        mean_time(step, count)
        ratios: dict[str, list[float]] = {}
        times = []
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(TURNS):
                times.append(mean_time(step, count))
                for way, watched in ways(Path(folder), optimizer).items():
                    with watched():
                        ratios.setdefault(way, []).append(mean_time(step, min(count, 100)) / times[-1])
        alone = statistics.median(times)
        shown = [f"{statistics.median(of):.2f}" for of in ratios.values()]
        yield f"| {' | '.join([name, f'{alone * 1e6:,.0f}', *shown, f'{looks(step) * look / alone:.2%}'])} |"


def main() -> None:
    """Measure all networks and print the table."""
    hold_cores()
    print("The time of a step alone, in us; the factor by which each watcher slows it down; the share of a")
    print("step spent on checking for watchers when there are none. Medians.\n")
    print("| network | alone | film | doctor | ledger | tracing | none |\n|---|---|---|---|---|---|---|")
    for row in rows():
        print(row, flush=True)


if __name__ == "__main__":
    main()
