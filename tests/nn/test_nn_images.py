"""Layers of images: what they show and refuse, initial weights, dropout of channels, skip connections.

The table in layers.py has their gradients (test_layers.py) and what PyTorch makes of them (test_nn_torch.py).
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from layers import IMAGE_LAYERS, build, residual

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import errors, nn, optim

pytestmark = pytest.mark.products

CONVOLUTIONS = {
    "Conv1d": nn.Conv1d,
    "Conv2d": nn.Conv2d,
    "ConvTranspose2d": nn.ConvTranspose2d,
}


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.Conv1d(2, 3, 3), "Conv1d(2, 3, kernel_size=3)  # 21 parameters"),
        (nn.Conv1d(2, 4, 3, 2, "valid", 2, 2), "Conv1d(2, 4, kernel_size=3, stride=2, padding='valid', "
         "dilation=2, groups=2)  # 16 parameters"),
        (nn.Conv2d(1, 2, 5), "Conv2d(1, 2, kernel_size=5)  # 52 parameters"),
        (nn.Conv2d(1, 2, (3, 2), bias=False),
         "Conv2d(1, 2, kernel_size=(3, 2), bias=False)  # 12 parameters"),
        (nn.Conv2d(2, 2, (3, 3), padding="same", groups=2),
         "Conv2d(2, 2, kernel_size=3, padding='same', groups=2)  # 20 parameters"),
        (nn.Conv2d(1, 1, 1, stride=(2, 1), padding=1),
         "Conv2d(1, 1, kernel_size=1, stride=(2, 1), padding=1)  # 2 parameters"),
        (nn.ConvTranspose2d(3, 2, 2, stride=2, output_padding=1),
         "ConvTranspose2d(3, 2, kernel_size=2, stride=2, output_padding=1)  # 26 parameters"),
        (nn.MaxPool2d(2), "MaxPool2d(kernel_size=2)"),
        (nn.MaxPool2d((3, 2), 2, 1), "MaxPool2d(kernel_size=(3, 2), stride=2, padding=1)"),
        (nn.MaxPool2d(2, dilation=2, ceil_mode=True), "MaxPool2d(kernel_size=2, dilation=2, ceil_mode=True)"),
        (nn.AvgPool2d(3, 2), "AvgPool2d(kernel_size=3, stride=2)"),
        (nn.AvgPool2d(3, padding=1, ceil_mode=True, count_include_pad=False),
         "AvgPool2d(kernel_size=3, padding=1, ceil_mode=True, count_include_pad=False)"),
        (nn.AdaptiveAvgPool2d(1), "AdaptiveAvgPool2d(1)"),
        (nn.AdaptiveAvgPool2d((3, 2)), "AdaptiveAvgPool2d((3, 2))"),
        (nn.BatchNorm2d(3), "BatchNorm2d(3)  # 6 parameters"),
        (nn.GroupNorm(2, 4), "GroupNorm(2, 4)  # 8 parameters"),
        (nn.Dropout2d(0.25), "Dropout2d(p=0.25)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_settings_are_shown(layer, text):
    assert repr(layer) == text


def test_every_layer_of_images_is_in_the_table():
    wanted = {*CONVOLUTIONS, "MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "BatchNorm2d", "GroupNorm"}
    assert {layer.name for layer in IMAGE_LAYERS} == {*wanted, "Dropout2d", "Sequential"}


@pytest.mark.parametrize("layer", IMAGE_LAYERS, ids=str)
def test_both_kernel_sets_and_dtypes_agree(layer):
    module = build(layer).train(layer.train)
    inputs = layer.inputs(np.random.default_rng(0))
    with tg.use_kernels("reference"):
        wanted = module(*map(tg.tensor, inputs)).detach().numpy()
    module.to(np.float32)
    got = module(*(tg.tensor(a.astype(np.float32)) for a in inputs)).detach().numpy()
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernels", ["fast", "reference"])
@pytest.mark.parametrize("layer", IMAGE_LAYERS, ids=str)
def test_batches_without_images(layer, kernels):
    module = build(layer).eval()
    x = tg.tensor(layer.inputs(np.random.default_rng(0))[0][:0], requires_grad=True)
    with tg.use_kernels(kernels):
        y = module(x)
        assert y.shape[0] == 0
        y.sum().backward()
    assert x.grad.shape == x.shape
    for name, p in module.named_parameters():
        assert p.grad is not None, name
        assert p.grad.shape == p.shape
        assert not p.grad.numpy().any()


# --- Wrong use ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"in_channels": 0}, errors.OptionError, r"sizes must be positive integers\n.*in_channels +0"),
        ({"out_channels": -1}, errors.OptionError, "out_channels +-1"),
        ({"in_channels": 3.0}, errors.OptionError, "in_channels +3.0"),
        ({"groups": 0}, errors.OptionError, "groups +0"),
        ({"groups": 1.0}, errors.OptionError, "groups +1.0"),
        ({"groups": 3}, errors.ShapeError, r"groups must divide.*\n.*in_channels +4"),
        ({"in_channels": 3, "groups": 3}, errors.ShapeError, r"groups must divide.*\n.*\n.*out_channels +4"),
        ({"kernel_size": 0}, errors.OptionError, "kernel_size.*0|positive.*\n.*kernel_size +0"),
        ({"kernel_size": 1.5}, errors.OptionError, "kernel_size.*1.5|positive.*\n.*kernel_size +1.5"),
        ({"kernel_size": (1, 2, 3)}, errors.OptionError, r"kernel_size.*\(1, 2, 3\)|\(1, 2, 3\)"),
    ],
)
def test_convolutions_that_cannot_be(name, settings, kind, message):
    with pytest.raises(kind, match=message) as caught:
        CONVOLUTIONS[name](**{"in_channels": 4, "out_channels": 4, "kernel_size": 3, **settings})
    assert str(caught.value).startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: nn.Conv2d(3, 4, 3)(tg.ones(1, 2, 5, 5)), errors.ShapeError, r"conv2d: .*\n.*channels +2"),
        (lambda: nn.Conv2d(2, 4, 3)(tg.ones(2, 5, 5)), errors.ShapeError, r"\(N, C, H, W\)\n.*\(2, 5, 5\)"),
        (lambda: nn.Conv2d(2, 4, 6)(tg.ones(1, 2, 5, 5)), errors.ShapeError, "larger than the padded input"),
        (lambda: nn.Conv2d(2, 4, 3, stride=0)(tg.ones(1, 2, 5, 5)), errors.OptionError, "stride must be"),
        (lambda: nn.Conv2d(2, 4, 3, padding="all")(tg.ones(1, 2, 5, 5)), errors.OptionError, "'same'"),
        (lambda: nn.Conv1d(2, 4, 3)(tg.ones(1, 3, 5)), errors.ShapeError, r"conv1d: .*\n.*channels +3"),
        (lambda: nn.Conv1d(2, 4, 3)(tg.ones(1, 2, 5, 5)), errors.ShapeError, r"\(N, C, L\)"),
        (lambda: nn.ConvTranspose2d(2, 4, 3)(tg.ones(1, 4, 5, 5)), errors.ShapeError, "conv_transpose2d: "),
        (lambda: nn.ConvTranspose2d(2, 4, 3, output_padding=1)(tg.ones(1, 2, 5, 5)), errors.OptionError,
         "output_padding must be smaller"),
        (lambda: nn.MaxPool2d(6)(tg.ones(1, 2, 5, 5)), errors.ShapeError, "max_pool2d: "),
        (lambda: nn.MaxPool2d(2)(tg.ones(2, 5, 5)), errors.ShapeError, r"\(N, C, H, W\)"),
        (lambda: nn.AvgPool2d(2, padding=2)(tg.ones(1, 2, 5, 5)), errors.ShapeError, "at most half"),
        (lambda: nn.AdaptiveAvgPool2d(0)(tg.ones(1, 2, 5, 5)), errors.OptionError, "output_size.* 0"),
        (lambda: nn.BatchNorm2d(0), errors.OptionError, "num_features +0"),
        (lambda: nn.BatchNorm2d(3)(tg.ones(4, 2, 5, 5)), errors.ShapeError, r"BatchNorm2d: .*\n.*\(4, 2, "),
        (lambda: nn.BatchNorm2d(3)(tg.ones(4, 3)), errors.ShapeError, r"must be \(N, C, H, W\)"),
        (lambda: nn.BatchNorm2d(3)(tg.ones(4, 3, 5)), errors.ShapeError, r"must be \(N, C, H, W\)"),
        (lambda: nn.BatchNorm1d(3)(tg.ones(4, 3, 5, 5)), errors.ShapeError, r"\(N, C\) or \(N, C, L\)"),
        (lambda: nn.BatchNorm2d(3)(tg.ones(1, 3, 1, 1)), errors.ShapeError, "more than one value"),
        (lambda: nn.GroupNorm(0, 4), errors.OptionError, "num_groups +0"),
        (lambda: nn.GroupNorm(2, 4.0), errors.OptionError, "num_channels +4.0"),
        (lambda: nn.GroupNorm(3, 4), errors.ShapeError, r"num_groups must divide num_channels\n.*3\n.*4"),
        (lambda: nn.GroupNorm(2, 4)(tg.ones(2, 6, 3)), errors.ShapeError, r"GroupNorm: .*\n.*\(2, 6, 3\)"),
        (lambda: nn.GroupNorm(1, 4)(tg.ones(2, 1, 3)), errors.ShapeError, "C equal to num_channels"),
        (lambda: nn.GroupNorm(1, 1)(tg.ones(2, 4, 3)), errors.ShapeError, "C equal to num_channels"),
        (lambda: nn.GroupNorm(1, 1)(tg.ones(2)), errors.ShapeError, "C equal to num_channels"),
        (lambda: nn.Dropout2d(1.0), errors.OptionError, r"Dropout2d: p must be in \[0, 1\)\n  p  1.0"),
        (lambda: nn.Dropout2d(math.nan), errors.OptionError, "nan"),
        (lambda: nn.Dropout2d()(tg.ones(4)), errors.ShapeError, r"dropout2d: .*\(N, C, ...\)"),
        (lambda: F.dropout2d(tg.ones(2, 3), -0.5), errors.OptionError, "-0.5"),
    ],
)  # fmt: skip
def test_wrong_use(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_sizes_may_be_numpy_integers():
    n = np.int64(2)
    assert nn.Conv1d(n, n, n, n, n, n, n)(tg.ones(1, 2, 5)).shape == (1, 2, 4)
    conv = nn.Conv2d(n, n, n, n, n, n, groups=n)
    assert conv(tg.ones(1, 2, 5, 5)).shape == (1, 2, 4, 4)
    assert conv.weight.shape == (2, 1, 2, 2)
    assert nn.ConvTranspose2d(n, n, n, n, groups=n)(tg.ones(1, 2, 2, 2)).shape == (1, 2, 4, 4)
    assert nn.MaxPool2d(n, n)(tg.ones(1, 2, 4, 4)).shape == (1, 2, 2, 2)
    assert nn.AdaptiveAvgPool2d(n)(tg.ones(1, 2, 4, 4)).shape == (1, 2, 2, 2)
    assert nn.GroupNorm(n, n)(tg.ones(1, 2, 4, 4)).shape == (1, 2, 4, 4)


# --- Initial weights ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "fan"),
    [
        (lambda: nn.Conv1d(20, 300, 5), 100),
        (lambda: nn.Conv2d(10, 300, (2, 5)), 100),
        (lambda: nn.Conv2d(20, 300, 3, groups=5), 36),
        (lambda: nn.ConvTranspose2d(300, 4, 5), 100),
        (lambda: nn.ConvTranspose2d(300, 8, (5, 5), groups=2), 100),
    ],
)
def test_default_filters(make, fan):
    with tg.fork_rng(0):
        layer = make()
    bound = 1 / math.sqrt(fan)
    for values in (layer.weight.data, layer.bias.data):
        ordered = np.sort(values.ravel())
        assert np.abs(ordered).max() <= bound
        if ordered.size > 100:  # all quantiles of a uniform distribution
            expected = np.linspace(-bound, bound, ordered.size)
            assert np.abs(ordered - expected).max() < 3 * bound / math.sqrt(ordered.size)
    with tg.fork_rng(0):
        assert np.array_equal(make().weight.data, layer.weight.data)


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(4), nn.GroupNorm(2, 4)])
def test_norms_begin_as_the_identity(norm):
    assert (norm.weight.data == 1).all()
    assert (norm.bias.data == 0).all()


def test_default_dtype_reaches_filters():
    with tg.default_dtype(np.float64):
        layers = [nn.Conv1d(1, 2, 3), nn.Conv2d(1, 2, 3), nn.ConvTranspose2d(1, 2, 3), nn.GroupNorm(1, 2)]
    assert {p.dtype.name for layer in layers for p in layer.parameters()} == {"float64"}


# --- Dropout of channels -----------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_dropout2d_drops_whole_channels(p):
    n, channels = 200, 50
    with tg.fork_rng(1):
        y = nn.Dropout2d(p)(tg.ones(n, channels, 3, 2)).numpy()
    first = y[:, :, :1, :1]
    assert np.array_equal(y, np.broadcast_to(first, y.shape))
    kept = first.ravel() != 0
    assert abs(kept.mean() - (1 - p)) < 5 * math.sqrt(p * (1 - p) / (n * channels))
    np.testing.assert_allclose(first.ravel()[kept], 1 / (1 - p), rtol=1e-6)
    by_sample = kept.reshape(n, channels)
    assert (by_sample.any(0) & ~by_sample.all(0)).all()  # samples are dropped independently
    assert abs(np.corrcoef(kept[:-1], kept[1:])[0, 1]) < 5 / math.sqrt(kept.size)


@pytest.mark.parametrize("kernels", ["fast", "reference"])
def test_dropout2d_gradient_seed_and_evaluation(kernels):
    layer, x = nn.Dropout2d(0.4), tg.ones(5, 6, 2, 2, requires_grad=True)
    with tg.use_kernels(kernels):
        with tg.fork_rng(2):
            y = layer(x)
        y.sum().backward()
        with tg.fork_rng(2):
            assert np.array_equal(layer(x).detach().numpy(), y.detach().numpy())
    assert np.array_equal(x.grad.numpy(), y.detach().numpy())
    assert layer.eval()(x) is x
    assert nn.Dropout2d(0.0)(x) is x


# --- Statistics, networks ------------------------------------------------------------------------


def test_batch_norm_of_images_counts_and_averages():
    norm = nn.BatchNorm2d(2, momentum=0.25)
    x = np.random.default_rng(0).normal(3, 2, (4, 2, 3, 5)).astype(np.float32)
    y = norm(tg.tensor(x)).detach().numpy()
    np.testing.assert_allclose(y.mean((0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(y.std((0, 2, 3)), 1, rtol=1e-4)
    assert norm.num_batches_tracked.item() == 1
    np.testing.assert_allclose(norm.running_mean.numpy(), 0.25 * x.mean((0, 2, 3)), rtol=1e-5)
    variance = x.transpose(1, 0, 2, 3).reshape(2, -1).var(1, ddof=1)
    np.testing.assert_allclose(norm.running_var.numpy(), 0.75 + 0.25 * variance, rtol=1e-5)


def test_a_network_of_residual_blocks_learns():
    """Where a bright square is: two blocks, global pooling, a hundred steps of Adam."""
    rng = np.random.default_rng(0)
    x = 0.3 * rng.standard_normal((60, 1, 6, 6))
    labels = rng.integers(0, 2, 60)
    for image, label in zip(x, labels, strict=True):
        row, column = rng.integers(0, 4, 2)
        image[0, row : row + (3 if label else 1), column : column + (1 if label else 3)] += 1.5
    with tg.fork_rng(0):
        model = nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1), nn.Sequential(residual(nn, None), nn.ReLU(), residual(nn, None)),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2),
        )  # fmt: skip
        optimizer = optim.Adam(model.named_parameters(), lr=0.03)
        losses = []
        for _ in range(100):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(tg.tensor(x.astype(np.float32))), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[0] > 0.5
    assert losses[-1] < 0.2
    answers = model.eval()(tg.tensor(x.astype(np.float32))).detach().numpy().argmax(1)
    assert (answers == labels).mean() > 0.9
