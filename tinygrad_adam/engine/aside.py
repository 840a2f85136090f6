"""Values that operations depend on but that have no gradient: computed aside, outside the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import events
from .graph import Variable


def aside(function: Callable[..., Any], *args: Any) -> Any:
    """Compute something that is no operation and has no gradient, from raw arrays.

    Checked indices or the moments of a batch are computed this way, so that watchers receive it, and may do
    it again.

    Parameters
    ----------
    function : callable
        One that lives as long as its module. Returns an array, a tuple of them, or None.
    *args
        Its arguments, with Variables in place of raw arrays.
    """
    result = function(*[arg._data if isinstance(arg, Variable) else arg for arg in args])
    events.tell(("aside", function, args, result))
    return result


def relying_on(output: Any, where: str, **origins: Any) -> Any:
    """Return `output`, whose backward pass refuses if an origin of a value computed `aside` was changed.

    Parameters
    ----------
    output : Variable or array
        Of an operation whose rules keep what was computed aside.
    where : str
        The name that the error begins with.
    **origins
        Variables, or tuples that may hold some, by the names that the error uses.
    """
    node = output.node if isinstance(output, Variable) else None
    if node is not None:
        for name, origin in origins.items():
            for part in origin if isinstance(origin, tuple) else (origin,):
                if isinstance(part, Variable):
                    node.rely_on((where, name), part._version)
    return output
