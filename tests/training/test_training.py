"""The training loop: metrics, stops and resumed runs, numbers that are not finite, models from a text."""

import json
import math
import signal

import numpy as np
import pytest
from trainings import (
    EPOCHS,
    SETUPS,
    STEPS,
    At,
    Losses,
    bits,
    ctrl_c,
    examples,
    finished,
    make,
    python,
    rows,
    stop,
    validation,
)

import tinygrad_adam as tg
from tinygrad_adam import nn, optim
from tinygrad_adam.data import DataLoader, TensorDataset, blobs
from tinygrad_adam.errors import CheckpointError, NonFiniteError, OptionError, ShapeError, StateError
from tinygrad_adam.nn.functional import cross_entropy
from tinygrad_adam.training import (
    Accuracy,
    Checkpoints,
    MeanAbsoluteError,
    MeanSquaredError,
    Metric,
    Trainer,
    build_model,
    load_checkpoint,
)

pytestmark = [pytest.mark.products, pytest.mark.versions]

# --- The loop ----------------------------------------------------------------------------


def test_fit_takes_the_steps_of_the_textbook():
    x = np.array([[1.0], [2.0], [3.0]], np.float32)
    y = np.array([[2.0], [4.0], [7.0]], np.float32)
    model = nn.Linear(1, 1)
    model.load_state_dict({"weight": np.array([[0.5]]), "bias": np.array([0.25])})
    trainer = Trainer(
        model,
        optim.SGD(model.named_parameters(), lr=0.1),
        nn.functional.mse_loss,
        {"mae": MeanAbsoluteError()},
    )
    history = trainer.fit(DataLoader(TensorDataset(x, y), 2), 1)
    w, b, total, absolute = 0.5, 0.25, 0.0, 0.0
    for part in (slice(0, 2), slice(2, 3)):
        error = w * x[part] + b - y[part]
        total, absolute = total + (error**2).sum(), absolute + np.abs(error).sum()
        w, b = w - 0.1 * 2 * (error * x[part]).mean(), b - 0.1 * 2 * error.mean()
    assert model.weight.item() == pytest.approx(w, rel=1e-5)
    assert model.bias.item() == pytest.approx(b, rel=1e-5)
    assert history["loss"] == [pytest.approx(total / 3, rel=1e-5)]
    assert history["mae"] == [pytest.approx(absolute / 3, rel=1e-5)]


def test_fit_counts_epochs_in_all():
    trainer, loader = make()
    assert trainer.fit(loader, 0) is trainer.history
    trainer.fit(loader, 1)
    trainer.fit(loader, 3)
    trainer.fit(loader, 3)
    assert (trainer.epoch, trainer.step, trainer.batch, len(trainer.history)) == (3, 12, 0, 3)
    assert trainer.stop_reason is None
    assert not trainer.interrupted
    with pytest.raises(OptionError, match="epochs"):
        trainer.fit(loader, -1)


def test_two_fits_are_as_one():
    trainer, loader = make()
    losses = Losses()
    trainer.callbacks.append(losses)
    trainer.fit(loader, 1, validation())
    trainer.fit(loader, EPOCHS, validation())
    assert (losses.seen, bits(trainer), rows(trainer)) == finished("adam")


def test_history_rows():
    trainer, loader = make("sgd")
    trainer.fit(loader, 2, validation())
    assert [list(row) for row in trainer.history] == [
        ["epoch", "step", "loss", "accuracy", "lr", "val_loss", "val_accuracy", "seconds"]
    ] * 2
    assert trainer.history["epoch"] == [1, 2]
    assert trainer.history["step"] == [4, 8]
    assert all(0 < seconds < 60 for seconds in trainer.history["seconds"])
    assert [json.loads(line) for line in trainer.history.to_jsonl().splitlines()] == trainer.history.rows
    assert trainer.history["nothing"] == []
    trainer.fit(loader, 3)
    assert len(trainer.history["val_loss"]) == 2


