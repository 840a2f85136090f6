"""The exercises of chapter 9: digits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from ..nn import Parameter
from ..optim import SGD, CosineAnnealingLR
from ..testing.grading.report import Grade
from ..typing import Array, Settings
from .calling import Case
from .comparing import compare
from .exercise import Exercise
from .findings import Mistake
from .with_grader import Update, graded_update

# --- 9.1 -----------------------------------------------------------------------------------------

BETAS = {"betas": (0.6, 0.7), "eps": 0.1}


def _with_decay(decay: Callable[..., Any]) -> Update:
    """Return Adam whose weights and gradients pass through `decay` in one of three places."""

    def update(
        p: Array,
        g: Array,
        state: Settings,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        weight_decay: float,
    ) -> Any:
        def step(p: Array, g: Array) -> Any:
            t = state["t"] = state.get("t", 0) + 1
            m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
            v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
            return p - lr * (m / (1 - beta1**t)) / (numpy.sqrt(v / (1 - beta2**t)) + eps)

        return decay(step, p, g, lr, weight_decay)

    return update


_adamw = _with_decay(lambda step, p, g, lr, decay: step(p - lr * decay * p, g))

DECAYS = (
    Mistake(
        "decay in the gradient",
        """the decay is added to the gradient, as in Adam with weight_decay: there sqrt(v) divides it. AdamW
        shrinks the weight itself: p - lr * weight_decay * p, beside the step.""",
        _with_decay(lambda step, p, g, lr, decay: step(p, g + decay * p)),
    ),
    Mistake(
        "no decay",
        "this is Adam: the weights do not decay. Subtract lr * weight_decay * p.",
        _with_decay(lambda step, p, g, lr, decay: step(p, g)),
    ),
    Mistake(
        "decay without lr",
        """the decay lacks lr. Each step shrinks the weight by lr * weight_decay, so a schedule slows both
        down.""",
        _with_decay(lambda step, p, g, lr, decay: step(p - decay * p, g)),
    ),
    Mistake(
        "decay grows",
        "the decay has the wrong sign: the weights grow. Subtract lr * weight_decay * p.",
        _with_decay(lambda step, p, g, lr, decay: step(p + lr * decay * p, g)),
    ),
    Mistake(
        "decay after the step",
        """the decay shrinks the weight after the step, and so a part of the step, too. It belongs to the
        old p: compute it before the step.""",
        _with_decay(lambda step, p, g, lr, decay: step(p, g) * (1 - lr * decay)),
    ),
    Mistake(
        "everything decays",
        "only the decay is left of p: write p - lr * weight_decay * p, and not lr * weight_decay * p alone.",
        _with_decay(lambda step, p, g, lr, decay: step(lr * decay * p, g)),
    ),
)


def _update(student: object) -> Grade:
    answer = graded_update("update", student, _adamw, "adamw", {**BETAS, "weight_decay": 0.2}, DECAYS)
    if "differs" in answer.kinds:  # without decay it should be Adam, whose mistakes have names
        adam = graded_update("update", student, _adamw, "adam", {**BETAS, "weight_decay": 0.0})
        return answer if adam.passed else adam
    return answer


# --- 9.2 -----------------------------------------------------------------------------------------

STEPS: list[Case] = [(0, 10), (3, 10), (5, 10), (10, 10), (7, 25), (24, 25)]


def _by_schedule(t: int, T: int) -> float:
    """Return the learning rate of the package's schedule after t steps, which begins at 1."""
    opt = SGD([Parameter(numpy.zeros(1))], lr=1.0)
    plan = CosineAnnealingLR(opt, T)
    for _ in range(t):
        plan.step()
    return float(opt.param_groups[0]["lr"])


COSINES = (
    Mistake(
        "degrees",
        "the angle is in degrees. np.cos and math.cos take radians: half a turn is pi, and not 180.",
        lambda t, T: (1 + math.cos(180 * t / T)) / 2,
    ),
    Mistake(
        "T - 1",
        "the wave ends a step too early: it should reach 0 at t = T, so divide by T, and not by T - 1.",
        lambda t, T: (1 + math.cos(math.pi * t / (T - 1))) / 2,
    ),
    Mistake(
        "half missing",
        "the factor runs from 2 to 0. Half of that, and it begins at 1.",
        lambda t, T: 1 + math.cos(math.pi * t / T),
    ),
    Mistake(
        "not lifted",
        "the cosine runs from 1 to -1. Add 1 and halve, so that it ends at 0; a negative lr climbs.",
        lambda t, T: math.cos(math.pi * t / T),
    ),
    Mistake(
        "a whole wave",
        "with 2 * pi this is a whole wave, which comes back to 1 at the end. Half a wave goes from 1 to 0.",
        lambda t, T: (1 + math.cos(2 * math.pi * t / T)) / 2,
    ),
    Mistake(
        "rising",
        "this rises from 0 to 1. The learning rate should fall: 1 plus the cosine.",
        lambda t, T: (1 - math.cos(math.pi * t / T)) / 2,
    ),
    Mistake(
        "a quarter of a wave",
        "pi / 2 is a quarter of a wave. It also falls from 1 to 0, but ends steeply; the schedule ends flat.",
        lambda t, T: math.cos(math.pi / 2 * t / T),
    ),
    Mistake(
        "linear",
        "this is a straight line from 1 to 0. Use half a wave of the cosine.",
        lambda t, T: 1 - t / T,
    ),
)


