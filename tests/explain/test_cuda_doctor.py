"""The doctor finds faults of data and losses on a GPU, and waits only in the steps that it inspects."""

from __future__ import annotations

import numpy as np
import pytest
import strict_cupy
from on_gpu import GPU

import tinygrad_adam as tg
from tinygrad_adam import data, nn, optim
from tinygrad_adam.nn import functional as F


@pytest.fixture(autouse=True)
def gpu():
    with strict_cupy.installed() as cupy:
        yield cupy


def trained(loss, device=GPU, scale=1.0, permuted=False, last=(), outputs=10, steps=80, **settings):
    """Train with one fault; return the kinds found and the reads in steps that are not inspected."""
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, outputs), *last).to(
        device
    )
    if scale != 1:
        model = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, outputs)).to(device)
    opt = optim.SGD(model.parameters(), **{"lr": 0.1, **settings})
    x, y = data.load_digits().arrays("train")
    y = np.random.default_rng(0).permutation(y) if permuted else y
    batches = [
        (tg.tensor(x[i : i + 32] * np.float32(scale), device=device), tg.tensor(y[i : i + 32], device=device))
        for i in range(0, 1280, 32)
    ]
    reads = []
    with tg.doctor(tell=None) as doctor:
        for step in range(steps):
            before = strict_cupy.host_reads()
            bx, by = batches[step % len(batches)]
            value = loss(model(bx), by)
            opt.zero_grad()
            value.backward()
            opt.step()
            if step % 7:
                reads.append(strict_cupy.host_reads() - before)
    return {finding.kind for finding in doctor.findings}, sum(reads)


def distance(z, y):
    target = y.astype("float32")
    return ((z - target) ** 2).mean()


FAULTS = {
    "sign-turned": lambda: trained(lambda z, y: -F.cross_entropy(z, y), lr=1e-3),
    "loss-broadcast": lambda: trained(distance, outputs=1, lr=1e-3),
    "labels-unrelated": lambda: trained(F.cross_entropy, permuted=True, lr=0.02, steps=120),
    "input-scale": lambda: trained(F.cross_entropy, scale=100.0, lr=1e-5),
    "targets-out-of-reach": lambda: trained(
        lambda z, y: F.mse_loss(z, y.astype("float32")[:, None]), last=[nn.Sigmoid()], outputs=1
    ),
    "learning-rate-zero": lambda: trained(F.cross_entropy, lr=0.0),
    "weight-decay": lambda: trained(F.cross_entropy, lr=0.1, weight_decay=2.0, scale=0.999, steps=160),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_found_on_a_gpu_without_more_waiting(kind):
    with np.errstate(all="ignore"):
        kinds, reads = FAULTS[kind]()
    assert kind in kinds
    assert reads == 0


def test_a_usual_training_is_healthy_on_a_gpu():
    assert trained(F.cross_entropy) == (set(), 0)
