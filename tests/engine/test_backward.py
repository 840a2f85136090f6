"""Backward passes: long chains, shapes of graphs, several passes, several threads."""

import threading
import weakref

import numpy as np
import pytest
from leaves import close, leaf

import tinygrad_adam as tg

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
