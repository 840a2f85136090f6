"""One object of each class that shows itself in a notebook, by name, made as a user would."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import data, explain, nn, optim, training
from tinygrad_adam.testing.selfcheck.report import Beside, Check, Report, Speed

MOONS = data.moons(200)


def network():
    tg.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 2))


def trainer(epochs=0, **settings):
    model = network()
    optimizer = optim.Adam(model.named_parameters(), lr=0.02)
    made = training.Trainer(
        model, optimizer, nn.functional.cross_entropy, {"accuracy": training.Accuracy()}, **settings
    )
    if epochs:
        made.fit(data.DataLoader(data.TensorDataset(*MOONS), shuffle=True), epochs, MOONS, progress=False)
    return made


def explanation():
    w = tg.tensor([[0.5, -1.0]], requires_grad=True)
    x = tg.tensor([[1.0, 2.0], [3.0, -1.0]])
    with tg.tracing():
        hidden = (x * w).tanh()
        loss = (hidden**2).mean()
    return loss.explain()


@functools.cache
def stepped():
    model = network()
    optimizer = optim.Adam(model.named_parameters(), lr=0.02)
    x, y = MOONS
    with optimizer.ledger():
        for _ in range(3):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(tg.tensor(x)), y).backward()
            optimizer.step()
    return optimizer


@functools.cache
def doctor():
    model = nn.Linear(4, 3)
    optimizer = optim.Adam(model.parameters())
    with tg.doctor(tell=None) as watching:
        for _ in range(3):
            optimizer.zero_grad()
            tg.cross_entropy(tg.softmax(model(tg.ones(8, 4))), [0, 1, 2, 0] * 2).backward()
            optimizer.step()
    return watching


def right_adam(p, g, state, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
    state["t"] = t = state.get("t", 0) + 1
    state["m"] = m = beta1 * state.get("m", 0) + (1 - beta1) * g
    state["v"] = v = beta2 * state.get("v", 0) + (1 - beta2) * g * g
    return p - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)


def forgetful_adam(p, g, state, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
    state["m"] = m = beta1 * state.get("m", 0) + (1 - beta1) * g
    state["v"] = v = beta2 * state.get("v", 0) + (1 - beta2) * g * g
    return p - lr * m / (np.sqrt(v) + eps)


def schedule(steps=6):
    optimizer = stepped()
    parts = [optim.LinearLR(optimizer, 0.1, total_iters=10), optim.CosineAnnealingLR(optimizer, t_max=40)]
    made = optim.SequentialLR(optimizer, parts, milestones=[10])
    for _ in range(steps):
        made.step()
    return made


def plateau():
    made = optim.ReduceLROnPlateau(optim.SGD(network().parameters(), lr=0.1), patience=1)
    for loss in (1.0, 0.9, 0.95):
        made.step(loss)
    return made


@functools.cache
def comparison():
    config = training.RunConfig(model="mlp:8", epochs=2, batch_size=512)
    entries = [training.Entry.parse(name) for name in ("adam", "sgd")]
    with ThreadPoolExecutor(1) as executor:
        return training.compare(config, entries, [0, 1], executor)


@functools.cache
def trials():
    config = training.RunConfig(model="mlp:8", epochs=1, batch_size=512)
    search = training.Search(config, {"lr": training.Range("lr", 1e-3, 1e-1)}, points=3)
    with TemporaryDirectory() as folder, ThreadPoolExecutor(1) as executor:
        return search.run(Path(folder, "trials.jsonl"), executor)


@functools.cache
def next_step():
    with TemporaryDirectory() as folder:
        config = training.RunConfig(model="mlp:8", epochs=1, batch_size=512)
        run = training.Run.start(config, Path(folder, "run"))
        run.fit(progress=False)
        return explain.take_next_step(run.folder)


def report():
    made = Report("cpu", "a processor", "Kernels with references", "2026-12-01", True, {"numpy": "2.3"})
    good, bad, skipped = Check("gradients", 1e-6), Check("forward", 1e-6), Check("waits", note="needs a GPU")
    for check, error in ((good, 1e-9), (bad, 1.0)):
        with check.timed(), check.case("add <b>"):
            check.enter("gradient of a", error)
    made.checks = [good, bad, skipped]
    made.speeds = [
        Speed("copy", "of 1 GB", 12.3, "GB/s", 1.0),
        Speed("step", "of an MLP", None, "ms", note="slow"),
    ]
    made.others = [Beside("mlp", {"ours": 1.5, "torch": 3.0})]
    return made


def color_images():
    random = np.random.default_rng(0)
    ramp = np.linspace(0, 255, 16).astype(np.uint8)
    across = np.tile(ramp, (16, 1))
    blue = random.integers(0, 90, (6, 16, 16), np.uint8)
    images = np.stack([np.roll(np.stack([across, across.T, part]), i, 2) for i, part in enumerate(blue)])
    return data.ImageDataset(images, np.arange(6), augment=[data.random_flip()])


DISPLAYS = {
    "Tensor": lambda: tg.tensor(np.linspace(-1, 2, 12).reshape(3, 4), requires_grad=True),
    "Tensor of one number": lambda: (tg.tensor(3.0, requires_grad=True) * 2).sum(),
    "Tensor with NaN": lambda: tg.tensor(np.array([1.0, np.nan, np.inf, -2.5])),
    "Tensor, large": lambda: tg.arange(10_000.0).reshape(2, 50, 100) / 7,
    "Module": network,
    "Module, a convolutional network": lambda: training.build_model("cnn", (1, 28, 28), 10),
    "Summary": lambda: network().summary(tg.ones(4, 2)),
    "Explanation": explanation,
    "EntryLedger": lambda: stepped().explain("0.weight", (0, 1)),
    "LayerLedger": lambda: stepped().explain("0.weight"),
    "Grade": lambda: tg.testing.grade(forgetful_adam, reference="adam"),
    "Grade, right": lambda: tg.testing.grade(right_adam, reference="adam"),
    "Doctor": doctor,
    "Finding": lambda: doctor().findings[0],
    "Optimizer": stepped,
    "Schedule": schedule,
    "Schedule that watches": plateau,
    "Trainer": lambda: trainer(3),
    "History": lambda: trainer(30).history,
    "DataLoader": lambda: data.DataLoader(data.TensorDataset(*MOONS), shuffle=True, prefetch=2),
    "TensorDataset": lambda: data.TensorDataset(np.linspace(0, 1, 60).reshape(5, 12), np.arange(5)),
    "ImageDataset": color_images,
    "ImageData": lambda: data.load_dataset("digits"),
    "Sweep": lambda: training.lr_find(trainer(), data.DataLoader(data.TensorDataset(*MOONS), shuffle=True)),
    "Race": lambda: explain.race("ravine", ["sgd", "momentum", "adam"], steps=60),
    "Comparison": comparison,
    "Trials": trials,
    "NextStep": next_step,
    "Report": report,
}
"""The functions that make them; the first word names a class in `VIEWERS`, or one that derives from it."""
