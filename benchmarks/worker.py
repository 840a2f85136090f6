"""One peer in its own process: reads commands and writes answers as lines of JSON.

Commands: ``["train", workload]``, ``["adam", size]`` and ``["chain", length]`` set up the work, take the
first steps, and answer with their return values; ``["run", steps, seconds]`` takes up to `steps` steps,
starting none after `seconds`, and answers with the seconds of each; ``["memory"]`` answers with the resident
memory after the import and the peak so far, in MiB. Answers are ``{"answer": ...}``, ``{"cannot": reason}``
or ``{"failed": reason}``.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from .peers import ON, Cannot
from .workloads import WORKLOADS

FIRST_STEPS = 4
PATIENCE = 20.0
"""Seconds after which warm-up ends, if it has taken two steps: the second one follows an update."""


def peak_memory() -> float:
    """Return the peak of this process's resident memory in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the parent's memory before exec
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


class Worker:
    """A peer and its current work."""

    def __init__(self, name: str, device: str) -> None:
        self.peer = ON[device][name]
        exec(self.peer.imports, {})
        self.imported = peak_memory()
        self.step: Any = None

    def train(self, workload: str) -> list[Any]:
        return self.first_steps(self.peer.train(WORKLOADS[workload]))

    def adam(self, size: int) -> list[Any]:
        self.first_steps(self.peer.adam(size))
        return []  # optimizer steps return nothing that peers have in common

    def chain(self, length: int) -> list[Any]:
        return self.first_steps(self.peer.chain(length))

    def first_steps(self, step: Any) -> list[Any]:
        """Compile and warm up; return the values of the steps taken."""
        self.step = step
        started = time.perf_counter()
        values = [step(), step()]
        while len(values) < FIRST_STEPS and time.perf_counter() - started < PATIENCE:
            values.append(step())
        return values

    def run(self, steps: int, seconds: float) -> list[float]:
        times: list[float] = []
        while len(times) < steps and sum(times) < seconds:
            started = time.perf_counter()
            self.step()
            times.append(time.perf_counter() - started)
        return times

    def memory(self) -> dict[str, float]:
        return {"imported": self.imported, "peak": peak_memory()}


def main(name: str, device: str) -> None:
    """Answer commands until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # keeps output printed by a framework apart from the answers
    worker: Worker | None = None
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        try:
            worker = worker or Worker(name, device)
            answer = {"answer": getattr(worker, command)(*arguments)}
        except Cannot as reason:
            answer = {"cannot": str(reason)}
        except Exception as error:
            traceback.print_exc()
            answer = {"failed": "".join(traceback.format_exception_only(error)).strip().splitlines()[0]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
