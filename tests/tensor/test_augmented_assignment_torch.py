"""``x += y`` beside PyTorch: which hooks see which gradient, what is retained, which dtypes result."""

import operator

import numpy as np
import pytest

import tinygrad_adam as tg

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.torch

A, B = np.array([1.5, 0.5]), np.array([0.7, 2.0])
TENSORS = {
    "tinygrad_adam": lambda values: tg.tensor(values, requires_grad=True),
    "torch": lambda values: torch.tensor(values, requires_grad=True),
}


def hooked(x, y):
    """Return what two hooks saw, one from before a change and one from after it, and what is retained."""
    seen = []
    h = x * y
    h.register_hook(lambda g: seen.append(g.tolist()))
    h.retain_grad()
    h *= y + 1
    h.register_hook(lambda g: seen.append(g.tolist()))
    h += h * 2
    (h * x).sum().backward()
    return sorted(seen), h.grad, x.grad, y.grad


def built_up(x, y):
    total = x * 0
    for i in range(4):
        total += (x * y) ** i
        total -= y
    total.sum().backward()
    return total, x.grad, y.grad


def all_operators(x, y):
    h = x * 1
    for operation in (operator.iadd, operator.isub, operator.imul, operator.itruediv):
        h = operation(h, y + 1)
    for operation in (operator.ipow, operator.imod):
        h = operation(h, 2)
    h.sum().backward()
    return h, x.grad, y.grad


@pytest.mark.parametrize("program", [hooked, built_up, all_operators])
def test_programs(program):
    ours, theirs = (program(make(A), make(B)) for make in TENSORS.values())
    for got, wanted in zip(ours, theirs, strict=True):
        got, wanted = (v.tolist() if hasattr(v, "tolist") else v for v in (got, wanted))
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)


DTYPES = ["float32", "float64", "int64", "int32", "uint8", "bool"]
NUMBERS = {"float": 2.5, "int": 3, "numpy float64": np.float64(2.5), "numpy int64": np.int64(3),
           "numpy bool": np.bool_(True)}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("other", DTYPES)
@pytest.mark.parametrize(
    "operation", [operator.add, operator.mul, operator.truediv, torch.maximum, torch.where]
)
def test_result_types(operation, dtype, other):
    """Where a float is among the operands; of integers alone, NumPy's rules hold."""
    if "float" not in dtype + other:
        return
    x, y = np.array([1, 0]).astype(dtype), np.array([1, 1]).astype(other)
    if operation is torch.where:
        wanted = torch.where(torch.tensor([True, False]), torch.tensor(x), torch.tensor(y))
        results = [tg.where(np.array([True, False]), tg.tensor(x), each) for each in (tg.tensor(y), y)]
    elif operation is torch.maximum:
        wanted = torch.maximum(torch.tensor(x), torch.tensor(y))
        results = [tg.maximum(tg.tensor(x), each) for each in (tg.tensor(y), y)]
    else:
        wanted = operation(torch.tensor(x), torch.tensor(y))
        results = [
            operation(tg.tensor(x), tg.tensor(y)),
            operation(tg.tensor(x), y),
            operation(x, tg.tensor(y)),
        ]
    for result in results:
        assert str(result.dtype) == str(wanted.dtype).removeprefix("torch.")
        np.testing.assert_array_equal(result.numpy(), wanted.numpy())


def reflected(operation):
    return lambda value, number: operation(number, value)


ARITHMETIC = [operator.add, operator.mul, operator.truediv, operator.pow]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("operation", [*ARITHMETIC, *map(reflected, ARITHMETIC)])
def test_numbers_do_not_widen(operation, dtype, number):
    x, n = np.array([1.5, 2.0], dtype), NUMBERS[number]
    got = operation(tg.tensor(x), n)
    wanted = operation(torch.tensor(x), n.item() if isinstance(n, np.generic) else n)
    assert str(got.dtype) == dtype == str(wanted.dtype).removeprefix("torch.")
    np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=1e-6)
