"""Graphs on a GPU are explained and drawn, under the strict stand-in for CuPy."""

from __future__ import annotations

import re

import numpy as np
import pytest
import strict_cupy
from on_gpu import GPU

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import data, nn, optim


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


def trained(device, folder, wrong):
    """Train a little, watched in every way; return what each saw."""
    tg.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 10)
    ).to(device)
    opt = optim.Adam(model.named_parameters(), lr=3e-3)
    images, labels = data.load_digits().arrays("train")
    x, y = (tg.tensor(each[:64], device=device) for each in (images.reshape(-1, 1, 8, 8), labels))
    with tg.film(folder / "film.html") as film, tg.doctor(tell=None) as doctor, opt.ledger():
        for _ in range(30):
            z = model(x)
            loss = F.cross_entropy(F.softmax(z) if wrong else z, y)
            opt.zero_grad()
            loss.backward()
            opt.step()
        entry = str(opt.explain("4.weight", index=(3, 7)))
    return film, [finding.kind for finding in doctor.findings], entry


@pytest.mark.parametrize("wrong", [False, True])
def test_film_doctor_and_ledger_see_on_a_gpu_what_they_see_on_the_cpu(wrong, tmp_path):
    (film, found, entry), (film_here, found_here, entry_here) = (
        trained(device, tmp_path, wrong) for device in (GPU, "cpu")
    )
    assert found == found_here == ["softmax-twice"] * wrong
    assert film.steps == film_here.steps
    np.testing.assert_allclose(film.frames, film_here.frames, rtol=1e-3, atol=1e-4)
    digits = re.compile(r"-?\d[\d.e-]*")
    assert digits.sub("#", entry) == digits.sub("#", entry_here)
