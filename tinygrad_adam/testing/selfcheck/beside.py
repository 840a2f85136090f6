"""Compare with other frameworks: run the repository's benchmark, if it and a framework are installed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .report import Beside
from .speed import WORKLOADS

REPOSITORY = Path(__file__).parents[3]
PEERS = {
    "torch": ("torch",),
    "torch fused": ("torch",),
    "torch graph": ("torch",),
    "jax + optax": ("jax", "optax"),
}
"""Their names in the benchmark, and the packages that each needs. Graphs are for a GPU."""
ROUNDS = 3
_LONGEST = 1800
"""Seconds that all of it may take."""


def measure_beside(device: str) -> tuple[list[Beside], str]:
    """Measure W1 to W5 with the other frameworks that are installed, and with ours in the same run.

    Parameters
    ----------
    device : str
        Its full name.

    Returns
    -------
    list of Beside, str
        What was measured, and why a framework was left out; why nothing was measured, if nothing was.
    """
    names = [name for name, packages in PEERS.items() if all(map(importlib.util.find_spec, packages))]
    if not names:
        return [], "neither PyTorch nor JAX with optax is installed"
    if not (REPOSITORY / "benchmarks" / "__main__.py").exists():
        return [], "measured only from a clone of the repository, by its benchmark"
    try:
        rows = _benchmark(device, names).items()
    except (OSError, ValueError, LookupError, subprocess.SubprocessError) as error:
        return [], f"the benchmark failed: {error}"
    measured = [
        Beside(row, {name: 1e3 * times["median"] for name, times in result["peers"].items()})
        for row, result in rows
    ]
    notes = [f"{row}, {name}: {why}" for row, result in rows for name, why in result["notes"].items()]
    return measured, "; ".join(notes)


def _benchmark(device: str, names: list[str]) -> dict[str, Any]:
    """Run the benchmark in a process of its own, and return its results by workload."""
    kind, _, number = device.partition(":")
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.json"
        choices = ["--only", *WORKLOADS, "--peers", *names, "--rounds", str(ROUNDS), "--out", str(results)]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks", "--device", kind, *choices],
            cwd=REPOSITORY,
            env=os.environ | ({"CUDA_VISIBLE_DEVICES": _physical(int(number))} if number else {}),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LONGEST,
        )
        if done.returncode:
            raise ValueError((done.stderr.strip() or "no message").splitlines()[-1])
        setting = list(json.loads(results.read_text())["blas"].values())[-1]
    return setting["rows"]


def _physical(number: int) -> str:
    """Return the driver's name of a GPU: its number, unless the environment hides some."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return str(number) if seen is None else seen.split(",")[number].strip()
