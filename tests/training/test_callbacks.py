"""Callbacks, and the plot of a history."""

import math

import pytest
from trainings import At, bits, make, validation

from tinygrad_adam.errors import OptionError
from tinygrad_adam.training import Callback, Checkpoints, EarlyStopping, History

pytestmark = [pytest.mark.products, pytest.mark.versions]


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
