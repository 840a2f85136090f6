"""The engine: what the tape records, keeps and gives back, and how it refuses."""

import asyncio
import contextlib
import functools
import gc
import importlib.util
import itertools
import re
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_adam as tg
from tinygrad_adam import errors

HAS_TORCH = importlib.util.find_spec("torch") is not None


def leaf(*values, dtype=np.float64):
    return tg.tensor(np.array(values, dtype=dtype), requires_grad=True)


def close(tensor, expected, **tolerance):
    array = tensor.detach().numpy() if isinstance(tensor, tg.Tensor) else tensor
    np.testing.assert_allclose(array, expected, **{"rtol": 1e-12, "atol": 1e-12, **tolerance})


# --- Size --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_chain_of_100_000_operations_differentiates():
    x = y = leaf(1.0, 2.0)
    for _ in range(100_000):
        y = y + 1
    y.sum().backward()
    close(x.grad, [1, 1])


@pytest.mark.slow
def test_a_chain_of_100_000_operations_is_freed_without_a_backward_pass():
    y = leaf(1.0)
    first = weakref.ref((y := y * 1.0).node)
    for _ in range(100_000):
        y = y * 1.0
    assert first() is not None
    del y
    assert first() is None


@pytest.mark.slow
def test_a_chain_with_a_graph_of_its_gradient():
    x = y = leaf(1.0)
    for _ in range(5_000):
        y = y * x
    dx = tg.grad(y, x, gradient=np.ones(1), create_graph=True)
    close(dx, [5_001])
    close(tg.grad(dx, x, gradient=np.ones(1)), [5_001 * 5_000.0])


def test_a_node_with_a_thousand_inputs():
    xs = [leaf(float(i)) for i in range(1000)]
    (tg.concatenate(xs) * np.arange(1000.0)).sum().backward()
    assert [x.grad.item() for x in xs] == list(range(1000))


def test_a_large_broadcast_is_undone():
    x = leaf([2.0])
    (x * tg.ones(500, 700, dtype=np.float64)).sum().backward()
    close(x.grad, [[350_000]])


# --- Shape of the graph ------------------------------------------------------------------------


def test_diamond():
    x = leaf(1.0, 2.0)
    h = x * x
    ((h * 3) * (h + 1)).sum().backward()  # 3 h**2 + 3 h, so (6 h + 3) * 2 x
    close(x.grad, [18, 108])


def test_ladder_of_diamonds_visits_each_node_once():
    calls = []

    @tg.primitive(a=lambda g: calls.append(1) or g, b=lambda g: g)
    def join(xp, a, b):
        return a + b

    x = y = leaf(1.0)
    for _ in range(40):  # 2**40 paths
        y = join(y, y)
    y.backward()
    assert len(calls) == 40
    close(x.grad, [2.0**40])


def test_both_inputs_the_same_tensor():
    x = leaf(3.0)
    (x * x).backward()
    close(x.grad, [6])
    x.grad = None
    (x - x).backward()
    close(x.grad, [0])
    x.grad = None
    tg.concatenate([x, x, x]).sum().backward()
    close(x.grad, [3])


def test_a_leaf_used_many_times():
    x = leaf(1.0, -2.0)
    sum((x * float(i) for i in range(200)), start=0.0).sum().backward()
    close(x.grad, [199 * 100] * 2)


def test_the_gradient_of_add_is_not_shared_between_leaves():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (a + b).sum().backward()
    with tg.no_grad():
        a.grad[0] = 7.0
    close(b.grad, [1, 1])


def test_the_given_gradient_is_not_taken_over():
    x, given_gradient = leaf(1.0, 2.0), np.array([1.0, 1.0])
    x.backward(given_gradient)
    x.backward(given_gradient)
    close(x.grad, [2, 2])
    close(given_gradient, [1, 1])


def test_a_scalar_product_of_0_d_tensors():
    x, y = tg.tensor(2.0, requires_grad=True), tg.tensor(3.0, requires_grad=True)
    (x * y + x).backward()
    assert (x.grad.shape, x.grad.item(), y.grad.item()) == ((), 4.0, 2.0)
    assert isinstance(x.grad.data, np.ndarray)


def test_empty_arrays():
    x = tg.tensor(np.zeros((0, 3)), requires_grad=True)
    b = leaf(1.0, 2.0, 3.0)
    (x * x + b).sum().backward()
    assert x.grad.shape == (0, 3)
    close(b.grad, [0, 0, 0])


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(6.0).reshape(2, 3)[::-1, ::-1],
        np.arange(12.0).reshape(2, 6)[:, ::2],
        np.broadcast_to(np.arange(3.0), (2, 3)),
    ],
    ids=["fortran", "negative", "strided", "broadcast"],
)
def test_memory_layouts(array):
    x = tg.tensor(array, requires_grad=True)
    y = leaf(*np.arange(6.0)).reshape(3, 2).T
    (x * x * array * y).sum().backward()
    close(x.grad, 2 * array * array * y.detach().numpy())


# --- Random programs ---------------------------------------------------------------------------

# Every function keeps values small and shapes such that any two of them broadcast. `m` is
# tinygrad_adam or torch.
UNARY = [
    lambda m, a: m.tanh(a),
    lambda m, a: m.sin(a),
    lambda m, a: m.sigmoid(a),
    lambda m, a: m.exp(-a * a),
    lambda m, a: 0.5 * a,
    lambda m, a: 1.0 - a,
    lambda m, a: m.log1p(m.square(a)),
    lambda m, a: a.mean(),
    lambda m, a: a.mean(axis=-1, keepdims=True) if a.ndim else a,
    lambda m, a: a.reshape((1, *a.shape)) if a.ndim < 3 else a.reshape(a.shape),
    lambda m, a: m.roll(a, 1),
    lambda m, a: a[..., [0, 0]].mean(axis=-1, keepdims=True) if a.ndim else a * 2.0 - a,
    lambda m, a: a[..., :1] if a.ndim else a,
]
BINARY = [
    lambda m, a, b: (a + b) * 0.5,
    lambda m, a, b: (a - b) * 0.5,
    lambda m, a, b: a * m.tanh(b),
    lambda m, a, b: a / (1 + b * b),
    lambda m, a, b: m.stack([a + b, a - b]).mean(axis=0),
    lambda m, a, b: m.tanh(m.matmul(a.reshape(-1, 1), b.reshape(1, -1)).mean()),
]
SHAPES = [(), (3,), (1,), (2, 3), (2, 1), (1, 3)]


@st.composite
def programs(draw):
    """Give shapes of inputs and instructions, each a function and the values it takes."""
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3))
    instructions = []
    for i in range(draw(st.integers(3, 12))):
        place = st.integers(0, len(shapes) + i - 1)
        if draw(st.booleans()):
            instructions.append((draw(st.sampled_from(UNARY)), draw(place)))
        else:
            instructions.append((draw(st.sampled_from(BINARY)), draw(place), draw(place)))
    return shapes, instructions, draw(st.integers(0, 2**32 - 1))


def run(m, instructions, inputs):
    values = list(inputs)
    for function, *places in instructions:
        values.append(function(m, *(values[i] for i in places)))
    return sum(v.mean() * weight for v, weight in zip(reversed(values), (1.0, -0.7, 0.4, 0.3), strict=False))


