"""What an operation depends on may be changed before the backward pass: the gradient is right, or refused.

Tensors have a version: where the gradient would be wrong, an error names the operation. Raw arrays and lists
have none: what a rule needs of them is copied.
"""

from __future__ import annotations

import numpy as np
import pytest
from cases import CASES, weighted
from layers import LAYERS, build

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import errors, nn
from tinygrad_adam.engine.events import Watcher, watch
from tinygrad_adam.engine.graph import Variable

X = np.arange(12.0).reshape(4, 3) / 7 - 0.5
"""What is differentiated."""

LABELS, WEIGHTS = [0, 1, 2, 1], [1.0, 2.0, 3.0]


def smoothed(x, labels, weight=None):
    return F.cross_entropy(x, labels, weight, label_smoothing=0.1)


def likelihood(x, labels, weight=None):
    return F.nll_loss(F.log_softmax(x, axis=1), labels, weight)


# The function, what else it is given, and what the error says of a Tensor; None where nothing is kept.
TABLE = {
    "getitem": (lambda x, i: x[i], LABELS, "getitem: index"),
    "getitem of several": (lambda x, i: x[:, i], [0, 1], "getitem: index"),
    "getitem by a pair": (lambda x, i: x[i, [0, 1, 2, 0]], LABELS, "getitem: index"),
    "getitem by a number": (lambda x, i: x[i], 2, "getitem: index"),
    "getitem by a mask": (lambda x, i: x[i], [True, False, True, False], "getitem: index"),
    "getitem by a slice": (lambda x, i: x[i:], 2, None),
    "take_along_axis": (lambda x, i: tg.take_along_axis(x, i, 0), [LABELS[:3]], "take_along_axis: indices"),
    "embedding": (lambda x, i: F.embedding(i, x), LABELS, "embedding: indices"),
    "sparse embedding": (lambda x, i: F.embedding(i, x, sparse=True), LABELS, "embedding: indices"),
    "cross_entropy": (F.cross_entropy, LABELS, "softmax_cross_entropy: labels"),
    "smoothed": (smoothed, LABELS, "cross_entropy: target"),
    "weighted": (lambda x, w: F.cross_entropy(x, LABELS, w), WEIGHTS, "softmax_cross_entropy: class_weight"),
    "weighted and smoothed": (lambda x, w: smoothed(x, LABELS, w), WEIGHTS, "cross_entropy: weight"),
    "cross_entropy of probabilities": (F.cross_entropy, X + 0.5, "soft_cross_entropy: q"),
    "nll_loss": (likelihood, LABELS, "nll_loss: target"),
    "nll_loss, weighted": (lambda x, w: likelihood(x, LABELS, w), WEIGHTS, "nll_loss: weight"),
    "mse_loss": (F.mse_loss, X[::-1] + 0.1, "squared_error: target"),
    "binary_cross_entropy": (
        F.binary_cross_entropy_with_logits, X + 0.5, "binary_cross_entropy: target"),
    "where": (lambda x, c: tg.where(c, x, x * 2.0), X > 0.3, "where: condition"),
    "multiply": (lambda x, a: x * a, X + 2.0, "multiply: b"),
    "add": (lambda x, a: x + a, X + 2.0, None),
    "multiply, turned": (lambda x, a: a * x, X + 2.0, "multiply: a"),
    "linear": (lambda x, a: F.linear(a, x), X + 2.0, "linear: x"),
    "einsum": (lambda x, a: tg.einsum("ij,kj->ik", a, x), X + 2.0, "einsum: operands"),
}  # fmt: skip
NO_LISTS = {"getitem by a number", "getitem by a slice", "multiply, turned", "linear", "einsum"}
ROWS = [
    (name, kind)
    for name in TABLE
    for kind in (np.array, tg.tensor, list)
    if kind is not list or name not in NO_LISTS
]
NOT_RECORDED = {"getitem by a mask", "getitem by a slice"}  # shapes depend on numbers


def of(kind, value):
    return np.array(value).tolist() if kind is list else kind(np.array(value))


def spoil(thing) -> None:
    """Change what was given in place, to something that is as valid."""
    if isinstance(thing, list):
        thing[:] = changed(np.array(thing)).tolist()
    else:
        thing[...] = changed(thing.data if isinstance(thing, Variable) else thing)


def changed(array):
    return array * 0.5 + 0.25 if array.dtype.kind == "f" else np.zeros_like(array)


def gradient(function, given, between=lambda: None):
    x = tg.tensor(X, requires_grad=True)
    y = weighted(function(x, given))
    between()
    y.backward()
    return dense(x.grad)


def dense(g):
    return g.to_dense() if isinstance(g, tg.RowSparse) else g.data


@pytest.mark.parametrize(("name", "kind"), ROWS)
def test_a_change(name, kind):
    function, value, refusal = TABLE[name]
    value = of(kind, value)
    if kind is tg.tensor and refusal is not None:
        with pytest.raises(errors.GraphError, match=rf"^{refusal} was changed in place"):
            gradient(function, value, lambda: spoil(value))
    else:
        wanted = gradient(function, value)
        np.testing.assert_array_equal(gradient(function, value, lambda: spoil(value)), wanted)


