"""Checkpoints: one safetensors file each, from which a run goes on as if it had not stopped.

Arrays are stored under ``model/<parameter>`` and ``optimizer/<moment>/<parameter>``; everything
else (steps, hyper-parameters, schedule, random state, position in the data) is JSON in the
header. Nothing is pickled, so reading a file runs no code.
"""

from __future__ import annotations

import json
import os
from typing import Any

from .. import random
from ..errors import CheckpointError
from ..nn import Module
from ..optim import Optimizer
from ..serialization import load_tensors, save_tensors

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
        Anything that JSON can hold.

    Raises
    ------
    CheckpointError
        If the file cannot be written.
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
    save_tensors(path, tensors, {"tinygrad_adam": json.dumps(header)})


def load_checkpoint(
    path: str | os.PathLike[str],
    model: Module,
    optimizer: Optimizer | None = None,
    restore_random: bool = True,
) -> dict[str, Any]:
    """Read a checkpoint into a model and an optimizer of the same kind.

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
        If the file is missing, damaged or no checkpoint, or holds no optimizer where one is asked for.
    StateError
        If model or optimizer are of another kind.
    """
    tensors, metadata = load_tensors(path)
    header = _header(path, metadata)
    weights = {
        name.removeprefix("model/"): value for name, value in tensors.items() if name.startswith("model/")
    }
    if optimizer is not None:
        if "optimizer" not in header:
            raise CheckpointError(f"loading {path}", "the checkpoint holds no optimizer state")
        saved = header["optimizer"]
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
        known = header["format"] == FORMAT
    except (KeyError, TypeError, ValueError):
        known = False
    if not known:
        raise CheckpointError(
            f"loading {path}",
            "a safetensors file, but no checkpoint of tinygrad_adam; weights alone are read by Module.load",
        )
    if header["version"] > VERSION:
        raise CheckpointError(
            f"loading {path}",
            "written by a newer version of tinygrad_adam",
            version=header["version"],
            understood=VERSION,
        )
    return header
