"""Where training begins and goes on: loaders looked at and iterated elsewhere, stops, other batch sizes."""

import itertools
import math
import signal

import numpy as np
import pytest
from trainings import (
    EPOCHS,
    At,
    Losses,
    accumulating,
    bits,
    ctrl_c,
    examples,
    finished,
    make,
    python,
    rows,
    stop,
)
from trainings import validation as validating

import tinygrad_adam as tg
from tinygrad_adam import nn, optim
from tinygrad_adam.data import DataLoader, TensorDataset
from tinygrad_adam.errors import NonFiniteError, OptionError, StateError
from tinygrad_adam.training import Callback, Trainer, lr_find


class Order(Callback):
    """Notes which examples each step sees; they are their own numbers."""

    def __init__(self):
        self.epochs, self.model = [], None

    def on_epoch_start(self, trainer):
        self.epochs.append([])

    def look(self, module, inputs):
        if module.training:
            self.epochs[-1].append(inputs[0].numpy()[:, 0].astype(int).tolist())


def numbered(n=10, size=4, **settings):
    """A trainer that notes the examples it sees, and its loader."""
    order = Order()
    x = np.arange(n, dtype=np.float32)[:, None]
    model = nn.Linear(1, 1)
    model.register_forward_pre_hook(order.look)
    trainer = Trainer(
        model, optim.SGD(model.parameters(), lr=1e-6), nn.functional.mse_loss, callbacks=[order], **settings
    )
    return trainer, DataLoader(TensorDataset(x, x), size, shuffle=True, seed=3), order


def orders(epochs, n=10, size=4, seed=3):
    """The batches of the first epochs, by the formula in the loader's documentation."""
    permutations = (np.random.default_rng([seed, epoch]).permutation(n) for epoch in range(epochs))
    return [[order[i : i + size].tolist() for i in range(0, n, size)] for order in permutations]


def peek(loader):
    next(iter(loader))


def leave(loader):
    for number, _ in enumerate(loader):
        if number == 1:
            break


def diverge(loader):
    model = nn.Linear(1, 1)
    trainer = Trainer(model, optim.SGD(model.parameters(), lr=1.0), lambda y, t: y.sum() * math.nan)
    with pytest.raises(NonFiniteError):
        trainer.fit(loader, 1)


def sweep(loader):
    model = nn.Linear(1, 1)
    lr_find(
        Trainer(model, optim.SGD(model.parameters(), lr=1.0), nn.functional.mse_loss), loader, 1e-9, 1e-8, 40
    )


def half_a_fit(loader):
    model = nn.Linear(1, 1)
    trainer = Trainer(
        model, optim.SGD(model.parameters()), nn.functional.mse_loss, callbacks=[At(stop, step=2)]
    )
    trainer.fit(loader, 1)


@pytest.mark.parametrize(("before", "first"), [
    (lambda loader: None, 0), (peek, 1), (leave, 1), (diverge, 1), (half_a_fit, 1), (sweep, 0),
    (lambda loader: (leave(loader), sweep(loader)), 1),
])  # fmt: skip
def test_a_fit_begins_an_epoch_whatever_was_done_with_the_loader(before, first):
    trainer, loader, order = numbered()
    before(loader)
    trainer.fit(loader, 2)
    assert order.epochs == orders(first + 2)[first:]
    assert math.isfinite(trainer.history["loss"][0])


def test_one_full_batch_is_trained_after_a_look_at_it():
    trainer, loader, order = numbered(size=10)
    peek(loader)
    assert trainer.fit(loader, 1)["loss"][0] > 0
    assert trainer.step == 1
    assert order.epochs == orders(2, size=10)[1:]


