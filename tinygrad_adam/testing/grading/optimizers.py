"""Grading an optimizer: its updates on given gradients beside the right ones and typical mistakes."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Sequence
from typing import Any

import numpy

from ...backend.overrides import use_kernels
from ...errors import OptionError, unknown_name
from ...nn import Parameter
from ...optim import OPTIMIZERS
from .mistakes import MISTAKES
from .report import Finding, Grade

# Large eps and small betas, so that what hardly shows with the usual values shows in a few steps.
REVEALING: dict[str, dict[str, Any]] = {
    "adam": {"betas": (0.6, 0.7), "eps": 0.1},
    "rmsprop": {"alpha": 0.7, "eps": 0.1},
    "adagrad": {"eps": 0.1},
    "sgd": {"momentum": 0.8},
}
START = numpy.array([1.5, -0.5, 0.25, -2.0])
# Shrinking and growing, steady, and a zero at first: these part averages, sums and corrections.
GRADIENTS = numpy.array(
    [
        [4.0, -0.1, 1.0, 0.0], [-2.0, 0.3, 1.0, 0.5], [1.0, 0.2, 1.0, -0.25], [0.5, -0.4, 1.0, 0.75],
        [0.25, 0.1, 1.0, -3.0], [-0.125, 0.2, 1.0, 2.0], [4.5, -0.3, 1.0, 0.1], [1.0, 0.6, 1.0, 0.2],
    ]
)  # fmt: skip
LRS = (0.1, 0.1, 0.05, 0.05, 0.2, 0.02, 0.1, 0.05)
WHERE = "update"


def grade_optimizer(student: Any, reference: Any, settings: dict[str, Any]) -> Grade:
    """Grade an optimizer; see `grade`."""
    right, known = _reference(student, reference)
    takes = _defaults_of(student)
    chosen = {**REVEALING.get(known, {}), **settings}
    used = {key: value for key, value in chosen.items() if _spelled(takes, key, value) is not None}
    refused = sorted(set(settings) - set(used))
    if refused:
        raise OptionError(
            "grade", f"{student.__name__} does not take these settings", refused=refused, takes=sorted(takes)
        )
    missing = _unknown_requirements(takes, used)
    if missing:
        raise OptionError(
            "grade",
            f"{student.__name__} asks for what the grader does not know; give it a default or keep it in "
            "state",
            asks=", ".join(missing),
        )
    lrs = LRS if _spelled(takes, "lr", 0.1) else (float(_defaults_of(right).get("lr", 1e-3)),) * len(LRS)
    wanted = updates_of(right, [GRADIENTS], lrs, used)[0]
    try:
        got = updates_of(student, [GRADIENTS], lrs, used)[0]
    except Exception as error:  # whatever a student's optimizer raises
        return Grade(student.__name__, (_failure(error),), ())
    full = {**_defaults_of(right), **used}
    if not alike(got, wanted):
        findings = [*_diagnosed(right, known, got, wanted, lrs, used, full), *_published(takes, known)]
        return Grade(student.__name__, tuple(findings), ())
    findings = [*_sharing(student, right, lrs, used), *_changing(student, used), *_published(takes, known)]
    shown = ", ".join(f"{key}={value}" for key, value in used.items())
    checked = [f"{len(lrs)} updates equal those of {right.__name__}" + (f", with {shown}" if shown else "")]
    broken = _broken(known, wanted, lrs, full)
    unnoticed = [kind for kind, updates in broken.items() if alike(updates, _steps(wanted))]
    return Grade(student.__name__, tuple(findings), tuple(checked), len(broken), tuple(unnoticed))


def _broken(known: str, wanted: Any, lrs: Any, full: dict[str, Any]) -> dict[str, Any]:
    """Return the updates of wrong optimizers, each of which must differ from the right ones."""
    steps, by_lr = _steps(wanted), numpy.reshape(lrs, (-1, 1))
    broken = {
        "flipped sign": -steps, "constant factor": 2 * steps, "nothing changes": 0 * steps,
        "lr missing": steps / by_lr, "lr twice": steps * by_lr,
    }  # fmt: skip
    if known not in MISTAKES:
        return broken
    rule, mistakes = MISTAKES[known]
    with numpy.errstate(all="ignore"):
        for kind in mistakes:
            broken[kind] = numpy.array([*rule(GRADIENTS, lrs, full, frozenset([kind]))])
    return broken


def _reference(student: Any, reference: Any) -> tuple[Any, str]:
    """Return the reference, and its name if typical mistakes in it are known."""
    if reference is not None and not isinstance(reference, str):
        names = [name for name, cls in OPTIMIZERS.items() if cls is reference]
        return reference, names[0] if names else ""
    name = student.__name__.lower() if reference is None else reference
    if name not in OPTIMIZERS:
        if reference is None:
            raise OptionError(
                "grade", f"say which optimizer {student.__name__} shall be, as in reference='adam'",
                known=", ".join(sorted(OPTIMIZERS)),
            )  # fmt: skip
        raise unknown_name("grade", "reference", name, OPTIMIZERS)
    return OPTIMIZERS[name], name


# --- Taking steps --------------------------------------------------------------------------------


def _defaults_of(rule: Any) -> dict[str, Any]:
    """Return the hyper-parameters that an optimizer takes, with their defaults."""
    given = list(inspect.signature(rule).parameters.values())[1 if inspect.isclass(rule) else 3 :]
    return {("**" if p.kind is p.VAR_KEYWORD else p.name): p.default for p in given}


def _spelled(takes: dict[str, Any], key: str, value: Any) -> dict[str, Any] | None:
    """Return a hyper-parameter as an optimizer spells it, or None if it does not take it."""
    if key in takes or "**" in takes:
        return {key: value}
    if key == "betas" and {"beta1", "beta2"} <= takes.keys():
        return {"beta1": value[0], "beta2": value[1]}
    return None


def _unknown_requirements(takes: dict[str, Any], used: dict[str, Any]) -> list[str]:
    """Return the parameters without a default or a value."""
    known = {"lr", "**", *used, *(("beta1", "beta2") if "betas" in used else ())}
    return [
        name for name, default in takes.items() if default is inspect.Parameter.empty and name not in known
    ]


def updates_of(
    rule: Any, gradients: Sequence[Any], lrs: Sequence[float], settings: dict[str, Any]
) -> list[Any]:
    """Return, for the gradients of each of some parameters, by how much they went down in each step."""
    takes = _defaults_of(rule)
    spelled: dict[str, Any] = {}
    for key, value in settings.items():
        spelled.update(_spelled(takes, key, value) or {})
    starts = [numpy.resize(START, each.shape[1:]) for each in gradients]
    run = _by_class if inspect.isclass(rule) else _by_function
    with numpy.errstate(all="ignore"), use_kernels("reference"):
        paths = run(rule, starts, gradients, lrs, spelled, "lr" in takes or "**" in takes)
        return [start - path for start, path in zip(starts, paths, strict=True)]


def _by_class(
    rule: Any, starts: list[Any], gradients: Any, lrs: Any, settings: dict[str, Any], with_lr: bool
) -> list[Any]:
    params = [Parameter(start.copy()) for start in starts]
    opt = rule(params, **({"lr": lrs[0]} if with_lr else {}), **settings)
    paths = []
    for lr, *now in zip(lrs, *gradients, strict=True):
        if with_lr:
            for group in opt.param_groups:
                group["lr"] = lr
        for p, g in zip(params, now, strict=True):
            p.grad = g.copy()
        opt.step()
        paths.append([p.detach().numpy().copy() for p in params])
    return _totals(paths)


def _by_function(
    rule: Any, starts: list[Any], gradients: Any, lrs: Any, settings: dict[str, Any], with_lr: bool
) -> list[Any]:
    values, states = [start.copy() for start in starts], [{} for _ in starts]  # type: ignore[var-annotated]
    paths = []
    for lr, *now in zip(lrs, *gradients, strict=True):
        given = {**settings, **({"lr": lr} if with_lr else {})}
        for i, g in enumerate(now):
            new = rule(values[i], g.copy(), states[i], **given)
            if new is not None:
                values[i] = numpy.asarray(new, float).reshape(starts[i].shape)
        paths.append([value.copy() for value in values])
    return _totals(paths)


def _totals(paths: list[list[Any]]) -> list[Any]:
    return [numpy.stack(each) for each in zip(*paths, strict=True)]


def alike(got: Any, wanted: Any) -> bool:
    """Return whether updates are equal up to rounding; values that are not finite must be so in both."""
    return bool(numpy.allclose(got, wanted, rtol=1e-9, atol=1e-11, equal_nan=True))


# --- What is wrong -------------------------------------------------------------------------------


def _diagnosed(
    right: Any, known: str, got: Any, wanted: Any, lrs: Any, used: dict[str, Any], full: dict[str, Any]
) -> list[Finding]:
    """Explain the mistake in updates that differ."""
    evidence = _first_difference(got, wanted)
    if not numpy.any(got):
        return [_finding("nothing changes", NOTHING, evidence)]
    if not numpy.isfinite(got[0]).any():
        kind, sentence = ("t begins at 0", FROM_ZERO) if known == "adam" else ("not finite", INFINITE)
        return [_finding(kind, sentence, evidence)]
    steps, right_steps, by_lr = _steps(got), _steps(wanted), numpy.reshape(lrs, (-1, 1))
    if alike(steps, -right_steps):
        return [_finding("flipped sign", SIGN, evidence)]
    if len(set(lrs)) > 1:
        if alike(steps * by_lr, right_steps):
            return [_finding("lr missing", "the learning rate is missing in the update.", evidence)]
        if alike(steps, right_steps * by_lr):
            return [_finding("lr twice", "the update is multiplied by the learning rate twice.", evidence)]
        constant = updates_of(right, [GRADIENTS], (lrs[0],) * len(lrs), used)[0]
        if alike(got, constant):
            return [_finding("lr read once", LR_ONCE, evidence)]
    found = _typical(known, steps, lrs, full)
    if found is not None:
        last = len(found) - 1
        return [_finding(*each, evidence if i == last else "") for i, each in enumerate(found)]
    factor = numpy.nansum(steps * right_steps) / numpy.nansum(right_steps**2)
    if alike(steps, factor * right_steps):
        sentence = f"every update is {factor:.6g} times as long as it should be; all else is right."
        return [_finding("constant factor", sentence, evidence)]
    return [_finding("differs", UNKNOWN, evidence)]


def _typical(known: str, steps: Any, lrs: Any, full: dict[str, Any]) -> list[tuple[str, str]] | None:
    """Return the mistakes, one or two, that give just these updates."""
    if known not in MISTAKES:
        return None
    rule, mistakes = MISTAKES[known]
    choices = [*itertools.combinations(mistakes, 1), *itertools.combinations(mistakes, 2)]
    with numpy.errstate(all="ignore"):
        for choice in choices:
            made = numpy.array([*rule(GRADIENTS, lrs, full, frozenset(choice))])
            for sign in (1, -1):
                if _as_far_as_finite(steps, sign * made):
                    found = [(kind, mistakes[kind]) for kind in choice]
                    return [*found, ("flipped sign", SIGN)] if sign < 0 else found
    return None


def _as_far_as_finite(steps: Any, made: Any) -> bool:
    """Compare updates; an entry that was not finite once never is again in the student's path."""
    broken = numpy.logical_or.accumulate(~numpy.isfinite(made), axis=0)
    return bool(numpy.array_equal(~numpy.isfinite(steps), broken)) and alike(
        numpy.where(broken, 0, steps), numpy.where(broken, 0, made)
    )


