"""Losses and metrics on a GPU, by the stand-in for CuPy: what does not count, and that nobody waits."""

from __future__ import annotations

import math

import cuda_on_host
import numpy as np
import pytest
import strict_cupy
from on_gpu import GPU, KERNELS

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import training
from tinygrad_adam.backend.device import to_host
from tinygrad_adam.kernels.cuda import elementwise as cuda_elementwise
from tinygrad_adam.kernels.cuda import loss as cuda_loss
from tinygrad_adam.ops.classification import _softmax_cross_entropy, _softmax_cross_entropy_vjp


@cuda_on_host.needs_compiler
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("labels", [[-100, -100, -100], [1, -100, 0], [2, -100, 2]])
@pytest.mark.parametrize("weight", [None, [1.0, 2.0, 0.0]])
def test_the_kernels_select_rows_that_count(monkeypatch, labels, weight, reduction, dtype):
    cuda_on_host.install(monkeypatch)
    logits = np.array([[0.0, 1.0, 2.0], [math.nan, math.inf, 0.0], [3.0, 1.0, 0.0]], dtype)
    labels, weight = np.array(labels), None if weight is None else np.array(weight, dtype)
    args, how = (labels, weight), {"ignore_index": -100, "reduction": reduction}
    g = np.array([1.0, math.inf, 2.0] if reduction == "none" else 1.5, dtype)
    with cuda_on_host.threads_in_a_block(3, 2), np.errstate(invalid="ignore"):
        loss = cuda_loss.softmax_cross_entropy(logits, *args, **how)
        slope = cuda_loss.softmax_cross_entropy_vjp(g, logits, *args, **how)
        wanted = _softmax_cross_entropy.forward(np, logits, *args, **how)
        gradient = _softmax_cross_entropy_vjp.forward(np, g, logits, *args, **how)
    np.testing.assert_allclose(loss, wanted, rtol=1e-6)
    np.testing.assert_allclose(slope, gradient, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(slope[1], 0)
    assert np.isfinite(slope).all()


@cuda_on_host.needs_compiler
def test_the_kernel_of_relu_selects(monkeypatch):
    cuda_on_host.install(monkeypatch)
    g, y = np.array([math.inf, math.nan, 1.0, 2.0]), np.array([0.0, -0.0, math.nan, 3.0])
    np.testing.assert_array_equal(cuda_elementwise.relu_vjp(g, y), [0, 0, 1, 2])


@pytest.fixture
def gpu():
    with strict_cupy.installed():
        tg.device(GPU)  # the small product that shows that it works is read
        yield


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("cross_entropy", {}),
        ("cross_entropy", {"label_smoothing": 0.1}),
        ("cross_entropy", {"weight": [1.0, 0.0, 2.0]}),
        ("nll_loss", {}),
        ("nll_loss", {"weight": [1.0, 0.0, 2.0]}),
    ],
)
def test_labels_that_do_not_count(gpu, name, settings, kernels):
    rows = np.array([[0.0, 1.0, 2.0], [math.nan, 0.0, 1.0], [1.0, 0.0, 2.0]], np.float32)
    for labels in ([-100, -100, -100], [1, -100, 2], [1, -100, 1]):
        for reduction in ("mean", "sum", "none"):
            found = []
            for device in ("cpu", GPU):
                z = tg.tensor(rows, device=device, requires_grad=True)
                y = tg.tensor(labels, device=device)
                weights = {
                    k: tg.tensor(v, device=device) if k == "weight" else v for k, v in settings.items()
                }
                with tg.use_kernels(kernels), strict_cupy.no_host_reads(), np.errstate(invalid="ignore"):
                    loss = getattr(F, name)(z, y, reduction=reduction, **weights)
                    loss.sum().backward()
                found.append((to_host(loss._data), to_host(z.grad._data)))
            np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-6)
            np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-5, atol=1e-7)
            np.testing.assert_array_equal(found[1][1][1], 0)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss", "binary_cross_entropy_with_logits"])
def test_integers_and_lists_beside_a_gpu(gpu, name):
    for values in (np.array([3, 250], np.uint8), np.zeros(0, np.int64)):
        for target in (list(range(len(values))), [0.25] * len(values)):
            for reduction in ("mean", "sum", "none"):
                loss = getattr(F, name)(tg.tensor(values, device=GPU), target, reduction=reduction)
                wanted = getattr(F, name)(tg.tensor(values), target, reduction=reduction)
                assert (loss.dtype, loss.shape) == (wanted.dtype, wanted.shape)
                np.testing.assert_allclose(to_host(loss._data), wanted.data, rtol=1e-6)


def test_metrics_read_nothing_before_their_value_is_asked_for(gpu):
    rng = np.random.default_rng(0)
    scores = np.round(rng.standard_normal((50, 7)), 1).astype(np.float32)
    scores[3, 2] = scores[4] = np.nan
    labels = rng.integers(-1, 8, 50)
    numbers = rng.integers(0, 256, (2, 50)).astype(np.uint8)
    for make, output, target in [
        *((lambda top=top: training.Accuracy(top), scores, labels) for top in (1, 2, 5, 7)),
        (training.MeanAbsoluteError, *numbers),
        (training.MeanSquaredError, *numbers),
    ]:
        here, there = make(), make()
        here.update(tg.tensor(output), tg.tensor(target))
        on_gpu = tg.tensor(output, device=GPU), tg.tensor(target, device=GPU)
        with strict_cupy.no_host_reads():
            there.update(*on_gpu)
        assert there.value == pytest.approx(here.value, rel=1e-6)
