"""Lists, integers and NumPy's numbers beside Tensors: dtype and digits are those of the Tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_adam as tg

A = np.array([1.5, 2.0, 3.0])
SHARES = [0.7, 0.9, 1.1]


def _binary() -> list[Any]:
    names = (
        "add",
        "subtract",
        "multiply",
        "divide",
        "power",
        "remainder",
        "maximum",
        "minimum",
        "matmul",
        "dot",
    )
    return [pytest.param(getattr(tg, name), getattr(np, name), id=name) for name in names]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("beside", [[1, 2, 3], (1, 2, 3), range(1, 4), SHARES, tuple(SHARES)], ids=repr)
@pytest.mark.parametrize(("ours", "theirs"), _binary())
def test_a_list_takes_the_dtype_of_the_tensor_beside_it(
    ours: Any, theirs: Any, beside: Any, dtype: str
) -> None:
    x = tg.tensor(A.astype(dtype), requires_grad=True)
    for y, right in ((ours(x, beside), theirs(A, beside)), (ours(beside, x), theirs(beside, A))):
        assert y.dtype == dtype
        np.testing.assert_allclose(y.detach().numpy(), right, rtol=1e-14 if dtype == "float64" else 2e-6)
        x.grad = None
        y.sum().backward()
        assert x.grad is not None
        assert x.grad.dtype == dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lists_in_operations_of_several_operands(dtype: str) -> None:
    x, right = tg.tensor(A.astype(dtype)), 1e-14 if dtype == "float64" else 2e-6
    cases = [
        (tg.where([True, False, True], x, SHARES), [1.5, 0.9, 3.0]),
        (tg.where([True, False, True], [1, 2, 3], x), [1.0, 2.0, 3.0]),
        (tg.einsum("i,i->i", x, SHARES), A * SHARES),
        (tg.einsum("i,->i", x, 1 / 3), A / 3),
        (tg.einsum("i,->i", x, np.float64(1 / 3)), A / 3),
        (tg.einsum("i,->i", x, 3), A * 3),
        (tg.dot(x, np.float64(1 / 3)), A / 3),
        (tg.dot(1 / 3, x), A / 3),
    ]
    for number, (y, expected) in enumerate(cases):
        assert y.dtype == dtype, number
        np.testing.assert_allclose(y.numpy(), expected, rtol=right, err_msg=str(number))


@pytest.mark.parametrize("operation", [tg.multiply, tg.matmul, lambda a, b: tg.einsum("i,i", a, b)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("before", "after"), [([1, 2, 3], [4, 5, 6]), (SHARES, [0.1, 0.2, 0.3])])
def test_a_replay_reads_a_list_anew(operation: Any, dtype: str, before: Any, after: Any) -> None:
    w, numbers = tg.tensor(A.astype(dtype), requires_grad=True), list(before)
    function = tg.recorded(lambda x: (operation(w, numbers) * x).sum())
    for values in (before, before, before, after):
        numbers[:] = values
        w.grad = None
        loss = function(tg.tensor(np.array(2.0, dtype)))
        right = 2 * (A * np.array(values)).sum()
        assert loss.dtype == dtype
        np.testing.assert_allclose(loss.item(), right, rtol=1e-14 if dtype == "float64" else 2e-6)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
def test_settings_that_are_numbers_of_numpy_widen_nothing(kind: Any) -> None:
    @tg.primitive(a=lambda g, s: g * s)
    def times(xp: Any, a: Any, *, s: float) -> Any:
        return a * s

    for name, function in {
        "leaky_relu": lambda x, t: x.leaky_relu(t(0.25)),
        "elu": lambda x, t: tg.elu(x, alpha=t(0.25)),
        "clip": lambda x, t: x.clip(t(-0.5), t(0.5)),
        "pad": lambda x, t: tg.pad(x, 1, constant_values=t(0.5)),
        "LeakyReLU": lambda x, t: tg.nn.LeakyReLU(t(0.25))(x),
        "dropout": lambda x, t: tg.dropout(x, p=t(0.5), key=1),
        "one's own": lambda x, t: times(x, s=t(0.25)),
    }.items():
        x = tg.tensor(np.linspace(-1, 1, 5, dtype="float32"), requires_grad=True)
        y = function(x, kind)
        assert y.dtype == np.float32, name
        assert (y.detach().numpy() == function(x, float).detach().numpy()).all(), name


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("matmul", lambda x: x @ "a"),
        ("matmul", lambda x: tg.matmul([[1], [1, 2]], x)),
        ("dot", lambda x: tg.dot(x, 1j)),
        ("einsum", lambda x: tg.einsum("i,i", x, ["a", "b", "c"])),
        ("einsum", lambda x: tg.einsum(x, "i")),
        ("split", lambda x: tg.split(x, "ab")),
        ("diagonal", lambda x: tg.diagonal(tg.ones(2, 2), 0.5)),
        ("trace", lambda x: tg.trace(tg.ones(2, 2), offset="a")),
    ],
)
def test_errors_name_the_operation_that_was_called(name: str, wrong: Any) -> None:
    with pytest.raises(tg.errors.TinygradAdamError, match=f"^{name}: "):
        wrong(tg.tensor(A))
