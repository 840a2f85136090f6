"""Memory of large arrays: kept for the next, never while something looks at it."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from tinygrad_adam.backend import memory

LARGE = (300, 1000)


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(memory, "_kept", {})


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.bool_])
@pytest.mark.parametrize("shape", [(), (0, 3), (7,), LARGE, (3, 400, 500)])
def test_arrays_are_as_those_of_numpy(shape, dtype):
    made = memory.empty(shape, dtype)
    assert type(made) is np.ndarray
    assert (made.shape, made.dtype) == (shape, dtype)
    assert made.flags.c_contiguous
    assert made.flags.writeable
    made[...] = 1
    assert (memory.zeros(shape, dtype) == 0).all()


def test_memory_comes_back_when_the_last_view_is_gone():
    first = memory.empty(LARGE, np.float32)
    first[...] = 7
    place, view = address(first), first[5:7, ::2].T
    del first
    other = memory.empty(LARGE, np.float32)
    assert address(other) != place
    other[...] = 8
    assert (view == 7).all()
    del view
    assert address(memory.empty((1000, 300), np.float32)) == place
    assert address(memory.empty((310, 1000), np.float32)) == place  # a little larger is of the same size


def test_small_arrays_are_left_to_numpy():
    small = memory.empty((10, 10), np.float32)
    assert small.flags.owndata
    del small
    assert not memory._kept


def test_no_more_than_so_much_is_kept(monkeypatch):
    monkeypatch.setattr(memory, "_MOST", 3_000_000)
    arrays = [memory.empty(LARGE, np.float32) for _ in range(5)]
    del arrays
    assert 0 < memory.unused() <= 3_000_000


def test_threads_never_get_the_same_memory():
    wrong = []

    def work(number):
        for _ in range(200):
            made = memory.empty(LARGE, np.int32)
            made[::50] = number
            view = made[::50]
            del made
            if not (view == number).all():
                wrong.append(number)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_empty_like_keeps_the_order_in_memory(axes):
    array = np.zeros((30, 40, 500), np.float32).transpose(axes)
    assert memory.empty_like(array).strides == array.strides
    double = memory.empty_like(array[:, ::2], np.float64)  # with gaps: the same order, without them
    wanted = np.empty_like(array[:, ::2], np.float64)
    assert (double.strides, double.dtype, double.shape) == (wanted.strides, wanted.dtype, wanted.shape)
