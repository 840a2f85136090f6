"""Hooks on gradients, and `retain_grad`."""

import weakref

import numpy as np
import pytest
from leaves import close, leaf

import tinygrad_adam as tg


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
