"""The learning rate range test: what it measures, what it suggests, and that it leaves nothing behind."""

import math

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("matplotlib")

from command_line import PNG

import tinygrad_adam as tg
from tinygrad_adam import data, nn, optim, training
from tinygrad_adam.errors import OptionError
from tinygrad_adam.training import Sweep, Trainer, lr_find
from tinygrad_adam.training.many.lr_finder import WINDOW

pytestmark = pytest.mark.versions


class Bowl(nn.Module):
    """Its loss is half the square of its one parameter."""

    def __init__(self, start=1.0):
        super().__init__()
        self.p = nn.Parameter(np.array([start]))

    def forward(self, x):
        return self.p


def bowl(start=1.0, **settings):
    model = Bowl(start)
    optimizer = optim.SGD(model.named_parameters(), lr=0.5)
    return Trainer(model, optimizer, lambda p, _: (p * p).sum() * 0.5, **settings)


def batches(n=4):
    return data.DataLoader(data.TensorDataset(np.zeros((n, 1)), np.zeros(n)), batch_size=1, shuffle=True)


def curve(lrs):
    """Flat, then a fall that is steepest at 1e-3, a minimum at 1e-1, and a rise."""
    x = np.log10(lrs)
    return 2.5 - 2 / (1 + np.exp(-3 * (x + 3))) + 0.02 * np.maximum(0, x + 1) ** 2


# --- What it measures --------------------------------------------------------------------


def test_learning_rates_grow_by_equal_ratios_and_are_used():
    sweep = lr_find(bowl(), batches(), low=1e-3, high=1.5, steps=60)
    np.testing.assert_allclose(sweep.lrs, np.geomspace(1e-3, 1.5, 60))
    p = np.concatenate([[1.0], np.cumprod(1 - sweep.lrs[:-1])])
    np.testing.assert_allclose(sweep.losses, 0.5 * p**2, rtol=1e-12)
    assert not sweep.diverged


def test_gradients_are_clipped_as_in_training():
    sweep = lr_find(bowl(8.0, max_grad_norm=1.0), batches(), low=1e-3, high=1e-1, steps=60)
    p = 8.0 - np.concatenate([[0.0], np.cumsum(sweep.lrs[:-1])])
    np.testing.assert_allclose(sweep.losses, 0.5 * p**2, rtol=1e-6)


def test_divergence_ends_the_sweep():
    sweep = lr_find(bowl(), batches(), low=1e-2, high=2e4, steps=100)
    assert sweep.diverged
    assert WINDOW < len(sweep.lrs) == len(sweep.losses) < 100
    means = np.convolve(sweep.losses, np.ones(WINDOW) / WINDOW, "valid")
    assert means[-1] > 4 * means.min()
    assert (means[:-1] <= 4 * np.minimum.accumulate(means)[:-1]).all()


def test_a_loss_that_is_not_finite_ends_the_sweep():
    trainer = bowl()
    loss, count = trainer.loss, iter(range(1000))
    trainer.loss = lambda p, target: loss(p, target) * (math.nan if next(count) == 40 else 1.0)
    sweep = lr_find(trainer, batches(), low=1e-3, high=1e-1)
    assert sweep.diverged
    assert len(sweep.losses) == 40
    assert np.isfinite(sweep.losses).all()


def test_smoothed_losses_and_slopes_are_those_of_fitted_lines():
    rng = np.random.default_rng(0)
    lrs = np.geomspace(1e-6, 10, 100)
    sweep = Sweep(lrs, curve(lrs) + rng.normal(0, 0.1, 100), False)
    assert len(sweep.middles) == len(sweep.smoothed) == len(sweep.slopes) == 100 - WINDOW + 1
    for i in (0, 30, 89):
        part = slice(i, i + WINDOW)
        slope, _ = np.polyfit(np.log10(lrs[part]), sweep.losses[part], 1)
        assert sweep.slopes[i] == pytest.approx(slope)
        assert sweep.smoothed[i] == pytest.approx(sweep.losses[part].mean())
        assert sweep.middles[i] == pytest.approx(np.exp(np.log(lrs[part]).mean()))


# --- What it suggests --------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_suggestions(noise):
    lrs = np.geomspace(1e-6, 10, 141)
    for seed in range(5):
        losses = curve(lrs) + np.random.default_rng(seed).normal(0, noise, len(lrs))
        sweep = Sweep(lrs, losses, False)
        assert 0.6 < sweep.steepest / 1e-3 < 1.6
        lowest = sweep.middles[sweep.smoothed.argmin()]
        assert sweep.decade_below_minimum == pytest.approx(lowest / 10)
        if not noise:
            assert 0.5 < sweep.decade_below_minimum / 1e-2 < 4


def test_a_fall_behind_the_minimum_does_not_count():
    lrs = np.geomspace(1e-6, 10, 141)
    losses = curve(lrs)
    losses[120:] = 50.0
    losses[130:] = 3.0  # a steep fall from the heights of divergence
    assert Sweep(lrs, losses, True).steepest == pytest.approx(Sweep(lrs, curve(lrs), False).steepest)


