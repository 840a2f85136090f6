"""Labels that do not belong to the inputs: nothing in the inputs tells which label they have."""

from __future__ import annotations

from typing import NamedTuple

import numpy

from ...backend.device import to_host
from ...engine.graph import Variable
from ...typing import Array
from .answers import Answer
from .chart import Chart, Place
from .check import Check

LEAST = 200
"""Examples, and answers of the network to examples, from which on they are judged."""

LEAST_OTHERS = 60
"""Examples that are not of the most frequent class: a few of a rare class tell nothing."""

MOST = 512
"""Examples that are kept."""

COLUMNS = 256
"""Numbers of each example that are kept, evenly spaced: for images still a picture."""

FIRST_STEPS = 14
"""Steps at the start whose answers do not count, when the network has learned nothing yet."""

LAST = 300
"""The latest answers, which are judged: earlier ones do not tell how good the network is now."""

CHANCE = 3.0
"""Standard deviations by which neighbors must agree more often than if their labels were drawn at random. Of
600 digits, moons, blobs and linear functions with as much noise as signal they agree by 10 or more."""

COMPARISONS = 10
"""The most comparisons of all examples, which take some milliseconds each."""

DRAWS = 20
"""Permutations of the labels from which mean and deviation of chance are estimated."""

TOKENS = 256
"""The most distinct tokens of sequences that are judged by how often each occurs."""

TOKEN_STEPS = 70
"""Steps before which a network of tokens is not judged: the order of tokens may matter, which counts do not
show, and then the network alone tells that they belong to the labels."""

EXPLAINED = 0.1
"""The share of the variance of the targets that a network explains once it has learned something."""


class _Sample(NamedTuple):
    """Examples that were seen, without repetition, and how well the network answered."""

    inputs: dict[bytes, Array]
    targets: dict[bytes, Array]
    right: list[float]
    chance: list[float]


class UnrelatedLabels(Check):
    """Finds labels that have nothing to do with their inputs.

    Both must be there: the network answers no better than one that does not look at the inputs, and the data
    themselves show no relation: neither does the nearest neighbor of an example tend to have its label, nor
    does a linear function of the inputs tell it.
    """

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.samples: dict[Place, _Sample] = {}
        self.compared = 0

    def backward_begins(self, root: Variable) -> None:
        inputs = self.doctor.inputs
        if len(self.doctor.answers) != 1 or inputs is None:
            return
        answer = self.doctor.answers[0]
        x, output, target = (to_host(a) for a in (inputs, answer.output._data, answer.target))
        if len(x) < 2 or len(x) != len(target) or len(output) != len(target) or x.ndim < 2:
            return
        tokens = x.dtype.kind in "iu"
        if tokens and (x.ndim != 2 or x.min() < 0 or x.max() >= TOKENS):
            return
        if not tokens and x.dtype.kind != "f":
            return
        early = self.doctor.step < (TOKEN_STEPS if tokens else 0)
        if tokens:
            x = _counts(x)
        place = self.doctor.place_of(answer.number)
        sample = self.samples.setdefault(place, _Sample({}, {}, [], []))
        _keep(sample, x, _as_columns(answer, target))
        if self.doctor.step >= FIRST_STEPS:
            self._judge_answers(sample, answer, output, target)
        enough = len(sample.inputs) >= LEAST and len(sample.right) >= LEAST
        if enough and not early and self.compared < COMPARISONS and _ignorant(sample):
            self.compared += 1
            self._compare(sample, answer, place)

    def _judge_answers(self, sample: _Sample, answer: Answer, output: Array, target: Array) -> None:
        """Add how good each answer was, and how good one that ignores the inputs would have been."""
        columns = _as_columns(answer, target)
        if answer.kind == "values":
            if output.shape != target.shape:
                return
            error = (output - target).reshape(len(target), -1)
            sample.right.extend(-(error**2).sum(axis=1))
            sample.chance.extend(-((columns - columns.mean(axis=0)) ** 2).sum(axis=1) * (1 - EXPLAINED))
        else:
            guess = (
                output.argmax(axis=1) if answer.kind == "classes" else (output > 0).reshape(len(output), -1)
            )
            hits = guess == (target if answer.kind == "classes" else columns > 0.5)
            sample.right.extend(hits.reshape(len(target), -1).mean(axis=1))
            shares = numpy.mean(list(sample.targets.values()), axis=0)
            best = shares.max() if answer.kind == "classes" else numpy.maximum(shares, 1 - shares).mean()
            sample.chance.extend([float(best)] * len(target))
        del sample.right[:-LAST], sample.chance[:-LAST]

    def _compare(self, sample: _Sample, answer: Answer, place: Place) -> None:
        """Predict labels by neighbors and by a linear function, and compare with labels drawn at random."""
        x = numpy.array(list(sample.inputs.values()), numpy.float64)
        y = numpy.array(list(sample.targets.values()), numpy.float64)
        if answer.kind != "values" and len(y) * (1 - y.mean(axis=0).max()) < LEAST_OTHERS:
            return
        x, y = _standardized(x), _standardized(y)
        if not y.any():
            return
        deviations = [_beyond_chance(guess, y) for guess in (_neighbors(x, y), _linear(x, y))]
        if self.lasts(("unrelated", place), max(deviations) < CHANCE):
            self._words(place, answer, len(x), max(deviations))

    def _words(self, place: Place, answer: Answer, count: int, deviation: float) -> None:
        name = "targets" if answer.kind == "values" else "labels"
        self.find(
            ("unrelated", place),
            kind="labels-unrelated",
            what=f"the {name} do not seem to belong to the inputs: of {count} examples neither the nearest "
            f"neighbor nor a linear function of the inputs predicts the {name[:-1]} better than chance, and "
            f"neither does the network after {self.doctor.step} steps.",
            where=self.doctor.where(place),
            remedy="look at some pairs with your own eyes. Were inputs or labels shuffled, sorted or "
            "filtered alone? Shuffle both with the same rows: x[rows], y[rows].",
            evidence=f"{deviation:.1f} standard deviations better than {name} drawn at random, "
            f"reported below {CHANCE:g} from {LEAST} examples on",
        )


