"""Values of hyper-parameters as people write them on a command line."""

from __future__ import annotations

import ast
from typing import Any

from .errors import OptionError


def read_value(where: str, text: str, pair: str, example: str) -> Any:
    """Read a number, a truth value, None, a word, or several of them with commas.

    Parameters
    ----------
    where : str
        The option or function that takes it.
    text : str
        The value.
    pair : str
        All that was written, with the name; for the message.
    example : str
        How it is meant.

    Raises
    ------
    OptionError
        If it is none of these.

    Examples
    --------
    >>> [read_value("--set", text, "", "") for text in ("1e-3", "0.9,0.99", "True", "skip")]
    [0.001, (0.9, 0.99), True, 'skip']
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        if text.isidentifier():
            return text
        raise OptionError(where, f"write {example}", got=pair) from error
