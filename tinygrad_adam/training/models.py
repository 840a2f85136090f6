"""Models from a short text, such as ``mlp:256,128``."""

from __future__ import annotations

import copy
import importlib.util
import inspect
import math
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..backend.overrides import use_kernels
from ..engine.modes import no_grad
from ..errors import OptionError, ShapeError, TinygradAdamError, unknown_name
from ..nn import Conv2d, Dropout, Flatten, Linear, MaxPool2d, Module, ReLU, Sequential
from ..tensor.creation import zeros
from ..tensor.random import fork_rng

FAMILIES = ("mlp", "cnn")


def mlp(
    input_shape: tuple[int, ...], classes: int, hidden: tuple[int, ...], dropout: float = 0.0
) -> Sequential:
    """Build a multi-layer perceptron with ReLU.

    Parameters
    ----------
    input_shape : tuple of int
        The shape of one input, which is flattened.
    classes : int
        How many outputs.
    hidden : tuple of int
        The sizes of the hidden layers.
    dropout : float
        The probability with which each hidden unit is dropped in training.
    """
    layers: list[Module] = [Flatten()]
    size = math.prod(input_shape)
    for width in hidden:
        layers += [Linear(size, width), ReLU()]
        if dropout:
            layers.append(Dropout(dropout))
        size = width
    return Sequential(*layers, Linear(size, classes))