def _steps(totals: Any) -> Any:
    """Return each step's update from the way gone so far."""
    with numpy.errstate(all="ignore"):
        return numpy.diff(totals, axis=0, prepend=0)


def _first_difference(got: Any, wanted: Any) -> str:
    steps, right = _steps(got), _steps(wanted)
    close = numpy.isclose(steps, right, rtol=1e-9, atol=1e-11)
    step = int((~close).any(axis=1).argmax())
    entry = int((~close[step]).argmax())
    before = "" if step == 0 else f" (steps 1 to {step} are right)" if step > 1 else " (step 1 is right)"
    gradients = ", ".join(f"{g:g}" for g in GRADIENTS[: step + 1, entry])
    return (
        f"first at step {step + 1}{before}: your update is {steps[step, entry]:.6g}, the right one "
        f"{right[step, entry]:.6g},\nfor an entry with the gradients {gradients}"
    )


def _finding(kind: str, sentence: str, evidence: str = "") -> Finding:
    return Finding(WHERE, kind, sentence, evidence)


def _failure(error: Exception) -> Finding:
    if isinstance(error, ZeroDivisionError):
        return _finding("t begins at 0", FROM_ZERO, f"{type(error).__name__}: {error}")
    sentence = "your optimizer raises an error."
    if isinstance(error, KeyError | AttributeError):
        sentence += " Does it begin with moments of zeros at the first step, where there are none yet?"
    return _finding("fails", sentence, f"{type(error).__name__}: {error}")


