"""Checkpoints: one safetensors file each, from which a run goes on as if it had not stopped.

On the same machine with the same number of threads it goes on bit for bit; elsewhere, roundings of matrix
products and convolutions may differ.

Arrays are stored under ``model/<parameter>`` and ``optimizer/<moment>/<parameter>``; everything
else (steps, hyper-parameters, schedule, random state, position in the data) is JSON in the
header. Nothing is pickled, so reading a file runs no code. A checksum reveals bytes that changed
since.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy

from ..errors import CheckpointError, StateError
from ..files.arrays import load_tensors, save_tensors
from ..nn import Module
from ..optim import Optimizer
from ..tensor import random
from ..values import plain_number

FORMAT = "tinygrad_adam checkpoint"
VERSION = 1


def save_checkpoint(
    path: str | os.PathLike[str],
    model: Module,
    optimizer: Optimizer | None = None,
    extra: dict[str, Any] | None = None,
) -> None:
    """Write a checkpoint, atomically: an older file at `path` survives a failure.

    Parameters
    ----------
    path : path
        The file to write.
    model : Module
        Its parameters and buffers are saved.
    optimizer : Optimizer, optional
        Its moments, steps and hyper-parameters are saved.
    extra : dict, optional
        Anything that JSON can hold, and NumPy's numbers.

    Raises
    ------
    CheckpointError
        If the file cannot be written, or `extra` holds values that JSON cannot.
    """
    tensors = {f"model/{name}": array for name, array in model.state_dict().items()}
    header: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "random": random.get_state(),
        "extra": extra or {},
    }
    if optimizer is not None:
        state = optimizer.state_dict()
        for name, entry in state["state"].items():
            tensors.update(
                (f"optimizer/{key}/{name}", value) for key, value in entry.items() if key != "step"
            )
        steps = {name: entry["step"] for name, entry in state["state"].items()}
        header["optimizer"] = {"optimizer": state["optimizer"], "groups": state["groups"], "steps": steps}
    try:
        text = json.dumps(header, default=plain_number)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"saving {path}", f"extra must hold only values of JSON: {error}") from error
    save_tensors(path, tensors, {"tinygrad_adam": text, "crc32": checksum(tensors, text)})


def checksum(tensors: dict[str, Any], text: str) -> str:
    """Return the CRC-32 of a checkpoint's arrays and header."""
    crc = zlib.crc32(text.encode())
    for name in sorted(tensors):
        array = tensors[name]
        crc = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), crc)
        crc = zlib.crc32(numpy.ascontiguousarray(array).data, crc)
    return f"{crc:08x}"


def load_checkpoint(
    path: str | os.PathLike[str],
    model: Module,
    optimizer: Optimizer | None = None,
    restore_random: bool = True,
) -> dict[str, Any]:
    """Read a checkpoint into a model and an optimizer of the same kind; if it fails, nothing is changed.

    Parameters
    ----------
    path : path
        A file that `save_checkpoint` wrote.
    model : Module
        Takes over the parameters and buffers.
    optimizer : Optimizer, optional
        Takes over moments, steps and hyper-parameters.
    restore_random : bool
        Whether to put the random generator into the state it was saved in.

    Returns
    -------
    dict
        The `extra` that was saved.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or no checkpoint, or holds no optimizer but `optimizer` is given.
    StateError
        If the model or the optimizer is of another kind.
    """
    parts = [model] if optimizer is None else [model, optimizer]
    with all_or_nothing(path, *parts):
        return restore(path, model, optimizer, restore_random)


@contextmanager
def all_or_nothing(path: str | os.PathLike[str], *parts: Any) -> Iterator[None]:
    """Put the states of `parts` and the random state back if loading fails halfway.

    A header of the wrong form, such as one without a key, is a `CheckpointError`.
    """
    before, numbers = [part.state_dict() for part in parts], random.get_state()
    try:
        yield
    except BaseException as error:
        for part, state in zip(parts, before, strict=True):
            part.load_state_dict(state)
        random.set_state(numbers)
        if isinstance(error, StateError | CheckpointError) or not isinstance(
            error, LookupError | TypeError | ValueError | AttributeError | ArithmeticError
        ):
            raise
        raise CheckpointError(f"loading {path}", f"the header is damaged: {error!r}") from error


def restore(
    path: str | os.PathLike[str], model: Module, optimizer: Optimizer | None, restore_random: bool = True
) -> dict[str, Any]:
    """Load a checkpoint as `load_checkpoint` does, but leave things half changed if it fails."""
    tensors, metadata = load_tensors(path)
    header = _header(path, metadata)
    if metadata.get("crc32") != checksum(tensors, metadata["tinygrad_adam"]):
        raise CheckpointError(
            f"loading {path}", "the file is damaged: its contents do not match its checksum"
        )
    weights = {
        name.removeprefix("model/"): value for name, value in tensors.items() if name.startswith("model/")
    }
    if optimizer is not None:
        if "optimizer" not in header:
            raise CheckpointError(f"loading {path}", "the checkpoint holds no optimizer state")
        saved = header["optimizer"]
        if not all(type(step) is int and step > 0 for step in saved["steps"].values()):
            raise ValueError("optimizer steps must be positive integers")
        state: dict[str, dict[str, Any]] = {name: {"step": step} for name, step in saved["steps"].items()}
        for key, value in tensors.items():
            if key.startswith("optimizer/"):
                _, moment, name = key.split("/", 2)
                state[name][moment] = value
        optimizer.load_state_dict(
            {"optimizer": saved["optimizer"], "groups": saved["groups"], "state": state}
        )
    model.load_state_dict(weights)
    if restore_random:
        random.set_state(header["random"])
    extra: dict[str, Any] = header["extra"]
    return extra


def _header(path: str | os.PathLike[str], metadata: dict[str, str]) -> dict[str, Any]:
    try:
        header: dict[str, Any] = json.loads(metadata["tinygrad_adam"])
        known = header["format"] == FORMAT and type(header["version"]) is int and header["version"] > 0
    except (KeyError, TypeError, ValueError, RecursionError):
        known = False
    if not known:
        raise CheckpointError(
            f"loading {path}",
            "a safetensors file, but no checkpoint of tinygrad_adam; weights alone are read by Module.load",
        )
    if header["version"] > VERSION:
        raise CheckpointError(
            f"loading {path}", "written by a newer version of tinygrad_adam",
            version=header["version"], understood=VERSION,
        )  # fmt: skip
    return header
