"""Tensors: how they are made, read, changed, combined with arrays, and how they refuse."""

import copy
import fractions
import functools
import operator
import pickle
import re
import subprocess
import sys
import threading

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import errors
from tinygrad_adam.tensor.random import generator, get_state, random_key, set_state

pytestmark = pytest.mark.versions


def leaf(*values, dtype=np.float64):
    return tg.tensor(np.array(values, dtype=dtype), requires_grad=True)


def same(tensor, expected):
    assert type(tensor) is tg.Tensor
    assert type(tensor.data) is np.ndarray
    np.testing.assert_array_equal(tensor.detach().numpy(), expected)


# --- Construction ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, np.float32),
        ([1.0, 2], np.float32),
        ([[1.0], [2.0]], np.float32),
        ([], np.float32),
        (3, np.int64),
        ([1, 2], np.int64),
        (True, np.bool_),
        ([True, False], np.bool_),
        (np.ones(2), np.float64),
        (np.ones(2, np.float32), np.float32),
        (np.ones(2, np.int8), np.int8),
        (np.ones(2, np.uint8), np.uint8),
        (np.float64(1.5), np.float64),
        (np.float32(1.5), np.float32),
        (np.int32(1), np.int32),
        (range(3), np.int64),
        ((1.0, 2.0), np.float32),
    ],
)
def test_dtype_of_a_new_tensor(data, dtype):
    x = tg.tensor(data)
    assert x.dtype == dtype
    same(x, np.asarray(data))
    assert x.is_leaf
    assert not x.requires_grad
    assert x.grad is None
    assert x.device == "cpu"


def test_dtype_that_is_asked_for():
    assert tg.tensor([1, 2], dtype=np.float32).dtype == np.float32
    assert tg.tensor(np.ones(2), dtype="float32").dtype == np.float32
    assert tg.tensor([1.7], dtype=np.int32).item() == 1
    assert tg.tensor(tg.tensor([1.0]), dtype=np.float64).dtype == np.float64


def test_the_byte_order_becomes_that_of_the_machine():
    x = tg.tensor(np.array([1.0, 2.0], np.dtype("float32").newbyteorder()))
    assert x.dtype.isnative
    same(x, [1, 2])


@pytest.mark.parametrize("make", [np.array, tg.tensor])
def test_data_are_copied(make):
    source = make([1.0, 2.0])
    x = tg.tensor(source)
    source[0] = 50.0
    same(x, [1, 2])


def test_a_tensor_of_a_tensor_is_a_leaf():
    y = tg.tensor(leaf(1.0) * 2)
    assert y.is_leaf
    assert not y.requires_grad
    same(tg.tensor([tg.tensor([1.0]), tg.tensor([2.0])]), [[1], [2]])


@pytest.mark.parametrize("data", [[1, 2], [True], np.ones(2, np.int32)])
def test_only_floats_may_require_a_gradient(data):
    with pytest.raises(errors.DTypeError, match="only floats have gradients"):
        tg.tensor(data, requires_grad=True)
    with pytest.raises(errors.DTypeError, match="only floats have gradients"):
        tg.tensor(data).requires_grad_()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (np.ones(2, np.float16), "float16"),
        (np.ones(2, complex), "complex128"),
        (1j, "complex128"),
        (np.ones(2, np.longdouble), str(np.dtype(np.longdouble))),
        (np.array([None, 1]), "object"),
        (fractions.Fraction(1, 2), "object"),
        (None, "object"),
        ({}, "object"),
        ("abc", "<U3"),
        (["a"], "<U1"),
        (np.array(["2020-01-01"], "datetime64[D]"), "datetime64"),
        ([10**400], "object"),
    ],
)
def test_other_kinds_of_data_are_refused_by_name(data, name):
    with pytest.raises(errors.DTypeError, match=r"^tensor: ") as caught:
        tg.tensor(data)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        ([[1, 2], [3]], None),
        ([1.0, [2.0]], None),
        (["a"], np.float32),
        (np.array(["a"]), np.float32),
        ([10**400], np.float32),
        (300, np.int8),
        ([1j], np.float32),
        ([1.0], "float99"),
    ],
)
def test_data_that_form_no_array_of_numbers(data, dtype):
    with pytest.raises(errors.DTypeError, match=r"^tensor: the data do not form an array of numbers"):
        tg.tensor(data, dtype=dtype)


