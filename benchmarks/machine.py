"""The machine's peak rates, and the minimum times that follow from them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .peers import THREADS
from .workloads import ADAM_BYTES, ADAM_SIZES, WORKLOADS

WORKING_SETS = tuple(16 * size for size in ADAM_SIZES.values())
"""The memory touched by an Adam step, in bytes."""


def best(work: Callable[[], object], at_least: int = 15, seconds: float = 0.1) -> float:
    """Return the shortest time of `work`, because a limit follows from the machine's best performance."""
    work()
    times: list[float] = []
    while len(times) < at_least or sum(times) < seconds:
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def rates() -> dict[str, Any]:
    """Measure the rates of this machine.

    Returns
    -------
    dict
        ``"flops"``: float32 matrix products, FLOP/s. ``"copy"``: copying 128 MiB, in bytes/s read plus
        bytes/s written. ``"moved"``: for each working set, its bytes and the best rate in bytes/s at which it
        can be read and written: copied, or passed over in place, by one thread or by all.
    """
    import numpy as np

    n = 1536
    a, b = np.ones((n, n), np.float32), np.ones((n, n), np.float32)
    out = np.empty_like(a)
    flops = 2 * n**3 / best(lambda: np.matmul(a, b, out=out))

    with ThreadPoolExecutor(THREADS) as pool:

        def rate(size: int, in_place: bool) -> float:
            """Return the rate of reading and writing `size` bytes in total, by copying or in place."""
            count = size // 4 if in_place else size // 8
            source = np.ones(count, np.float32)
            target = source if in_place else np.zeros(count, np.float32)
            move = np.negative if in_place else lambda a, out: np.copyto(out, a)
            parts = np.array_split(source, THREADS), np.array_split(target, THREADS)
            alone = best(lambda: move(source, target))
            together = best(lambda: list(pool.map(move, *parts)))
            return 2 * source.nbytes / min(alone, together)

        copy = rate(1 << 28, in_place=False)
        moved = [(size, max(rate(size, False), rate(size, True))) for size in WORKING_SETS]
    return {"flops": flops, "copy": copy, "moved": moved}


def better(rates: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """Return the better of two measurements of the same machine, rate by rate."""
    moved = [
        (size, max(rate, other))
        for (size, rate), (_, other) in zip(rates["moved"], others["moved"], strict=True)
    ]
    return {name: max(rates[name], others[name]) for name in ("flops", "copy")} | {"moved": moved}


def limit(row: str, rates: dict[str, Any] | None) -> dict[str, float] | None:
    """Return the minimum time of a step of a row in seconds, or None if no such limit is known.

    `rates` is None for a GPU, whose rates are not measured here.

    The limit is the longer of two times (the roofline model; Williams, Waterman and Patterson 2009): the time
    of the matrix products at the machine's rate of products, and the time of moving each byte once, at the
    rate of the largest measured working set that does not exceed the bytes moved, or else of the smallest.
    """
    if rates is None:
        return None
    if row in WORKLOADS:
        flops, traffic = WORKLOADS[row].work()
    elif row in ADAM_SIZES:
        flops, traffic = 0.0, float(ADAM_BYTES * ADAM_SIZES[row])
    else:
        return None
    fitting = [rate for size, rate in rates["moved"] if size <= traffic] or [rates["moved"][0][1]]
    products, memory = flops / rates["flops"], traffic / fitting[-1]
    return {"products": products, "memory": memory, "limit": max(products, memory)}


if __name__ == "__main__":
    print(json.dumps(rates()))
