"""Run the tables on a GPU, with the arrays among a row's settings moved there as well."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from cuda_on_host import needs_compiler

from tinygrad_adam.backend.device import asarray

GPU = "cuda:1"
"""Not the current GPU, so that code that forgets to select the right one fails."""

KERNELS = ["reference", pytest.param("fast", marks=needs_compiler)]


def on_the_gpu(case):
    """Return a row of the table of operations with its arrays on the GPU."""
    return dataclasses.replace(case, settings={name: _put(value) for name, value in case.settings.items()})


def _put(value):
    if isinstance(value, tuple):
        return tuple(map(_put, value))
    return asarray(value, device=GPU) if isinstance(value, np.ndarray) else value