def test_a_loss_that_never_falls_suggests_nothing(tmp_path):
    lrs = np.geomspace(1e-6, 10, 100)
    sweep = Sweep(lrs, np.linspace(1, 3, 100), True)
    assert sweep.steepest is sweep.decade_below_minimum is None
    sweep.plot(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes()[:8] == PNG


# --- What it leaves behind ---------------------------------------------------------------


def network(seed=0):
    tg.manual_seed(seed)
    x, y = data.moons(90, seed=1)
    model = nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2))
    optimizer = optim.Adam(model.named_parameters(), lr=0.01)
    loader = data.DataLoader(data.TensorDataset(x, y), batch_size=32, shuffle=True)
    return Trainer(model, optimizer, nn.functional.cross_entropy), loader


@pytest.mark.parametrize("before", [0, 2], ids=["fresh", "trained"])
def test_training_goes_on_as_if_it_had_not_been(before):
    def train(sweeping):
        trainer, loader = network()
        trainer.fit(loader, before)
        if sweeping:
            trainer.model.eval()
            assert lr_find(trainer, loader, high=100.0).steepest is not None
            assert not any(module.training for module in trainer.model.modules())
            assert all(p.grad is None for p in trainer.model.parameters())
        trainer.fit(loader, 4)
        state = {name: array.tobytes() for name, array in trainer.model.state_dict().items()}
        return trainer.history["loss"], state, trainer.optimizer.param_groups[0]["lr"]

    assert train(sweeping=True) == train(sweeping=False)


def test_an_error_is_undone_too():
    trainer, loader = network()
    weights = {name: array.copy() for name, array in trainer.model.state_dict().items()}
    loss, count = trainer.loss, iter(range(100))

    def failing(output, target):
        if next(count) == 30:
            raise RuntimeError("no more")
        return loss(output, target)

    trainer.loss = failing
    with pytest.raises(RuntimeError, match="no more"):
        lr_find(trainer, loader, low=1e-3)
    for name, array in trainer.model.state_dict().items():
        np.testing.assert_array_equal(array, weights[name])
    assert trainer.optimizer.param_groups[0]["lr"] == 0.01
    assert trainer.optimizer.state_dict()["state"] == {}


@pytest.mark.parametrize(
    ("settings", "saying"),
    [
        ({"low": 0.0}, "must be positive, low below high"),
        ({"low": -1.0}, "must be positive, low below high"),
        ({"low": 1.0, "high": 1.0}, "must be positive, low below high"),
        ({"high": math.inf}, "must be positive, low below high"),
        ({"low": math.nan}, "must be positive, low below high"),
        ({"steps": 32}, "at least 33 steps"),
        ({"low": 1e3, "high": 1e5}, "diverged at once; begin at a lower learning rate"),
    ],
)
def test_bad_sweeps(settings, saying):
    with pytest.raises(OptionError, match=f"lr_find: .*{saying}"):
        lr_find(bowl(), batches(), **settings)


# --- On the command line -----------------------------------------------------------------


@pytest.fixture
def threads():
    before = tg.get_num_threads()
    yield
    tg.set_num_threads(before)


def test_lr_find(call, threads, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = call("lr-find", "--model", "mlp:16", "--optimizer", "adamw", "--set", "eps=1e-6", "--threads", 1)
    assert (answer.code, answer.err) == (0, "")
    assert tg.get_num_threads() == 1
    picture = tmp_path / "runs" / "lr-find-digits-mlp-1.png"
    assert picture.read_bytes()[:8] == PNG
    assert "falls fastest at" in answer.out
    suggested = answer.out.split("falls fastest at ")[1].split(":")[0]
    assert 1e-3 < float(suggested) < 0.3
    assert "tinygrad-adam train --data digits --model mlp:16 --optimizer adamw" in answer.out
    assert f"--lr {float(suggested)} --set eps=1e-06" in answer.out


def test_lr_find_that_finds_nothing(call, monkeypatch, tmp_path):
    rising = Sweep(np.geomspace(1e-3, 1e-1, 40), np.linspace(1, 3, 40), True)
    monkeypatch.setattr(training, "lr_find", lambda *args: rising)
    answer = call("lr-find", "--model", "mlp:4", "--out", tmp_path / "picture.png")
    assert answer.code == 1
    assert "the loss never fell" in answer.err
    assert "--low" in answer.err
    assert (tmp_path / "picture.png").read_bytes()[:8] == PNG


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        (["--low", "0"], "must be positive"),
        (["--steps", "5"], "at least 33 steps"),
        (["--optimizer", "adm"], "did you mean 'adam'"),
        (["--low", "1e20", "--high", "1e30", "--optimizer", "sgd"], "begin at a lower learning rate"),
        (["--threads", "0"], "count must be an integer >= 1"),
    ],
)
def test_bad_options(fails, tmp_path, options, saying):
    fails("lr-find", "--model", "mlp:8", *options, "--out", tmp_path / "picture.png", saying=saying)
    assert not (tmp_path / "picture.png").exists()


def test_a_picture_is_not_overwritten(fails, tmp_path):
    (tmp_path / "mine.png").write_text("mine")
    fails(
        "lr-find",
        "--out",
        tmp_path / "mine.png",
        saying="lr-find: the file exists; choose another with --out",
    )
    assert (tmp_path / "mine.png").read_text() == "mine"


def test_nor_is_one_whose_ending_was_left_out(call, fails, tmp_path):
    small = ("lr-find", "--model", "mlp:4", "--steps", 40, "--out", tmp_path / "picture")
    assert "picture.png shows the loss" in " ".join(call(*small).out.split())
    before = (tmp_path / "picture.png").read_bytes()
    assert before[:8] == PNG
    fails(*small, saying="lr-find: the file exists; choose another with --out")
    assert (tmp_path / "picture.png").read_bytes() == before
