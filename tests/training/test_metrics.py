"""Metrics of unusual outputs: integers, ties, NaN, single columns; by hand and by sorting."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam.errors import OptionError, ShapeError
from tinygrad_adam.training import Accuracy, MeanAbsoluteError, MeanSquaredError, Metric


def value(metric, output, target):
    metric.update(tg.tensor(output), tg.tensor(target))
    return metric.value


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.int8, np.uint16, np.int64, np.uint64])
def test_errors_of_integers_do_not_wrap(kind):
    output, target = np.array([0, 1], kind), np.array([1, 0], kind)
    assert value(MeanAbsoluteError(), output, target) == 1
    assert value(MeanSquaredError(), output, target) == 1
    assert value(MeanAbsoluteError(), output, np.array([0.5, 0.5])) == 0.5
    if kind is not np.bool_:
        assert value(MeanSquaredError(), np.array([100, 0], kind), np.array([0, 100], kind)) == 10_000
    if kind in (np.int64, np.uint64):
        assert value(MeanAbsoluteError(), np.array([2**40], kind), np.array([2**40 + 1], kind)) == 1


@pytest.mark.parametrize("top", [1, 2, 3, 5])
def test_accuracy_by_sorting(top):
    """Of equal outputs those of the lower classes come first, as for argmax."""
    rng = np.random.default_rng(top)
    for kind in (np.float32, np.int64, np.uint8):
        output = rng.integers(0, 4, (200, 5)).astype(kind)
        target = rng.integers(-2, 7, 200)
        best = np.argsort(-output.astype(float), axis=1, kind="stable")[:, :top]
        wanted = np.mean([t in row for t, row in zip(target, best, strict=True)])
        assert value(Accuracy(top), output, target) == pytest.approx(wanted)


def test_accuracy_of_nan():
    rows = [[math.nan] * 3, [0.0, math.nan, 1.0], [math.nan, 5.0, 1.0], [0.0, 1.0, 2.0]]
    for label in range(3):
        assert value(Accuracy(), rows, [label] * 4) == (label == 2) / 4
    assert value(Accuracy(2), [[math.nan] * 3] * 3, [0, 1, 2]) == 0
    assert value(Accuracy(3), [[math.nan] * 3] * 3, [0, 1, 2]) == 0
    assert value(Accuracy(2), [[-math.inf, 0.0, 1.0]] * 3, [0, 1, 2]) == pytest.approx(2 / 3)


def test_accuracy_of_other_shapes():
    assert value(Accuracy(2), [[[0.0, 1.0, 2.0]] * 2] * 2, [[0, 1], [2, 2]]) == 0.75
    assert value(Accuracy(), [0.0, 1.0], 1) == 1


@pytest.mark.parametrize("target", [[0, 1, 1], [[0], [1], [1]]])
@pytest.mark.parametrize("top", [1, np.int64(5)])
def test_a_single_column_is_refused(top, target):
    with pytest.raises(ShapeError, match=r"at least two classes.*\(output > 0\) == target"):
        value(Accuracy(top), [[0.3], [-0.2], [0.1]], target)


def test_a_single_number_is_refused():
    with pytest.raises(ShapeError, match="at least two classes"):
        value(Accuracy(), 0.3, 1)


def test_the_binary_metric_that_the_message_names():
    class BinaryAccuracy(Metric):
        def scores(self, output, target):
            return (output > 0) == target

    assert value(BinaryAccuracy(), [[0.3], [-0.2], [0.1]], [[1], [1], [1]]) == pytest.approx(2 / 3)


def test_top_may_be_an_integer_of_numpy():
    assert Accuracy(top=np.int64(5)).top == 5
    for top in (True, 0, 2.0, np.float64(2)):
        with pytest.raises(OptionError, match="Accuracy: top must be an integer >= 1"):
            Accuracy(top)
