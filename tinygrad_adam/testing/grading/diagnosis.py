"""Mistakes in a gradient, found by comparing it with the results of typical ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy

from ...engine.backward import fit
from ...engine.graph import Primitive
from .cases import Case, differences, differs
from .report import Finding, sentence


def diagnose(
    student: Primitive,
    case: Case,
    i: int,
    got: Any,
    gradient: Callable[[Any], Any],
    evidence: str,
) -> Finding:
    """Explain the mistake in the gradient of an input.

    Parameters
    ----------
    student : Primitive
        Whose rule it is.
    case : Case
        Where it was computed.
    i : int
        The input's position.
    got : array
        The gradient by the rule, which differs from that by central differences.
    gradient : callable
        The same for another gradient of the output.
    evidence : str
        An entry where they differ.
    """
    name = case.names[i]
    for look in (_upstream, _simple, _spread, _axes, _others, _substituted, _factors, _terms, _ratio):
        with numpy.errstate(all="ignore"):
            for kind, values in look(student, case, i, got, gradient):
                return Finding(name, kind, sentence("gradient", kind, name=name, **values), evidence)
    return Finding(name, "differs", sentence("gradient", "differs", name=name), evidence)


Answers = Iterator[tuple[str, dict[str, object]]]
"""Kinds of mistakes that give this gradient, and the values that their sentences name."""


def _simple(student: Primitive, case: Case, i: int, got: Any, gradient: Any) -> Answers:
    """Zero, a flipped sign, a constant factor."""
    wanted = case.numerical[i]
    if not numpy.any(wanted):
        yield "not zero", {}
    if not numpy.any(got):
        yield "zero", {}
    if not differs(got, -wanted):
        yield "flipped sign", {}
    factor = _constant(got, wanted)
    if factor is not None:
        yield "constant factor", _factor(case, i, factor)


def _ratio(student: Primitive, case: Case, i: int, got: Any, gradient: Any) -> Answers:
    """A factor in a gradient of one number, in which every mistake is a factor."""
    wanted = case.numerical[i]
    if wanted.size == 1:
        yield "constant factor", _factor(case, i, (got / wanted).item())


def _factor(case: Case, i: int, factor: float) -> dict[str, object]:
    """Return the values for a constant factor, with a hint if it is a size or one over a size."""
    sizes = [n for n in (*case.y.shape, *case.values[i].shape, case.y.size) if n > 1]
    hint = ""
    if any(abs(factor * n - 1) < 1e-4 for n in sizes):
        hint = " That is one over a size: did you take a mean where a sum belongs?"
    elif any(abs(factor / n - 1) < 1e-4 for n in sizes):
        hint = " That is a size: did you sum where a mean belongs?"
    count = f"{1 / factor:.6g}" if abs(factor) < 1 else f"1/{factor:.6g}"
    return {"factor": factor, "count": count, "hint": hint}


def _upstream(student: Primitive, case: Case, i: int, got: Any, gradient: Any) -> Answers:
    """The gradient of the output left out, or used twice."""
    twice = gradient(2 * case.weight)
    if not numpy.any(got):
        return
    if not differs(twice, got):
        yield "missing g", {}
    if not differs(twice, 4 * got):
        yield "g twice", {}


def _spread(student: Primitive, case: Case, i: int, got: Any, gradient: Any) -> Answers:
    """A part of the gradient of an input that was broadcast."""
    x, y = case.values[i], case.y
    if x.shape == y.shape or not _spreads(x.shape, y.shape):
        return
    whole = [numpy.broadcast_to(v, y.shape).copy() if j == i else v for j, v in enumerate(case.values)]
    try:
        if differs(case.call(*whole), y):
            return  # it is not spread, but used in another way
    except Exception:  # a student's rule may raise anything
        return
    shares = differences(case.call, whole, i, case.weight)
    axes = [a for a in range(y.ndim) if a < y.ndim - x.ndim or x.shape[a - y.ndim] != y.shape[a]]
    shown = ", ".join(map(str, axes))
    for place, kept in ((0, "first"), (-1, "last")):
        part = shares[tuple(slice(None) if a not in axes else place for a in range(y.ndim))]
        if part.size == x.size and not differs(got, part.reshape(x.shape)):
            yield "missing un-broadcast", {"shape": x.shape, "spread": y.shape, "kept": kept, "axes": shown}


def _axes(student: Primitive, case: Case, i: int, got: Any, gradient: Any) -> Answers:
    """The right numbers along the wrong axis."""
    wanted = case.numerical[i]
    if wanted.ndim == 2 and wanted.shape[0] == wanted.shape[1] and not differs(got, wanted.T):
        yield "wrong axis", {}
    order = numpy.sort(wanted, axis=None)
    if wanted.size > 1 and not differs(numpy.sort(got, axis=None), order):
        yield "wrong order", {}


def _others(student: Primitive, case: Case, i: int, got: Any, gradient: Any) -> Answers:
    """The gradient of another input."""
    for j, other in enumerate(case.numerical):
        if j != i and other is not None and not differs(got, other):
            yield "another input's rule", {"other": case.names[j]}


def _substituted(student: Primitive, case: Case, i: int, got: Any, gradient: Any) -> Answers:
    """A rule that would be right if it took the output where it takes an input, or the like."""
    rule = student.rules[case.names[i]]
    if student.variadic or student.rules.get("y") or "kernels" in rule.names:
        return
    known: dict[str, Any] = dict(zip(case.names, case.values, strict=True))
    known["y"] = case.y
    settings = {key: case.settings.get(key, default) for key, default in student.static.items()}
    given = {
        "g": case.weight, "xp": numpy, "out": None, "index": None, **settings, **known,
        **{f"{each}_shape": value.shape for each, value in known.items()},
    }  # fmt: skip
    words = {name: name for name in known} | {"y": "the output y"}
    for used in rule.names:
        for instead in known:
            if used not in known or instead == used or known[instead].shape != known[used].shape:
                continue
            try:
                share = rule.function(*(given[instead if each == used else each] for each in rule.names))
                share = fit(numpy, numpy.asarray(share), case.values[i].shape)
            except Exception:  # a student's rule may raise anything
                continue
            if not differs(share, case.numerical[i]):
                yield "wrong operand", {"used": words[used], "belongs": words[instead]}


def _factors(student: Primitive, case: Case, i: int, got: Any, gradient: Any) -> Answers:
    """A factor that is missing, or one too many."""
    wanted = case.numerical[i]
    for factor, words in _candidates(case, case.values[i].shape):
        for sign, more in ((1, ""), (-1, ", and the sign is flipped")):
            if not differs(sign * got * factor, wanted):
                yield "missing factor", {"words": words, "more": more}
            if not differs(got, sign * wanted * factor) and numpy.any(factor != 1):
                yield "superfluous factor", {"words": words, "more": more}
        constant = _constant(got * factor, wanted)
        if constant is not None:
            yield "missing factor", {"words": words, "more": f", and another of {1 / constant:.6g}"}


def _terms(student: Primitive, case: Case, i: int, got: Any, gradient: Any) -> Answers:
    """A term that is missing, or one too many."""
    wanted = case.numerical[i]
    if case.y.shape != wanted.shape:
        return
    ones = (numpy.ones_like(wanted), "")
    for factor, words in (ones, *_candidates(case, wanted.shape)):
        constant = _constant(wanted - got, case.weight * factor)
        if constant is not None:
            many = "" if abs(constant - 1) < 1e-4 else f"{constant:.6g} * "
            yield "missing term", {"term": f"{many}g" + (f" * {words}" if words else "")}


def _candidates(case: Case, shape: tuple[int, ...]) -> Iterator[tuple[Any, str]]:
    """Yield factors that a gradient of this shape may lack, with the words for them."""
    for name, value in [*zip(case.names, case.values, strict=True), ("y, the output", case.y)]:
        if value.dtype.kind != "f" or not _spreads(value.shape, shape):
            continue
        value = numpy.broadcast_to(value, shape)
        yield value, name
        yield value**2, f"the square of {name}"
        yield 1 - value, f"1 - {name.partition(',')[0]}"
        yield numpy.sign(value), f"the sign of {name}"
        yield numpy.cos(value), f"the cosine of {name}"
        yield numpy.exp(value), f"the exponential of {name}"


def _spreads(small: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    try:
        return numpy.broadcast_shapes(small, shape) == shape
    except ValueError:
        return False


def _constant(got: Any, wanted: Any) -> float | None:
    """Return c if `got` is c times `wanted` for a number c other than 0, or None; one entry tells nothing."""
    size = float(numpy.sum(wanted * wanted))
    if not numpy.all(numpy.isfinite(got)) or got.shape != wanted.shape or got.size < 2 or size == 0:
        return None
    c = float(numpy.sum(got * wanted)) / size
    return None if abs(c) < 1e-6 or differs(got, c * wanted) else c
