"""Tensors changed in place."""

import copy
import operator
import pickle

import numpy as np
import pytest
from arrays import raw, same
from leaves import leaf

import tinygrad_adam as tg
from tinygrad_adam import errors

pytestmark = pytest.mark.versions


IN_PLACE = [operator.iadd, operator.isub, operator.imul, operator.itruediv]


@pytest.mark.parametrize("operation", IN_PLACE, ids=lambda f: f.__name__)
@pytest.mark.parametrize("other", [2.0, np.array([2.0, 4.0]), tg.tensor(np.array([2.0, 4.0])), [2.0, 4.0]])
def test_in_place_operators(operation, other):
    expected = operation(np.array([1.0, 3.0]), raw(other))
    x = tg.tensor(np.array([1.0, 3.0]))
    memory = x.data
    result = operation(x, other)
    assert result is x
    assert x.data is memory
    same(x, expected)

    w = leaf(1.0, 3.0)
    memory = w.data
    with tg.no_grad():
        assert operation(w, other) is w
    assert w.data is memory
    assert w.requires_grad
    same(w, expected)


@pytest.mark.parametrize("operation", IN_PLACE, ids=lambda f: f.__name__)
def test_in_place_operators_while_recording(operation):
    w, x = leaf(1.0, 3.0), tg.tensor(np.array([1.0, 3.0]))
    with pytest.raises(errors.GraphError, match=r"inside no_grad\(\)"):
        operation(w, 2.0)
    same(w, [1, 3])
    h = w * 1
    y = operation(h, 2.0)
    assert y is h
    same(h, operation(np.array([1.0, 3.0]), 2.0))
    y.sum().backward()
    total = operation(x, w)
    assert total is x
    assert total.requires_grad


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
def test_in_place_operators_do_not_truncate(dtype):
    x = tg.tensor(np.array([1, 0], dtype))
    with pytest.raises(errors.DTypeError, match="an in-place result must fit the dtype"):
        x += 0.5
    with pytest.raises(errors.DTypeError):
        x /= 2
    same(x, [1, 0])


def test_in_place_operators_keep_dtype_and_shape():
    x = tg.tensor([1.0, 2.0])
    x += np.ones(2)
    assert x.dtype == np.float32
    with pytest.raises(errors.ShapeError, match="must keep the shape"):
        x += np.ones((3, 2))
    same(x, [2, 3])
    spread = tg.ones(1).broadcast_to((3,))
    with pytest.raises(errors.ShapeError, match="read-only"):
        spread += 1
    with pytest.raises(errors.ShapeError, match="read-only"):
        spread[0] = 1


def test_in_place_operators_see_their_operands_as_they_were():
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    x += x.T
    same(x, [[2, 5], [5, 8]])


def test_item_assignment():
    x = tg.tensor(np.arange(6.0).reshape(2, 3))
    a = x.numpy().copy()
    for index, value in (
        (0, 5.0),
        ((1, slice(None, None, 2)), [7.0, 8.0]),
        ((..., 1), tg.tensor([1.5, 2.5])),
        ([1, 0], np.ones((2, 3))),
        (tg.tensor([0]), 9.0),
    ):
        x[index] = value
        a[raw(index)] = raw(value)
        same(x, a)
    x[x > 5] = 0.0
    assert x.numpy().max() <= 5
    x[0] += 1
    for index, value, kind in (
        (5, 1.0, errors.IndexingError),
        ("a", 1.0, errors.IndexingError),
        (0, np.ones(7), errors.ShapeError),
        (0, object(), errors.DTypeError),
        (0, 1j, errors.DTypeError),
    ):
        with pytest.raises(kind, match=r"^item assignment: "):
            x[index] = value


def test_item_assignment_cannot_be_recorded():
    w, x = leaf(1.0, 2.0), tg.tensor(np.array([1.0, 2.0]))
    for target, value in ((w, 5.0), (w * 1, 5.0), (x, w.sum())):
        with pytest.raises(errors.GraphError, match=r"cannot be recorded; use where\(\)"):
            target[0] = value
    with tg.no_grad():
        w[0] = 5.0
    same(w, [5, 2])


def test_assigning_data():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    x.data = np.array([3.0, 4.0])
    assert x.dtype == np.float32
    same(x, [3, 4])
    x.data = tg.tensor([5.0, 6.0])
    same(x, [5, 6])
    x.data = [7, 8]
    same(x, [7, 8])
    assert x.requires_grad


def test_assigning_grad():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    for value in ([3.0, 4.0], np.array([3.0, 4.0]), tg.tensor(np.array([3.0, 4.0])), tg.tensor([3, 4])):
        x.grad = value
        assert x.grad.dtype == np.float32
        same(x.grad, [3, 4])
    (x * 1).sum().backward()
    same(x.grad, [4, 5])
    x.grad = None
    assert x.grad is None
    with pytest.raises(errors.ShapeError, match=r"^grad: "):
        x.grad = np.ones(3)


def test_grad_can_be_changed_in_place():
    x = leaf(1.0, 2.0)
    (x * 4).sum().backward()
    x.grad *= 0.5
    x.grad[0] = 7.0
    same(x.grad, [7, 2])


def test_requires_grad_of_a_result_cannot_be_set():
    x = leaf(1.0)
    for value in (True, False):
        with pytest.raises(errors.GraphError, match=r"^requires_grad_: "):
            (x * 2).requires_grad_(value)
    assert x.requires_grad_(False) is x
    assert not (x * 2).requires_grad


def test_copy_keeps_the_history():
    x = leaf(-0.0, 2.0)
    y = x.copy()
    assert not np.shares_memory(y.data, x.data)
    assert np.signbit(y.detach().numpy()).tolist() == [True, False]
    y.sum().backward()
    same(x.grad, [1, 1])
    same(tg.tensor([1, 2]).copy(), [1, 2])


def test_deepcopy():
    x = leaf(1.0, 2.0)
    (x * 3).sum().backward()
    twins = copy.deepcopy([x, x])
    assert twins[0] is twins[1]
    twin = twins[0]
    assert twin.requires_grad
    same(twin, [1, 2])
    same(twin.grad, [3, 3])
    (twin * 1).sum().backward()
    same(x.grad, [3, 3])
    with tg.no_grad():
        twin += 1
    same(x, [1, 2])
    with pytest.raises(errors.GraphError, match=r"^deepcopy: only leaves"):
        copy.deepcopy(x * 2)


def test_pickle():
    x = leaf(1.0, 2.0)
    twin = pickle.loads(pickle.dumps(x))
    assert twin.requires_grad
    same(twin, [1, 2])
    (twin * 2).sum().backward()
    same(twin.grad, [2, 2])
    assert x.grad is None
