"""The training room: loop, metrics, callbacks, checkpoints, history, and going on after a stop."""

import errno
import json
import math
import os
import pickle
import signal
import sys
import threading
import zipfile

import numpy as np
import pytest
import safetensors.numpy
from trainings import (
    EPOCHS,
    SETUPS,
    STEPS,
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
    validation,
)

import tinygrad_adam as tg
from tinygrad_adam import nn, optim
from tinygrad_adam.data import DataLoader, TensorDataset, blobs
from tinygrad_adam.errors import CheckpointError, NonFiniteError, OptionError, ShapeError, StateError
from tinygrad_adam.files.arrays import load_tensors, save_tensors
from tinygrad_adam.nn.functional import cross_entropy
from tinygrad_adam.training import (
    Accuracy,
    Callback,
    Checkpoints,
    EarlyStopping,
    History,
    MeanAbsoluteError,
    MeanSquaredError,
    Metric,
    Trainer,
    build_model,
    load_checkpoint,
    save_checkpoint,
)
from tinygrad_adam.training.checkpoint import checksum

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


# --- Accumulated gradients ---------------------------------------------------------------


@pytest.mark.parametrize(("n", "drop_last", "steps"), [(50, False, 5), (48, False, 4), (50, True, 4)])
def test_some_small_batches_are_as_one_large_one(n, drop_last, steps):
    """12 = 3 * 4; of 50 examples the last step of an epoch has 2, of 48 none is left over."""
    small, loader = accumulating(4, 3, n=n, drop_last=drop_last, max_grad_norm=0.5)
    large, whole = accumulating(12, 1, n=n, drop_last=drop_last, max_grad_norm=0.5)
    small.fit(loader, 3), large.fit(whole, 3)
    assert small.step == large.step == 3 * steps
    for name, value in small.model.state_dict().items():
        np.testing.assert_allclose(value, large.model.state_dict()[name], rtol=1e-8, atol=1e-12)
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(small.history[name], large.history[name], rtol=1e-8)


def test_a_step_of_batches_that_are_left_over():
    """13 batches of 4 and 2: steps of 5, 5 and 3 batches; the last one has 10 examples."""
    small, loader = accumulating(4, 5)
    losses = Losses()
    small.callbacks.append(losses)
    small.fit(loader, 1)
    assert [step for step, _, _ in losses.seen] == [1, 2, 3]
    large, _ = accumulating(20, 1)
    x, y = loader.dataset[np.random.default_rng([1, 0]).permutation(50)]
    for part in (slice(0, 20), slice(20, 40), slice(40, 50)):
        loss = cross_entropy(large.model(tg.tensor(x[part])), tg.tensor(y[part]))
        large.optimizer.zero_grad()
        loss.backward()
        large.optimizer.step()
    for name, value in small.model.state_dict().items():
        np.testing.assert_allclose(value, large.model.state_dict()[name], rtol=1e-9, atol=1e-12)


def test_ctrl_c_between_two_batches_of_a_step_waits_for_the_step(tmp_path):
    trainer, loader = accumulating(4, 5)
    trainer.fit(loader, 2)
    first, loader = accumulating(4, 5)
    take, seen = first._take_batch, []

    def interrupted(*batch):
        seen.append(first.step)
        if len(seen) == 7:
            ctrl_c()
        return take(*batch)

    first._take_batch = interrupted
    first.fit(loader, 2)
    assert (first.interrupted, first.step, first.batch) == (True, 2, 10)
    first.save(tmp_path / "c")
    second, loader = accumulating(4, 5)
    second.load(tmp_path / "c")
    second.fit(loader, 2)
    assert (bits(second), rows(second)) == (bits(trainer), rows(trainer))


def test_an_error_in_the_middle_of_a_step_leaves_nothing_behind():
    trainer, loader = accumulating(4, 5)
    take, bad = trainer._take_batch, [2]

    def failing(loader, x, y):
        bad[0] -= 1
        return take(loader, x * math.nan if bad[0] == 0 else x, y)

    trainer._take_batch = failing
    before = bits(trainer)
    with pytest.raises(NonFiniteError), np.errstate(invalid="ignore"):
        trainer.fit(loader, 1)
    assert bits(trainer) == before
    ends = []
    trainer.callbacks += [At(lambda trainer: ends.append(trainer.batch), step=step) for step in (1, 2, 3)]
    trainer.fit(loader, 1)
    assert ends == [5, 10, 13]  # the epoch begins anew


