"""Threads: how many there are changes no result but for roundings, and what they share is given back."""

from __future__ import annotations

import importlib.util
import itertools
import math
import os
import threading
import time
import warnings

import numpy as np
import pytest
from child import LONG, python
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_adam as tg
from tinygrad_adam import nn, optim
from tinygrad_adam.backend import threads
from tinygrad_adam.errors import OptionError

pytestmark = pytest.mark.products

"""Seconds after which what should have come is given up, on the busiest machine."""


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """Give small work to threads, too, and the count back."""
    if importlib.util.find_spec("numba") is not None:
        from tinygrad_adam.kernels.cpu import (
            convolution as cpu_convolution,
        )
        from tinygrad_adam.kernels.cpu import (
            pooling as cpu_pooling,
        )
        from tinygrad_adam.kernels.cpu import (
            products as cpu_products,
        )
        from tinygrad_adam.kernels.cpu import (
            winograd as cpu_winograd,
        )

        for kernels in (cpu_convolution, cpu_pooling, cpu_products, cpu_winograd):
            monkeypatch.setattr(kernels, "_LEAST", 1)
        monkeypatch.setattr(cpu_products, "_ONE_THREAD", 0)
    count = tg.get_num_threads()
    yield
    tg.set_num_threads(count)


def blas_counts():
    """How many threads each BLAS library in this process has, by its path, but for those of others."""
    library = pytest.importorskip("threadpoolctl")
    return {
        pool["filepath"]: pool["num_threads"]
        for pool in library.threadpool_info()
        if pool["user_api"] == "blas" and "numpy" in pool["filepath"]
    }


@pytest.fixture
def blas():
    """Return a function that tells the BLAS thread count, which is 2 now."""
    tg.set_num_threads(2)
    if set(blas_counts().values()) != {2}:
        pytest.skip("NumPy's BLAS library cannot be given 2 threads here")
    return lambda: set(blas_counts().values())


@pytest.fixture
def no_threadpoolctl(monkeypatch):
    monkeypatch.setattr(threads, "_blas", list)


# --- How many ----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, -1, True, False, 1.5, 2.0, "2", None])
def test_refused_counts(count):
    before = tg.get_num_threads()
    with pytest.raises(
        OptionError,
        match=f"set_num_threads: count must be an integer >= 1\n  count  {count!r}",
    ):
        tg.set_num_threads(count)
    assert tg.get_num_threads() == before


def test_the_count_is_kept_and_blas_follows(blas):
    for count in (1, 3, 2):
        assert tg.set_num_threads(count) is None
        assert tg.get_num_threads() == count
        if count <= 2:
            assert blas() == {count}


def test_at_first_there_are_as_many_as_usable_cores_and_nothing_heavy_is_imported():
    done = python(
        "import sys, tinygrad_adam as tg\n"
        "print(tg.get_num_threads(), [n for n in ('numba', 'threadpoolctl') if n in sys.modules])"
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert done.stdout == f"{cores} []\n", done.stderr


# --- Results -----------------------------------------------------------------------------------


def normal(rng, *shape, dtype=np.float32):
    return tg.tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True)


def convolution(images=7):
    rng = np.random.default_rng(0)
    x, w, b = normal(rng, images, 4, 13, 11), normal(rng, 6, 2, 3, 3), normal(rng, 6)
    y = tg.conv2d(x, w, b, stride=(2, 1), padding=1, groups=2)
    y.backward(normal(rng, *y.shape).detach())
    pixels = images * y.shape[2] * y.shape[3]
    return {"y": (y, 2 * 9), "x": (x.grad, 3 * 9), "b": (b.grad, pixels), "w": (w.grad, pixels)}


def winograd():
    rng = np.random.default_rng(0)
    x, w = normal(rng, 3, 16, 13, 11), normal(rng, 17, 16, 3, 3)
    y = tg.conv2d(x, w, tg.ones(17), padding=1)
    y.backward(normal(rng, *y.shape).detach())
    return {"y": (y, 16 * 9), "x": (x.grad, 17 * 9), "w": (w.grad, 3 * 13 * 11)}