def _keep(sample: _Sample, x: Array, columns: Array) -> None:
    flat = x.reshape(len(x), -1)
    step = -(-flat.shape[1] // COLUMNS)
    for row, target in zip(flat[:, ::step], columns, strict=True):
        if len(sample.inputs) < MOST and (key := row.tobytes()) not in sample.inputs:
            sample.inputs[key], sample.targets[key] = row.copy(), target


def _counts(tokens: Array) -> Array:
    """Return for each sequence how often each token occurs in it."""
    counts = numpy.zeros((len(tokens), TOKENS), numpy.float32)
    numpy.add.at(counts, (numpy.arange(len(tokens))[:, None], tokens), 1)
    return counts


def _as_columns(answer: Answer, target: Array) -> Array:
    """Return targets as rows of numbers: of classes, one for each."""
    if answer.kind == "classes":
        return numpy.eye(answer.output._data.shape[1])[numpy.clip(target, 0, None)]
    return target.reshape(len(target), -1).astype(numpy.float64)


def _ignorant(sample: _Sample) -> bool:
    """Return whether the answers are no better than if the network ignored the inputs."""
    gain = numpy.subtract(sample.right, sample.chance)
    return bool(gain.mean() < 2 * gain.std() / len(gain) ** 0.5)


def _standardized(values: Array) -> Array:
    spread = values.std(axis=0)
    return (values - values.mean(axis=0)) / numpy.where(spread > 0, spread, 1)


def _neighbors(x: Array, y: Array) -> Array:
    """Return for each example the targets of the nearest other one."""
    lengths = (x * x).sum(axis=1)
    distances = lengths[:, None] + lengths - 2 * x @ x.T
    numpy.fill_diagonal(distances, numpy.inf)
    nearest: Array = y[distances.argmin(axis=1)]
    return nearest


def _linear(x: Array, y: Array) -> Array:
    """Return the targets that a linear function, fitted to the other half of the examples, gives each."""
    guess, even = numpy.empty_like(y), numpy.arange(len(x)) % 2 == 0
    for half in (even, ~even):
        product = x[~half].T @ x[~half] + len(x) / 20 * numpy.eye(x.shape[1])
        guess[half] = x[half] @ numpy.linalg.solve(product, x[~half].T @ y[~half])
    return guess


def _beyond_chance(guess: Array, y: Array) -> float:
    """Return by how many standard deviations guesses fit their targets better than permuted ones."""
    rng = numpy.random.default_rng(0)
    draws = [float((guess * y[rng.permutation(len(y))]).sum()) for _ in range(DRAWS)]
    return (float((guess * y).sum()) - float(numpy.mean(draws))) / max(float(numpy.std(draws)), 1e-12)
