"""Losses at their edges: nothing that counts, integers, large logits, wrong arguments; by closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import nn, optim
from tinygrad_adam.errors import DTypeError, ShapeError
from tinygrad_adam.ops.classification import row_weights

KERNELS = ("fast", "reference")
OF_ELEMENTS = (
    "mse_loss", "l1_loss", "huber_loss", "hinge_loss", "kl_div", "binary_cross_entropy_with_logits",
)  # fmt: skip

# --- Nothing counts --------------------------------------------------------------------------

SETTINGS = {
    "labels": (F.cross_entropy, {}),
    "smoothed": (F.cross_entropy, {"label_smoothing": 0.1}),
    "weighted": (F.cross_entropy, {"weight": [0.5, 1.0, 2.0]}),
    "weighted, smoothed": (F.cross_entropy, {"weight": [0.5, 1.0, 2.0], "label_smoothing": 0.1}),
    "nll_loss": (F.nll_loss, {}),
    "nll_loss, weighted": (F.nll_loss, {"weight": [0.5, 1.0, 2.0]}),
}
OF_NOTHING = {"mean": math.nan, "sum": 0.0, "none": [0.0, 0.0]}


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("reduction", OF_NOTHING)
@pytest.mark.parametrize("name", SETTINGS)
def test_a_batch_without_a_valid_label_has_no_gradient(name, reduction, kernels):
    function, settings = SETTINGS[name]
    for rows in ([[1.0, 2.0, 3.0], [0.0, 0.0, 1e30]], [[math.nan, 1.0, 2.0], [math.nan] * 3]):
        z = tg.tensor(rows, requires_grad=True)
        with tg.use_kernels(kernels):
            loss = function(z, [-100, -100], reduction=reduction, **settings)
            (first,) = (g := tg.grad(loss.sum(), [z], create_graph=True))
            second = tg.grad((first * first).sum() + loss.sum(), z)
        np.testing.assert_array_equal(loss.data, np.float32(OF_NOTHING[reduction]))
        for gradient in (*g, second):
            np.testing.assert_array_equal(gradient.data, np.zeros((2, 3)))


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", ["labels", "smoothed", "nll_loss"])
def test_weights_that_sum_to_zero(name, kernels):
    function, settings = SETTINGS[name]
    z = tg.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]], requires_grad=True)
    with tg.use_kernels(kernels):
        loss = function(z, [1, 1], weight=[1.0, 0.0, 1.0], **settings)
        loss.backward()
    assert math.isnan(loss.item())
    np.testing.assert_array_equal(z.grad.data, np.zeros((2, 3)))


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("reduction", OF_NOTHING)
@pytest.mark.parametrize("name", SETTINGS)
def test_what_an_ignored_row_holds_reaches_nothing(name, reduction, kernels):
    """The loss and the gradient are those of the rows that count."""
    function, settings = SETTINGS[name]
    rows = np.array([[1.0, 2.0, 3.0], [0.5, 0.0, -1.0], [2.0, 1.0, 0.0]])
    labels = np.array([2, -100, 0])

    def results(values, chosen):
        z = tg.tensor(values[chosen], requires_grad=True)
        loss = function(z, labels[chosen], reduction=reduction, **settings)
        total = loss.sum()
        (first,) = tg.grad(total, [z], create_graph=True)
        return loss.data, first.data, tg.grad((first * first).sum() + total, z).data

    for bad in ([math.nan, 0.0, 1.0], [0.0, math.inf, 1.0], [-math.inf] * 3):
        with tg.use_kernels(kernels), np.errstate(invalid="ignore"):
            rows[1] = bad
            loss, first, second = results(rows, [0, 1, 2])
            alone = results(rows, [0, 2])
        np.testing.assert_allclose(loss[[0, 2]] if loss.ndim else loss, alone[0], rtol=1e-14)
        for gradient, wanted in ((first, alone[1]), (second, alone[2])):
            np.testing.assert_allclose(gradient[[0, 2]], wanted, rtol=1e-14, atol=1e-15)
            np.testing.assert_array_equal(gradient[1], 0)


def test_a_step_of_adam_on_such_a_batch_keeps_the_weights():
    layer = nn.Linear(2, 3)
    before = layer.weight.data.copy()
    opt = optim.Adam(layer.parameters())
    F.cross_entropy(layer(tg.ones((2, 2))), [-100, -100]).backward()
    opt.step()
    np.testing.assert_array_equal(layer.weight.data, before)


@pytest.mark.parametrize("kernels", KERNELS)
def test_a_recorded_pass_meets_a_batch_without_labels(kernels):
    layer = nn.Linear(2, 3)
    for settings in ({}, {"label_smoothing": 0.1}):
        training_pass = tg.recorded(lambda x, y, s=settings: F.cross_entropy(layer(x), y, **s))
        for labels in ([0, 2], [1, -100], [-100, -100], [2, 1], [-100, -100]):
            layer.zero_grad()
            x, y = tg.ones((2, 2)), tg.tensor(labels)
            with tg.use_kernels(kernels):
                loss = training_pass(x, y)
                wanted = F.cross_entropy(layer(x), y, **settings)
                gradient = tg.grad(wanted, layer.weight)
            np.testing.assert_array_equal(loss.data, wanted.data)
            np.testing.assert_array_equal(layer.weight.grad.data, gradient.data)
            assert np.isfinite(gradient.data).all()


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none", "batchmean"])
def test_an_empty_batch(reduction, kernels):
    wanted = {"mean": math.nan, "batchmean": math.nan, "sum": 0.0, "none": np.zeros(0)}[reduction]
    calls = [(getattr(F, name), np.zeros((0, 3))) for name in OF_ELEMENTS]
    calls += [(F.cross_entropy, np.zeros((0, 3))), (F.nll_loss, np.zeros(0, int))]
    calls += [
        (lambda *a, s=s, **k: F.cross_entropy(*a, **s, **k), np.zeros(0, int)) for _, s in SETTINGS.values()
    ]
    if reduction == "batchmean":
        calls = [(F.kl_div, np.zeros((0, 3)))]
    for function, target in calls:
        x = tg.zeros((0, 3), requires_grad=True)
        with tg.use_kernels(kernels):
            loss = function(x, target, reduction=reduction)
            loss.sum().backward()
        np.testing.assert_array_equal(loss.data.sum(axis=-1) if loss.ndim > 1 else loss.data, wanted)
        assert loss.dtype == np.float32
        assert x.grad.shape == (0, 3)


# --- Integers and truth values ---------------------------------------------------------------

INTEGERS = [np.bool_, np.uint8, np.int8, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
BY_HAND = {
    "mse_loss": lambda x, t: (x - t) ** 2,
    "l1_loss": lambda x, t: np.abs(x - t),
    "huber_loss": lambda x, t: np.where(np.abs(x - t) <= 1, (x - t) ** 2 / 2, np.abs(x - t) - 0.5),
    "hinge_loss": lambda x, t: np.maximum(0, 1 - t * x),
    "kl_div": lambda x, t: np.where(t > 0, t * (np.log(np.where(t > 0, t, 1)) - x), 0),
    "binary_cross_entropy_with_logits": lambda x, t: np.logaddexp(0, x) - t * x,
}


@pytest.mark.parametrize("kind", INTEGERS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("name", OF_ELEMENTS)
def test_an_input_of_integers_neither_cuts_nor_wraps(name, kind):
    x = np.array([0, 1, 0]) if kind is np.bool_ else np.array([0, 3, 200]).astype(kind).astype(np.int64)
    for t in (
        ([1.0, -1.0, -1.0],) if name == "hinge_loss" else ([0.75, 0.25, 1.0], [1, 0, 1], [True, False, True])
    ):
        wanted = BY_HAND[name](x.astype(float), np.asarray(t, float))
        for given in (tg.tensor(x.astype(kind)), x.astype(kind)):
            loss = getattr(F, name)(given, t, reduction="none")
            assert loss.dtype.kind == "f"
            np.testing.assert_allclose(np.asarray(getattr(loss, "data", loss)), wanted, rtol=1e-6, atol=1e-80)


@pytest.mark.parametrize("name", [name for name in OF_ELEMENTS if name != "hinge_loss"])
@pytest.mark.parametrize("kind", INTEGERS, ids=lambda kind: kind.__name__)
def test_a_target_of_integers_keeps_the_dtype_of_the_input(name, kind):
    x, t = np.array([0.25, 0.75]), np.array([1, 0]).astype(kind)
    for dtype in (np.float32, np.float64):
        loss = getattr(F, name)(tg.tensor(x, dtype=dtype), tg.tensor(t), reduction="none")
        assert loss.dtype == dtype
        np.testing.assert_allclose(loss.data, BY_HAND[name](x, t.astype(float)), rtol=1e-6)


def test_large_integers_keep_their_digits():
    assert F.l1_loss(tg.tensor([2**24 + 1]), [2**24]).item() == 1
    assert F.mse_loss(tg.tensor([3, 4]), tg.tensor([3.9, 4.9])).item() == pytest.approx(0.81, rel=1e-6)
    assert F.mse_loss(tg.tensor([1], dtype="uint8"), tg.tensor([2], dtype="uint8")).item() == 1


def test_the_gradient_of_the_target_beside_integers():
    t = tg.tensor([3.9, 4.9], requires_grad=True)
    F.mse_loss(tg.tensor([3, 4]), t).backward()
    assert t.grad.dtype == np.float32
    np.testing.assert_allclose(t.grad.data, [0.9, 0.9], rtol=1e-6)


@pytest.mark.parametrize("kind", INTEGERS[1:], ids=lambda kind: kind.__name__)
def test_labels_of_any_integer_type(kind):
    z = tg.tensor([[0.0, 1.0, 2.0], [2.0, 0.0, 1.0]], requires_grad=True)
    log_probs = F.log_softmax(z)
    for settings in ({}, {"label_smoothing": 0.1}, {"weight": [1.0, 2.0, 3.0]}):
        wanted = F.cross_entropy(z, [2, 1], **settings).item()
        assert F.cross_entropy(z, np.array([2, 1], kind), **settings).item() == wanted
    assert F.nll_loss(log_probs, np.array([2, 1], kind)).item() == F.nll_loss(log_probs, [2, 1]).item()


# --- Large logits ----------------------------------------------------------------------------


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("offset", [0.0, 1e6, -1e6, 2.0**23])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_does_not_feel_an_offset(smoothing, offset, kernels):
    # log(e^0 + e^1 + e^2) = 2.40760596, and q is 1 - 0.1 + 0.1 / 3 for the label.
    total = math.log(1 + math.e + math.e**2)
    q = np.array([smoothing / 3, 1 - smoothing * 2 / 3, smoothing / 3])
    minus_log = total - np.arange(3.0)
    loss = float(q @ minus_log)
    assert loss == pytest.approx(1.40761, abs=1e-5)
    with tg.use_kernels(kernels):
        z = tg.tensor([offset + np.arange(3.0)], dtype="float32", requires_grad=True)
        given = F.cross_entropy(z, [1], label_smoothing=smoothing)
        given.backward()
        assert given.item() == pytest.approx(loss, rel=1e-6)
        np.testing.assert_allclose(z.grad.data[0], np.exp(-minus_log) - q, rtol=1e-5, atol=1e-7)
        soft = tg.tensor([[0.0, 1.0, 0.0]], requires_grad=True)
        z.grad = None
        given = F.cross_entropy(z, soft, label_smoothing=smoothing)
        given.backward()
        assert given.item() == pytest.approx(loss, rel=1e-6)
        np.testing.assert_allclose(z.grad.data[0], np.exp(-minus_log) - q, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(soft.grad.data[0], (1 - smoothing) * minus_log, rtol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e6])
def test_softmax_and_its_relatives_do_not_feel_an_offset(offset):
    x = tg.tensor(offset + np.arange(3.0), dtype="float32", requires_grad=True)
    p = np.exp(np.arange(3.0)) / np.exp(np.arange(3.0)).sum()
    np.testing.assert_allclose(F.softmax(x).data, p, rtol=1e-6)
    np.testing.assert_allclose(F.log_softmax(x).data, np.log(p), rtol=1e-6)
    F.nll_loss(F.log_softmax(x[None]), [1]).backward()
    np.testing.assert_allclose(x.grad.data, p - [0, 1, 0], rtol=1e-6)
    x.grad = None
    x.logsumexp().backward()
    np.testing.assert_allclose(x.grad.data, p, rtol=1e-6)


def test_a_class_that_is_ruled_out():
    """Logits of minus infinity cost nothing where the probability is 0."""
    z = tg.tensor([[0.0, 1.0, -math.inf]], requires_grad=True)
    loss = F.cross_entropy(z, [[0.5, 0.5, 0.0]])
    loss.backward()
    assert loss.item() == pytest.approx(math.log(1 + math.e) - 0.5, rel=1e-6)
    np.testing.assert_allclose(
        z.grad.data, [[1 / (1 + math.e) - 0.5, math.e / (1 + math.e) - 0.5, 0]], rtol=1e-5
    )
    assert F.kl_div(tg.tensor([0.0, -math.inf]), [1.0, 0.0]).item() == 0


LOGITS = [-700.0, -100.0, -30.0, -17.0, -15.0, -1.0, 0.0, 1.0, 15.0, 17.0, 30.0, 100.0, 700.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pos_weight", [None, 3.0, np.float64(3.0), [3.0]])
def test_binary_cross_entropy_far_out(pos_weight, dtype):
    """The gradient is sigmoid(x) for target 0 and -pos_weight * sigmoid(-x) for 1, to the last digits."""
    factor = 1 if pos_weight is None else 3
    sizes = np.array([math.exp(-abs(v)) for v in LOGITS])
    logistic = np.where(np.array(LOGITS) < 0, sizes, 1) / (1 + sizes)
    softplus = np.maximum(LOGITS, 0) + np.log1p(sizes)
    for target, gradient, value in (
        (0, logistic, softplus),
        (1, -factor * logistic[::-1], factor * softplus[::-1]),
    ):
        x = tg.tensor(LOGITS, dtype=dtype, requires_grad=True)
        loss = F.binary_cross_entropy_with_logits(
            x, np.full(len(LOGITS), target), pos_weight=pos_weight, reduction="none"
        )
        loss.sum().backward()
        assert loss.dtype == dtype
        eps, tiny = 4 * np.finfo(dtype).eps, np.finfo(dtype).tiny
        np.testing.assert_allclose(loss.data, value, rtol=eps, atol=tiny)
        np.testing.assert_allclose(x.grad.data, gradient, rtol=eps, atol=tiny)
    y = tg.tensor([-15.0, -17.0, -30.0], dtype=dtype, requires_grad=True)
    for function, slope in (
        (F.softplus, 1 / (1 + np.exp([15.0, 17.0, 30.0]))),
        (F.sigmoid, np.exp([-15.0, -17.0, -30.0]) / (1 + np.exp([-15.0, -17.0, -30.0])) ** 2),
        (F.elu, np.exp([-15.0, -17.0, -30.0])),
        (tg.expm1, np.exp([-15.0, -17.0, -30.0])),
    ):
        y.grad = None
        function(y).sum().backward()
        np.testing.assert_allclose(y.grad.data, slope, rtol=1e-6)


# --- Wrong arguments -------------------------------------------------------------------------

EVERY = (*OF_ELEMENTS, "cross_entropy", "nll_loss")


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("given", [[[1.0, 2.0]], [True], 1.0, None])
def test_an_input_without_a_shape_is_refused_by_name(name, given):
    with pytest.raises(DTypeError, match=rf"{name}: \w+ must be a Tensor or an array"):
        getattr(F, name)(given, [1])


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    "given", [["a"], [[1.0], [1.0, 2.0]], None, np.ma.masked_array([[1.0, 2.0]], [[1, 0]])]
)
def test_a_target_of_no_numbers_is_refused_by_name(name, given):
    with pytest.raises((DTypeError, ShapeError), match=name):
        getattr(F, name)(tg.zeros((1, 2)), given)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
@pytest.mark.parametrize("kind", INTEGERS, ids=lambda kind: kind.__name__)
def test_logits_of_integers_are_refused(name, kind):
    with pytest.raises(DTypeError, match=f"{name}: log.* must be floats"):
        getattr(F, name)(tg.tensor(np.zeros((1, 2), kind)), [1])


@pytest.mark.parametrize("target", [[True, False], np.array([1, 0], np.uint8)])
def test_hinge_loss_refuses_zeros_and_ones(target):
    with pytest.raises(DTypeError, match=r"must be -1 or 1; make them of 0 and 1"):
        F.hinge_loss(tg.tensor([1.0, 2.0]), target)


def test_other_refusals():
    with pytest.raises(DTypeError, match="cross_entropy: labels must be integers"):
        F.cross_entropy(tg.zeros((2, 2)), [True, False])
    with pytest.raises(ShapeError, match="nll_loss: weight must have one entry for each class"):
        F.nll_loss(tg.zeros((2, 2)), [0, 1], weight=[1.0])
    with pytest.raises(ShapeError, match="'batchmean' needs an axis"):
        F.kl_div(tg.tensor(0.0), 1.0, reduction="batchmean")


@pytest.mark.parametrize(
    "loss",
    [nn.CrossEntropyLoss(ignore_index=np.int64(1), label_smoothing=np.float32(0.5)),
     nn.HuberLoss(delta=np.float64(0.5)), nn.HingeLoss(margin=np.float32(2))],
)  # fmt: skip
def test_settings_may_be_numbers_of_numpy(loss):
    x = tg.tensor([[0.0, 1.0], [2.0, 3.0]])
    target = [0, 1] if isinstance(loss, nn.CrossEntropyLoss) else [[1, -1], [1, 1]]
    plain = type(loss)(
        **{name: getattr(value, "item", lambda v=value: v)() for name, value in loss.settings.items()}
    )
    assert loss(x, target).dtype == np.float32
    assert loss(x, target).item() == plain(x, target).item()


def test_row_weights():
    labels = np.array([0, 2, -100, 2])
    row, column = row_weights(np, labels, 3, np.array([1.0, 2.0, 3.0]), -100, "mean", np.float64)
    np.testing.assert_allclose(row, [1 / 7, 3 / 7, 0, 3 / 7])
    assert column.tolist() == [0, 2, 0, 2]