def test_max_grad_norm_scales_what_the_optimizer_trains():
    trainer, loader = make("plain", max_grad_norm=1e-3)
    norms = []

    def measure(trainer):
        norms.append(math.sqrt(sum((p.grad.numpy() ** 2).sum() for p in trainer.model.parameters())))

    trainer.callbacks.append(At(measure, step=1))
    trainer.fit(loader, 1)
    assert norms == [pytest.approx(1e-3, rel=1e-3)]


def test_max_grad_norm_ignores_parameters_that_are_not_trained():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    head = model[1]
    before = head.weight.detach().numpy().copy()
    first = model[0].weight.detach().numpy().copy()
    trainer = Trainer(
        model, optim.SGD(head.parameters(), lr=1.0), lambda out, t: out.sum(), max_grad_norm=1e-4
    )
    x = np.ones((1, 2), np.float32)
    trainer.fit(DataLoader(TensorDataset(x, x), 1), 5)
    moved = np.linalg.norm(head.weight.detach().numpy() - before)
    assert moved == pytest.approx(5e-4, rel=0.05)
    assert (model[0].weight.detach().numpy() == first).all()


def test_evaluate_is_by_hand_and_leaves_no_trace():
    trainer, loader = make()
    trainer.fit(loader, 1)
    trainer.model.train()
    trainer.model[3].eval()
    trainer.metrics["accuracy"].load_state_dict({"total": 3.0, "count": 4})
    before = bits(trainer)
    results = trainer.evaluate(validation())
    assert [module.training for module in trainer.model] == [True, True, True, False, True]
    assert trainer.metrics["accuracy"].state_dict() == {"total": 3.0, "count": 4}
    assert bits(trainer) == before
    x, y = examples(30).arrays
    logits = trainer.predict([tg.tensor(x)])
    e = np.exp(logits - logits.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    assert results["accuracy"] == pytest.approx((logits.argmax(1) == y).mean())
    assert results["loss"] == pytest.approx(-np.log(p[np.arange(30), y]).mean(), rel=1e-5)


def test_evaluate_restores_after_an_error():
    trainer, loader = make()
    trainer.fit(loader, 1)
    with pytest.raises(ShapeError):
        trainer.evaluate([(tg.tensor(np.ones((2, 5), np.float32)), tg.tensor([0, 1]))])
    assert trainer.model.training
    assert tg.is_grad_enabled()
    with pytest.raises(OptionError, match="no batches"):
        trainer.evaluate([])


def test_predict_joins_batches_in_evaluation_mode():
    trainer, _ = make()
    x, y = examples(10).arrays
    whole = trainer.predict([tg.tensor(x)])
    assert whole.shape == (10, 3)
    assert type(whole) is np.ndarray
    parts = trainer.predict(DataLoader(TensorDataset(x, y), 4))
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6)
    with pytest.raises(OptionError, match="no batches"):
        trainer.predict([])


@pytest.mark.parametrize(
    "settings",
    [
        {"schedule_per": "week"},
        {"accumulate": 0},
        {"accumulate": 1.5},
        {"max_grad_norm": 0},
        {"max_grad_norm": -1.0},
        {"max_grad_norm": math.nan},
    ],
)
def test_trainer_refuses_bad_options(settings):
    model = nn.Linear(1, 1)
    with pytest.raises(OptionError, match=next(iter(settings))):
        Trainer(model, optim.SGD(model.parameters()), cross_entropy, **settings)


def test_fit_in_a_thread_leaves_signals_alone():
    before = signal.getsignal(signal.SIGINT)
    trainer, loader = make()
    thread = threading.Thread(target=trainer.fit, args=(loader, 1))
    thread.start()
    thread.join()
    assert trainer.epoch == 1
    assert signal.getsignal(signal.SIGINT) is before


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


