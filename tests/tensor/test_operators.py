"""Operators between Tensors, arrays and numbers, and NumPy's functions."""

import fractions
import operator
import re

import numpy as np
import pytest
from arrays import raw, same
from leaves import leaf

import tinygrad_adam as tg
from tinygrad_adam import errors

pytestmark = pytest.mark.versions


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
