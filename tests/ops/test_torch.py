"""Values and gradients against PyTorch, for every operation of the table that it has too."""

from __future__ import annotations

import numpy as np
import pytest
from cases import CASES, outputs_of, value_and_gradients, weighted

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")

pytestmark = pytest.mark.torch

SHARED = [case for case in CASES if callable(case.torch)]


def torch_value_and_gradients(case, arrays):
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    outputs = outputs_of(case.torch(torch, *leaves))
    rng = np.random.default_rng(3)  # the weights of `weighted`
    total = sum((out * torch.tensor(rng.standard_normal(out.shape)).to(out.dtype)).sum() for out in outputs)
    if total.requires_grad:
        total.backward()
    gradients = [np.zeros(x.shape, x.numpy(force=True).dtype) if x.grad is None else x.grad for x in leaves]
    return [out.detach().numpy() for out in outputs], [np.asarray(g) for g in gradients]


def assert_near(got, wanted, tolerance):
    """Compare relative to the largest element, as sums of both signs lose the small ones."""
    assert got.shape == wanted.shape
    scale = max(1.0, np.max(np.abs(wanted), initial=0.0))
    np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance * scale)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize("case", SHARED, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])
def test_pytorch_agrees(case, dtype, tolerance):
    arrays = [a.astype(dtype) for a in case.arrays()]
    values, gradients = value_and_gradients(case, arrays)
    torch_values, torch_gradients = torch_value_and_gradients(case, arrays)
    assert len(values) == len(torch_values)
    for got, wanted in zip(values + gradients, torch_values + torch_gradients, strict=True):
        assert_near(got, wanted, tolerance)


def test_the_same_weights_are_used():
    """The comparison of gradients means nothing if the sums that are differentiated differ."""
    outputs = [np.ones((2, 3)), np.ones(4)]
    rng = np.random.default_rng(3)
    assert weighted(outputs) == sum(rng.standard_normal(out.shape).sum() for out in outputs)


def test_cases_without_a_counterpart_say_why():
    for case in CASES:
        assert callable(case.torch) or len(case.torch) > 10


def test_most_cases_have_a_counterpart():
    assert len(SHARED) > 0.9 * len([case for case in CASES if case.differentiable])
