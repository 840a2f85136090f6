"""Grading an optimizer: compare its updates on given gradients with right ones and with typical mistakes."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy

from ...backend.overrides import use_kernels
from ...errors import OptionError, unknown_name
from ...nn import Parameter
from ...optim import OPTIMIZERS
from ...typing import Array
from .mistakes import MISTAKES
from .report import Finding, Grade, sentence

# Large eps and small betas: mistakes that hardly show with the usual values show in a few steps.
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
LRS: tuple[float, ...] = (0.1, 0.1, 0.05, 0.05, 0.2, 0.02, 0.1, 0.05)
WHERE = "update"
_NEEDED = inspect.Parameter.empty
"""In place of a default."""


def grade_optimizer(student: Any, reference: Any, settings: dict[str, Any]) -> Grade:
    """Grade an optimizer; see `grade`."""
    right, known = _reference(student, reference)
    takes = defaults_of(student)
    chosen = {**REVEALING.get(known, {}), **settings}
    used = {key: value for key, value in chosen.items() if as_spelled(takes, {key: value})}
    refused = sorted(set(settings) - set(used))
    if refused:
        raise OptionError(
            "grade", f"{student.__name__} does not take these settings", refused=refused, takes=sorted(takes)
        )
    given = {"lr", "**", *as_spelled(takes, used)}
    missing = [name for name, default in takes.items() if default is _NEEDED and name not in given]
    if missing:
        raise OptionError(
            "grade",
            f"{student.__name__} asks for what the grader does not know; give it a default or keep it in "
            "state",
            asks=", ".join(missing),
        )
    lrs = LRS
    if "lr" in used or not as_spelled(takes, {"lr": 0.1}):
        lrs = (float(used.get("lr", defaults_of(right).get("lr", 1e-3))),) * len(LRS)
    wanted = updates_of(right, [GRADIENTS], lrs, used)[0]
    try:
        got = updates_of(student, [GRADIENTS], lrs, used)[0]
    except Exception as error:  # a student's optimizer may raise anything
        return Grade(student.__name__, (_failure(error),), ())
    full = {**defaults_of(right), **used}
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
    steps = _steps(wanted)
    broken = {**_misuses(steps, lrs), "constant factor": 2 * steps, "nothing changes": 0 * steps}
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


def defaults_of(rule: Any) -> dict[str, Any]:
    """Return the hyper-parameters that an optimizer takes, with their defaults."""
    given = list(inspect.signature(rule).parameters.values())[1 if inspect.isclass(rule) else 3 :]
    return {("**" if p.kind is p.VAR_KEYWORD else p.name): p.default for p in given}


def as_spelled(takes: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Return hyper-parameters as an optimizer spells them, without those that it does not take."""
    spelled = {}
    for key, value in settings.items():
        if key in takes or "**" in takes:
            spelled[key] = value
        elif key == "betas" and {"beta1", "beta2"} <= takes.keys():
            spelled["beta1"], spelled["beta2"] = value
    return spelled


def updates_of(
    rule: Any, gradients: Sequence[Any], lrs: Sequence[float], settings: dict[str, Any]
) -> list[Any]:
    """Return, for the gradients of each of some parameters, by how much they went down in each step."""
    starts = [numpy.resize(START, each.shape[1:]) for each in gradients]
    run = _by_class if inspect.isclass(rule) else _by_function
    with numpy.errstate(all="ignore"), use_kernels("reference"):
        paths = zip(*run(rule, starts, gradients, lrs, settings), strict=True)
        return [start - numpy.stack(path) for start, path in zip(starts, paths, strict=True)]


def _by_class(
    rule: Any, starts: list[Array], gradients: Any, lrs: Sequence[float], settings: dict[str, Any]
) -> Iterator[list[Array]]:
    """Yield the values of all parameters after each step of an optimizer."""
    params = [Parameter(start.copy()) for start in starts]
    spelled = as_spelled(defaults_of(rule), {**settings, "lr": lrs[0]})
    opt = rule(params, **spelled)
    for lr, *now in zip(lrs, *gradients, strict=True):
        if "lr" in spelled:
            for group in opt.param_groups:
                group["lr"] = lr
        for p, g in zip(params, now, strict=True):
            p.grad = g.copy()
        opt.step()
        yield [p.detach().numpy().copy() for p in params]


def _by_function(
    rule: Any, starts: list[Array], gradients: Any, lrs: Sequence[float], settings: dict[str, Any]
) -> Iterator[list[Array]]:
    """Yield the values of all parameters after each call of an update."""
    values, states = [start.copy() for start in starts], [{} for _ in starts]  # type: ignore[var-annotated]
    for lr, *now in zip(lrs, *gradients, strict=True):
        given = as_spelled(defaults_of(rule), {**settings, "lr": lr})
        for i, g in enumerate(now):
            new = rule(values[i], g.copy(), states[i], **given)
            if new is not None:
                values[i] = numpy.asarray(new, float).reshape(starts[i].shape)
        yield [value.copy() for value in values]