def test_default_dtype():
    assert tg.get_default_dtype() == np.float32
    with tg.default_dtype(np.float64):
        assert tg.get_default_dtype() == np.float64
        assert tg.tensor([1.0]).dtype == np.float64
        assert tg.zeros(2).dtype == np.float64
        assert tg.rand(2).dtype == np.float64
        assert tg.tensor([1]).dtype == np.int64
        assert tg.tensor(np.ones(1, np.float32)).dtype == np.float32
        with tg.default_dtype("float32"):
            assert tg.tensor([1.0]).dtype == np.float32
        assert tg.tensor([1.0]).dtype == np.float64
    assert tg.tensor([1.0]).dtype == np.float32
    for wrong in (np.int64, np.float16, "nope"):
        with pytest.raises(errors.DTypeError, match=r"^default_dtype: "), tg.default_dtype(wrong):
            pass


def test_default_dtype_is_not_seen_by_other_threads():
    seen = []
    with tg.default_dtype(np.float64):
        thread = threading.Thread(target=lambda: seen.append(tg.get_default_dtype()))
        thread.start()
        thread.join()
    assert seen == [np.float32]


def test_creation_functions():
    same(tg.zeros(2, 3), np.zeros((2, 3)))
    same(tg.zeros((2, 3)), np.zeros((2, 3)))
    same(tg.zeros([2, 3]), np.zeros((2, 3)))
    same(tg.zeros(), 0)
    same(tg.ones(np.int64(2), 0), np.ones((2, 0)))
    same(tg.full((2,), 7.0), [7, 7])
    same(tg.full(2, 7.0), [7, 7])
    same(tg.eye(2), np.eye(2))
    same(tg.arange(3), [0, 1, 2])
    same(tg.arange(1, 2, 0.25), [1, 1.25, 1.5, 1.75])
    assert tg.arange(3).dtype == np.int64
    assert tg.arange(3.0).dtype == np.float32
    assert tg.rand(4, 5).shape == (4, 5)
    assert tg.randn((4, 5)).shape == (4, 5)
    assert tg.rand().shape == ()
    for make in (tg.zeros, tg.ones, tg.rand, tg.randn, tg.eye):
        assert make(2).dtype == np.float32
        assert make(2, dtype=np.float64, requires_grad=True).requires_grad
        assert make(2, dtype=np.float64).dtype == np.float64
    drawn = tg.rand(1000).numpy()
    assert drawn.min() >= 0
    assert drawn.max() < 1


@pytest.mark.parametrize("make", [tg.zeros, tg.ones, tg.rand, tg.randn])
@pytest.mark.parametrize("shape", [(-1,), (2.5,), ("a",)])
def test_creation_with_a_wrong_shape(make, shape):
    with pytest.raises(errors.ShapeError, match=r"sizes must be non-negative integers\n  shape  \("):
        make(*shape)


@pytest.mark.parametrize("dtype", [complex, object, np.float16])
@pytest.mark.parametrize(
    "make",
    [
        functools.partial(tg.zeros, 2),
        functools.partial(tg.ones, 2),
        functools.partial(tg.full, (2,), 1.0),
        functools.partial(tg.eye, 2),
        functools.partial(tg.arange, 2),
        functools.partial(tg.rand, 2),
        functools.partial(tg.tensor(1.0).astype),
    ],
)
def test_creation_with_a_wrong_dtype(make, dtype):
    with pytest.raises(errors.DTypeError):
        make(dtype=dtype)


