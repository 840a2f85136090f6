"""The running statistics of batch normalization: means over batches, and batches with NaN or infinities."""

from __future__ import annotations

import numpy as np
import pytest
import strict_cupy

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import errors, nn


def batches(count=5, size=6, seed=0):
    return np.random.default_rng(seed).standard_normal((count, size, 3)).astype(np.float32)


@pytest.mark.parametrize("kernels", ["fast", "reference"])
@pytest.mark.parametrize("momentum", [0.25, np.float64(0.25), None])
def test_running_averages_of_several_batches(momentum, kernels):
    """Each batch moves them by a share, or they are the means over all; the variance has n - 1."""
    mean, var = np.zeros(3), np.ones(3)
    norm = nn.BatchNorm1d(3, momentum=momentum)
    with tg.use_kernels(kernels):
        for number, x in enumerate(batches(), 1):
            y = norm(tg.tensor(x))
            share = 1 / number if momentum is None else momentum
            mean += share * (x.mean(0, dtype=float) - mean)
            var += share * (x.var(0, ddof=1, dtype=float) - var)
    np.testing.assert_allclose(norm.running_mean.numpy(), mean, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(norm.running_var.numpy(), var, rtol=1e-5)
    assert norm.num_batches_tracked.item() == len(batches())
    assert y.dtype == norm.running_mean.dtype == np.float32


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e38], ids=str)
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_batch_that_is_not_finite_leaves_the_statistics(bad, momentum, device):
    """Of one value in one channel; on a GPU without a look at any. The square of 1e38 is infinite, too."""
    with strict_cupy.installed(), np.errstate(all="ignore"):
        norm, spared = (nn.BatchNorm1d(3, momentum=momentum).to(device) for _ in range(2))
        for number, x in enumerate(batches()):
            norm(tg.tensor(x, device=device))
            spared(tg.tensor(x, device=device))
            if number in (0, 2):
                broken = x.copy()
                broken[1, 2] = bad
                broken = tg.tensor(broken, device=device)
                with strict_cupy.no_host_reads():
                    norm(broken)
        for name, value in norm.state_dict().items():
            np.testing.assert_array_equal(value, spared.state_dict()[name], err_msg=name)


def test_a_first_batch_that_is_not_finite_is_as_none():
    norm = nn.BatchNorm2d(2, momentum=None)
    x = np.random.default_rng(0).standard_normal((2, 2, 3, 3)).astype(np.float32)
    norm(tg.tensor(x * np.nan))
    assert norm.num_batches_tracked.item() == 0
    norm(tg.tensor(x))
    np.testing.assert_allclose(norm.running_mean.numpy(), x.mean((0, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_recorded_pass_leaves_them_too(momentum):
    with tg.fork_rng(0):
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, momentum=momentum))
        twin = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, momentum=momentum))
    twin.load_state_dict(model.state_dict())
    calls = []

    def loss(x):
        calls.append(x)
        return (model(x) ** 2).sum()

    training_pass = tg.recorded(loss)
    for number, x in enumerate(batches(8)):
        if number == 5:
            x[0, 0] = np.nan
        training_pass(tg.tensor(x))
        (twin(tg.tensor(x)) ** 2).sum().backward()
    assert len(calls) < 8
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, twin.state_dict()[name], err_msg=name)
        assert np.isfinite(value).all()
    assert model[1].num_batches_tracked.item() == 7


def test_means_over_all_batches_need_a_count():
    x, running = tg.tensor(batches()[0]), (tg.zeros(3), tg.ones(3))
    with pytest.raises(errors.OptionError, match="momentum=None needs num_batches_tracked"):
        F.batch_norm(x, *running, training=True, momentum=None)


def test_a_batch_of_one_example_names_the_remedy():
    with pytest.raises(errors.ShapeError, match=r"drop_last=True.*\n.*\n  in layer 1: BatchNorm1d\(3\)"):
        nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))(tg.ones(1, 2))
