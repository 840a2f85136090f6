"""Convolution and pooling: what they refuse, and random geometries, kernel set against kernel set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_windows import check_kernel_sets, counts, geometries, layouts
from window_cases import around, windows

import tinygrad_adam as tg
from tinygrad_adam.engine.graph import PRIMITIVES
from tinygrad_adam.errors import DTypeError, OptionError, ShapeError, TinygradAdamError

pytestmark = pytest.mark.products


def ones(*shape):
    return tg.tensor(np.ones(shape))


# --- Errors ----------------------------------------------------------------------------------

LARGER = "size + padding must be at least dilation * (kernel - 1) + 1"
IMAGE, FILTER = (1, 2, 4, 5), (3, 2, 3, 3)


def conv2d(x=IMAGE, w=FILTER, **how):
    return tg.conv2d(ones(*x), ones(*w), **how)


def conv1d(x=(1, 2, 5), w=(3, 2, 3), **how):
    return tg.conv1d(ones(*x), ones(*w), **how)


def transposed(x=(1, 3, 4, 5), w=(3, 2, 3, 3), **how):
    return tg.conv_transpose2d(ones(*x), ones(*w), **how)


def pool(kernel=2, x=IMAGE, of=tg.max_pool2d, **how):
    return of(ones(*x), kernel, **how)


def scaled(factor):
    return tg.interpolate(ones(*IMAGE), scale_factor=factor)


def half(operation):
    return operation(np.ones(IMAGE, np.float16))


def integer(operation):
    return operation(np.ones(IMAGE, np.int64))


IMAGES = {
    "conv2d": lambda x: tg.conv2d(x, ones(*FILTER)),
    "conv_transpose2d": lambda x: tg.conv_transpose2d(x, ones(2, 3, 3, 3)),
    "max_pool2d": lambda x: tg.max_pool2d(x, 2),
    "avg_pool2d": lambda x: tg.avg_pool2d(x, 2),
    "global_avg_pool2d": tg.global_avg_pool2d,
    "adaptive_avg_pool2d": lambda x: tg.adaptive_avg_pool2d(x, 2),
    "interpolate": lambda x: tg.interpolate(x, size=2),
    "unfold": lambda x: tg.unfold(x, 2),
}


@pytest.mark.parametrize(
    ("error", "operation", "call", "parts"),
    [
        (ShapeError, "conv2d", lambda: conv2d(w=(3, 2, 5, 3)), [LARGER, "(4, 5)", "(5, 3)", "((0, 0), (0"]),
        (ShapeError, "conv2d", lambda: conv2d(padding=1, dilation=(1, 4)), [LARGER, "((1, 1), (1", "(1, 4)"]),
        (ShapeError, "conv2d", lambda: conv2d(x=(1, 2, 0, 5)), [LARGER, "(0, 5)"]),
        (ShapeError, "conv1d", lambda: conv1d(w=(3, 2, 6)), [LARGER, "5)", "6)"]),
        (ShapeError, "max_pool2d", lambda: pool(5), [LARGER, "(4, 5)", "(5, 5)"]),
        (ShapeError, "max_pool2d", lambda: pool(10, stride=5, ceil_mode=True), [LARGER, "(4, 5)", "(10,"]),
        (ShapeError, "max_pool2d", lambda: pool(2, dilation=4), [LARGER, "(4, 4)"]),
        (ShapeError, "avg_pool2d", lambda: pool((4, 6), of=tg.avg_pool2d), [LARGER, "(4, 6)"]),
        (ShapeError, "unfold", lambda: pool((5, 1), of=tg.unfold), [LARGER, "(5, 1)"]),
        # Channels and groups.
        (ShapeError, "conv2d", lambda: conv2d(w=(3, 4, 3, 3)), ["C // groups", "channels  2", "(3, 4,"]),
        (ShapeError, "conv2d", lambda: conv2d(w=(3, 1, 3, 3), groups=2), ["divide O", "groups    2"]),
        (ShapeError, "conv2d", lambda: conv2d(x=(1, 3, 4, 4), w=(2, 1, 3, 3), groups=2), ["channels  3"]),
        (ShapeError, "conv2d", lambda: conv2d(w=(3, 2, 3)), ["(O, C // groups, KH, KW)", "(3, 2, 3)"]),
        (ShapeError, "conv1d", lambda: conv1d(w=(3, 4, 3)), ["C // groups", "channels  2"]),
        (ShapeError, "conv1d", lambda: conv1d(w=(3, 2, 3, 3)), ["(O, C // groups, K)", "(3, 2, 3, 3)"]),
        (ShapeError, "conv_transpose2d", lambda: transposed(w=(2, 3, 3, 3)), ["O // groups", "(1, 3, 4, 5)"]),
        (ShapeError, "conv_transpose2d", lambda: transposed(groups=2), ["divide C", "groups  2"]),
        (ShapeError, "conv_transpose2d", lambda: transposed(w=(3, 2, 3)), ["KH, KW", "(3, 2, 3)"]),
        (OptionError, "conv2d", lambda: conv2d(groups=0), ["an integer >= 1", "groups  0"]),
        (OptionError, "conv2d", lambda: conv2d(groups=1.5), ["an integer >= 1", "1.5"]),
        (OptionError, "conv_transpose2d", lambda: transposed(groups=-1), ["an integer >= 1", "-1"]),
        (ShapeError, "conv2d", lambda: conv2d(bias=ones(2)), ["each output channel", "(2,)", "channels  3"]),
        (ShapeError, "conv2d", lambda: conv2d(bias=ones(1)), ["each output channel", "(1,)", "channels  3"]),
        (ShapeError, "conv1d", lambda: conv1d(bias=ones(3, 1)), ["each output channel", "(3, 1)"]),
        (ShapeError, "conv_transpose2d", lambda: transposed(bias=ones(3)), ["(3,)", "channels  2"]),
        # Padding.
        (OptionError, "conv2d", lambda: conv2d(padding=-1), ["padding must be", ">= 0", "-1"]),
        (OptionError, "conv2d", lambda: conv2d(padding=(0, -2)), ["padding must be", "(0, -2)"]),
        (OptionError, "conv2d", lambda: conv2d(padding=(1, 1, 1)), ["one or two integers", "(1, 1, 1)"]),
        (OptionError, "conv2d", lambda: conv2d(padding=0.5), ["one or two integers", "0.5"]),
        (OptionError, "conv2d", lambda: conv2d(padding="full"), ["'same', 'valid' or integers", "'full'"]),
        (OptionError, "conv2d", lambda: conv2d(padding="same", stride=2), ["needs stride 1", "(2, 2)"]),
        (OptionError, "conv2d", lambda: conv2d(padding="same", stride=(1, 2)), ["needs stride 1", "(1, 2)"]),
        (OptionError, "conv1d", lambda: conv1d(padding=-1), ["padding must be", "-1"]),
        (OptionError, "conv1d", lambda: conv1d(padding="full"), ["'same', 'valid'", "'full'"]),
        (OptionError, "conv1d", lambda: conv1d(padding="same", stride=3), ["needs stride 1", "3"]),
        (OptionError, "conv_transpose2d", lambda: transposed(padding="same"), ["integers", "'same'"]),
        (OptionError, "conv_transpose2d", lambda: transposed(padding=-1), ["integers >= 0", "-1"]),
        (ShapeError, "conv_transpose2d", lambda: transposed(padding=4), ["lower the padding", "(-2, -1)"]),
        (OptionError, "conv_transpose2d", lambda: transposed(output_padding=1), ["than stride", "(1, 1)"]),
        (OptionError, "conv_transpose2d", lambda: transposed(output_padding=-1), ["output_padding", ">= 0"]),
        (OptionError, "max_pool2d", lambda: pool(padding=-1), ["padding must be", "-1"]),
        (OptionError, "avg_pool2d", lambda: pool(of=tg.avg_pool2d, padding="same"), ["padding", "'same'"]),
        (ShapeError, "max_pool2d", lambda: pool(3, padding=2), ["at most half the kernel", "2", "(3, 3)"]),
        (ShapeError, "avg_pool2d", lambda: pool(1, of=tg.avg_pool2d, padding=(1, 0)), ["half", "(1, 0)"]),
        (OptionError, "unfold", lambda: pool(of=tg.unfold, padding=-1), ["padding must be", "-1"]),
        # Strides, windows and sizes.
        (OptionError, "conv2d", lambda: conv2d(stride=0), ["stride must be", ">= 1", "0"]),
        (OptionError, "conv2d", lambda: conv2d(stride=(1, -1)), ["stride must be", "(1, -1)"]),
        (OptionError, "conv2d", lambda: conv2d(stride=(1, 2, 1)), ["one or two integers", "(1, 2, 1)"]),
        (OptionError, "conv2d", lambda: conv2d(stride=1.5), ["one or two integers", "1.5"]),
        (OptionError, "conv2d", lambda: conv2d(stride="2"), ["one or two integers", "'2'"]),
        (OptionError, "conv2d", lambda: conv2d(dilation=0), ["dilation must be", ">= 1", "0"]),
        (OptionError, "conv1d", lambda: conv1d(stride=0), ["stride must be", "0"]),
        (OptionError, "conv_transpose2d", lambda: transposed(stride=0), ["stride must be", "0"]),
        (OptionError, "max_pool2d", lambda: pool(0), ["kernel_size must be", ">= 1", "0"]),
        (OptionError, "max_pool2d", lambda: pool((2, 2, 2)), ["kernel_size must be", "(2, 2, 2)"]),
        (OptionError, "max_pool2d", lambda: pool(stride=0), ["stride must be", "0"]),
        (OptionError, "max_pool2d", lambda: pool(dilation=-1), ["dilation must be", "-1"]),
        (OptionError, "avg_pool2d", lambda: pool(of=tg.avg_pool2d, stride=(2, 0)), ["stride must", "(2, 0)"]),
        (OptionError, "unfold", lambda: pool(of=tg.unfold, stride=0), ["stride must be", "0"]),
        (OptionError, "adaptive_avg_pool2d", lambda: tg.adaptive_avg_pool2d(ones(*IMAGE), 0), ["size", "0"]),
        (OptionError, "interpolate", lambda: tg.interpolate(ones(*IMAGE)), ["either size or scale_factor"]),
        (OptionError, "interpolate", lambda: tg.interpolate(ones(*IMAGE), 2, 2.0), ["either size", "2.0"]),
        (OptionError, "interpolate", lambda: tg.interpolate(ones(*IMAGE), 0), ["size must be", "0"]),
        (OptionError, "interpolate", lambda: pool(of=tg.interpolate, mode="cubic"), ["mode 'cubic'"]),
        (OptionError, "interpolate", lambda: scaled(0), ["positive", "0"]),
        (OptionError, "interpolate", lambda: scaled(np.inf), ["positive"]),
        (OptionError, "interpolate", lambda: scaled((1, 2, 3)), ["one or two"]),
        (ShapeError, "interpolate", lambda: scaled(0.2), ["empty", "0.2"]),
        # Images.
        (ShapeError, "conv1d", lambda: conv1d(x=IMAGE), ["(N, C, L)", "(1, 2, 4, 5)"]),
        (DTypeError, "conv1d", lambda: tg.conv1d(np.ones((1, 2, 5), int), ones(3, 2, 3)), ["int64"]),
        *[
            (error, name, lambda f=operation, g=images: g(f), parts)
            for name, operation in IMAGES.items()
            for error, images, parts in [
                (ShapeError, lambda f: f(ones(2, 4, 5)), ["(N, C, H, W)", "(2, 4, 5)"]),
                (DTypeError, half, ["float32 or float64", "float16"]),
                (DTypeError, integer, ["cast with .astype", "int64"]),
                (DTypeError, lambda f: f([[1.0]]), ["a Tensor or an array", "list"]),
            ]
        ],
    ],
)  # fmt: skip
def test_errors_show_the_sizes_and_what_must_hold(error, operation, call, parts):
    with pytest.raises(error) as raised:
        call()
    assert type(raised.value) is error
    assert isinstance(raised.value, TinygradAdamError)
    message = str(raised.value)
    assert message.startswith(f"{operation}: ")
    for part in parts:
        assert part in message


def test_an_error_shows_every_size():
    wanted = r"size +\(2, 3\)\n +kernel +\(4, 5\)\n +padding +\(\(0, 0\), \(1, 1\)\)\n +dilation +\(1, 1\)"
    with pytest.raises(ShapeError, match=wanted):
        conv2d(x=(1, 2, 2, 3), w=(3, 2, 4, 5), padding=(0, 1))


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d", "unfold"])
def test_one_number_stands_for_two(name):
    x = np.random.default_rng(0).standard_normal((2, 2, 5, 6))
    one = getattr(tg, name)(x, 2, stride=2, padding=1)
    np.testing.assert_array_equal(one, getattr(tg, name)(x, [2, 2], stride=(2, 2), padding=(1, np.int64(1))))


def test_settings_may_be_numpy_integers_and_lists():
    x, w = np.random.default_rng(0).standard_normal((2, 2, 2, 4, 5))[:, :1]
    one = tg.conv2d(x, w[:, :, :2, :2], stride=np.int64(2), padding=[1, 1])
    np.testing.assert_array_equal(one, tg.conv2d(x, w[:, :, :2, :2], stride=2, padding=1))


# --- Values that are not usual ---------------------------------------------------------------


@pytest.mark.parametrize("kernels", ["fast", "reference"])
def test_max_pooling_passes_nan_on(kernels):
    x = np.zeros((1, 1, 4, 4), np.float32)
    x[0, 0, 1, 2] = np.nan
    with tg.use_kernels(kernels):
        y = tg.max_pool2d(x, 2)
    np.testing.assert_array_equal(y[0, 0], [[0, np.nan], [0, 0]])


@pytest.mark.parametrize("kernels", ["fast", "reference"])
def test_padding_never_wins(kernels):
    x = tg.tensor(np.full((2, 1, 3, 3), -np.inf), requires_grad=True)
    with tg.use_kernels(kernels):
        y = tg.max_pool2d(x, 2, padding=1)
        gradient = tg.grad(y, x, tg.ones(2, 1, 2, 2, dtype=np.float64))
    np.testing.assert_array_equal(y.detach().numpy(), -np.inf)
    np.testing.assert_array_equal(gradient.numpy()[1, 0], [[1, 1, 0], [1, 1, 0], [0, 0, 0]])


@pytest.mark.parametrize("kernels", ["fast", "reference"])
@pytest.mark.parametrize("dtypes", [(np.float32, np.float64), (np.float64, np.float32)])
def test_mixed_precision_computes_in_the_higher(kernels, dtypes):
    shapes = {"_conv2d": ((2, 2, 4, 5), (3, 2, 2, 3)), "_conv2d_input": ((2, 3, 3, 3), (3, 2, 2, 3)),
              "_conv2d_weight": ((2, 2, 4, 5), (2, 3, 3, 3))}  # fmt: skip
    sizes = {"_conv2d": {}, "_conv2d_input": {"size": (4, 5)}, "_conv2d_weight": {"size": (2, 3)}}
    how = {"stride": (1, 1), "padding": around(0), "dilation": (1, 1), "groups": 1}
    rng = np.random.default_rng(0)
    for name, pair in shapes.items():
        arrays = [rng.standard_normal(shape).astype(d) for shape, d in zip(pair, dtypes, strict=True)]
        with tg.use_kernels(kernels):
            mixed = PRIMITIVES[name](*arrays, **sizes[name], **how)
            exact = PRIMITIVES[name](*[a.astype(np.float64) for a in arrays], **sizes[name], **how)
        assert mixed.dtype == np.float64
        np.testing.assert_allclose(mixed, exact, rtol=1e-13, atol=1e-13)


# --- Random geometry -------------------------------------------------------------------------

small = settings(max_examples=60)


@small
@given(geometries(), counts, st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), layouts, counts)
def test_conv2d_in_both_kernel_sets(geometry, n, groups, inner, outer, layout, seed):
    size, kernel, how = geometry
    shapes = [(n, groups * inner, *size), (groups * outer, inner, *kernel)]
    check_kernel_sets(lambda x, w: tg.conv2d(x, w, groups=groups, **how), shapes, layout, seed)


@small
@given(
    st.integers(3, 5), counts, st.sampled_from([16, 17, 21]), st.sampled_from([16, 19]), layouts, st.data()
)
def test_square_filters_of_many_channels_in_both_kernel_sets(kernel, n, inner, outer, layout, data):
    padding = tuple(data.draw(st.integers(0, kernel)) for _ in range(2))  # up to one that Winograd leaves
    size = tuple(max(1, kernel - 2 * p) + data.draw(st.integers(0, 9)) for p in padding)
    shapes = [(n, inner, *size), (outer, inner, kernel, kernel)]
    bias = np.linspace(-1, 1, outer)
    check_kernel_sets(lambda x, w: tg.conv2d(x, w, bias.astype(x.dtype), padding=padding), shapes, layout, 1)


@small
@given(geometries(), counts, st.integers(1, 3), st.integers(1, 2), st.integers(1, 2), layouts, st.data())
def test_conv_transpose2d_in_both_kernel_sets(geometry, n, groups, inner, outer, layout, data):
    size, kernel, how = geometry
    size = tuple(min(each, 4) for each in size)
    most = [max(s, d) - 1 for s, d in zip(how["stride"], how["dilation"], strict=True)]
    more = tuple(data.draw(st.integers(0, each)) for each in most)
    axes = zip(size, kernel, how["stride"], how["padding"], how["dilation"], more, strict=True)
    assume(all((m - 1) * s - 2 * p + d * (k - 1) + 1 + extra > 0 for m, k, s, p, d, extra in axes))
    check_kernel_sets(
        lambda x, w: tg.conv_transpose2d(x, w, groups=groups, output_padding=more, **how),
        [(n, groups * outer, *size), (groups * outer, inner, *kernel)],
        layout,
        1,
    )


@small
@given(geometries(pooling=True), counts, st.integers(1, 3), st.booleans(), layouts, counts)
def test_max_pool2d_in_both_kernel_sets(geometry, n, channels, ceil_mode, layout, seed):
    size, kernel, how = geometry
    check_kernel_sets(
        lambda x: tg.max_pool2d(x, kernel, ceil_mode=ceil_mode, **how) * 2,
        [(n, channels, *size)],
        layout,
        seed,
    )


@small
@given(geometries(pooling=True), counts, st.integers(1, 3), st.booleans(), st.booleans(), layouts)
def test_avg_pool2d_in_both_kernel_sets(geometry, n, channels, ceil_mode, include, layout):
    size, kernel, how = geometry
    padding = tuple(min(p, k // 2) for p, k in zip(how["padding"], kernel, strict=True))
    size = tuple(max(m, k - 2 * p) for m, k, p in zip(size, kernel, padding, strict=True))
    check_kernel_sets(
        lambda x: tg.avg_pool2d(x, kernel, how["stride"], padding, ceil_mode, include),
        [(n, channels, *size)],
        layout,
        1,
    )


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["fast", "reference"])
@small
@given(
    geometry=geometries(),
    n=counts,
    groups=st.integers(1, 3),
    inner=st.integers(1, 3),
    outer=st.integers(1, 3),
    seed=counts,
)
def test_the_three_maps_of_a_convolution_are_adjoint(kernels, geometry, n, groups, inner, outer, seed):
    """<conv(x, w), g> = <x, conv_input(g, w)> = <w, conv_weight(x, g)>."""
    size, kernel, how = geometry
    settings_ = {**how, "padding": around(how["padding"]), "groups": groups}
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, groups * inner, *size))
    w = rng.standard_normal((groups * outer, inner, *kernel))
    count = windows(size, kernel, **how)
    g = rng.standard_normal((n, groups * outer, *count))
    with tg.use_kernels(kernels):
        y = PRIMITIVES["_conv2d"](x, w, **settings_)
        back = PRIMITIVES["_conv2d_input"](g, w, size=size, **settings_)
        weight = PRIMITIVES["_conv2d_weight"](x, g, size=kernel, **settings_)
    assert (y.shape, back.shape, weight.shape) == (g.shape, x.shape, w.shape)
    products = [np.sum(y * g), np.sum(x * back), np.sum(w * weight)]
    scale = np.sum(np.abs(y * g)) + 1
    np.testing.assert_allclose(products, products[0], rtol=0, atol=1e-13 * scale * kernel[0] * kernel[1])


@pytest.mark.parametrize("kernels", ["fast", "reference"])
@small
@given(geometry=geometries(pooling=True), n=counts, seed=counts)
def test_gathering_and_spreading_of_max_pooling_are_adjoint(kernels, geometry, n, seed):
    """<a at the greatest, g> = <a, g added to the greatest>."""
    size, kernel, how = geometry
    count = windows(size, kernel, **how)
    how = {**how, "kernel": kernel, "padding": around(how["padding"]), "count": count}
    rng = np.random.default_rng(seed)
    x, a = rng.standard_normal((2, n, 2, *size))
    g = rng.standard_normal((n, 2, *count))
    with tg.use_kernels(kernels):
        gathered = PRIMITIVES["_max_pool2d_gather"](a, x, **how)
        spread = PRIMITIVES["_max_pool2d_vjp"](g, x, **how)
        greatest = PRIMITIVES["_max_pool2d_gather"](x, x, **how)
        np.testing.assert_array_equal(PRIMITIVES["_max_pool2d"](x, **how), greatest)
    np.testing.assert_allclose(np.sum(gathered * g), np.sum(a * spread), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("kernels", ["fast", "reference"])
@small
@given(geometry=geometries(), n=counts, seed=counts)
def test_summing_and_spreading_of_mean_pooling_are_adjoint(kernels, geometry, n, seed):
    """<sums of x, g> = <x, g spread over the windows>."""
    size, kernel, how = geometry
    assume(all(k <= m + 2 * p for k, m, p in zip(kernel, size, how["padding"], strict=True)))
    count = windows(size, kernel, how["stride"], how["padding"])
    how = {"kernel": kernel, "stride": how["stride"], "padding": around(how["padding"])}
    rng = np.random.default_rng(seed)
    x, g = rng.standard_normal((n, 2, *size)), rng.standard_normal((n, 2, *count))
    with tg.use_kernels(kernels):
        sums = PRIMITIVES["_sum_pool2d"](x, count=count, **how)
        spread = PRIMITIVES["_sum_pool2d_input"](g, size=size, **how)
    np.testing.assert_allclose(np.sum(sums * g), np.sum(x * spread), rtol=1e-11, atol=1e-11)