# --- Devices -----------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["gpu", "cpu:0", "", 3, "cuda:", "cuda:x", "cuda:-1"])
def test_an_unknown_device(device):
    for make in (
        lambda: tg.tensor(1.0, device=device),
        lambda: tg.zeros(2, device=device),
        lambda: tg.device(device),
    ):
        with pytest.raises(errors.OptionError, match=r"^device: unknown device"):
            make()


def test_moves_and_casts():
    x = leaf(1.0, 2.0)
    assert x.to("cpu") is x
    assert x.astype(np.float64) is x
    y = x.to("float32")
    assert y.dtype == np.float32
    (y * 2).sum().backward()
    assert x.grad.dtype == np.float64
    same(x.grad, [2, 2])
    integers = x.to(np.int64)
    same(integers, [1, 2])
    assert not integers.requires_grad
    with pytest.raises(errors.OptionError, match="unknown device 'nowhere'"):
        x.to("nowhere")
    for wrong in ("complex", 3, "f99"):
        with pytest.raises(errors.DTypeError, match=r"^astype: "):
            x.astype(wrong)


# --- Reading -----------------------------------------------------------------------------------


def test_numpy():
    x = tg.tensor([1.0, 2.0])
    assert np.shares_memory(x.numpy(), x.data)
    y = leaf(1.0, 2.0)
    with pytest.raises(errors.GraphError, match=r"call \.detach\(\) first\n  shape  \(2,\)"):
        y.numpy()
    with pytest.raises(errors.GraphError, match=r"\.detach\(\)"):
        np.asarray(y * 2)
    with pytest.raises(errors.GraphError, match=r"\.detach\(\)"):
        np.array([y, y])
    same(y.detach(), [1, 2])
    assert np.shares_memory(np.asarray(x), x.data)
    assert not np.shares_memory(np.array(x), x.data)
    assert np.asarray(x, dtype=np.float64).dtype == np.float64


def test_item_and_tolist():
    assert tg.tensor([[1.5]]).item() == 1.5
    assert type(tg.tensor(3).item()) is int
    assert leaf(2.0).sum().item() == 2.0
    assert tg.tensor([[1, 2]]).tolist() == [[1, 2]]
    for wrong in (tg.ones(2), tg.ones(0)):
        with pytest.raises(errors.ShapeError, match=r"^item: "):
            wrong.item()


def test_attributes():
    x = tg.zeros(2, 3)
    assert (x.shape, x.ndim, x.size, len(x), x.T.shape) == ((2, 3), 2, 6, 2, (3, 2))
    assert tg.tensor(1.0).T.shape == ()


def test_repr():
    assert repr(tg.tensor([1.0, 2.5])) == "tensor([1. , 2.5])"
    assert repr(tg.tensor([1, 2])) == "tensor([1, 2])"
    assert repr(tg.tensor(True)) == "tensor(True)"
    assert repr(tg.tensor(np.ones(1))) == "tensor([1.], dtype=float64)"
    assert repr(tg.tensor([1.0], requires_grad=True)) == "tensor([1.], requires_grad=True)"
    assert repr(tg.tensor([1.0], requires_grad=True) * 2) == "tensor([2.], made_by=multiply)"
    assert repr(tg.zeros(0)) == "tensor([])"
    assert "..." in repr(tg.zeros(10_000))
    with tg.default_dtype(np.float64):
        assert repr(tg.tensor([1.0])) == "tensor([1.])"


def test_format():
    assert f"{tg.tensor(1.5):.3f}" == "1.500"
    assert f"{tg.tensor([7]):03d}" == "007"
    assert f"{tg.tensor([1.0])}" == "tensor([1.])"
    with pytest.raises(errors.ShapeError):
        f"{tg.ones(2):.3f}"


