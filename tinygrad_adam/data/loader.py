"""The loader: shuffled batches of Tensors, with a position that can be saved and restored."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from copy import copy
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..backend.convert import check_dtype
from ..backend.cuda.feeding import fed
from ..backend.device import device_of, get_backend
from ..engine.viewers import view
from ..errors import DTypeError, OptionError, StateError, TinygradAdamError
from ..tensor.creation import tensor
from ..tensor.tensor import Tensor
from ..values import integer, is_integer
from .dataset import Arrays, AugmentedDataset, Dataset, TensorDataset


class DataLoader:
    """Batches of a dataset, an epoch each time it is iterated.

    Each ``for`` loop starts a new epoch, even when the one before was left early; only a loader that was
    just restored finishes the epoch that it was restored in.

    Parameters
    ----------
    dataset : Dataset
        A `TensorDataset`, or anything that gives its length and the rows of an index array. If its `augment`
        is not None, it is read by ``dataset.batch(rows, generator)``, with a generator that is a pure
        function of `seed`, the epoch's number and the batch's: a run that was stopped and goes on,
        and a loader that prefetches, get the same random changes.
    batch_size : int
        Examples in a batch; the last one of an epoch may have fewer.
    shuffle : bool
        Whether each epoch has an order of its own. It is a pure function of `seed` and the epoch's number.
    drop_last : bool
        Whether to leave out a last batch that is not full.
    seed : int
        Fixes the orders of all epochs and the random changes of all batches.
    prefetch : int
        The number of batches that a background thread gathers ahead, the dataset's augment and transform
        included; 0 for no thread. Leaving the loop ends the thread. A `TensorDataset` on a GPU needs none and
        gets none.
    device : str
        Where the Tensors live. A GPU is given each batch while it computes with the one before.

    Raises
    ------
    OptionError
        If an option is outside its domain; on iteration, if an epoch would have no batch at all.
    DTypeError
        On iteration, if the dataset returns anything but a tuple of arrays.
    DeviceError
        If this machine has no such device.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_adam.data import DataLoader, TensorDataset
    >>> loader = DataLoader(TensorDataset(np.arange(5)), batch_size=2)
    >>> [batch.numpy().tolist() for (batch,) in loader]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 32,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        prefetch: int = 0,
        device: str = "cpu",
    ) -> None:
        for name, value in {"shuffle": shuffle, "drop_last": drop_last}.items():
            if not isinstance(value, bool):
                raise OptionError("DataLoader", f"{name} must be True or False", **{name: repr(value)})
        if isinstance(dataset, tuple | list | dict) or hasattr(dataset, "__array__"):
            raise OptionError(
                "DataLoader",
                "put arrays into a dataset: DataLoader(TensorDataset(x, y)), or TensorDataset(x) for one",
                got=type(dataset).__name__,
            )
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise OptionError(
                "DataLoader",
                "a dataset gives its length, and the rows of an index array as a tuple of arrays",
                got=type(dataset).__name__,
            )
        self.dataset = dataset
        self.batch_size = integer("DataLoader", "batch_size", batch_size, 1)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.seed = integer("DataLoader", "seed", seed, 0)
        self.prefetch = integer("DataLoader", "prefetch", prefetch, 0)
        self.device = get_backend(device).device  # refused here if it is unknown, not at the first batch
        self._epoch = 0
        self._batch = 0
        self._restored = False

    def __len__(self) -> int:
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __repr__(self) -> str:
        settings = f"batch_size={self.batch_size}, shuffle={self.shuffle}, seed={self.seed}"
        return f"DataLoader({type(self.dataset).__name__}, {settings})"

    def _repr_html_(self) -> str | None:
        return view("DataLoader._repr_html_")(self)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        count = len(self)
        if count == 0:
            raise OptionError(
                "DataLoader", "an epoch must have at least one batch",
                examples=len(self.dataset), batch_size=self.batch_size, drop_last=self.drop_last,
            )  # fmt: skip
        epoch, first = self._next_place()
        self._epoch, self._batch, self._restored = epoch, first, False

        with closing(self._batches(epoch, range(first, count))) as batches:
            for handed, batch in enumerate(batches, first + 1):
                self._epoch, self._batch = epoch, handed
                yield batch
        self._epoch, self._batch = epoch + 1, 0

    def _batches(self, epoch: int, numbers: Iterable[int]) -> Generator[tuple[Tensor, ...], None, None]:
        """Yield batches of an epoch, by number, on the device."""
        dataset = self.dataset
        if self.device == "cpu":
            with closing(self._gather(self._maker(dataset, epoch), numbers)) as batches:
                for arrays in batches:
                    yield tuple(tensor(array, device="cpu") for array in arrays)
            return
        late: Callable[..., Arrays] | None = getattr(dataset, "transform", None)
        if getattr(late, "on_any_device", False):
            # Its results may be larger than the rows, as floats are than bytes: the rows cross the bus.
            dataset = copy(dataset)
            cast(TensorDataset, dataset).transform = None
        else:
            late = None
        with (
            closing(self._gather(self._maker(dataset, epoch), numbers)) as hosted,
            closing(fed(hosted, self.device)) as batches,
        ):
            for arrays in batches:
                if late is not None:
                    with get_backend(self.device).current("DataLoader"):
                        arrays = late(*arrays)
                for array in arrays:
                    check_dtype("DataLoader", array.dtype)
                yield tuple(map(Tensor, arrays))

    def _next_place(self) -> tuple[int, int]:
        """Return the epoch and the batch that the next loop begins with."""
        if self._batch > 0 and not self._restored:
            return self._epoch + 1, 0
        return self._epoch, self._batch

    def state_dict(self) -> dict[str, int]:
        """Return the position: the epoch, the batches of it that were handed out, and the seed.

        `batch_size`, `shuffle` and the number of examples come with it: where they differ, the same position
        in the middle of an epoch means other examples. After the last batch the epoch still counts as running
        until its loop ends, so a run that is restored there still finishes the epoch.

        Returns
        -------
        dict of str to int
            ``"epoch"``, ``"batch"``, ``"seed"``, ``"batch_size"``, ``"shuffle"``, ``"examples"``.
        """
        return {"epoch": self._epoch, "batch": self._batch, "seed": self.seed, **self._division()}

    def _division(self) -> dict[str, int]:
        """Return the settings that, with the seed, determine the examples of each batch."""
        return {"batch_size": self.batch_size, "shuffle": int(self.shuffle), "examples": len(self.dataset)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a position: the next loop gives the rest of that epoch, the one after it the next epoch.

        Parameters
        ----------
        state : mapping of str to int
            A state that `state_dict` returned; in the middle of an epoch, of a loader with the same
            `batch_size`, `shuffle` and number of examples.

        Raises
        ------
        StateError
            If it is not the state of a loader, or is in the middle of an epoch of other batches.
        """
        self._check_state(state)
        self._epoch, self._batch, self.seed = (int(state[name]) for name in ("epoch", "batch", "seed"))
        self._restored = True

    def _check_state(self, state: Mapping[str, Any]) -> None:
        """Refuse a state that `load_state_dict` would refuse, and change nothing."""
        needed, division = {"epoch", "batch", "seed"}, self._division()
        # Version 0.1 saved the needed ones alone.
        if not needed <= set(state) <= needed | set(division) or not all(
            is_integer(value, 0) for value in state.values()
        ):
            raise StateError(
                "DataLoader",
                "the state must hold epoch, batch and seed, each an integer >= 0",
                state=dict(state),
            )
        differing = [name for name in division if state.get(name, division[name]) != division[name]]
        if state["batch"] > 0 and differing:
            name = differing[0]
            raise StateError(
                "DataLoader",
                f"the state is in the middle of an epoch, which goes on only with the same {name}",
                **{f"{name} here": division[name], f"{name} there": state[name]},
            )
        if state["batch"] > len(self):
            raise StateError(
                "DataLoader",
                "the state is further than this loader's epoch; are dataset and batch_size the same?",
                batch=state["batch"],
                batches=len(self),
            )

    def _order(self, epoch: int) -> NDArray[np.intp]:
        n = len(self.dataset)
        if not self.shuffle:
            return np.arange(n)
        return np.random.default_rng([self.seed, epoch]).permutation(n)

    def _maker(self, dataset: Dataset, epoch: int) -> Callable[[int], Arrays]:
        """Return the function that makes a batch of an epoch from its number and nothing else."""
        size, seed, order = self.batch_size, self.seed, self._order(epoch)
        augmented = getattr(dataset, "augment", None) is not None

        def make(number: int) -> Arrays:
            rows = order[number * size : (number + 1) * size]
            if not augmented:
                return _arrays("dataset[rows]", _rows(dataset, rows))
            # Not `default_rng([seed, epoch, number])`: for batch 0 that is the generator of the order.
            entropy = np.random.SeedSequence(seed, spawn_key=(epoch, number))
            batch = cast(AugmentedDataset, dataset).batch(rows, np.random.default_rng(entropy))
            return _arrays("dataset.batch", batch)

        return make

    def _gather(self, make: Callable[[int], Arrays], numbers: Iterable[int]) -> Generator[Arrays, None, None]:
        # A thread uses the GPU's default stream, so its rows might not be ready yet for our stream.
        held = self.dataset.arrays if isinstance(self.dataset, TensorDataset) else ()
        on_gpu = any(device_of(array) != "cpu" for array in held)
        if self.prefetch == 0 or on_gpu:
            yield from map(make, numbers)
            return
        # A thread starts with an empty context; a transform expects the caller's (generator, gradient mode).
        context = copy_context()
        pool = ThreadPoolExecutor(1, "DataLoader")
        waiting: deque[Future[Arrays]] = deque()
        try:
            for number in numbers:
                waiting.append(pool.submit(context.run, make, number))
                if len(waiting) > self.prefetch:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _rows(dataset: Dataset, rows: NDArray[np.intp]) -> Any:
    try:
        return dataset[rows]
    except TypeError as error:
        if not isinstance(error, TinygradAdamError):  # NumPy's, of a dataset that gives one row
            error.add_note("A DataLoader reads a batch at once: dataset[array of row numbers].")
        raise


def _arrays(call: str, returned: object) -> Arrays:
    """Refuse a bare array, whose examples would pass for the arrays of a batch, and a dictionary."""
    if isinstance(returned, tuple | list):
        return tuple(returned)
    raise DTypeError(
        "DataLoader",
        f"{call} must return a tuple of arrays, the rows of each: write return x, y, or return (x,) for one",
        returned=type(returned).__name__,
    )
