"""Measure every installed peer on the same work, in one run.

Each peer lives in a process of its own, and the rounds go round about, so that the machine's drift hits all
alike. Before anything is timed, the first losses must agree.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .peers import installed
from .workloads import ADAM_SIZES, WORKLOADS

AGREEMENT = 1e-4
PINS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


class Peer:
    """A worker process."""

    def __init__(self, name: str, environment: dict[str, str]) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def ask(self, *command: Any) -> Any:
        """Send a command and return the answer."""
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended")
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def measure(work: str, names: list[str], rounds: int, environment: dict[str, str]) -> dict[str, Any]:
    """Time one workload for all peers; return milliseconds a step, and notes on who could not."""
    peers, times, notes, losses, memory = [], {}, {}, {}, {}
    for name in names:
        peer = Peer(name, environment)
        try:
            if work in WORKLOADS:
                losses[name] = peer.ask("train", work)
            else:
                peer.ask("adam", ADAM_SIZES[work])
        except RuntimeError as error:
            notes[name] = str(error)
            continue
        peers.append(peer)
        times[name] = []
    expected = losses.get(names[0])
    for name, values in losses.items():
        difference = max(abs(a - b) for a, b in zip(values, expected, strict=True))
        if difference > AGREEMENT:
            raise SystemExit(f"{work}: the losses of {name} differ by {difference:.1e}: {values}, {expected}")
    steps = WORKLOADS[work].steps if work in WORKLOADS else max(3, 2_000_000 // ADAM_SIZES[work])
    for _ in range(rounds):
        for peer in peers:
            times[peer.name] += peer.ask("run", steps)
    for peer in peers:
        memory[peer.name] = peer.ask("memory")
        peer.close()
    ms = {
        name: {"median": statistics.median(t) * 1e3, "min": min(t) * 1e3, "steps": len(t)}
        for name, t in times.items()
    }
    return {"ms": ms, "memory_mib": memory, "first_losses": expected, "notes": notes}


def table(work: str, result: dict[str, Any], rates: dict[str, float]) -> str:
    """Return the result as text."""
    ours = result["ms"]["ours"]["median"]
    title = (
        WORKLOADS[work].description if work in WORKLOADS else f"Adam alone, {ADAM_SIZES[work]:,} parameters"
    )
    lines = [f"{work}  {title}"]
    if work in WORKLOADS:
        flops, traffic = WORKLOADS[work].work()
        limit = (flops / rates["flops"] + traffic / rates["bytes"]) * 1e3
        result["limit_ms"] = limit
        lines.append(f"    {'limit: products and memory':<22} {limit:9.3f} ms")
    for name, ms in sorted(result["ms"].items(), key=lambda item: item[1]["median"]):
        ratio = ms["median"] / ours
        lines.append(
            f"    {name:<22} {ms['median']:9.3f} ms   min {ms['min']:9.3f}   {ratio:6.2f} x ours"
            f"   {result['memory_mib'][name]:6.0f} MiB"
        )
    return "\n".join(lines + [f"    {name}: {note}" for name, note in result["notes"].items()])


def main() -> None:
    """Parse, measure, print, and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = [*WORKLOADS, *ADAM_SIZES]
    parser.add_argument("--only", nargs="*", choices=known, default=known, help="which workloads")
    parser.add_argument("--peers", nargs="*", choices=installed(), default=installed(), help="which peers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pinned", action="store_true", help=f"keep {' and '.join(PINS)} of the environment")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results.json"))
    args = parser.parse_args()
    environment = {name: value for name, value in os.environ.items() if args.pinned or name not in PINS}
    output = subprocess.run(
        [sys.executable, "-m", "benchmarks.machine"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    rates = json.loads(output.stdout)
    print(f"float32 products {rates['flops'] / 1e9:.0f} GFLOP/s, copying {rates['bytes'] / 1e9:.1f} GB/s\n")
    results: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "rates": rates,
        "work": {},
    }
    names = ["ours", *[name for name in args.peers if name != "ours"]]
    for work in args.only:
        measured = [
            n for n in names if work in WORKLOADS or n in ("ours", "ours (reference)", "torch", "torch fused")
        ]
        results["work"][work] = measure(work, measured, args.rounds, environment)
        print(table(work, results["work"][work], rates) + "\n", flush=True)
        args.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