def test_iteration():
    rows = list(tg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    same(rows[1], [3, 4])
    a, b = leaf(1.0, 2.0)
    assert (a.item(), b.item()) == (1.0, 2.0)
    assert a.requires_grad
    assert 2.0 in tg.tensor([1.0, 2.0])
    assert 5.0 not in tg.tensor([1.0, 2.0])
    assert list(tg.zeros(0)) == []
    for use in (len, list):
        with pytest.raises(errors.ShapeError, match=r"^len: "):
            use(tg.tensor(1.0))


def test_iteration_is_differentiable():
    x = leaf(1.0, 2.0, 3.0)
    sum(i * v for i, v in enumerate(x)).backward()
    same(x.grad, [0, 1, 2])


def test_truth():
    assert tg.tensor(1.0)
    assert not tg.tensor([[0]])
    for wrong in (tg.ones(2), tg.ones(0)):
        with pytest.raises(errors.ShapeError, match=r"^bool: "):
            bool(wrong)


def test_conversion_to_python_numbers():
    assert float(tg.tensor([1.5])) == 1.5
    assert int(tg.tensor(1.7)) == 1
    assert list(range(tg.tensor(3))) == [0, 1, 2]
    assert "abc"[tg.tensor(1)] == "b"
    with pytest.raises(errors.DTypeError, match=r"^index: "):
        operator.index(tg.tensor(1.0))
    with pytest.raises(errors.DTypeError, match=r"^index: "):
        operator.index(tg.tensor(True))
    for convert in (float, int):
        with pytest.raises(errors.ShapeError, match=r"^item: "):
            convert(tg.ones(2))


def test_tensors_are_hashed_by_identity():
    x, y = tg.ones(2), tg.ones(2)
    assert len({x, y, x}) == 2


def test_reading_by_index():
    x = leaf([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    a = x.detach().numpy()
    for index in (
        0, -1, np.int64(1), (0, 1), slice(None, None, -1), (..., 1), None, (slice(None), None),
        [1, 0], ([0, 1], [2, 2]), np.array([True, False]), a > 2, np.array(1), True, (0, [0, 2]), [],
    ):  # fmt: skip
        same(x[index], a[index])
    same(x[tg.tensor([1, 1])], a[[1, 1]])
    same(x[:, tg.tensor([2])], a[:, [2]])
    same(x[x > 2], a[a > 2])
    same(x[tg.tensor(1)], a[1])
    for index in (2, (0, 3), "a", 1.5, object(), (0, 0, 0), tg.tensor([1.0]), [0, 5]):
        with pytest.raises(errors.IndexingError):
            x[index]


# --- Operators ---------------------------------------------------------------------------------

OPERATORS = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
]
COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]
A = np.array([[1.5, 2.0], [3.0, 4.5]])
OTHERS = {
    "tensor": tg.tensor(np.array([[2.0, 1.0], [0.5, 2.0]])),
    "tensor that requires a gradient": tg.tensor(np.array([[2.0, 1.0], [0.5, 2.0]]), requires_grad=True),
    "row": tg.tensor(np.array([2.0, 1.5])),
    "0-d tensor": tg.tensor(np.float64(2.0)),
    "integer tensor": tg.tensor([2, 1]),
    "array": np.array([[2.0, 1.0], [0.5, 2.0]]),
    "column array": np.array([[2.0], [0.5]]),
    "integer array": np.array([1, 3]),
    "0-d array": np.array(2.0),
    "list": [[2.0, 1.0], [0.5, 2.0]],
    "float": 2.5,
    "int": 2,
    "bool": True,
    "numpy float": np.float64(2.5),
    "numpy float32": np.float32(2.5),
    "numpy int": np.int64(2),
    "numpy bool": np.True_,
    "fortran array": np.asfortranarray(np.array([[2.0, 1.0], [0.5, 2.0]])),
    "reversed array": np.array([[2.0, 1.0], [0.5, 2.0]])[::-1, ::-1],
    "bool array": np.array([True, True]),
}


def raw(value):
    return value.detach().numpy() if isinstance(value, tg.Tensor) else value


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
@pytest.mark.parametrize("operation", OPERATORS, ids=lambda f: f.__name__)
def test_operators_on_either_side(operation, other):
    for flip in (False, True):
        x = tg.tensor(A, requires_grad=True)

        def apply(a, b, flip=flip):
            return operation(b, a) if flip else operation(a, b)

        y = apply(x, other)
        expected = np.asarray(apply(A, raw(other) if not isinstance(other, list) else np.array(other)))
        same(y, expected)
        assert y.dtype == expected.dtype
        assert y.requires_grad
        y.sum().backward()
        if operation is operator.floordiv:
            same(x.grad, np.zeros_like(A))
        elif operation is not operator.mod:  # it jumps, where the operands meet
            eps = 1e-6
            up, down = apply(A + eps, np.asarray(raw(other))), apply(A - eps, np.asarray(raw(other)))
            np.testing.assert_allclose(x.grad.numpy(), (up - down) / (2 * eps), rtol=1e-6, atol=1e-6)
        if isinstance(other, tg.Tensor):
            other.grad = None


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
@pytest.mark.parametrize("operation", COMPARISONS, ids=lambda f: f.__name__)
def test_comparisons_on_either_side(operation, other):
    x = tg.tensor(A, requires_grad=True)
    plain = np.array(other) if isinstance(other, list) else raw(other)
    for y, expected in (
        (operation(x, other), operation(A, plain)),
        (operation(other, x), operation(plain, A)),
    ):
        same(y, expected)
        assert y.dtype == np.bool_
        assert not y.requires_grad


@pytest.mark.parametrize("other", [np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([5.0, 6.0])])
def test_matrix_products_on_either_side(other):
    x = tg.tensor(A, requires_grad=True)
    for wrap in (lambda a: a, tg.tensor, lambda a: tg.tensor(a, requires_grad=True)):
        same(x @ wrap(other), A @ other)
        same(wrap(other) @ x, other @ A)
        same(np.matmul(wrap(other), x), other @ A)
        same(np.dot(wrap(other), x), other @ A)
    same(x @ other.tolist(), A @ other)
    same(other.tolist() @ x, other @ A)
    for wrong in (2, 2.0, np.float64(2), np.ones(3), tg.ones(3)):
        with pytest.raises(errors.ShapeError, match=r"^matmul: "):
            x @ wrong
        with pytest.raises(errors.ShapeError, match=r"^matmul: "):
            wrong @ x


@pytest.mark.parametrize("operation", OPERATORS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("number", [2, 2.5, True, [2.0, 3.0]], ids=repr)
def test_python_numbers_do_not_widen(operation, number):
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    for y in (operation(x, number), operation(number, x)):
        assert y.dtype == np.float32
        y.sum().backward()
        assert x.grad.dtype == np.float32
    integers = tg.tensor(np.array([1, 2], np.int32))
    if number == 2:
        assert operation(integers, number).dtype == (
            np.float64 if operation is operator.truediv else np.int32
        )


@pytest.mark.parametrize(
    "other",
    [None, "a", b"a", 1j, fractions.Fraction(1, 2), object(), {}, [[1.0], 2.0], np.array([1j, 2]),
     np.array([None, 1.0]), np.array([fractions.Fraction(1, 2)] * 2), np.array(["a", "b"]),
     np.ones(2, np.longdouble), np.ma.array([1.0, 2.0], mask=[True, False])],
    ids=lambda other: repr(other).partition(" at ")[0],
)  # fmt: skip
@pytest.mark.parametrize("operation", [*OPERATORS, operator.matmul], ids=lambda f: f.__name__)
def test_what_no_operator_takes(operation, other):
    x = tg.tensor(np.array([1.0, 2.0]), requires_grad=True)
    with pytest.raises(errors.DTypeError):
        operation(x, other)
    # On the left, a str formats, a Fraction raises its float, and a masked array reads what it likes.
    if not isinstance(other, str | bytes | fractions.Fraction | np.ma.MaskedArray):
        with pytest.raises(TypeError):
            operation(other, x)


def test_subclasses_of_arrays_count_as_arrays():
    matrix = np.array([[1.0, 2.0], [3.0, 4.0]]).view(np.matrix)
    for product in (lambda x: x * matrix, lambda x: matrix * x, lambda x: np.multiply(matrix, x)):
        x = tg.tensor(np.ones((2, 2)), requires_grad=True)
        y = product(x)
        same(y, np.asarray(matrix))
        y.sum().backward()
        same(x.grad, np.asarray(matrix))
    same(tg.tensor(matrix), np.asarray(matrix))


def test_truth_values_in_arithmetic():
    mask = tg.tensor([True, False])
    x = leaf(3.0, 4.0)
    y = x * mask + mask
    same(y, [4, 0])
    y.sum().backward()
    same(x.grad, [1, 0])
    with pytest.raises(errors.DTypeError, match=r"^subtract: "):
        operator.sub(mask, mask)
    with pytest.raises(errors.DTypeError, match=r"^negative: "):
        operator.neg(mask)


def test_unary_operators():
    x = leaf(-1.0, 2.0)
    same(-x, [1, -2])
    same(abs(x), [1, 2])
    same(+x, [-1, 2])
    with pytest.raises(errors.DTypeError, match=r"^invert: "):
        operator.invert(x)


# --- NumPy's functions -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (np.exp, ()),
        (np.absolute, ()),
        (np.tanh, ()),
        (np.square, ()),
        (np.negative, ()),
        (np.true_divide, (2.0,)),
        (np.power, (2,)),
        (np.maximum, (2.0,)),
        (np.sum, (0,)),
        (np.mean, ()),
        (np.amax, (1,)),
        (np.prod, ()),
        (np.reshape, ((4,),)),
        (np.transpose, ()),
        (np.expand_dims, (0,)),
        (np.squeeze, ()),
        (np.swapaxes, (0, 1)),
        (np.moveaxis, (0, 1)),
        (np.broadcast_to, ((3, 2, 2),)),
        (np.flip, ()),
        (np.roll, (1,)),
        (np.repeat, (2,)),
        (np.tile, (2,)),
        (np.tril, ()),
        (np.trace, ()),
        (np.diagonal, ()),
        (np.cumsum, (0,)),
        (np.clip, (1.6, 3.5)),
        (np.pad, (1,)),
        (np.argmax, ()),
        (np.var, ()),
        (np.outer, (np.ones(2),)),
        (np.zeros_like, ()),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_numpy_functions_give_tensors(function, arguments):
    x = tg.tensor(A, requires_grad=True)
    y = function(x, *arguments)
    assert type(y) is tg.Tensor
    np.testing.assert_allclose(y.detach().numpy(), function(A, *arguments), rtol=1e-14)
    if function not in (np.argmax,):
        assert y.requires_grad


def test_numpy_functions_of_several():
    x, other = tg.tensor(A, requires_grad=True), np.ones((1, 2))
    same(np.concatenate([x, other]), np.concatenate([A, other]))
    same(np.concatenate([other, x]), np.concatenate([other, A]))
    same(np.concatenate((x, x), axis=1), np.concatenate((A, A), axis=1))
    same(np.stack([x, A]), np.stack([A, A]))
    same(np.where(A > 2, x, 0.0), np.where(A > 2, A, 0.0))
    same(np.einsum("ij,jk->ik", A, x), A @ A)
    parts = np.split(x, 2)
    same(parts[1], A[1:])
    np.concatenate([x, other]).sum().backward()
    same(x.grad, np.ones((2, 2)))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x: np.vstack([x, x]), "numpy.vstack"),
        (lambda x: np.sort(x), "numpy.sort"),
        (lambda x: np.ones_like(x), "numpy.ones_like"),
        (lambda x: np.median(x), "numpy.median"),
        (lambda x: np.log2(x), "numpy.log2"),
        (lambda x: np.isnan(x), "numpy.isnan"),
        (lambda x: np.divmod(x, 2), "numpy.divmod"),
        (lambda x: np.add.reduce(x), "numpy.add.reduce"),
        (lambda x: np.add.outer(x, x), "numpy.add.outer"),
        (lambda x: np.multiply.at(np.ones(2), [0], x), "numpy.multiply.at"),
        (lambda x: np.add(np.ones((2, 2)), x, out=np.ones((2, 2))), "numpy.add"),
        (lambda x: np.add(x, x, where=A > 2), "numpy.add"),
        (lambda x: np.exp(x, dtype=np.float32), "numpy.exp"),
        (lambda x: operator.iadd(np.ones((2, 2)), x), "numpy.add"),
        (lambda x: np.linalg.norm(x, 2), "numpy.linalg.norm"),
        (lambda x: np.linalg.diagonal(x), "numpy.linalg.diagonal"),
        (lambda x: np.linalg.inv(x), "numpy.linalg.inv"),
        (lambda x: np.fft.fft(x), "numpy.fft.fft"),
    ],
)
def test_numpy_functions_that_are_not_supported_are_refused_by_name(call, name):
    for x in (tg.tensor(A), tg.tensor(A, requires_grad=True)):
        with pytest.raises(errors.DTypeError, match=rf"^{re.escape(name)}: not supported on Tensors"):
            call(x)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.sum(x, dtype=np.float32),
        lambda x: np.sum(x, where=A > 2),
        lambda x: np.reshape(x, (4,), order="F"),
        lambda x: np.pad(x, 1, mode="reflect"),
        lambda x: np.pad(x, 1, "reflect"),
        lambda x: np.mean(x, 0, np.float32),
    ],
)
def test_settings_of_numpy_functions_that_are_not_supported_are_refused(call):
    with pytest.raises((errors.DTypeError, errors.ShapeError)):
        call(tg.tensor(A, requires_grad=True))


