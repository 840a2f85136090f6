"""Check everything on a device and measure its speed: ``tinygrad-adam selfcheck``.

A GPU is compared with the CPU, the CPU's fast kernels with the reference kernels: values and gradients of
every operation, layer and optimizer, curves of small trainings, host waits in a training step, and
whether two runs are the same bit for bit. The tables say how to call everything; the tests read them too.
"""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..._version import __version__
from ...backend.cuda.diagnosis import diagnose
from ...backend.device import device as full_name
from ...backend.processor import processor_name
from . import comparing
from .beside import measure_beside
from .images import IMAGE_OPERATIONS
from .large import LARGE
from .layers import LAYERS
from .operations import OPERATIONS
from .report import Check, Failure, Report, Speed
from .speed import measure
from .trainings import QUICK, TRAININGS, compare_curves, repeated
from .waits import count_waits

DTYPES = ("float64", "float32")


def selfcheck(
    device: str = "cpu", quick: bool = False, told: Callable[[str], None] = lambda text: None
) -> Report:
    """Check a device and measure it.

    Parameters
    ----------
    device : str
        ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"auto"``.
    quick : bool
        Train less and measure no speed.
    told : callable
        Called with a few words about the next part.

    Returns
    -------
    Report

    Raises
    ------
    DeviceError
        If the device cannot be used.

    Examples
    --------
    >>> report = selfcheck("cpu", quick=True)  # doctest: +SKIP
    >>> report.failed  # doctest: +SKIP
    []
    """
    device = full_name(device)
    compared = (
        "Fast kernels against the reference kernels in float64; errors are relative"
        if device == "cpu"
        else "The GPU against the CPU's reference kernels in float64; errors are relative"
    )
    report = Report(device, _name(device), compared, time.strftime("%Y-%m-%d"), quick, _versions(device))

    report.checks += _comparisons(device, told)
    for training in QUICK if quick else TRAININGS:
        told(f"training: {training.name}")
        check, curve = compare_curves(training, device)
        report.checks.append(check)
        if curve:
            report.curves[training.name] = curve
    told("host waits")
    report.checks.append(count_waits(device))
    twice = (("two runs of large calls", comparing.calls(LARGE)), ("two runs of trainings", repeated()))
    for name, cases in twice:
        told(name)
        report.checks.append(comparing.compare_bits(name, cases, device))
    if not quick:
        report.speeds = measure(device, lambda text: told(f"speed: {text}"))
        told("speed: other frameworks, some minutes")
        report.others, report.others_note = measure_beside(device)
    return report


def _comparisons(device: str, told: Callable[[str], None]) -> Iterator[Check]:
    for dtype in DTYPES:
        for name, cases in (
            ("operations", comparing.calls([*OPERATIONS, *IMAGE_OPERATIONS])),
            ("large calls", comparing.calls(LARGE)),
            ("layers", comparing.layers(LAYERS)),
            ("optimizers", comparing.optimizers()),
        ):
            told(f"{name}, {dtype}")
            yield comparing.compare(name, cases, device, dtype)


def _name(device: str) -> str:
    """Name the processor or the GPU."""
    if device != "cpu":
        return diagnose().driver.gpus[int(device.partition(":")[2])].name
    return processor_name()


def _versions(device: str) -> dict[str, str]:
    """Return the versions of the libraries that compute."""
    found = {"tinygrad_adam": __version__, "Python": platform.python_version()}
    for package in ("numpy", "numba"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    if device != "cpu":
        diagnosis = diagnose()
        found |= diagnosis.packages | {"driver": diagnosis.driver.version}
    return found
