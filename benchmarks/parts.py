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
    "linear_relu": lambda y, x, weight, *_: x.size * len(weight),
    "matmul": lambda y, a, b, *_: a.size * b.shape[-1],
    "conv2d": lambda y, x, weight, *_: y.size * weight[0].size,
    "conv2d_relu": lambda y, x, weight, *_: y.size * weight[0].size,
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


@contextmanager
def timed_kernels() -> Iterator[dict[str, Part]]:
    """Time every kernel called on the CPU inside a ``with`` block; yield the parts by name and shapes."""
    import numpy

    from tinygrad_adam.backend.device import CPU
    from tinygrad_adam.backend.overrides import Overrides, Rules
    from tinygrad_adam.kernels.cpu import KERNELS

    parts: dict[str, Part] = {}

    def timed(name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **settings: Any) -> Any:
            shapes = ["x".join(map(str, a.shape)) for a in arguments if getattr(a, "ndim", 0)]
            part = parts.setdefault(" ".join([name, *shapes[:2]]), Part(kernel, name))
            return part.call(*arguments, **settings)

        return call

    kernels, rules = Overrides("cpu"), CPU.rules["fast"]
    for name in " ".join(KERNELS.values()).split():
        if kernels[name] is not None:
            kernels[name] = timed(name, kernels[name])
    CPU.rules["fast"] = Rules(numpy, kernels)
    try:
        yield parts
    finally:
        CPU.rules["fast"] = rules


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
    with timed_kernels() as parts:
        steps = times_of(step, LEAST, SECONDS)
    whole = rest = statistics.median(steps)
    rows = []
    for label, part in parts.items():
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
