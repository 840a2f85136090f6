"""``x += y`` and its like: one meaning with and without a graph, seen by every name that the Tensor has."""

import copy
import gc
import operator

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import errors, nn, optim
from tinygrad_adam.backend.device import share_memory

OPERATORS = {
    "+=": operator.iadd,
    "-=": operator.isub,
    "*=": operator.imul,
    "/=": operator.itruediv,
    "//=": operator.ifloordiv,
    "%=": operator.imod,
    "**=": operator.ipow,
    "@=": operator.imatmul,
}
PLAIN = {
    "+=": operator.add,
    "-=": operator.sub,
    "*=": operator.mul,
    "/=": operator.truediv,
    "//=": operator.floordiv,
    "%=": operator.mod,
    "**=": operator.pow,
    "@=": operator.matmul,
}
A, B = np.array([[1.5, 2.0], [0.5, 3.0]]), np.array([[0.7, 1.2], [2.0, 0.4]])


def leaf(values=A):
    return tg.tensor(values, requires_grad=True)


def same(x, values):
    np.testing.assert_allclose(x.detach().numpy(), values, rtol=1e-12)


def twice(x, y, change, recorded):
    """Change one Tensor under two names, and return what the other name shows."""
    with tg.enable_grad() if recorded else tg.no_grad():
        h = x * 1.0
        other_name = h
        h = change(h, y)
        assert h is other_name
        return other_name


@pytest.mark.parametrize("symbol", OPERATORS)
def test_every_name_sees_the_change_in_both_modes(symbol):
    wanted = PLAIN[symbol](A, B)
    for recorded in (True, False):
        same(twice(leaf(), leaf(B), OPERATORS[symbol], recorded), wanted)


@pytest.mark.parametrize("symbol", OPERATORS)
def test_gradients_are_those_of_the_operator_without_the_change(symbol):
    """Also of a second derivative, and where the other operand is the Tensor itself."""
    for itself in (False, True):
        found = []
        for operators in (OPERATORS, PLAIN):
            x, y = leaf(), leaf(B)
            h = x * y
            kept = h.tanh()  # its rule keeps the output, that of the product its inputs
            squared = h * h
            h = operators[symbol](h, h if itself else y)
            total = (h * kept).sum() + squared.sum()
            first = tg.grad(total, [x, y], create_graph=True)
            second = tg.grad((first[0] * first[1]).sum(), [x, y])
            found.append([g.detach().numpy() for g in (*first, *second)])
        for got, wanted in zip(*found, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_an_output_that_a_rule_has_kept_stays():
    x = leaf()
    h = x.tanh()
    before = h.data
    h += 1.0
    assert not np.shares_memory(before, h.data)
    h.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 1 - np.tanh(A) ** 2, rtol=1e-12)


def test_a_sum_of_losses_is_built_up():
    w = leaf()
    total = tg.zeros((), dtype="float64")
    first_name = total
    for factor in (1.0, 2.0, 3.0):
        total += (w * factor).sum()
    assert total is first_name
    total.backward()
    same(w.grad, np.full((2, 2), 6.0))


@pytest.mark.parametrize("symbol", OPERATORS)
def test_a_leaf_that_requires_a_gradient(symbol):
    for kind in (leaf, lambda: nn.Parameter(A)):
        p = kind()
        with pytest.raises(
            errors.GraphError, match=r"^\w+: a leaf that requires a gradient .*inside no_grad\(\)"
        ):
            OPERATORS[symbol](p, B)
        same(p, A)
        memory, version = p.data, p._version[0]
        with tg.no_grad():
            assert OPERATORS[symbol](p, B) is p
        same(p, PLAIN[symbol](A, B))
        assert p.data is memory
        assert p._version[0] == version + 1
        assert p.is_leaf
        assert p.requires_grad


def test_a_parameter_of_an_optimizer_stays_in_its_memory():
    layer = nn.Linear(2, 2)
    opt = optim.SGD(layer.parameters(), lr=1.0)
    with tg.no_grad():
        layer.weight **= 2
        layer.weight @= np.eye(2, dtype=np.float32)
    before = layer.weight.data.copy()
    layer(tg.ones(1, 2)).sum().backward()
    opt.step()
    np.testing.assert_allclose(layer.weight.data, before - 1)
    layer.weight.requires_grad = False
    with pytest.raises(errors.GraphError, match="cannot be changed in place while operations are"):
        layer.weight += leaf(np.ones((2, 2), np.float32))


