"""Losses against PyTorch where nothing counts, where integers meet floats, and where it has no elements."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")

pytestmark = pytest.mark.torch
G = torch.nn.functional

LABELS = [[1, -100, 2], [-100, -100, -100], [0, 0, 0], [2, 0, -100]]
WEIGHTS = [None, [0.5, 1.0, 2.0], [0.0, 1.0, 2.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize("kernels", ["fast", "reference"])
@pytest.mark.parametrize("name", ["cross_entropy", "smoothed", "nll_loss"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_labels_that_do_not_count(reduction, name, kernels):
    """The loss is PyTorch's everywhere, and the gradient where that is no NaN, for which there is 0."""
    rows = np.random.default_rng(0).standard_normal((3, 3)).astype(np.float32)
    settings = {"label_smoothing": 0.2} if name == "smoothed" else {}
    name = "cross_entropy" if name == "smoothed" else name
    for labels, weight in itertools.product([*LABELS, []], WEIGHTS):
        z = tg.tensor(rows[: len(labels)], requires_grad=True)
        t = torch.tensor(rows[: len(labels)], requires_grad=True)
        target = np.array(labels, dtype=int)
        with tg.use_kernels(kernels):
            loss = getattr(F, name)(z, target, weight=weight, reduction=reduction, **settings)
            loss.sum().backward()
        wanted = getattr(G, name)(
            t, torch.tensor(target), weight=None if weight is None else torch.tensor(weight),
            reduction=reduction, **settings,
        )  # fmt: skip
        wanted.sum().backward()
        np.testing.assert_allclose(
            loss.data, wanted.detach().numpy(), rtol=1e-5, atol=1e-6, err_msg=f"{labels} {weight}"
        )
        gradient = np.nan_to_num(t.grad.numpy(), nan=0.0)
        np.testing.assert_allclose(z.grad.data, gradient, rtol=1e-5, atol=1e-6, err_msg=f"{labels} {weight}")


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    "name", ["mse_loss", "l1_loss", "huber_loss", "kl_div", "binary_cross_entropy_with_logits"]
)
def test_elements(name, reduction):
    ours, theirs = getattr(F, name), getattr(G, name)
    for size in (0, 5):
        x, t = np.linspace(-2, 2, size, dtype=np.float32), np.linspace(0.1, 0.9, size, dtype=np.float32)
        wanted = theirs(torch.tensor(x), torch.tensor(t), reduction=reduction)
        np.testing.assert_allclose(ours(tg.tensor(x), t, reduction=reduction).data, wanted.numpy(), rtol=1e-5)
    x, t = np.array([3, 4, 200], np.uint8), [0.25, 0.5, 1.0]
    wanted = theirs(torch.tensor(x).double(), torch.tensor(t).double(), reduction=reduction)
    np.testing.assert_allclose(
        ours(tg.tensor(x), t, reduction=reduction).data, wanted.numpy(), rtol=1e-5, atol=1e-30
    )