# --- Callbacks ---------------------------------------------------------------------------


class Log(Callback):
    def __init__(self, log, name):
        for event in ("fit_start", "epoch_start", "step_end", "epoch_end", "fit_end"):
            setattr(
                self,
                f"on_{event}",
                lambda t, event=event: log.append((name, event, t.epoch, t.step, t.batch)),
            )


def test_callbacks_are_called_in_order():
    log = []
    trainer, loader = make(callbacks=[Log(log, "a"), Log(log, "b")])
    trainer.fit(loader, 2)
    expected = [("fit_start", 0, 0, 0)]
    for epoch in range(2):
        expected.append(("epoch_start", epoch, 4 * epoch, 0))
        expected += [("step_end", epoch, 4 * epoch + i, i) for i in range(1, 5)]
        expected.append(("epoch_end", epoch + 1, 4 * epoch + 4, 0))
    expected.append(("fit_end", 2, 8, 0))
    assert log == [(name, *entry) for entry in expected for name in "ab"]


def test_fit_end_is_called_after_an_error():
    def fail(trainer):
        raise RuntimeError("mine")

    log = []
    trainer, loader = make(callbacks=[At(fail, step=2), Log(log, "a")])
    with pytest.raises(RuntimeError, match="mine"):
        trainer.fit(loader, 2)
    assert log[-1][1] == "fit_end"


def scripted(values, *callbacks):
    """A trainer whose validation losses are given."""

    class Script(Callback):
        def on_epoch_end(self, trainer):
            trainer.history.rows[-1]["val_loss"] = values[trainer.epoch - 1]

    return make("plain", callbacks=[Script(), *callbacks])


def test_early_stopping():
    trainer, loader = scripted([5, 3, 4, 2.95, 3.5, 1], EarlyStopping(patience=2, min_delta=0.1))
    trainer.fit(loader, 6)
    assert trainer.epoch == 4
    assert trainer.stop_reason == "val_loss has not improved for 2 epochs; its best was 3"
    assert not trainer.interrupted
    trainer, loader = scripted([1, 2, 3, 3, 3], EarlyStopping(patience=2, mode="max"))
    trainer.fit(loader, 9)
    assert trainer.epoch == 5


def test_early_stopping_goes_on_counting_and_stays_stopped(tmp_path):
    values = [5, 6, 7, 8, 9, 10]
    # The natural order of the two: the checkpoint must still know what early stopping counted.
    trainer, loader = scripted(values, Checkpoints(tmp_path), EarlyStopping(patience=3))
    trainer.fit(loader, 2)
    other, loader = scripted(values, Checkpoints(tmp_path), EarlyStopping(patience=3))
    other.load(tmp_path / "last.safetensors")
    other.fit(loader, 6)
    assert other.epoch == 4
    again, loader = scripted(values, Checkpoints(tmp_path), EarlyStopping(patience=3))
    again.load(tmp_path / "last.safetensors")
    again.fit(loader, 6)
    assert again.epoch == 4
    assert "has not improved" in again.stop_reason


@pytest.mark.parametrize(
    "settings", [{"patience": 0}, {"min_delta": -1}, {"mode": "least"}, {"patience": 1.5}]
)
def test_early_stopping_refuses_bad_options(settings):
    with pytest.raises(OptionError, match=next(iter(settings))):
        EarlyStopping(**settings)


def test_monitoring_what_is_not_measured_says_what_is(tmp_path):
    for callback in (EarlyStopping(), Checkpoints(tmp_path)):
        trainer, loader = make(callbacks=[callback])
        with pytest.raises(OptionError, match="val_loss") as caught:
            trainer.fit(loader, 1)
        assert "accuracy" in str(caught.value)


def test_checkpoints_best_and_last(tmp_path):
    weights = {}
    keep = At(lambda t: weights.update({t.epoch: bits(t)[0]}))
    keep.on_epoch_end = keep.action
    trainer, loader = scripted([3, 1, 2, 1, 2], keep, Checkpoints(tmp_path / "deep" / "er"))
    trainer.fit(loader, 5)
    assert sorted(p.name for p in (tmp_path / "deep" / "er").iterdir()) == [
        "best.safetensors",
        "last.safetensors",
    ]
    for name, epoch in (("best", 4), ("last", 5)):
        other, _ = make("plain", seed=99, callbacks=[Checkpoints(tmp_path)])
        other.load(tmp_path / "deep" / "er" / f"{name}.safetensors")
        assert bits(other)[0] == weights[epoch]
        assert other.epoch == epoch
        assert other.callbacks[0].best == 1


