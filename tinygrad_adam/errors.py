"""The one exception tree, and the shape that every message has.

A message names the operation, states the rule, and shows the caller's values::

    ShapeError: linear: x.shape[-1] must equal weight.shape[1]
      x       (32, 64)
      weight  (128, 100)

Every class also derives from the built-in exception that a caller would expect, so
``except ValueError`` keeps working.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class TinygradAdamError(Exception):
    """Base of all errors that this package raises on purpose.

    Parameters
    ----------
    where : str
        The operation, class or file that refuses.
    problem : str
        The rule, and the remedy.
    **values
        The caller's values, shown one a line below the message.
    """

    def __init__(self, where: str, problem: str = "", /, **values: object) -> None:
        message = f"{where}: {problem}" if problem else where
        width = max(map(len, values), default=0)
        lines = [message] + [f"  {name:<{width}}  {value}" for name, value in values.items()]
        super().__init__("\n".join(lines))


class ShapeError(TinygradAdamError, ValueError):
    """Shapes or axes that do not fit the operation."""


class DTypeError(TinygradAdamError, TypeError):
    """A data type or kind of object that the operation does not accept."""


class DeviceError(TinygradAdamError, ValueError):
    """A device that is unknown, absent, or not the device of the other arrays."""


class IndexingError(TinygradAdamError, IndexError):
    """An index or a label outside its range."""


class GraphError(TinygradAdamError, RuntimeError):
    """A backward pass that the recorded graph cannot serve."""


class UnknownNameError(TinygradAdamError, AttributeError):
    """An attribute of another package, which has another name here."""


class OptionError(TinygradAdamError, ValueError):
    """A hyper-parameter or option outside its domain, or an unknown name."""


class StateError(TinygradAdamError, ValueError):
    """A state that does not fit the module or the optimizer that loads it."""


class CheckpointError(TinygradAdamError, ValueError):
    """A file that is damaged, truncated, or of another format."""


class DataError(TinygradAdamError, ValueError):
    """A data set that cannot be found, fetched or trusted."""


class NonFiniteError(TinygradAdamError, ArithmeticError):
    """A loss or a gradient that is NaN or infinite."""


class GradcheckError(TinygradAdamError, AssertionError):
    """An analytical gradient that differs from the numerical one."""


@contextmanager
def optional(where: str, extra: str) -> Iterator[None]:
    """Refuse a missing package that is imported inside the ``with`` block, and say how to install it.

    Parameters
    ----------
    where : str
        The function that needs it.
    extra : str
        The extra of this package that brings it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise OptionError(where, f'needs {package}: pip install "tinygrad-adam[{extra}]"') from error


def unknown_name(where: str, kind: str, name: object, known: Iterable[str]) -> OptionError:
    """Build the error for a name that is not known, with the nearest one that is.

    Examples
    --------
    >>> print(unknown_name("train", "optimizer", "adm", ["sgd", "adam"]))
    train: unknown optimizer 'adm'; did you mean 'adam'?
      known  adam, sgd
    """
    known = sorted(known)
    near = near_names(name, known)[:1]
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return OptionError(where, f"unknown {kind} {name!r}{hint}", known=", ".join(known))


def near_names(name: object, known: Iterable[str]) -> list[str]:
    """Return the known names that resemble `name`: first those of the same letters, then by likeness.

    Examples
    --------
    >>> near_names("fc1.weigth", ["fc1.bias", "fc1.weight", "conv"])
    ['fc1.weight', 'fc1.bias']
    >>> near_names("adma", ["adamax", "adam"])
    ['adam', 'adamax']
    """
    import difflib  # slow to import, and needed only when something is wrong

    near = difflib.get_close_matches(str(name), list(known), n=3, cutoff=0.4)
    return sorted(near, key=lambda known: sorted(known) != sorted(str(name)))
