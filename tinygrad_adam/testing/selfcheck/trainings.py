"""Small trainings on a device and on the CPU, from the same weights on the same batches.

Rounding makes two trainings diverge, slowly at first: the losses of the first steps must agree closely, the
losses of the epochs roughly.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from ...backend.device import to_host
from ...backend.overrides import use_kernels
from ...data import DataLoader, load_dataset, split
from ...data.datasets.fetch import folders
from ...data.datasets.mnist import FILES
from ...nn.functional import cross_entropy
from ...optim import Adam
from ...tensor.random import fork_rng
from ...training import Accuracy, Callback, Trainer, build_model
from .comparing import Arrays, Place, Run
from .report import Check

FIRST = 10
"""How many losses must agree closely."""
EARLY, LATE = 1e-4, 5e-2
"""The largest relative differences: of the first losses, and of the losses of the epochs."""
PRECISION = 0.02
"""The largest difference of accuracies."""


class Training(NamedTuple):
    """A model and its training data.

    Attributes
    ----------
    name : str
    data : str
        A data set.
    model : str
        See `build_model`.
    images : int
        How many of the data set's, divided into ones to train on and ones to validate.
    epochs : int
    """

    name: str
    data: str
    model: str
    images: int
    epochs: int


TRAININGS = (
    Training("digits, MLP", "digits", "mlp:64", 3823, 5),
    Training("digits, CNN", "digits", "cnn", 1600, 2),
    Training("MNIST, MLP", "mnist", "mlp:256,256", 12_000, 2),
    Training("MNIST, CNN", "mnist", "cnn", 4000, 2),
)
QUICK = (
    Training("digits, MLP", "digits", "mlp:32", 1600, 2),
    Training("digits, CNN", "digits", "cnn", 320, 1),
)


class Curve(NamedTuple):
    """The results of a training run.

    Attributes
    ----------
    first : list of float
        The losses of the first steps.
    epochs : list of dict
        Loss and accuracy, on the training images and on the validation images.
    weights : dict of str to array
        At the end.
    """

    first: list[float]
    epochs: list[dict[str, float]]
    weights: Arrays


class _FirstLosses(Callback):
    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_step_end(self, trainer: Trainer) -> None:
        if len(self.losses) < FIRST:
            self.losses.append(float(trainer.last_loss))


def train(training: Training, device: str) -> Curve:
    """Train on a device in float32, with dropout and Adam; the seed is always the same."""
    data = load_dataset(training.data)
    whole = data.dataset("train")
    if training.images < len(whole):
        whole, _ = split(whole, training.images / len(whole), 0)
    images, validation = split(whole, 0.8, 0)
    first = _FirstLosses()
    with fork_rng(0):
        model = build_model(training.model, data.shape, len(data.classes), dropout=0.3).to(device)
        opt = Adam(model.named_parameters())
        trainer = Trainer(model, opt, cross_entropy, {"accuracy": Accuracy()}, callbacks=[first])
        batches = DataLoader(images, 64, shuffle=True, device=device)
        trainer.fit(batches, training.epochs, DataLoader(validation, 512, device=device), progress=False)
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    epochs = [{name: row[name] for name in names} for row in trainer.history.rows]
    weights = {f"weight {name}": to_host(p._data) for name, p in model.named_parameters()}
    return Curve(first.losses, epochs, weights)


def available(data: str) -> bool:
    """Tell whether a data set is on this machine."""
    return data != "mnist" or any(all((f / name).is_file() for name in FILES.values()) for f in folders(data))


def compare_curves(training: Training, device: str) -> tuple[Check, list[dict[str, Any]]]:
    """Train on the device and on the CPU.

    The CPU uses its fast kernels, or the reference kernels if it is the device itself.

    Returns
    -------
    check : Check
        Its largest error is the largest of the losses of the epochs.
    curves : list of dict
        For each epoch, the values on the device and on the CPU.
    """
    check = Check(f"curves of {training.name}", tolerance=LATE)
    curves: list[dict[str, Any]] = []
    if not available(training.data):
        check.note = "MNIST is not on this machine; 'tinygrad-adam train --data mnist' fetches it"
        return check, curves
    with check.timed(), check.case(training.name):
        with use_kernels("reference" if device == "cpu" else "fast"):
            wanted = train(training, "cpu")
        got = train(training, device)
        for i, (a, b) in enumerate(zip(got.first, wanted.first, strict=True), 1):
            if not abs(a - b) <= EARLY * b:
                check.fail(f"loss {a:.6g}, on the CPU {b:.6g}, tolerance {EARLY:.0e}", f"step {i}")
                break
        for i, (here, there) in enumerate(zip(got.epochs, wanted.epochs, strict=True), 1):
            curves.append({"epoch": i, "device": here, "cpu": there})
            for name in ("loss", "val_loss"):
                check.enter(f"epoch {i}, {name}", abs(here[name] - there[name]) / there[name])
            for name in ("accuracy", "val_accuracy"):
                if not abs(here[name] - there[name]) <= PRECISION:
                    problem = f"{here[name]:.2%}, on the CPU {there[name]:.2%}, tolerance {PRECISION:.0%}"
                    check.fail(problem, f"epoch {i}, {name}")
        check.note = f"validation accuracy {got.epochs[-1]['val_accuracy']:.1%}"
    return check, curves


def repeated() -> list[tuple[str, Run]]:
    """Return trainings to compare with themselves."""
    return [(training.name, partial(_weights, training)) for training in QUICK]


def _weights(training: Training, place: Place) -> Arrays:
    return train(training, place.device).weights
