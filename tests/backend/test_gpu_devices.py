"""What only a GPU can show: the diagnosis, copies beside kernels, TF32. Skipped without one."""

from __future__ import annotations

import cupy_forms
import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import data
from tinygrad_adam.backend.cuda.diagnosis import diagnose

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def gpu():
    found = diagnose()
    if found.problem is not None:
        pytest.skip(f"{found.problem} {found.remedy}")
    return found.driver.gpus[0]


def test_there_is_a_gpu(gpu):
    assert tg.cuda.is_available()
    assert tg.device("auto").startswith("cuda:")
    assert tg.cuda.memory("cuda:0").total == pytest.approx(gpu.memory, rel=0.1)


def test_results_have_the_forms_that_the_stand_in_is_held_to():
    import cupy

    if cupy.__version__ != cupy_forms.VERSION:
        pytest.skip(f"the forms are those of CuPy {cupy_forms.VERSION}")
    expected = {call: form.removesuffix(" waits") for call, form in cupy_forms.expected().items()}
    assert {call: cupy_forms.found(cupy, call) for call in expected} == expected


def test_memory_in_use_grows_with_an_array():
    before = tg.cuda.memory()
    kept = tg.zeros(1 << 24, device="cuda")
    after = tg.cuda.memory()
    assert after.in_use - before.in_use >= kept.data.nbytes == 1 << 26
    assert after.total == before.total >= after.free


def busy():
    """Give the GPU work that takes longer than a copy."""
    a = tg.ones(2048, 2048, device="cuda")
    for _ in range(4):
        a = a @ a * 1e-4
    return a


@pytest.mark.parametrize("prefetch", [0, 2])
def test_batches_are_right_while_the_gpu_is_busy(prefetch):
    """The host is ahead of the GPU all the time, and memory goes from one batch to the next."""
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (4000, 3, 32, 32), dtype=np.uint8), np.arange(4000)
    dataset = data.ImageDataset(pixels, labels)
    loader = data.DataLoader(dataset, 64, shuffle=True, prefetch=prefetch, device="cuda")
    sums = []
    for x, y in loader:
        busy()
        sums.append((x.sum(axis=(1, 2, 3)), y))
    means = np.concatenate([s.numpy() for s, _ in sums])
    order = np.concatenate([y.numpy() for _, y in sums])
    assert sorted(order) == list(range(4000))
    np.testing.assert_allclose(means, (pixels[order] / 255).sum(axis=(1, 2, 3)), rtol=1e-4)


def test_leaving_a_loop_while_the_gpu_is_busy():
    loader = data.DataLoader(data.TensorDataset(np.zeros((640, 4096), np.float32)), 64, device="cuda")
    for _ in range(20):
        busy()
        next(iter(loader))
        ones = tg.ones(64, 4096, device="cuda")
        assert ones.sum().item() == 64 * 4096


@pytest.mark.parametrize("shape", [(256, 256), (4, 256, 256)])
def test_tf32_is_what_the_switch_says(gpu, shape):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(shape, np.float32), rng.standard_normal(shape, np.float32)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    x, y = tg.tensor(a, device="cuda"), tg.tensor(b, device="cuda")

    def error():
        return np.abs((x @ y).numpy() - exact).max() / np.abs(exact).max()

    before = error()
    with tg.cuda.allow_tf32():
        inside = error()
    assert before < 1e-6
    assert error() == before
    assert inside == before if gpu.capability < (8, 0) else 1e-5 < inside < 1e-2