def arrays_for(shapes, seed):
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.uniform(-2, 2, shape)) for shape in shapes]


@settings(max_examples=60)
@given(programs())
def test_random_programs_against_central_differences(program):
    shapes, instructions, seed = program
    inputs = [tg.tensor(a, requires_grad=True) for a in arrays_for(shapes, seed)]
    assert tg.gradcheck(lambda *xs: run(tg, instructions, xs), inputs)


@settings(max_examples=25)
@given(programs())
def test_random_programs_to_second_order_against_central_differences(program):
    shapes, instructions, seed = program
    inputs = [tg.tensor(a, requires_grad=True) for a in arrays_for(shapes, seed)]
    assert tg.gradgradcheck(lambda *xs: run(tg, instructions, xs), inputs, atol=1e-5, rtol=1e-5)


@pytest.mark.torch
@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
@settings(max_examples=60)
@given(programs())
def test_random_programs_against_torch(program):
    import torch

    shapes, instructions, seed = program
    arrays = arrays_for(shapes, seed)
    ours = [tg.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]

    value, value_torch = run(tg, instructions, ours), run(torch, instructions, theirs)
    close(value, value_torch.item(), rtol=1e-9)
    value.backward(create_graph=True)
    first = [x.grad for x in ours]
    first_torch = torch.autograd.grad(value_torch, theirs, create_graph=True, allow_unused=True)
    for g, g_torch in zip(first, first_torch, strict=True):
        assert (g is None) == (g_torch is None)
        if g is not None:
            close(g, g_torch.detach().numpy(), rtol=1e-8, atol=1e-10)

    # And once more, through the gradient.
    norm = sum((g * g).sum() for g in first if g is not None)
    norm_torch = sum((g * g).sum() for g in first_torch if g is not None)
    for x in ours:
        x.grad = None
    if getattr(norm, "requires_grad", False):
        norm.backward()
    second_torch = [None] * len(theirs)
    if getattr(norm_torch, "requires_grad", False):
        second_torch = torch.autograd.grad(norm_torch, theirs, allow_unused=True)
    for x, g_torch in zip(ours, second_torch, strict=True):
        expected = np.zeros(x.shape) if g_torch is None else g_torch.numpy()
        close(np.zeros(x.shape) if x.grad is None else x.grad, expected, rtol=1e-7, atol=1e-9)


@settings(max_examples=40)
@given(programs(), st.data())
def test_random_programs_in_mixed_precision_give_each_input_its_own_dtype(program, data):
    shapes, instructions, seed = program
    arrays = arrays_for(shapes, seed)
    dtypes = [data.draw(st.sampled_from([np.float32, np.float64])) for _ in arrays]
    mixed = [tg.tensor(a, dtype=d, requires_grad=True) for a, d in zip(arrays, dtypes, strict=True)]
    exact = [tg.tensor(a, requires_grad=True) for a in arrays]
    run(tg, instructions, mixed).backward()
    run(tg, instructions, exact).backward()
    for x, dtype, twin in zip(mixed, dtypes, exact, strict=True):
        assert (x.grad is None) == (twin.grad is None)
        if x.grad is not None:
            assert x.grad.dtype == dtype
            close(x.grad, twin.grad.numpy(), rtol=1e-3, atol=1e-4)


@settings(max_examples=30)
@given(programs())
def test_grad_backward_and_a_reserved_place_agree(program):
    shapes, instructions, seed = program
    inputs = [tg.tensor(a, requires_grad=True) for a in arrays_for(shapes, seed)]
    run(tg, instructions, inputs).backward()
    by_backward = [x.grad for x in inputs]
    for x in inputs:
        x.grad = None
        x._grad_buffer = np.full(x.shape, np.nan)
    run(tg, instructions, inputs).backward()
    for x, g in zip(inputs, by_backward, strict=True):
        if g is None:
            assert x.grad is None
            continue
        assert x.grad.data is x._grad_buffer
        close(x.grad, g.numpy())
        close(tg.grad(run(tg, instructions, inputs), x), g.numpy())


# --- Several passes ----------------------------------------------------------------------------


def test_gradients_accumulate_over_passes():
    x = leaf(1.0, 2.0)
    for i in range(1, 4):
        (x * x).sum().backward()
        close(x.grad, [2.0 * i, 4.0 * i])


def test_retain_graph_allows_another_pass():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    y.backward()
    close(x.grad, [6, 12])


def test_a_second_pass_names_the_operation_and_leaves_the_gradient():
    x = leaf(1.0, 2.0)
    y = tg.exp(x)
    y.sum().backward()
    before = x.grad.numpy().copy()
    with pytest.raises(tg.errors.GraphError, match=r"^exp: .*freed.*retain_graph=True"):
        (y * x).sum().backward()
    close(x.grad, before)


def test_only_the_part_that_was_used_is_freed():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    h, k = x * x, w * w
    h.sum().backward()
    k.sum().backward()  # was not part of the first pass
    close(w.grad, [6, 8])
    with pytest.raises(tg.errors.GraphError):
        h.sum().backward()


def test_backward_inside_no_grad_of_a_graph_from_outside():
    x = leaf(3.0)
    y = x * x
    with tg.no_grad():
        y.backward()
    close(x.grad, [6])


def test_backward_needs_a_scalar_or_a_gradient():
    x = leaf(1.0, 2.0)
    with pytest.raises(tg.errors.ShapeError, match="scalar"):
        (x * 2).backward()
    (x * 2).backward([1.0, 10.0])
    close(x.grad, [2, 20])
    with pytest.raises(tg.errors.ShapeError, match="gradient must have the Tensor's shape"):
        (x * 2).backward([1.0, 2.0, 3.0])
    with pytest.raises(tg.errors.ShapeError, match="gradient must have the Tensor's shape"):
        (x * 2).backward(tg.tensor(1.0))


def test_backward_on_what_needs_no_gradient():
    with pytest.raises(tg.errors.GraphError, match="requires_grad=True"):
        tg.tensor(1.0).backward()
    x = leaf(1.0)
    with tg.no_grad():
        y = x * 2
    with pytest.raises(tg.errors.GraphError, match="outside no_grad"):
        y.backward()


@pytest.mark.parametrize("gradient", [np.ones(2), tg.tensor(np.ones(2)), tg.tensor([1, 1]), [1, 1]])
def test_a_gradient_of_another_dtype_is_cast(gradient):
    x = leaf(1.0, 2.0, dtype=np.float32)
    x.backward(gradient)
    assert x.grad.dtype == np.float32
    y, seen = x * 2, []
    y.register_hook(lambda g: seen.append(g.dtype))
    y.backward(gradient, retain_graph=True)
    assert seen == [np.float32]
    assert tg.grad(y, y, gradient).dtype == np.float32


# --- Gradients of gradients --------------------------------------------------------------------