def products():
    rng = np.random.default_rng(0)
    a, b, many, more = (
        normal(rng, *shape, dtype=np.float64) for shape in [(70, 81), (81, 90), (5, 40, 60), (5, 60, 50)]
    )
    y = a @ b
    y.backward(y.detach())
    return {
        "y": (y, 81), "a": (a.grad, 90), "b": (b.grad, 70), "batch": (many @ more, 60),
        "broadcast": (many @ more[:1], 60), "one for all": (many @ more[0], 60), "wide": (a[:5] @ b, 81),
    }  # fmt: skip


def batch_norm():
    rng = np.random.default_rng(0)
    x, w = normal(rng, 7, 24, 30, 31), normal(rng, 24)
    y = tg.batch_norm(x, weight=w, bias=tg.zeros(24))
    y.backward(normal(rng, *y.shape).detach())
    pixels = 7 * 30 * 31
    return {"y": (y, pixels), "x": (x.grad, pixels), "w": (w.grad, pixels)}


def pool():
    x = normal(np.random.default_rng(0), 5, 11, 65, 63)  # 3 pieces and more
    most, mean = tg.max_pool2d(x, 3, 2, padding=1), tg.avg_pool2d(x, 3, 2, padding=1)
    (most.sum() + mean.sum()).backward()
    return {"most": (most, 1), "mean": (mean, 9), "x": (x.grad, 18)}


def optimizer(make):
    def steps():
        rng = np.random.default_rng(0)
        p = nn.Parameter(rng.standard_normal(300_003).astype(np.float32))
        opt = make([p])
        for _ in range(3):
            p.grad = tg.tensor(rng.standard_normal(p.shape).astype(np.float32))
            opt.step()
        return {"p": (p, 1)}

    return steps


def elementwise():
    x = normal(np.random.default_rng(0), 601, 1003)
    with tg.fork_rng(0):
        kept = nn.functional.dropout(x, 0.3)
    results = {"relu": x.relu(), "gelu": tg.gelu(x), "erf": tg.erf(x), "dropout": kept}
    sum(results.values()).backward(x.detach())
    return {name: (value, 30) for name, value in {**results, "x": x.grad}.items()}  # erf is a polynomial


SAME_BITS = {
    "pool": pool, "elementwise": elementwise,
    "adam": optimizer(lambda p: optim.Adam(p, lr=0.01, amsgrad=True, weight_decay=0.1)),
    "rmsprop": optimizer(lambda p: optim.RMSprop(p, momentum=0.9, centered=True)),
    "lion": optimizer(lambda p: optim.Lion(p, lr=0.01)),
}  # fmt: skip
"""Each element is computed by one thread, and by the same operations wherever a piece is cut."""
ROUNDED = {"convolution": convolution, "winograd": winograd, "products": products, "batch_norm": batch_norm}
"""Sums that are cut, or products, which a BLAS library may round by the shapes of its pieces."""
WORK = SAME_BITS | ROUNDED


def computed(work, *args):
    """Return the results as arrays, each with the length of its sums."""
    return {name: (value.detach().numpy().copy(), length) for name, (value, length) in work(*args).items()}


def same_bits(left, right):
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name][0], right[name][0], err_msg=name)


def close(left, right):
    """Compare sums of products of normal numbers, which are as large as the root of their length.

    So is the error: as many roundings, each of numbers as large as the sum, mostly cancel.
    """
    assert left.keys() == right.keys()
    for name, (value, length) in left.items():
        size = np.max(np.abs(value), initial=0)
        error = np.finfo(value.dtype).eps * math.sqrt(length) * size
        np.testing.assert_allclose(value, right[name][0], rtol=0, atol=error, err_msg=name)


