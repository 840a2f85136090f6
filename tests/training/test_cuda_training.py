"""Training steps on a GPU, under the strict stand-in for CuPy: the losses of the CPU, and nothing read."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import strict_cupy
from on_gpu import KERNELS

import tinygrad_adam as tg
from tinygrad_adam import nn, optim
from tinygrad_adam.nn import functional as F


@pytest.fixture(autouse=True)
def gpu():
    with strict_cupy.installed():
        yield


def mlp():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3)), (16, 6)


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(4 * 4 * 4, 3),
    ), (6, 1, 8, 8)  # fmt: skip


def losses(make, device, kernels, steps=4):
    with tg.fork_rng(0), tg.use_kernels(kernels):
        model, shape = make()
        rng = np.random.default_rng(1)
        x = tg.tensor(rng.standard_normal(shape), dtype=np.float32, device=device)
        y = tg.tensor(rng.integers(0, 3, shape[0]), device=device)
        opt = optim.Adam(model.to(device).parameters(), lr=0.01)
        found = []
        with contextlib.nullcontext() if device == "cpu" else strict_cupy.no_host_reads():
            for _ in range(steps):
                loss = F.cross_entropy(model(x), y)
                opt.zero_grad()
                loss.backward()
                norm = optim.clip_grad_norm_(model.parameters(), 1.0)
                opt.step()
                found += [loss, norm]
        return [tensor.item() for tensor in found]


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
@pytest.mark.parametrize("make", [mlp, cnn])
def test_training_steps_read_nothing_and_give_the_losses_of_the_cpu(make, device, kernels):
    np.testing.assert_allclose(losses(make, device, kernels), losses(make, "cpu", "reference"), rtol=2e-5)


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_the_ledger_copies_on_the_device_and_reads_when_asked(device):
    found = []
    for where in ("cpu", device):
        p = nn.Parameter(tg.tensor([[1.0, -2.0], [3.0, 0.5]]).to(where))
        opt = optim.Adam([("w", p)], lr=0.1, amsgrad=True)
        with opt.ledger(), contextlib.nullcontext() if where == "cpu" else strict_cupy.no_host_reads():
            for _ in range(3):
                opt.zero_grad()
                (p * p).sum().backward()
                opt.step()
        found.append((str(opt.explain("w", (1, 0))), str(opt.explain("w"))))
    assert found[0] == found[1]
