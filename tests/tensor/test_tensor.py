"""Tensors: how they are made and read, their devices, and their messages."""

import copy
import fractions
import functools
import operator
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
from arrays import same
from leaves import leaf

import tinygrad_adam as tg
from tinygrad_adam import errors

pytestmark = pytest.mark.versions


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
