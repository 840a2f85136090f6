"""The learning rate range test: raise the rate batch by batch, and see where the loss falls fastest."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy

from ...data import DataLoader, TensorDataset
from ...engine.events import unwatched
from ...engine.viewers import view
from ...errors import OptionError
from ...files.figures import new_figure, save_figure, tidy
from ...optim import clip_grad_norm_
from ...tensor import random
from ...tensor.tensor import Tensor
from ...values import integer, is_number
from ..batches import pair, training_loader
from ..evaluation import modes_put_back, train_what_trains
from ..loop import Trainer

WINDOW = 11
"""The number of neighboring losses that a straight line is fitted to."""
DIVERGED = 4.0
"""The sweep ends when the smoothed loss is this many times its lowest; the factor is fastai's."""


@dataclass(frozen=True, repr=False)
class Sweep:
    """The measurements of a sweep over learning rates.

    Attributes
    ----------
    lrs, losses : numpy.ndarray, shape (steps,)
        The learning rate of each step, and the loss of its batch before it.
    middles, smoothed, slopes : numpy.ndarray, shape (steps - WINDOW + 1,)
        For each stretch of `WINDOW` steps: the learning rate in its middle, and the height there and the
        slope, over the logarithm of the learning rate to base 10, of the straight line that fits its losses
        best. A running average would lag behind, and make all suggestions too high.
    diverged : bool
        Whether the sweep ended before its last learning rate.
    """

    lrs: numpy.ndarray[Any, Any]
    losses: numpy.ndarray[Any, Any]
    diverged: bool

    @property
    def middles(self) -> numpy.ndarray[Any, Any]:  # noqa: D102
        return self.lrs[WINDOW // 2 : len(self.lrs) - WINDOW // 2]

    @property
    def smoothed(self) -> numpy.ndarray[Any, Any]:  # noqa: D102
        return numpy.convolve(self.losses, numpy.full(WINDOW, 1 / WINDOW), "valid")

    @property
    def slopes(self) -> numpy.ndarray[Any, Any]:  # noqa: D102
        x = numpy.arange(WINDOW) - WINDOW // 2
        per_step = numpy.log10(self.lrs[1] / self.lrs[0])
        # The slope of least squares: sum(x * y) / sum(x * x); convolve turns its second argument round.
        return numpy.convolve(self.losses, -x / (x @ x), "valid") / per_step

    @property
    def steepest(self) -> float | None:
        """The learning rate where the loss falls fastest on its way down; None if it never falls."""
        lowest = int(self.smoothed.argmin())
        if lowest == 0:
            return None
        return float(self.middles[self.slopes[: lowest + 1].argmin()])

    @property
    def decade_below_minimum(self) -> float | None:
        """A tenth of the learning rate with the lowest loss; None if the loss never falls."""
        lowest = int(self.smoothed.argmin())
        return None if lowest == 0 else float(self.middles[lowest] / 10)

    def __repr__(self) -> str:
        text = f"Sweep of {len(self.lrs)} learning rates from {self.lrs[0]:.2g} to {self.lrs[-1]:.2g}: "
        if self.steepest is None:
            return f"{text}the loss never falls"
        return (
            f"{text}the loss falls fastest at {self.steepest:.2g}, and a decade below its minimum is "
            f"{self.decade_below_minimum:.2g}"
        )

    def _repr_html_(self) -> str | None:
        return view("Sweep._repr_html_")(self)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw loss against learning rate, with the two suggestions.

        Needs matplotlib.

        Parameters
        ----------
        path : path, optional
            Where to save the picture.

        Returns
        -------
        matplotlib.figure.Figure
        """
        figure = new_figure("Sweep.plot", 6.4, 4)
        panel = figure.subplots()
        panel.plot(self.lrs, self.losses, ".", color="#8c8c8c", markersize=4, label="a batch")
        panel.plot(self.middles, self.smoothed, color="#0072b2", linewidth=2, label=f"mean of {WINDOW}")
        marks = (
            (self.steepest, "o", "#d55e00", "falls fastest"),
            (self.decade_below_minimum, "s", "#009e73", "a decade below the minimum"),
        )
        for lr, marker, color, label in marks:
            if lr is not None:
                height = float(numpy.interp(math.log(lr), numpy.log(self.middles), self.smoothed))
                panel.plot(lr, height, marker, color=color, markersize=9, label=f"{label}: {lr:.2g}")
        panel.set_xscale("log")
        # Losses of the divergence would press the rest flat.
        panel.set_ylim(0, 1.25 * float(self.smoothed[: int(self.smoothed.argmin()) + 1].max()))
        panel.set(xlabel="learning rate", ylabel="loss")
        panel.set_title("The loss" + (" diverges" if self.diverged else "") + " as the learning rate rises")
        tidy(panel)
        panel.legend(frameon=False, fontsize=9)
        if path is not None:
            save_figure(figure, path)
        return figure


def lr_find(
    trainer: Trainer,
    loader: DataLoader | TensorDataset | tuple[Any, Any],
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
) -> Sweep:
    """Train with a learning rate that grows exponentially from `low` to `high`, then undo it.

    The trainer's model, optimizer and random generator are left as they were, and so is the loader.

    Parameters
    ----------
    trainer : Trainer
        Its model, optimizer, loss and `max_grad_norm` are used; schedule and callbacks are not.
    loader : DataLoader, or pair of arrays
        Gives a batch a step, anew from its start when it ends; batches of which no label counts are left out.
    low, high : float
        The first and the last learning rate.
    steps : int
        The number of steps at most: the sweep ends when the loss is not finite or, smoothed, four times
        its lowest.

    Returns
    -------
    Sweep

    Raises
    ------
    OptionError
        If the learning rates are not positive and in order, the steps too few to smooth their losses, or the
        loss is not finite before there are enough.

    References
    ----------
    L. N. Smith, "Cyclical learning rates for training neural networks", WACV 2017, section 3.3.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> from tinygrad_adam import data, nn, optim, training
    >>> tg.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
    >>> trainer = training.Trainer(model, optim.Adam(model.parameters()), nn.functional.cross_entropy)
    >>> loader = data.DataLoader(data.TensorDataset(*data.moons(300)), shuffle=True)
    >>> sweep = training.lr_find(trainer, loader)
    >>> 1e-4 < sweep.steepest < 1
    True
    """
    if not (is_number(low) and is_number(high) and 0 < low < high):
        raise OptionError(
            "lr_find", "learning rates grow by equal ratios, so they must be positive, low below high",
            low=repr(low), high=repr(high),
        )  # fmt: skip
    if integer("lr_find", "steps", steps) < 3 * WINDOW:
        raise OptionError("lr_find", f"a sweep needs at least {3 * WINDOW} steps", steps=steps)
    loader = copy(training_loader("lr_find", loader, trainer.model))  # whose place stays as it is
    lrs = numpy.geomspace(low, high, steps)
    losses: list[float] = []
    with unwatched(), _put_back(trainer), numpy.errstate(over="ignore", invalid="ignore"):
        for lr, loss in zip(lrs, _losses(trainer, loader), strict=False):
            for group in trainer.optimizer.param_groups:
                group["lr"] = float(lr)
            if not math.isfinite(loss.item()):
                break
            losses.append(float(loss.item()))
            if _diverged(losses):
                break
            trainer.optimizer.zero_grad()
            loss.backward()
            if trainer.max_grad_norm is not None:
                clip_grad_norm_(trainer._parameters(), trainer.max_grad_norm)
            trainer.optimizer.step()
    if len(losses) < 2 * WINDOW:
        raise OptionError(
            "lr_find", "the loss diverged at once; begin at a lower learning rate",
            low=low, steps_taken=len(losses),
        )  # fmt: skip
    return Sweep(lrs[: len(losses)], numpy.array(losses), len(losses) < steps)


def _diverged(losses: list[float]) -> bool:
    if len(losses) < WINDOW:
        return False
    means = numpy.convolve(losses, numpy.full(WINDOW, 1 / WINDOW), "valid")
    return bool(means[-1] > DIVERGED * means.min())


def _losses(trainer: Trainer, loader: DataLoader) -> Iterator[Tensor]:
    """Yield the loss of each batch that has one, epoch after epoch."""
    found = True
    while found:
        found = False
        for batch in loader:
            x, target = pair("lr_find", batch)
            output = trainer.model(x)
            loss = trainer._loss_of(output, target)
            if not trainer._no_label_counts(loss, output, target):
                found = True
                yield loss
    raise OptionError("lr_find", "no batch has a loss: none has a label that counts")


@contextmanager
def _put_back(trainer: Trainer) -> Iterator[None]:
    """Undo everything, whatever happens."""
    model, optimizer = trainer.model, trainer.optimizer
    weights, moments, numbers = model.state_dict(), optimizer.state_dict(), random.get_state()
    with modes_put_back(model):
        train_what_trains(model)
        try:
            yield
        finally:
            model.load_state_dict(weights)
            optimizer.load_state_dict(moments)
            optimizer.zero_grad()
            random.set_state(numbers)