VIEWS = {
    "item": lambda x: x[0],
    "slice": lambda x: x[:, :1],
    "transpose": lambda x: x.T,
    "reshape": lambda x: x.reshape(4),
    "flip": lambda x: x.flip(),
    "broadcast": lambda x: x.broadcast_to((3, 2, 2)),
    "view of a view": lambda x: x.T[0].reshape(2, 1),
    "detach": lambda x: x.detach(),
    "view of what is detached": lambda x: x.detach()[1],
    "numpy": lambda x: x.detach().numpy(),
}


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_that_could_not_see_the_change_is_an_error(view):
    x = leaf()
    h = x * 1.0
    seen = VIEWS[view](h)
    with pytest.raises(errors.GraphError, match=r"^add: .*would not see the change.*write x = x \+"):
        h += x
    same(h, A)
    if isinstance(seen, tg.Tensor):
        with pytest.raises(errors.GraphError, match=r"^multiply: .*write x = x \*"):
            seen *= x.sum()
    with tg.no_grad():  # in the memory, which they share
        h += 1.0
    np.testing.assert_array_equal(raw(seen), raw(VIEWS[view](tg.tensor(A + 1))))
    del seen
    gc.collect()
    h += x
    same(h, 2 * A + 1)


def raw(x):
    return x.data if isinstance(x, tg.Tensor) else x


@pytest.mark.parametrize("view", [name for name in VIEWS if name not in ("broadcast", "numpy")])
def test_a_view_whose_base_is_gone_may_change(view):
    x = leaf()
    seen = VIEWS[view](x * 1.0)
    expected = raw(seen) + 1
    seen += x.sum() * 0 + 1.0
    same(seen, expected)


def test_parts_that_share_no_element_do_not_hinder_each_other():
    x = leaf()
    first, second = (x * 1.0).split(2, axis=1)
    first *= x[:, :1]
    same(first, A[:, :1] ** 2)
    same(second, A[:, 1:])
    (first.sum() + second.sum()).backward()
    same(x.grad, np.stack([2 * A[:, 0], [1, 1]], axis=1))


def test_memory_of_views_that_are_gone_is_not_kept():
    w = nn.Parameter(A)
    for _ in range(5):
        w.T.sum()
    assert len(w._version[1]) == 1  # the parameter alone
    rows = list(tg.zeros(20_000, 1))  # the removal of one takes no longer for there being others
    del rows


@pytest.mark.parametrize(
    ("before", "other", "after"),
    [
        ("float32", leaf(B), "float32"),
        ("float32", tg.tensor([[1, 2], [3, 4]]), "float32"),
        ("float64", leaf(B.astype("float32")), "float64"),
    ],
)
def test_the_dtype_stays(before, other, after):
    for recorded in (True, False):
        with tg.enable_grad() if recorded else tg.no_grad():
            h = tg.tensor(A, dtype=before, requires_grad=True) * 1.0
            h += other
            assert h.dtype == after
            np.testing.assert_allclose(h.detach().numpy(), A + other.detach().numpy(), rtol=1e-6)


def test_what_does_not_fit_is_refused_in_both_modes():
    w = leaf()
    for recorded in (True, False):
        with tg.enable_grad() if recorded else tg.no_grad():
            counts = tg.tensor([[1, 2], [3, 4]])
            for symbol in ("+=", "/=", "**="):
                with pytest.raises(errors.DTypeError, match=r"must fit the dtype; write x = x"):
                    OPERATORS[symbol](counts, w)
            h = w * 1.0
            with pytest.raises(errors.ShapeError, match=r"must keep the shape; write x = x \+"):
                h += tg.ones(3, 2, 2, dtype="float64")
            with pytest.raises(errors.ShapeError, match=r"^matmul: .*must keep the shape; write x = x @"):
                h @= tg.ones(2, 3, dtype="float64")
            same(h, A)
            same(counts, [[1, 2], [3, 4]])


def test_hooks_stay_with_the_value_and_retain_grad_with_the_tensor():
    x = leaf()
    h = x * 2.0
    seen = []
    h.register_hook(lambda g: seen.append(g.numpy().copy()))
    h.retain_grad()
    h *= 3.0
    h.register_hook(lambda g: seen.append(g.numpy().copy()))
    h.sum().backward()
    same(h.grad, np.ones((2, 2)))
    np.testing.assert_array_equal(seen, [np.ones((2, 2)), np.full((2, 2), 3.0)])
    same(x.grad, np.full((2, 2), 6.0))