def test_a_restored_loader_and_a_stopped_trainer_go_on_in_the_middle():
    trainer, loader, order = numbered()
    loader.load_state_dict({"epoch": 4, "batch": 1, "seed": 3})
    trainer.fit(loader, 2)
    loader.load_state_dict({"epoch": 7, "batch": 2, "seed": 3})
    trainer.fit(loader, 3)
    assert order.epochs == [orders(5)[4][1:], orders(6)[5], orders(8)[7][2:]]

    trainer, loader, order = numbered()
    trainer.callbacks.append(At(stop, step=2))
    trainer.fit(loader, 2)
    peek(loader)
    list(loader)
    trainer.evaluate(loader)
    trainer.fit(loader, 2)
    wanted = orders(2)
    assert order.epochs == [wanted[0][:2], wanted[0][2:], wanted[1]]

    trainer, loader, order = numbered()
    loader.load_state_dict({"epoch": 0, "batch": 3, "seed": 3})  # all of it was handed out
    trainer.fit(loader, 1)
    assert order.epochs == orders(2)[1:]


def test_fits_number_their_epochs_on():
    """With the same loader, one made alike, one looked at between; another one brings its own numbers."""
    trainer, loader, order = numbered()
    trainer.fit(loader, 1)
    peek(loader)
    trainer.fit(loader, 2)
    trainer.fit(numbered()[1], 3)
    assert order.epochs == orders(3)
    x, y = loader.dataset.arrays
    trainer.fit(DataLoader(TensorDataset(x, y), 5, shuffle=True, seed=8), 4)
    assert order.epochs[3] == orders(1, size=5, seed=8)[0]


def test_a_fit_that_failed_begins_its_epoch_anew():
    trainer, loader, order = numbered()
    fail = At(lambda t: (_ for _ in ()).throw(RuntimeError("mine")), step=2)
    trainer.callbacks.append(fail)
    with pytest.raises(RuntimeError, match="mine"):
        trainer.fit(loader, 1)
    trainer.callbacks.remove(fail)
    trainer.fit(loader, 1)
    assert order.epochs == [orders(1)[0][:2], orders(1)[0]]
    assert trainer.history.rows[0]["loss"] == pytest.approx(trainer.evaluate(loader)["loss"], rel=1e-3)


class Iterating(Callback):
    """Iterates the training loader at every occasion, wholly or in part."""

    def __init__(self, loader):
        self.loader, self.turn = loader, itertools.count()

    def look(self, trainer):
        for _ in itertools.islice(self.loader, next(self.turn) % 5):
            pass

    on_fit_start = on_epoch_start = on_step_end = on_epoch_end = on_fit_end = look


@pytest.mark.parametrize("point", [{"step": 6}, {"step": 8}, {"epoch": 2}])
def test_callbacks_that_iterate_the_loader_change_nothing(tmp_path, point):
    trainer, loader = make("sgd")
    trainer.callbacks += [Iterating(loader), At(stop, **point)]
    trainer.fit(loader, EPOCHS, validating())
    trainer.save(tmp_path / "c")
    losses = Losses()
    other, loader = make("sgd", seed=99, callbacks=[losses])
    other.callbacks.append(Iterating(loader))
    other.load(tmp_path / "c")
    other.save(tmp_path / "again")  # before any fit
    other.load(tmp_path / "again")
    other.fit(loader, EPOCHS, validating())
    seen, final, table = finished("sgd")
    assert losses.seen == seen[trainer.step :]
    assert (bits(other), rows(other)) == (final, table)


OTHERS = {
    "batch_size": lambda: DataLoader(examples(), 10, shuffle=True),
    "examples": lambda: DataLoader(examples(52), 16, shuffle=True),
    "shuffle": lambda: DataLoader(examples(), 16),
}


@pytest.mark.parametrize("what", OTHERS)
def test_an_epoch_goes_on_with_the_same_batches_only(tmp_path, what):
    trainer, loader = make(callbacks=[At(stop, step=3)])
    trainer.fit(loader, 2)
    trainer.save(tmp_path / "c")
    other, loader = make()
    other.load(tmp_path / "c")
    for resumed in (other, trainer):
        with pytest.raises(StateError, match=f"same {what}"):
            resumed.fit(OTHERS[what](), 2)
    other.fit(loader, 2)  # nothing was lost
    whole, loader = make()
    whole.fit(loader, 2)
    assert bits(other) == bits(whole)
    other.save(tmp_path / "c")
    whole.load(tmp_path / "c")
    for between in (other, whole):  # two epochs anything goes
        between.fit(OTHERS[what](), 3)
        assert between.epoch == 3


