"""Graphs on a GPU are explained and drawn, under the strict stand-in for CuPy."""

from __future__ import annotations

import re

import numpy as np
import pytest
import strict_cupy
from on_gpu import GPU

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import nn


@pytest.fixture(autouse=True)
def gpu():
    with strict_cupy.installed() as cupy:
        yield cupy


def explained(device):
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).to(device)
    x, y = tg.randn(4, 6).to(device), tg.tensor(np.arange(4) % 3, device=device)
    with tg.tracing():
        loss = F.cross_entropy(model(x), y)
    before = loss.explain()
    picture = tg.draw(loss).svg
    with tg.tracing():
        loss = F.cross_entropy(model(x), y)
        loss.backward()
    return before, loss.explain(), picture


def test_a_graph_on_a_gpu_is_explained_as_on_the_cpu():
    for mine, theirs in zip(explained(GPU), explained("cpu"), strict=True):
        if isinstance(mine, str):
            number = re.compile(r"-?\d+\.\d+(e-\d+)?")
            assert number.sub("#", mine) == number.sub("#", theirs)
            continue
        assert mine.kept_bytes == theirs.kept_bytes > 0
        for a, b in zip(mine.steps, theirs.steps, strict=True):
            assert (a.operation, a.kept_bytes, a.call.path if a.call else None) == (
                b.operation, b.kept_bytes, b.call.path if b.call else None,
            )  # fmt: skip
            assert a.gradient.norm == pytest.approx(b.gradient.norm, rel=1e-5)
