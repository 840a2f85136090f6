"""What happens around training: early stopping, checkpoints. Derive from `Callback` for more."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from ..backend.device import to_host
from ..errors import NonFiniteError, OptionError
from ..values import integer, is_number

if TYPE_CHECKING:
    from .loop import Trainer


class Callback:
    """Base of all callbacks; override what is needed.

    A callback with a state that a resumed run needs gives `state_dict` and `load_state_dict`.
    """

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
        """Return what a resumed run needs, as JSON can hold it."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""


def monitored(where: str, row: dict[str, float], monitor: str) -> float:
    """Return a quantity of an epoch, or say which ones there are."""
    if monitor not in row:
        raise OptionError(
            where,
            "no such quantity to monitor; those of validation data need validation= in fit",
            monitor=monitor,
            known=", ".join(row),
        )
    return row[monitor]


class _Monitor(Callback):
    """Remembers the best value of a quantity so far.

    Parameters
    ----------
    monitor : str
        A name in the rows of the history.
    mode : {"min", "max"}
        What is better.
    """

    def __init__(self, monitor: str = "val_loss", mode: str = "min") -> None:
        if mode not in ("min", "max"):
            raise OptionError(type(self).__name__, "mode must be 'min' or 'max'", mode=mode)
        self.monitor, self.mode = monitor, mode
        self.best = self._worst

    @property
    def _worst(self) -> float:
        return math.inf if self.mode == "min" else -math.inf

    def improved(self, trainer: Trainer, margin: float | None = None) -> bool:
        """Tell whether the last epoch was the best so far, by more than `margin`, and remember it if so.

        Without a margin, the later of equals is the better: it has learned longer.
        """
        value = monitored(type(self).__name__, trainer.history.rows[-1], self.monitor)
        gain = self.best - value if self.mode == "min" else value - self.best
        better = gain >= 0 if margin is None else gain > margin
        if better:
            self.best = value
        return better

    def state_dict(self) -> dict[str, Any]:
        return {"best": None if self.best == self._worst else self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = self._worst if state["best"] is None else float(state["best"])


class EarlyStopping(_Monitor):
    """Stop when a quantity has not improved for some epochs.

    Parameters
    ----------
    monitor : str
        A name in the rows of the history, such as ``"val_loss"``.
    patience : int
        The epochs without improvement after which to stop.
    min_delta : float
        How much is an improvement.
    mode : {"min", "max"}
        What is better.
    """

    def __init__(
        self, monitor: str = "val_loss", patience: int = 5, min_delta: float = 0.0, mode: str = "min"
    ) -> None:
        super().__init__(monitor, mode)
        if not is_number(min_delta) or min_delta < 0:
            raise OptionError("EarlyStopping", "min_delta must be a number >= 0", min_delta=repr(min_delta))
        self.patience = integer("EarlyStopping", "patience", patience, 1)
        self.min_delta = float(min_delta)
        self.waited = 0

    def on_fit_start(self, trainer: Trainer) -> None:  # noqa: D102
        self._check(trainer)  # a run that was stopped early and is resumed has nothing left to do

    def on_epoch_end(self, trainer: Trainer) -> None:  # noqa: D102
        self.waited = 0 if self.improved(trainer, self.min_delta) else self.waited + 1
        self._check(trainer)

    def _check(self, trainer: Trainer) -> None:
        if self.waited >= self.patience:
            trainer.stop(
                f"{self.monitor} has not improved for {self.patience} epochs; its best was {self.best:.4g}"
            )

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        return {**super().state_dict(), "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: D102
        super().load_state_dict(state)
        self.waited = int(state["waited"])


class Checkpoints(_Monitor):
    """Write ``last.safetensors`` after every epoch, and ``best.safetensors`` when it was the best.

    When training is interrupted, ``last.safetensors`` is written at the step it stopped at. Where a parameter
    that is trained became NaN or infinite, nothing is written, so the last good checkpoint stays.

    Parameters
    ----------
    folder : path
        Where to; made if it does not exist.
    monitor : str
        The quantity that says what is best.
    mode : {"min", "max"}
        What is better.
    """

    def __init__(self, folder: str | os.PathLike[str], monitor: str = "val_loss", mode: str = "min") -> None:
        super().__init__(monitor, mode)
        self.folder = Path(folder)

    @property
    def last(self) -> Path:
        """The file of the last epoch."""
        return self.folder / "last.safetensors"

    @property
    def best_file(self) -> Path:
        """The file of the best epoch."""
        return self.folder / "best.safetensors"

    def on_epoch_end(self, trainer: Trainer) -> None:  # noqa: D102
        _require_finite(trainer)
        if self.improved(trainer):
            trainer.save(self.best_file)
        trainer.save(self.last)

    def on_fit_end(self, trainer: Trainer) -> None:  # noqa: D102
        if trainer.interrupted:
            _require_finite(trainer)
            trainer.save(self.last)


def _require_finite(trainer: Trainer) -> None:
    """Refuse parameters that training has made NaN or infinite; a buffer may be, as a mask of -inf is."""
    names = {id(p): name for name, p in trainer.model.named_parameters()}
    for p in trainer._parameters():
        if not numpy.isfinite(to_host(p._data)).all():
            raise NonFiniteError(
                "training",
                "a weight became NaN or infinite though the loss was finite; lower the learning rate, or "
                "look for a gradient that is not finite, as of sqrt(0). Older checkpoints stay as they are",
                weight=names.get(id(p), "one that is not of the model"),
                epoch=trainer.epoch,
                step=trainer.step,
            )