@pytest.mark.parametrize(
    ("work", "alike"),
    [
        *[pytest.param(work, same_bits, id=name) for name, work in SAME_BITS.items()],
        *[pytest.param(work, close, id=name) for name, work in ROUNDED.items()],
    ],
)
def test_results_for_any_number_of_threads(work, alike, monkeypatch):
    pytest.importorskip("numba")  # the reference kernels take one thread
    used = []
    workers_for = threads._workers_for
    monkeypatch.setattr(threads, "_workers_for", lambda count: used.append(1) or workers_for(count))
    tg.set_num_threads(1)
    alone = computed(work)
    assert not used
    for count in (2, 3):
        tg.set_num_threads(count)
        del used[:]
        alike(alone, computed(work))
        assert bool(used) == (bool(threads._blas()) or work not in (convolution, winograd, products))
    with tg.use_kernels("reference"):
        close(alone, computed(work))


@pytest.mark.parametrize(
    ("a", "b", "pieces"),
    [
        (np.ones((9, 5)), np.ones((5, 8)), [(4, 8), (5, 8)]),
        (np.ones((8, 5)), np.ones((5, 9)), [(8, 4), (8, 5)]),
        (np.ones((1, 5)), np.ones((5, 9)), [(1, 4), (1, 5)]),
        (np.ones((5, 63)).T, np.ones((5, 90)), [(63, 45), (63, 45)]),
        (np.ones((5, 64)).T, np.ones((5, 90)), [(32, 90), (32, 90)]),  # as the weight of 64 outputs
    ],
    ids=["tall", "wide", "one row", "gradient of a small weight", "gradient of a weight"],
)
def test_where_a_product_is_cut(a, b, pieces, blas, monkeypatch):
    pytest.importorskip("numba")
    cut, matmul = [], np.matmul
    monkeypatch.setattr(np, "matmul", lambda a, b, out: cut.append(out.shape) or matmul(a, b, out=out))
    assert (tg.matmul(a, b) == a.shape[1]).all()
    assert sorted(cut) == pieces


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_gradient_is_the_same_each_time(count):
    tg.set_num_threads(count)
    same_bits(computed(convolution), computed(convolution))


@pytest.mark.parametrize("images", [0, 1, 2])
def test_fewer_images_than_threads(images):
    tg.set_num_threads(3)
    many = computed(convolution, images)
    tg.set_num_threads(1)
    close(many, computed(convolution, images))


@pytest.mark.usefixtures("no_threadpoolctl")
@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_without_threadpoolctl(work):
    tg.set_num_threads(1)
    alone = computed(work)
    tg.set_num_threads(3)
    close(alone, computed(work))
    with threads.one_blas_thread as possible:
        assert not possible


# --- Pieces ------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(
    size=st.integers(0, 2000),
    least=st.integers(0, 300),
    align=st.sampled_from([1, 7, 64]),
    count=st.integers(1, 5),
)
def test_pieces_cover_every_index_once(size, least, align, count):
    tg.set_num_threads(count)
    seen = np.zeros(size, int)
    begun = threading.get_ident()

    def work(start, stop):
        seen[start:stop] += 1
        return start, stop, threading.get_ident()

    pieces = threads.in_pieces(work, size, least, align)
    assert (seen == 1).all()
    assert 1 <= len(pieces) <= count
    assert len(pieces) == 1 or len(pieces) * least <= size
    assert pieces[0][0] == 0
    assert pieces[-1][1] == size
    for (_, stop, _), (start, _, _) in itertools.pairwise(pieces):
        assert start == stop
        assert start % align == 0
    assert pieces[0][2] == begun


def test_the_result_of_each_piece_comes_in_order():
    tg.set_num_threads(3)
    later = threading.Event()

    def work(start, stop):
        if start < 6:
            assert later.wait(LONG)  # the last piece ends first
        else:
            later.set()
        return start, stop

    assert threads.in_pieces(work, 9, 1) == [(0, 3), (3, 6), (6, 9)]


