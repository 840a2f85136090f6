"""Words of other packages, and the words here with the same meaning.

One table answers a word wherever it is used: as an attribute of a Tensor, a model or an optimizer, as a
keyword argument, or as a name in one of the package's namespaces. The cheat sheet shows the same table.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple, NoReturn

from .errors import DTypeError, UnknownNameError, near_names


class Word(NamedTuple):
    """A word of another package.

    Attributes
    ----------
    owner : str
        The place of its use: "Tensor", "Module", "Optimizer", "Trainer", a namespace such as "nn", or
        "keyword".
    word : str
        The word, without its owner.
    here : str
        The code to write here, or the reason to write nothing.
    """

    owner: str
    word: str
    here: str


_ROWS: dict[str, dict[str, str]] = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
"""By owner, then by words with one answer, the answer."""

TABLE = [
    Word(owner, word, here.replace("{word}", word))
    for owner, rows in _ROWS.items()
    for words, here in rows.items()
    for word in words.split()
]
"""The rows of ``words.json``, one for each word; ``{word}`` in an answer stands for it."""

_ANSWERS = {(word.owner, word.word): word.here for word in TABLE}


def missing(owner: str, thing: object, name: str) -> AttributeError:
    """Return the error for an attribute that `thing` lacks, with an answer if another package has it.

    Parameters
    ----------
    owner : str
        The owner in the table.
    thing : object
        The Tensor, model or namespace.
    name : str
        The attribute.

    Examples
    --------
    >>> print(missing("Tensor", None, "view"))
    Tensor.view: another package's word; here it is `x.reshape(shape)`
    """
    here = _ANSWERS.get((owner, name))
    if here is not None:
        return UnknownNameError(f"{owner}.{name}", _sentence(here))
    near = near_names(name, vars(thing)) if inspect.ismodule(thing) and not name.startswith("_") else []
    if near:
        return AttributeError(f"module {owner!r} has no attribute {name!r}; did you mean {near[0]!r}?")
    kind = f"module {owner!r}" if inspect.ismodule(thing) else f"{type(thing).__name__!r} object"
    return AttributeError(f"{kind} has no attribute {name!r}", name=name, obj=thing)


class _Answer:
    """A class attribute that raises the answer when it is read; an instance may have its own attribute.

    A ``__getattr__`` would do the same, and make each reading of every other attribute slower.
    """

    def __init__(self, owner: str, word: str) -> None:
        self.owner, self.word = owner, word

    def __get__(self, thing: object, kind: type) -> NoReturn:
        raise missing(self.owner, thing, self.word)


def answer_attributes(owner: str, kind: Any) -> None:
    """Make the instances of a class answer attributes of other packages, and leave these out of `dir`."""
    for word in TABLE:
        if word.owner == owner:
            setattr(kind, word.word, _Answer(owner, word.word))
    listed = kind.__dir__

    def own(self: object) -> list[str]:
        return [
            name for name in listed(self) if type(inspect.getattr_static(self, name, None)) is not _Answer
        ]

    kind.__dir__ = own


def _sentence(here: str) -> str:
    if here.startswith("nothing"):
        return "another package's word; here there is " + here
    return "another package's word; here it is " + here


def answer(operation: str, keywords: Iterable[str], signature: str) -> None:
    """Refuse the first of some unknown keywords, with the word here if another package has it.

    Raises
    ------
    DTypeError
        With the keyword, and the arguments that the operation takes. Without keywords nothing is raised.
    """
    for word in keywords:
        here = _ANSWERS.get(("keyword", word))
        problem = f"there is no keyword {word!r}" if here is None else f"{word}= is {_sentence(here)}"
        raise DTypeError(operation, problem, takes=signature)


def refuse_words(function: Callable[..., object], words: Iterable[str]) -> None:
    """Refuse the keywords that a function gathered in its own ``**words``; see `answer_calls`."""
    answer(function.__name__, words, without_types(inspect.signature(function)))


def without_types(signature: inspect.Signature) -> str:
    """Return a signature with names and defaults only."""
    parameters = [
        p.replace(annotation=inspect.Parameter.empty)
        for p in signature.parameters.values()
        if p.name != "self"
    ]
    return str(inspect.Signature(parameters))


def answer_calls(*things: ModuleType | type) -> None:
    """Make namespaces and classes of this package answer calls with keywords of other packages.

    This covers the functions of a namespace, the constructors of its classes, and the public methods of a
    class. A wrapper answers for most of them. A function on the path of every training step declares
    ``**words: Never`` instead and passes them to `refuse_words`, so that a right call needs no wrapper.
    """
    for thing in things:
        for name, member in list(vars(thing).items()):
            module = getattr(member, "__module__", None) or ""
            if module.partition(".")[0] != __package__ or name.startswith("_") or name == "forward":
                continue
            if inspect.isclass(member) and inspect.ismodule(thing) and "__init__" in vars(member):
                setattr(member, "__init__", _answering(vars(member)["__init__"]))  # noqa: B010
            elif inspect.isfunction(member) and (
                inspect.isclass(thing) or f"{module}.".startswith(f"{thing.__name__}.")
            ):
                if "words" in member.__annotations__:
                    _hide_words(member)
                    continue
                answers = _answering(member)
                if inspect.ismodule(thing):
                    answers.__module__ = thing.__name__  # where pickle finds it, for other processes
                setattr(thing, name, answers)


def _answering(function: FunctionType) -> Callable[..., object]:
    """Make a function refuse arguments that it does not take with an error of the package's own."""

    @functools.wraps(function)
    def call(*args: object, **kwargs: object) -> object:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            # Only the call itself failed if no frame lies below this one.
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
            operation = type(args[0]).__name__ if function.__name__ == "__init__" else function.__name__
            signature = inspect.signature(function)
            shown = without_types(signature)
            problem = str(error).partition("() ")[2]
        except AttributeError as error:
            if error.name not in _OF_ARRAYS or hasattr(error.obj, "shape"):
                raise
            raise DTypeError(
                function.__name__, "takes Tensors or arrays; make one with tg.tensor()", got=repr(error.obj)
            ) from error
        answer(operation, (word for word in kwargs if word not in signature.parameters), shown)
        raise DTypeError(operation, problem, takes=shown)

    return call


_OF_ARRAYS = ("shape", "ndim", "dtype", "size")
"""The attributes that Tensors and arrays have, and that a list in their place lacks."""


def _hide_words(function: FunctionType) -> None:
    """Show a function's signature without its ``**words``, and let it answer for arguments left out."""
    signature = inspect.signature(function)
    shown = [p for p in signature.parameters.values() if p.name != "words"]
    setattr(function, "__signature__", signature.replace(parameters=shown))  # noqa: B010
    required = [p.name for p in shown if p.default is p.empty and p.name != "self"]
    if required:
        left_out = tuple(_LeftOut(function, name) for name in required)
        function.__defaults__ = left_out + (function.__defaults__ or ())


class _LeftOut:
    """Stands for a required argument that was left out: the first look at it raises the refusal."""

    def __init__(self, function: FunctionType, name: str) -> None:
        self._function, self._name = function, name

    def __getattr__(self, attribute: str) -> NoReturn:
        raise DTypeError(
            self._function.__name__,
            f"missing 1 required positional argument: {self._name!r}",
            takes=without_types(inspect.signature(self._function)),
        )
