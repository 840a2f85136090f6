"""Backward passes of several threads that end in the same leaves: no share of a gradient may be lost."""

from __future__ import annotations

import os
import signal
import sys
import threading

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import nn, optim

THREADS = 4
SIZE = 50_000  # so large that a sum lets other threads run in the middle of it


@pytest.fixture(autouse=True)
def threads_that_take_turns_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def leaf(size: int = SIZE) -> tg.Tensor:
    return tg.zeros(size, requires_grad=True)


def in_threads(function) -> None:
    """Call a function with each thread's number, all threads at once."""
    gate, errors = threading.Barrier(THREADS), []

    def run(number: int) -> None:
        try:
            gate.wait()
            function(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def plain(p):
    return lambda: (p * 1.0).sum().backward()


def as_root(p):
    return lambda: p.backward(np.ones(p.shape, np.float32))


def twice_in_a_pass(p):
    return lambda: (p * 0.25 + p * 0.75).sum().backward()


def with_a_graph(p):
    return lambda: (p * 1.0).sum().backward(create_graph=True)


def hooked(p):
    p.register_hook(lambda g: g * 0.5)
    return lambda: (p * 2.0).sum().backward()


def recorded(p):
    training_pass = tg.recorded(lambda: (p * 1.0).sum())
    training_pass(), training_pass()
    p.grad = None
    return training_pass


@pytest.mark.parametrize("make", [plain, as_root, twice_in_a_pass, with_a_graph, hooked, recorded])
@pytest.mark.parametrize("reserved", [False, True])
def test_every_pass_counts(make, reserved):
    p = leaf()
    if reserved:
        optim.SGD([p], lr=1.0)
    one_pass = make(p)
    for _ in range(4):
        p.grad = None
        in_threads(lambda _: [one_pass() for _ in range(10)])
        np.testing.assert_array_equal(p.grad.numpy(), THREADS * 10.0)


def test_passes_that_begin_at_once_do_not_share_a_reserved_place():
    model = nn.Linear(300, 200)
    opt = optim.SGD(model.parameters(), lr=1.0)
    x = tg.tensor(np.random.default_rng(0).integers(-3, 4, (THREADS, 8, 300)).astype(np.float32))
    for _ in range(30):
        opt.zero_grad()
        in_threads(lambda i: model(x[i]).sum().backward())
        wanted = np.broadcast_to(x.numpy().sum((0, 1)), (200, 300))
        np.testing.assert_array_equal(model.weight.grad.numpy(), wanted)
        np.testing.assert_array_equal(model.bias.grad.numpy(), THREADS * 8.0)


def test_a_place_is_not_written_while_a_pass_in_another_thread_holds_it():
    """The first pass stops in the middle, with one share of the sum in the reserved place."""
    w, x = tg.zeros(1, 2, requires_grad=True), tg.ones(1, 2)
    optim.SGD([w], lr=1.0)
    between = tg.zeros(1, requires_grad=True) * 1.0

    def hook(g):
        other = threading.Thread(target=lambda: tg.linear(x * 10.0, w).sum().backward())
        other.start()
        other.join()

    between.register_hook(hook)
    (w.sum() + between.sum() + tg.linear(x * 100.0, w).sum()).backward()  # the rule of the last comes first
    np.testing.assert_array_equal(w.grad.numpy(), 111.0)


def test_a_pass_begun_by_the_hook_of_a_leaf_spares_the_places_of_others():
    p, w, x = tg.zeros(1, requires_grad=True), tg.zeros(1, 2, requires_grad=True), tg.ones(1, 2)
    optim.SGD([p, w], lr=1.0)
    p.register_hook(lambda g: tg.linear(x * 10.0, w).sum().backward())
    (tg.linear(x, w).sum() + p.sum()).backward()  # p gets its gradient first
    np.testing.assert_array_equal(w.grad.numpy(), 11.0)


def test_hooks_that_begin_passes_in_several_threads_do_not_wait_for_each_other():
    p = leaf(10)
    inside = threading.local()

    def hook(g):
        if not getattr(inside, "nested", False):
            inside.nested = True
            (p * 2.0).sum().backward()
            inside.nested = False

    p.register_hook(hook)
    in_threads(lambda _: [(p * 1.0).sum().backward() for _ in range(20)])
    np.testing.assert_array_equal(p.grad.numpy(), THREADS * 20 * 3.0)


def test_row_sparse_gradients_of_several_threads():
    table = nn.Embedding(500, 8, sparse=True)
    in_threads(lambda i: [table(np.arange(i, 400 + i)).sum().backward() for _ in range(10)])
    wanted = sum(np.isin(np.arange(500), np.arange(i, 400 + i)) for i in range(THREADS)) * 10.0
    np.testing.assert_array_equal(
        table.weight.grad.to_dense(), np.broadcast_to(wanted[:, None], (500, 8)).astype(np.float32)
    )


def test_a_dense_and_a_row_sparse_gradient_meet():
    table = nn.Embedding(500, 8, sparse=True)

    def one_pass(i):
        for _ in range(10):
            (table(np.arange(500)).sum() if i % 2 else table.weight.sum()).backward()

    in_threads(one_pass)
    np.testing.assert_array_equal(table.weight.grad.numpy(), THREADS * 10.0)


def test_retained_gradients_are_summed_as_those_of_leaves():
    h = leaf() * 1.0
    h.retain_grad()
    total = h.sum()
    in_threads(lambda _: [total.backward(retain_graph=True) for _ in range(20)])
    np.testing.assert_array_equal(h.grad.numpy(), THREADS * 20.0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_child_of_a_program_that_sums_gradients_can_sum_its_own() -> None:
    parameter = tg.zeros(500_000, requires_grad=True)
    ended = threading.Event()

    def train() -> None:
        while not ended.is_set():
            (parameter * 1.0).sum().backward()

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if not child:
                signal.alarm(20)  # ends a child that waits for ever
                x = tg.ones(3, requires_grad=True)
                (x * 2.0).sum().backward()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        ended.set()
        thread.join()
