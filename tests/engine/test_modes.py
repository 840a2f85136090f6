"""Gradient mode and dtypes."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from leaves import close, leaf

import tinygrad_adam as tg

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
