"""The memory of a graph: what is freed when, and gradients in a reserved place."""

import contextlib
import gc
import sys
import weakref

import numpy as np
import pytest
from leaves import close, leaf

import tinygrad_adam as tg

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
