"""A model in use: its outputs, and the averages of its loss and its metrics over batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy

from ..backend.device import to_host
from ..data import TensorDataset
from ..engine.backward import grad
from ..engine.events import unwatched
from ..engine.modes import enable_grad, no_grad
from ..errors import GraphError, OptionError, TinygradAdamError
from ..nn import Module
from ..tensor.tensor import Tensor
from ..typing import TensorLike
from ..words import answer_calls
from .batches import batches_of, pair
from .metrics import Metric
from .running import RunningSum

AGAIN = (
    "an iterator or a generator gives its batches once; pass something that can be iterated again, such as a "
    "DataLoader or a list"
)


class Evaluator:
    """Measures a model and lets it predict; the base of `Trainer`.

    Parameters
    ----------
    model : Module
        The model.
    loss : callable
        ``loss(output, target)`` gives a scalar Tensor.
    metrics : dict of str to Metric
        The quantities to measure besides the loss.
    """

    def __init__(self, model: Module, loss: Callable[[Any, Any], Tensor], metrics: dict[str, Metric]) -> None:
        self.model, self.loss, self.metrics = model, loss, metrics

    def evaluate(self, batches: Iterable[Any] | TensorDataset) -> dict[str, float]:
        """Return loss and metrics over batches of input and target, in evaluation mode.

        Parameters
        ----------
        batches : DataLoader, pair of arrays, or iterable of batches
            Batches are pairs of input and target.

        Returns
        -------
        dict of str to float
            ``"loss"`` and the metrics, averaged over samples. Batches of which no label counts are left out;
            on a GPU, where finding them would wait for each loss, they make the loss NaN.

        Raises
        ------
        OptionError
            If there is no batch, as in an iterator that is used up, or none has a label that counts.
        """
        running = {name: metric.state_dict() for name, metric in self.metrics.items()}
        for metric in self.metrics.values():
            metric.reset()
        total, count, batch = RunningSum(), 0, None
        try:
            with evaluating(self.model):
                for batch in batches_of("Trainer.evaluate", batches, self.model):
                    x, target = pair("Trainer.evaluate", batch)
                    output = self.model(x)
                    loss = self._loss_of(output, target)
                    if loss.device == "cpu" and self._no_label_counts(loss, output, target):
                        continue
                    total.add(loss._data, times=len(x))
                    count += len(x)
                    for metric in self.metrics.values():
                        metric.update(output, target)
            results = {name: metric.value for name, metric in self.metrics.items()}
        finally:
            for name, metric in self.metrics.items():
                metric.load_state_dict(running[name])
        if batch is None:
            raise OptionError("Trainer.evaluate", f"there were no batches; {AGAIN}")
        if count == 0:
            raise OptionError("Trainer.evaluate", "no batch has a loss: none has a label that counts")
        return {"loss": total.value / count, **results}

    def predict(self, batches: Iterable[Any] | TensorDataset) -> numpy.ndarray[Any, Any]:
        """Return the model's outputs in evaluation mode.

        Parameters
        ----------
        batches : array, DataLoader, or iterable of batches
            An array holds inputs, one a row. A batch is an input, or a tuple that begins with it.

        Returns
        -------
        numpy.ndarray
            The outputs of all batches, joined along the first axis.

        Raises
        ------
        OptionError
            If there is no batch, or `batches` is of another kind.
        """
        with evaluating(self.model):
            outputs = []
            for batch in batches_of("Trainer.predict", batches, self.model, targets=False):
                x = batch[0] if isinstance(batch, tuple | list) else batch
                outputs.append(self.model(x))
                shape = outputs[-1].shape
                if not shape or (len(shape) == 1 and len(x) != shape[0]):
                    raise OptionError(
                        "Trainer.predict",
                        "the outputs of a batch must have a row for each input; give rows together, as one "
                        "array", input=getattr(x, "shape", type(x).__name__), output=shape,
                    )  # fmt: skip
        if not outputs:
            raise OptionError("Trainer.predict", f"there were no batches; {AGAIN}")
        return numpy.concatenate([to_host(output._data) for output in outputs])

    def _loss_of(self, output: object, target: TensorLike) -> Tensor:
        loss = self.loss(output, target)
        if isinstance(loss, Tensor) and loss._data.size == 1:
            return loss
        raise OptionError(
            "Trainer",
            "loss(output, target) must return a scalar Tensor, such as the mean over the batch; "
            "the losses here do with reduction='mean'",
            returned=f"Tensor {loss.shape}" if isinstance(loss, Tensor) else type(loss).__name__,
        )

    def _no_label_counts(self, loss: Tensor, output: object, target: TensorLike) -> bool:
        """Return whether a loss is NaN only because no label of the batch counts: its gradient is 0."""
        leaves: list[Tensor] = []
        apart = _detached(output, leaves) if math.isnan(to_host(loss._data).item()) else None
        if not leaves or not all_finite(leaves):
            return False
        with unwatched(), enable_grad():
            try:
                loss = self._loss_of(apart, target)
            except TinygradAdamError:
                return False
            gradients = []
            for leaf in leaves:
                with suppress(GraphError):  # the loss may use only some of several outputs
                    gradients.append(to_host(grad(loss, leaf, retain_graph=True)._data))
        return bool(gradients) and not any(gradient.any() for gradient in gradients)


def _detached(output: TensorLike, leaves: list[Tensor]) -> object:
    """Return outputs cut off from the model's graph, and add the floats among them to `leaves`."""
    if isinstance(output, dict):
        return {name: _detached(value, leaves) for name, value in output.items()}
    if type(output) in (tuple, list):
        return type(output)(_detached(value, leaves) for value in output)
    if isinstance(output, Tensor) and output.dtype.kind == "f":
        leaves.append(output.detach().requires_grad_())
        return leaves[-1]
    return output


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether no element of some Tensors is NaN or infinite; on a GPU, this waits."""
    return all(numpy.isfinite(to_host(tensor._data)).all() for tensor in tensors)


@contextmanager
def modes_put_back(model: Module) -> Iterator[None]:
    """Put every module back into its mode at the end of the block, without calling its `train`."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.__dict__["training"] = mode


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Compute without gradients and in evaluation mode inside the block."""
    with modes_put_back(model), no_grad():
        model.eval()
        yield


def train_what_trains(model: Module) -> None:
    """Put a model into training mode, except submodules in another mode than the module that holds them."""
    own = [
        (child, child.training)
        for module in model.modules()
        for child in module.children()
        if child.training != module.training
    ]
    model.train()
    for child, mode in own:
        child.train(mode)


answer_calls(Evaluator)
