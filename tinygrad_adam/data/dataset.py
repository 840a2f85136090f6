"""A dataset: arrays of equal length, indexed together."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..backend.device import backend_of, get_backend, require_no_mask, to_device
from ..engine.viewers import view
from ..errors import DTypeError, IndexingError, OptionError, ShapeError
from ..tensor.creation import tensor
from ..typing import TensorLike
from ..values import integer, number_in

Arrays = tuple[NDArray[Any], ...]


class Dataset(Protocol):
    """The data of a `DataLoader`: a length, and the rows of an index array as a tuple of arrays."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: NDArray[np.intp], /) -> Arrays: ...


class AugmentedDataset(Dataset, Protocol):
    """A dataset that a `DataLoader` reads by `batch`, where its `augment` is not None."""

    augment: Callable[..., Arrays] | None

    def batch(self, rows: NDArray[np.intp], generator: np.random.Generator, /) -> Arrays:
        """Return the rows of an index array, changed at random with numbers from `generator`."""
        ...


class TensorDataset:
    """Examples held in memory, one row of every array an example.

    Parameters
    ----------
    *arrays : array_like, shape (n, ...)
        NumPy arrays, Tensors, or anything else that `tinygrad_adam.tensor` takes. They are brought to the
        host (`to` moves them), and copied once if not C-contiguous, so that every batch is a plain gather.
    transform : callable, optional
        ``transform(*arrays) -> tuple of arrays``, applied to the rows of an index. It always gets a batch: a
        single example comes as a batch of one. If its attribute
        `on_any_device` is true, a `DataLoader` for a GPU applies it there, to arrays of the GPU.
    augment : callable, optional
        ``augment(generator, *arrays) -> tuple of arrays``, random changes to the rows of a batch that a
        `DataLoader` makes, before `transform`; indexing gives the rows as they are. All randomness must
        come from the generator, which is fixed by the loader's seed, the epoch and the batch's number.

    Raises
    ------
    ShapeError
        If there is no array, or their lengths differ.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_adam.data import TensorDataset
    >>> data = TensorDataset(np.eye(3), np.array([2, 0, 1]))
    >>> len(data)
    3
    >>> x, y = data[1:]
    >>> y
    array([0, 1])
    """

    def __init__(
        self,
        *arrays: TensorLike,
        transform: Callable[..., Arrays] | None = None,
        augment: Callable[..., Arrays] | None = None,
    ) -> None:
        hosted = [_on_host(array) for array in arrays]
        shapes = {f"array {number}": array.shape for number, array in enumerate(hosted)}
        if not hosted or any(array.ndim == 0 for array in hosted):
            raise ShapeError("TensorDataset", "needs arrays with at least one axis", **shapes)
        if len({len(array) for array in hosted}) > 1:
            raise ShapeError("TensorDataset", "all arrays must have the same length", **shapes)
        self.arrays: Arrays = tuple(np.ascontiguousarray(array) for array in hosted)
        self.transform = transform
        self.augment = augment

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __repr__(self) -> str:
        arrays = ", ".join(f"{array.dtype} {array.shape}" for array in self.arrays)
        return f"{type(self).__name__}({len(self):,} examples: {arrays})"

    def _repr_html_(self) -> str | None:
        return view("TensorDataset._repr_html_")(self)

    def to(self, device: str) -> Self:
        """Return a copy whose arrays live on a device, so that batches are gathered there.

        Parameters
        ----------
        device : str
            ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.

        Returns
        -------
        TensorDataset
            Its transform gets, and indexing returns, arrays of the device.

        Raises
        ------
        OptionError
            If it is a GPU, and there is an `augment`, which works on arrays of the host.
        DeviceError
            If this machine has no such device, or not enough memory on it.
        """
        if self.augment is not None and get_backend(device).device != "cpu":
            raise OptionError(
                "TensorDataset.to",
                "augment works on the host; leave the dataset there, and give the DataLoader the device",
                device=device,
            )
        moved = copy(self)
        moved.arrays = tuple(to_device(array, device) for array in self.arrays)
        return moved

    def __getitem__(self, index: int | slice | list[int] | NDArray[Any]) -> Arrays:
        """Return the rows at `index` of every array.

        Parameters
        ----------
        index : int, slice, or 1-d array of integers or booleans
            A slice gives views, an index array gives contiguous copies.

        Returns
        -------
        tuple of arrays
            For an int, arrays without the leading axis.

        Raises
        ------
        IndexingError
            If a row does not exist.
        """
        if isinstance(index, int | np.integer):
            return tuple(backend_of((rows,)).xp.asarray(rows[0]) for rows in self[[int(index)]])
        require_no_mask("TensorDataset", index)
        return self._transformed(self._rows(index if isinstance(index, slice | list) else np.asarray(index)))

    def batch(self, rows: NDArray[np.intp], generator: np.random.Generator, /) -> Arrays:
        """Return the rows of an index array, changed at random by `augment` if there is one.

        Parameters
        ----------
        rows : numpy.ndarray of int, shape (n,)
        generator : numpy.random.Generator
            The same state gives the same changes.

        Returns
        -------
        tuple of numpy.ndarray
        """
        if self.augment is None:
            return self[rows]
        return self._transformed(_tuple("augment", self.augment(generator, *self._rows(rows))))

    def _rows(self, rows: slice | list[int] | NDArray[Any]) -> Arrays:
        backend = backend_of(self.arrays)
        try:
            with backend.current("TensorDataset"):
                if backend.device != "cpu" and not isinstance(rows, slice):
                    # Checked here: a GPU would wrap an index out of range.
                    rows = backend.xp.asarray(np.arange(len(self))[rows])
                return tuple(array[rows] for array in self.arrays)
        except IndexError as error:
            raise IndexingError("TensorDataset", str(error), length=len(self)) from None

    def _transformed(self, arrays: Arrays) -> Arrays:
        if self.transform is None:
            return arrays
        with backend_of(arrays).current("TensorDataset"):
            return _tuple("transform", self.transform(*arrays))


