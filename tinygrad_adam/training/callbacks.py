"""Callbacks that stop early and that write checkpoints. Derive from `Callback` for more."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from ..errors import NonFiniteError, OptionError
from ..values import integer, number_in
from .evaluation import all_finite
from .history import monitored_value
from .loop import Callback, Trainer


class _Monitor(Callback):
    """Remembers the best value of a quantity so far.

    Parameters
    ----------
    monitor : str
        A name in the rows of the history.
    mode : {"min", "max"}
        The better direction.
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
        """Return whether the last epoch was the best so far, by more than `margin`, and remember it if so.

        Without a margin, the later of equals is the better: it has learned longer.
        """
        value = monitored_value(type(self).__name__, trainer.history.rows[-1], self.monitor)
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
        The least improvement that counts.
    mode : {"min", "max"}
        The better direction.
    """

    def __init__(
        self, monitor: str = "val_loss", patience: int = 5, min_delta: float = 0.0, mode: str = "min"
    ) -> None:
        super().__init__(monitor, mode)
        self.patience = integer("EarlyStopping", "patience", patience, 1)
        self.min_delta = number_in("EarlyStopping", "min_delta", min_delta, 0)
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
        The folder to write to; made if it does not exist.
    monitor : str
        The quantity by which epochs are compared.
    mode : {"min", "max"}
        The better direction.
    """

    _comes_last = True

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
        if not all_finite([p]):
            raise NonFiniteError(
                "training",
                "a weight became NaN or infinite though the loss was finite; lower the learning rate, or "
                "look for a gradient that is not finite, as of sqrt(0). Older checkpoints stay as they are",
                weight=names.get(id(p), "one outside the model"), epoch=trainer.epoch, step=trainer.step,
            )  # fmt: skip
