"""A gradient has the dtype of its Tensor, also when hooks return another."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import nn, optim

MASK = np.array([1.0, 0.0, 2.0])  # float64, as NumPy's are


def reserved(x):
    optim.SGD([x], lr=1.0)
    return backward(x)


def backward(x, create_graph=False):
    (x * x).sum().backward(create_graph=create_graph)
    return x.grad


def with_graph(x):
    return backward(x, create_graph=True)


def recorded(x):
    training_pass = tg.recorded(lambda: (x * x).sum())
    for _ in range(3):
        x.grad = None
        training_pass()
    return x.grad


def grad(x, create_graph=False):
    return tg.grad((x * x).sum(), x, create_graph=create_graph)


def grad_with_graph(x):
    return grad(x, create_graph=True)


@pytest.mark.parametrize("hook", [
    lambda g: g * tg.tensor(MASK),
    lambda g: tg.tensor(MASK).astype("int64") * 2,
    lambda g: tg.tensor(MASK > 0),
    lambda g: tg.tensor(MASK.astype("float32")),
])  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("get", [backward, reserved, with_graph, recorded, grad, grad_with_graph])
def test_of_a_leaf(get, dtype, hook):
    x = tg.tensor(np.array([1.0, 2.0, 3.0], dtype), requires_grad=True)
    x.register_hook(hook)
    wanted = np.asarray(hook(tg.tensor(np.array([2.0, 4.0, 6.0]))).numpy(), dtype)
    got = get(x)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got.data, wanted)


@pytest.mark.parametrize("create_graph", [False, True])
def test_of_an_intermediate_result(create_graph):
    x = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    h, seen = x * 2.0, []
    h.retain_grad()
    h.register_hook(lambda g: g * tg.tensor(MASK))
    h.register_hook(lambda g: seen.append(g.dtype))
    y = (h * h).sum()
    assert tg.grad(y, h, retain_graph=True, create_graph=create_graph).dtype == "float32"
    y.backward(create_graph=create_graph)
    assert {h.grad.dtype, x.grad.dtype, *seen} == {np.dtype("float32")}
    np.testing.assert_array_equal(x.grad.data, 8 * np.array([1.0, 2.0, 3.0]) * MASK)


def test_the_cast_can_be_differentiated():
    x = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x.register_hook(lambda g: g * tg.tensor(MASK))
    (first,) = tg.grad((x**3).sum(), [x], create_graph=True)
    (second,) = tg.grad(first.sum(), [x])
    np.testing.assert_array_equal(first.data, 3 * np.array([1.0, 4.0, 9.0]) * MASK)
    np.testing.assert_array_equal(second.data, 6 * np.array([1.0, 2.0, 3.0]) * MASK * MASK)


def test_of_a_row_sparse_gradient():
    table = nn.Embedding(4, 2, sparse=True)
    table.weight.register_hook(lambda g: g.astype("float64"))
    table([1, 3]).sum().backward()
    assert isinstance(table.weight.grad, tg.RowSparse)
    assert table.weight.grad.dtype == "float32"
