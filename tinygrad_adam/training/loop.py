"""The training loop: batches, steps, epochs, validation, and a place to go on from."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

import numpy

from ..backend.device import backend_of, to_host
from ..data import DataLoader, TensorDataset
from ..engine.viewers import view
from ..errors import NonFiniteError, OptionError, StateError
from ..nn import Module
from ..optim import Optimizer, ReduceLROnPlateau, Schedule, clip_grad_norm_
from ..tensor.tensor import Tensor
from ..typing import Array, TensorLike
from ..values import integer
from .batches import batches_of, pair, training_loader
from .checkpoint import all_or_nothing, restore, save_checkpoint
from .evaluation import AGAIN, Evaluator, all_finite, modes_put_back, train_what_trains
from .history import History, monitored_value
from .interrupt import on_interrupt
from .metrics import Metric
from .refusals import check_arguments, not_finite_loss, refuse

LOOK_EVERY = 64
"""The number of batches on a GPU after which their losses are read: reading one waits for the GPU."""


class Callback:
    """Base of all callbacks; override the events that you need.

    A callback with a state that a resumed run needs overrides `state_dict` and `load_state_dict`.
    """

    _comes_last: ClassVar[bool] = False  # after the others, as `Checkpoints`, which hold the state they leave

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before the first step."""

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Before the first batch of an epoch."""

    def on_step_end(self, trainer: Trainer) -> None:
        """After each optimizer step."""

    def on_epoch_end(self, trainer: Trainer) -> None:
        """After an epoch and its validation; the newest row is ``trainer.history.rows[-1]``."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last step, also when training was interrupted or failed."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs, of things that JSON can hold."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the state that `state_dict` returned."""


