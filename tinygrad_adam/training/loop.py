"""The training loop: batches, steps, epochs, validation, and a place to go on from."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy

from ..backend.device import to_host
from ..data import DataLoader
from ..errors import NonFiniteError, OptionError, StateError
from ..nn import Module
from ..optim import Optimizer, ReduceLROnPlateau, Schedule, clip_grad_norm_
from ..primitive import no_grad
from ..tensor import Tensor
from .callbacks import Callback, Checkpoints, monitored
from .checkpoint import all_or_nothing, restore, save_checkpoint
from .history import History
from .metrics import Metric
from .running import RunningSum

LOOK_EVERY = 64
"""After so many batches on a GPU the loss is looked at, whether it is finite: a look waits for the GPU."""


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
        if schedule_per not in ("epoch", "step"):
            raise OptionError("Trainer", "schedule_per must be 'epoch' or 'step'", schedule_per=schedule_per)
        if schedule_per == "step" and isinstance(schedule, ReduceLROnPlateau):
            raise OptionError(
                "Trainer", "ReduceLROnPlateau watches what is known after an epoch; use schedule_per='epoch'"
            )
        if not isinstance(accumulate, int) or accumulate < 1:
            raise OptionError("Trainer", "accumulate must be a positive integer", accumulate=accumulate)
        if max_grad_norm is not None and not max_grad_norm > 0:
            raise OptionError("Trainer", "max_grad_norm must be positive", max_grad_norm=max_grad_norm)
        self.model, self.optimizer, self.loss = model, optimizer, loss
        self.metrics = metrics or {}
        self.schedule, self.schedule_per = schedule, schedule_per
        self.schedule_monitor = schedule_monitor
        self.max_grad_norm, self.accumulate = max_grad_norm, accumulate
        self.callbacks = sorted(callbacks, key=lambda callback: isinstance(callback, Checkpoints))
        self.epoch = self.step = self.batch = self.epochs = self.batches_per_epoch = 0
        self.history = History()
        self.interrupted = False
        self.stop_reason: str | None = None
        self._last_loss: Any = math.nan
        self._loss_sum, self._sample_count, self._seconds = RunningSum(), 0, 0.0
        self._gathered = 0  # batches since the last step
        self._loader: DataLoader | None = None
        self._loader_state: dict[str, int] | None = None

    @property
    def last_loss(self) -> float:
        """The loss of the last batch, NaN before any; on a GPU, reading it waits."""
        return float(to_host(self._last_loss))

    # --- Training ------------------------------------------------------------------------

    def fit(self, loader: DataLoader, epochs: int, validation: Iterable[Any] | None = None) -> History:
        """Train until `epochs` epochs are complete, counting those before.

        Ctrl-C ends training after the running step; a second one ends the program.

        Parameters
        ----------
        loader : DataLoader
            Yields batches of input and target.
        epochs : int
            How many in all.
        validation : iterable of batches, optional
            Evaluated after each epoch.

        Returns
        -------
        History
            One row an epoch.

        Raises
        ------
        NonFiniteError
            If the loss is NaN or infinite; the step is named, and no parameter was changed by it. On a GPU
            this is found out at the end of the epoch or some steps late, when parameters were changed. Also
            if a gradient is, and the optimizer was made with ``on_nonfinite="raise"``.
        """
        if not isinstance(epochs, int) or epochs < 0:
            raise OptionError("Trainer.fit", "epochs must be an integer >= 0", epochs=epochs)
        self._loader, self.epochs, self.batches_per_epoch = loader, epochs, len(loader)
        self._gathered = 0
        # After an interruption the loader goes on in the middle of the epoch, as does a loaded checkpoint.
        loader.load_state_dict(self._loader_state or loader.state_dict())
        self._loader_state = None
        self.interrupted, self.stop_reason = False, None
        with _interrupt_as_flag(self):
            self._call("on_fit_start")
            try:
                while self.epoch < epochs and self.stop_reason is None:
                    self._run_epoch(loader, validation)
            except BaseException:
                self.interrupted = False  # it ended inside a step, where nothing fits together
                raise
            finally:
                self._call("on_fit_end")
        return self.history

    def stop(self, reason: str) -> None:
        """End training after the running step; callbacks call this."""
        self.stop_reason = reason

    def _run_epoch(self, loader: DataLoader, validation: Iterable[Any] | None) -> None:
        self._call("on_epoch_start")
        started = time.perf_counter()
        self.model.train()
        for batch in loader:
            if not self._take_batch(loader, *batch):
                continue
            self._call("on_step_end")
            if self.stop_reason is not None:
                self._seconds += time.perf_counter() - started
                return
        self._require_finite(self._loss_sum.value, late=True)
        row = {
            "epoch": self.epoch + 1,
            "step": self.step,
            "loss": self._loss_sum.value / max(1, self._sample_count),
        }
        row.update((name, metric.value) for name, metric in self.metrics.items())
        row["lr"] = self.optimizer.param_groups[0]["lr"]
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
        self.history.append(row)
        self._call("on_epoch_end")

    def _take_batch(self, loader: DataLoader, x: Tensor, target: Tensor) -> bool:
        """Add a batch to the gradients; take the step if it completes one, and tell whether it did."""
        output = self.model(x)
        loss = self.loss(output, target)
        self._last_loss = loss._data
        if loss.device == "cpu":
            self._require_finite(self.last_loss)
        elif self.batch % LOOK_EVERY == LOOK_EVERY - 1:
            self._require_finite(self._loss_sum.value, late=True)
        number = loader.state_dict()["batch"] - 1
        first = number - self._gathered
        after = min(first + self.accumulate, len(loader))
        examples = min(after * loader.batch_size, len(loader.dataset)) - first * loader.batch_size
        if self._gathered == 0:
            self.optimizer.zero_grad()
        (loss if len(x) == examples else loss * (len(x) / examples)).backward()
        self._loss_sum.add(self._last_loss, times=len(x))
        self._sample_count += len(x)
        for metric in self.metrics.values():
            metric.update(output, target)
        self.batch, self._gathered = self.batch + 1, self._gathered + 1
        if number + 1 < after:
            return False
        self._gathered = 0
        if self.max_grad_norm is not None:
            clip_grad_norm_(self._parameters(), self.max_grad_norm)
        self.optimizer.step()
        if self.schedule is not None and self.schedule_per == "step":
            self.schedule.step()
        self.step += 1
        return True

    def _require_finite(self, loss: float, late: bool = False) -> None:
        """Refuse to go on with a loss, or `late` a sum of losses, that is not finite."""
        if math.isfinite(loss):
            return
        raise NonFiniteError(
            "training",
            "the loss is not finite; lower the learning rate, clip gradients (max_grad_norm), or look "
            "for log(0) and division by 0. "
            + (
                "It was not in one of the last steps, which have changed the parameters; go on from a "
                "checkpoint"
                if late
                else "The parameters are as they were before this step"
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
        self._loss_sum, self._sample_count = RunningSum(), 0
        for metric in self.metrics.values():
            metric.reset()

    def _call(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self)

    # --- Using the model -----------------------------------------------------------------

    def evaluate(self, batches: Iterable[Any]) -> dict[str, float]:
        """Return loss and metrics over batches of input and target, in evaluation mode.

        Parameters
        ----------
        batches : iterable
            A DataLoader, or anything that yields input and target.

        Returns
        -------
        dict of str to float
            ``"loss"`` and the metrics, averaged over samples.
        """
        running = {name: metric.state_dict() for name, metric in self.metrics.items()}
        for metric in self.metrics.values():
            metric.reset()
        total, count = RunningSum(), 0
        try:
            with _evaluation(self.model):
                for x, target in batches:
                    output = self.model(x)
                    total.add(self.loss(output, target)._data, times=len(x))
                    count += len(x)
                    for metric in self.metrics.values():
                        metric.update(output, target)
            results = {name: metric.value for name, metric in self.metrics.items()}
        finally:
            for name, metric in self.metrics.items():
                metric.load_state_dict(running[name])
        return {"loss": total.value / count if count else math.nan, **results}

    def predict(self, batches: Iterable[Any]) -> numpy.ndarray[Any, Any]:
        """Return the model's outputs in evaluation mode.

        Parameters
        ----------
        batches : iterable
            Yields inputs, or tuples that begin with the input.

        Returns
        -------
        numpy.ndarray
            The outputs of all batches, joined along the first axis.
        """
        with _evaluation(self.model):
            outputs = [self.model(batch[0] if isinstance(batch, tuple) else batch) for batch in batches]
        if not outputs:
            raise OptionError("Trainer.predict", "there were no batches")
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
        state: dict[str, Any] = {
            "epoch": self.epoch,
            "step": self.step,
            "batch": self.batch,
            "loss_sum": self._loss_sum.value,
            "sample_count": self._sample_count,
            "seconds": self._seconds,
            "history": self.history.rows,
            "metrics": {name: metric.state_dict() for name, metric in self.metrics.items()},
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "loader": None if self._loader is None else self._loader.state_dict(),
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
        self._loss_sum, self._seconds = RunningSum(loss_sum), seconds
        self.history, self._loader_state = History(rows), loader


@contextmanager
def _evaluation(model: Module) -> Iterator[None]:
    """Evaluation mode without recording; every module gets its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with no_grad():
            yield
    finally:
        for module, mode in modes:
            module.__dict__["training"] = mode


@contextmanager
def _interrupt_as_flag(trainer: Trainer) -> Iterator[None]:
    """Let Ctrl-C end training between two steps, where everything fits together.

    Signals can be caught in the main thread only; elsewhere nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, before)
        trainer.interrupted = True
        trainer.stop("interrupted")

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