def test_hessian_of_a_quadratic():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((4, 4))
    x = tg.tensor(rng.standard_normal(4), requires_grad=True)
    y = 0.5 * (x @ (tg.tensor(a) @ x))
    g = tg.grad(y, x, create_graph=True)
    symmetric = (a + a.T) / 2
    close(g, symmetric @ x.detach().numpy())
    hessian = [tg.grad(g[i], x, retain_graph=True).numpy() for i in range(4)]
    close(np.stack(hessian), symmetric)


def test_third_derivative_of_the_fourth_power():
    x = leaf(1.5, -2.0)
    y = (x**4).sum()
    first = tg.grad(y, x, create_graph=True)
    second = tg.grad(first.sum(), x, create_graph=True)
    third = tg.grad(second.sum(), x, create_graph=True)
    fourth = tg.grad(third.sum(), x)
    v = x.detach().numpy()
    for got, expected in [(first, 4 * v**3), (second, 12 * v**2), (third, 24 * v), (fourth, 24 + 0 * v)]:
        close(got, expected)


def test_backward_with_create_graph():
    x = leaf(2.0)
    (x**3).backward(create_graph=True)
    assert x.grad.requires_grad
    close(x.grad, [12])
    first, x.grad = x.grad, None
    first.backward()
    close(x.grad, [12])  # 6 x


def test_accumulation_with_and_without_a_graph():
    x = leaf(2.0)
    (x * x).backward()
    (x * x).backward(create_graph=True)
    (x * x).backward()
    close(x.grad, [12])


def test_create_graph_inside_no_grad_records_the_gradient():
    x = leaf(2.0)
    y = x**3
    with tg.no_grad():
        g = tg.grad(y, x, create_graph=True)
    close(tg.grad(g, x), [12])


def test_mixed_partial_derivatives():
    x, y = leaf(2.0), leaf(3.0)
    f = x**2 * y**3
    dx, dy = tg.grad(f, [x, y], create_graph=True)
    close(tg.grad(dx, y, retain_graph=True), [2 * 2 * 3 * 9])
    close(tg.grad(dy, x), [2 * 2 * 3 * 9])


def test_double_backward_goes_through_the_given_gradient():
    x, v = leaf(1.0, 2.0), leaf(5.0, 7.0)
    g = tg.grad(x**3, x, gradient=v, create_graph=True)
    dx, dv = tg.grad(g.sum(), [x, v])
    close(dx, [6 * 1 * 5, 6 * 2 * 7])
    close(dv, [3, 12])


def test_gradients_with_a_graph_do_not_share_memory():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (a + b).sum().backward(create_graph=True)
    with tg.no_grad():
        a.grad *= 0.5  # as clipping does
    close(a.grad, [0.5, 0.5])
    close(b.grad, [1, 1])


def test_change_between_the_first_and_the_second_pass_is_seen():
    x = leaf(1.0, 2.0)
    h = x * 2
    g = tg.grad((h**3).sum(), x, create_graph=True)  # 6 h**2, which keeps h
    with tg.no_grad():
        h += 1
    with pytest.raises(tg.errors.GraphError, match="changed in place"):
        tg.grad(g.sum(), x)


# --- grad --------------------------------------------------------------------------------------


def test_grad_of_leaves_and_intermediate_results():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    h = x * w
    y = (h * h).sum()
    dx, dh, dw = tg.grad(y, [x, h, w])
    close(dx, [2 * 3 * 3, 2 * 8 * 4])
    close(dh, [6, 16])
    close(dw, [2 * 3 * 1, 2 * 8 * 2])
    assert isinstance(tg.grad((x * 2).sum(), x), tg.Tensor)
    assert isinstance(tg.grad((x * 2).sum(), [x]), tuple)
    assert tg.grad((x * 2).sum(), []) == ()


def test_grad_of_the_result_itself_and_of_a_repeated_input():
    x = leaf(2.0)
    y = x * 3
    close(tg.grad(y, y, retain_graph=True), [1])
    first, second = tg.grad(y, [x, x])
    close(first, [3])
    close(second, [3])
    close(tg.grad(x, x), [1])


def test_grad_leaves_every_grad_alone():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    x.grad = np.array([9.0, 9.0])
    h = x * w
    tg.grad((h * h).sum(), [x, h])
    close(x.grad, [9, 9])
    assert w.grad is None
    assert h.grad is None


def test_grad_leaves_a_retained_grad_alone():
    x = leaf(1.0, 2.0)
    h = x * 2
    h.retain_grad()
    tg.grad((h * h).sum(), x)
    assert h.grad is None


def test_grad_results_are_their_own():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    da, db = tg.grad((a + b).sum(), [a, b])
    da[0] = 100.0
    close(db, [1, 1])


def test_grad_of_what_y_does_not_depend_on():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    with pytest.raises(tg.errors.GraphError, match=r"^grad: y does not depend on xs\[1\]\n  shape  \(2,\)"):
        tg.grad((x * x).sum(), [x, w])
    with pytest.raises(tg.errors.GraphError, match="which does not require a gradient"):
        tg.grad((x * x).sum(), tg.tensor([1.0]))
    with pytest.raises(tg.errors.GraphError, match="does not depend"):
        tg.grad(x.sum(), (x * 2))  # made after, not before
    with pytest.raises(tg.errors.GraphError, match=r"^grad: "):
        tg.grad(tg.tensor(1.0), x)


def test_grad_of_something_that_is_no_tensor():
    x = leaf(1.0)
    with pytest.raises(tg.errors.TinygradAdamError, match=r"^grad: "):
        tg.grad(x * 2, np.ones(2))


def test_grad_computes_only_branches_that_lead_to_xs():
    calls = []

    @tg.primitive(a=lambda g, label: calls.append(label) or g)
    def counted(xp, a, *, label):
        return a * 1

    x, w = leaf(1.0), leaf(2.0)
    h = counted(x, label="below")
    y = counted(h, label="x") * counted(w, label="w")
    tg.grad(y, x, retain_graph=True)
    assert calls == ["x", "below"]
    calls.clear()
    tg.grad(y, h, retain_graph=True)
    assert calls == ["x"]
    calls.clear()
    y.backward()
    assert sorted(calls) == ["below", "w", "x"]


def test_grad_frees_the_graph_unless_told():
    x = leaf(1.0)
    y = tg.exp(x) * 2
    tg.grad(y, x, retain_graph=True)
    tg.grad(y, x)
    with pytest.raises(tg.errors.GraphError, match="freed"):
        tg.grad(y, x)


# --- Hooks and retain_grad ---------------------------------------------------------------------


def test_hooks_see_the_total_once_a_pass():
    x = leaf(1.0, 2.0)
    h = x * 1
    seen = {"x": [], "h": []}
    x.register_hook(lambda g: seen["x"].append(g.numpy().copy()))
    h.register_hook(lambda g: seen["h"].append(g.numpy().copy()))
    for _ in range(2):
        (h * h + h + x).sum().backward(retain_graph=True)
    for total, each in ((seen["h"], [3, 5]), (seen["x"], [4, 6])):
        assert len(total) == 2
        close(total[0], each)
        close(total[1], each)  # of this pass, not accumulated
    close(x.grad, [8, 12])


