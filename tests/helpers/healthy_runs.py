"""Random trainings without a fault: data, network, optimizer, schedule and loop are drawn from a seed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import data, nn, optim
from tinygrad_adam.nn import functional as F
from tinygrad_adam.training import Trainer

STEPS = 400
"""Steps in which every one of them learns."""


class Task(NamedTuple):
    """Examples, the number of outputs and the loss."""

    x: np.ndarray
    y: np.ndarray
    outputs: int
    loss: Callable


class Healthy(NamedTuple):
    """A training: its parts, and ``run(doctor)``, which trains inside the doctor's block.

    Attributes
    ----------
    words : str
        The choices, as shown when a test fails.
    run : callable
        Returns the losses of all steps.
    """

    words: str
    run: Callable[[tg.doctor], list[float]]


# --- What is learned ---------------------------------------------------------------------


def _digits():
    x, y = data.load_digits().arrays("train")
    return x[:600], y[:600]


def _points(make, classes):
    x, y = make(300)
    return Task(x, y, classes, F.cross_entropy)


def _binary():
    x, y = data.moons(300)
    return Task(x, y[:, None].astype(np.float32), 1, F.binary_cross_entropy_with_logits)


def _curve():
    x = np.random.default_rng(1).uniform(-2, 2, (256, 1)).astype(np.float32)
    return Task(x, np.sin(2 * x), 1, F.mse_loss)


def _plane():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((256, 6)).astype(np.float32)
    y = x @ rng.standard_normal((6, 3)).astype(np.float32) + rng.normal(0, 0.1, (256, 3))
    return Task(x, y.astype(np.float32), 3, F.huber_loss)


def _many_labels():
    x, y = _digits()
    properties = np.stack([y % 2, y > 4, y == 0, y % 3 == 0], axis=1)
    return Task(x, properties.astype(np.float32), 4, F.binary_cross_entropy_with_logits)


def _classes():
    return Task(*_digits(), 10, F.cross_entropy)


FLAT = {
    "spirals": lambda: _points(data.spirals, 3),
    "moons": lambda: _points(data.moons, 2),
    "blobs": lambda: _points(data.blobs, 3),
    "binary moons": _binary,
    "curve": _curve,
    "plane": _plane,
    "digits": _classes,
    "properties of digits": _many_labels,
}
IMAGES = {"digit images": _classes, "properties of images": _many_labels}


# --- What learns -------------------------------------------------------------------------

ACTIVATIONS = [nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Mish]


def _between(rng, width, activation, norm):
    """Return the layers between two affine ones."""
    layers = {"batch": [nn.BatchNorm1d(width)], "layer": [nn.LayerNorm(width)], "": []}[norm]
    layers.append(activation())
    if width >= 32 and rng.random() < 0.25:
        layers.append(nn.Dropout(float(rng.choice([0.1, 0.2, 0.5]))))
    return layers


def _mlp(rng, inputs, outputs):
    activation, norm = (
        ACTIVATIONS[rng.integers(len(ACTIVATIONS))],
        str(rng.choice(["", "", "batch", "layer"])),
    )
    depth = int(rng.integers(1, 3 if activation is nn.Sigmoid else 4))
    widths = [inputs, *(int(w) for w in rng.choice([16, 32, 64], depth))]
    layers = []
    for before, width in itertools.pairwise(widths):
        layers += [nn.Linear(before, width), *_between(rng, width, activation, norm)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs)), f"{widths} {activation.__name__} {norm}"


def _cnn(rng, outputs):
    activation = ACTIVATIONS[rng.integers(4)]
    norm, depth = bool(rng.integers(2)), int(rng.integers(1, 3))
    pooled = depth == 2 and rng.random() < 0.5  # the mean of a single layer tells little of a digit
    layers, channels, size = [], 1, 8
    for _ in range(depth):
        wider = int(rng.choice([8, 12]))
        layers.append(nn.Conv2d(channels, wider, 3, padding=1))
        layers += [nn.BatchNorm2d(wider)] * norm + [activation(), nn.MaxPool2d(2)]
        channels, size = wider, size // 2
    if pooled:
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, outputs)]
    else:
        head = [nn.Flatten(), nn.Linear(channels * size**2, outputs)]
    words = f"{depth} convolutions {activation.__name__}{' batch' * norm}{' pooled' * pooled}"
    return nn.Sequential(*layers, *head), words


# --- How it learns -----------------------------------------------------------------------

OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.2),
    "momentum": lambda p: optim.SGD(p, lr=0.03, momentum=0.9),
    "Adam": lambda p: optim.Adam(p, lr=1e-2),
    "AdamW": lambda p: optim.AdamW(p, lr=5e-3),
    "RMSprop": lambda p: optim.RMSprop(p, lr=2e-3),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.03),
    "NAdam": lambda p: optim.NAdam(p, lr=3e-3),
    "Adamax": lambda p: optim.Adamax(p, lr=1e-2),
    "RAdam": lambda p: optim.RAdam(p, lr=1e-2),
    "Lion": lambda p: optim.Lion(p, lr=1e-3),
}
SCHEDULES = {
    "": lambda opt: None,
    "cosine": lambda opt: optim.CosineAnnealingLR(opt, STEPS),
    "one cycle": lambda opt: optim.OneCycleLR(
        opt, 2 * opt.param_groups[0]["lr"], STEPS, cycle_momentum="betas" in opt.param_groups[0]
    ),
    "exponential": lambda opt: optim.ExponentialLR(opt, 0.99),
    "steps": lambda opt: optim.StepLR(opt, STEPS // 3, 0.3),
}


def _own_loop(doctor, task, model, opt, schedule, seed, steps):
    """Train as a loop of one's own does."""
    losses = []
    rng = np.random.default_rng(seed)
    with doctor:
        while len(losses) < steps:
            for rows in np.array_split(rng.permutation(len(task.x)), len(task.x) // 32):
                loss = task.loss(model(tg.tensor(task.x[rows])), task.y[rows])
                opt.zero_grad()
                loss.backward()
                opt.step()
                if schedule is not None:
                    schedule.step()
                losses.append(loss.item())
    return losses


def _trainer(doctor, task, model, opt, schedule, seed, steps):
    losses = []

    def measured(output, target):
        loss = task.loss(output, target)
        if model.training:
            losses.append(loss.item())
        return loss

    examples = data.TensorDataset(task.x, task.y)
    loader = data.DataLoader(examples, 32, shuffle=True, seed=seed)
    trainer = Trainer(model, opt, measured, schedule=schedule, schedule_per="step", callbacks=[doctor])
    with doctor:
        trainer.fit(loader, -(-steps // len(loader)), data.DataLoader(examples, 200))
    return losses


def unchanged(model: nn.Sequential, task: Task) -> tuple[nn.Sequential, Task]:
    return model, task


def healthy(
    seed: int, plant: Callable[[nn.Sequential, Task], tuple[nn.Module, Task]] = unchanged, steps: int = STEPS
) -> Healthy:
    """Return the training that the seed draws; `plant` may put a mistake into its network and its loss."""
    rng = np.random.default_rng(seed)
    images = rng.random() < 0.3
    tasks = IMAGES if images else FLAT
    name = str(rng.choice(list(tasks)))
    optimizer, planned = str(rng.choice(list(OPTIMIZERS))), str(rng.choice(list(SCHEDULES)))
    loop = (_own_loop, _trainer)[rng.integers(2)]

    task = tasks[name]()
    tg.manual_seed(seed)
    if images:
        task = task._replace(x=task.x.reshape(-1, 1, 8, 8))
        model, network = _cnn(rng, task.outputs)
    else:
        model, network = _mlp(rng, task.x.shape[1], task.outputs)
    model, task = plant(model, task)
    opt = OPTIMIZERS[optimizer](model.named_parameters())
    schedule = SCHEDULES[planned](opt)
    words = ", ".join([name, network, optimizer, planned or "no schedule", loop.__name__.strip("_")])
    return Healthy(words, lambda doctor: loop(doctor, task, model, opt, schedule, seed, steps))
