"""Every layer and loss on a GPU, under the strict stand-in for CuPy, against the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import strict_cupy
from layers import LAYERS, build
from on_gpu import GPU, KERNELS

import tinygrad_adam as tg
from tinygrad_adam import nn
from tinygrad_adam.backend.device import asarray, device_of, to_host
from tinygrad_adam.nn import functional as F


@pytest.fixture(autouse=True)
def gpu():
    with strict_cupy.installed():
        tg.device(GPU)  # the small product that shows that it works is read
        yield


def on(device, value):
    """Put a constant of the table on the device: an array, or a sparse matrix with its parts."""
    if isinstance(value, np.ndarray):
        return asarray(value, device=device)
    for name in ("data", "indices", "indptr"):
        setattr(value, name, asarray(getattr(value, name), device=device))
    return value


def results(layer, device):
    """Return the output, the buffers, and the gradients of inputs and parameters."""
    module = build(layer).to(device).train(layer.train)
    rng = np.random.default_rng(1)
    inputs = [tg.Tensor(asarray(a, device=device), requires_grad=True) for a in layer.inputs(rng)]
    constants = [on(device, value) for value in layer.constants(rng)]
    with strict_cupy.reading(layer.name == "SparseLinear" or layer.label == "sparse"):
        output = module(*inputs, *constants)
        (output * output).sum().backward()
    leaves = [*inputs, *module.parameters()]
    return [output._data, *(b._data for b in module.buffers()), *(dense(leaf.grad) for leaf in leaves)]


def dense(gradient):
    return gradient.to_dense() if isinstance(gradient, tg.RowSparse) else gradient._data


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_layers_and_losses_give_the_results_of_the_cpu(layer, kernels):
    with tg.use_kernels("reference"):
        wanted = results(layer, "cpu")
    with tg.use_kernels(kernels):
        found = results(layer, GPU)
    for here, there in zip(found, wanted, strict=True):
        assert device_of(here) == GPU
        assert here.dtype == there.dtype
        np.testing.assert_allclose(to_host(here), there, rtol=1e-11, atol=1e-13)


def test_dropout_drops_the_same_on_both():
    x = np.random.default_rng(0).standard_normal((50, 4, 3, 3))
    for layer in (nn.Dropout(0.3), nn.Dropout2d(0.3)):
        found = []
        for device in ("cpu", GPU):
            with tg.fork_rng(0):
                found.append(layer(tg.tensor(x, device=device)).numpy())
        np.testing.assert_array_equal(*found)
        assert (found[0] == 0).any()


# --- Labels and indices out of range --------------------------------------------------------------------


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("label", [3, -1, 1000])
@pytest.mark.parametrize("settings", [{}, {"label_smoothing": 0.1}, {"weight": [1.0, 2.0, 3.0]}], ids=str)
def test_a_label_out_of_range_makes_the_loss_nan(label, reduction, settings, kernels):
    logits = tg.tensor(np.zeros((3, 3)), device=GPU, requires_grad=True)
    labels = tg.tensor([0, label, 1], device=GPU)
    with strict_cupy.no_host_reads(), tg.use_kernels(kernels):
        loss = F.cross_entropy(logits, labels, reduction=reduction, **settings)
        loss.sum().backward()
    values = loss.detach().numpy()
    assert np.isnan(values[1] if reduction == "none" else values)
    assert np.isnan(logits.grad.numpy()[1]).any()
    if reduction == "none":
        assert np.isfinite(values[[0, 2]]).all()


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("index", [6, -1, -7])
@pytest.mark.parametrize("row", [(3,), (), (2, 3)])
def test_an_index_out_of_range_makes_its_row_nan(row, index, kernels):
    values = np.random.default_rng(0).standard_normal((6, *row))
    with tg.use_kernels(kernels):
        table = tg.tensor(values, requires_grad=True, device=GPU)
        with strict_cupy.no_host_reads():
            rows = F.embedding(tg.tensor([[5, index], [0, 5]], device=GPU), table)
            rows.sum().backward()
    wanted = values[np.array([[5, 0], [0, 5]])]
    wanted[0, 1] = np.nan
    np.testing.assert_array_equal(rows.detach().numpy(), wanted)
    np.testing.assert_array_equal(table.grad.numpy().reshape(6, -1)[:, 0], [1, 0, 0, 0, 0, 2])


def test_an_ignored_label_may_be_any_number():
    logits = tg.tensor(np.zeros((2, 3)), device=GPU)
    for ignored in (-100, 1, 7):
        loss = F.cross_entropy(logits, tg.tensor([0, ignored], device=GPU), ignore_index=ignored)
        np.testing.assert_allclose(loss.item(), np.log(3), rtol=1e-6)
