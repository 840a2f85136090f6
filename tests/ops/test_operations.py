"""Every operation of the table: values, gradients, shapes, layouts, dtypes, kernel sets, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cases import (
    CASES,
    Case,
    check_first_derivative,
    check_reserved_places,
    check_second_derivative,
    exercised,
    outputs_of,
    public_operations,
    value_and_gradients,
)
from oracles import ORACLES

import tinygrad_adam as tg
from tinygrad_adam.engine.graph import PRIMITIVES as REGISTERED
from tinygrad_adam.errors import (
    DTypeError,
    GradcheckError,
    IndexingError,
    OptionError,
    ShapeError,
    TinygradAdamError,
)

pytestmark = pytest.mark.versions

PRIMITIVES = dict(REGISTERED)  # before examples in docstrings, when they run, add theirs

every_case = pytest.mark.parametrize("case", CASES, ids=str)
differentiable_cases = pytest.mark.parametrize("case", [c for c in CASES if c.differentiable], ids=str)
elementwise_cases = pytest.mark.parametrize("case", [c for c in CASES if c.elementwise], ids=str)


# --- The table itself ------------------------------------------------------------------------


def test_every_public_operation_is_in_the_table():
    assert public_operations() - {case.op for case in CASES} == set()


def test_every_primitive_is_in_the_table():
    seen = set()
    for case in CASES:
        if not PRIMITIVES.keys() <= seen:
            seen |= set().union(*exercised(case))
    assert PRIMITIVES.keys() - seen == set()


def test_every_primitive_with_rules_is_checked_by_differences():
    seen = set()
    wanted = {name for name, primitive in PRIMITIVES.items() if primitive.rules}
    for case in CASES:
        if case.smooth and not wanted <= seen:
            seen |= exercised(case)[0]
    # The rules of these rules are reached in the second derivative.
    assert wanted - seen == {"_softmax_cross_entropy_vjp", "relu_vjp"}


def test_case_names_are_unique():
    assert len({str(case) for case in CASES}) == len(CASES)


def test_every_oracle_is_asked():
    assert {case.name for case in CASES} == ORACLES.keys()


# --- Values ----------------------------------------------------------------------------------


def assert_outputs(case: Case, result, arrays, tolerance: float) -> None:
    outputs = outputs_of(result)
    expected = outputs_of(case.expected(*[np.asarray(a, np.float64) for a in arrays]))
    assert len(outputs) == len(expected)
    for out, wanted in zip(outputs, expected, strict=True):
        assert out.shape == np.shape(wanted)
        np.testing.assert_allclose(out, wanted, rtol=tolerance, atol=tolerance)


@every_case
def test_value_in_float64(case):
    arrays = case.arrays()
    result = case.function(*[tg.tensor(a) for a in arrays])
    assert all(isinstance(out, tg.Tensor) for out in outputs_of(result))
    assert_outputs(case, [out.numpy() for out in outputs_of(result)], arrays, 1e-12)
    raw = outputs_of(case.function(*arrays))
    assert not any(isinstance(out, tg.Tensor) for out in raw)
    assert_outputs(case, raw, arrays, 1e-12)


@every_case
def test_value_in_float32(case):
    arrays = [a.astype(np.float32) for a in case.arrays()]
    outputs = outputs_of(case.function(*[tg.tensor(a) for a in arrays]))
    assert_outputs(case, [out.numpy() for out in outputs], arrays, 3e-6)
    assert all(out.dtype == np.float32 for out in outputs) or not case.keeps_dtype


# --- Gradients -------------------------------------------------------------------------------


@differentiable_cases
def test_gradient(case):
    check_first_derivative(case)


@pytest.mark.parametrize("case", [c for c in CASES if c.differentiable and c.smooth >= 2], ids=str)
def test_gradient_of_gradient(case):
    check_second_derivative(case)


_FIRST = {case.op: case for case in reversed(CASES) if case.differentiable and case.smooth >= 2}


@pytest.mark.parametrize("case", _FIRST.values(), ids=_FIRST)
def test_third_derivative(case):
    def gradients(*leaves):
        leaves = [x if x.requires_grad else x.detach().requires_grad_() for x in leaves]
        with tg.enable_grad():
            outputs = outputs_of(case.function(*leaves))
            total = sum((out * out).sum() for out in outputs)
            return tg.grad(total, leaves, create_graph=True)

    tg.gradgradcheck(gradients, case.tensors(), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@differentiable_cases
def test_gradient_in_a_reserved_place(case):
    check_reserved_places(case)


@differentiable_cases
def test_gradient_in_float32(case):
    arrays = case.arrays()
    _, gradients = value_and_gradients(case, [a.astype(np.float32) for a in arrays])
    _, expected = value_and_gradients(case, [a.astype(np.float32).astype(np.float64) for a in arrays])
    assert len(gradients) == len(expected)
    for gradient, wanted in zip(gradients, expected, strict=True):
        assert gradient.dtype == np.float32
        np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-5)


def test_no_gradient_through_comparisons():
    for case in CASES:
        if not case.differentiable:
            assert not any(out.requires_grad for out in outputs_of(case.function(*case.tensors())))


# --- Shapes and layouts ----------------------------------------------------------------------


def strided(array: np.ndarray) -> np.ndarray:
    """Return the same values at every other place of a larger array, in reverse."""
    if not array.ndim:
        return array
    wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan)
    wide[..., ::2] = array[..., ::-1]
    return wide[..., ::2][..., ::-1]


def fortran(array: np.ndarray) -> np.ndarray:
    return np.array(array, order="F")


@every_case
def test_inputs_are_left_alone_and_their_layout_in_memory_does_not_matter(case):
    arrays = case.arrays()
    expected_values, expected_gradients = value_and_gradients(case, arrays)
    for array, before in zip(arrays, case.arrays(), strict=True):
        np.testing.assert_array_equal(array, before)
    for layout in (strided, fortran):
        values, gradients = value_and_gradients(case, [layout(a) for a in arrays])
        for got, wanted in zip(values + gradients, expected_values + expected_gradients, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)


@elementwise_cases
@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1,), (2, 1, 3, 2)], ids=str)
def test_elementwise_in_any_shape(case, shape):
    arrays = case.arrays(*[shape] * len(case.inputs))
    values, gradients = value_and_gradients(case, arrays)
    assert_outputs(case, values, arrays, 1e-12)
    assert [g.shape for g in gradients] == [shape] * len(arrays)


@pytest.mark.parametrize("case", [c for c in CASES if c.elementwise and len(c.inputs) == 2], ids=str)
@pytest.mark.parametrize(
    "shapes",
    [
        ((3, 1), (1, 4)),
        ((4,), (2, 3, 4)),
        ((2, 1, 3), (4, 1)),
        ((), (2,)),
        ((1,), ()),
        ((0, 1), (3,)),
        ((1,), (0,)),
    ],
    ids=str,
)
def test_elementwise_broadcasts(case, shapes):
    arrays = case.arrays(*shapes)
    values, gradients = value_and_gradients(case, arrays)
    assert_outputs(case, values, arrays, 1e-12)
    assert tuple(g.shape for g in gradients) == shapes
    tg.gradcheck(case.function, [tg.tensor(a, requires_grad=True) for a in arrays])


# --- Kernel sets -----------------------------------------------------------------------------


@every_case
def test_fast_kernels_agree_with_the_reference(case):
    for dtype, tolerance in [(np.float64, 1e-12), (np.float32, 1e-5)]:
        results = {}
        for name in ("fast", "reference"):
            with tg.use_kernels(name):
                values, gradients = value_and_gradients(case, [a.astype(dtype) for a in case.arrays()])
                results[name] = values + gradients
        for fast, plain in zip(results["fast"], results["reference"], strict=True):
            assert fast.dtype == plain.dtype
            np.testing.assert_allclose(fast, plain, rtol=tolerance, atol=tolerance)


# --- What is particular to some --------------------------------------------------------------


def test_dropout_keeps_the_share_it_should():
    y = tg.dropout(np.ones(40_000), p=0.3, key=11)
    assert abs(np.mean(y == 0) - 0.3) < 0.01
    assert set(np.unique(y)) == {0.0, 1 / 0.7}
    assert not np.array_equal(y, tg.dropout(np.ones(40_000), p=0.3, key=12))


def test_batch_norm_updates_its_running_averages():
    x = np.random.default_rng(0).standard_normal((5, 3, 2))
    mean, var = tg.zeros(3, dtype=np.float64), tg.ones(3, dtype=np.float64)
    tg.batch_norm(tg.tensor(x), mean, var, training=True, momentum=0.25)
    np.testing.assert_allclose(mean.numpy(), 0.25 * x.mean((0, 2)))
    np.testing.assert_allclose(var.numpy(), 0.75 + 0.25 * x.var((0, 2), ddof=1))


@pytest.mark.parametrize(
    "view", [lambda x: x[1], lambda x: x[np.int64(1)], lambda x: tg.einsum("ij->ji", x), lambda x: x.T]
)
def test_a_change_of_a_view_is_noticed_by_who_kept_the_whole(view):
    x = tg.tensor(np.ones((2, 2)))
    y = x * tg.tensor(np.ones((2, 2)), requires_grad=True)
    part = view(x)
    part += 1.0
    with pytest.raises(tg.errors.GraphError, match="multiply: a was changed in place"):
        y.sum().backward()


def test_extrema_of_logsumexp():
    assert tg.logsumexp(np.array([np.inf, 0.0])) == np.inf
    with np.errstate(divide="ignore"):
        assert tg.logsumexp(np.full(3, -np.inf)) == -np.inf


def test_an_ignored_label_gets_no_gradient():
    z = tg.tensor(np.ones((2, 3)), requires_grad=True)
    tg.cross_entropy(z, [-100, 1]).backward()
    assert not z.grad.numpy()[0].any()
    assert z.grad.numpy()[1].any()


def test_gradcheck_raises_on_a_wrong_gradient():
    x = tg.tensor(np.ones(3), requires_grad=True)
    with pytest.raises(GradcheckError):
        tg.gradcheck(lambda a: a * a.detach(), x)
    with pytest.raises(GradcheckError):
        tg.gradgradcheck(lambda a: a * a.detach() * a, x)
    assert tg.gradcheck(lambda a: tg.tensor(np.ones(2)), x)
    with pytest.raises(DTypeError, match="float64"):
        tg.gradcheck(tg.exp, tg.tensor([1.0], requires_grad=True))


# --- Errors ----------------------------------------------------------------------------------


def ones(*shape):
    return tg.tensor(np.ones(shape))


@pytest.mark.parametrize(
    ("error", "operation", "call"),
    [
        (ShapeError, "add", lambda: ones(2) + ones(3)),
        (ShapeError, "power", lambda: ones(2) ** ones(3)),
        (ShapeError, "where", lambda: tg.where(np.ones(2, bool), ones(3), 0.0)),
        (ShapeError, "matmul", lambda: ones(2, 3) @ ones(2, 3)),
        (ShapeError, "matmul", lambda: ones(2, 3) @ ones(2)),
        (ShapeError, "matmul", lambda: tg.matmul(ones(), ones(2))),
        (ShapeError, "matmul", lambda: ones(2, 2, 3) @ ones(3, 3, 2)),
        (ShapeError, "matmul", lambda: tg.dot(ones(2, 3), ones(5, 2, 3))),
        (ShapeError, "linear", lambda: tg.linear(ones(2, 3), ones(4, 5))),
        (ShapeError, "linear", lambda: tg.linear(ones(2, 3), ones(4, 3), ones(3))),
        (ShapeError, "linear", lambda: tg.linear(ones(), ones(4, 3))),
        (ShapeError, "reshape", lambda: tg.reshape(ones(2, 3), shape=(4,))),
        (ShapeError, "transpose", lambda: tg.transpose(ones(2, 3), axes=(0,))),
        (ShapeError, "broadcast_to", lambda: tg.broadcast_to(ones(2), shape=(3,))),
        (ShapeError, "flip", lambda: tg.flip(ones(2), axis=1)),
        (ShapeError, "roll", lambda: tg.roll(ones(2), shift=1, axis=1)),
        (ShapeError, "moveaxis", lambda: tg.moveaxis(ones(2, 3), (0, 1), 0)),
        (ShapeError, "swapaxes", lambda: tg.swapaxes(ones(2, 3), 0, 2)),
        (ShapeError, "stack", lambda: tg.stack([ones(2)], axis=2)),
        (ShapeError, "squeeze", lambda: tg.squeeze(ones(2, 1), 2)),
        (ShapeError, "moveaxis", lambda: tg.moveaxis(ones(2, 1), 2, 0)),
        (ShapeError, "split", lambda: tg.split(ones(2, 1), 2, axis=2)),
        (ShapeError, "repeat", lambda: tg.repeat(ones(2, 1), 2, axis=2)),
        (ShapeError, "flatten", lambda: ones(2, 3).flatten(2)),
        (ShapeError, "expand_dims", lambda: tg.expand_dims(ones(2), 2)),
        (ShapeError, "squeeze", lambda: tg.squeeze(ones(2, 1), 0)),
        (ShapeError, "concatenate", lambda: tg.concatenate([ones(2, 3), ones(2, 2)])),
        (ShapeError, "concatenate", lambda: tg.concatenate([])),
        (ShapeError, "stack", lambda: tg.stack([ones(2), ones(3)])),
        (ShapeError, "split", lambda: tg.split(ones(5), 2)),
        (ShapeError, "split", lambda: tg.split(ones(5), 0)),
        (ShapeError, "pad", lambda: tg.pad(ones(2, 3), pad_width=((1, 1), (1, 1), (1, 1)))),
        (ShapeError, "repeat", lambda: tg.repeat(ones(2, 3), [1, 2], axis=1)),
        (ShapeError, "repeat", lambda: tg.repeat(ones(2), -1)),
        (ShapeError, "sum", lambda: tg.sum(ones(2, 3), axis=2)),
        (ShapeError, "max", lambda: tg.max(ones(0))),
        (ShapeError, "argmax", lambda: tg.argmax(ones(0))),
        (OptionError, "norm", lambda: tg.norm(ones(2), ord="fro")),
        (ShapeError, "diagonal", lambda: tg.diagonal(ones(2, 2), axis1=0, axis2=0)),
        (ShapeError, "trace", lambda: tg.trace(ones(2))),
        (ShapeError, "einsum", lambda: tg.einsum("ij,jk", ones(2, 3))),
        (ShapeError, "einsum", lambda: tg.einsum("ij", ones(2))),
        (ShapeError, "einsum", lambda: tg.einsum("ij,jk", ones(2, 3), ones(2, 3))),
        (ShapeError, "einsum", lambda: tg.einsum("ii", ones(1, 3))),
        (ShapeError, "einsum", lambda: tg.einsum("i->ij", ones(2))),
        (IndexingError, "slice", lambda: ones(2)[2]),
        (IndexingError, "slice", lambda: ones(2)[0, 0]),
        (IndexingError, "gather", lambda: ones(2)[[0, 2]]),
        (IndexingError, "gather", lambda: ones(2)[np.array([True, False, True])]),
        (IndexingError, "gather", lambda: ones(2)[np.array([0.5])]),
        (ShapeError, "take_along_axis", lambda: tg.take_along_axis(ones(2, 3), [0], 1)),
        (ShapeError, "take_along_axis", lambda: tg.take_along_axis(ones(2, 3), np.zeros((2, 1), int), 2)),
        (IndexingError, "gather", lambda: tg.take_along_axis(ones(2, 3), np.full((2, 1), 3), 1)),
        (ShapeError, "layer_norm", lambda: tg.layer_norm(ones(2, 3), (2,))),
        (ShapeError, "layer_norm", lambda: tg.layer_norm(ones(2, 3), ())),
        (ShapeError, "batch_norm", lambda: tg.batch_norm(ones(3), training=True)),
        (ShapeError, "batch_norm", lambda: tg.batch_norm(ones(1, 3), training=True)),
        (ShapeError, "cross_entropy", lambda: tg.cross_entropy(ones(4, 3), [0, 1, 2])),
        (ShapeError, "cross_entropy", lambda: tg.cross_entropy(ones(4, 3), np.ones((4, 2)))),
        (DTypeError, "cross_entropy", lambda: tg.cross_entropy(ones(4, 3), np.ones(4))),
        (DTypeError, "linear", lambda: tg.linear([[1.0, 2.0, 3.0]], ones(4, 3))),
        (ShapeError, "cross_entropy", lambda: tg.cross_entropy(ones(2, 3), [0, 1], weight=np.ones(2))),
        (IndexingError, "cross_entropy", lambda: tg.cross_entropy(ones(2, 3), [0, 3])),
        (IndexingError, "cross_entropy", lambda: tg.cross_entropy(ones(2, 3), [0, -1])),
        (DTypeError, "cross_entropy", lambda: tg.cross_entropy(tg.tensor([[1, 2]]), [0])),
        (DTypeError, "cross_entropy", lambda: tg.cross_entropy(ones(2, 3), np.array([True, False]))),
        (OptionError, "cross_entropy", lambda: tg.cross_entropy(ones(2, 3), [0, 1], label_smoothing=1.5)),
        (OptionError, "cross_entropy", lambda: tg.cross_entropy(ones(2, 3), [0, 1], reduction="maen")),
        (ShapeError, "nll_loss", lambda: tg.nll_loss(ones(2, 3), [0])),
        (IndexingError, "nll_loss", lambda: tg.nll_loss(ones(2, 3), [0, 3])),
        (
            ShapeError,
            "binary_cross_entropy_with_logits",
            lambda: tg.binary_cross_entropy_with_logits(ones(2), np.ones((2, 1))),
        ),
        (ShapeError, "mse_loss", lambda: tg.mse_loss(ones(2), ones(2, 1))),
        (ShapeError, "l1_loss", lambda: tg.l1_loss(ones(2), ones(3))),
        (ShapeError, "huber_loss", lambda: tg.huber_loss(ones(2), ones(3))),
        (OptionError, "huber_loss", lambda: tg.huber_loss(ones(2), ones(2), delta=0)),
        (ShapeError, "kl_div", lambda: tg.kl_div(ones(2), ones(3))),
        (ShapeError, "hinge_loss", lambda: tg.hinge_loss(ones(2), ones(3))),
        (OptionError, "mse_loss", lambda: tg.mse_loss(ones(2), ones(2), reduction="batchmean")),
        (OptionError, "gelu", lambda: tg.gelu(ones(2), approximate="erf")),
        (DTypeError, "add", lambda: ones(2) + "one"),
        (DTypeError, "sum", lambda: tg.sum(ones(2), 0, False, 3)),
    ],
)
def test_errors_name_the_operation(error, operation, call):
    with pytest.raises(error) as raised:
        call()
    assert type(raised.value) is error
    assert isinstance(raised.value, TinygradAdamError)
    assert str(raised.value).startswith(f"{operation}: ")


def test_an_error_shows_the_shapes():
    with pytest.raises(ShapeError, match=r"x +\(32, 64\)\n +weight +\(128, 100\)"):
        tg.linear(ones(32, 64), ones(128, 100))


def test_a_misspelled_reduction_gets_a_hint():
    with pytest.raises(OptionError, match="did you mean 'mean'"):
        tg.mse_loss(ones(2), ones(2), reduction="maen")


def test_norm_of_infinite_order_is_the_greatest_size():
    assert tg.norm(np.array([3.0, -5.0]), math.inf) == 5.0


def test_the_gradient_of_an_exponent_is_as_exact_as_the_power():
    """A float32 base beside a float64 exponent: log(3) in float32 would be off by 1e-8."""
    a = tg.tensor(np.array([3.0], np.float32))
    b = tg.tensor(np.array([0.7]), requires_grad=True)
    (a**b).sum().backward()
    np.testing.assert_allclose(b.grad.numpy(), 3**0.7 * np.log(3.0), rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64, np.int64])
def test_the_gradient_of_a_base_below_an_exponent_of_integers(dtype):
    """The derivative of a**b is b * a**(b - 1); with b = 0 unsigned, b - 1 would wrap."""
    exponents = np.array([0, 1, 2, 5], dtype)
    a = tg.tensor(np.full(4, -3.0, np.float32), requires_grad=True)
    (a ** tg.tensor(exponents)).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), [0, 1, -6, 5 * 81])


@pytest.mark.parametrize("n", [3, 7, 49, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_elements_do_not_deviate(n, dtype):
    """Their mean may be rounded; their variance, its root and the gradients of both are 0 all the same."""
    for value in (0.1, 3.3, 171.7):
        x = tg.tensor(np.full(n, value, dtype), requires_grad=True)
        for spread in (x.var(), x.std(), x.std(ddof=1)):
            assert spread.item() == 0
            spread.backward()
            assert not x.grad.numpy().any()


@pytest.mark.parametrize("number", [2.0, np.float64(2.0), np.float32(2.0)])
def test_einsum_takes_numbers(number):
    x = tg.tensor([1.0, 3.0], requires_grad=True)
    tg.einsum("i,->i", x, number).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 2.0])
