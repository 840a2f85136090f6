"""Running the cells of a notebook: a mistake in one becomes a sentence, and the next one runs."""

from __future__ import annotations

import ast
import builtins
import linecache
import re
import signal
import symtable
import sys
import traceback
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .submissions import TOO_LONG

LONGEST = 300
"""Characters of an error's message that a sentence quotes."""
MAGIC = re.compile(r"^(\s*)(?:[%!?].*|[\w.]+\?{1,2}\s*)$", re.MULTILINE)
"""Lines that IPython understands and Python doesn't."""
PYTHON_MAGICS = ("%%time", "%%timeit", "%%capture", "%%prun")
"""Magics of a whole cell below which there is Python."""


class TimeIsUpError(BaseException):
    """Raised in code that runs too long; no ``except Exception`` of a student catches it."""


@dataclass(frozen=True)
class Result:
    """A cell that ran.

    Attributes
    ----------
    defined : frozenset of str
        The names that it bound.
    kind : str
        Empty if it ran to its end; else ``"empty"``, ``"commented out"``, ``"syntax"``, ``"raises"`` or
        ``"too long"``.
    sentence : str
        The mistake, or empty.
    """

    defined: frozenset[str] = frozenset()
    kind: str = ""
    sentence: str = ""


def new_namespace() -> dict[str, Any]:
    """Return the namespace in which all cells of a notebook run, as the module ``__main__``."""
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    namespace = vars(main)
    namespace["__builtins__"] = builtins
    namespace["display"] = lambda *shown, **settings: None
    return namespace


def run_cell(source: str, name: str, namespace: dict[str, Any], seconds: float) -> Result:
    """Run a cell, as Jupyter does but without showing anything.

    Parameters
    ----------
    source : str
        Its text. Lines for IPython alone, such as ``%matplotlib inline`` and ``!pip install``, are left out.
    name : str
        Stands for the file name in tracebacks.
    namespace : dict
        The variables of the notebook.
    seconds : float
        The processor's time that it may take.
    """
    filename = f"<{name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    before = dict(namespace)
    try:
        python = _python(source)
        bound = assigned(python)
        tree = ast.parse(python, filename)
        tree.body = [statement for statement in tree.body if not _calls_grader(statement)]
        code = compile(tree, filename, "exec", dont_inherit=True)
    except SyntaxError as error:
        line = "".join(source.splitlines()[(error.lineno or 0) - 1 : error.lineno]).strip()
        return Result(kind="syntax", sentence=f"line {error.lineno} is not Python ({error.msg}): {line}")
    except (ValueError, RecursionError, MemoryError) as error:  # null characters; a thousand brackets
        return Result(kind="syntax", sentence=f"this is not Python ({str(error) or type(error).__name__})")
    if not tree.body and re.search(r"^\s*#", source, re.MULTILINE):
        return Result(kind="commented out", sentence="all lines of the cell are comments")
    if not tree.body:
        return Result(kind="empty", sentence="the cell is empty")
    kind, sentence = "", ""
    try:
        with at_most(seconds):
            try:
                exec(code, namespace)
            except BaseException as error:
                kind, sentence = _described(error, filename, seconds)
    except TimeIsUpError as error:  # while an error describes itself
        kind, sentence = _described(error, filename, seconds)
    _close_figures()
    changed = {key for key, value in namespace.items() if key not in before or before[key] is not value}
    return Result(frozenset(changed | (set() if kind else bound & {*namespace})), kind, sentence)


def _calls_grader(statement: ast.stmt) -> bool:
    """Tell whether a statement is ``course.grade(...)`` or ``course.require(...)``: the check grades anew."""
    if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Call):
        return False
    function = statement.value.func
    return (
        isinstance(function, ast.Attribute)
        and function.attr in ("grade", "require")
        and ast.unparse(function.value).split(".")[-1] == "course"
    )


def assigned(python: str) -> set[str]:
    """Return the names that Python code binds, except those within its functions and classes."""
    symbols = symtable.symtable(python, "<cell>", "exec").get_symbols()
    return {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}


def names_in(source: str) -> set[str]:
    """Return the names that a cell binds, as far as it is Python."""
    try:
        return assigned(_python(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise `TimeIsUpError` inside a ``with`` block that computes longer, and again each second.

    The processor's time counts, so that answers do not fail because the machine is busy. Code that sleeps or
    catches everything goes on, and so do loops in C, and all code on Windows, which has no such alarm. The
    process that watches this one ends those.
    """

    def stop(number: int, frame: object) -> None:
        raise TimeIsUpError

    alarms = hasattr(signal, "setitimer")
    if alarms:
        signal.signal(signal.SIGPROF, stop)
        signal.setitimer(signal.ITIMER_PROF, seconds, 1)
    try:
        yield
    finally:
        if alarms:
            signal.setitimer(signal.ITIMER_PROF, 0)


def _python(source: str) -> str:
    """Return a cell without the lines that only IPython understands; all other lines keep their numbers."""
    first, _, rest = source.lstrip().partition("\n")
    if first.startswith("%%"):
        return (
            "\n" * (source[: -len(rest)].count("\n") if rest else 0) + rest
            if first.startswith(PYTHON_MAGICS)
            else ""
        )
    try:
        ast.parse(source)
    except SyntaxError:
        return MAGIC.sub(r"\1pass", source)
    return source


def _described(error: BaseException, filename: str, seconds: float) -> tuple[str, str]:
    """Return the kind and the sentence of an error in a cell."""
    lines = [
        line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == filename
    ]
    where = f" in line {lines[-1]}" if lines else ""
    if isinstance(error, TimeIsUpError):
        return "too long", TOO_LONG.format("the cell", seconds, where)
    if isinstance(error, SystemExit):
        return "raises", f"the cell ends Python with exit(){where}; take that out"
    if isinstance(error, EOFError) and "reading a line" in str(error):
        return "raises", f"the cell waits for input(){where}, and no one types here; assign the value instead"
    return "raises", f"the cell raises {type(error).__name__}{where}: {short(_text(error), LONGEST)}".rstrip(
        ": "
    )


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""


def short(text: str, longest: int) -> str:
    """Return the beginning of a text, on one line."""
    text = " ".join(text[: 4 * longest].split())
    return text if len(text) <= longest else f"{text[:longest]}..."


def _close_figures() -> None:
    if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
        pyplot.close("all")
