"""Formulas of rules: the source text of a primitive's vector-Jacobian product, written for a reader.

A rule is its own formula. The formula omits the parts that only the computer needs: the namespace ``xp``, the
place ``out`` for the result, settings passed on under their own names, and underscores before names.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy

from ...engine.graph import Primitive


@dataclass(frozen=True)
class Formula:
    """The expression that a rule computes, in the words of its source.

    Attributes
    ----------
    text : str
        An expression such as ``"g * b"``; a call of the rule by name if it takes several statements, or
        if its source is not at hand.
    helpers : tuple of (str, str)
        The functions of the package that it calls, each as a call with the first line of its docstring.
    elementwise : bool
        Whether it is known to have the shape of the output, whatever the input's.
    """

    text: str
    helpers: tuple[tuple[str, str], ...] = ()
    elementwise: bool = False


@cache
def formula(function: Callable[..., Any]) -> Formula:
    """Read the formula of a rule from its source.

    Parameters
    ----------
    function : function
        The rule: a lambda, or a function of any length.

    Examples
    --------
    >>> from tinygrad_adam.engine.graph import PRIMITIVES
    >>> formula(PRIMITIVES["divide"].rules["b"].function).text
    '-g * y / b'
    >>> formula(PRIMITIVES["_linear"].rules["weight"].function).text
    'rows(g).T @ rows(x)'
    """
    node = _definition(function)
    body = None
    if isinstance(node, ast.Lambda):
        body = node.body
    elif node is not None:
        statements = node.body[1:] if ast.get_docstring(node) is not None else node.body
        if len(statements) == 1 and isinstance(statements[0], ast.Return):
            body = statements[0].value
    if body is None:
        names = [name for name in inspect.signature(function).parameters if name not in ("xp", "out")]
        call = f"{_plain(function.__name__)}({', '.join(names)})"
        said = _first_line(function)
        return Formula(call, ((call, said),) if said else ())
    reader = _Reader(function)
    elementwise = reader.elementwise(body)
    text = ast.unparse(ast.fix_missing_locations(reader.visit(body)))
    return Formula(text, tuple(reader.helpers.items()), elementwise)


def _definition(function: Callable[..., Any]) -> ast.Lambda | ast.FunctionDef | None:
    """Find the syntax tree of a function in its file; None if there is no such file."""
    try:
        lines, _ = inspect.findsource(function)
    except (OSError, TypeError):
        return None
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    # Several lambdas may stand in one line: this one's instructions lie inside it.
    inside = [(line, column) for line, _, column, _ in code.co_positions() if line and column]
    for node in _functions("".join(lines)):
        begins = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        if begins != code.co_firstlineno or tuple(a.arg for a in _arguments(node)) != names:
            continue
        ends = (node.end_lineno or 0, node.end_col_offset or 0)
        if all((node.lineno, node.col_offset) <= place <= ends for place in inside[-1:]):
            return node
    return None


@cache
def _functions(source: str) -> list[ast.Lambda | ast.FunctionDef]:
    try:
        tree = ast.parse(source)
    except SyntaxError:  # the file is another one by now
        return []
    return [node for node in ast.walk(tree) if isinstance(node, ast.Lambda | ast.FunctionDef)]


def _arguments(node: ast.Lambda | ast.FunctionDef) -> list[ast.arg]:
    return [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]


class _Reader(ast.NodeTransformer):
    """Writes an expression as a reader would: ``a @ b`` for a product, ``x.shape`` for ``x_shape``."""

    def __init__(self, function: Callable[..., Any]) -> None:
        variables = inspect.getclosurevars(function)
        self.known = {**variables.globals, **variables.nonlocals}
        self.parameters = set(inspect.signature(function).parameters)
        self.helpers: dict[str, str] = {}

    def elementwise(self, body: ast.expr) -> bool:
        """Return whether every function in the rule works element by element."""
        for node in ast.walk(body):
            if isinstance(node, ast.Subscript | ast.MatMult | ast.Attribute) and not _of_xp(node):
                return False
            if isinstance(node, ast.Call) and not _elementwise(node.func):
                return False
        return True

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in self.parameters:
            stem = node.id.removesuffix("_shape")
            return node if stem == node.id else ast.Attribute(ast.Name(stem), "shape")
        return ast.Name(_plain(node.id))

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return ast.Name(node.attr) if _of_xp(node) else self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        node.args = [a for a in node.args if not (isinstance(a, ast.Name) and a.id == "xp")]
        if not _of_xp(node.func):  # another primitive, with the settings of this one
            node.keywords = [k for k in node.keywords if not _passed_on(k)]
        helper = self.known.get(name)
        self.generic_visit(node)
        if name == "_transposed":
            return ast.Attribute(node.args[0], "T")
        if name == "_matmul":
            return ast.BinOp(node.args[0], ast.MatMult(), node.args[1])
        if isinstance(helper, Primitive) or inspect.isfunction(helper):
            names = [n for n in inspect.signature(helper).parameters if n != "xp"][: len(node.args)]
            said = _first_line(helper)
            if said:
                self.helpers[f"{_plain(name)}({', '.join(names)})"] = said
        return node


def _of_xp(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "xp"


def _elementwise(function: ast.expr) -> bool:
    if not isinstance(function, ast.Attribute) or not _of_xp(function):
        return False
    return function.attr == "where" or isinstance(getattr(numpy, function.attr, None), numpy.ufunc)


def _passed_on(keyword: ast.keyword) -> bool:
    return isinstance(keyword.value, ast.Name) and keyword.value.id in (keyword.arg, "out")


def _plain(name: str) -> str:
    return name.lstrip("_")


def _first_line(thing: object) -> str:
    """Return the first sentence of a docstring, without its quotation marks."""
    text = (thing.__doc__ or "").strip().split("\n\n")[0]
    return re.sub(r"`+", "", " ".join(text.split())).rstrip(".")
