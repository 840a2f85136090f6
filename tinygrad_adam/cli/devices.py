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
from .shared import console, counted, say

FAST = 'pip install "tinygrad-adam[fast]"'
_STYLES = {"ready": "bold green", "not ready": "bold yellow", "none": "dim"}


def devices() -> None:
    """Show the processor and the GPUs, and how to mend a missing part."""
    first = diagnose()
    gpus = first.driver.gpus
    found = [first, *(diagnose(gpu.index) for gpu in gpus[1:])]

    table = Table.grid(padding=(0, 3, 0, 0))
    _add(table, "cpu", "ready", f"{processor_name()}, {_threads()}", _software())
    for gpu, diagnosis in zip(gpus, found, strict=False):
        _add(
            table, f"cuda:{gpu.index}", "not ready" if diagnosis.problem else "ready", *_about(gpu, diagnosis)
        )
    if not gpus:
        _add(table, "cuda", "none", "no GPU that the driver shows" if first.driver.found else "no NVIDIA GPU")
    console.print(table)

    if first.driver.found or first.packages:
        say(f"\nFor GPUs: {_stack(first)}")
    for problem, remedy in dict.fromkeys((diagnosis.problem, diagnosis.remedy) for diagnosis in found):
        if problem and remedy:
            _advise(problem, remedy)
    if not _has("numba"):
        _advise("Numba is not installed: on the CPU, kernels are plain NumPy, and slower.", FAST)


def _add(table: Table, device: str, state: str, *lines: str) -> None:
    table.add_row(Text(device, "bold"), Text(state, _STYLES[state]), Text("\n".join(lines)))


def _advise(problem: str, remedy: str) -> None:
    say(f"\n{problem}", "bold")
    say(f"  {remedy}")


def _threads() -> str:
    return f"{counted(os.cpu_count() or 1, 'core')}, {counted(get_num_threads(), 'thread')}"


def _software() -> str:
    """Return the versions of Numba and NumPy, and NumPy's BLAS library."""
    built_with = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
    name = built_with["name"].removeprefix("scipy-").replace("openblas", "OpenBLAS")
    version = ".".join(built_with["version"].split(".")[:3])
    numba = f"Numba {metadata.version('numba')}" if _has("numba") else "no Numba"
    return f"{numba}, NumPy {numpy.__version__}, {name} {version}"


def _about(gpu: Gpu, diagnosis: Diagnosis) -> tuple[str, str]:
    memory = f"{gpu.memory / 2**30:.1f} GiB of memory"
    if diagnosis.problem is None:
        memory += f" ({cuda.memory(f'cuda:{gpu.index}').free / 2**30:.1f} free)"
    return gpu.name, f"{memory}, compute capability {gpu.capability[0]}.{gpu.capability[1]}"


def _stack(diagnosis: Diagnosis) -> str:
    """Return the versions of the driver and the packages, and the places of CUDA's libraries."""
    driver = diagnosis.driver
    parts = [f"{driver} for CUDA {driver.cuda[0]}.{driver.cuda[1]}" if driver.found else "no NVIDIA driver"]
    parts += [f"{name} {version}" for name, version in diagnosis.packages.items()] or ["no CuPy"]
    places = sorted(set(filter(None, diagnosis.libraries.values())))
    if places:
        parts.append(f"CUDA's libraries from {' and '.join(places)}")
    return ", ".join(parts)


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