def test_order_of_hooks():
    x, order = leaf(1.0), []
    h = x * 2
    k = h * 3
    for name, tensor in (("x", x), ("h", h), ("k", k)):
        tensor.register_hook(lambda g, name=name: order.append(name + "1"))
        tensor.register_hook(lambda g, name=name: order.append(name + "2"))
    k.backward()
    assert order == ["k1", "k2", "h1", "h2", "x1", "x2"]


def test_a_hook_replaces_the_gradient():
    x = leaf(1.0, 2.0)
    h = x * 2
    h.register_hook(lambda g: g * 10)
    h.register_hook(lambda g: g + 1)
    x.register_hook(lambda g: g * -1)
    h.sum().backward()
    close(x.grad, [-22, -22])
    close(tg.grad((x * 3).sum(), x), [-3, -3])


def test_a_hook_with_a_graph():
    x = leaf(2.0)
    h = x * x
    remove = h.register_hook(lambda g: g * h)
    g = tg.grad(h * 1, x, create_graph=True)  # h * 2 x = 2 x**3
    remove()  # or it would act on the second pass too
    close(g, [16])
    close(tg.grad(g, x), [24])


def test_removal_of_hooks():
    x, seen = leaf(1.0), []
    removers = [x.register_hook(lambda g, i=i: seen.append(i)) for i in range(3)]
    removers[1]()
    removers[1]()  # twice does nothing
    (x * 1).backward()
    assert seen == [0, 2]
    for remove in removers:
        remove()
    (x * 1).backward()
    assert seen == [0, 2]


def test_a_hook_that_removes_itself_and_adds_another():
    x, seen = leaf(1.0), []
    y = x * x

    def once(g):
        remove()
        seen.append("once")
        y.register_hook(lambda g: seen.append("after"))

    remove = y.register_hook(once)
    y.backward(retain_graph=True)
    y.backward()
    assert seen == ["once", "after"]


def test_a_hook_needs_a_gradient():
    with pytest.raises(tg.errors.GraphError, match=r"^register_hook: "):
        tg.tensor([1.0]).register_hook(print)
    with pytest.raises(tg.errors.GraphError, match=r"^retain_grad: "):
        tg.tensor([1.0]).retain_grad()


def test_a_hook_that_raises_leaves_the_engine_usable():
    x = leaf(3.0)
    y = x * x

    def fail(g):
        raise KeyError("mine")

    y.register_hook(fail)
    with pytest.raises(KeyError, match="mine"):
        (y * 1).backward()
    assert x.grad is None
    assert tg.is_grad_enabled()
    (x * x).backward()
    close(x.grad, [6])


def test_what_a_leaf_hook_keeps_does_not_change_later():
    x, kept = leaf(1.0, 2.0), []
    x.register_hook(kept.append)
    (x + x).sum().backward()
    (x + x).sum().backward()
    close(kept[0], [2, 2])
    close(kept[1], [2, 2])
    close(x.grad, [4, 4])


def test_what_a_leaf_hook_returns_is_not_taken_over():
    x, constant = leaf(1.0, 2.0), tg.tensor(np.array([5.0, 5.0]))
    x.register_hook(lambda g: constant)
    (x + x).sum().backward()
    (x + x).sum().backward()
    close(x.grad, [10, 10])
    close(constant, [5, 5])


@pytest.mark.parametrize("where", ["leaf", "intermediate"])
@pytest.mark.parametrize("answer", [tg.ones(5), tg.tensor(1.0), 3.0, "no"], ids=["5", "0-d", "float", "str"])
def test_a_hook_that_returns_no_gradient_is_refused(where, answer):
    x = leaf(1.0, 2.0)
    h = x * 2
    (x if where == "leaf" else h).register_hook(lambda g: answer)
    with pytest.raises(tg.errors.TinygradAdamError):
        h.sum().backward()
    assert x.grad is None


def test_a_nested_pass_in_a_hook():
    x, inner = leaf(2.0), []
    y = x * x

    def hook(g):
        with tg.enable_grad():
            z = leaf(3.0)
            (z * z).backward()
            inner.append(z.grad.item())

    y.register_hook(hook)
    (y * 1).backward()
    assert inner == [6.0]
    close(x.grad, [4])


def test_a_pass_through_the_same_graph_from_a_hook():
    x, depth = leaf(1.0, 2.0), []
    y = x * x
    z = y.sum()

    def hook(g):
        depth.append(1)
        if len(depth) == 1:
            z.backward(retain_graph=True)

    y.register_hook(hook)
    z.backward(retain_graph=True)
    assert len(depth) == 2
    close(x.grad, [4, 8])


def test_a_nested_pass_into_the_same_reserved_place():
    x, w = leaf([1.0, 1.0]), leaf([1.0, 1.0], [1.0, 1.0])
    w._grad_buffer = np.zeros((2, 2))
    h = x * 1

    def hook(g):
        with tg.enable_grad():
            (w * 3).sum().backward()

    h.register_hook(hook)
    tg.linear(h, w).sum().backward()
    close(w.grad, np.full((2, 2), 4.0))


def test_retain_grad():
    x = leaf(1.0, 2.0)
    h = x * 2
    h.retain_grad()
    y = (h * h).sum()
    y.retain_grad()
    (y * 3).backward()
    close(h.grad, [12, 24])
    close(y.grad, 3)
    assert isinstance(y.grad.data, np.ndarray)
    x.retain_grad()  # a leaf keeps its own anyway
    close(x.grad, [24, 48])


def test_retain_grad_does_not_keep_the_tensor_alive():
    x = leaf(1.0)
    h = x * 2
    h.retain_grad()
    y = h * 3
    gone = weakref.ref(h)
    del h
    assert gone() is None
    y.backward()
    close(x.grad, [6])


def test_a_retained_gradient_is_a_copy():
    x = leaf(1.0, 2.0)
    h = x + 0
    h.retain_grad()
    h.sum().backward()
    with tg.no_grad():
        h.grad[0] = 50.0
    close(x.grad, [1, 1])


# --- Gradient mode -----------------------------------------------------------------------------


def test_no_grad_and_enable_grad_nest():
    x = leaf(1.0)
    assert tg.is_grad_enabled()
    with tg.no_grad():
        assert not tg.is_grad_enabled()
        assert not (x * 2).requires_grad
        with tg.enable_grad():
            assert (x * 2).requires_grad
            with tg.no_grad():
                assert not tg.is_grad_enabled()
            assert tg.is_grad_enabled()
        assert not tg.is_grad_enabled()
    assert tg.is_grad_enabled()


def test_no_grad_ends_with_an_exception():
    with pytest.raises(KeyError), tg.no_grad():
        raise KeyError
    assert tg.is_grad_enabled()


def test_no_grad_as_a_decorator():
    x = leaf(1.0)

    @tg.no_grad()
    def quiet(depth):
        """Explain."""
        assert not (x * 2).requires_grad
        if depth:
            quiet(depth - 1)
        return tg.is_grad_enabled()

    assert quiet(2) is False
    assert quiet(0) is False  # it can be called again
    assert quiet.__doc__ == "Explain."
    assert tg.is_grad_enabled()

    @tg.enable_grad()
    def loud():
        return (x * 2).requires_grad

    with tg.no_grad():
        assert loud()


