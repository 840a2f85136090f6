"""Calling a student's function, whatever it does, and reading numbers from its result."""

from __future__ import annotations

import contextlib
import inspect
import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from ..tensor.tensor import Tensor
from ..typing import Array, TensorLike
from .findings import AnswerError, untouched
from .reading import blank, line_of
from .showing import call, shown, signature

Case = tuple[Any, ...]
"""The arguments of one call."""
PRINTED = 60
"""Characters of a student's printed text that are kept."""


class Printed(io.TextIOBase):
    """Stands in for the terminal and keeps the beginning of the printed text."""

    begin = ""

    def write(self, text: str) -> int:
        """Keep the text if there is room."""
        self.begin = (self.begin + text[:PRINTED])[:PRINTED]
        return len(text)


def written(name: str, student: object) -> None:
    """Refuse an answer that is as it was handed out."""
    if student is ... or blank(student):
        raise untouched(name)


def result_of(
    name: str, student: object, right: Callable[..., Any], case: Case, shape: tuple[int, ...]
) -> Array:
    """Call a student's function and return its result as an array of float64 of a given shape.

    Raises
    ------
    AnswerError
        If it is no function, is not written yet, takes other arguments, raises, changes its arguments, or
        returns anything but finite numbers in this shape.
    """
    written(name, student)
    given, printed = [_copied(argument) for argument in case], Printed()
    result = outcome(name, student, right, given, printed)
    calling = call(name, case, right)
    for before, after in zip(case, given, strict=True):
        if isinstance(before, numpy.ndarray | list) and not _same(before, after):
            sentence = f"""it changes an argument of type {type(before).__name__} in place. It belongs to the
            caller: work on a copy, as in x = x.copy(), or make a new one."""
            raise AnswerError(name, "changes its arguments", sentence, f"called as {calling}")
    if result is None and printed.begin:
        sentence = "it prints its result and returns None. Write return where print stands."
        raise AnswerError(name, "prints", sentence, f"{calling} prints {printed.begin.strip()!r}")
    if result is None:
        sentence = "it returns None. Does it end with return, followed by the result?"
        raise AnswerError(name, "returns nothing", sentence, f"{calling} returns None")
    return numbers(name, calling, result, shape)


def outcome(
    name: str, student: object, right: Callable[..., Any], given: Sequence[Any], printed: Printed
) -> Any:
    """Call a student's function, and refuse one that cannot be called as `right` can, or raises."""
    if not callable(student):
        sentence = (
            f"this is {shown(student)}. The exercise asks for a function: def {name}{signature(right)}."
        )
        raise AnswerError(name, "not a function", sentence)
    with contextlib.suppress(ValueError):  # some functions in C have no signature
        try:
            inspect.signature(student).bind(*given)
        except TypeError:
            sentence = f"it is called as {name}{signature(right)}, but yours takes {signature(student)}."
            raise AnswerError(name, "other arguments", sentence) from None
    try:
        with contextlib.redirect_stdout(printed), warnings.catch_warnings(), numpy.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return student(*given)
    except NotImplementedError:
        raise untouched(name) from None
    except (Exception, SystemExit) as error:
        raise raising(name, error, call(name, given, right)) from None


def raising(name: str, error: BaseException, calling: str = "") -> AnswerError:
    """Return the finding for code that raises, with the student's line."""
    sentence, line = f"your code raises {type(error).__name__}: {error}".rstrip(". :") + ".", line_of(error)
    if isinstance(error, TypeError) and "scalar" in str(error):
        sentence += " The argument is an array: np.sqrt and its like take arrays, math.sqrt does not."
    evidence = [f"called as {calling}"] * bool(calling) + [f"in {line}"] * bool(line)
    return AnswerError(name, "raises", sentence, "\n".join(evidence))


def numbers(name: str, said: str, value: object, shape: tuple[int, ...]) -> Array:
    """Return a student's numbers as an array of float64, or refuse anything else.

    Parameters
    ----------
    name : str
        Of the answer.
    said : str
        The call that gave the value, for the explanation.
    value : object
        Numbers in any form: Python's, NumPy's, Tensors, lists of them.
    shape : tuple of int
        Their shape; one number may have any axes of length 1.
    """
    try:
        array = numpy.asarray(_plain(value))
    except Exception:  # lists of different lengths, or an object that refuses
        array = numpy.asarray(None)
    if array.dtype.kind not in "biuf":
        kind = f"the text {value!r}" if isinstance(value, str) else f"of type {type(value).__name__}"
        remedy = "Write it without quotes." if isinstance(value, str) else "Numbers are wanted."
        raise AnswerError(name, "not a number", f"{said} is {kind}, not a number. {remedy}")
    if array.shape != shape and not (array.size == 1 and shape == ()):
        wanted = f"of shape {shape}" if shape else "a single number"
        count = f"a tuple of {len(value)}, " if isinstance(value, tuple) else ""
        sentence = f"{said} is {count}of shape {array.shape}; the result should be {wanted}."
        raise AnswerError(name, "wrong shape", sentence)
    array = array.reshape(shape).astype(numpy.float64)
    if not numpy.isfinite(array).all():
        sentence = f"{said} is {shown(array)}. Is something divided by 0, or a number too large for exp?"
        if array.ndim:
            sentence = f"{said} has entries that are not finite. Is something divided by 0?"
        raise AnswerError(name, "not finite", sentence)
    return array


def _plain(value: object) -> Any:
    """Replace Tensors, also within lists, by arrays."""
    if isinstance(value, Tensor):
        return value.detach().numpy()
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _copied(argument: TensorLike) -> TensorLike:
    return argument.copy() if isinstance(argument, numpy.ndarray | list) else argument


def _same(before: TensorLike, after: TensorLike) -> bool:
    """Tell whether an argument is as it was, up to the rounding of entries that were moved and moved back."""
    return numpy.shape(before) == numpy.shape(after) and numpy.allclose(before, after, 1e-12, 1e-12)