def cnn(input_shape: tuple[int, ...], classes: int, dropout: float = 0.0, paper: bool = False) -> Sequential:
    """Build a convolutional network.

    Parameters
    ----------
    input_shape : tuple of int
        Channels, height and width of an image.
    classes : int
        How many outputs.
    dropout : float
        The probability with which each unit before and after the hidden layer is dropped in training.
    paper : bool
        Whether to build the network of the Adam paper (Kingma & Ba, 2015, section 6.3): three stages of
        5x5 filters, 64, 64 and 128 of them, each with a ReLU and 3x3 max pooling of stride 2, then a hidden
        layer of 1000. Otherwise two stages of 5x5 filters, 32 and 64, each with a ReLU and 2x2 max
        pooling, then a hidden layer of 128.
    """
    if len(input_shape) != 3:
        raise OptionError("model", "a cnn takes images: channels, height, width", input_shape=input_shape)
    channels, height, width = input_shape
    layers: list[Module] = []
    for filters in (64, 64, 128) if paper else (32, 64):
        pool = MaxPool2d(3, stride=2, padding=1) if paper else MaxPool2d(2, ceil_mode=True)
        layers += [Conv2d(channels, filters, kernel_size=5, padding=2), ReLU(), pool]
        channels, height, width = filters, -(-height // 2), -(-width // 2)
    hidden = 1000 if paper else 128
    drops = [Dropout(dropout), Dropout(dropout)] if dropout else []
    layers += [Flatten(), *drops[:1], Linear(channels * height * width, hidden), ReLU(), *drops[1:]]
    return Sequential(*layers, Linear(hidden, classes))


def build_model(spec: str, input_shape: tuple[int, ...], classes: int, dropout: float = 0.0) -> Module:
    """Build the model that a text describes.

    Parameters
    ----------
    spec : str
        ``"mlp"``, ``"mlp:256,128"`` with the sizes of the hidden layers, ``"cnn"``, ``"cnn:paper"`` (the
        network of the Adam paper's section 6.3), or ``"file.py:function"``: a function of your own that is
        called with `input_shape` and `classes` and returns a Module.
    input_shape : tuple of int
        The shape of one input: channels, height, width.
    classes : int
        How many outputs.
    dropout : float
        The probability with which hidden units are dropped in training; not of a model from a file.

    Raises
    ------
    OptionError
        If the text cannot be understood, with the nearest name that is known.
    """
    name, rest = read_spec(spec)
    if name.endswith(".py"):
        return _from_file(Path(name), rest, input_shape, classes)
    if name not in FAMILIES:
        raise unknown_name("model", "model", name, [*FAMILIES, "file.py:function"])
    if name == "cnn":
        if rest not in ("", "paper"):
            raise unknown_name("model", "kind of cnn", rest, ["paper"])
        return cnn(input_shape, classes, dropout, paper=rest == "paper")
    try:
        hidden = tuple(int(size) for size in rest.split(",")) if rest else (256, 256)
    except ValueError:
        hidden = (0,)
    if any(size < 1 for size in hidden):
        raise OptionError(
            "model", "sizes of hidden layers must be positive integers, as in mlp:256,128", model=spec
        )
    return mlp(input_shape, classes, hidden, dropout)


def read_spec(spec: str) -> tuple[str, str]:
    r"""Return the two parts of the text that describes a model: its family or file, and the rest.

    Examples
    --------
    >>> read_spec("mlp:256,128"), read_spec(r"C:\models\net.py:small")
    (('mlp', '256,128'), ('C:\\models\\net.py', 'small'))
    """
    file, ending, function = spec.rpartition(".py:")  # a path on Windows has a colon of its own
    if ending:
        return f"{file}.py", function
    name, _, rest = (spec, "", "") if spec.endswith(".py") else spec.partition(":")
    return name, rest


def _from_file(path: Path, function: str, input_shape: tuple[int, ...], classes: int) -> Module:
    if not path.is_file():
        raise OptionError("model", "there is no such file", model=path)
    name = f"_model_{path.stem}"  # a file named like a library must not hide it
    module_spec = importlib.util.spec_from_file_location(name, path)
    assert module_spec is not None  # a .py file has a specification
    assert module_spec.loader is not None  # and a loader
    module: Any = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module  # where dataclasses and pickles look for it
    with _blaming(path):
        module_spec.loader.exec_module(module)
    made = {
        key
        for key, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", "") == name
    }
    if isinstance(getattr(module, function, None), Module):
        raise OptionError(
            str(path), "a run makes its network anew, so it needs a function; write "
            f"'def {function}(input_shape, classes):' and return the network from there",
            **{function: type(getattr(module, function)).__name__},
        )  # fmt: skip
    if function not in made:
        raise unknown_name(str(path), "function", function, made)
    build = getattr(module, function)
    try:
        inspect.signature(build).bind(input_shape=input_shape, classes=classes)
    except TypeError as error:
        raise OptionError(
            str(path), "the function is given the shape of an image and the number of classes; "
            f"let it begin with 'def {function}(input_shape, classes):'",
            input_shape=input_shape, classes=classes,
        ) from error  # fmt: skip
    with _blaming(path):
        model = build(input_shape=input_shape, classes=classes)
    if not isinstance(model, Module):
        raise OptionError(
            str(path), "the function must return a Module", function=function, returned=type(model).__name__
        )
    _try_out(path, model, input_shape, classes)
    return model


def _try_out(path: Path, model: Module, input_shape: tuple[int, ...], classes: int) -> None:
    """Apply a copy of the model to two blank images, to refuse one that does not fit before a run begins."""
    blank = zeros(2, *input_shape)
    sizes = ", ".join(map(str, input_shape))
    wanted = f"the model must turn images of shape (n, {sizes}) into numbers of shape (n, {classes})"
    try:
        with fork_rng(0), no_grad(), use_kernels("reference"), _blaming(path):
            output = copy.deepcopy(model).eval()(blank)
    except OptionError as error:
        hint = "; put nn.Flatten() before a first Linear" if isinstance(error.__cause__, ShapeError) else ""
        failed = str(error).replace("\n", "\n          ")
        raise OptionError(str(path), f"{wanted}{hint}", failed=failed) from error
    shape = getattr(output, "shape", type(output).__name__)
    if shape != (2, classes):
        raise OptionError(str(path), wanted, images=blank.shape, output=shape)


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    """Raise errors inside the block as errors of a line of the user's file."""
    try:
        yield
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(path.absolute())]
        where = f"{path}, line {lines[-1]}" if lines else str(path)
        kind = "" if isinstance(error, TinygradAdamError) else f"{type(error).__name__}: "
        raise OptionError(where, f"{kind}{error}") from error
