"""Tensors of a GPU, under the strict stand-in for CuPy: in place, views, copies and numbers as on the CPU."""

from __future__ import annotations

import copy
import operator

import numpy as np
import pytest
import strict_cupy
from on_gpu import GPU

import tinygrad_adam as tg
from tinygrad_adam import errors

A = np.arange(6.0).reshape(2, 3) + 1


@pytest.fixture(autouse=True)
def gpu():
    with strict_cupy.installed() as cupy:
        yield cupy


def leaf(values=A):
    return tg.tensor(values, device=GPU, requires_grad=True)


def same(x, values):
    np.testing.assert_allclose(x.detach().numpy(), values, rtol=1e-12)


@pytest.mark.parametrize(
    "operation",
    [operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow, operator.imod],
)
def test_augmented_assignment_waits_for_nothing(operation):
    for recorded in (True, False):
        with tg.enable_grad() if recorded else tg.no_grad():
            x, h = leaf(), leaf() * 1.0
            with strict_cupy.no_host_reads():
                twin = operation(h, x)
            assert twin is h
            same(h, operation(A.copy(), A))


def test_a_live_view_is_found_by_addresses():
    x = leaf()
    h = x * 1.0
    for view in (lambda h: h[0], lambda h: h.T, lambda h: h.detach()):
        seen = view(h)
        with pytest.raises(errors.GraphError, match="would not see the change"), strict_cupy.no_host_reads():
            h += x
        del seen
    first, second = h.split([1], axis=1)
    del h
    first *= x[:, :1]  # interleaved with the other in memory, but without a common element
    same(second, A[:, 1:])
    same(first, A[:, :1] ** 2)


def test_an_integer_gives_a_view():
    x = tg.tensor(A[0], device=GPU)
    for part in x:
        part *= 10
    same(x, A[0] * 10)


def test_views_that_are_copied_together_stay_views():
    base = tg.tensor(A, device=GPU)
    for pair in ((base, base.T), (base[1], base)):
        first, second = copy.deepcopy(pair)
        same(first, pair[0].numpy())
        same(second, pair[1].numpy())
        first[...] = 0.0
        assert (second.numpy() == 0).sum() == first.size
    same(base, A)


def test_setters_copy():
    zeros = tg.zeros(2, 3, dtype="float64", device=GPU)
    first, second = leaf(), leaf()
    first.grad = second.grad = zeros
    (first * 1).sum().backward()
    same(second.grad, np.zeros((2, 3)))
    first.data = second.data = zeros
    with tg.no_grad():
        first += 1
    same(second, np.zeros((2, 3)))


def test_numbers_mean_the_same_as_on_the_cpu():
    x, whole = tg.ones(2, device=GPU), tg.tensor([1, 2], device=GPU)
    same(x + 2**70, np.float32([2.0**70] * 2))
    for exponent in (-1, np.int64(-1)):
        with pytest.raises(errors.DTypeError, match=r"^power: integers have no negative powers"):
            whole**exponent
    for result in (
        x * whole,
        x * whole.data,
        x / np.sqrt(64),
        np.float64(2) * x,
        x + np.int64(3),
        tg.stack([x, whole]),
    ):
        assert result.dtype == np.float32
    same(round(x * 1.26, 1), np.float32([1.3, 1.3]))
    same((whole > 1) | ~(whole > 0), [False, True])
    assert (2 in whole, 7 in whole, whole == "a") == (True, False, False)


@pytest.mark.parametrize("values", [np.array([1j]), np.ma.array([1.0], mask=[True]), [None], ["1"]])
def test_what_is_no_number_is_refused(values):
    x = tg.ones(1, device=GPU)
    for door in (
        lambda: tg.tensor(values, device=GPU, dtype="float32"),
        lambda: setattr(x, "data", values),
        lambda: setattr(x, "grad", values),
        lambda: operator.setitem(x, slice(None), values),
    ):
        with pytest.raises(errors.DTypeError):
            door()


def test_complex_arrays_of_the_gpu_are_refused(gpu):
    with pytest.raises(errors.DTypeError, match="do not form an array of numbers"):
        tg.tensor(gpu.asarray(np.array([1j])), dtype="float32")
