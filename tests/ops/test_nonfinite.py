"""NaN and infinities reach only what depends on them, powers do not over- or underflow, and kinks give 0."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import window_cases

import tinygrad_adam as tg
from tinygrad_adam import ops

KERNELS = pytest.mark.parametrize("kernels", ["fast", "reference"])

# --- Windows ---------------------------------------------------------------------------------

WINDOWS = {
    "adaptive, equal": (tg.adaptive_avg_pool2d, window_cases.adaptive_avg_pool2d, {"output_size": 3}),
    "adaptive, uneven": (tg.adaptive_avg_pool2d, window_cases.adaptive_avg_pool2d, {"output_size": (4, 5)}),
    "adaptive, one": (tg.adaptive_avg_pool2d, window_cases.adaptive_avg_pool2d, {"output_size": 1}),
    "average": (
        tg.avg_pool2d, window_cases.expected_avg_pool2d, {"kernel_size": 3, "stride": 2, "padding": 1}
    ),
    "average, large": (tg.avg_pool2d, window_cases.expected_avg_pool2d, {"kernel_size": (6, 5), "stride": 1}),
    **{
        f"{mode}, {how}": (tg.interpolate, window_cases.interpolate, {"mode": mode, **how})
        for mode in ("nearest", "bilinear")
        for how in ({"size": 12}, {"size": (3, 4)}, {"scale_factor": (1.5, 1.0)}, {"scale_factor": 0.4})
    },
    "corners": (
        tg.interpolate, window_cases.interpolate, {"mode": "bilinear", "size": (11, 4), "align_corners": True}
    ),
}  # fmt: skip


@KERNELS
@pytest.mark.parametrize("name", WINDOWS)
def test_a_pixel_reaches_only_the_windows_that_hold_it(name, kernels, monkeypatch):
    monkeypatch.setattr("tinygrad_adam.backend.sums.BLOCK", 16)  # so that a window of 30 is a large one
    operation, expected, settings = WINDOWS[name]
    size = (6, 6)
    # The weight of each pixel in each output, from loops over the definition.
    weights = np.stack(
        [expected(pixel.reshape(1, 1, *size), **settings)[0, 0] for pixel in np.eye(36)], axis=-1
    ).reshape(-1, *size)
    for value in (np.nan, np.inf):
        for place in np.ndindex(*size):
            x = np.ones((1, 1, *size), np.float32)
            x[0, 0][place] = value
            with tg.use_kernels(kernels):
                y = operation(tg.tensor(x), **settings).numpy()
            assert np.array_equal(np.isfinite(y).reshape(-1), np.abs(weights[:, *place]) < 1e-12)
    with tg.use_kernels(kernels):
        leaf = tg.tensor(np.ones((1, 1, *size), np.float32), requires_grad=True)
        y = operation(leaf, **settings)
        for output, weight in enumerate(weights):
            g = np.zeros(y.size, np.float32)
            g[output] = np.nan
            (found,) = tg.grad(y, [leaf], tg.tensor(g.reshape(y.shape)), retain_graph=True)
            assert np.array_equal(np.isfinite(found.numpy()[0, 0]), np.abs(weight) < 1e-12)


# --- Norms -----------------------------------------------------------------------------------


def exact_norm(values, order):
    """Compute a norm and its gradient without rounding powers: by logarithms, in double precision."""
    logs = np.log(np.abs(np.array(values, np.float64)))
    top = logs.max() if order > 0 else logs.min()
    log_norm = top + math.log(np.sum(np.exp(order * (logs - top)))) / order
    return math.exp(log_norm), np.sign(values) * np.exp((order - 1) * (logs - log_norm))


@pytest.mark.parametrize("order", [2, 3, 1.5, 0.5, 7, -1, -2, -0.5])
@pytest.mark.parametrize("scale", [1e-30, 1e-40, 1.0, 1e30])
def test_norms_of_small_and_large_elements(order, scale):
    values = [np.float32(v * scale) for v in (1.0, -2.0, 3.5)]
    norm, gradient = exact_norm(values, order)
    for axis in (None, 1):
        x = tg.tensor(np.array([values], np.float32), requires_grad=True)
        y = tg.norm(x, order, axis=axis)
        y.sum().backward()
        assert y.dtype == np.float32
        np.testing.assert_allclose(y.detach().numpy().reshape(-1), norm, rtol=1e-5 if scale > 1e-39 else 1e-4)
        np.testing.assert_allclose(x.grad.numpy()[0], gradient, rtol=1e-4 if scale > 1e-39 else 1e-2)


@pytest.mark.parametrize(
    ("values", "order", "norm"),
    [
        ([math.nan, 1.0], 2, math.nan),
        ([math.nan, 1.0], -1, math.nan),
        ([math.inf, 1.0], 3, math.inf),
        ([math.inf, 2.0], -1, 2.0),
        ([math.inf, -2.0], -math.inf, 2.0),
        ([math.nan, 0.0, -3.0], 0, 2.0),
        ([], 2, 0.0),
        ([], 0.5, 0.0),
        ([], 0, 0.0),
    ],
)
def test_norms_of_what_is_no_number_or_nothing(values, order, norm):
    np.testing.assert_equal(tg.norm(tg.tensor(values, dtype="float64"), order).item(), norm)


def test_a_norm_with_a_zero_and_a_negative_order_is_zero():
    with np.errstate(divide="ignore"):
        x = tg.tensor([0.0, 3.0], requires_grad=True)
        y = tg.norm(x, -2)
        y.backward()
    assert y.item() == 0
    assert x.grad.tolist() == [0, 0]


@pytest.mark.parametrize("order", ["fro", None, math.nan, [2], True])
def test_orders_that_are_no_numbers_are_refused(order):
    with pytest.raises(tg.errors.OptionError, match="norm: ord must be a number"):
        tg.norm(tg.tensor([1.0]), order)


# --- Kinks -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "length", [lambda x: x.std(), *(lambda x, o=o: tg.norm(x - 2, o) for o in (2, 3, 1.5, 0.5))]
)
def test_an_infinite_gradient_meets_a_length_of_zero(length):
    x = tg.tensor([2.0, 2.0, 2.0], requires_grad=True)
    with np.errstate(divide="ignore"):
        ops.sqrt(length(x)).backward()
        assert x.grad.tolist() == [0, 0, 0]
        (again,) = tg.grad(ops.sqrt(length(x)), [x], create_graph=True)
    assert again.tolist() == [0, 0, 0]


@pytest.mark.parametrize("extremum", [ops.max, ops.min])
def test_the_gradient_of_an_extremum_that_is_nan(extremum):
    x = tg.tensor([[1.0, math.nan, 3.0], [1.0, 1.0, 1.0]], requires_grad=True)
    extremum(x, axis=1).sum().backward()
    np.testing.assert_equal(x.grad.numpy(), np.array([[math.nan] * 3, [1 / 3] * 3], np.float32))


@pytest.mark.parametrize(
    "values",
    [
        [0.0, 0.0, 1e30, 1e30],
        [1e30, 1e30, 1e-30, 1e-30],
        [1e30, 1e-30, 1e30, 1e-30, 0.0, 1e30, 1e-30],
        [1e38] * 9 + [1e-38] * 9,
        [-1e-40, 1e38, 1e38, 1e-38],
        [2.0] * 150 + [0.5] * 151,
    ],
)
def test_products_of_others_that_overflow_on_the_way(values):
    """Exact rational numbers are the oracle."""
    values = np.array(values, np.float32)
    x = tg.tensor(values, requires_grad=True)
    with np.errstate(over="ignore", invalid="ignore"):
        y = ops.prod(x)
    y.backward()
    exact = [Fraction(float(v)) for v in values]
    most = Fraction(float(np.finfo(np.float32).max))
    for i, found in enumerate(x.grad.numpy()):
        others = math.prod(exact[:i] + exact[i + 1 :])
        wanted = math.copysign(math.inf, others) if abs(others) > most else float(others)
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-44)


def test_logsumexp_of_nothing():
    x = tg.tensor(np.zeros((2, 0)), requires_grad=True)
    for axis, keepdims, shape in [(1, False, (2,)), (1, True, (2, 1)), (None, False, ())]:
        y = ops.logsumexp(x, axis=axis, keepdims=keepdims)
        assert y.shape == shape
        assert np.all(y.detach().numpy() == -np.inf)
    y.backward()
    assert x.grad.shape == (2, 0)


@pytest.mark.parametrize("operation", [ops.softmax, ops.log_softmax])
def test_softmax_of_nothing(operation):
    x = tg.tensor(np.zeros((2, 0), np.float32), requires_grad=True)
    with np.errstate(divide="ignore"):  # the logarithm of a sum of nothing
        y = operation(x, axis=1)
    y.sum().backward()
    assert y.shape == x.grad.shape == (2, 0)