def _sharing(student: Any, right: Any, lrs: Any, used: dict[str, Any]) -> list[Finding]:
    """Take steps with two parameters, whose moments must not mix."""
    both = [GRADIENTS, GRADIENTS[::-1, :3]]
    try:
        pairs = zip(updates_of(student, both, lrs, used), updates_of(right, both, lrs, used), strict=True)
        if all(alike(got, wanted) for got, wanted in pairs):
            return []
        evidence = ""
    except Exception as error:  # whatever a student's optimizer raises
        evidence = f"{type(error).__name__}: {error}"
    return [_finding("shared state", SHARED, evidence)]


def _changing(student: Any, used: dict[str, Any]) -> list[Finding]:
    """Look whether a function leaves the gradient as it is; a class is given Tensors."""
    if inspect.isclass(student):
        return []
    g = GRADIENTS[0].copy()
    takes = _defaults_of(student)
    spelled: dict[str, Any] = {"lr": 0.1} if "lr" in takes or "**" in takes else {}
    for key, value in used.items():
        spelled.update(_spelled(takes, key, value) or {})
    state: dict[str, Any] = {}
    with numpy.errstate(all="ignore"):
        for _ in range(2):  # at first there may be nothing to add
            student(START.copy(), g, state, **spelled)
    return [] if numpy.array_equal(g, GRADIENTS[0]) else [_finding("gradient changed", CHANGED)]


