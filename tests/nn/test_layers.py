"""Layers: the table, dropout, wrong use, and a layer and the ReLU behind it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from layers import LAYERS, build, exported_layers

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import errors, nn

# --- Layers ------------------------------------------------------------------------------------


def test_every_exported_layer_is_in_the_table():
    assert exported_layers() == {layer.name for layer in LAYERS}


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_gradients_of_layers(layer):
    module = build(layer).train(layer.train)
    rng = np.random.default_rng(0)
    inputs = [tg.tensor(a, requires_grad=True) for a in layer.inputs(rng)]
    constants = layer.constants(rng)
    parameters = dict(module.named_parameters())

    def call(*leaves):
        # The checker hands over leaves of its own; they take the parameters' places.
        xs, values = leaves[: len(inputs)], leaves[len(inputs) :]
        originals = [_place(module, name) for name in parameters]
        for (owner, key), value in zip(originals, values, strict=True):
            object.__setattr__(owner, key, value)
        try:
            return module(*xs, *constants)
        finally:
            for (owner, key), value in zip(originals, parameters.values(), strict=True):
                object.__setattr__(owner, key, value)

    everything = [*inputs, *(p.detach().requires_grad_() for p in parameters.values())]
    with tg.use_kernels("reference"):
        assert tg.gradcheck(call, everything)


def _place(module, name):
    *path, key = name.split(".")
    for step in path:
        module = dict(module.named_children())[step]
    return module, key


def test_a_wrong_gradient_of_a_layer_is_caught(monkeypatch):
    ops = nn.normalization.ops
    rule = ops.layer_norm
    monkeypatch.setattr(ops, "layer_norm", lambda x, *rest: rule(x, *rest) + 0.1 * x.detach())
    with pytest.raises(errors.GradcheckError):
        test_gradients_of_layers(next(layer for layer in LAYERS if layer.name == "LayerNorm"))


def softmax(x, axis):
    return np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.LeakyReLU(0.3), lambda x: np.where(x > 0, x, 0.3 * x)),
        (nn.ELU(0.7), lambda x: np.where(x > 0, x, 0.7 * np.expm1(x))),
        (nn.GELU(), lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2),
        (nn.GELU("tanh"), lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2),
        (nn.Softmax(0), lambda x: softmax(x, 0)),
        (nn.LogSoftmax(0), lambda x: np.log(softmax(x, 0))),
        (nn.LayerNorm(4, eps=0.5), lambda x: ((x.T - x.mean(1)) / np.sqrt(x.var(1) + 0.5)).T),
        (nn.BatchNorm1d(4, eps=0.5), lambda x: (x - x.mean(0)) / np.sqrt(x.var(0) + 0.5)),
        (nn.BatchNorm1d(4, eps=0.5).eval(), lambda x: x / np.sqrt(1.5)),
        (nn.Flatten(), lambda x: x),
    ],
    ids=lambda value: repr(value).partition(" at ")[0],
)  # fmt: skip
def test_settings_reach_the_function(layer, expected):
    x = np.random.default_rng(0).standard_normal((5, 4))
    np.testing.assert_allclose(layer(tg.tensor(x)).detach().numpy(), expected(x), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (nn.HuberLoss(0.5), 0.5 * (2 - 0.25)),
        (nn.HuberLoss(3.0, "sum"), 2 * 4 / 2),
        (nn.L1Loss("sum"), 4),
        (nn.MSELoss("none"), [4, 4]),
        (nn.HingeLoss(margin=5.0), 2),
        (nn.BCEWithLogitsLoss(pos_weight=3.0, reduction="sum"), 2 * 3 * math.log1p(math.exp(-3))),
    ],
    ids=repr,
)
def test_settings_reach_the_loss(loss, expected):
    x, target = tg.tensor([3.0, 3.0]), tg.tensor([1.0, 1.0])
    np.testing.assert_allclose(loss(x, target).numpy(), expected, rtol=1e-6)


def test_settings_reach_cross_entropy():
    logits, labels, weight = (
        tg.tensor([[0.0, math.log(3)], [0.0, 0.0]]),
        np.array([0, 1]),
        np.array([1.0, 2.0]),
    )
    a, b = math.log(4), math.log(2)
    for log_probs, loss in ((logits, nn.CrossEntropyLoss), (nn.LogSoftmax()(logits), nn.NLLLoss)):
        assert loss()(log_probs, labels).item() == pytest.approx((a + b) / 2)
        assert loss(weight=weight)(log_probs, labels).item() == pytest.approx((a + 2 * b) / 3)
        assert loss(ignore_index=1)(log_probs, labels).item() == pytest.approx(a)
        assert loss(reduction="none")(log_probs, labels).tolist() == pytest.approx([a, b])
    smooth = nn.CrossEntropyLoss(label_smoothing=0.5, reduction="sum")(logits, labels)
    assert smooth.item() == pytest.approx(0.75 * a + 0.25 * (a - math.log(3)) + b)


def test_hinge_loss_in_closed_form():
    scores = tg.tensor([2.0, 0.25, -1.0], requires_grad=True)
    loss = nn.HingeLoss(margin=1.0, reduction="sum")(scores, np.array([1, 1, -1]))
    loss.backward()
    assert loss.item() == 0.75
    assert scores.grad.tolist() == [0, -1, 0]


def test_batch_norm_counts_and_averages():
    norm = nn.BatchNorm1d(2, momentum=0.25)
    x = np.array([[1.0, 10.0], [3.0, 30.0]], np.float32)
    norm(tg.tensor(x))
    assert norm.num_batches_tracked.item() == 1
    np.testing.assert_allclose(norm.running_mean.numpy(), 0.25 * x.mean(0))
    np.testing.assert_allclose(norm.running_var.numpy(), 0.75 + 0.25 * x.var(0, ddof=1))
    norm.eval()(tg.tensor(x))
    assert norm.num_batches_tracked.item() == 1
    np.testing.assert_allclose(norm.running_mean.numpy(), 0.25 * x.mean(0))


# --- Dropout -----------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_right_share_and_the_mean(p):
    n = 200_000
    with tg.fork_rng(1):
        y = nn.Dropout(p)(tg.ones(n)).numpy()
    kept = y != 0
    assert abs(kept.mean() - (1 - p)) < 5 * math.sqrt(p * (1 - p) / n)
    np.testing.assert_allclose(y[kept], 1 / (1 - p), rtol=1e-6)
    assert abs(y.mean() - 1) < 5 * math.sqrt(p / (1 - p) / n)
    neighbors = np.corrcoef(kept[:-1], kept[1:])[0, 1]
    assert abs(neighbors) < 5 / math.sqrt(n)


def masks(seed, kernels="fast"):
    with tg.fork_rng(seed), tg.use_kernels(kernels):
        layer = nn.Dropout(0.3)
        return [layer(tg.ones(7, 11)).numpy() for _ in range(2)]


def test_dropout_follows_the_seed():
    first, second = masks(5)
    assert np.array_equal(first, masks(5)[0])
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, masks(6)[0])


def test_both_kernel_sets_drop_the_same():
    for fast, reference in zip(masks(5), masks(5, "reference"), strict=True):
        assert np.array_equal(fast, reference)
    x = np.asfortranarray(np.random.default_rng(0).standard_normal((5, 6)))
    with tg.fork_rng(0):
        fast = F.dropout(tg.tensor(x), 0.5)
    with tg.fork_rng(0), tg.use_kernels("reference"):
        reference = F.dropout(tg.tensor(x), 0.5)
    assert np.array_equal(fast.numpy(), reference.numpy())


@pytest.mark.parametrize("kernels", ["fast", "reference"])
def test_the_gradient_of_dropout_has_the_same_mask(kernels):
    x = tg.ones(50, requires_grad=True)
    with tg.use_kernels(kernels):
        y = nn.Dropout(0.4)(x)
        y.sum().backward()
    assert np.array_equal(x.grad.numpy(), y.detach().numpy())


def test_dropout_is_idle_in_evaluation_and_at_zero():
    x = tg.ones(5)
    assert nn.Dropout(0.9).eval()(x) is x
    assert nn.Dropout(0.0)(x) is x


# --- Wrong use ---------------------------------------------------------------------------------


def test_the_documented_message():
    with pytest.raises(errors.ShapeError) as caught:
        nn.Linear(128, 100)(tg.ones(32, 64))
    assert str(caught.value) == (
        "linear: x.shape[-1] must equal weight.shape[1]\n  x       (32, 64)\n  weight  (100, 128)\n"
        "  in Linear(128, 100)"
    )


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: nn.LayerNorm(4)(tg.ones(2, 3)), errors.ShapeError, r"layer_norm: .*\n.*\(2, 3\)\n.*\(4,\)"),
        (lambda: nn.BatchNorm1d(4)(tg.ones(2, 3)), errors.ShapeError, r"BatchNorm1d: .*\n.*\(2, 3\)\n.*4"),
        (lambda: nn.BatchNorm1d(3)(tg.ones(3)), errors.ShapeError, r"\(N, C\)"),
        (lambda: nn.BatchNorm1d(3)(tg.ones(1, 3)), errors.ShapeError, "more than one value for each channel"),
        (lambda: F.batch_norm(tg.ones(4, 3), None, None, [1.0, 2.0]), errors.ShapeError, "weight must have"),
        (lambda: F.batch_norm(tg.ones(4, 3), tg.ones(1), tg.ones(1)), errors.ShapeError, "running_mean must"),
        (lambda: nn.Embedding(4, 2)([0, 4]), errors.IndexingError, r"range\(4\)\n.*0\n.*4"),
        (lambda: nn.Embedding(4, 2)([-1]), errors.IndexingError, r"range\(4\)"),
        (lambda: nn.Embedding(4, 2)(tg.ones(2)), errors.DTypeError, r"integers\n.*float32"),
        (lambda: nn.Dropout(1.0), errors.OptionError, r"p must be in \[0, 1\)\n  p  1.0"),
        (lambda: nn.Dropout(-0.1), errors.OptionError, "-0.1"),
        (lambda: nn.Dropout(math.nan), errors.OptionError, "nan"),
        (lambda: F.dropout(tg.ones(2), 2.0), errors.OptionError, "2.0"),
        (lambda: nn.Linear(0, 2), errors.OptionError, r"sizes must be positive integers\n.*in_features +0"),
        (lambda: nn.Linear("4", 2), errors.OptionError, "positive integers\n.*in_features +'4'"),
        (lambda: nn.Linear(2, 2.0), errors.OptionError, "out_features +2.0"),
        (lambda: nn.Embedding(3, -1), errors.OptionError, "embedding_dim +-1"),
        (lambda: nn.LayerNorm((3, 0)), errors.OptionError, r"normalized_shape\[1\] +0"),
        (lambda: nn.BatchNorm1d("4"), errors.OptionError, "num_features +'4'"),
        (lambda: nn.MSELoss("average")(tg.ones(2), tg.ones(2)), errors.OptionError, "reduction 'average'"),
        (lambda: nn.MSELoss()(tg.ones(3), tg.ones(3, 1)), errors.ShapeError, r"\(3,\)\n.*\(3, 1\)"),
        (lambda: nn.HuberLoss(0.0)(tg.ones(2), tg.ones(2)), errors.OptionError, "delta must be positive"),
        (lambda: nn.CrossEntropyLoss()(tg.ones(2, 3), [0]), errors.ShapeError, r"\(2, 3\)\n.*\(1,\)"),
        (lambda: nn.CrossEntropyLoss()(tg.ones(2, 3), [0, 3]), errors.IndexingError, r"range\(3\)"),
        (lambda: nn.NLLLoss()(tg.ones(3), [0]), errors.ShapeError, r"\(N, C\)"),
        (lambda: nn.GELU("erf")(tg.ones(1)), errors.OptionError, "erf"),
    ],
)  # fmt: skip
def test_wrong_use(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_sizes_may_be_numpy_integers():
    n = np.prod((2, 3))
    assert nn.Linear(n, n)(tg.ones(1, 6)).shape == (1, 6)
    assert nn.LayerNorm(n)(tg.ones(2, 6)).shape == (2, 6)
    assert nn.LayerNorm([2, 3])(tg.ones(5, 2, 3)).shape == (5, 2, 3)
    assert repr(nn.LayerNorm(n)) == "LayerNorm((6,))  # 12 parameters"
    assert nn.Embedding(n, 2)(np.arange(6, dtype=np.uint8)).shape == (6, 2)


# --- A layer and the ReLU behind it ------------------------------------------------------------

JOINED = {
    "small": (lambda: [nn.Linear(5, 4)], (3, 5)),
    "large": (lambda: [nn.Linear(300, 400)], (100, 300)),  # in pieces
    "large, no bias": (lambda: [nn.Linear(400, 300, bias=False)], (2, 50, 400)),
    "tall": (lambda: [nn.Linear(300, 100)], (700, 300)),
    "columns": (lambda: [nn.Conv2d(3, 5, 3, stride=2)], (2, 3, 9, 8)),
    "groups": (lambda: [nn.Conv2d(4, 6, 3, padding="same", groups=2)], (2, 4, 5, 5)),
    "Winograd": (lambda: [nn.Conv2d(16, 16, 3, padding=1)], (2, 16, 9, 7)),
    "at the end": (lambda: [nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8, 9)], (5, 1, 2, 2)),
}  # fmt: skip


@pytest.mark.parametrize("kernels", ["fast", "reference"])
@pytest.mark.parametrize("kind", JOINED)
def test_a_relu_in_the_same_pass_changes_no_bit(kind, kernels):
    layers, shape = JOINED[kind]
    tg.manual_seed(0)
    net = nn.Sequential(*layers(), nn.ReLU())
    apart = nn.ModuleList(net)  # the same layers
    array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found = []
    for together in (True, False):
        x = tg.tensor(array, requires_grad=True)
        net.zero_grad()
        with tg.use_kernels(kernels):
            y = x
            for layer in [net] if together else apart:
                y = layer(y)
            (y * y).sum().backward()
        found.append([y.detach().numpy(), x.grad.numpy(), *(p.grad.numpy() for p in net.parameters())])
    assert (found[0][0] == 0).any()
    assert (found[0][0] > 0).any()
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("hooked", [0, 1])
def test_who_looks_at_a_layer_or_its_relu_sees_both(hooked):
    net = nn.Sequential(nn.Linear(4, 50), nn.ReLU())
    x = tg.ones(1, 4)
    joined = net(x)
    seen = []
    net[hooked].register_forward_hook(lambda layer, args, y: seen.extend([args[0], y]))
    np.testing.assert_array_equal(net(x).detach().numpy(), joined.detach().numpy())
    assert (seen[1 - hooked].detach().numpy() < 0).any()


@pytest.mark.parametrize("replaced", [0, 1])
def test_a_forward_of_its_own_is_called(replaced):
    net = nn.Sequential(nn.Linear(4, 50), nn.ReLU())
    net[replaced].forward = lambda x: tg.ones(1, 50) * -3 if replaced == 0 else x * 0 + 7
    assert set(net(tg.ones(1, 4)).detach().numpy().reshape(-1).tolist()) == {[0.0, 7.0][replaced]}


def test_nan_passes_a_joined_relu():
    net = nn.Sequential(nn.Linear(2, 300), nn.ReLU())
    with tg.no_grad():
        assert np.isnan(net(tg.tensor([[1.0, np.nan]])).numpy()).all()
        assert np.isnan(net(tg.tensor(np.full((4000, 2), np.nan))).numpy()).all()


@pytest.mark.parametrize("call", [F.linear, F.conv2d])
def test_no_other_activation_is_joined(call):
    with pytest.raises(errors.OptionError, match=r"the activation must be 'relu' or None[^\n]*\n.*tanh"):
        call(tg.ones(1, 1, 2, 2), tg.ones(1, 1, 2, 2), activation="tanh")
