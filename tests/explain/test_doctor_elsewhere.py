"""Faults in networks and loops that were not used while the checks were built, and their remedies applied.

Each fault is planted in three networks and two loops: a loop of one's own and a Trainer.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from elsewhere import (
    CLASSES,
    EPOCHS,
    LOOPS,
    NUMBERS,
    ON_ONES_OWN,
    TWO,
    Run,
    blobs,
    brightness,
    mixture,
    moons,
    own_loop,
    spirals,
    surface,
)

import tinygrad_adam as tg
from tinygrad_adam import nn, optim
from tinygrad_adam.errors import NonFiniteError
from tinygrad_adam.nn import functional as F

# --- The faults --------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """A fault, what it does to a healthy run, and the remedy where it is another run than the healthy one.

    Attributes
    ----------
    kind : str
    plant : callable
        ``plant(run)`` returns the run with the fault.
    tasks : dict
        The healthy runs.
    also : set of str
        Other kinds that are true of such a run.
    cure : callable, optional
        ``cure(run)``, as the remedy says, if it does not lead back to the healthy run.
    loops : tuple of str
    """

    kind: str
    plant: Callable[[Run], Run]
    tasks: dict[str, Callable[[], Run]]
    also: frozenset[str] = frozenset()
    cure: Callable[[Run], Run] | None = None
    loops: tuple[str, ...] = TWO


FAULTS: dict[str, Fault] = {}


def fault(kind, tasks, also=(), cure=None, loops=TWO):
    def enter(plant):
        FAULTS[plant.__name__] = Fault(kind, plant, tasks, frozenset(also), cure, loops)
        return plant

    return enter


UPSET = {
    "dead-relu", "saturated", "exploding-gradient", "large-updates", "learning-rate-high", "not-finite",
    "constant-output", "vanishing-gradient", "equal-units",
}  # fmt: skip
"""What may follow where the loss falls without end, or numbers grow."""


@fault("sign-turned", CLASSES, also=UPSET)
def the_sign_of_the_cross_entropy(run):
    return run.with_(loss=lambda z, y: -F.cross_entropy(z, y))


@fault("sign-turned", NUMBERS, also=UPSET)
def the_sign_of_the_squares(run):
    return run.with_(loss=lambda z, y: (0 - (z - y) ** 2).mean())


@fault("sign-turned", CLASSES, also=UPSET)
def a_likelihood_without_its_minus(run):
    return run.with_(loss=lambda z, y: tg.log(F.softmax(z)[np.arange(len(z)), y] + 1e-9).mean())


@fault("loss-broadcast", NUMBERS)
def columns_against_rows(run):
    return run.with_(loss=lambda z, y: tg.abs(z - y.reshape(-1)).mean())


@fault("labels-unrelated", CLASSES, cure=lambda run: pairs_shuffled(run))
def labels_of_other_examples(run):
    return run.with_(y=np.random.default_rng(1).permutation(run.y))


@fault("labels-unrelated", NUMBERS, cure=lambda run: pairs_shuffled(run))
def inputs_that_were_sorted_alone(run):
    order = np.argsort(run.x.reshape(len(run.x), -1).sum(axis=1), kind="stable")
    rng = np.random.default_rng(2).permutation(len(run.x))  # and the pairs were shuffled later
    return run.with_(x=run.x[order][rng], y=run.y[rng])


def pairs_shuffled(run):
    rows = np.random.default_rng(6).permutation(len(run.x))
    return run.with_(x=run.x[rows], y=run.y[rows])


def sgd(lr, **settings):
    return lambda p: optim.SGD(p, lr=lr, momentum=0.9, **settings)


def adamw(weight_decay):
    return lambda p: optim.AdamW(p, lr=5e-3, weight_decay=weight_decay)


def cosine(steps):
    return lambda opt: optim.CosineAnnealingLR(opt, steps)


@fault("schedule-per-batch", NUMBERS, cure=lambda run: run.with_(schedule=cosine(EPOCHS)))
def a_cosine_of_epochs_stepped_per_batch(run):
    return run.with_(schedule=cosine(EPOCHS), per_step=True)


@fault("schedule-per-batch", CLASSES, cure=lambda run: run.with_(schedule=lambda o: optim.StepLR(o, 8, 0.1)))
def steps_of_epochs_stepped_per_batch(run):
    return run.with_(schedule=lambda opt: optim.StepLR(opt, 8, 0.1), per_step=True)


@fault(
    "learning-rate-zero",
    NUMBERS,
    cure=lambda run: run.with_(schedule=cosine(EPOCHS * 25), per_step=True),
)
def a_plan_for_a_third_of_the_run(run):
    return run.with_(schedule=cosine(EPOCHS * len(run.x) // run.batch // 3), per_step=True)


@fault("learning-rate-zero", CLASSES, also={"underfitting"}, cure=lambda run: run.with_(optimizer=sgd(0.1)))
def a_rate_of_zero(run):
    return run.with_(optimizer=sgd(0.0))


DECAYING = {"spirals": spirals, "surface": surface, "brightness": brightness}


@fault(
    "weight-decay", DECAYING, also=UPSET | {"underfitting"},
    cure=lambda run: run.with_(optimizer=sgd(0.05, weight_decay=5e-4)),
)  # fmt: skip
def decay_of_the_size_of_the_rate(run):
    return run.with_(optimizer=sgd(0.1, weight_decay=0.5), epochs=20)


@fault(
    "weight-decay", DECAYING, also=UPSET | {"underfitting"}, cure=lambda run: run.with_(optimizer=adamw(0.1))
)  # fmt: skip
def decay_beside_adam(run):
    return run.with_(optimizer=adamw(20.0), epochs=20)


@fault("evaluation-mode", {"moons": moons, "blobs": blobs, "mixture": mixture}, loops=ON_ONES_OWN)
def never_back_from_evaluation(run):
    return run.with_(training=False)


def standardized(run):
    mean, deviation = run.x.mean(axis=0), run.x.std(axis=0) + 1e-6
    return run.with_(x=(run.x - mean) / deviation, test=((run.test[0] - mean) / deviation, run.test[1]))


@fault(
    "input-scale", {"spirals": spirals, **NUMBERS}, also=UPSET,
    cure=lambda run: standardized(run.with_(x=run.x * 200 + 50)),
)  # fmt: skip
def inputs_of_hundreds(run):
    return run.with_(x=run.x * 200 + 50)


@fault(
    "input-scale", {"spirals": spirals, **NUMBERS}, also=UPSET | {"underfitting"},
    cure=lambda run: standardized(run.with_(x=run.x / 255)),
)  # fmt: skip
def inputs_of_thousandths(run):
    return run.with_(x=run.x / 255)


@fault("input-scale", {"spirals": spirals, "surface": surface, "mixture": mixture}, cure=standardized)
def one_column_in_other_units(run):
    return run.with_(x=run.x * np.array([1e-3] + [1.0] * (run.x.shape[1] - 1), np.float32))


@fault(
    "sorted-data", CLASSES, also={"constant-labels", "overfitting"},
    cure=lambda run: sorted_by_label(run).with_(shuffle=True, batch=24),
)  # fmt: skip
def sorted_by_label(run):
    order = np.argsort(run.y, kind="stable")
    return run.with_(x=run.x[order], y=run.y[order], shuffle=False, batch=100)


@fault("sorted-data", NUMBERS, cure=lambda run: sorted_by_target(run).with_(shuffle=True))
def sorted_by_target(run):
    order = np.argsort(run.y[:, 0], kind="stable")
    return run.with_(x=run.x[order], y=run.y[order], shuffle=False)


@fault("targets-out-of-reach", NUMBERS)
def a_sigmoid_at_the_end(run):
    return run.with_(model=lambda: nn.Sequential(*run.model(), nn.Sigmoid()))


@fault("targets-out-of-reach", NUMBERS, also=UPSET)
def a_relu_at_the_end(run):
    return run.with_(
        model=lambda: nn.Sequential(*run.model(), nn.ReLU()), loss=lambda z, y: ((y - z) ** 2).mean()
    )


@fault("test-in-training", CLASSES)
def a_test_of_training_examples(run):
    return run.with_(test=(run.x[:150], run.y[:150]))


@fault("test-in-training", NUMBERS)
def a_split_that_overlaps(run):
    x, y = (np.concatenate([a[:60], b]) for a, b in zip((run.x, run.y), run.test, strict=True))
    return run.with_(test=(x, y))


def standardized_targets(run):
    mean, deviation = run.y.mean(), run.y.std()
    return run.with_(y=(run.y - mean) / deviation, test=(run.test[0], (run.test[1] - mean) / deviation))


@fault(
    "target-scale", NUMBERS, also=UPSET | {"overfitting"},
    cure=lambda run: standardized_targets(targets_in_thousands(run)),
)  # fmt: skip
def targets_in_thousands(run):
    return run.with_(y=run.y * 300 + 2000, test=(run.test[0], run.test[1] * 300 + 2000))


@fault(
    "loss-summed", {"moons": moons, "surface": surface, "mixture": mixture}, also=UPSET,
    cure=lambda run: sums_with_plain_descent(run).with_(optimizer=lambda p: optim.SGD(p, lr=0.3 / 64)),
)  # fmt: skip
def sums_with_plain_descent(run):
    loss = run.loss
    return run.with_(
        loss=lambda z, y: loss(z, y, reduction="sum"), optimizer=lambda p: optim.SGD(p, lr=0.3), batch=64
    )


@fault(
    "several-labels", CLASSES,
    cure=lambda run: several_classes_for_a_softmax(run).with_(loss=F.binary_cross_entropy_with_logits),
)  # fmt: skip
def several_classes_for_a_softmax(run):
    classes = int(run.y.max()) + 1
    many = run.y[:, None] == np.arange(classes)
    many[:, 0] |= run.x.reshape(len(run.x), -1).mean(axis=1) > run.x.mean()
    return run.with_(
        y=many.astype(np.float32), test=(run.test[0], many[: len(run.test[0])].astype(np.float32))
    )


def rare(model):
    """Return a run whose second class is rare, and not easily told from the first."""
    rng = np.random.default_rng(4)
    y = (rng.random(900) < 0.15).astype(int)
    x = rng.standard_normal((900, 5)).astype(np.float32) + 0.45 * y[:, None].astype(np.float32)
    return Run(
        model, x, y, (x[:0], y[:0]), F.cross_entropy, lambda p: optim.SGD(p, lr=0.02), batch=30, epochs=14
    )


RARE = {
    "line": lambda: rare(lambda: nn.Linear(5, 2)),
    "narrow": lambda: rare(lambda: nn.Sequential(nn.Linear(5, 6), nn.ELU(), nn.Linear(6, 2))),
    "normalized": lambda: rare(
        lambda: nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.Softplus(), nn.Linear(8, 2))
    ),
}


@fault("majority-only", RARE)
def a_class_that_is_too_rare(run):
    return run


@pytest.mark.slow
@pytest.mark.parametrize("task", RARE)
def test_with_weights_a_rare_class_is_named(task):
    def loss(z, y):
        named.append(int(z.detach().numpy().argmax(axis=1).sum()))
        return F.cross_entropy(z, y, weight=np.array([0.15, 0.85], np.float32))

    named = []
    doctor = tg.doctor(tell=None)
    own_loop(RARE[task]().with_(loss=loss), doctor)
    assert [str(finding) for finding in doctor.findings] == []
    assert min(named[-20:]) > 0


@fault("target-in-inputs", {"moons": moons, "surface": surface, "mixture": mixture})
def a_table_that_was_not_split(run):
    def widened(x, y):
        return np.concatenate([x, y.reshape(len(y), -1).astype(np.float32)], axis=1)

    def model():
        layers = list(run.model())
        return nn.Sequential(nn.Linear(layers[0].in_features + 1, layers[0].out_features), *layers[1:])

    return run.with_(model=model, x=widened(run.x, run.y), test=(widened(*run.test), run.test[1]))


@fault("optimizer-anew", CLASSES, also={"large-eps"}, loops=ON_ONES_OWN)
def an_optimizer_in_each_step(run):
    return run.with_(anew=True)


@fault("history-kept", CLASSES)
def a_sum_of_tensors(run):
    total, loss = [0.0], run.loss

    def summed(z, y):
        value = loss(z, y)
        total[0] = total[0] + value
        return value

    return run.with_(loss=summed)


def cases():
    for (name, planted), loop in itertools.product(FAULTS.items(), LOOPS):
        if loop in planted.loops:
            for task in planted.tasks:
                yield pytest.param(name, task, loop, id=f"{name}-{task}-{loop}")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task", "loop"), list(cases()))
def test_a_fault_is_found_elsewhere(name, task, loop):
    planted = FAULTS[name]
    doctor = tg.doctor(tell=None)
    with np.errstate(all="ignore"), contextlib.suppress(NonFiniteError):
        LOOPS[loop](planted.plant(planted.tasks[task]()), doctor)
    kinds = {finding.kind for finding in doctor.findings}
    assert planted.kind in kinds
    assert kinds <= {planted.kind} | planted.also


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), [(n, t) for n, f in FAULTS.items() if f.cure for t in f.tasks])
def test_its_remedy_makes_it_learn(name, task):
    planted = FAULTS[name]
    run = planted.cure(planted.tasks[task]())
    doctor = tg.doctor(tell=None)
    own_loop(run, doctor)
    assert [str(finding) for finding in doctor.findings] == []
    assert np.median(run.losses[-10:]) < 0.7 * np.median(run.losses[:3])


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("task", {**CLASSES, **NUMBERS, "spirals": spirals})
def test_without_the_fault_it_learns_and_nothing_is_found(task, loop):
    run = {**CLASSES, **NUMBERS, "spirals": spirals}[task]()
    doctor = tg.doctor(tell=None)
    LOOPS[loop](run, doctor)
    assert [str(finding) for finding in doctor.findings] == []
    assert np.median(run.losses[-10:]) < 0.5 * np.median(run.losses[:3])
