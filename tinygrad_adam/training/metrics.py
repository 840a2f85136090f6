"""Metrics: measures of the quality of predictions, averaged over the batches of an epoch."""

from __future__ import annotations

import numpy

from ..backend.device import asarray, backend_of, device_of, on_device_of
from ..engine.graph import look_at
from ..errors import ShapeError
from ..tensor.tensor import Tensor
from ..typing import Array, TensorLike
from ..values import integer
from .running import RunningSum


def _same_shape(where: str, output: tuple[int, ...], target: tuple[int, ...]) -> None:
    if output != target:  # NumPy would broadcast them to a table of all pairs
        raise ShapeError(where, "there must be one target for each output", output=output, target=target)


def _difference(where: str, output: Array, target: Array) -> Array:
    """Return ``output - target`` in floats: unsigned integers would wrap around, bools refuse it."""
    _same_shape(where, output.shape, target.shape)
    dtype = numpy.result_type(output.dtype, target.dtype, numpy.float32)
    return output.astype(dtype, copy=False) - target.astype(dtype, copy=False)


class Metric:
    """Base of all metrics: an average over samples.

    A subclass gives `scores`. Call `update` with every batch, then read `value`.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._sum = RunningSum()
        self.count = 0

    def scores(self, output: Array, target: Array) -> Array:
        """Return one number for each sample.

        Parameters
        ----------
        output, target : array
            The model's outputs for a batch, and their targets: NumPy arrays, or arrays of the GPU's library,
            which NumPy's functions take as well. Reading a value of the latter would make the GPU wait.
        """
        raise NotImplementedError

    def update(self, output: TensorLike, target: TensorLike) -> None:
        """Count a batch."""
        where = f"{type(self).__name__}.update"
        outputs = look_at(output, where) if isinstance(output, Tensor) else numpy.asarray(output)
        targets = look_at(target, where)
        with on_device_of(outputs, type(self).__name__):
            scores = self.scores(outputs, asarray(targets, device=device_of(outputs)))
            self._sum.add(scores.sum())
        self.count += scores.size

    @property
    def total(self) -> float:
        """The sum over all samples so far; on a GPU, reading it waits."""
        return self._sum.value

    @property
    def value(self) -> float:
        """The average over all samples so far; NaN before any."""
        return self.total / self.count if self.count else float("nan")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value:.6g} over {self.count:,} samples)"

    def state_dict(self) -> dict[str, float]:
        """Return the sums, from which a resumed epoch goes on."""
        return {"total": self.total, "count": self.count}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Take over the sums that `state_dict` returned."""
        self._sum, self.count = RunningSum(float(state["total"])), int(state["count"])


class Accuracy(Metric):
    """Share of samples whose label is among the `top` highest outputs; among equals the first count.

    A sample whose outputs are NaN has no highest one: it scores 0.

    Parameters
    ----------
    top : int
        1 for the usual accuracy.

    Raises
    ------
    ShapeError
        If the outputs do not have the shape of the labels and a last axis of at least two classes. A decision
        between 0 and 1 by a single output is another metric: derive one from `Metric`, whose `scores` are
        ``(output > 0) == target``.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> accuracy = tg.training.Accuracy()
    >>> accuracy.update(tg.tensor([[0.1, 0.9], [0.8, 0.2]]), tg.tensor([1, 1]))
    >>> accuracy.value
    0.5
    """

    def __init__(self, top: int = 1) -> None:
        self.top = integer("Accuracy", "top", top, least=1)
        super().__init__()

    def scores(self, output: Array, target: Array) -> Array:  # noqa: D102
        if not output.shape or output.shape[-1] == 1:
            raise ShapeError(
                "Accuracy",
                "the last axis of the outputs must hold at least two classes; for a decision between 0 "
                "and 1 derive a metric from Metric, whose scores are (output > 0) == target",
                output=output.shape,
            )
        _same_shape("Accuracy", output.shape[:-1], target.shape)
        if self.top > output.shape[-1]:
            raise ShapeError("Accuracy", "there are too few classes", top=self.top, output=output.shape)
        if self.top == 1:
            return (output.argmax(axis=-1) == target) & ~numpy.isnan(output.max(axis=-1))
        # Counted rather than sorted: for a partial sort the host would wait for the GPU.
        xp = backend_of((output,)).xp
        classes, label = xp.arange(output.shape[-1]), target[..., None]
        own = xp.where(classes == label, output, 0).sum(axis=-1, keepdims=True)
        ahead = ~(output <= own) | ((output == own) & (classes < label))
        known = (target >= 0) & (target < output.shape[-1])
        return known & (ahead.sum(axis=-1) < self.top)


class MeanSquaredError(Metric):
    """Mean of the squared differences."""

    def scores(self, output: Array, target: Array) -> Array:  # noqa: D102
        return numpy.square(_difference("MeanSquaredError", output, target))


class MeanAbsoluteError(Metric):
    """Mean of the absolute differences."""

    def scores(self, output: Array, target: Array) -> Array:  # noqa: D102
        return numpy.abs(_difference("MeanAbsoluteError", output, target))