def _published(takes: dict[str, Any], known: str) -> list[Finding]:
    """Compare the defaults of Adam with the paper's."""
    if known != "adam":
        return []
    paper = {"betas": (0.9, 0.999), "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    found = []
    for name, value in paper.items():
        default = takes.get(name, inspect.Parameter.empty)
        if default is inspect.Parameter.empty or default == value:
            continue
        sentence = f"by default {name} is {default}; the paper's is {value}."
        if name == "eps" and default == 1e-7:
            sentence += " (10E-8, as some pages write it, is 1e-7.)"
        found.append(_finding("default", sentence))
    return found


SIGN = "the parameter goes up the gradient instead of down: the update must be subtracted."
NOTHING = (
    "the parameter never changes. Return its new value, or change it in place with p -= ...; p = p - ... "
    "alone makes a new array that the caller never sees."
)
FROM_ZERO = (
    "the first step divides by 0: with t = 0 the bias correction 1 - beta**t is 0. Count t up before it is "
    "used, so that it is 1 in the first step."
)
INFINITE = "the first update is not finite. Is something divided by 0 that began with 0?"
LR_ONCE = (
    "the learning rate of the first step is used for ever. Read it in each step, from the group: schedules "
    "change it there."
)
SHARED = (
    "with one parameter all is right, with two it is not: they share what they remember. Keep moments and t "
    "for each parameter."
)
CHANGED = "the gradient is changed in place. It belongs to the caller; make a new array: g = g + ..."
UNKNOWN = (
    "the updates are neither right nor those of a typical mistake, or of two. Go through the algorithm line "
    "by line with the numbers below; optimizer.explain shows every quantity of the right one."
)
