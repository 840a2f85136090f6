"""The command that shows the devices, and how to get a missing one."""

from __future__ import annotations

import importlib.util
import os
from importlib import metadata

import numpy
from rich.table import Table
from rich.text import Text

from .. import cuda
from ..backend.cuda.diagnosis import Diagnosis, Gpu, diagnose
from ..backend.processor import processor_name
from ..backend.threads import get_num_threads
from ..files.text import counted
from .shared import console, say

FAST = 'pip install "tinygrad-adam[fast]"'
STYLES = {"ready": "bold green", "not ready": "bold yellow", "none": "dim"}


def devices() -> None:
    """Show the processor and the GPUs, and how to get a missing part."""
    first = diagnose()
    gpus = first.driver.gpus
    found = [first, *(diagnose(gpu.index) for gpu in gpus[1:])]

    threads = f"{counted(os.cpu_count() or 1, 'core')}, {counted(get_num_threads(), 'thread')}"
    rows = [("cpu", "ready", f"{processor_name()}, {threads}\n{_software()}")]
    rows += [_row(gpu, diagnosis) for gpu, diagnosis in zip(gpus, found, strict=False)]
    if not gpus:
        rows.append(
            ("cuda", "none", "no GPU that the driver shows" if first.driver.found else "no NVIDIA GPU")
        )
    table = Table.grid(padding=(0, 3, 0, 0))
    for device, state, text in rows:
        table.add_row(Text(device, "bold"), Text(state, STYLES[state]), Text(text))
    console.print(table)

    if first.driver.found or first.packages:
        say(f"\nFor GPUs: {_stack(first)}")
    advice = {(diagnosis.problem, diagnosis.remedy): None for diagnosis in found}
    if not _has_numba():
        advice["Numba is not installed: on the CPU, kernels are plain NumPy, and slower.", FAST] = None
    for problem, remedy in advice:
        if problem and remedy:
            say(f"\n{problem}", "bold")
            say(f"  {remedy}")


def _software() -> str:
    """Return the versions of Numba and NumPy, and NumPy's BLAS library."""
    built_with = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
    name = built_with["name"].removeprefix("scipy-").replace("openblas", "OpenBLAS")
    version = ".".join(built_with["version"].split(".")[:3])
    numba = f"Numba {metadata.version('numba')}" if _has_numba() else "no Numba"
    return f"{numba}, NumPy {numpy.__version__}, {name} {version}"


def _row(gpu: Gpu, diagnosis: Diagnosis) -> tuple[str, str, str]:
    memory = f"{gpu.memory / 2**30:.1f} GiB of memory"
    if diagnosis.problem is None:
        memory += f" ({cuda.memory(f'cuda:{gpu.index}').free / 2**30:.1f} free)"
    capability = f"compute capability {gpu.capability[0]}.{gpu.capability[1]}"
    state = "not ready" if diagnosis.problem else "ready"
    return f"cuda:{gpu.index}", state, f"{gpu.name}\n{memory}, {capability}"


def _stack(diagnosis: Diagnosis) -> str:
    """Return the versions of the driver and the packages, and the places of CUDA's libraries."""
    driver = diagnosis.driver
    parts = [f"{driver} for CUDA {driver.cuda[0]}.{driver.cuda[1]}" if driver.found else "no NVIDIA driver"]
    parts += [f"{name} {version}" for name, version in diagnosis.packages.items()] or ["no CuPy"]
    places = sorted(set(filter(None, diagnosis.libraries.values())))
    if places:
        parts.append(f"CUDA's libraries from {' and '.join(places)}")
    return ", ".join(parts)


def _has_numba() -> bool:
    return importlib.util.find_spec("numba") is not None
