"""Python's integers have no bounds: those that do not fit beside a Tensor are refused by name."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import errors

OPERATIONS = {
    "add": lambda a, n: a + n,
    "subtract": lambda a, n: n - a,
    "multiply": lambda a, n: n * a,
    "maximum": lambda a, n: tg.maximum(a, n),
    "where": lambda a, n: tg.where(a > 0, a, n),
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8"])
@pytest.mark.parametrize("number", [10**400, -(10**400), 10**5000], ids=["1e400", "-1e400", "1e5000"])
def test_beside_any_tensor(name, dtype, number):
    a = tg.tensor(np.array([1, 2], dtype))
    with pytest.raises(errors.DTypeError, match=rf"^{name}: (.|\n)*an integer of \d+ bits"):
        OPERATIONS[name](a, number)
    if dtype == "float32":
        a.requires_grad_()
        with pytest.raises(errors.DTypeError, match=rf"^{name}: "):
            OPERATIONS[name](a, number)


@pytest.mark.parametrize(
    ("dtype", "number"), [("int64", 2**70), ("int64", -(2**70)), ("uint8", 256), ("uint8", -1)]
)
def test_beside_integers(dtype, number):
    with pytest.raises(errors.DTypeError, match=r"^add: "):
        tg.tensor(np.array([1, 2], dtype)) + number


def test_floats_take_what_they_can_hold():
    np.testing.assert_array_equal((tg.tensor([1.0]) * 2**70).data, np.float32(2.0**70))


def test_in_a_replay():
    x, numbers = tg.tensor([1.0, 2.0], requires_grad=True), [1, 2]
    training_pass = tg.recorded(lambda: tg.multiply(x, tg.tensor([3.0, 4.0]) * numbers).sum())
    for _ in range(3):
        training_pass()
    numbers[0] = 10**400
    with pytest.raises(errors.TinygradAdamError):
        training_pass()


@pytest.mark.parametrize("numbers", [[1, 2], [1.0, 2.0], (1, 2)])
def test_lists_of_integers_stand_beside_floats(numbers):
    x = tg.tensor([3.0, 4.0], requires_grad=True)
    for product in (x * numbers, numbers * x, tg.multiply(x, numbers)):
        assert product.dtype == np.float32
        assert product.tolist() == [3.0, 8.0]
    (x * numbers).sum().backward()
    assert x.grad.tolist() == [1.0, 2.0]


def test_a_replay_follows_a_list():
    for numbers in ([1, 2], [1.0, 2.0]):
        x = tg.tensor([3.0, 4.0], requires_grad=True)
        training_pass = tg.recorded(lambda x=x, numbers=numbers: tg.multiply(x, numbers).sum())
        assert [training_pass().item() for _ in range(3)] == [11.0] * 3
        numbers[0] = 10
        assert training_pass().item() == 38.0
