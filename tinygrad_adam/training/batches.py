"""Batches from arrays, data sets, loaders and iterables: the one door of `fit`, `evaluate` and `predict`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..data import DataLoader, TensorDataset
from ..errors import OptionError
from ..nn import Module
from ..typing import Array

AT_ONCE = 512
"""The number of examples of an array to evaluate at once; it changes memory and speed, but no result."""


def batches_of(where: str, data: object, model: Module, targets: bool = True) -> Iterable[Any]:
    """Return an iterable over the batches of `data`.

    Parameters
    ----------
    where : str
        The method that takes it; an error begins with it.
    data : DataLoader, TensorDataset, arrays, or iterable of batches
        Arrays are a pair of inputs and targets, or inputs alone where no `targets` are needed.
    model : Module
        Batches of arrays go to its device.
    targets : bool
        Whether a batch must hold a target.

    Raises
    ------
    OptionError
        If it is of another kind.
    """
    dataset = _dataset(where, data, targets)
    if dataset is not None:
        return DataLoader(dataset, AT_ONCE, device=_device(model))
    if isinstance(data, str | bytes | dict) or not isinstance(data, Iterable):
        raise OptionError(where, f"give {_accepted(targets)}", got=type(data).__name__)
    return data


def training_loader(where: str, data: object, model: Module) -> DataLoader:
    """Return the loader to train from: `data` itself, or one that shuffles arrays in batches of 32."""
    if isinstance(data, DataLoader):
        return data
    dataset = _dataset(where, data, targets=True)
    if dataset is None:
        raise OptionError(
            where,
            "training needs a DataLoader, which shuffles and knows its place: "
            "DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True); or give the pair of arrays (x, y)",
            got=type(data).__name__,
        )
    return DataLoader(dataset, shuffle=True, device=_device(model))


def pair(where: str, batch: object) -> tuple[Any, Any]:
    """Return input and target of a batch, and refuse an array that only unpacks into two."""
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return batch[0], batch[1]
    got = (
        f"{type(batch).__name__} of {len(batch)}" if isinstance(batch, tuple | list) else type(batch).__name__
    )
    raise OptionError(
        where, "a batch must be a pair of input and target; arrays are given as (x, y)", got=got
    )


def _dataset(where: str, data: object, targets: bool) -> TensorDataset | None:
    """Return arrays as a data set, None if `data` is something else."""
    if isinstance(data, TensorDataset):
        return data
    if _is_array(data):
        if targets:
            raise OptionError(
                where, "an array has no targets; give a pair of arrays, (x, y)", got=_form(data)
            )
        return TensorDataset(data)
    if not (isinstance(data, tuple) and data and all(map(_is_array, data))):
        return None
    if not targets or len(data) != 2:
        raise OptionError(where, f"give {_accepted(targets)}", got=f"({', '.join(map(_form, data))})")
    return TensorDataset(*data)


def _accepted(targets: bool) -> str:
    if targets:
        return "a pair of arrays (x, y), a DataLoader, or an iterable of batches, each a pair"
    return "one array of inputs, a DataLoader, or an iterable of batches"


def _is_array(value: object) -> bool:
    return hasattr(value, "__array__")


def _form(array: Array) -> str:
    return f"{type(array).__name__} {tuple(array.shape)}"


def _device(model: Module) -> str:
    return next((p.device for p in model.parameters()), "cpu")
