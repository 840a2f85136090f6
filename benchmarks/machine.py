"""What this machine can do: the rates that no program of this kind beats."""

from __future__ import annotations

import json
import time

from .peers import limit_threads


def rates() -> dict[str, float]:
    """Return the rate of float32 matrix products in FLOP/s, and of copying in bytes/s."""
    import numpy as np

    n = 1536
    a, b = np.ones((n, n), np.float32), np.ones((n, n), np.float32)
    out = np.empty_like(a)
    source, target = np.ones(1 << 25, np.float32), np.empty(1 << 25, np.float32)

    def seconds(work: object) -> float:
        work()
        times = []
        for _ in range(15):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
        return min(times)  # a limit is what the machine can do at its best

    product = seconds(lambda: np.matmul(a, b, out=out))
    copy = seconds(lambda: np.copyto(target, source))
    return {"flops": 2 * n**3 / product, "bytes": 2 * source.nbytes / copy}


if __name__ == "__main__":
    limit_threads()
    print(json.dumps(rates()))
