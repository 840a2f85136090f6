"""The kernels of the optimizers: their names, and arrays and scalars to call them with."""

from __future__ import annotations

import importlib
import inspect

import numpy as np
from hypothesis import strategies as st
from optim_cases import ROWS

from tinygrad_adam import optim
from tinygrad_adam.kernels import cpu

CLASSES = (*(row.cls for row in ROWS.values()), optim.SparseAdam)
UPDATES = {cls.kernel or cls.__name__.lower(): cls.update for cls in CLASSES}
"""The update of each optimizer, by the name of its kernel, or else of its class."""
OPTIMIZER_KERNELS = sorted({cls.kernel for cls in CLASSES if cls.kernel} - {"sparse_adam"})


def cpu_kernel(name):
    """Return the compiled kernel of that name."""
    module = next(module for module, names in cpu.KERNELS.items() if name in names.split())
    return getattr(importlib.import_module(f"{cpu.__name__}.{module}"), name)


OPTIONAL = {"velocity", "v_max", "mean"}
SCALARS = {
    "scale": st.sampled_from([1.0, 0.25, 1 / 3]),
    "l2": st.sampled_from([0.0, 0.01, 0.5]),
    "shrink": st.sampled_from([1.0, 0.99, 0.5]),
    "lr": st.floats(0, 1),
    "lr_grad": st.floats(0, 1),
    "lr_mean": st.floats(0, 1),
    "momentum": st.sampled_from([0.5, 0.99]),
    "undamped": st.floats(0, 1),
    "beta1": st.floats(0, 0.99),
    "beta2": st.floats(0, 0.999),
    "rho": st.floats(0, 0.99),
    "alpha": st.floats(0, 0.99),
    "eps": st.sampled_from([1e-8, 1e-3, 0.1, 1.0]),
    "eps_root": st.sampled_from([0.0, 1e-3, 0.1]),
    "initial": st.sampled_from([0.0, 0.5]),
    "correction1": st.floats(0.01, 1),
    "correction2": st.floats(0.001, 1),
    "lower": st.floats(0, 0.1),
    "upper": st.floats(0.1, 1),
    **dict.fromkeys(("nesterov", "corrected_max", "adaptive"), st.booleans()),
}


def kernel_arguments(name):
    """Return the names of a kernel's arrays and of its scalars, in order."""
    parameters = inspect.signature(UPDATES[name]).parameters.values()
    arrays = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD][1:]
    return arrays, [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]


def arrays_of(name, rng, size, dtype, without=frozenset()):
    arrays = []
    for array in kernel_arguments(name)[0]:
        values = rng.standard_normal(size)
        if array in ("v", "v_max", "u", "s", "total", "moved"):
            values = values**2 + (0.1 if array in ("v", "u") else 0.0)
        if array == "mean":  # with v, of a variance that is not negative
            values = np.clip(values, -0.3, 0.3)
        arrays.append(None if array in without else values.astype(dtype))
    return arrays


VALUES = {
    "scale": 1.0, "l2": 0.01, "shrink": 0.99, "lr": 0.1, "lr_grad": 0.1, "lr_mean": 0.2, "momentum": 0.9,
    "undamped": 0.5, "beta1": 0.9, "beta2": 0.99, "rho": 0.9, "alpha": 0.9, "eps": 1e-8, "eps_root": 0.0,
    "initial": 0.1, "correction1": 0.3, "correction2": 0.03, "lower": 0.01, "upper": 1.0, "nesterov": True,
    "corrected_max": False, "adaptive": True,
}  # fmt: skip
