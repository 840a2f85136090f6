"""The training loop: batches, steps, epochs, validation, and a place to go on from."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy

from ..backend.device import backend_of, to_host
from ..data import DataLoader, TensorDataset
from ..engine.backward import grad
from ..engine.events import unwatched
from ..engine.modes import enable_grad
from ..errors import GraphError, NonFiniteError, OptionError, StateError, TinygradAdamError
from ..nn import Module
from ..optim import Optimizer, ReduceLROnPlateau, Schedule, clip_grad_norm_
from ..tensor.tensor import Tensor
from ..values import integer, is_number
from .arguments import require_parts
from .batches import batches_of, pair, training_loader
from .callbacks import Callback, Checkpoints, monitored
from .checkpoint import all_or_nothing, restore, save_checkpoint
from .history import History
from .metrics import Metric
from .modes import evaluating, modes_put_back, train_what_trains
from .running import RunningSum

LOOK_EVERY = 64
"""After this many batches on a GPU their losses are read: a look at one waits for the GPU."""


class Trainer:
    """Trains a model, and can stop and go on at any step.

    Parameters
    ----------
    model : Module
        What to train.
    optimizer : Optimizer
        Over the parameters of `model`. Give it ``model.named_parameters()``, and checkpoints hold its
        moments under the parameters' names.
    loss : callable
        ``loss(output, target)`` gives a scalar Tensor.
    metrics : dict of str to Metric, optional
        What to measure besides the loss.
    schedule : Schedule, optional
        Advanced after every epoch, or after every step with ``schedule_per="step"``.
    schedule_per : {"epoch", "step"}
        When to advance the schedule.
    schedule_monitor : str
        What a `ReduceLROnPlateau` watches: a name in the rows of the history.
    max_grad_norm : float, optional
        Gradients are scaled down to this Euclidean norm.
    accumulate : int
        How many batches make a step. Their gradients are averaged over the examples, so the step is that of
        one batch of this many times the size, for a `loss` that is a mean over examples; the last step of an
        epoch takes the batches that are left.
    callbacks : sequence of Callback
        Called in order, but `Checkpoints` last, so that they hold what the others made of an epoch.

    Raises
    ------
    OptionError
        If an argument is of another kind or outside its domain, if the optimizer has no parameter of `model`,
        or if `schedule` is one of another optimizer.

    Attributes
    ----------
    epoch, step : int
        How many epochs and steps are complete.
    batch : int
        How many batches of the running epoch are complete.
    history : History
        One row an epoch.
    interrupted : bool
        Whether the last `fit` ended by Ctrl-C.
    stop_reason : str or None
        Why it ended before its last epoch.

    Notes
    -----
    A batch of which no label counts, such as one whose labels are all `ignore_index`, has a loss of NaN and a
    gradient of 0. It is left out: no step, no loss, no metric. On a GPU, where telling it would wait for each
    loss, only its loss is left out: it is a step along a gradient of 0, and counts in the metrics.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> from tinygrad_adam import data, nn, optim, training
    >>> x, y = data.moons(200)
    >>> tg.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
    >>> trainer = training.Trainer(
    ...     model,
    ...     optim.Adam(model.named_parameters(), lr=0.02),
    ...     nn.functional.cross_entropy,
    ...     {"accuracy": training.Accuracy()},
    ... )
    >>> history = trainer.fit(data.DataLoader(data.TensorDataset(x, y), shuffle=True), epochs=20)
    >>> history["accuracy"][-1] > 0.9
    True
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss: Callable[[Any, Any], Tensor],
        metrics: dict[str, Metric] | None = None,
        schedule: Schedule | None = None,
        schedule_per: str = "epoch",
        schedule_monitor: str = "val_loss",
        max_grad_norm: float | None = None,
        accumulate: int = 1,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        require_parts(model, optimizer, loss, metrics, schedule, callbacks)
        if schedule_per not in ("epoch", "step"):
            raise OptionError("Trainer", "schedule_per must be 'epoch' or 'step'", schedule_per=schedule_per)
        if schedule_per == "step" and isinstance(schedule, ReduceLROnPlateau):
            raise OptionError(
                "Trainer", "ReduceLROnPlateau watches what is known after an epoch; use schedule_per='epoch'"
            )
        # Infinity only measures.
        if max_grad_norm not in (None, math.inf) and not (is_number(max_grad_norm) and max_grad_norm > 0):
            raise OptionError("Trainer", "max_grad_norm must be positive", max_grad_norm=repr(max_grad_norm))
        self.model, self.optimizer, self.loss = model, optimizer, loss
        self.metrics = metrics or {}
        self.schedule, self.schedule_per = schedule, schedule_per
        self.schedule_monitor = schedule_monitor
        self.max_grad_norm = None if max_grad_norm is None else float(max_grad_norm)
        self.accumulate = integer("Trainer", "accumulate", accumulate, 1)
        self.callbacks = sorted(callbacks, key=lambda callback: isinstance(callback, Checkpoints))
        self.epoch = self.step = self.batch = self.epochs = self.batches_per_epoch = 0
        self.history = History()
        self.interrupted = False
        self.stop_reason: str | None = None
        self._last_loss: Any = math.nan
        self._loss_sum, self._sample_count, self._seconds = 0.0, 0, 0.0
        self._unread: list[tuple[Any, int]] = []  # losses on a GPU that are not in the sum yet, with examples
        self._gathered = self._counted = 0  # batches since the last step, and their examples with a loss
        self._place: Any = None  # the state of the loader, but for the batch
        self._loaded = False  # whether the place is one of a file, which the next fit goes on from

    @property
    def last_loss(self) -> float:
        """The loss of the last batch, NaN before any; on a GPU, reading it waits."""
        return float(numpy.asarray(to_host(self._last_loss)).item())

    # --- Training ------------------------------------------------------------------------

    def fit(
        self,
        loader: DataLoader | TensorDataset | tuple[Any, Any],
        epochs: int,
        validation: Iterable[Any] | TensorDataset | None = None,
    ) -> History:
        """Train until `epochs` epochs are complete, counting those before.

        After a stop (Ctrl-C, `stop`) or a `load` it goes on in the middle of the epoch, also where the loader
        was iterated meanwhile. After an error it begins that epoch anew.

        Ctrl-C ends training after the running step; a second one ends the program. Where the program ignores
        Ctrl-C, as one that a script starts in the background does, so does `fit`.

        Parameters
        ----------
        loader : DataLoader, or pair of arrays
            Yields batches of input and target. Arrays ``(x, y)`` are shuffled, 32 examples a batch.
        epochs : int
            How many in all.
        validation : DataLoader, pair of arrays, or iterable of batches, optional
            Evaluated after each epoch.

        Returns
        -------
        History
            One row an epoch.

        Raises
        ------
        OptionError
            If something is not of that form, or `validation` is an iterator, which one epoch would use up.
        StateError
            If it would go on in the middle of an epoch with another batch size or other examples.
        NonFiniteError
            If the loss is NaN or infinite; the step is named, and no parameter was changed by it. On a GPU
            this is found out at the end of the epoch or some steps late, when parameters were changed. Also
            if a gradient is, and the optimizer was made with ``on_nonfinite="raise"``.

        Notes
        -----
        Submodules in another mode than the module that holds them stay in it, such as a batch normalization
        frozen by ``model[1].eval()``; all others train. Afterwards all modes are as before.
        """
        epochs = integer("Trainer.fit", "epochs", epochs, 0)
        loader = training_loader("Trainer.fit", loader, self.model)
        if isinstance(validation, Iterator) and epochs > self.epoch + 1:
            raise OptionError("Trainer.fit", f"the first epoch would use up validation: {_AGAIN}")
        if validation is not None:
            validation = batches_of("Trainer.fit", validation, self.model)
        self._find_place(loader)
        self.epochs, self.batches_per_epoch = epochs, len(loader)
        self.interrupted, self.stop_reason = False, None
        with _interrupt_as_flag(self), modes_put_back(self.model):
            self._call("on_fit_start")
            try:
                while self.epoch < epochs and self.stop_reason is None:
                    self._run_epoch(loader, validation)
            except BaseException:
                # It ended inside a step, where nothing fits together.
                self.interrupted, self.batch = False, 0
                self._forget_sums()
                raise
            finally:
                self._call("on_fit_end")
        return self.history

    def stop(self, reason: str) -> None:
        """End training after the running step; callbacks call this."""
        self.stop_reason = reason

    def _find_place(self, loader: DataLoader) -> None:
        """Find the epoch of the loader, and the batch of it, to begin with.

        The Trainer keeps its own place, since others may iterate the loader. It takes over that of a loader
        that was restored, or that divides its examples otherwise than the one before.
        """
        own, there = self._place, loader.state_dict()
        if own is None or (
            self.batch == 0
            and not self._loaded
            and (loader._restored or any(own.get(name) != there[name] for name in there.keys() - _MOVING))
        ):
            epoch, self.batch = loader._next_place()
            if self.batch == len(loader):  # nothing is left of the epoch
                epoch, self.batch = epoch + 1, 0
            own = {**there, "epoch": epoch}
            self._forget_sums()
        loader._check_state({**own, "batch": self.batch})
        self._place = {**there, "epoch": own["epoch"], "seed": own["seed"]}
        self._loaded, self._gathered = False, 0

    def _run_epoch(self, loader: DataLoader, validation: Iterable[Any] | None) -> None:
        self._call("on_epoch_start")
        if self.stop_reason is not None:
            return
        started = time.perf_counter()
        train_what_trains(self.model)
        loader.load_state_dict({**self._place, "batch": self.batch})
        self._place = loader.state_dict()
        for batch in loader:
            if self._take_batch(loader, *pair("Trainer.fit", batch)):
                self._call("on_step_end")
            if self.stop_reason is not None and self._gathered == 0:
                self._seconds += time.perf_counter() - started
                return
        self._read_losses()
        if self._sample_count == 0:
            raise OptionError("Trainer.fit", "no batch of the epoch has a loss: none has a label that counts")
        row = {
            "epoch": self.epoch + 1,
            "step": self.step,
            "loss": self._loss_sum / self._sample_count,
        }
        row.update((name, metric.value) for name, metric in self.metrics.items())
        row["lr"] = float(self.optimizer.param_groups[0]["lr"])
        self._forget_sums()
        if validation is not None:
            row.update((f"val_{name}", value) for name, value in self.evaluate(validation).items())
        row["seconds"] = self._seconds + time.perf_counter() - started
        self._seconds = 0.0
        if self.schedule is not None and self.schedule_per == "epoch":
            if isinstance(self.schedule, ReduceLROnPlateau):
                self.schedule.step(monitored("ReduceLROnPlateau", row, self.schedule_monitor))
            else:
                self.schedule.step()
        self.epoch, self.batch = self.epoch + 1, 0
        self._place["epoch"] += 1
        self.history.append(row)
        self._call("on_epoch_end")

    def _take_batch(self, loader: DataLoader, x: Tensor, target: Tensor) -> bool:
        """Add a batch to the gradients; take the step if it completes one, and tell whether it did."""
        output = self.model(x)
        loss = self._loss_of(output, target)
        first = self.batch - self._gathered
        after = min(first + self.accumulate, len(loader))
        examples = min(after * loader.batch_size, len(loader.dataset)) - first * loader.batch_size
        if self._gathered == 0:
            self.optimizer.zero_grad()
            self._counted = 0
        if self._note(loss, len(x), output, target):
            (loss if len(x) == examples else loss * (len(x) / examples)).backward()
            self._counted += len(x)
            for metric in self.metrics.values():
                metric.update(output, target)
        self.batch, self._gathered = self.batch + 1, self._gathered + 1
        if self.batch < after:
            return False
        self._gathered = 0
        if self._counted == 0:
            return False
        share = self._counted / examples  # less than 1 where batches were left out
        if self.max_grad_norm is not None:
            clip_grad_norm_(self._parameters(), self.max_grad_norm * share)
        self.optimizer.step(grad_scale=share)
        if self.schedule is not None and self.schedule_per == "step":
            self.schedule.step()
        self.step += 1
        return True

    def _loss_of(self, output: Any, target: Any) -> Tensor:
        loss = self.loss(output, target)
        if isinstance(loss, Tensor) and loss._data.size == 1:
            return loss
        raise OptionError(
            "Trainer",
            "loss(output, target) must return a scalar Tensor, such as the mean over the batch; "
            "the losses here do with reduction='mean'",
            returned=f"Tensor {loss.shape}" if isinstance(loss, Tensor) else type(loss).__name__,
        )

    def _note(self, loss: Tensor, examples: int, output: Any, target: Any) -> bool:
        """Add a loss to the sum, on a GPU later; refuse one that is not finite, tell whether it counts."""
        if loss.device == "cpu":
            value = loss._data.item()
            if not math.isfinite(value):
                if math.isnan(value) and self._has_no_label(output, target):
                    return False
                raise self._not_finite(value)
            self._loss_sum += value * examples
            self._sample_count += examples
            self._last_loss = value
            return True
        self._last_loss = loss._data
        self._unread.append((loss._data, examples))
        if len(self._unread) == LOOK_EVERY:
            self._read_losses()
        return True

    def _read_losses(self) -> None:
        """Add the losses that are still on a GPU to the sum; this waits.

        A loss of NaN whose gradient is 0 leaves the parameters finite: no label of its batch counted. After
        any other NaN all parameters that it depends on are NaN.
        """
        if not self._unread:
            return
        arrays, counts = zip(*self._unread, strict=True)
        self._unread = []
        backend = backend_of(arrays)
        with backend.current("Trainer.fit"):
            losses = to_host(backend.xp.stack([array.reshape(()) for array in arrays]))
        for loss, examples in zip(losses.tolist(), counts, strict=True):
            if math.isfinite(loss):
                self._loss_sum += loss * examples
                self._sample_count += examples
            elif not math.isnan(loss) or not self._all_finite():
                raise self._not_finite(loss, late=True)

    def _all_finite(self) -> bool:
        return all(numpy.isfinite(to_host(p._data)).all() for p in self._parameters())

    def _has_no_label(self, output: Any, target: Any) -> bool:
        """Tell whether a loss is NaN only because no label of the batch counts: its gradient is 0."""
        leaves: list[Tensor] = []
        apart = _detached(output, leaves)
        if not leaves or not all(numpy.isfinite(to_host(leaf._data)).all() for leaf in leaves):
            return False
        with unwatched(), enable_grad():
            try:
                loss = self._loss_of(apart, target)
            except TinygradAdamError:
                return False
            gradients = []
            for leaf in leaves:
                with suppress(GraphError):  # the loss may use but some of several outputs
                    gradients.append(to_host(grad(loss, leaf, retain_graph=True)._data))
        return bool(gradients) and not any(gradient.any() for gradient in gradients)

    def _not_finite(self, loss: float, late: bool = False) -> NonFiniteError:
        """Build the error for a loss that is not finite, found at its step or `late`."""
        return NonFiniteError(
            "training",
            "the loss is not finite; lower the learning rate, clip gradients (max_grad_norm), or look "
            "for log(0) and division by 0. "
            + (
                "It was not in one of the last steps, which have changed the parameters; go on from a "
                "checkpoint"
                if late
                else "The parameters are as they were before this step, and running averages of batch "
                "normalization have taken nothing that is not finite"
            ),
            loss=loss,
            epoch=self.epoch + 1,
            step=self.step + (not late),
            lr=self.optimizer.param_groups[0]["lr"],
        )

    def _parameters(self) -> Iterator[Tensor]:
        """Yield what the optimizer trains; others keep old gradients, which must not count."""
        for group in self.optimizer.param_groups:
            yield from group["params"]

    def _forget_sums(self) -> None:
        self._loss_sum, self._sample_count, self._unread = 0.0, 0, []
        for metric in self.metrics.values():
            metric.reset()

    def _call(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self)

    # --- Using the model -----------------------------------------------------------------

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
            on a GPU, where telling them would wait for each loss, they make the loss NaN.

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
                    if (
                        loss.device == "cpu"
                        and math.isnan(loss._data.item())
                        and self._has_no_label(output, target)
                    ):
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
            raise OptionError("Trainer.evaluate", f"there were no batches; {_AGAIN}")
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
            If there is no batch, or `batches` is nothing of that kind.
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
                        "array",
                        input=getattr(x, "shape", type(x).__name__),
                        output=shape,
                    )
        if not outputs:
            raise OptionError("Trainer.predict", f"there were no batches; {_AGAIN}")
        return numpy.concatenate([to_host(output._data) for output in outputs])

    # --- Stopping and going on -----------------------------------------------------------

    def save(self, path: str | os.PathLike[str], extra: dict[str, Any] | None = None) -> None:
        """Write a checkpoint from which `load` goes on at this very step.

        Parameters
        ----------
        path : path
            The file to write.
        extra : dict, optional
            Anything that JSON can hold, to be kept with it.

        Raises
        ------
        CheckpointError
            If it cannot be written; a file that was there before survives.
        """
        self._read_losses()
        state: dict[str, Any] = {
            "epoch": self.epoch,
            "step": self.step,
            "batch": self.batch,
            "loss_sum": self._loss_sum,
            "sample_count": self._sample_count,
            "seconds": self._seconds,
            "history": self.history.rows,
            "metrics": {name: metric.state_dict() for name, metric in self.metrics.items()},
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "loader": None if self._place is None else {**self._place, "batch": self.batch},
            "callbacks": [[type(c).__name__, c.state_dict()] for c in self.callbacks],
        }
        save_checkpoint(path, self.model, self.optimizer, {"trainer": state, "user": extra or {}})

    def load(self, path: str | os.PathLike[str]) -> dict[str, Any]:
        """Take over everything from a checkpoint that `save` wrote; the next `fit` goes on from there.

        If it fails, nothing is changed.

        Parameters
        ----------
        path : path
            The file.

        Returns
        -------
        dict
            The `extra` that was saved.

        Raises
        ------
        CheckpointError
            If the file is damaged or no checkpoint of a Trainer.
        StateError
            If it is of another model, optimizer, schedule or set of metrics.
        """
        parts = [*self.callbacks, *self.metrics.values(), *([self.schedule] if self.schedule else [])]
        with all_or_nothing(path, *parts, self.model, self.optimizer):
            extra = restore(path, self.model, self.optimizer)
            state, user = extra.get("trainer"), extra.get("user")
            if state is None:
                raise StateError(f"loading {path}", "the checkpoint was not written by a Trainer")
            self._take_over(path, state)
        return user or {}

    def _take_over(self, path: str | os.PathLike[str], state: dict[str, Any]) -> None:
        if (state["schedule"] is None) != (self.schedule is None) or set(state["metrics"]) != set(
            self.metrics
        ):
            raise StateError(
                f"loading {path}",
                "schedule and metrics must be those of the run that was saved",
                saved_schedule=state["schedule"],
                saved_metrics=sorted(state["metrics"]),
                metrics=sorted(self.metrics),
            )
        for name, metric in self.metrics.items():
            metric.load_state_dict(state["metrics"][name])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        saved = list(state["callbacks"])
        for callback in self.callbacks:
            for entry in saved:
                if entry[0] == type(callback).__name__:
                    callback.load_state_dict(entry[1])
                    saved.remove(entry)
                    break
        counts = [state[name] for name in ("epoch", "step", "batch", "sample_count")]
        rows, loader = state["history"], state["loader"]
        if (
            not all(type(count) is int and count >= 0 for count in counts)
            or not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows))
            or not isinstance(state["callbacks"], list)
            or not isinstance(loader, dict | None)
        ):
            raise TypeError("counts, history, callbacks or loader are of the wrong type")
        loss_sum, seconds = float(state["loss_sum"]), float(state["seconds"])
        # From here on nothing can fail.
        self.epoch, self.step, self.batch, self._sample_count = counts
        self._loss_sum, self._seconds, self._unread = loss_sum, seconds, []
        self.history, self._place, self._loaded = History(rows), loader, True


def _detached(output: Any, leaves: list[Tensor]) -> Any:
    """Return outputs that the graph of the model ends before, and note those of floats among `leaves`."""
    if isinstance(output, dict):
        return {name: _detached(value, leaves) for name, value in output.items()}
    if type(output) in (tuple, list):
        return type(output)(_detached(value, leaves) for value in output)
    if isinstance(output, Tensor) and output.dtype.kind == "f":
        leaves.append(output.detach().requires_grad_())
        return leaves[-1]
    return output


_MOVING = {"epoch", "batch"}
"""The entries of a loader's state that change while it is iterated."""

_AGAIN = (
    "an iterator or a generator gives its batches once; pass something that can be iterated again, such as a "
    "DataLoader or a list"
)


@contextmanager
def _interrupt_as_flag(trainer: Trainer) -> Iterator[None]:
    """Let Ctrl-C end training between two steps, where everything fits together.

    Signals can be caught in the main thread only; elsewhere nothing is changed. Neither is it where Ctrl-C is
    ignored, as in a job that a shell script starts in the background, or where it is not Python's to handle.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before in (signal.SIG_IGN, None):
        yield
        return

    def note(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, before)
        trainer.interrupted = True
        trainer.stop("interrupted")

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
