"""Recorded passes on a GPU, under the strict stand-in for CuPy."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import strict_cupy
from recording import batches_of, counted

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import nn, optim

pytestmark = pytest.mark.products


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_replays_on_a_gpu_read_nothing_and_give_the_losses_of_the_cpu(device):
    found = []
    with strict_cupy.installed():
        for where in ("cpu", device):
            with tg.fork_rng(0), tg.use_kernels("reference"):
                net = nn.Sequential(
                    nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)
                )
                opt = optim.Adam(net.to(where).parameters(), lr=0.01)
                function = counted(lambda x, y, net=net: F.cross_entropy(net(x), y))
                training_pass = tg.recorded(function)
                batches = [(x.to(where), y.to(where)) for x, y in batches_of((8, 6), 3)]
                losses = []
                with contextlib.nullcontext() if where == "cpu" else strict_cupy.no_host_reads():
                    for x, y in batches:
                        opt.zero_grad()
                        losses.append(training_pass(x, y))
                        opt.step()
                found.append([loss.item() for loss in losses])
            assert function.calls == 2
    np.testing.assert_allclose(found[1], found[0], rtol=2e-5)


def test_a_model_that_is_moved_is_recorded_anew():
    with strict_cupy.installed():
        weight = nn.Parameter([1.0, 2.0])
        training_pass = tg.recorded(lambda: (weight * weight).sum())
        for _ in range(3):
            training_pass()
        weight._data, weight._grad = weight.to("cuda")._data, None
        for _ in range(3):
            assert training_pass().device == "cuda:0"