SomeDataset = TypeVar("SomeDataset", bound=TensorDataset)


def split(dataset: SomeDataset, fraction: float, seed: int = 0) -> tuple[SomeDataset, SomeDataset]:
    """Split a dataset at random in two that share no example.

    Parameters
    ----------
    dataset : TensorDataset
    fraction : float
        The share of the examples in the first dataset, between 0 and 1, both excluded.
    seed : int
        The same seed gives the same split.

    Returns
    -------
    first, second : TensorDataset
        Copies of the rows, with the transform of `dataset`. The first is for training, the second for
        measuring: only the first keeps `augment`.

    Raises
    ------
    OptionError
        If `fraction` leaves a part without an example.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_adam.data import TensorDataset, split
    >>> train, test = split(TensorDataset(np.arange(10)), 0.8)
    >>> len(train), len(test)
    (8, 2)
    """
    seed = integer("split", "seed", seed, 0)
    fraction = number_in("split", "fraction", fraction, 0)
    n = len(dataset)
    cut = round(fraction * n)
    if not 0 < cut < n:
        raise OptionError("split", "both parts must have an example", fraction=fraction, examples=n)
    order = np.random.default_rng(seed).permutation(n)
    first, second = copy(dataset), copy(dataset)
    first.arrays, second.arrays = dataset._rows(order[:cut]), dataset._rows(order[cut:])
    second.augment = None
    return first, second


def _tuple(name: str, returned: Arrays) -> Arrays:
    if not isinstance(returned, tuple):
        raise DTypeError(
            "TensorDataset", f"{name} must return a tuple of arrays", returned=type(returned).__name__
        )
    return returned


def _on_host(value: TensorLike) -> NDArray[Any]:
    require_no_mask("TensorDataset", value)
    if isinstance(value, np.ndarray):
        return value
    if not hasattr(value, "numpy"):
        value = tensor(value)
    array: NDArray[Any] = value.numpy()
    return array
