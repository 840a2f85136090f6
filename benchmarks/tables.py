"""Print the results as tables in Markdown: ``python -m benchmarks.tables [results.json]``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from .workloads import CHAIN, DEEP

RESULTS = Path("benchmarks/results.json")
MEMORY = ("W3", "W5")


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """Return a table with aligned columns: the first to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    widths = [max(width, 3) for width in widths]

    def line(cells: list[str]) -> str:
        first, *rest = zip(cells, widths, strict=True)
        return "| " + " | ".join([first[0].ljust(first[1]), *(c.rjust(w) for c, w in rest)]) + " |"

    rule = line(["-" * w if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)])
    return "\n".join([line(head), rule, *map(line, rows)])


def number(value: float) -> str:
    """Format a value with three significant digits, keeping all digits before the decimal point."""
    if value >= 100:
        return f"{value:,.0f}"
    digits = 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f}"


def scale(row: str) -> tuple[float, str]:
    """Return the factor from seconds per step to the unit of a row, and the unit."""
    return (1e6 / CHAIN, "µs per operation") if row == DEEP else (1e3, "ms")


def row_table(row: str, result: dict[str, Any]) -> str:
    """Return the table of one row, fastest peer first, with the limit above it and notes below."""
    factor, unit = scale(row)
    lines = [f"{row}: {result['title']}", ""]
    if result["limit"]:
        parts = {name: number(seconds * factor) for name, seconds in result["limit"].items()}
        lines[0] += (
            f"; limit {parts['limit']} {unit} (products {parts['products']}, memory {parts['memory']})"
        )
    peers = result["peers"]
    if "ours" in peers:
        ours = peers["ours"]["median"]
        rows = [
            [
                name,
                number(p["median"] * factor),
                number(p["min"] * factor),
                number(p["median"] / ours),
                f"{p['steps']}",
            ]
            for name, p in sorted(peers.items(), key=lambda item: item[1]["median"])
        ]
        lines.append(markdown(["peer", f"median, {unit}", f"min, {unit}", "x ours", "steps"], rows))
    lines += ["", *(f"- {name}: {note}" for name, note in result["notes"].items())]
    return "\n".join(lines).rstrip()


def summary(rows: dict[str, Any]) -> str:
    """Return the medians of all peers in all rows, with a dash where there is none."""
    names = list(
        dict.fromkeys(name for result in rows.values() for name in [*result["peers"], *result["notes"]])
    )
    lines = []
    for row, result in rows.items():
        factor, _ = scale(row)
        medians = {name: number(p["median"] * factor) for name, p in result["peers"].items()}
        limit = number(result["limit"]["limit"] * factor) if result["limit"] else "-"
        lines.append([row, *(medians.get(name, "-") for name in names), limit])
    return markdown(["", *names, "limit"], lines)


def memory_table(rows: dict[str, Any]) -> str:
    """Return the resident memory in MiB after the import, and at the peak of each row."""
    measured = [row for row in MEMORY if row in rows]
    names = list(dict.fromkeys(name for row in measured for name in rows[row]["peers"]))
    lines = []
    for name in names:
        found = [rows[row]["peers"].get(name) for row in measured]
        imported = min(p["imported"] for p in found if p)
        lines.append([name, number(imported), *(number(p["peak"]) if p else "-" for p in found)])
    return markdown(["peer", "imported, MiB", *(f"{row} peak, MiB" for row in measured)], lines)


def import_table(imports: dict[str, Any]) -> str:
    """Return the import times, fastest first."""
    done = {name: times for name, times in imports.items() if "median" in times}
    lines = [
        [name, f"`{t['statement']}`", number(t["median"] * 1e3), number(t["min"] * 1e3)]
        for name, t in sorted(done.items(), key=lambda item: item[1]["median"])
    ]
    failures = [f"- {name}: {t['failure']}" for name, t in imports.items() if "failure" in t]
    return "\n".join([markdown(["", "statement", "median, ms", "min, ms"], lines), "", *failures]).rstrip()


def rates_line(rates: dict[str, Any] | None) -> str:
    """Return a line with the machine's peak rates, if they were measured."""
    if rates is None:
        return "on a GPU; 'tinygrad-adam selfcheck' measures its copying rate"
    moved = ", ".join(f"{rate / 1e9:.0f} ({size / 2**20:.3g} MiB)" for size, rate in rates["moved"])
    return (
        f"float32 products {rates['flops'] / 1e9:.0f} GFLOP/s, copying {rates['copy'] / 1e9:.1f} GB/s; "
        f"peak reading and writing, GB/s: {moved}"
    )


def report(results: dict[str, Any]) -> str:
    """Return all tables of the results."""
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    parts = [f"{results['date']}; {results['machine']}; {results['threads']} threads; {versions}"]
    for blas, setting in results["blas"].items():
        variables = " ".join(f"{k}={v}" for k, v in setting["variables"].items()) or "no variables set"
        parts += [f"## BLAS: {blas} ({variables})", rates_line(setting["rates"])]
        rows = setting["rows"]
        parts += [row_table(row, result) for row, result in rows.items()]
        if rows:
            parts += ["Medians: ms per step; deep: µs per operation", summary(rows)]
        if any(rows[row]["peers"] for row in MEMORY if row in rows):
            parts += ["Resident memory", memory_table(rows)]
    if results["imports"]:
        parts += ["## Import", import_table(results["imports"])]
    return "\n\n".join(parts)


if __name__ == "__main__":
    print(report(json.loads((Path(sys.argv[1]) if sys.argv[1:] else RESULTS).read_text())))
