"""A replay gives the engine's numbers to the last bit, in programs drawn at random."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import optim
from tinygrad_adam.nn import functional as F

N, C, H, W = 3, 4, 6, 5
"""Most values are images, so that what one operation makes fits the next."""


def convolution(rng, leaf, x):
    size = int(rng.choice([1, 3, 5]))
    return F.conv2d(x, leaf((x.shape[1], x.shape[1], size, size), 0.2), padding=size // 2)


def linear(rng, leaf, x):
    return F.linear(x, leaf((x.shape[-1], x.shape[-1]), 0.4), leaf((x.shape[-1],)))


def transposed_twice(rng, leaf, x):
    axes = tuple(int(i) for i in rng.permutation(4))
    back = tuple(int(i) for i in np.argsort(axes))
    return (x.transpose(*axes) * leaf(tuple(x.shape[i] for i in axes))).transpose(*back)


def standardized(rng, leaf, x):
    axes = tuple(int(i) for i in np.flatnonzero(rng.random(4) < 0.5)) or (1,)
    return (x - x.mean(axis=axes, keepdims=True)) / ((x * x).sum(axis=axes, keepdims=True) + 1.0)


def broadcast(rng, leaf, x):
    shape = tuple(1 if rng.random() < 0.5 else n for n in x.shape)
    return x * leaf(shape) + leaf(shape[int(rng.integers(0, 4)) :])


def pooled(rng, leaf, x):
    return x + F.interpolate(F.max_pool2d(x, 2, 2, ceil_mode=True), size=x.shape[2:])


def gathered(rng, leaf, x):
    return x[rng.integers(0, x.shape[0], x.shape[0])] + x[:, ::-1]


def joined(rng, leaf, x):
    return tg.concatenate([x[:, :1], x[:, 1:] * x[:, :1]], axis=1).tanh()


def grouped(rng, leaf, x):
    return F.group_norm(x, 2, leaf((x.shape[1],)), leaf((x.shape[1],)))


def batched(rng, leaf, x):
    return F.batch_norm(x, None, None, leaf((x.shape[1],)), leaf((x.shape[1],)), training=True)


def flattened(rng, leaf, x):
    y = x.reshape(x.shape[0], -1)
    return F.softmax(y @ leaf((y.shape[1], y.shape[1]), 0.05), axis=1).reshape(x.shape)


def upsampled(rng, leaf, x):
    y = F.conv_transpose2d(x, leaf((x.shape[1], x.shape[1], 2, 2), 0.3), stride=2)
    return F.avg_pool2d(y, 2)


def contracted(rng, leaf, x):
    return tg.einsum("nchw,cd->ndwh", x, leaf((x.shape[1], x.shape[1]), 0.4)).swapaxes(2, 3)


def compared(rng, leaf, x):
    greatest = x.max(axis=int(rng.integers(0, 4)), keepdims=True)
    return tg.where(x > 0.1, x, greatest * 0.5) + tg.logsumexp(x, axis=(2, 3), keepdims=True)


def padded(rng, leaf, x):
    return tg.pad(x, ((0, 0), (0, 0), (1, 1), (0, 2)))[:, :, 2:, 1:-1].clip(-2.0, 2.0)


def cumulated(rng, leaf, x):
    return x.cumsum(axis=int(rng.integers(0, 4))) * 0.2 + x.flip(1)


UNARY = [
    convolution, linear, transposed_twice, standardized, broadcast, pooled, gathered, joined, grouped,
    batched, flattened, upsampled, contracted, compared, padded, cumulated,
    lambda rng, leaf, x: x.relu(), lambda rng, leaf, x: F.gelu(x),
]  # fmt: skip


def several_uses(rng, leaf, x):
    """The known case: gradients of one value of which some lie channels last, and a reduction before it."""
    h = leaf((1, C, H, 1)) + standardized(rng, leaf, x)
    choices = [convolution, convolution, *UNARY]
    return sum(choices[int(rng.integers(len(choices)))](rng, leaf, h) for _ in range(rng.integers(3, 6)))


def program(seed, leaves, dtype):
    """Compute one number from leaves, which are made when they are missing; the same for each seed."""
    rng, numbers = np.random.default_rng(seed), itertools.count()

    def leaf(shape, scale=1.0):
        number = next(numbers)
        drawn = rng.standard_normal(shape) * scale
        if number == len(leaves):
            leaves.append(tg.tensor(drawn.astype(dtype), requires_grad=True))
        return leaves[number]

    values = [leaf((N, C, H, W))]
    for _ in range(int(rng.integers(4, 10))):
        x = values[int(rng.integers(0, len(values)))]
        values.append(
            (several_uses if rng.random() < 0.5 else UNARY[int(rng.integers(len(UNARY)))])(rng, leaf, x)
        )
        if rng.random() < 0.5:
            values.append(values[-1] * 0.5 + values[int(rng.integers(0, len(values)))])
    return sum((value * value).mean() for value in values[-3:]) + values[-1].sum(axis=1).tanh().sum()


def check(seed, kernels, dtype):
    leaves, results = [], []
    with tg.use_kernels(kernels):
        with tg.no_grad():
            program(seed, leaves, dtype)
        if seed % 3 == 0:
            optim.SGD(leaves, lr=1.0)  # which reserves a place for each gradient
        training_pass = tg.recorded(lambda: program(seed, leaves, dtype))
        for call in range(4):
            for p in leaves:
                p.grad = None
            if call < 3:
                loss = training_pass()
            else:
                loss = program(seed, leaves, dtype)
                loss.backward()
            results.append(
                [loss.item(), *[None if p.grad is None else p.grad.data.copy(order="K") for p in leaves]]
            )
    assert len(training_pass._programs) == 1
    for replayed, wanted in zip(results[2], results[3], strict=True):
        np.testing.assert_array_equal(replayed, wanted, err_msg=f"seed {seed}, {kernels}, {dtype}")
        if isinstance(wanted, np.ndarray):  # a norm, say, adds up in the order of memory
            assert replayed.strides == wanted.strides


@pytest.mark.parametrize("kernels", ["fast", "reference"])
@pytest.mark.parametrize("seed", [0, 3, 7, 9, 10, 12, 15, 18])
def test_random_programs(seed, kernels):
    check(seed, kernels, "float32")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1300))
def test_many_random_programs(seed):
    check(seed, ["fast", "reference"][seed % 2], ["float32", "float64"][seed // 2 % 2])
