"""Measure every installed peer on the same work, in one run.

Each peer runs in its own process, and the peers take turns, so that drift of the machine's speed affects all
of them. Nothing is timed before the first losses agree.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

from tinygrad_adam.backend.processor import processor_name

from .machine import better, limit
from .measure import BLAS, BLAS_VARIABLES, environment, hold_cores, import_times, machine_rates, measure
from .peers import GPU_PEERS, ON, PEERS, THREADS, installed
from .tables import RESULTS, import_table, rates_line, report, row_table
from .workloads import ROWS

IMPORT = "import"
GPU_RESULTS = RESULTS.with_name("results-gpu.json")


def versions(names: list[str]) -> dict[str, str]:
    """Return the versions of NumPy, Numba and the measured packages, if known."""
    found = {}
    for package in ("numpy", "numba", *(package for name in names for package in PEERS[name].packages)):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine(on_gpu: bool) -> str:
    """Return the names of the processor and, if `on_gpu`, of the GPU and its driver."""
    if not on_gpu:
        return processor_name()
    from tinygrad_adam.backend.cuda.diagnosis import diagnose

    found = diagnose()
    if found.problem:
        raise SystemExit(f"{found.problem} {found.remedy}")
    return f"{found.driver.gpus[0].name}, {found.driver}, {processor_name()}"


def main() -> None:
    """Parse the command line, measure, print the tables, and write the results as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--device", choices=ON, default="cpu", help="device on which the peers compute")
    known = [*ROWS, IMPORT]
    parser.add_argument("--only", nargs="+", choices=known, default=known, help="rows to measure")
    parser.add_argument("--peers", nargs="+", choices=[*PEERS, *GPU_PEERS], help="peers besides ours")
    parser.add_argument("--rounds", type=int, default=15, help="maximum number of turns per peer")
    parser.add_argument(
        "--blas", nargs="+", choices=BLAS,
        help="kernels of NumPy's BLAS: the processor's own, the ones that the environment selects, or "
        "pinned to Haswell; by default own, and environment if it sets " + " or ".join(BLAS_VARIABLES),
    )  # fmt: skip
    parser.add_argument("--out", type=Path, help="file for the results, as JSON")
    args = parser.parse_args()
    on_gpu = args.device == "cuda"
    args.out = args.out or (GPU_RESULTS if on_gpu else RESULTS)
    pinned_here = any(name in os.environ for name in BLAS_VARIABLES)
    settings = args.blas or (["environment", "own"] if pinned_here else ["own"])
    here = installed(args.device)
    names = ["ours", *(name for name in args.peers or here if name != "ours" and name in here)]
    rows = [row for row in args.only if row != IMPORT]
    hold_cores()

    results: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{machine(on_gpu)}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "threads": THREADS,
        "rounds": args.rounds,
        "versions": versions(names),
        "blas": {},
        "imports": {},
    }

    def show(text: str) -> None:
        print(text + "\n", flush=True)
        args.out.write_text(json.dumps(results, indent=1) + "\n")

    for blas in settings:
        variables = environment(blas)
        setting: dict[str, Any] = {
            "variables": {name: variables[name] for name in BLAS_VARIABLES if name in variables},
            "rates": None if on_gpu else machine_rates(variables),
            "rows": {},
        }
        results["blas"][blas] = setting
        show(f"BLAS {blas}: {rates_line(setting['rates'])}")
        for row in rows:
            setting["rows"][row] = measure(row, names, args.rounds, blas, args.device)
            setting["rows"][row]["limit"] = limit(row, setting["rates"])
            show(row_table(row, setting["rows"][row]))
        if on_gpu:
            continue
        setting["rates"] = better(setting["rates"], machine_rates(variables))
        for row, result in setting["rows"].items():
            result["limit"] = limit(row, setting["rates"])
    if IMPORT in args.only:
        results["imports"] = import_times(names, environment("own"))
        show(import_table(results["imports"]))
    show(report(results))


if __name__ == "__main__":
    main()
