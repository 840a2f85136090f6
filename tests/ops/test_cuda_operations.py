"""The table of operations on a GPU, under the strict stand-in for CuPy: values and derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import strict_cupy
from cases import CASES, outputs_of, weighted
from on_gpu import GPU, needs_compiler, on_the_gpu

import tinygrad_adam as tg
from tinygrad_adam.backend.device import asarray, device_of, to_host


@pytest.fixture(autouse=True)
def gpu():
    with strict_cupy.installed():
        tg.device(GPU)  # the small product that shows that it works is read
        yield


def results(case, device):
    """Return the outputs, the gradients, and the gradients of the sum of squares of the gradients."""
    leaves = [tg.Tensor(asarray(a, device=device), requires_grad=True) for a in case.arrays()]
    outputs = outputs_of(case.function(*leaves))
    found = [out._data for out in outputs]
    if not case.differentiable:
        return found
    weighted(outputs).backward(create_graph=True)
    firsts = [leaf.grad for leaf in leaves if leaf.grad is not None]
    found += [g._data for g in firsts]
    again = sum((g * g).sum() for g in firsts)
    if again.requires_grad:
        for leaf in leaves:
            leaf.grad = None
        again.backward()
        found += [leaf.grad._data for leaf in leaves if leaf.grad is not None]
    return found


def picks_by_a_mask(case):
    """Whether the shape of a result depends on values, which CuPy has to read."""
    return case.label == "mask" or (case.op == "getitem" and ("True" in case.label or "False" in case.label))


@pytest.mark.parametrize(
    "kernels", [pytest.param("fast", marks=needs_compiler), pytest.param("reference", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_derivatives_are_those_of_the_cpu(case, kernels):
    with tg.use_kernels("reference"):
        wanted = results(case, "cpu")
    placed = on_the_gpu(case)
    with strict_cupy.reading(picks_by_a_mask(case)), tg.use_kernels(kernels):
        found = results(placed, GPU)
    assert len(found) == len(wanted)
    for here, there in zip(found, wanted, strict=True):
        assert device_of(here) == GPU
        assert here.dtype == there.dtype
        np.testing.assert_allclose(to_host(here), there, rtol=1e-11, atol=1e-13)
