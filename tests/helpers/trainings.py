"""Small trainings, interrupted anywhere, and their results to the last bit."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import nn, optim
from tinygrad_adam.data import DataLoader, TensorDataset
from tinygrad_adam.nn.functional import cross_entropy
from tinygrad_adam.training import Accuracy, Callback, Trainer

EPOCHS, STEPS = 4, 4  # 50 examples in batches of 16: the last batch of an epoch has 2
SETUPS = {
    "adam": {"optimizer": "adam", "schedule": "step", "prefetch": 0},
    "sgd": {"optimizer": "sgd", "schedule": "epoch", "prefetch": 2},
    "prefetch": {"optimizer": "adam", "schedule": "epoch", "prefetch": 3},
    "plain": {"optimizer": "sgd", "schedule": None, "prefetch": 0},
}


class Losses(Callback):
    def __init__(self):
        self.seen = []

    def on_step_end(self, trainer):
        self.seen.append((trainer.step, trainer.last_loss, trainer.optimizer.param_groups[0]["lr"]))


class At(Callback):
    """Calls ``action(trainer)`` at a step, or after an epoch."""

    def __init__(self, action, step=None, epoch=None):
        self.action, self.step, self.epoch = action, step, epoch

    def on_step_end(self, trainer):
        if trainer.step == self.step:
            self.action(trainer)

    def on_epoch_end(self, trainer):
        if trainer.epoch == self.epoch:
            self.action(trainer)


def ctrl_c(trainer=None):
    os.kill(os.getpid(), signal.SIGINT)


def stop(trainer):
    trainer.stop("enough")


def examples(n=50):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(n, 6)).astype(np.float32)
    return TensorDataset(x, (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0))


def make(setup="adam", seed=7, callbacks=(), loss=cross_entropy, **settings):
    choice = SETUPS[setup]
    tg.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))
    if choice["optimizer"] == "adam":
        optimizer = optim.Adam(model.named_parameters(), lr=0.02, amsgrad=True)
    else:
        optimizer = optim.SGD(model.named_parameters(), lr=0.05, momentum=0.9, nesterov=True)
    schedule = None
    if choice["schedule"]:
        schedule = optim.CosineAnnealingLR(optimizer, EPOCHS * (STEPS if choice["schedule"] == "step" else 1))
    trainer = Trainer(
        model,
        optimizer,
        loss,
        {"accuracy": Accuracy()},
        schedule,
        schedule_per=choice["schedule"] or "epoch",
        callbacks=callbacks,
        **{"max_grad_norm": 1.0, **settings},
    )
    return trainer, DataLoader(examples(), 16, shuffle=True, seed=seed, prefetch=choice["prefetch"])


def validation():
    return DataLoader(examples(30), 8)


def bits(trainer):
    """All arrays of model and optimizer as bytes, and the random state."""
    model = {name: array.tobytes() for name, array in trainer.model.state_dict().items()}
    state = {
        (name, key): value if key == "step" else value.tobytes()
        for name, entry in trainer.optimizer.state_dict()["state"].items()
        for key, value in entry.items()
    }
    return model, state, str(tg.random.get_state())


def rows(trainer):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in trainer.history]


_finished = {}


def finished(setup):
    if setup not in _finished:
        losses = Losses()
        trainer, loader = make(setup, callbacks=[losses])
        trainer.fit(loader, EPOCHS, validation())
        _finished[setup] = losses.seen, bits(trainer), rows(trainer)
    return _finished[setup]


def accumulating(size, times, callbacks=(), n=50, drop_last=False, **settings):
    """Return a trainer without layers that look at the batch as a whole."""
    tg.manual_seed(3)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).to(np.float64)
    trainer = Trainer(
        model,
        optim.Adam(model.named_parameters(), lr=0.02),
        cross_entropy,
        {"accuracy": Accuracy()},
        accumulate=times,
        callbacks=callbacks,
        **settings,
    )
    x, y = examples(n)[np.arange(n)]
    loader = DataLoader(
        TensorDataset(x.astype(np.float64), y), size, shuffle=True, seed=1, drop_last=drop_last
    )
    return trainer, loader


def resume_elsewhere(source, target):
    trainer, loader = make(seed=4321)
    trainer.load(source)
    trainer.fit(loader, EPOCHS, validation())
    trainer.save(target)


def python(code, *args, **settings):
    paths = [str(Path(__file__).parent), str(Path(tg.__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "11"}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        **settings,
    )
