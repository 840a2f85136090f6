"""Mistakes in a gradient, found by comparing it with the results of typical ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy

from ...engine.backward import fit
from ...engine.graph import Primitive
from .cases import Case, differences, differs
from .report import Finding


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
    for look in (_simple, _upstream, _spread, _axes, _others, _substituted, _factors, _terms, _ratio):
        with numpy.errstate(all="ignore"):
            for kind, sentence in look(student, case, i, got, gradient):
                return Finding(name, kind, sentence, evidence)
    return Finding(
        name, "differs",
        f"the rule for {name} gives other numbers than central differences of your forward rule, and "
        "they are like no typical mistake. Derive it again: the derivative of the output by this input,"
        " times g.",
        evidence,
    )  # fmt: skip


Answers = Iterator[tuple[str, str]]


def _simple(student: Primitive, case: Case, i: int, got: Any, gradient: Any) -> Answers:
    """Zero, a flipped sign, a constant factor."""
    name, wanted = case.names[i], case.numerical[i]
    if not numpy.any(wanted):
        yield "not zero", f"the output does not depend on {name} here, so its gradient must be 0."
    if not numpy.any(got):
        yield "zero", f"the rule for {name} gives 0 everywhere, but the output depends on {name}."
    if not differs(got, -wanted):
        yield (
            "flipped sign",
            f"the rule for {name} has the wrong sign: everything else about it is right. Does a larger "
            f"{name} make the output larger or smaller?",
        )
    factor = _constant(got, wanted)
    if factor is not None:
        yield _constant_factor(case, i, factor)


def _ratio(student: Primitive, case: Case, i: int, got: Any, gradient: Any) -> Answers:
    """A factor in a gradient of one number, in which every mistake is a factor."""
    wanted = case.numerical[i]
    if wanted.size == 1:
        yield _constant_factor(case, i, (got / wanted).item())


def _constant_factor(case: Case, i: int, factor: float) -> tuple[str, str]:
    name = case.names[i]
    count = f"{1 / factor:.6g}" if abs(factor) < 1 else f"1/{factor:.6g}"
    sentence = f"the rule for {name} gives {factor:.6g} times the derivative everywhere: "
    sentence += f"a factor of {count} is missing."
    sizes = [n for n in (*case.y.shape, *case.values[i].shape, case.y.size) if n > 1]
    if any(abs(factor * n - 1) < 1e-4 for n in sizes):
        sentence += " That is one over a size: did you take a mean where a sum belongs?"
    elif any(abs(factor / n - 1) < 1e-4 for n in sizes):
        sentence += " That is a size: did you sum where a mean belongs?"
    return "constant factor", sentence


def _upstream(student: Primitive, case: Case, i: int, got: Any, gradient: Any) -> Answers:
    """The gradient of the output left out, or used twice."""
    name, twice = case.names[i], gradient(2 * case.weight)
    if not differs(twice, got):
        yield (
            "missing g",
            f"the rule for {name} does not depend on g, the gradient of the output. The chain rule "
            "multiplies by it: what comes from behind is not always 1.",
        )
    if not differs(twice, 4 * got):
        yield "g twice", f"the rule for {name} multiplies by g twice. The chain rule does so once."


def _spread(student: Primitive, case: Case, i: int, got: Any, gradient: Any) -> Answers:
    """A part of the gradient of an input that was broadcast."""
    name, x, y = case.names[i], case.values[i], case.y
    if x.shape == y.shape or numpy.broadcast_shapes(x.shape, y.shape) != y.shape:
        return
    whole = [numpy.broadcast_to(v, y.shape).copy() if j == i else v for j, v in enumerate(case.values)]
    try:
        if differs(case.call(*whole), y):
            return  # it is not spread, but used in another way
    except Exception:  # whatever a student's rule raises
        return
    shares = differences(case.call, whole, i, case.weight)
    axes = [a for a in range(y.ndim) if a < y.ndim - x.ndim or x.shape[a - y.ndim] != y.shape[a]]
    for place, words in ((0, "first"), (-1, "last")):
        part = shares[tuple(slice(None) if a not in axes else place for a in range(y.ndim))]
        if part.size == x.size and not differs(got, part.reshape(x.shape)):
            yield (
                "missing un-broadcast",
                f"{name} of shape {x.shape} was spread to {y.shape}, so each of its entries is used several "
                f"times, and its gradient is the sum over all uses. Your rule keeps the {words} one "
                f"only: sum over axis {', '.join(map(str, axes))}, or return the whole gradient of shape"
                f" {y.shape}, and the engine sums.",
            )


def _axes(student: Primitive, case: Case, i: int, got: Any, gradient: Any) -> Answers:
    """The right numbers along the wrong axis."""
    name, wanted = case.names[i], case.numerical[i]
    if wanted.ndim == 2 and wanted.shape[0] == wanted.shape[1] and not differs(got, wanted.T):
        yield (
            "wrong axis",
            f"the rule for {name} gives the transpose of the derivative: rows and columns are mixed up. Is g "
            "spread along the right axis, and is each matrix transposed that must be?",
        )
    order = numpy.sort(wanted, axis=None)
    if wanted.size > 1 and not differs(numpy.sort(got, axis=None), order):
        yield (
            "wrong order",
            f"the rule for {name} gives the right numbers in the wrong places: look at axes, reshapes and "
            "transposes.",
        )


def _others(student: Primitive, case: Case, i: int, got: Any, gradient: Any) -> Answers:
    """The gradient of another input."""
    name = case.names[i]
    for j, other in enumerate(case.numerical):
        if j != i and other is not None and not differs(got, other):
            yield (
                "another input's rule",
                f"the rule for {name} gives the derivative by {case.names[j]}. Are the two rules mixed up?",
            )


def _substituted(student: Primitive, case: Case, i: int, got: Any, gradient: Any) -> Answers:
    """A rule that would be right if it took the output where it takes an input, or the like."""
    name, rule = case.names[i], student.rules[case.names[i]]
    if student.variadic or student.rules.get("y") or "kernels" in rule.names:
        return
    known: dict[str, Any] = dict(zip(case.names, case.values, strict=True))
    known["y"] = case.y
    settings = {key: case.settings.get(key, default) for key, default in student.static.items()}
    given = {
        "g": case.weight, "xp": numpy, "out": None, "index": None, **settings, **known,
        **{f"{each}_shape": value.shape for each, value in known.items()},
    }  # fmt: skip
    for used in rule.names:
        for instead in known:
            if used not in known or instead == used or known[instead].shape != known[used].shape:
                continue
            try:
                share = rule.function(*(given[instead if each == used else each] for each in rule.names))
                share = fit(numpy, numpy.asarray(share), case.values[i].shape)
            except Exception:  # whatever a student's rule raises
                continue
            if not differs(share, case.numerical[i]):
                what = {"y": "the output y"}
                yield (
                    "wrong operand",
                    f"the rule for {name} uses {what.get(used, used)} where "
                    f"{what.get(instead, instead)} belongs; with that it would be right.",
                )


def _factors(student: Primitive, case: Case, i: int, got: Any, gradient: Any) -> Answers:
    """A factor that is missing, or one too many."""
    name, wanted = case.names[i], case.numerical[i]
    for factor, words in _candidates(case, case.values[i].shape):
        for sign, minus in ((1, ""), (-1, ", and the sign is flipped")):
            if not differs(sign * got * factor, wanted):
                yield "missing factor", f"the rule for {name} lacks a factor of {words}{minus}."
            if not differs(got, sign * wanted * factor) and numpy.any(factor != 1):
                yield "superfluous factor", f"the rule for {name} has a factor of {words} too many{minus}."
        constant = _constant(got * factor, wanted)
        if constant is not None:
            yield (
                "missing factor",
                f"the rule for {name} lacks a factor of {words}, and another of {1 / constant:.6g}.",
            )


def _terms(student: Primitive, case: Case, i: int, got: Any, gradient: Any) -> Answers:
    """A term that is missing, or one too many."""
    name, wanted = case.names[i], case.numerical[i]
    if case.y.shape != wanted.shape:
        return
    ones = (numpy.ones_like(wanted), "")
    for factor, words in (ones, *_candidates(case, wanted.shape)):
        constant = _constant(wanted - got, case.weight * factor)
        if constant is not None:
            term = "g" + (f" * {words}" if words else "")
            many = "" if abs(constant - 1) < 1e-4 else f"{constant:.6g} * "
            yield (
                "missing term",
                f"the rule for {name} lacks a term: add {many}{term}. A sum or a product has a part for each "
                "place where the input stands.",
            )


def _candidates(case: Case, shape: tuple[int, ...]) -> Iterator[tuple[Any, str]]:
    """Yield factors that a gradient of this shape may lack, with the words for them."""
    known = [*zip(case.names, case.values, strict=True), ("y, the output", case.y)]
    for name, value in known:
        if value.dtype.kind == "f":
            value = numpy.broadcast_to(value, shape) if _spreads(value.shape, shape) else None
        else:
            value = None
        if value is None:
            continue
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