class Trainer(Evaluator):
    """Trains a model, and can stop and go on at any step.

    Parameters
    ----------
    model : Module
        The model to train.
    optimizer : Optimizer
        Over the parameters of `model`. Give it ``model.named_parameters()``, and checkpoints hold its
        moments under the parameters' names.
    loss : callable
        ``loss(output, target)`` gives a scalar Tensor.
    metrics : dict of str to Metric, optional
        The quantities to measure besides the loss.
    schedule : Schedule, optional
        Advanced after every epoch, or after every step with ``schedule_per="step"``.
    schedule_per : {"epoch", "step"}
        When to advance the schedule.
    schedule_monitor : str
        The quantity that a `ReduceLROnPlateau` watches: a name in the rows of the history.
    max_grad_norm : float, optional
        Gradients are scaled down to this Euclidean norm.
    accumulate : int
        The number of batches that make a step. Their gradients are averaged over the examples, so the step
        equals one with a batch of this many times the size, for a `loss` that is a mean over examples; the
        last step of an epoch takes the batches that are left.
    callbacks : sequence of Callback
        Called in order, but `Checkpoints` last, so that they hold the changes that the others make.

    Raises
    ------
    OptionError
        If an argument is of another kind or outside its domain, if the optimizer has no parameter of `model`,
        or if `schedule` belongs to another optimizer.

    Attributes
    ----------
    epoch, step : int
        The numbers of epochs and steps that are complete.
    batch : int
        The number of batches of the running epoch that are complete.
    history : History
        One row an epoch.
    interrupted : bool
        Whether the last `fit` ended by Ctrl-C.
    stop_reason : str or None
        Why it ended before its last epoch.

    Notes
    -----
    A batch of which no label counts, such as one whose labels are all `ignore_index`, has a loss of NaN and a
    gradient of 0. It is left out: no step, no loss, no metric. On a GPU, where finding it would wait for each
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
        check_arguments(model, optimizer, loss, metrics, schedule, schedule_per, max_grad_norm)
        if not isinstance(callbacks, Sequence):
            refuse("callbacks must be a list: [EarlyStopping()]", callbacks=callbacks)
        for callback in callbacks:
            if not isinstance(callback, Callback):
                refuse(
                    "each callback must be an instance of a class derived from Callback", callback=callback
                )
        super().__init__(model, loss, metrics or {})
        self.optimizer = optimizer
        self.schedule, self.schedule_per = schedule, schedule_per
        self.schedule_monitor = schedule_monitor
        self.max_grad_norm = None if max_grad_norm is None else float(max_grad_norm)
        self.accumulate = integer("Trainer", "accumulate", accumulate, 1)
        self.callbacks = sorted(callbacks, key=lambda callback: callback._comes_last)
        self.epoch = self.step = self.batch = self.epochs = self.batches_per_epoch = 0
        self.history = History()
        self.interrupted = False
        self.stop_reason: str | None = None
        self._last_loss: Array = math.nan
        self._loss_sum, self._sample_count, self._seconds = 0.0, 0, 0.0
        self._unread: list[tuple[Array, int]] = []  # losses still on a GPU, with examples
        self._gathered = self._counted = 0  # batches since the last step, and their examples with a loss
        self._place: Any = None  # the state of the loader, but for the batch
        self._displays: Sequence[Callback] = ()  # shown by the running fit alone
        self._loaded = False  # whether the place is from a file, so that the next fit goes on from it

    @property
    def last_loss(self) -> float:
        """The loss of the last batch, NaN before any; on a GPU, reading it waits."""
        return float(numpy.asarray(to_host(self._last_loss)).item())

    def __repr__(self) -> str:
        parts = f"{type(self.model).__name__}, {type(self.optimizer).__name__}"
        return f"{type(self).__name__}({parts}; {self.epoch} epochs, {self.step:,} steps)"

    def _repr_html_(self) -> str | None:
        return view("Trainer._repr_html_")(self)

    # --- Training ------------------------------------------------------------------------

    def fit(
        self,
        loader: DataLoader | TensorDataset | tuple[Any, Any],
        epochs: int,
        validation: Iterable[Any] | TensorDataset | None = None,
        progress: bool | None = None,
    ) -> History:
        """Train until `epochs` epochs are complete, counting those before.

        After a stop (Ctrl-C, `stop`) or a `load` it goes on in the middle of the epoch, even if the loader
        was iterated meanwhile. After an error it begins that epoch anew.

        Ctrl-C ends training after the running step; a second one ends the program. Where the program ignores
        Ctrl-C, as one that a script starts in the background does, so does `fit`.

        Parameters
        ----------
        loader : DataLoader, or pair of arrays
            Yields batches of input and target. Arrays ``(x, y)`` are shuffled, 32 examples a batch.
        epochs : int
            The number of epochs in all.
        validation : DataLoader, pair of arrays, or iterable of batches, optional
            Evaluated after each epoch.
        progress : bool, optional
            Whether to show progress: a line an epoch and a bar for the one that is running. By default it is
            shown in a terminal and in a notebook, but not in a pipe, nor while another training shows
            its own. Where a bar cannot be shown, True prints the lines. A display among the callbacks takes
            its place.

        Returns
        -------
        History
            One row an epoch.

        Raises
        ------
        OptionError
            If an argument is not of that form, or `validation` is an iterator, which one epoch would use up.
        StateError
            If it would go on in the middle of an epoch with another batch size or other examples.
        NonFiniteError
            If the loss is NaN or infinite; the step is named, and no parameter was changed by it. On a GPU
            this is found at the end of the epoch or some steps late, when parameters have changed. Also if a
            gradient is not finite, and the optimizer was made with ``on_nonfinite="raise"``.

        Notes
        -----
        Submodules in another mode than the module that holds them stay in it, such as a batch normalization
        frozen by ``model[1].eval()``; all others train. Afterwards all modes are as before.
        """
        epochs = integer("Trainer.fit", "epochs", epochs, 0)
        loader = training_loader("Trainer.fit", loader, self.model)
        if isinstance(validation, Iterator) and epochs > self.epoch + 1:
            raise OptionError("Trainer.fit", f"the first epoch would use up validation: {AGAIN}")
        if validation is not None:
            validation = batches_of("Trainer.fit", validation, self.model)
        self._find_place(loader)
        self.epochs, self.batches_per_epoch = epochs, len(loader)
        self.interrupted, self.stop_reason = False, None
        shown = view("Trainer.fit")(self, progress)
        with on_interrupt(self._interrupt), modes_put_back(self.model), shown as self._displays:
            self._call("on_fit_start")
            try:
                while self.epoch < epochs and self.stop_reason is None:
                    self._run_epoch(loader, validation)
            except BaseException:
                # Training ended inside a step, where the parts do not fit together.
                self.interrupted, self.batch = False, 0
                self._forget_sums()
                raise
            finally:
                self._call("on_fit_end")
        return self.history

    def stop(self, reason: str) -> None:
        """End training after the running step; callbacks call this."""
        self.stop_reason = reason

    def _interrupt(self) -> None:
        self.interrupted = True
        self.stop("interrupted")

    def _find_place(self, loader: DataLoader) -> None:
        """Find the epoch of the loader, and its batch, to begin with.

        The Trainer keeps its own place, since others may iterate the loader. It takes over the place of a
        loader that was restored, or that divides its examples differently from the one before.
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
        row = {"epoch": self.epoch + 1, "step": self.step, "loss": self._loss_sum / self._sample_count}
        row.update((name, metric.value) for name, metric in self.metrics.items())
        row["lr"] = float(self.optimizer.param_groups[0]["lr"])
        self._forget_sums()
        if validation is not None:
            row.update((f"val_{name}", value) for name, value in self.evaluate(validation).items())
        row["seconds"] = self._seconds + time.perf_counter() - started
        self._seconds = 0.0
        if self.schedule is not None and self.schedule_per == "epoch":
            if isinstance(self.schedule, ReduceLROnPlateau):
                self.schedule.step(monitored_value("ReduceLROnPlateau", row, self.schedule_monitor))
            else:
                self.schedule.step()
        self.epoch, self.batch = self.epoch + 1, 0
        self._place["epoch"] += 1
        self.history.append(row)
        self._call("on_epoch_end")

    def _take_batch(self, loader: DataLoader, x: Tensor, target: Tensor) -> bool:
        """Add a batch to the gradients; take the step if it completes one, and return whether it did."""
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

    def _note(self, loss: Tensor, examples: int, output: object, target: TensorLike) -> bool:
        """Add a loss to the sum, on a GPU later; refuse one that is not finite, return whether it counts."""
        if loss.device != "cpu":
            self._last_loss = loss._data
            self._unread.append((loss._data, examples))
            if len(self._unread) == LOOK_EVERY:
                self._read_losses()
            return True
        value = loss._data.item()
        if not math.isfinite(value):
            if self._no_label_counts(loss, output, target):
                return False
            raise self._not_finite(value)
        self._last_loss = value
        self._loss_sum += value * examples
        self._sample_count += examples
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
            elif not math.isnan(loss) or not all_finite(self._parameters()):
                raise self._not_finite(loss, late=True)

    def _not_finite(self, loss: float, late: bool = False) -> NonFiniteError:
        lr = self.optimizer.param_groups[0]["lr"]
        return not_finite_loss(loss, late, epoch=self.epoch + 1, step=self.step + (not late), lr=lr)

    def _parameters(self) -> Iterator[Tensor]:
        """Yield the parameters that the optimizer trains; others keep old gradients, which must not count."""
        for group in self.optimizer.param_groups:
            yield from group["params"]

    def _forget_sums(self) -> None:
        self._loss_sum, self._sample_count, self._unread = 0.0, 0, []
        for metric in self.metrics.values():
            metric.reset()

    def _call(self, event: str) -> None:
        for callback in (*self.callbacks, *self._displays):
            getattr(callback, event)(self)

    # --- Stopping and going on -----------------------------------------------------------

    def save(self, path: str | os.PathLike[str], extra: dict[str, Any] | None = None) -> None:
        """Write a checkpoint from which `load` goes on at this very step.

        Parameters
        ----------
        path : path
            The file to write.
        extra : dict, optional
            Anything that JSON can hold, to keep with it.

        Raises
        ------
        CheckpointError
            If it cannot be written; an older file at `path` survives.
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
            If it belongs to another model, optimizer, schedule or set of metrics.
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
        if (state["schedule"] is None) != (self.schedule is None) or {*state["metrics"]} != {*self.metrics}:
            raise StateError(
                f"loading {path}", "schedule and metrics must be the ones of the run that was saved",
                saved_schedule=state["schedule"], saved_metrics=sorted(state["metrics"]),
                metrics=sorted(self.metrics),
            )  # fmt: skip
        for name, metric in self.metrics.items():
            metric.load_state_dict(state["metrics"][name])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        if not isinstance(state["callbacks"], list):
            raise TypeError("the callbacks are not a list")
        saved = list(state["callbacks"])
        for callback in self.callbacks:
            own = next((entry for entry in saved if entry[0] == type(callback).__name__), None)
            if own is not None:
                callback.load_state_dict(own[1])
                saved.remove(own)
        counts = [
            integer("history", name, state[name], 0) for name in ("epoch", "step", "batch", "sample_count")
        ]
        rows, loader = state["history"], state["loader"]
        if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
            raise TypeError("the history is not a list of rows")
        if not isinstance(loader, dict | None):
            raise TypeError("the place in the data is not a dict")
        loss_sum, seconds = float(state["loss_sum"]), float(state["seconds"])
        # From here on nothing can fail.
        self.epoch, self.step, self.batch, self._sample_count = counts
        self._loss_sum, self._seconds, self._unread = loss_sum, seconds, []
        self.history, self._place, self._loaded = History(rows), loader, True


_MOVING = {"epoch", "batch"}
"""The entries of a loader's state that change while it is iterated."""
