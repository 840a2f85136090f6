"""Break a function in every sign, factor, term, constant, axis and branch of its syntax tree."""

from __future__ import annotations

import ast
import copy
import warnings
from collections import Counter
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

Definition = ast.Lambda | ast.FunctionDef

OPPOSITE = {ast.Add: ast.Sub, ast.Sub: ast.Add}
COMPARISONS: dict[type, tuple[type, ...]] = {
    ast.Gt: (ast.Lt, ast.GtE),
    ast.Lt: (ast.Gt, ast.LtE),
    ast.GtE: (ast.Lt, ast.Gt),
    ast.LtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
PLACES = {"axis", "axes", "index", "k", "shift", "offset"}


def moved(place: Any) -> Any:
    """Return a different axis, index or offset that is equally valid."""
    if place is None:
        return 0
    if isinstance(place, bool | type(Ellipsis)):
        return place
    if isinstance(place, slice):
        return slice(*[None if end is None else end - 1 for end in (place.start, place.stop)], place.step)
    if isinstance(place, np.ndarray) and place.dtype == bool:
        return np.roll(place, 1)
    if isinstance(place, tuple | list):
        return type(place)(part if part is None else moved(part) for part in place)
    return place - 1


def negated(node: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.USub(), node)


def replacements(node: ast.AST, in_loop: bool, arrays: list[str]) -> Iterator[ast.AST]:
    """Yield plausible wrong replacements of `node`; a rule may confuse the names in `arrays`."""
    match node:
        case ast.BinOp(left, ast.Mult(), right):
            yield from (left, right)
        case ast.BinOp(left, ast.Div(), right):
            yield from (left, ast.BinOp(ast.Constant(1), ast.Div(), right))
        case ast.BinOp(left, ast.Pow(), right):
            yield left
        case ast.BinOp(left, ast.Add() | ast.Sub() as op, right):
            yield ast.BinOp(left, OPPOSITE[type(op)](), right)
            yield from (left, right if isinstance(op, ast.Add) else negated(right))
        case ast.UnaryOp(ast.USub(), operand):
            yield operand
        case ast.Constant(bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(int(value) | float(value)):
            yield ast.Constant(value + 1)
        case ast.Compare(left, [op], [right]) if not in_loop:
            yield from (ast.Compare(left, [new()], [right]) for new in COMPARISONS.get(type(op), ()))
        case ast.IfExp(_, body, orelse):
            yield from (body, orelse)
        case ast.BoolOp(_, values):
            yield from values
        case ast.If(test, body, orelse):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.Name(name, ast.Load()) if name in PLACES:
            yield ast.Call(ast.Name("_moved", ast.Load()), [node], [])
        case ast.Name(name, ast.Load()) if name in arrays:
            yield from (ast.Name(other, ast.Load()) for other in arrays if other != name)
        case ast.Attribute(value, "T"):
            yield value
        case ast.Call(ast.Attribute(ast.Name("xp"), "where"), [_, yes, no]):
            yield from (yes, no)
        case ast.Call(ast.Attribute(ast.Name("xp")) | ast.Name(), [first, *_]) if not isinstance(
            first, ast.Starred
        ):
            yield first
        case ast.AugAssign(target, ast.Add() | ast.Sub() as op, value):
            yield ast.AugAssign(target, OPPOSITE[type(op)](), value)
            yield ast.Pass()
        case ast.AugAssign() if not in_loop:
            yield ast.Pass()
        case ast.Return(ast.expr() as value):
            yield ast.Return(negated(value))
            yield ast.Return(ast.BinOp(ast.Constant(0), ast.Mult(), value))


def broken(tree: Definition, names: Container[str]) -> Iterator[tuple[str, Definition]]:
    """Yield every mutant of a function with a unique description.

    Parameters named in `names` are arrays, which a mutant may confuse.
    """
    if isinstance(tree, ast.Lambda):
        for label, body in [
            ("negated", negated(tree.body)),
            ("zero", ast.BinOp(ast.Constant(0), ast.Mult(), tree.body)),
        ]:
            yield label, ast.Lambda(tree.args, body)
    loops = {id(n) for loop in ast.walk(tree) if isinstance(loop, ast.While) for n in ast.walk(loop)}
    annotations = {
        id(n)
        for each in ast.walk(tree)
        for part in (getattr(each, "annotation", None), getattr(each, "returns", None))
        if part is not None
        for n in ast.walk(part)
    }
    arrays = [a.arg for a in tree.args.args if a.arg in names]
    parents = {id(child): node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    seen: Counter[str] = Counter()
    for position, node in enumerate(ast.walk(tree)):
        if id(node) in annotations:
            continue
        for new in replacements(node, id(node) in loops, arrays):
            label = f"{shown(node)} -> {shown(new)}"
            if isinstance(node, ast.Name | ast.Constant):
                label = f"{shown(parents[id(node)])}: {label}"
            seen[label] += 1
            yield label + (f" #{seen[label]}" if seen[label] > 1 else ""), replaced(tree, position, new)


def shown(node: ast.AST) -> str:
    text = ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))).split("\n")[0]
    return text if len(text) <= 60 else f"{text[:30]}...{text[-27:]}"


def replaced(tree: Definition, position: int, new: ast.AST) -> Definition:
    """Copy `tree` with the node at `position` of the walk replaced."""
    twin = copy.deepcopy(tree)
    old = next(node for i, node in enumerate(ast.walk(twin)) if i == position)

    class Replacer(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> Any:
            return copy.deepcopy(new) if node is old else self.generic_visit(node)

    return Replacer().visit(twin)


def compiled(tree: Definition, function: Callable[..., Any]) -> Any:
    """Return the code object of a mutant."""
    space = dict(function.__globals__)
    if isinstance(tree, ast.Lambda):
        expression = ast.fix_missing_locations(ast.Expression(tree))
        return eval(compile(expression, "<mutant>", "eval"), space).__code__
    tree = copy.deepcopy(tree)
    tree.decorator_list = []
    exec(compile(ast.fix_missing_locations(ast.Module([tree], [])), "<mutant>", "exec"), space)
    return space[tree.name].__code__


def caught(checks: list[Callable[[], None]]) -> bool:
    """Return whether a check raises, and move that check to the front, where it may catch more mutants."""
    for i, check in enumerate(checks):
        try:
            check()
        except Exception:
            checks.insert(0, checks.pop(i))
            return True
    return False


@contextmanager
def running(function: Any, code: Any) -> Iterator[None]:
    """Run `code` instead of `function` inside a ``with`` block."""
    original = function.__code__
    function.__globals__["_moved"] = moved
    function.__code__ = code
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        function.__code__ = original
        del function.__globals__["_moved"]