def test_grad_with_respect_to_a_changed_tensor_is_that_of_its_new_value():
    x = leaf()
    h = x * 2.0
    early = h.sum()
    h *= 3.0
    same(tg.grad((h * h).sum(), h, retain_graph=True), 2 * 6 * A)
    with pytest.raises(errors.GraphError, match="does not depend on"):
        tg.grad(early, h)


def test_a_changed_tensor_is_no_leaf():
    x = tg.tensor(A)
    x += leaf()
    assert not x.is_leaf
    assert x.requires_grad
    for copying in (copy.deepcopy, lambda t: t.requires_grad_(False)):
        with pytest.raises(errors.GraphError):
            copying(x)


def test_a_frozen_leaf_that_was_changed_is_no_wrong_link():
    a, w = leaf(), leaf(B)
    y = a * w
    a.requires_grad = False
    a += w
    same(tg.grad(y.sum(), w, retain_graph=True), A)
    with pytest.raises(errors.GraphError, match=r"changed by an operator such as \+="):
        tg.grad(y.sum(), w, create_graph=True)


def test_two_names_in_a_function_give_the_same_in_training_and_evaluation():
    def skipping(x, w):
        skip = x
        x += w
        return x - skip

    w = leaf()
    trained = skipping(tg.tensor(B), w)
    with tg.no_grad():
        evaluated = skipping(tg.tensor(B), w)
    same(trained, np.zeros((2, 2)))
    same(evaluated, np.zeros((2, 2)))


def plain_pass(x, w):
    h = (x * w).tanh()
    h = h + w
    h = h * h
    total = tg.zeros((), dtype="float64")
    total = total + h.sum()
    total = total + (h * x).sum()
    return total, h


def changing_pass(x, w):
    h = (x * w).tanh()
    h += w
    h *= h
    total = tg.zeros((), dtype="float64")
    early = total + 1.0  # so that the constant has a place before it is changed
    total += h.sum()
    total += (h * x).sum() * early
    return total, h


def test_recorded_passes_follow_the_changes():
    w, wanted = leaf(), leaf()
    replayed = tg.recorded(lambda x: changing_pass(x, w))
    for seed in range(5):
        x = tg.tensor(np.random.default_rng(seed).standard_normal((2, 2)))
        w.grad = wanted.grad = None
        loss, h = replayed(x)
        loss_wanted, h_wanted = plain_pass(x, wanted)
        loss_wanted.backward()
        same(loss, loss_wanted.data)
        same(h, h_wanted.data)
        same(w.grad, wanted.grad.data)
        with tg.no_grad():
            w -= 0.1
            wanted -= 0.1


OUTSIDE = tg.tensor(A.copy())


def change_an_argument(x, w):
    x += w
    return x.sum()


def change_what_is_outside(x, w):
    global OUTSIDE
    OUTSIDE += w * x
    return OUTSIDE.sum()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (change_an_argument, r"an operator such as \+= changes a Tensor"),
        (change_what_is_outside, "was computed outside"),
    ],
)
def test_recorded_passes_refuse_changes_that_others_see(function, message):
    w = leaf()
    replayed = tg.recorded(lambda x: function(x, w))

    def several():
        for _ in range(3):
            replayed(tg.tensor(B))

    with pytest.raises(errors.GraphError, match=message):
        several()


def test_a_recorded_pass_holds_no_view_that_the_function_has_dropped():
    w = leaf()

    def reshaped(x):
        h = (x * w).reshape(4)
        h += w.sum()
        return (h * h).sum()

    replayed = tg.recorded(reshaped)
    for _ in range(4):
        w.grad = None
        loss = replayed(tg.tensor(B))
    expected = leaf()
    wanted = (((tg.tensor(B) * expected).reshape(4) + expected.sum()) ** 2).sum()
    wanted.backward()
    same(loss, wanted.data)
    same(w.grad, expected.grad.data)


@pytest.mark.parametrize("watched", [tg.tracing])
def test_watching_keeps_no_view_alive(watched):
    w = leaf()
    with watched():
        h = (w * 2.0).reshape(4)
        h += w.sum()
        h.sum().backward()
    same(w.grad, np.full((2, 2), 6.0))


def test_whether_views_overlap_is_not_searched_for_minutes() -> None:
    # The example of numpy.shares_memory, which takes a minute to find that they do not.
    memory, strided = np.zeros(192_163_377, np.int8), np.lib.stride_tricks.as_strided
    a = strided(memory, strides=(36674, 61119, 85569), shape=(1049, 1049, 1049))
    b = strided(memory[64_023_025:], strides=(12223, 12224, 1), shape=(1049, 1049, 1))
    assert share_memory(a, b)
    assert not share_memory(memory[::2], memory[1::2])