def test_loading_forgets_a_better_best(tmp_path):
    trainer, _ = make(callbacks=[EarlyStopping()])
    trainer.save(tmp_path / "first")
    trainer.callbacks[0].best = 0.5
    trainer.load(tmp_path / "first")
    assert trainer.callbacks[0].best == math.inf


# --- Plot --------------------------------------------------------------------------------


def test_plot(tmp_path):
    trainer, loader = make()
    trainer.fit(loader, 2, validation())
    figure = trainer.history.plot(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy"]
    lines = {line.get_label(): list(line.get_ydata()) for line in figure.axes[1].get_lines()}
    assert lines == {"training": trainer.history["accuracy"], "validation": trainer.history["val_accuracy"]}
    History().plot(tmp_path / "empty.svg")
    assert b"<svg" in (tmp_path / "empty.svg").read_bytes()


def test_plot_of_losses_far_apart_is_logarithmic():
    steep = [{"epoch": i, "loss": 10.0**-i} for i in range(4)]
    assert History(steep).plot().axes[0].get_yscale() == "log"
    assert History([*steep, {"epoch": 4, "loss": -1.0}]).plot().axes[0].get_yscale() == "linear"


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


# --- Damaged and foreign files -----------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "good.safetensors"
    trainer, loader = make(callbacks=[EarlyStopping(), At(stop, step=6)])
    trainer.fit(loader, EPOCHS, validation())
    trainer.save(path)
    return path


@pytest.fixture
def victim():
    trainer, loader = make(seed=77, callbacks=[EarlyStopping(), At(stop, step=2)])
    trainer.fit(loader, EPOCHS, validation())
    return trainer


def everything(trainer):
    return (
        bits(trainer),
        rows(trainer),
        (trainer.epoch, trainer.step, trainer.batch),
        [dict(group, params=None) for group in trainer.optimizer.param_groups],
        trainer.schedule and trainer.schedule.state_dict(),
        [callback.state_dict() for callback in trainer.callbacks],
        {name: metric.state_dict() for name, metric in trainer.metrics.items()},
    )


def refused(trainer, path, kinds=CheckpointError):
    before = everything(trainer)
    with pytest.raises(kinds) as caught:
        trainer.load(path)
    assert everything(trainer) == before
    return str(caught.value)


def test_truncated(tmp_path, victim, good):
    raw = good.read_bytes()
    path = tmp_path / "cut.safetensors"
    lengths = {*range(12), len(raw) - 1, len(raw) - 4, *np.linspace(12, len(raw) - 1, 60).astype(int)}
    for length in sorted(lengths):
        path.write_bytes(raw[:length])
        assert str(path) in refused(victim, path)
    path.write_bytes(raw + b"\0")
    refused(victim, path)


def test_flipped_bytes(tmp_path, victim, good):
    raw = good.read_bytes()
    path = tmp_path / "flipped.safetensors"
    header = 8 + int.from_bytes(raw[:8], "little")
    rng = np.random.default_rng(0)
    places = {*range(8), *rng.integers(8, header, 150).tolist(), *rng.integers(header, len(raw), 30).tolist()}
    for place in sorted(places):
        if raw[place : place + 1] == b" ":
            continue  # padding: another kind of blank is the same file
        changed = bytearray(raw)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        refused(victim, path)


def foreign_files(folder):
    (folder / "empty").write_bytes(b"")
    (folder / "text").write_text("This is not a checkpoint.\n" * 20)
    (folder / "pickle").write_bytes(pickle.dumps({"model/0.weight": [1.0]}))
    with zipfile.ZipFile(folder / "torch.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"weight": [1.0]}))
    np.save(folder / "array.npy", np.zeros(3))
    (folder / "folder").mkdir()
    save_tensors(folder / "weights", {"weight": np.zeros(3, np.float32)})
    save_tensors(folder / "other", {"weight": np.zeros(3, np.float32)}, {"format": "pt"})
    return sorted(folder.iterdir())


def test_foreign_files(tmp_path, victim):
    for path in [*foreign_files(tmp_path), tmp_path / "missing"]:
        message = refused(victim, path)
        assert str(path) in message
    assert "no such file" in refused(victim, tmp_path / "missing")
    assert "Module.load" in refused(victim, tmp_path / "weights")


@pytest.mark.torch
def test_a_torch_file(tmp_path, victim):
    torch = pytest.importorskip("torch")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "model.pt")
    assert "Pickled files are never read" in refused(victim, tmp_path / "model.pt")


def rewritten(good, path, change, seal=True):
    """Write a copy whose JSON header went through `change`."""
    tensors, metadata = load_tensors(good)
    header = json.loads(metadata["tinygrad_adam"])
    changed = change(header)
    text = changed if isinstance(changed, str) else json.dumps(header if changed is None else changed)
    crc = checksum(tensors, text) if seal else metadata["crc32"]
    save_tensors(path, tensors, {"tinygrad_adam": text, "crc32": crc})


def test_a_changed_header_without_its_checksum(tmp_path, victim, good):
    rewritten(good, tmp_path / "c", lambda h: h["extra"]["trainer"].update(step=7), seal=False)
    assert "checksum" in refused(victim, tmp_path / "c")


def test_a_newer_version(tmp_path, victim, good):
    rewritten(good, tmp_path / "c", lambda h: h.update(version=99))
    message = refused(victim, tmp_path / "c")
    assert "newer version" in message
    assert "99" in message


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", "null", '"x"', "[" * 100_000, '{"format": 3}', "9" * 5000]
)
def test_a_header_that_is_no_header(tmp_path, victim, good, text):
    rewritten(good, tmp_path / "c", lambda h: text)
    refused(victim, tmp_path / "c")


def paths_in(value, prefix=()):
    """All places in a nested header but those inside rows and the user's extra."""
    yield prefix
    if isinstance(value, dict) and prefix[-1:] not in {("user",), ("history",)}:
        for key, inner in value.items():
            yield from paths_in(inner, (*prefix, key))
    if isinstance(value, list) and prefix[-1:] == ("groups",):
        yield from paths_in(value[0], (*prefix, 0))


@pytest.mark.slow
def test_headers_that_lack_keys_or_have_wrong_types(tmp_path, victim, good):
    whole = json.loads(load_tensors(good)[1]["tinygrad_adam"])
    free = {("extra", "user"), *(("optimizer", "groups", 0, name) for name in ("amsgrad", "initial_lr"))}
    optional = {("extra", "trainer", "loader"), *free}  # a run that has not begun has no position
    hyper_parameters = set(whole["optimizer"]["groups"][0]) - {"params"}
    optional |= {("optimizer", "groups", 0, name) for name in hyper_parameters}
    numbers = ("loss_sum", "seconds", "total", "waited", "count", "has_uint32")
    legal = {**dict.fromkeys(numbers, (-1, 1e400)), "best": (None, -1, 1e400)}
    legal |= {"history": ([],), "callbacks": ([], [[1, 2]])}
    for place in paths_in(whole):
        if not place or place in free or place[:3] == ("extra", "trainer", "loader"):
            continue  # the loader judges its own state in fit
        for wrong in ("missing", None, "word", [], [[1, 2]], {"a": {}}, -1, 1e400):

            def change(header, place=place, wrong=wrong):
                inner = header
                for key in place[:-1]:
                    inner = inner[key]
                if wrong == "missing":
                    del inner[place[-1]]
                else:
                    inner[place[-1]] = wrong

            rewritten(good, tmp_path / "c", change)
            before = everything(victim)
            try:
                victim.load(tmp_path / "c")
            except (CheckpointError, StateError):
                assert everything(victim) == before, (place, wrong)
            else:
                assert wrong in legal.get(place[-1], ()) or (wrong == "missing" and place in optional), place
                victim.load(good)


def test_checkpoints_of_something_else(tmp_path, good):
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3))
    other = Trainer(model, optim.Adam(model.named_parameters()), cross_entropy, {"accuracy": Accuracy()})
    assert "missing" in refused(other, good, StateError)
    same, _ = make("adam")
    same.optimizer = optim.SGD(same.model.named_parameters(), lr=0.1, momentum=0.5)
    assert "another optimizer" in refused(same, good, StateError)
    same, _ = make("adam")
    same.schedule = optim.StepLR(same.optimizer, 3)
    assert "another schedule" in refused(same, good, StateError)
    same, _ = make("adam")
    same.schedule = None
    assert "schedule and metrics" in refused(same, good, StateError)
    same, _ = make("adam")
    same.metrics = {"error": MeanSquaredError()}
    assert "accuracy" in refused(same, good, StateError)


