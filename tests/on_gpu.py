"""Running the tables on a GPU: the constants inside a row are put beside what it is called with."""

from __future__ import annotations

import importlib
from functools import partial

import numpy as np
import pytest
from cuda_on_host import needs_compiler

import tinygrad_adam as tg
from tinygrad_adam.backend.device import asarray

GPU = "cuda:1"
"""Not the current one, so that what is computed without making it current is found out."""

KERNELS = ["reference", pytest.param("fast", marks=needs_compiler)]


def put_constants_on_the_gpu(monkeypatch):
    """Move NumPy arrays that stand beside a Tensor to the GPU, and make Tensors there, as a user would."""

    def beside(convert):
        def converted(value, *like):
            return asarray(value, device=GPU) if isinstance(value, np.ndarray) else convert(value, *like)

        return converted

    # By name: the package has functions of these modules' names.
    for module, name in (("primitive", "operand"), ("ops.loss", "raw"), ("ops.cross_entropy", "raw")):
        module = importlib.import_module(f"tinygrad_adam.{module}")
        monkeypatch.setattr(module, name, beside(getattr(module, name)))
    monkeypatch.setattr(tg, "tensor", partial(tg.tensor, device=GPU))
