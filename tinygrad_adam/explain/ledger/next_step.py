"""The step that the training of a run would take next, taken to be looked at."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy

from ...engine.viewers import view
from ...errors import CheckpointError
from ...optim import Optimizer
from ...training import Callback, Experiment, Run, Trainer


@dataclass(frozen=True, repr=False)
class NextStep:
    """A step that was taken in memory, from the last checkpoint of a run.

    Attributes
    ----------
    optimizer : Optimizer
        It has recorded the step: ``optimizer.explain`` shows it.
    parameters : tuple of str
        The names of the parameters that it moved.
    step : int
        The number of the step, from 1.
    epoch, batch, batches : int
        The batch that it was made from, both from 1, and how many an epoch has.
    examples : int
        How many images the batch has.
    loss : float
        Of that batch, before the step.
    past_lr : float or None
        The learning rate of the step before, taken instead if the schedule has come to 0.
    """

    optimizer: Optimizer
    parameters: tuple[str, ...]
    step: int
    epoch: int
    batch: int
    batches: int
    examples: int
    loss: float
    past_lr: float | None

    def __str__(self) -> str:
        text = (
            f"Step {self.step:,}, which follows the last checkpoint: batch {self.batch} of {self.batches} of "
            f"epoch {self.epoch}, {self.examples} images, loss {self.loss:.4g}."
        )
        if self.past_lr is not None:
            text += (
                f" The schedule has come to a learning rate of 0, so the one before is taken, "
                f"{self.past_lr:.4g}."
            )
        return text

    __repr__ = __str__

    def _repr_html_(self) -> str | None:
        return view("NextStep._repr_html_")(self)


def take_next_step(folder: str | os.PathLike[str]) -> NextStep:
    """Load the last checkpoint of a run and take one training step; the run stays as it is.

    The step is the very one that training would go on with: the next batch in order, the same random
    numbers for dropout, the gradients clipped if the run clips them.

    Parameters
    ----------
    folder : path
        The folder of a run that has a checkpoint.

    Returns
    -------
    NextStep

    Raises
    ------
    CheckpointError
        If the folder holds no run, or the run no checkpoint, or one is damaged.
    """
    run = Run.open(folder)
    if not run.checkpoints.last.exists():
        raise CheckpointError(f"explaining {folder}", "the run has no checkpoint yet; train it first")
    # Without a folder nothing can be written; the callbacks of a run would write.
    experiment = Experiment(run.config)
    trainer = experiment.trainer
    watcher = _OneStep()
    trainer.callbacks = []
    trainer.load(Path(run.checkpoints.last))
    trainer.callbacks = [watcher]
    past_lr = _without_zero_lr(trainer)
    epoch = trainer.epoch
    loader = experiment.loaders()[0]
    with trainer.optimizer.ledger(), numpy.errstate(over="ignore", invalid="ignore"):
        trainer.fit(loader, epoch + 1, progress=False)
    first = (watcher.batch - 1) * loader.batch_size
    return NextStep(
        trainer.optimizer,
        tuple(name for name, p in trainer.model.named_parameters() if p.grad is not None),
        trainer.step,
        epoch + 1,
        watcher.batch,
        len(loader),
        min(loader.batch_size, len(loader.dataset) - first),
        trainer.last_loss,
        past_lr,
    )


class _OneStep(Callback):
    """Ends training after a step, and remembers its batch."""

    batch = 0

    def on_step_end(self, trainer: Trainer) -> None:
        self.batch = trainer.batch
        trainer.stop("one step is enough")


def _without_zero_lr(trainer: Trainer) -> float | None:
    """Set the learning rate of the step before where a schedule has ended at 0; a step of 0 shows little."""
    schedule, groups = trainer.schedule, trainer.optimizer.param_groups
    trainer.schedule = None  # no step follows that it would have to prepare
    if schedule is None or any(group["lr"] > 0 for group in groups) or schedule.count < 1:
        return None
    for group in groups:
        group["lr"] = schedule.lr(group["initial_lr"], schedule.count - 1)
    return float(groups[0]["lr"])
