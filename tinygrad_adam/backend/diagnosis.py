"""Why a GPU cannot be used, and what to do about it."""

from __future__ import annotations

from typing import NamedTuple


class Diagnosis(NamedTuple):
    """What stands in the way of a GPU.

    Attributes
    ----------
    problem : str or None
        What is wrong, in one sentence; None if nothing is.
    remedy : str or None
        What to do about it, in one sentence.
    """

    problem: str | None
    remedy: str | None


def diagnose() -> Diagnosis:
    """Look for what a GPU needs, until something is missing."""
    try:
        import cupy
    except Exception as error:
        return Diagnosis(f"CuPy cannot be imported ({error}).", "Install it: pip install cupy-cuda13x[ctk]")
    try:
        cupy.ones(1).sum().get()
    except Exception as error:
        return Diagnosis(f"CuPy cannot use a GPU here ({error}).", "Install a driver, or use device='cpu'.")
    return Diagnosis(None, None)