def test_a_checkpoint_of_version_0_1_goes_on(tmp_path):
    """Its loader's state had three entries, and the loader's own count of batches."""
    trainer, loader = make(callbacks=[At(stop, step=6)])
    trainer.fit(loader, EPOCHS, validating())
    trainer._place = {name: trainer._place[name] for name in ("epoch", "seed")}
    trainer.save(tmp_path / "c")
    other, loader = make(seed=5)
    other.load(tmp_path / "c")
    other.fit(loader, EPOCHS, validating())
    assert (bits(other), rows(other)) == finished("adam")[1:]


def test_a_stop_before_an_epoch_takes_no_step_of_it(tmp_path):
    class Stopping(Callback):
        def on_epoch_start(self, trainer):
            if trainer.epoch == 1:
                trainer.stop("enough")

    trainer, loader = make(callbacks=[Stopping()])
    trainer.fit(loader, EPOCHS, validating())
    assert (trainer.epoch, trainer.step, trainer.batch) == (1, 4, 0)
    trainer.callbacks.clear()
    trainer.fit(loader, EPOCHS, validating())
    assert (bits(trainer), rows(trainer)) == finished("adam")[1:]


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL, signal.default_int_handler])
def test_ctrl_c_stays_ignored_where_it_was(handler):
    before = signal.signal(signal.SIGINT, handler)
    try:
        trainer, loader = accumulating(16, 1, callbacks=[At(ctrl_c, step=2)])
        trainer.fit(loader, 1)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert trainer.interrupted == (handler != signal.SIG_IGN)
    assert trainer.epoch == int(handler == signal.SIG_IGN)


def test_ctrl_c_in_a_program_that_a_shell_started_in_the_background():
    code = (
        "import os, signal; from trainings import *; "
        "trainer, loader = make(callbacks=[At(ctrl_c, step=2)]); trainer.fit(loader, 1); print(trainer.epoch)"
    )
    ignoring = "import signal, subprocess, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    start = f"{ignoring}sys.exit(subprocess.call([sys.executable, '-c', {code!r}]))"
    done = python(start)
    assert (done.stdout, done.returncode) == ("1\n", 0), done.stderr


def test_validation_that_one_epoch_uses_up():
    def pairs():
        return ((tg.tensor(x), tg.tensor(y)) for x, y in [examples(8).arrays])

    class Once:
        def __init__(self):
            self.batches = pairs()

        def __iter__(self):
            return self.batches

    trainer, loader = make()
    for iterator in (pairs(), iter(validating()), map(tuple, pairs())):
        with pytest.raises(OptionError, match=r"Trainer\.fit: .*iterated again"):
            trainer.fit(loader, 2, iterator)
    trainer.fit(loader, 1, pairs())  # one epoch needs it once
    with pytest.raises(OptionError, match=r"Trainer\.evaluate: there were no batches.*iterated again"):
        trainer.fit(loader, 3, Once())
    assert np.isfinite(trainer.history["val_loss"]).all()
    for use in (trainer.evaluate, trainer.predict):
        with pytest.raises(OptionError, match=r"no batches.*iterated again"):
            use(iter(()))


def test_manual_seed_does_not_reach_the_shuffles():
    found = []
    for seed in (0, 1):
        tg.manual_seed(seed)
        found.append(
            [batch.numpy().tolist() for (batch,) in DataLoader(TensorDataset(np.arange(9)), 4, shuffle=True)]
        )
    assert found[0] == found[1] == orders(1, 9, 4, seed=0)[0]


def test_a_batch_of_nan_leaves_running_averages_as_they_were():
    """The message promises it, and the next fit goes on from there."""
    x, y = examples(48).arrays
    x = x.copy()
    trainer, _ = make("plain", max_grad_norm=None)
    trainer.fit((x[:16], y[:16]), 1)
    before = {name: value.copy() for name, value in trainer.model.state_dict().items()}
    x[20] = np.nan
    with pytest.raises(NonFiniteError, match=r"running averages .* nothing that is not finite"):
        trainer.fit((x[16:32], y[16:32]), 2)
    for name, value in trainer.model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
