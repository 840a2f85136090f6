"""Grading a primitive: its forward rule against a reference, its other rules against central differences."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from ... import ops
from ...engine.graph import PRIMITIVES, Primitive, Rule
from ...engine.rowsparse import RowSparse
from ...errors import TinygradAdamError, unknown_name
from ...tensor.creation import tensor
from ...tensor.tensor import Tensor
from .cases import Case, differs, make_cases
from .diagnosis import diagnose
from .report import Finding, Grade, sentence

VAGUE = ("differs", "fails", "wrong shape")
"""Kinds of findings that name no mistake."""


def grade_primitive(
    student: Primitive, reference: Any, inputs: Any, settings: dict[str, Any], seed: int
) -> Grade:
    """Grade a primitive; see `grade`."""
    right = _reference(reference)
    findings: dict[str, Finding] = {}
    checked, cases = [], make_cases(student, inputs, settings, seed)
    nonzero: set[str] = set()
    for case in cases:
        finding = None if right is None else _check_forward(student, right, case)
        if finding is not None:
            findings = {"forward": finding}
            break
        for i, name in enumerate(case.names):
            if case.numerical[i] is None:
                continue
            if numpy.any(case.numerical[i]):
                nonzero.add(name)
            finding = check_rule(student, case, i)
            # A mistake with one shape may not show with another.
            if finding is not None and (name not in findings or findings[name].kind in VAGUE):
                findings[name] = finding
    names = list(dict.fromkeys(name for case in cases for name in case.names))
    shapes = " and ".join(dict.fromkeys(", ".join(str(x.shape) for x in case.values) for case in cases))
    if "forward" not in findings:
        if right is not None:
            checked.append("the forward rule gives what the reference gives")
        for name in names:
            if name not in findings and name in nonzero:
                checked.append(f"the rule for {name} agrees with central differences, on inputs {shapes}")
            elif name not in findings and name in student.rules:
                findings[name] = Finding(name, "not tested", sentence("gradient", "not tested", name=name))
    sound = [name for name in names if name in nonzero and name not in findings and name in student.rules]
    tried = list(_mutants(student, sound)) if "forward" not in findings else []
    unnoticed = [
        f"{kind} of {name}"
        for name, kind, mutant in tried
        if not any(_caught(name, mutant, case) for case in cases)
    ]
    return Grade(student.name, tuple(findings.values()), tuple(checked), len(tried), tuple(unnoticed))


def _reference(reference: Any) -> Callable[..., Any] | None:
    if not isinstance(reference, str):
        return reference
    found = PRIMITIVES.get(reference) or getattr(ops, reference, None)
    if found is None or reference.startswith("_"):
        raise unknown_name("grade", "reference", reference, [n for n in PRIMITIVES if n[0] != "_"])
    return found


# --- The checks ----------------------------------------------------------------------------------


def _check_forward(student: Primitive, right: Callable[..., Any], case: Case) -> Finding | None:
    wanted = right(*(tensor(x) for x in case.values), **case.settings)
    wanted = wanted.numpy() if isinstance(wanted, Tensor) else numpy.asarray(wanted)
    if wanted.shape != case.y.shape:
        text = sentence("forward", "wrong shape", got=case.y.shape, wanted=wanted.shape)
        return Finding("forward", "wrong shape", text)
    if not differs(case.y, wanted):
        return None
    place = _largest(case.y - wanted)
    evidence = f"at {list(place)}: yours {case.y[place]:.6g}, the reference {wanted[place]:.6g}"
    kind = "wrong output" if differs(case.y, -wanted) else "flipped sign"
    return Finding("forward", kind, sentence("forward", kind), evidence)


def check_rule(student: Primitive, case: Case, i: int) -> Finding | None:
    """Compare the gradient of one input with central differences, and explain the mistake."""
    name, wanted = case.names[i], case.numerical[i]
    if name not in student.rules:
        if not numpy.any(wanted):
            return None
        return Finding(name, "no rule", sentence("gradient", "no rule", name=name))
    try:
        got = analytical(student, case, i, case.weight)
    except Exception as error:  # a student's rule may raise anything
        kind = "wrong shape" if isinstance(error, TinygradAdamError) else "fails"
        text = sentence("gradient", "fails", name=name, y=case.y.shape, shape=case.values[i].shape)
        return Finding(name, kind, text, f"{type(error).__name__}: {error}")
    if not differs(got, wanted):
        return None
    place = _largest(got - wanted)
    evidence = (
        f"at {name}{list(place)}: your rule gives {got[place]:.6g}, central differences {wanted[place]:.6g}"
    )
    return diagnose(student, case, i, got, lambda weight: analytical(student, case, i, weight), evidence)


def analytical(student: Primitive, case: Case, i: int, weight: Any) -> Any:
    """Return the derivative of ``sum(weight * y)`` by input `i`, as the student's rules have it."""
    leaves = [tensor(x, requires_grad=True) if j == i else tensor(x) for j, x in enumerate(case.values)]
    with numpy.errstate(all="ignore"):
        y = student(*leaves, **case.settings)
        (y * tensor(weight)).sum().backward()
    gradient = leaves[i].grad
    if isinstance(gradient, RowSparse):
        return gradient.to_dense()
    return numpy.zeros(leaves[i].shape) if gradient is None else gradient.numpy()


def _largest(difference: Any) -> tuple[int, ...]:
    sizes = numpy.where(numpy.isnan(difference), numpy.inf, numpy.abs(difference))
    return tuple(map(int, numpy.unravel_index(numpy.argmax(sizes), sizes.shape)))


# --- Breaking what is right ----------------------------------------------------------------------

BREAKS: dict[str, Callable[..., Any]] = {
    "flipped sign": lambda rule, args: -rule.function(*args),
    "twice": lambda rule, args: 2 * rule.function(*args),
    "zero": lambda rule, args: 0 * rule.function(*args),
    "without g": lambda rule, args: rule.function(
        *(numpy.ones_like(a) if name == "g" else a for name, a in zip(rule.names, args, strict=True))
    ),
    "one element wrong": lambda rule, args: _spoiled(rule.function(*args)),
}
"""Ways to break a right rule, each of which must be noticed."""


def _spoiled(share: Any) -> Any:
    share = numpy.array(share)
    share.flat[0] += 1
    return share


def _mutants(student: Primitive, names: list[str]) -> Iterator[tuple[str, str, Primitive]]:
    """Yield an input, a change of its rule, and a copy of the primitive with the changed rule."""
    for name in names:
        for kind, change in BREAKS.items():
            mutant, broken = Primitive(student.forward, {}, student.view), copy.copy(student.rules[name])
            mutant.rules = {**student.rules, name: broken}
            broken.function = _changed(student.rules[name], change)
            yield name, kind, mutant


def _changed(rule: Rule, change: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: change(rule, args)


def _caught(name: str, mutant: Primitive, case: Case) -> bool:
    return any(
        each == name and case.numerical[i] is not None and _wrong(mutant, case, i)
        for i, each in enumerate(case.names)
    )


def _wrong(student: Primitive, case: Case, i: int) -> bool:
    return differs(analytical(student, case, i, case.weight), case.numerical[i])