def _cosine(student: object) -> Grade:
    checked = "cosine(t, T) is the factor of optim.CosineAnnealingLR, for six pairs of t and T"
    hint = "Take half a wave of the cosine, from 1 to -1, and lift and halve it, so that it runs from 1 to 0."
    return compare("cosine", student, _by_schedule, STEPS, COSINES, checked, hint=hint)


# --- 9.3 -----------------------------------------------------------------------------------------

CURVES = (
    [1.0, 0.6, 0.5, 0.55, 0.45, 0.5, 0.52, 0.6, 0.3],
    [0.9, 0.7, 0.72, 0.71, 0.705, 0.6, 0.65, 0.64, 0.63, 0.62, 0.1],
    [0.5, 0.4, 0.4, 0.4, 0.3, 0.2],
    [0.3, 0.8, 0.7, 0.6, 0.5],
    [1.0, 0.8, 0.9, 0.7, 0.75, 0.6, 0.65, 0.5],
    [0.9, 0.8, 0.7],
)
RUNS: list[Case] = [(curve, patience) for curve in CURVES for patience in (1, 2, 3)]


def _stop_after(losses: Sequence[float], patience: int) -> int:
    """Return the first epoch that no loss of the next `patience` epochs is below."""
    for epoch, loss in enumerate(losses[: len(losses) - patience]):
        if min(losses[epoch + 1 : epoch + 1 + patience]) >= loss:
            return epoch
    return int(numpy.argmin(losses))


def _watching(losses: Sequence[float], patience: int, *, previous: bool = False, reset: bool = True) -> int:
    """Return the best epoch, with mistakes in counting the epochs that were waited."""
    best, waited = 0, 0
    for epoch in range(1, len(losses)):
        if losses[epoch] < losses[epoch - 1 if previous else best]:
            best, waited = epoch, 0 if reset else waited
        else:
            waited += 1
        if waited == patience:
            break
    return best


def _end(losses: Sequence[float], patience: int) -> int:
    return min(_stop_after(losses, patience) + patience, len(losses) - 1)


STOPS = (
    Mistake(
        "the epoch of the end",
        """this is the epoch in which the training ends. Return the one with the lowest loss until then: its
        weights are kept.""",
        _end,
    ),
    Mistake(
        "the lowest of all",
        """this is the lowest loss of the whole list, also after the patience has ended. Training would have
        stopped before: it does not know the future.""",
        lambda losses, patience: int(numpy.argmin(losses)),
    ),
    Mistake(
        "compared with the epoch before",
        """you compare each loss with the loss of the epoch before. Compare it with the lowest so far: 0.6,
        0.55 after 0.5 is no improvement.""",
        lambda losses, patience: _watching(losses, patience, previous=True),
    ),
    Mistake(
        "never counts anew",
        "the count of epochs without improvement must begin anew at 0 with each lower loss.",
        lambda losses, patience: _watching(losses, patience, reset=False),
    ),
    Mistake(
        "an epoch too patient",
        "you wait for patience + 1 epochs. Stop as soon as as many as `patience` have brought no lower loss.",
        lambda losses, patience: _stop_after(losses, patience + 1),
    ),
    Mistake(
        "an epoch too impatient",
        "you stop an epoch too early: after patience - 1 epochs without a lower loss.",
        lambda losses, patience: _stop_after(losses, patience - 1) if patience > 1 else 0,
    ),
    Mistake(
        "counted from 1",
        "the epoch is counted from 1. Count from 0, so that losses[epoch] is its loss.",
        lambda losses, patience: _stop_after(losses, patience) + 1,
    ),
    Mistake(
        "the loss",
        "this is the lowest loss. Return the epoch that it belongs to.",
        lambda losses, patience: losses[_stop_after(losses, patience)],
    ),
)


def _stop(student: object) -> Grade:
    checked = "stop_after(losses, patience) is right for six curves, with a patience of 1, 2 and 3"
    hint = """Keep the epoch of the lowest loss so far, and count the epochs since. Equal is not lower, and
    a curve may end before the patience does."""
    return compare("stop_after", student, _stop_after, RUNS, STOPS, checked, rtol=1e-9, hint=hint)


EXERCISES = (
    Exercise(
        "9.1",
        ("update",),
        '''\
def update(p, g, state, lr, beta1, beta2, eps, weight_decay):
    """Return the new weights; keep t, m and v in the dict state, which is empty at first."""
    raise NotImplementedError("write Adam, and let the weights decay beside its step")
''',
        _update,
    ),
    Exercise(
        "9.2",
        ("cosine",),
        '''\
def cosine(t, T):
    """Return the factor of the learning rate after t of T steps: half a wave from 1 down to 0."""
    raise NotImplementedError("write half a wave of the cosine")
''',
        _cosine,
    ),
    Exercise(
        "9.3",
        ("stop_after",),
        '''\
def stop_after(losses, patience):
    """Return the epoch, from 0, whose weights early stopping keeps.

    It is the first that is followed by as many epochs without a lower loss as `patience` says. If there is
    none, it is the best of all.
    """
    raise NotImplementedError("remember the best epoch, and count the epochs since")
''',
        _stop,
    ),
)