def test_a_worker_looks_for_work_and_goes_to_sleep(monkeypatch):
    looks, found_none, during = threading.Semaphore(0), threading.Semaphore(0), []

    def wait(*args):  # in place of the compiled loop, as long as this test wants
        if threading.current_thread() is threads._workers[0]:
            looks.release()
            assert found_none.acquire(timeout=LONG)

    def work(start, stop):
        if start:
            during.append(threads.a_worker_is_awake())
        return stop - start

    tg.set_num_threads(2)
    monkeypatch.setattr(threads, "_wait_awake", lambda: wait)
    for _ in range(2):
        assert threads.in_pieces(work, 4, 1) == [2, 2]
        assert looks.acquire(timeout=LONG)
        assert threads.a_worker_is_awake()
        found_none.release()
        while threads.a_worker_is_awake():  # until it has seen that
            time.sleep(0.001)
    assert during == [False, False]  # who works is awake, but does not look for work


@pytest.mark.parametrize("times", [0, 5])
def test_how_long_a_worker_looks(times, monkeypatch):
    pytest.importorskip("numba")
    from tinygrad_adam.backend import waiting

    if not hasattr(os, "sched_yield"):
        pytest.skip("needs sched_yield")
    told, counter, yields = [0], [7], []
    monkeypatch.setattr(waiting, "_sched_yield", lambda: yields.append(len(yields)))
    look = waiting.wait_awake.py_func  # the loop, not compiled
    look(told, counter, 7, times, 3)
    assert (told, len(yields)) == ([1], times)
    del yields[:]
    monkeypatch.setattr(waiting, "_sched_yield", lambda: yields.append(1) or counter.__setitem__(0, 8))
    look(told, counter, 7, times, 3)
    assert (told, len(yields)) == ([2], 4 if times else 0)  # one that sees it come, and three to be polite


@pytest.mark.parametrize("failing", [0, 3, 6])
def test_what_a_piece_raises_is_raised_when_all_have_ended(failing):
    tg.set_num_threads(3)
    ended, all_begun = [], threading.Barrier(3)

    def work(start, stop):
        all_begun.wait(LONG)
        if start == failing:
            raise ZeroDivisionError(start)
        threading.Event().wait(0.05)
        ended.append(start)

    with pytest.raises(ZeroDivisionError, match=str(failing)):
        threads.in_pieces(work, 9, 1)
    assert sorted(ended) == [start for start in (0, 3, 6) if start != failing]
    assert threads.in_pieces(lambda start, stop: stop - start, 9, 1) == [3, 3, 3]


def test_a_piece_sees_how_numpy_treats_overflow():
    tg.set_num_threads(3)
    states = []
    with np.errstate(over="ignore", invalid="raise"):
        threads.in_pieces(lambda start, stop: states.append(np.geterr()), 3, 1)
    assert [(state["over"], state["invalid"]) for state in states] == [("ignore", "raise")] * 3


def test_a_convolution_that_overflows_in_a_thread_warns_nobody_who_asked_for_silence():
    tg.set_num_threads(3)
    x, w = tg.tensor(np.full((6, 1, 4, 4), np.inf)), tg.tensor(np.array([[[[1.0, -1.0]]]]))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error")
        assert np.isnan(tg.conv2d(x, w).numpy()).all()
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        tg.conv2d(x, w)


# --- The BLAS library --------------------------------------------------------------------------


def test_blas_gets_its_threads_back_after_a_convolution(blas):
    with threads.one_blas_thread as possible:
        assert possible
        assert blas() == {1}
    assert blas() == {2}
    convolution()
    assert blas() == {2}
    for wrong in (ZeroDivisionError, KeyboardInterrupt):
        with pytest.raises(wrong), threads.one_blas_thread:
            raise wrong
        assert blas() == {2}


