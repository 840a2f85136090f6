"""Rules of the way back: their parameters name the values that a node keeps for them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def parameter_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """Name the parameters in order, a variadic one last; `inspect.signature` would be slow to import with."""
    code = function.__code__
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & inspect.CO_VARARGS)
    return code.co_varnames[:count]


class Rule:
    """A vector-Jacobian product and the names of its parameters: the values that it needs."""

    __slots__ = ("function", "names")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.names = parameter_names(function)


class Tape:
    """The plan of a primitive's nodes when a given set of its inputs needs a gradient.

    Attributes
    ----------
    pulls : list of (int, Rule)
        The inputs that get a gradient, by position, with their rules.
    first : Rule or None
        The rule for the output, which the gradient passes before the others see it.
    inputs, shapes : list of (str, int)
        The names that those rules use for an input or its shape, and its position.
    settings : list of (str, object)
        The settings that they use, with their defaults.
    output : bool
        Whether they use the output.
    """

    __slots__ = ("first", "inputs", "output", "pulls", "settings", "shapes")

    def __init__(self, primitive: Any, mask: int) -> None:
        rules = primitive.rules
        named = [(i, primitive.name_of(i)) for i in range(mask.bit_length()) if mask >> i & 1]
        self.pulls = [(i, rules[name]) for i, name in named if name in rules]
        self.first = rules.get("y")
        names = {name for _, rule in self.pulls for name in rule.names}
        names.update(self.first.names if self.first else ())
        places = list(enumerate(primitive.inputs))
        self.inputs = [(name, i) for i, name in places if name in names]
        self.shapes = [(f"{name}_shape", i) for i, name in places if f"{name}_shape" in names]
        self.settings = [(name, default) for name, default in primitive.static.items() if name in names]
        self.output = "y" in names