# --- Changes in place --------------------------------------------------------------------------

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


# --- Random numbers ----------------------------------------------------------------------------


def test_manual_seed():
    tg.manual_seed(3)
    first = (tg.rand(3).tolist(), tg.randn(3).tolist(), random_key())
    tg.manual_seed(3)
    assert (tg.rand(3).tolist(), tg.randn(3).tolist(), random_key()) == first
    tg.manual_seed(4)
    assert tg.rand(3).tolist() != first[0]
    tg.manual_seed(np.int64(3))
    assert tg.rand(3).tolist() == first[0]


def test_fork_rng():
    tg.manual_seed(0)
    expected = tg.rand(2).tolist()
    tg.manual_seed(0)
    with tg.fork_rng(1) as own:
        assert generator() is own
        inner = tg.rand(5).tolist()
        tg.manual_seed(9)
        with tg.fork_rng(1):
            assert tg.rand(5).tolist() == inner
    assert tg.rand(2).tolist() == expected


def test_fork_rng_is_not_seen_by_other_threads():
    seen = []
    with tg.fork_rng(1) as own:
        thread = threading.Thread(target=lambda: seen.append(generator() is own))
        thread.start()
        thread.join()
    assert seen == [False]


@pytest.mark.parametrize("seed", [-1, 1.5, "a", None])
def test_wrong_seeds(seed):
    with pytest.raises(errors.OptionError, match=r"^manual_seed: "):
        tg.manual_seed(seed)
    with pytest.raises(errors.OptionError, match=r"^fork_rng: "), tg.fork_rng(seed):
        pass