@pytest.mark.parametrize("product", [1, 2])
def test_blas_gets_its_threads_back_after_an_exception(blas, monkeypatch, product):
    calls, lock, matmul = [], threading.Lock(), np.matmul

    def failing(*args, **kwargs):
        with lock:
            calls.append(1)
            number = len(calls)
        assert blas() == {1}
        if number == product:
            raise MemoryError(product)
        return matmul(*args, **kwargs)

    monkeypatch.setattr(np, "matmul", failing)
    with pytest.raises(MemoryError):
        tg.conv2d(tg.ones(4, 1, 3, 3), tg.ones(1, 1, 2, 2))
    assert blas() == {2}
    assert len(calls) >= product


def test_of_two_who_overlap_the_last_gives_the_threads_back(blas):
    entered, left = threading.Event(), threading.Event()
    seen = []

    def second():
        with threads.one_blas_thread:
            entered.set()
            assert left.wait(LONG)
            seen.append(blas())

    other = threading.Thread(target=second)
    with threads.one_blas_thread:
        other.start()
        assert entered.wait(LONG)
    left.set()
    other.join(LONG)
    assert seen == [{1}]
    assert blas() == {2}


def test_a_count_chosen_while_a_convolution_runs_holds_afterwards(blas):
    tg.set_num_threads(3)
    with threads.one_blas_thread:
        tg.set_num_threads(2)
        assert blas() == {1}
    assert blas() == {2}


def test_any_thread_may_convolve_and_limit(blas):
    library, seen = pytest.importorskip("threadpoolctl"), []

    def work():
        with threads.one_blas_thread:
            seen.append(blas())
        seen.append(blas())
        with library.threadpool_limits(1, user_api="blas"):
            seen.append(blas())
        seen.append(blas())

    other = threading.Thread(target=work)  # the counts were set in this one
    other.start()
    other.join(LONG)
    assert seen == [{1}, {2}, {1}, {2}]
    with library.threadpool_limits(1, user_api="blas"):
        convolution()
        assert blas() == {1}
    assert blas() == {2}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_python_threads_that_convolve_at_once(count):
    tg.set_num_threads(count)
    wanted = computed(convolution)
    begin, wrong = threading.Barrier(3), []

    def work():
        try:
            begin.wait(LONG)
            for _ in range(15):
                same_bits(computed(convolution), wanted)
        except BaseException as error:
            wrong.append(error)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(LONG)
    assert not wrong
    assert not any(worker.is_alive() for worker in workers)
    if threads._blas() and blas_counts():
        assert max(blas_counts().values()) <= count
        assert threads._holders == 0


def test_counts_may_change_while_others_compute(blas):
    wanted = computed(convolution)
    done, wrong = threading.Event(), []

    def work():
        try:
            while not done.is_set():
                close(computed(convolution), wanted)
        except BaseException as error:
            wrong.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    for _ in range(20):
        for count in (1, 3, 2):
            tg.set_num_threads(count)
            threading.Event().wait(0.002)
    done.set()
    worker.join(LONG)
    assert not wrong
    assert blas() == {2}


ENDING = """
import threading
import tinygrad_adam as tg
from tinygrad_adam.backend import threads

tg.set_num_threads(1)
tg.conv2d(tg.ones(4, 1, 3, 3), tg.ones(1, 1, 2, 2))  # Python imports no more at its end
tg.set_num_threads(3)
main = threading.main_thread()

def work():
    main.join()
    print(tg.conv2d(tg.ones(4, 1, 3, 3), tg.ones(1, 1, 2, 2)).sum().item())
    print(sum(threads.in_pieces(lambda start, stop: stop - start, 9, 1)))

threading.Thread(target=work).start()
"""


def test_a_thread_that_outlives_the_main_one():
    done = python(ENDING)
    assert (done.returncode, done.stdout, done.stderr) == (0, "64.0\n9\n", "")