def test_threads_do_not_see_each_others_mode():
    inside, checked = threading.Event(), threading.Event()
    seen = {}

    def quiet():
        with tg.no_grad():
            inside.set()
            assert checked.wait(60)
            seen["quiet"] = tg.is_grad_enabled()

    thread = threading.Thread(target=quiet)
    thread.start()
    assert inside.wait(60)
    seen["main"] = tg.is_grad_enabled()
    checked.set()
    thread.join()
    assert seen == {"main": True, "quiet": False}

    with tg.no_grad():
        thread = threading.Thread(target=lambda: seen.update(fresh=tg.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen["fresh"] is True


def test_tasks_do_not_see_each_others_mode():
    async def quiet(entered, leave):
        with tg.no_grad():
            entered.set()
            await leave.wait()
            return tg.is_grad_enabled()

    async def loud(entered, leave):
        await entered.wait()
        mode = tg.is_grad_enabled()
        leave.set()
        return mode

    async def both():
        entered, leave = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(quiet(entered, leave), loud(entered, leave))

    with ThreadPoolExecutor(1) as apart:  # tests in a browser leave a loop running in the main thread
        assert apart.submit(asyncio.run, both()).result() == [False, True]


def test_detach():
    x = leaf(1.0, 2.0)
    h = x * 2
    d = h.detach()
    assert not d.requires_grad
    assert d.is_leaf
    assert d.data is h.data
    (h * d).sum().backward()
    close(x.grad, [4, 8])  # d counts as a constant


def test_no_gradient_flows_to_what_needs_none():
    x, c = leaf(1.0, 2.0), tg.tensor(np.array([3.0, 4.0]))
    y = (x * c).sum()
    y.backward()
    assert c.grad is None
    assert not c.requires_grad
    assert not (c * 2).requires_grad


def test_an_integer_result_needs_no_gradient():
    x = leaf(1.5, 2.5)
    y = tg.astype(x, dtype=np.int64)
    assert not y.requires_grad
    assert not x.argmax().requires_grad
    assert not (x > 1).requires_grad


# --- Changes in place --------------------------------------------------------------------------


def assign_item(x):
    x[0] = 5.0


def assign_all(x):
    x[...] = 5.0


def assign_mask(x):
    x[x > 1.0] = 5.0


def add_in_place(x):
    x += 1.0


def subtract_in_place(x):
    x -= 1.0


def multiply_in_place(x):
    x *= 2.0


def divide_in_place(x):
    x /= 2.0


def assign_data(x):
    x.data = np.full(x.shape, 5.0)


def through(view, change):
    def changed(x):
        change(view(x))

    changed.__name__ = f"{change.__name__} through {view.__name__}"
    return changed


def reshaped(x):
    return x.reshape(2, -1)


def sliced(x):
    return x[1:]


def stepped(x):
    return x[::-2]


def row_by_numpy_integer(x):
    return x.reshape(2, 2)[np.int64(0)]


def transposed(x):
    return x.reshape(2, 2).T


def by_einsum(x):
    return tg.einsum("ij->ji", x.reshape(2, 2))


def detached(x):
    return x.detach()


def expanded(x):
    return x.expand_dims(0).squeeze(0)


def flipped(x):
    return x.flip(0)


def part(x):
    return x.split(2)[0]


def iterated(x):
    return next(iter(x.reshape(2, 2)))


def nested(x):
    return x.detach().reshape(2, 2).swapaxes(0, 1)[:, 1:]


VIEWS = [
    reshaped,
    sliced,
    stepped,
    row_by_numpy_integer,
    transposed,
    by_einsum,
    detached,
    expanded,
    flipped,
    part,
    iterated,
    nested,
]
CHANGES = [
    assign_item,
    assign_all,
    assign_mask,
    add_in_place,
    subtract_in_place,
    multiply_in_place,
    divide_in_place,
    assign_data,
    *(through(view, change) for view in VIEWS for change in (assign_all, add_in_place)),
]


@pytest.fixture(params=["leaf", "intermediate"])
def value(request):
    x = leaf(1.0, 2.0, 3.0, 4.0)
    return x if request.param == "leaf" else x * 1.0


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_of_what_is_needed_is_an_error(value, change):
    y = (value * value).sum()
    with tg.no_grad():
        change(value)
    with pytest.raises(tg.errors.GraphError, match=r"^multiply: [ab] was changed in place"):
        y.backward()
    assert value.grad is None


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_of_what_is_not_needed_is_none(value, change):
    y = ((value + 1) - value * 3).sum()  # a constant factor is all that multiply keeps
    z = tg.relu(value.reshape(-1)).sum() + value.mean()  # relu keeps its output
    with tg.no_grad():
        change(value)
    (y + z).backward()


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_of_a_needed_output_is_an_error(change):
    x = leaf(1.0, 2.0, 3.0, 4.0)
    y = tg.exp(x)
    z = (y + 1).sum()
    with tg.no_grad():
        change(y)
    with pytest.raises(tg.errors.GraphError, match=r"^exp: its output was changed in place"):
        z.backward()
    assert x.grad is None


def test_a_change_of_a_constant_that_is_needed_is_an_error():
    x, c = leaf(1.0, 2.0), tg.tensor(np.array([3.0, 4.0]))
    y = (x * c).sum()
    c += 1
    with pytest.raises(tg.errors.GraphError, match=r"^multiply: b was changed in place"):
        y.backward()


def test_a_change_after_the_pass_and_before_the_operation_is_none():
    x, c = leaf(1.0, 2.0), tg.tensor(np.array([3.0, 4.0]))
    c += 1
    y = (x * c).sum()
    y.backward()
    c += 1
    close(x.grad, [4, 5])


def test_what_one_view_changes_another_sees():
    x = tg.tensor(np.arange(4.0))
    a, b = x.reshape(2, 2), x[1:3]
    w = leaf(1.0, 1.0)
    y = (w * b).sum()
    a[0, 1] = 50.0
    close(b, [50, 2])
    with pytest.raises(tg.errors.GraphError, match="changed in place"):
        y.backward()


def test_results_share_memory_only_with_their_version():
    x = leaf([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    results = {
        "T": x.T,
        "row": x[0],
        "numpy row": x[np.int64(0)],
        "0-d row": x[np.array(0)],
        "all": x[...],
        "new axis": x[None],
        "steps": x[:, ::2],
        "list": x[[0, 1]],
        "mask": x[np.array([True, True])],
        "reshape": x.reshape(3, 2),
        "flatten": x.flatten(),
        "swapaxes": x.swapaxes(0, 1),
        "moveaxis": x.moveaxis(0, 1),
        "squeeze": x.squeeze(),
        "broadcast_to": x.broadcast_to((2, 2, 3)),
        "flip": x.flip(),
        "roll": x.roll(0),
        "repeat": x.repeat(1, axis=0),
        "tile": tg.tile(x, 1),
        "split": x.split([1])[1],
        "pad": tg.pad(x, pad_width=0),
        "concatenate": tg.concatenate([x]),
        "stack": tg.stack([x]),
        "einsum": tg.einsum("ij->ji", x),
        "einsum same": tg.einsum("ij", x),
        "diagonal": x.diagonal(),
        "copy": x.copy(),
        "astype": tg.astype(x, dtype=np.float64),
        "sum over nothing": x.sum(axis=()),
        "max over nothing": x.max(axis=()),
        "clip": x.clip(),
        "tril": tg.tril(x, k=9),
        "dropout": tg.dropout(x, p=0.0, key=1),
        "abs": abs(x),
        "plus": x + 0,
        "cumsum": x[:, :1].cumsum(1),
        "detach": x.detach(),
    }
    for name, result in results.items():
        if np.shares_memory(result.data, x.data):
            assert result._version is x._version, name
        else:
            assert name not in ("T", "row", "numpy row", "reshape", "steps", "detach"), name


# --- Threads -----------------------------------------------------------------------------------


def test_threads_build_and_differentiate_graphs_at_once():
    def work(seed):
        rng = np.random.default_rng(seed)
        results = []
        for _ in range(30):
            x = y = tg.tensor(rng.standard_normal((4, 4)), requires_grad=True)
            for step in range(15):
                y = tg.tanh(y @ x) + y * float(step)
            y.sum().backward()
            results.append(x.grad.numpy())
        return np.stack(results)

    expected = [work(seed) for seed in range(4)]
    got, start = {}, threading.Barrier(4)

    def thread(seed):
        start.wait(60)
        got[seed] = work(seed)

    threads = [threading.Thread(target=thread, args=(seed,)) for seed in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for seed in range(4):
        np.testing.assert_array_equal(got[seed], expected[seed])


def test_a_graph_made_in_one_thread_is_differentiated_in_another():
    x = leaf(3.0)
    y = x * x
    thread = threading.Thread(target=y.backward)
    thread.start()
    thread.join()
    close(x.grad, [6])


# --- Memory ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def older_objects_aside():
    """The garbage collector need not look through the whole session each time it is asked."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def no_gc(older_objects_aside):
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def kept_by(operation, *others):
    """Tell whether the tape of `operation` keeps its first input, and whether its output."""
    h = leaf(1.0, 2.0) * 1.0
    y = operation(h, *others)
    source, output = weakref.ref(h.data), weakref.ref(y.data)
    z = y.reshape(-1).sum()  # keeps a shape only
    del h, y
    kept = (source() is not None, output() is not None)
    z.backward()
    assert (source(), output()) == (None, None), "the backward pass must let go"
    return kept


@pytest.mark.parametrize(
    ("operation", "kept"),
    [
        (lambda h: h + 1, (False, False)),
        (lambda h: h + np.ones(2), (False, False)),
        (lambda h: -h, (False, False)),
        (lambda h: h - h, (False, False)),
        (lambda h: h.sum(axis=0, keepdims=True) * 1.0, (False, False)),
        (lambda h: h.mean(axis=0, keepdims=True) * 1.0, (False, False)),
        (lambda h: h[[0, 1, 0]], (False, False)),
        (lambda h: tg.concatenate([h, h]), (False, False)),
        (lambda h: h * 3.0, (False, False)),
        (lambda h: h * np.ones(2), (False, False)),
        (lambda h: h * h, (True, False)),
        (lambda h: tg.relu(h), (False, True)),
        (lambda h: tg.exp(h), (False, True)),
        (lambda h: tg.tanh(h), (False, True)),
        (lambda h: tg.sigmoid(h), (False, True)),
        (lambda h: tg.sin(h), (True, False)),
        (lambda h: tg.log(h), (True, False)),
    ],
)
def test_only_what_a_rule_names_is_kept(no_gc, operation, kept):
    assert kept_by(operation) == kept


def test_only_rules_of_inputs_that_need_a_gradient_count(no_gc):
    x, constant = leaf(1.0, 2.0), tg.tensor(np.array([3.0, 4.0]))
    h = x * 1.0
    y = h * constant  # d/dh needs the constant; d/dconstant would need h
    source = weakref.ref(h.data)
    del h
    assert source() is None
    y.sum().backward()
    close(x.grad, [3, 4])


def test_without_recording_nothing_is_kept(no_gc):
    x = leaf(1.0, 2.0)
    with tg.no_grad():
        h = x * 1.0
        y = tg.sin(h)
    source = weakref.ref(h.data)
    del h
    assert source() is None
    assert y.node is None


def test_the_graph_is_freed_by_the_pass_without_the_garbage_collector(no_gc):
    x = leaf(1.0, 2.0)
    h = tg.sin(x * 1.0)
    y = (h * h).sum()
    array, node = weakref.ref(h.data), weakref.ref(h.node)
    del h
    y.backward()
    assert array() is None  # though y is still there
    assert node() is None
    assert gc.collect() == 0


@pytest.mark.parametrize("finish", ["drop", "backward", "grad", "create_graph", "hooks", "error"])
def test_no_cycles_are_left(no_gc, finish):
    def build():
        x = leaf(1.0, 2.0)
        h = tg.sin(x * 1.0)
        y = (h * h * tg.exp(h)).sum()
        refs = [weakref.ref(h.node), weakref.ref(h.data), weakref.ref(y.node), weakref.ref(x)]
        if finish == "backward":
            y.backward()
        elif finish == "grad":
            tg.grad(y, [x, h], retain_graph=True)
        elif finish == "create_graph":
            g = tg.grad(y, x, create_graph=True)
            tg.grad(g.sum(), x)
        elif finish == "hooks":
            h.register_hook(lambda g: g * 2)
            h.retain_grad()
            y.backward()
        elif finish == "error":
            with tg.no_grad():
                h += 1
            with contextlib.suppress(tg.errors.GraphError):
                y.backward()
        return refs

    assert [ref() for ref in build()] == [None] * 4
    assert gc.collect() == 0


@pytest.mark.slow
def test_20_000_steps_leave_memory_flat(older_objects_aside):
    x, w, b = leaf(1.0, 2.0), leaf(0.5, 0.5), leaf(0.1)

    def steps(count):
        for _ in range(count):
            (x * w + b).sum().backward()
            x.grad = w.grad = b.grad = None

    steps(1_000)
    gc.collect()
    before = sys.getallocatedblocks()
    steps(20_000)
    gc.collect()
    assert sys.getallocatedblocks() - before < 400


def test_steps_with_gradients_of_gradients_leave_memory_flat(older_objects_aside):
    x = leaf(1.0, 2.0)

    def steps(count):
        for _ in range(count):
            g = tg.grad((x**3).sum(), x, create_graph=True)
            (g * g).sum().backward()
            x.grad = None

    steps(100)
    gc.collect()
    before = sys.getallocatedblocks()
    steps(2_000)
    gc.collect()
    assert sys.getallocatedblocks() - before < 1_000


# --- Primitives of one's own -------------------------------------------------------------------


def test_a_primitive_of_ones_own():
    @tg.primitive(
        a=lambda g, a, b, power: g * power * a ** (power - 1) * b,
        b=lambda g, a, power: g * a**power,
    )
    def power_times(xp, a, b, *, power=2):
        """Multiply a power."""
        return a**power * b

    x, y = leaf(2.0, 3.0), leaf(5.0)
    power_times(x, y, power=3).sum().backward()
    close(x.grad, [60, 135])
    close(y.grad, [35])  # summed over the broadcast
    close(power_times(x, 2.0).detach(), [8, 18])
    close(power_times(x, 2.0, 3).detach(), [16, 54])  # a setting by position
    assert isinstance(power_times(np.ones(2), 2.0), np.ndarray)
    assert power_times.__name__ == "power_times"
    assert power_times.__doc__ == "Multiply a power."
    assert tg.gradgradcheck(power_times, [x, y])


def test_own_primitives_do_not_enter_the_table_of_the_package():
    from tinygrad_adam.engine.graph import PRIMITIVES

    before = dict(PRIMITIVES)

    @tg.primitive(a=lambda g: g)
    def exp(xp, a):
        return a * 1

    assert before == PRIMITIVES
    assert PRIMITIVES["exp"] is tg.exp


def test_rules_that_ask_for_what_there_is_not():
    with pytest.raises(tg.errors.DTypeError, match=r"^scale: the rule for a asks for unknown names"):

        @tg.primitive(a=lambda g, factor: g * factor)
        def scale(xp, a):
            return a * 2

    with pytest.raises(tg.errors.DTypeError, match=r"^scale: rules for inputs that it does not have"):

        @tg.primitive(b=lambda g: g)
        def scale(xp, a):
            return a * 2


def _named_g(namespace, g):
    return g * 2


def _named_y(namespace, y):
    return y * 2


def _named_xp(namespace, xp):
    return xp * 2


def _named_out(namespace, out):
    return out * 2


@pytest.mark.parametrize("forward", [_named_g, _named_y, _named_xp, _named_out])
def test_an_input_may_not_bear_a_name_that_rules_use(forward):
    with pytest.raises(tg.errors.TinygradAdamError, match=r"^named_\w+: "):
        tg.primitive(**{forward.__name__.removeprefix("_named_"): lambda g: 2 * g})(forward)


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_rule_that_returns_a_wrong_shape(create_graph):
    @tg.primitive(a=lambda g: g, b=lambda xp, g: xp.reshape(xp.concatenate([g, g]), (-1,)))
    def wrong(xp, a, b):
        return a + b

    x = leaf(1.0, 2.0, 3.0)
    with pytest.raises(
        tg.errors.ShapeError, match=r"^wrong: the rule for b must return an array that fits"
    ) as caught:
        wrong(1.0, x).sum().backward(create_graph=create_graph)
    assert re.search(r"returned\s+\(6,\)", str(caught.value))
    assert re.search(r"input\s+\(3,\)", str(caught.value))
    assert x.grad is None


@pytest.mark.parametrize("answer", [0, None, 1.5, "g"])
def test_a_rule_that_returns_no_array(answer):
    @tg.primitive(a=lambda g: answer)
    def odd(xp, a):
        return a * 1

    with pytest.raises(tg.errors.TinygradAdamError, match=r"^odd: .*rule for a"):
        odd(leaf(1.0, 2.0)).sum().backward()


def test_a_rule_that_raises():
    @tg.primitive(a=lambda g: 1 / 0)
    def fail(xp, a):
        return a * 1

    x, w = leaf(1.0), leaf(2.0)
    h = fail(x)
    with pytest.raises(ZeroDivisionError):
        (w * h).backward()
    assert (w.grad, x.grad) == (None, None)
    assert tg.is_grad_enabled()


def test_a_rule_for_some_inputs_only():
    @tg.primitive(a=lambda g, b: g * b)
    def masked(xp, a, b):
        return a * b

    x, m = leaf(1.0, 2.0), leaf(0.0, 1.0)
    masked(x, m).sum().backward()
    close(x.grad, [0, 1])
    assert m.grad is None
    assert not masked(np.ones(2), m).requires_grad


def test_variadic_inputs():
    @tg.primitive(
        first=lambda g, rest: g * len(rest),
        rest=lambda g, rest, index, rest_shape, factor: g * factor * (index + 1) + 0 * rest[index],
    )
    def weighted(xp, first, *rest, factor=1.0):
        return first * len(rest) + factor * sum((i + 1) * r for i, r in enumerate(rest))

    a, b, c = leaf(1.0, 2.0), leaf(3.0), leaf(5.0, 6.0)
    y = weighted(a, b, np.ones(2), c, factor=10.0)
    close(y.detach(), [3 + 30 + 20 + 150, 6 + 30 + 20 + 180])
    y.sum().backward()
    close(a.grad, [3, 3])
    close(b.grad, [20])
    close(c.grad, [30, 30])
    assert tg.gradgradcheck(lambda *xs: weighted(*xs), [a, b, c])


def test_variadic_inputs_of_one_name_differ_in_shape_and_need():
    @tg.primitive(
        parts=lambda xp, g, parts_shape, index: xp.broadcast_to(g * (index + 1), parts_shape[index])
    )
    def totals(xp, *parts):
        return sum(xp.sum(p) * (i + 1) for i, p in enumerate(parts))

    for mask in itertools.product([False, True], repeat=3):
        if not any(mask):
            continue
        xs = [
            tg.tensor(np.ones(shape), requires_grad=need)
            for shape, need in zip([(2,), (3, 1), ()], mask, strict=True)
        ]
        totals(*xs).backward()
        for i, (x, need) in enumerate(zip(xs, mask, strict=True)):
            assert (x.grad is not None) == need
            if need:
                close(x.grad, np.full(x.shape, i + 1.0))


def test_a_primitive_that_takes_kernels():
    @tg.primitive(a=lambda xp, g, y: g * xp.cos(y))
    def through_erf(kernels, a):
        return kernels.erf(a)

    x = leaf(0.5, -0.5)
    for kernels in ("fast", "reference"):
        with tg.use_kernels(kernels):
            close(through_erf(x).detach(), [0.5204998778130465, -0.5204998778130465], rtol=1e-9)


def test_an_optional_input():
    @tg.primitive(a=lambda g, b: g if b is None else g * b, b=lambda g, a: g * a)
    def maybe(xp, a, b=None):
        return a * 1 if b is None else a * b

    x = leaf(2.0)
    maybe(x).backward()
    close(x.grad, [1])
    maybe(x, leaf(5.0)).backward()
    close(x.grad, [6])


def test_inputs_by_keyword():
    x, w = leaf(2.0), leaf(3.0)
    tg.multiply(x, b=w).backward()
    close(x.grad, [3])
    close(w.grad, [2])
    tg.divide(x, b=2.0).backward()
    close(x.grad, [3.5])
    tg.relu(a=x).backward()
    close(x.grad, [4.5])


@pytest.mark.parametrize(
    "call",
    [
        lambda x: tg.clip(x, min=tg.tensor(0.0)),
        lambda x: np.clip(np.ones(2), x, x),
        lambda x: tg.leaky_relu(x, negative_slope=x),
    ],
)
def test_a_tensor_as_a_setting_is_refused(call):
    with pytest.raises(tg.errors.TinygradAdamError):
        call(leaf(0.0, 0.5))


def test_a_call_with_too_much_or_too_little():
    x = leaf(1.0)
    with pytest.raises(tg.errors.DTypeError, match=r"^exp: takes"):
        tg.exp(x, 1, 2)
    with pytest.raises(tg.errors.DTypeError, match=r"^add: .*missing"):
        tg.add(x)
    with pytest.raises(tg.errors.DTypeError, match=r"^sum: .*axes"):
        tg.sum(x, axes=0)


@pytest.mark.parametrize(
    "forward",
    [lambda xp, a: a.astype(object), lambda xp, a: a * 1j, lambda xp, a: None],
    ids=["object", "complex", "None"],
)
def test_a_result_of_another_kind_is_refused(forward):
    forward.__name__ = "odd"
    odd = tg.primitive(a=lambda g: g)(forward)
    with pytest.raises(tg.errors.TinygradAdamError, match=r"^odd: "):
        odd(leaf(1.0, 2.0))


def test_a_matrix_beside_a_tensor_means_an_array():
    x = tg.tensor(np.ones((2, 2)), requires_grad=True)
    matrix = np.array([[1.0, 2.0], [3.0, 4.0]]).view(np.matrix)
    tg.multiply(x, matrix).sum().backward()
    close(x.grad, np.asarray(matrix))


def test_errors_of_a_forward_rule_name_the_operation_and_its_inputs():
    with pytest.raises(tg.errors.ShapeError) as caught:
        leaf(1.0, 2.0) + leaf(1.0, 2.0, 3.0)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("add: ")
    assert lines[1:] == ["  a  (2,) float64", "  b  (3,) float64"]


# --- Dtypes ------------------------------------------------------------------------------------


def test_gradients_have_the_dtype_of_their_input():
    x, w, i = leaf(1.0, 2.0, dtype=np.float32), leaf(3.0, 4.0), tg.tensor([1, 2])
    y = x * w * i
    assert y.dtype == np.float64
    seen = []
    h = tg.exp(x)
    h.register_hook(lambda g: seen.append(g.dtype))
    (y + h * w + x.astype(np.float64)).sum().backward()
    assert [x.grad.dtype, w.grad.dtype, *seen] == [np.float32, np.float64, np.float32]
    dx, dw = tg.grad((x * w).sum(), [x, w], create_graph=True)
    assert (dx.dtype, dw.dtype) == (np.float32, np.float64)


def test_float32_stays_float32():
    x = leaf(1.0, 2.0, dtype=np.float32)
    for y in (2.0 * x, 1 - x, x / 3, 2**x, x**2, x**0.5, sum([x, x]), x.mean(), tg.sigmoid(x), 1 / x):
        assert y.dtype == np.float32
        y.sum().backward()
        assert x.grad.dtype == np.float32


# --- The reserved place ------------------------------------------------------------------------


def reserve(x):
    x._grad_buffer = np.full(x.shape, np.nan, x.dtype)
    return x._grad_buffer


def test_the_gradient_is_written_to_its_reserved_place():
    x = leaf(1.0, 2.0)
    place = reserve(x)
    (x * x).sum().backward()
    assert x.grad.data is place
    close(place, [2, 4])
    (x * x).sum().backward()  # adds
    assert x.grad.data is place
    close(place, [4, 8])
    x.grad = None  # as zero_grad does: what is in the place no longer counts
    (x * 3).sum().backward()
    assert x.grad.data is place
    close(place, [3, 3])


@pytest.mark.parametrize("times", [1, 2, 3])
def test_tied_weights_that_write_into_their_place(times):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((5, 3))
    w = tg.tensor(rng.standard_normal((3, 3)), requires_grad=True)
    b = tg.tensor(rng.standard_normal(3), requires_grad=True)

    def loss():
        h = tg.tensor(x)
        for _ in range(times):
            h = tg.tanh(tg.linear(h, w, b))
        return (h * h).sum() + (w * b).sum()

    expected = [g.numpy() for g in tg.grad(loss(), [w, b])]
    places = [reserve(w), reserve(b)]
    for passes in (1, 2, 3):
        loss().backward()
        for p, place, g in zip((w, b), places, expected, strict=True):
            assert p.grad.data is place
            close(place, passes * g, rtol=1e-10)


def test_an_input_and_weight_that_are_one_tensor():
    w = leaf([1.0, 2.0], [3.0, 4.0])
    expected = tg.grad(tg.linear(w, w).sum(), w).numpy()
    place = reserve(w)
    tg.linear(w, w).sum().backward()
    close(place, expected)
    assert w.grad.data is place


def test_a_place_of_a_narrower_dtype_than_the_gradient():
    x = tg.tensor(np.random.default_rng(0).standard_normal((4, 3)), requires_grad=True)
    w = tg.tensor(np.ones((2, 3)), dtype=np.float32, requires_grad=True)
    b = tg.tensor(np.ones(2), dtype=np.float32, requires_grad=True)
    places = [reserve(w), reserve(b)]
    tg.linear(x, w, b).sum().backward()
    for p, place in zip((w, b), places, strict=True):
        assert p.grad.data is place
        assert p.grad.dtype == np.float32
    close(places[0], np.tile(x.detach().numpy().sum(0), (2, 1)), rtol=1e-5)
    close(places[1], [4, 4])


def test_a_hook_replaces_the_gradient_in_its_place():
    w = leaf([1.0, 2.0], [3.0, 4.0])
    place = reserve(w)
    w.register_hook(lambda g: g * 10)
    tg.linear(np.ones((1, 2)), w).sum().backward()
    assert w.grad.data is place
    close(place, np.full((2, 2), 10.0))


def test_grad_and_failing_passes_leave_the_place_alone():
    w = leaf([1.0, 2.0], [3.0, 4.0])
    place = reserve(w)
    tg.grad(tg.linear(np.ones((1, 2)), w).sum(), w)
    assert np.isnan(place).all()
    assert w.grad is None
    tg.linear(np.ones((1, 2)), w).sum().backward()
    before = place.copy()
    y = tg.linear(np.ones((1, 2)), w).sum()
    y.backward(retain_graph=True)
    close(place, 2 * before)
    h = tg.exp(w)
    z = (h * h).sum()
    with tg.no_grad():
        h += 1
    with pytest.raises(tg.errors.GraphError):
        z.backward()
    close(place, 2 * before)


# --- Messages ----------------------------------------------------------------------------------


def test_every_error_of_the_engine_has_the_documented_shape():
    x, w = leaf(1.0, 2.0), leaf(1.0, 2.0, 3.0)
    freed = (x * x).sum()
    freed.backward()
    calls = [
        functools.partial(tg.add, x, w),
        freed.backward,
        (x * 2).backward,
        functools.partial((x * 2).backward, np.ones(3)),
        tg.tensor(1.0).backward,
        functools.partial(tg.grad, (x * 2).sum(), w),
        functools.partial(tg.exp, x, 1, 2),
        functools.partial(tg.reshape, x, shape=(3, 3)),
        lambda: x[5],
        lambda: x @ w,
        functools.partial(tg.use_kernels("nope").__enter__),
    ]
    for call in calls:
        with pytest.raises(errors.TinygradAdamError) as caught:
            call()
        first, *rest = str(caught.value).splitlines()
        assert re.match(r"^[a-z_ ]+: \S", first), first
        for line in rest:
            assert re.match(r"^  \w+ +\S", line), line
