"""Break down the time of our training steps by kernel.

Run with ``python -m benchmarks.parts [W1 ...]``.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .machine import rates
from .measure import hold_cores
from .peers import PEERS
from .tables import markdown, number
from .workloads import ADAM_BYTES, WORKLOADS

SECONDS = 3.0
"""Total time of the timed steps of a network."""
LEAST = 10
"""Minimum number of repetitions of every timing."""

MULTIPLICATIONS: dict[str, Callable[..., int]] = {
    "linear": lambda y, x, weight, *_: x.size * len(weight),
    "matmul": lambda y, a, b, *_: a.size * b.shape[-1],
    "conv2d": lambda y, x, weight, *_: y.size * weight[0].size,
    "conv2d_input": lambda gx, gy, weight, *_: gy.size * weight[0].size,
    "conv2d_weight": lambda gw, x, gy, *_: gy.size * gw[0].size,
}
"""Multiplications in the definition of a product, computed from its result and arguments."""


class Part:
    """The calls of one kernel with arrays of the same shapes, and their times."""

    def __init__(self, kernel: Callable[..., Any], name: str) -> None:
        self.kernel = kernel
        self.name = name
        self.times: list[float] = []

    def call(self, *arguments: Any, **settings: Any) -> Any:
        started = time.perf_counter()
        self.result = self.kernel(*arguments, **settings)
        self.times.append(time.perf_counter() - started)
        self.arguments, self.settings = arguments, settings
        return self.result

    def again(self) -> Any:
        """Repeat the last call."""
        return self.kernel(*self.arguments, **self.settings)

    def rate(self) -> str:
        """Return the kernel's rate in a step as text: operations, or bytes moved, per second."""
        seconds = statistics.median(self.times)
        if self.name in MULTIPLICATIONS:
            multiplications = MULTIPLICATIONS[self.name](self.result, *self.arguments)
            return f"{2 * multiplications / seconds / 1e9:,.0f} GFLOP/s"
        if self.name == "adam":
            return f"{ADAM_BYTES * self.arguments[0].size / seconds / 1e9:,.0f} GB/s"
        return ""


class TimedKernels:
    """A table of kernels that records the time of each call."""

    def __init__(self, table: Any) -> None:
        self.table = table
        self.parts: dict[str, Part] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        kernel = getattr(self.table, name)

        def timed(*arguments: Any, **settings: Any) -> Any:
            shapes = ["x".join(map(str, a.shape)) for a in arguments if getattr(a, "ndim", 0)]
            label = " ".join([name, *shapes[:2]])
            if label not in self.parts:
                self.parts[label] = Part(kernel, name)
            return self.parts[label].call(*arguments, **settings)

        setattr(self, name, timed)
        return timed


@contextmanager
def timed_kernels() -> Iterator[TimedKernels]:
    """Time every kernel called on the CPU inside a ``with`` block."""
    from tinygrad_adam.backend.device import CPU

    table = CPU.tables["fast"]
    timed = TimedKernels(table)
    CPU.tables["fast"] = timed  # type: ignore[assignment]
    try:
        yield timed
    finally:
        CPU.tables["fast"] = table


def times_of(call: Callable[[], Any], at_least: int, seconds: float) -> list[float]:
    """Return the times of repeated calls, in seconds."""
    times: list[float] = []
    while len(times) < at_least or sum(times) < seconds:
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return times


def report(name: str) -> str:
    """Return the table of kernel times of a network."""
    step = PEERS["ours"].train(WORKLOADS[name])
    times_of(step, LEAST, 0.0)
    with timed_kernels() as timed:
        steps = times_of(step, LEAST, SECONDS)
    whole = rest = statistics.median(steps)
    rows = []
    for label, part in timed.parts.items():
        calls, median = len(part.times) / len(steps), statistics.median(part.times)
        alone = statistics.median(times_of(part.again, LEAST, 0.05))
        rest -= calls * median
        rows.append([
            label, f"{calls:.3g}", number(median * 1e6), f"{calls * median / whole:.1%}", number(alone * 1e6),
            part.rate(),
        ])  # fmt: skip
    rows.append(["the rest", "", number(rest * 1e6), f"{rest / whole:.1%}", "", ""])
    head = ["kernel", "calls", "us", "share", "alone, us", "rate"]
    title = f"{name}: {WORKLOADS[name].description}; {number(whole * 1e3)} ms per step"
    return f"{title}\n\n{markdown(head, rows)}\n"


def main(names: list[str]) -> None:
    """Measure the named networks, or all, and print their tables."""
    hold_cores()
    print(f"The machine's peak rate of products: {rates()['flops'] / 1e9:,.0f} GFLOP/s. Times are medians.")
    print("The column `alone` repeats one call, which then finds its data in the caches. The rest is Python,")
    print("and NumPy outside the kernels.\n")
    for name in names or WORKLOADS:
        print(report(name), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