def test_load_checkpoint_changes_all_or_nothing(tmp_path, good):
    trainer, _ = make("adam")
    wide = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 4))
    before = {name: array.tobytes() for name, array in wide.state_dict().items()}
    state = bits(trainer)[1]
    with pytest.raises(StateError):
        load_checkpoint(good, wide, trainer.optimizer)
    assert {name: array.tobytes() for name, array in wide.state_dict().items()} == before
    assert bits(trainer)[1] == state
    save_checkpoint(tmp_path / "model only", trainer.model)
    with pytest.raises(CheckpointError, match="no optimizer"):
        load_checkpoint(tmp_path / "model only", trainer.model, trainer.optimizer)
    assert load_checkpoint(tmp_path / "model only", trainer.model) == {}
    assert "no optimizer" in refused(trainer, tmp_path / "model only")
    save_checkpoint(tmp_path / "no trainer", trainer.model, trainer.optimizer)
    assert "Trainer" in refused(trainer, tmp_path / "no trainer", StateError)


class Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_no_pickle_is_ever_read(tmp_path, victim):
    from tinygrad_adam.training.reading import read_images

    marker = tmp_path / "marker"
    evil = pickle.dumps(Evil(marker))
    for name in ("evil.safetensors", "evil.npy", "evil.pt", "evil.png"):
        (tmp_path / name).write_bytes(evil)
    np.save(tmp_path / "object.npy", np.array([Evil(marker)], object), allow_pickle=True)
    np.savez(tmp_path / "archive.npz", np.array([Evil(marker)], object))
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    for path in list(tmp_path.iterdir()):
        refused(victim, path)
        with pytest.raises(CheckpointError):
            victim.model.load(path)
        with pytest.raises(OptionError):
            read_images(path, (1, 8, 8), 16)
    assert not marker.exists()
    pickle.loads(evil)
    assert marker.exists()


