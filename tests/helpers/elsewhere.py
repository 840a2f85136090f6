"""Networks, data and loops that were not used while the doctor's checks were built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import data, nn, optim
from tinygrad_adam.nn import functional as F
from tinygrad_adam.training import Trainer

EPOCHS = 9


@dataclass(frozen=True)
class Run:
    """A training; a fault replaces some of its parts.

    Attributes
    ----------
    model : callable
        Makes the network.
    x, y : ndarray
        The training examples.
    test : tuple of ndarray
        Other examples.
    loss : callable
        ``loss(output, target)``.
    optimizer, schedule : callable
        ``optimizer(parameters)``; ``schedule(optimizer)`` or None.
    per_step : bool
        Whether the schedule is stepped once a batch.
    batch, epochs : int
    shuffle, training : bool
        Whether the loop shuffles, and calls ``train()`` at first (only in a loop of one's own).
    anew : bool
        Whether each step has an optimizer of its own.
    """

    model: Callable[[], nn.Module]
    x: np.ndarray
    y: np.ndarray
    test: tuple[np.ndarray, np.ndarray]
    loss: Callable
    optimizer: Callable = lambda p: optim.NAdam(p, lr=5e-3)
    schedule: Callable | None = None
    per_step: bool = False
    batch: int = 24
    epochs: int = EPOCHS
    shuffle: bool = True
    training: bool = True
    anew: bool = False
    losses: list[float] = field(default_factory=list)

    def with_(self, **parts: Any) -> Run:
        return replace(self, losses=[], **parts)


# --- Two loops ---------------------------------------------------------------------------


def own_loop(run: Run, doctor: tg.doctor) -> None:
    """Train as the chapters do, without any part of the room of training."""
    tg.manual_seed(3)
    model = run.model()
    model.train(run.training)
    opt = run.optimizer(list(model.parameters()))
    schedule = None if run.schedule is None else run.schedule(opt)
    rng = np.random.default_rng(5)
    with doctor:
        for _ in range(run.epochs):
            order = rng.permutation(len(run.x)) if run.shuffle else np.arange(len(run.x))
            for rows in (order[i : i + run.batch] for i in range(0, len(order), run.batch)):
                opt = run.optimizer(list(model.parameters())) if run.anew else opt
                loss = run.loss(model(tg.tensor(run.x[rows])), run.y[rows])
                for p in model.parameters():
                    p.grad = None
                loss.backward()
                opt.step()
                if schedule is not None and run.per_step:
                    schedule.step()
                run.losses.append(loss.item())
            if schedule is not None and not run.per_step:
                schedule.step()
            if len(run.test[0]):
                with tg.no_grad():
                    model(tg.tensor(run.test[0]))


def loader_loop(run: Run, doctor: tg.doctor) -> None:
    """Train with a loader, a function for each step, and gradients that are cleared after it."""
    tg.manual_seed(3)
    model = run.model()
    parameters = dict(model.named_parameters())
    opt = run.optimizer(list(parameters.items()))

    def step(x, y):
        nonlocal opt
        if run.anew:
            opt = run.optimizer(list(parameters.items()))
        loss = run.loss(model(x), y.numpy())
        loss.backward()
        opt.step()
        opt.zero_grad()
        run.losses.append(loss.item())

    with doctor:
        for _ in range(run.epochs):
            model.train(run.training)
            for x, y in data.DataLoader(data.TensorDataset(run.x, run.y), run.batch, shuffle=run.shuffle):
                step(x, y)


def trainer(run: Run, doctor: tg.doctor) -> None:
    """Train with a Trainer that does not have the doctor among its callbacks."""
    tg.manual_seed(3)
    model = run.model()
    opt = run.optimizer(list(model.named_parameters()))
    model.train(run.training)

    def measured(output, target):
        loss = run.loss(output, target)
        if tg.is_grad_enabled():
            run.losses.append(loss.item())
        return loss

    fitted = Trainer(
        model, opt, measured, schedule=None if run.schedule is None else run.schedule(opt),
        schedule_per="step" if run.per_step else "epoch",
    )  # fmt: skip
    examples = data.TensorDataset(run.x, run.y)
    with doctor:
        fitted.fit(
            data.DataLoader(examples, run.batch, shuffle=run.shuffle), run.epochs,
            data.TensorDataset(*run.test) if len(run.test[0]) else None,
        )  # fmt: skip


LOOPS = {"own loop": own_loop, "loader loop": loader_loop, "Trainer": trainer}
TWO = ("own loop", "Trainer")
ON_ONES_OWN = ("own loop", "loader loop")


# --- Three networks for classes, three for numbers ---------------------------------------


def points(make, classes, count, **options):
    x, y = make(count, **options)
    cut = count * 3 // 4
    return x[:cut], y[:cut], (x[cut:], y[cut:]), classes


def images():
    x, y = data.load_digits().arrays("train")
    x, y = x[400:1120].reshape(-1, 1, 8, 8), y[400:1120]
    return x[:600], y[:600], (x[600:], y[600:]), 10


def moons():
    x, y, test, _ = points(data.moons, 2, 800)

    def model():
        return nn.Sequential(
            nn.Linear(2, 24),
            nn.LayerNorm(24),
            nn.GELU(),
            nn.Dropout(0.05),
            nn.Linear(24, 24),
            nn.SiLU(),
            nn.Linear(24, 2),
        )

    return Run(model, x, y, test, F.cross_entropy)


def blobs():
    x, y, test, _ = points(data.blobs, 3, 800)

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm = nn.Linear(2, 20), nn.BatchNorm1d(20)
            self.middle, self.last = nn.Linear(20, 20), nn.Linear(20, 3)

        def forward(self, x):
            h = F.elu(self.norm(self.first(x)))
            return self.last(h + F.elu(self.middle(h)))

    return Run(Residual, x, y, test, F.cross_entropy, lambda p: optim.RMSprop(p, lr=3e-3))


def pictures():
    x, y, test, _ = images()

    def model():
        return nn.Sequential(
            nn.Conv2d(1, 6, 3),
            nn.BatchNorm2d(6),
            nn.LeakyReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(54, 10),
        )

    return Run(model, x, y, test, F.cross_entropy, lambda p: optim.AdamW(p, lr=8e-3))


def spirals():
    x, y, test, _ = points(data.spirals, 3, 900)

    def model():
        return nn.Sequential(nn.Linear(2, 48), nn.Softplus(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 3))

    return Run(model, x, y, test, F.cross_entropy, lambda p: optim.Adamax(p, lr=2e-2))


def surface():
    rng = np.random.default_rng(8)
    x = rng.uniform(-1.5, 1.5, (800, 3)).astype(np.float32)
    y = (np.cos(x[:, :1] * x[:, 1:2]) + x[:, 2:] ** 2).astype(np.float32)
    y = (y - y.mean()) / y.std()

    def model():
        return nn.Sequential(nn.Linear(3, 32), nn.Mish(), nn.Linear(32, 16), nn.Mish(), nn.Linear(16, 1))

    return Run(model, x[:600], y[:600], (x[600:], y[600:]), F.mse_loss)


def mixture():
    rng = np.random.default_rng(9)
    x = rng.standard_normal((800, 10)).astype(np.float32)
    y = (x @ rng.standard_normal((10, 1)) / 3 + 0.2 * rng.standard_normal((800, 1))).astype(np.float32)

    def model():
        return nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Dropout(0.05), nn.Linear(16, 1))

    return Run(model, x[:600], y[:600], (x[600:], y[600:]), F.huber_loss, lambda p: optim.RAdam(p, lr=1e-2))


def brightness():
    """How bright the left half of a digit is."""
    x, _, test, _ = images()

    def bright(pictures):
        return pictures[:, :, :, :4].mean(axis=(1, 2, 3), dtype=np.float32)[:, None]

    mean, deviation = bright(x).mean(), bright(x).std()

    def model():
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.ELU(),
            nn.Flatten(),
            nn.Linear(256, 8),
            nn.ELU(),
            nn.Linear(8, 1),
        )

    return Run(
        model, x, (bright(x) - mean) / deviation, (test[0], (bright(test[0]) - mean) / deviation), F.mse_loss,
        lambda p: optim.Adam(p, lr=2e-3),
    )  # fmt: skip


CLASSES = {"moons": moons, "blobs": blobs, "pictures": pictures}
NUMBERS = {"surface": surface, "mixture": mixture, "brightness": brightness}