def test_state_round_trip():
    import json

    tg.manual_seed(5)
    tg.rand(3)
    state = json.loads(json.dumps(get_state()))
    drawn = [tg.rand(4).tolist(), tg.randn(2).tolist(), random_key()]
    set_state(state)
    assert [tg.rand(4).tolist(), tg.randn(2).tolist(), random_key()] == drawn
    for wrong in ({}, {"bit_generator": "MT19937"}, 3):
        with pytest.raises(errors.StateError, match=r"^set_state: "):
            set_state(wrong)


def test_a_state_does_not_move_with_the_generator():
    state = get_state()
    text = repr(state)
    tg.rand(10)
    assert repr(state) == text


def test_dropout_keys():
    x = tg.ones(1000, requires_grad=True)
    first, again, other = (tg.dropout(x, p=0.3, key=key) for key in (7, 7, 8))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
    assert 600 < np.count_nonzero(first.detach().numpy()) < 800
    np.testing.assert_allclose(np.unique(first.detach().numpy()), [0, 1 / 0.7], rtol=1e-6)
    first.sum().backward()
    assert x.grad.tolist() == first.tolist()  # the same mask on the way back
    with tg.fork_rng(0):
        keys = {random_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(isinstance(key, int) and 0 <= key < 2**63 for key in keys)


# --- Messages, and what importing brings along -------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda: tg.tensor(1j),
        lambda: tg.tensor([[1], [2, 3]]),
        lambda: tg.tensor(1, requires_grad=True),
        lambda: tg.ones(2).item(),
        lambda: bool(tg.ones(2)),
        lambda: leaf(1.0).numpy(),
        lambda: tg.ones(2)[3],
        lambda: tg.ones(2).__setitem__(3, 1),
        lambda: tg.ones(2).__setitem__(0, [1, 2, 3]),
        lambda: tg.ones(2) + tg.ones(3),
        lambda: tg.ones(2) @ tg.ones(3),
        lambda: tg.ones(2).reshape(3),
        lambda: tg.ones(2) + None,
        lambda: tg.ones(2) + "a",
        lambda: np.sort(tg.ones(2)),
        lambda: tg.tensor(1.0, device="gpu"),
        lambda: tg.tensor(1.0).astype("nope"),
        lambda: operator.iadd(tg.tensor([1]), 0.5),
        lambda: operator.iadd(leaf(1.0), 1),
        lambda: tg.zeros(-1),
        lambda: tg.manual_seed(-1),
        lambda: copy.deepcopy(leaf(1.0) * 2),
        lambda: setattr(leaf(1.0), "grad", np.ones(2)),
    ],
)
def test_messages_have_the_documented_shape(call):
    with pytest.raises(errors.TinygradAdamError) as caught:
        call()
    first, *rest = str(caught.value).splitlines()
    assert re.match(r"^[\w. ]+: \S", first), first
    for line in rest:
        assert re.match(r"^  \w+ +\S", line), line
    # One base for all, and the class that a caller would expect.
    assert isinstance(caught.value, ValueError | TypeError | IndexError | RuntimeError)


def test_the_shape_of_a_message():
    error = errors.ShapeError(
        "linear", "x.shape[-1] must equal weight.shape[1]", x=(32, 64), weight=(128, 100)
    )
    assert str(error) == (
        "linear: x.shape[-1] must equal weight.shape[1]\n  x       (32, 64)\n  weight  (128, 100)"
    )
    assert isinstance(error, ValueError)
    assert str(errors.GraphError("here")) == "here"


def test_unknown_names_suggest_the_nearest():
    error = errors.unknown_name("train", "optimizer", "adm", ["sgd", "adam"])
    assert str(error) == "train: unknown optimizer 'adm'; did you mean 'adam'?\n  known  adam, sgd"


def test_importing_the_package_imports_nothing_heavy():
    heavy = [
        "numba", "matplotlib", "rich", "cupy", "scipy", "typer", "pooch", "torch", "PIL", "requests",
    ]  # fmt: skip
    code = (
        "import sys, tinygrad_adam\n"
        f"print([name for name in {heavy!r} if name in sys.modules])\n"
        "x = tinygrad_adam.tensor([1.0, 2.0], requires_grad=True)\n"
        "(x * x).sum().backward()\n"
        f"print([name for name in {heavy!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]