# --- Files that cannot be written --------------------------------------------------------


@pytest.mark.parametrize("where", ["save_file", "fsync", "replace"])
def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch, where):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    trainer, loader = make()
    trainer.save(tmp_path / "c")
    raw = (tmp_path / "c").read_bytes()
    trainer.fit(loader, 1)
    monkeypatch.setattr(safetensors.numpy if where == "save_file" else os, where, full)
    with pytest.raises(CheckpointError, match="No space left"):
        trainer.save(tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == raw
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


LIMITED = """
import resource, sys, trainings
from tinygrad_adam.errors import CheckpointError
trainer, loader = trainings.make()
trainer.save(sys.argv[1])
trainer.fit(loader, 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    trainer.save(sys.argv[1])
except CheckpointError as error:
    sys.exit(0 if "could not write" in str(error) else 5)
sys.exit(4)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs setrlimit")
def test_a_limit_on_file_sizes_keeps_the_old_file(tmp_path):
    done = python(LIMITED, tmp_path / "c")
    assert done.returncode == 0, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["c"]
    trainer, _ = make()
    trainer.load(tmp_path / "c")
    assert trainer.step == 0


def test_places_where_nothing_can_be_written(tmp_path):
    trainer, _ = make()
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "c", tmp_path / "folder", tmp_path / ("n" * 300)):
        with pytest.raises(CheckpointError, match="could not write"):
            trainer.save(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


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