def alike(got: Any, wanted: Any) -> bool:
    """Return whether updates are equal up to rounding; values that are not finite must be so in both."""
    return bool(numpy.allclose(got, wanted, rtol=1e-9, atol=1e-11, equal_nan=True))


def _misuses(steps: Array, lrs: Sequence[float]) -> dict[str, Array]:
    """Return the updates of optimizers that use the sign or the learning rate wrongly."""
    by_lr = numpy.reshape(lrs, (-1, 1))
    return {"flipped sign": -steps, "lr missing": steps / by_lr, "lr twice": steps * by_lr}


# --- What is wrong -------------------------------------------------------------------------------


def _diagnosed(
    right: Any, known: str, got: Any, wanted: Any, lrs: Any, used: dict[str, Any], full: dict[str, Any]
) -> list[Finding]:
    """Explain the mistake in updates that differ."""
    evidence = _first_difference(got, wanted)
    if not numpy.any(got):
        return [_finding("nothing changes", evidence)]
    if not numpy.isfinite(got[0]).any():
        return [_finding("t begins at 0" if known == "adam" else "not finite", evidence)]
    steps, right_steps = _steps(got), _steps(wanted)
    misuses = {"flipped sign": -right_steps}
    if len(set(lrs)) > 1:
        constant = updates_of(right, [GRADIENTS], lrs[:1] * len(lrs), used)[0]
        misuses = {**_misuses(right_steps, lrs), "lr read once": _steps(constant)}
    for kind, updates in misuses.items():
        if alike(steps, updates):
            return [_finding(kind, evidence)]
    found = _typical(known, steps, lrs, full)
    if found is not None:
        last = len(found) - 1
        return [Finding(WHERE, *each, evidence if i == last else "") for i, each in enumerate(found)]
    factor = numpy.nansum(steps * right_steps) / numpy.nansum(right_steps**2)
    if alike(steps, factor * right_steps):
        return [_finding("constant factor", evidence, factor=factor)]
    return [_finding("differs", evidence)]


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
                    if sign < 0:
                        found.append(("flipped sign", sentence("update", "flipped sign")))
                    return found
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


def _finding(kind: str, evidence: str = "", **values: object) -> Finding:
    return Finding(WHERE, kind, sentence("update", kind, **values), evidence)


def _failure(error: Exception) -> Finding:
    evidence = f"{type(error).__name__}: {error}"
    if isinstance(error, ZeroDivisionError):
        return _finding("t begins at 0", evidence)
    hint = " Does it begin with moments of zeros at the first step, where there are none yet?"
    return _finding("fails", evidence, hint=hint if isinstance(error, KeyError | AttributeError) else "")


def _sharing(student: Any, right: Any, lrs: Any, used: dict[str, Any]) -> list[Finding]:
    """Take steps with two parameters, whose moments must not mix."""
    both = [GRADIENTS, GRADIENTS[::-1, :3]]
    try:
        pairs = zip(updates_of(student, both, lrs, used), updates_of(right, both, lrs, used), strict=True)
        if all(alike(got, wanted) for got, wanted in pairs):
            return []
        evidence = ""
    except Exception as error:  # a student's optimizer may raise anything
        evidence = f"{type(error).__name__}: {error}"
    return [_finding("shared state", evidence)]


def _changing(student: Any, used: dict[str, Any]) -> list[Finding]:
    """Look whether a function leaves the gradient as it is; a class is given Tensors."""
    if inspect.isclass(student):
        return []
    g = GRADIENTS[0].copy()
    spelled = as_spelled(defaults_of(student), {"lr": 0.1, **used})
    state: dict[str, Any] = {}
    with numpy.errstate(all="ignore"):
        for _ in range(2):  # at first there may be nothing to add
            student(START.copy(), g, state, **spelled)
    return [] if numpy.array_equal(g, GRADIENTS[0]) else [_finding("gradient changed")]


def _published(takes: dict[str, Any], known: str) -> list[Finding]:
    """Compare the defaults of Adam with the paper's."""
    if known != "adam":
        return []
    paper = {"betas": (0.9, 0.999), "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    found = []
    for name, value in paper.items():
        default = takes.get(name, _NEEDED)
        if default is _NEEDED or default == value:
            continue
        misread = name == "eps" and default == 1e-7
        hint = " (10E-8, as some pages write it, is 1e-7.)" if misread else ""
        found.append(_finding("default", name=name, default=default, paper=value, hint=hint))
    return found