@pytest.mark.parametrize(("per", "calls"), [("epoch", 3), ("step", 12)])
def test_schedule_advances_per_epoch_or_per_step(per, calls):
    trainer, loader = make("plain")
    trainer.schedule, trainer.schedule_per = optim.StepLR(trainer.optimizer, 1, gamma=0.5), per
    losses = Losses()
    trainer.callbacks.append(losses)
    trainer.fit(loader, 3)
    assert trainer.schedule.count == calls
    used = [0.05 * 0.5 ** (i // STEPS if per == "epoch" else i + 1) for i in range(12)]
    assert [lr for _, _, lr in losses.seen] == pytest.approx(used)


def plateau(monitor="val_loss", **settings):
    trainer, loader = make("plain", schedule_monitor=monitor)
    trainer.schedule = optim.ReduceLROnPlateau(
        trainer.optimizer, patience=0, factor=0.5, threshold=0.1, **settings
    )
    return trainer, loader


@pytest.mark.parametrize(("monitor", "mode"), [("val_loss", "min"), ("loss", "min"), ("val_accuracy", "max")])
def test_a_plateau_watches_an_epoch(tmp_path, monitor, mode):
    trainer, loader = plateau(monitor, mode=mode)
    trainer.fit(loader, 12, validation())
    watched, lr, best, wanted = trainer.history[monitor], 0.05, None, []
    for value in watched:
        wanted.append(lr)
        improved = best is None or (value < best * 0.9 if mode == "min" else value > best * 1.1)
        best, lr = (value, lr) if improved else (best, lr / 2)
    assert trainer.history["lr"] == pytest.approx(wanted)
    assert trainer.history["lr"][-1] < 0.05
    first, loader = plateau(monitor, mode=mode)
    first.fit(loader, 7, validation())
    first.save(tmp_path / "c")
    second, loader = plateau(monitor, mode=mode)
    second.load(tmp_path / "c")
    second.fit(loader, 12, validation())
    assert (bits(second), rows(second)) == (bits(trainer), rows(trainer))


def test_a_plateau_needs_something_to_watch():
    trainer, loader = plateau()
    with pytest.raises(OptionError, match=r"ReduceLROnPlateau: no such quantity.*validation=[^$]*val_loss"):
        trainer.fit(loader, 1)
    with pytest.raises(OptionError, match="use schedule_per='epoch'"):
        Trainer(
            trainer.model, trainer.optimizer, cross_entropy, schedule=trainer.schedule, schedule_per="step"
        )


# --- Metrics -----------------------------------------------------------------------------


def test_metrics_by_hand():
    output = tg.tensor([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
    target = tg.tensor([1, 1, 0, 2])
    for top, expected in ((1, 0.25), (2, 0.5), (3, 1.0)):
        accuracy = Accuracy(top)
        accuracy.update(output, target)
        assert accuracy.value == expected
    square, absolute = MeanSquaredError(), MeanAbsoluteError()
    assert math.isnan(square.value)
    for a, b in (([[1.0, 2.0]], [[0.0, 4.0]]), ([[3.0, 3.0], [1.0, 1.0]], [[3.0, 3.0], [2.0, 1.0]])):
        square.update(tg.tensor(a), tg.tensor(b))
        absolute.update(tg.tensor(a), tg.tensor(b))
    assert (square.value, absolute.value) == ((1 + 4 + 0 + 0 + 1 + 0) / 6, 4 / 6)
    other = MeanSquaredError()
    other.load_state_dict(json.loads(json.dumps(square.state_dict())))
    assert other.value == square.value
    square.reset()
    assert math.isnan(square.value)


@pytest.mark.parametrize("metric", [MeanSquaredError(), MeanAbsoluteError(), Accuracy()])
def test_metrics_refuse_to_broadcast(metric):
    output, target = tg.zeros((3, 2)), tg.zeros((1, 2))
    with pytest.raises(ShapeError, match="one target for each"):
        metric.update(output, target)
    assert metric.count == 0


def test_accuracy_refuses_a_bad_top():
    for top in (0, -1, 1.5):
        with pytest.raises(OptionError, match="top"):
            Accuracy(top)
    with pytest.raises(ShapeError, match="classes"):
        Accuracy(4).update(tg.zeros((2, 3)), tg.tensor([0, 1]))


def test_a_metric_of_ones_own():
    class Largest(Metric):
        def scores(self, output, target):
            return output.max(axis=1)

    metric = Largest()
    metric.update(tg.tensor([[1.0, 2.0], [4.0, 3.0]]), tg.tensor([0, 0]))
    assert metric.value == 3.0


# --- Stopping and going on ---------------------------------------------------------------

POINTS = {"first step": {"step": 1}, "middle": {"step": 6}, "last batch": {"step": 8}, "epochs": {"epoch": 2}}


@pytest.mark.parametrize("action", [ctrl_c, stop])
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("setup", SETUPS)
def test_resume_is_bit_for_bit(tmp_path, setup, point, action):
    losses, final, table = finished(setup)
    trainer, loader = make(setup, callbacks=[At(action, **POINTS[point])])
    trainer.fit(loader, EPOCHS, validation())
    assert trainer.interrupted == (action is ctrl_c)
    assert trainer.stop_reason
    assert trainer.step == POINTS[point].get("step", 8)
    trainer.save(tmp_path / "checkpoint")
    rest = Losses()
    other, loader = make(setup, seed=1000, callbacks=[rest])
    tg.rand(17)
    other.load(tmp_path / "checkpoint")
    other.fit(loader, EPOCHS, validation())
    assert rest.seen == losses[trainer.step :]
    assert bits(other) == final
    assert rows(other) == table


@pytest.mark.parametrize("step", [1, 6, 8])
def test_fit_goes_on_in_the_same_process(step):
    trainer, loader = make(callbacks=[At(ctrl_c, step=step)])
    trainer.fit(loader, EPOCHS, validation())
    assert trainer.interrupted
    trainer.fit(loader, EPOCHS, validation())
    assert not trainer.interrupted
    assert (bits(trainer), rows(trainer)) == finished("adam")[1:]


def test_ctrl_c_during_validation_completes_the_epoch(tmp_path):
    class Interrupting:
        def __iter__(self):
            ctrl_c()
            return iter(validation())

    trainer, loader = make(callbacks=[Checkpoints(tmp_path)])
    trainer.fit(loader, EPOCHS, Interrupting())
    assert (trainer.epoch, trainer.batch, trainer.interrupted) == (1, 0, True)
    other, loader = make(seed=3, callbacks=[Checkpoints(tmp_path)])
    other.load(tmp_path / "last.safetensors")
    other.fit(loader, EPOCHS, validation())
    assert (bits(other), rows(other)) == finished("adam")[1:]


def test_checkpoints_keep_the_step_of_an_interruption(tmp_path):
    trainer, loader = make(callbacks=[Checkpoints(tmp_path), At(ctrl_c, step=6)])
    trainer.fit(loader, EPOCHS, validation())
    other, loader = make(seed=3, callbacks=[Checkpoints(tmp_path)])
    other.load(tmp_path / "last.safetensors")
    assert (other.epoch, other.step, other.batch) == (1, 6, 2)
    other.fit(loader, EPOCHS, validation())
    assert (bits(other), rows(other)) == finished("adam")[1:]


def test_resume_in_another_process(tmp_path):
    trainer, loader = make(callbacks=[At(ctrl_c, step=6)])
    trainer.fit(loader, EPOCHS, validation())
    trainer.save(tmp_path / "half")
    code = "import sys, trainings; trainings.resume_elsewhere(*sys.argv[1:])"
    done = python(code, tmp_path / "half", tmp_path / "whole")
    assert done.returncode == 0, done.stderr
    other, _ = make(seed=1)
    other.load(tmp_path / "whole")
    assert (bits(other), rows(other)) == finished("adam")[1:]


def test_a_second_ctrl_c_ends_the_program_and_saves_nothing_half_done(tmp_path):
    def twice(trainer):
        ctrl_c()
        ctrl_c()

    before = signal.getsignal(signal.SIGINT)
    trainer, loader = make(callbacks=[Checkpoints(tmp_path), At(twice, step=6)])
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(loader, EPOCHS, validation())
    assert signal.getsignal(signal.SIGINT) is before
    other, loader = make(seed=1, callbacks=[Checkpoints(tmp_path)])
    other.load(tmp_path / "last.safetensors")
    assert (other.epoch, other.step) == (1, 4)
    other.fit(loader, EPOCHS, validation())
    assert (bits(other), rows(other)) == finished("adam")[1:]


def test_user_data_travels_with_a_checkpoint(tmp_path):
    trainer, _ = make()
    trainer.save(tmp_path / "c", {"note": ["é", 1.5, None]})
    assert trainer.load(tmp_path / "c") == {"note": ["é", 1.5, None]}
    with pytest.raises(CheckpointError, match="JSON"):
        trainer.save(tmp_path / "c", {"note": object()})
    assert trainer.load(tmp_path / "c") == {"note": ["é", 1.5, None]}


def test_random_state_is_restored_on_demand(tmp_path):
    trainer, _ = make()
    trainer.save(tmp_path / "c")
    saved = str(tg.random.get_state())
    tg.manual_seed(3)
    load_checkpoint(tmp_path / "c", trainer.model, restore_random=False)
    assert str(tg.random.get_state()) != saved
    load_checkpoint(tmp_path / "c", trainer.model, trainer.optimizer)
    assert str(tg.random.get_state()) == saved


def test_a_loader_of_other_batches_is_refused(tmp_path):
    trainer, loader = make(callbacks=[At(stop, step=3)])
    trainer.fit(loader, 2)
    trainer.save(tmp_path / "c")
    other, _ = make()
    other.load(tmp_path / "c")
    with pytest.raises(StateError, match="batch_size"):
        other.fit(DataLoader(examples(), 50), 2)


# --- Numbers that are not finite ---------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite(tmp_path, value):
    calls = []

    def loss(output, target):
        if tg.is_grad_enabled():
            calls.append(1)
        return cross_entropy(output, target) * (value if len(calls) == 7 else 1.0)

    seen = {}
    remember = At(
        lambda t: seen.update(p=[p.numpy().copy() for p in map(tg.Tensor.detach, t.model.parameters())]), 6
    )
    trainer, loader = make(callbacks=[Checkpoints(tmp_path), remember], loss=loss)
    with pytest.raises(NonFiniteError, match=r"(?s)loss +(nan|inf).*epoch +2.*step +7.*lr"):
        trainer.fit(loader, EPOCHS, validation())
    for now, then in zip(trainer.model.parameters(), seen["p"], strict=True):
        assert (now.detach().numpy() == then).all()
    other, loader = make(seed=1, callbacks=[Checkpoints(tmp_path)])
    other.load(tmp_path / "last.safetensors")
    assert other.epoch == 1
    other.fit(loader, EPOCHS, validation())
    assert (bits(other), rows(other)) == finished("adam")[1:]


@pytest.mark.parametrize("choice", ["skip", "raise"])
def test_gradients_that_are_not_finite_though_the_loss_is(choice):
    """The root of 0 has no slope. The optimizer judges the gradients, as the trainer does the loss."""
    calls = []

    def parameters(trainer):
        return [p.data.tobytes() for p in trainer.model.parameters()], bits(trainer)[1]

    def loss(output, target):
        calls.append(1)
        return (
            cross_entropy(output, target) + (output * (0.0 if len(calls) == 3 else 1e-9)).abs().sqrt().sum()
        )

    trainer, loader = make(loss=loss, max_grad_norm=None)
    trainer.optimizer.on_nonfinite = choice
    before = []
    trainer.callbacks.append(At(lambda t: before.append(parameters(t)), step=2))
    with np.errstate(divide="ignore", invalid="ignore"):
        if choice == "skip":
            trainer.fit(loader, EPOCHS)
            assert trainer.optimizer.skipped == 1
            assert np.isfinite(trainer.history["loss"]).all()
        else:
            with pytest.raises(
                NonFiniteError, match=r"Adam\.step: a gradient is not finite(?s:.*)name  0\.weight"
            ):
                trainer.fit(loader, EPOCHS)
            assert trainer.step == 2
            assert parameters(trainer) == before[0]


@pytest.mark.parametrize("interrupt", [False, True])
def test_weights_that_are_not_finite_replace_no_checkpoint(tmp_path, interrupt):
    def poison(trainer):
        trainer.model[0].bias.data = np.full(16, np.nan, np.float32)
        if interrupt:
            ctrl_c()

    trainer, loader = make(callbacks=[Checkpoints(tmp_path), At(poison, step=8)])
    with pytest.raises(NonFiniteError, match=r"0\.bias"):
        trainer.fit(loader, EPOCHS, validation())
    other, _ = make(callbacks=[Checkpoints(tmp_path)])
    other.load(tmp_path / "last.safetensors")
    assert other.epoch == 1
    assert np.isfinite(other.model[0].bias.detach().numpy()).all()


# --- Models from a text ------------------------------------------------------------------


def test_build_model():
    assert build_model("mlp:7,5", (1, 2, 3), 4).parameter_count() == 6 * 7 + 7 + 7 * 5 + 5 + 5 * 4 + 4
    assert [type(layer).__name__ for layer in build_model("mlp:7", (6,), 4, 0.5)] == [
        "Flatten", "Linear", "ReLU", "Dropout", "Linear",
    ]  # fmt: skip
    for text in ("mlp:0", "mlp:-3", "mlp:a", "mlp:3,", "mlp:3.5"):
        with pytest.raises(OptionError, match="positive integers"):
            build_model(text, (6,), 4)
    with pytest.raises(OptionError, match="did you mean 'mlp'"):
        build_model("mpl", (6,), 4)


def test_a_user_learns_moons_of_blobs():
    x, y = blobs(120)
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, int(y.max()) + 1))
    trainer = Trainer(
        model, optim.Adam(model.named_parameters(), lr=0.05), cross_entropy, {"accuracy": Accuracy()}
    )
    trainer.fit(DataLoader(TensorDataset(x, y), 20, shuffle=True), 15)
    assert trainer.history["accuracy"][-1] > 0.9