@pytest.mark.parametrize(("name", "kind"), [row for row in ROWS if row[0] not in NOT_RECORDED])
def test_a_change_between_recorded_passes(name, kind):
    """A replay takes what the function would take: what is there now."""
    function, value, _ = TABLE[name]
    value = of(kind, value)
    x = tg.tensor(X, requires_grad=True)
    training_pass = tg.recorded(lambda: weighted(function(x, value)))
    for call in range(5):
        if call == 3:
            spoil(value)
        x.grad = None
        loss = training_pass()
        np.testing.assert_array_equal(dense(x.grad), gradient(function, value))
        assert loss.item() == weighted(function(x, value)).item()
    assert training_pass._programs


def test_a_setting_of_an_operation_of_ones_own():
    @tg.primitive(a=lambda g, masks, unlike: g * masks[0] * unlike[0][0])
    def masked(xp, a, *, masks, unlike):
        return a * masks[0] * unlike[0][0]

    x, mask, other = tg.tensor([1.0, 2.0], requires_grad=True), np.array([2.0, 0.0]), np.array([3.0])
    unlike = [(other,)]
    y = masked(x, masks=(mask, "name"), unlike=unlike).sum()
    mask += 1
    other += 1
    unlike.clear()
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [6.0, 0.0])


def test_between_the_first_and_the_second_derivative():
    x, w, i = tg.tensor(X, requires_grad=True), tg.ones(3, 3, requires_grad=True), tg.tensor([0, 1, 1])
    (first,) = tg.grad((x[i] * w).sum(), [x], create_graph=True)
    i += 1
    (second,) = tg.grad((first * X).sum(), [w])
    np.testing.assert_array_equal(second.data, X[[0, 1, 1]].astype("float32"))


def test_a_copy_lies_in_memory_as_the_array_did():
    """So that what is added up in the order of memory rounds as in a replay."""
    x = tg.tensor(np.random.default_rng(0).standard_normal((8, 9, 10)), requires_grad=True)
    beside = np.random.default_rng(1).standard_normal((10, 9, 8)).T
    y = x * beside
    assert y.node.saved["b"].strides == beside.strides
    assert not np.shares_memory(y.node.saved["b"], beside)


# --- Everything that passes by -------------------------------------------------------------------


class Everything(Watcher):
    """Collects what operations and functions aside are given: raw arrays and leaves."""

    def __init__(self):
        self.arrays, self.variables = {}, {}

    def operation(self, primitive, args, settings, output):
        self.collect(args)
        self.collect(tuple(settings.values()))

    def aside(self, function, args, result):
        if not function.__name__.startswith(("_moments", "_count")):  # those move running averages
            self.collect(args)

    def collect(self, things):
        for thing in things:
            if isinstance(thing, np.ndarray) and thing.flags.writeable and thing.size:
                self.arrays[id(thing)] = thing
            elif isinstance(thing, Variable) and thing.node is None and thing.size:
                self.variables[id(thing)] = thing
            elif isinstance(thing, tuple | list):
                self.collect(thing)


def check_everything(function, leaves):
    """Change each thing that passed by in turn; the gradients stay as they are, or are refused."""

    def gradients(spoiled=None):
        watcher = Everything()
        for leaf in leaves:
            leaf.grad = None
        with tg.fork_rng(0), watch(watcher):
            y = weighted(function())
        things = [*watcher.arrays.values(), *watcher.variables.values()]
        if spoiled is not None:
            thing = things[spoiled]
            before = np.array(thing.data if isinstance(thing, Variable) else thing)
            with tg.no_grad():
                try:
                    spoil(thing)
                except ValueError:  # it shares memory with itself
                    return None, things
        try:
            y.backward()
        except errors.GraphError as error:
            assert "changed in place" in str(error)  # noqa: PT017 (one of two outcomes)
            assert isinstance(things[spoiled], Variable)
            return None, things
        finally:
            if spoiled is not None:
                with tg.no_grad():
                    thing[...] = before
        return [None if p.grad is None else np.array(dense(p.grad)) for p in leaves], things

    with np.errstate(all="ignore"):
        wanted, things = gradients()
        for number in range(len(things)):
            got, _ = gradients(number)
            if got is not None:
                for a, b in zip(got, wanted, strict=True):
                    np.testing.assert_array_equal(a, b)


def some(rows):
    """Let the first row of each name run by default."""
    first = {row.name: row for row in reversed(rows)}.values()
    return [row if row in first else pytest.param(row, marks=pytest.mark.slow) for row in rows]


@pytest.mark.parametrize("case", some([c for c in CASES if c.differentiable]), ids=str)
def test_every_operation(case):
    arrays = case.arrays()
    for place in {0, len(arrays) - 1}:
        leaf = tg.tensor(arrays[place], requires_grad=True)
        for others in ([np.array(a) for a in arrays], [tg.tensor(a) for a in arrays]):
            others[place] = leaf
            check_everything(lambda given=others: case.function(*given), [leaf])


@pytest.mark.parametrize("layer", some([layer for layer in LAYERS if layer.name != "SparseLinear"]), ids=str)
def test_every_layer(layer):
    rng = np.random.default_rng(4)
    module = build(layer)
    anchor = nn.Parameter(tg.ones(1, dtype=np.float64))  # losses have no parameters
    given = [tg.tensor(array) for array in (*layer.inputs(rng), *layer.constants(rng))]
    check_everything(lambda: module(*given) * anchor, [anchor, *module.parameters()])
