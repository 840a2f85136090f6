"""Time the peers, whose processes take turns, after checking that their results agree."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .peers import PEERS, THREADS, Cannot
from .workloads import ADAM_SIZES, CHAIN, WORKLOADS, steps, title

ROOT = Path(__file__).parents[1]
AGREEMENT = 1e-4
BUDGET = 20.0
"""Seconds of computation after which a peer takes no more steps."""
REST = 0.05
"""Seconds between turns, because the threads of a library keep spinning for a while after work."""
IMPORT_ROUNDS = 7
BLAS_VARIABLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
BLAS = ("own", "environment", "pinned")


def environment(blas: str) -> dict[str, str]:
    """Return the environment of a worker.

    Parameters
    ----------
    blas : {"own", "environment", "pinned"}
        The kernels of NumPy's OpenBLAS: for the processor, as selected by the variables of the environment,
        or for Haswell.
    """
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    if blas != "environment":
        for name in BLAS_VARIABLES:
            variables.pop(name, None)
    if blas == "pinned":
        variables["OPENBLAS_CORETYPE"] = "Haswell"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUM_CPU_THREADS"):
        variables[name] = str(THREADS)
    return variables


def hold_cores() -> None:
    """Restrict this process and its children to one core per thread, if the system supports it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])


def machine_rates(variables: dict[str, str]) -> dict[str, Any]:
    """Measure the machine in a separate process."""
    command = [sys.executable, "-m", "benchmarks.machine"]
    done = subprocess.run(command, env=variables, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


class Failed(Exception):
    """A peer failed at work that it supports; the message gives the reason."""


class Process:
    """The worker process of a peer."""

    def __init__(self, name: str, variables: dict[str, str], device: str = "cpu") -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", name, device],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables, cwd=ROOT,
        )  # fmt: skip

    def ask(self, *command: Any) -> Any:
        """Send a command and return the answer."""
        with contextlib.suppress(BrokenPipeError):  # the process has ended, which reading will report
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"the process ended with status {self.process.wait()}")
        answer = json.loads(line)
        if "cannot" in answer:
            raise Cannot(answer["cannot"])
        if "failed" in answer:
            raise Failed(answer["failed"])
        return answer["answer"]

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):  # it may have ended already
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def set_up(row: str) -> tuple[Any, ...]:
    """Return the command that prepares a row."""
    if row in WORKLOADS:
        return "train", row
    return ("adam", ADAM_SIZES[row]) if row in ADAM_SIZES else ("chain", CHAIN)


def measure(row: str, names: list[str], rounds: int, blas: str, device: str = "cpu") -> dict[str, Any]:
    """Time one row for all peers, the first of which is ours.

    Returns
    -------
    dict
        ``"title"``; ``"first"``, the values of our first steps; ``"peers"``, by name: ``median`` and ``min``
        in seconds per step, the number of ``steps``, and resident memory in MiB after the import
        (``imported``) and at its peak (``peak``); ``"notes"``, by name: the reason why a peer has no time.
    """
    result: dict[str, Any] = {
        "title": title(row),
        "first": [],
        "peers": {},
        "notes": {},
    }
    notes, times = result["notes"], {}
    processes = []

    def give_up(process: Process, reason: Exception) -> None:
        notes[process.name] = str(reason) if isinstance(reason, Cannot) else f"failed: {reason}"
        process.close()

    for name in names:
        process = Process(name, environment(blas), device)
        try:
            values = process.ask(*set_up(row))
            if name == names[0]:
                result["first"] = values
            agree(values, result["first"])
        except (Cannot, Failed) as reason:
            give_up(process, reason)
            if name == names[0]:
                return result
            continue
        processes.append(process)
        times[name] = []
    for _ in range(rounds):
        for process in list(processes):
            taken = times[process.name]
            left = BUDGET - sum(taken)
            if left <= 0:
                continue
            time.sleep(REST)
            try:
                taken += process.ask("run", steps(row), left)
            except Failed as reason:
                give_up(process, reason)
                processes.remove(process)
    for process in processes:
        taken = times[process.name]
        try:
            spread = {"median": statistics.median(taken), "min": min(taken), "steps": len(taken)}
            result["peers"][process.name] = spread | process.ask("memory")
        except Failed as reason:
            give_up(process, reason)
        process.close()
    return result


def agree(values: list[float], expected: list[float]) -> None:
    """Raise Failed if the values differ from the expected ones; a slow peer may have fewer."""
    difference = max((abs(a - b) for a, b in zip(values, expected, strict=False)), default=0.0)
    if not difference <= AGREEMENT:  # not "greater": NaN agrees with nothing
        raise Failed(f"{values} differs from ours, {expected}, by {difference:.1e}: not timed")


def import_times(names: list[str], variables: dict[str, str]) -> dict[str, Any]:
    """Time fresh interpreters that import the frameworks, in turns, with byte code already written.

    Returns
    -------
    dict
        For ``"python"`` (which imports nothing), ``"numpy"``, and each distinct import: ``statement``, and
        ``median`` and ``min`` of the whole process in seconds, or the ``failure``.
    """
    statements = {"python": "pass", "numpy": "import numpy"}
    for name in names:
        if PEERS[name].imports not in statements.values():
            statements[name] = PEERS[name].imports
    times: dict[str, list[float]] = {name: [] for name in statements}
    rows: dict[str, Any] = {name: {"statement": statement} for name, statement in statements.items()}
    for turn in range(IMPORT_ROUNDS + 1):  # the first turn writes the byte code
        for name in list(times):
            started = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", statements[name]],
                env=variables,
                cwd=ROOT,
                capture_output=True,
                text=True,
            )
            elapsed = time.perf_counter() - started
            if done.returncode:
                rows[name]["failure"] = done.stderr.strip().splitlines()[-1]
                del times[name]
            elif turn:
                times[name].append(elapsed)
    for name, taken in times.items():
        rows[name] |= {"median": statistics.median(taken), "min": min(taken)}
    return rows
