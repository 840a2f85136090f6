"""A network's loss on a plane through its weights."""

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("matplotlib")

from command_line import PNG

import tinygrad_adam as tg
from tinygrad_adam import nn
from tinygrad_adam.errors import CheckpointError, NonFiniteError, OptionError, StateError
from tinygrad_adam.explain import (
    SURFACES,
    around,
    filter_normalized,
    of_run,
    plane,
    race,
    save_race,
    through,
)
from tinygrad_adam.explain.races.landscape import EXAMPLES
from tinygrad_adam.nn.functional import cross_entropy
from tinygrad_adam.training import Run, RunConfig

ABOUT = {"name": "n", "formula": "", "start": (1.0, 0.0), "window": (-1, 1, -1, 1), "source": ""}
LABELS = np.array([0, 1, 2, 1])


def network(seed=0):
    """With a filter, a bias, statistics of a batch and dropout."""
    tg.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(2, 3, kernel_size=3),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(12, 3),
    )
    x = tg.tensor(np.random.default_rng(seed).standard_normal((4, 2, 4, 4)).astype(np.float32))
    return model, x, lambda: cross_entropy(model(x), LABELS)


def weights(model):
    return {name: p.detach().numpy().copy() for name, p in model.named_parameters()}


def directions(model, seed=3):
    generator = np.random.default_rng(seed)
    return [
        {name: generator.standard_normal(w.shape).astype(w.dtype) for name, w in weights(model).items()}
        for _ in range(2)
    ]


def moved(model, x, a, b, first, second):
    """The loss with the weights moved in place, in evaluation mode."""
    copy, _, _ = network()
    copy.load_state_dict(model.state_dict())
    for name, p in copy.named_parameters():
        p.data = p.detach().numpy() + a * first.get(name, 0) + b * second.get(name, 0)
    return cross_entropy(copy.eval()(x), LABELS)


def test_values_are_the_losses_of_moved_weights():
    model, x, loss = network()
    first, second = directions(model)
    second.pop("0.weight")  # what is not in a direction stays
    before = {name: value.copy() for name, value in model.state_dict().items()}
    surface = plane(model, loss, first, second, **ABOUT)
    points = np.array([[0.0, 0.0], [0.5, -0.25], [-1.0, 0.0], [0.0, 0.75]])
    expected = [moved(model, x, a, b, first, second).item() for a, b in points]
    np.testing.assert_allclose(surface.function(*points.T), expected, rtol=1e-5)
    assert surface.least == pytest.approx(moved(model, x, 0, 0, first, second).item(), rel=1e-6)
    assert surface.function(points[:, :1], points[:, 1:]).shape == (4, 1)
    # Nothing of the model has changed, and it trains as before.
    assert all(module.training for module in model.modules())
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert all(isinstance(p, nn.Parameter) for p in model.parameters())
    loss().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_the_gradient_is_that_of_all_weights_along_the_directions():
    model, x, loss = network()
    first, second = directions(model)
    surface = plane(model, loss, first, second, **ABOUT)
    a, b = nn.Parameter(np.array(0.3)), nn.Parameter(np.array(-0.2))
    surface.function(a, b).backward()
    copy, _, _ = network()
    copy.load_state_dict(model.state_dict())
    for name, p in copy.named_parameters():
        p.data = p.detach().numpy() + np.float32(0.3) * first[name] - np.float32(0.2) * second[name]
    cross_entropy(copy.eval()(x), LABELS).backward()
    for amount, direction in ((a, first), (b, second)):
        dots = [(p.grad.numpy() * direction[name]).sum() for name, p in copy.named_parameters()]
        assert amount.grad.item() == pytest.approx(sum(dots), rel=1e-4)


def test_a_shared_parameter_moves_in_both_places():
    tg.manual_seed(0)
    linear = nn.Linear(3, 3, bias=False)
    model = nn.Sequential(linear, nn.Tanh(), linear)
    x = tg.tensor(np.eye(3, dtype=np.float32))
    d = {"0.weight": np.ones((3, 3), np.float32)}
    surface = plane(model, lambda: model(x).sum(), d, d, **ABOUT)
    w = linear.weight.detach().numpy() + 0.5
    assert surface.function(np.array(0.25), np.array(0.25)) == pytest.approx(
        (np.tanh(w.T) @ w.T).sum(), rel=1e-5
    )
    assert model[0].weight is model[2].weight


def test_filters_of_a_direction_have_the_norms_of_those_of_the_weights():
    model, _, _ = network()
    w = weights(model)
    drawn = directions(model)[0]
    d = filter_normalized(drawn, w)
    for name in ("0.weight", "5.weight"):
        for filtered, raw, weight in zip(d[name], drawn[name], w[name], strict=True):
            assert np.linalg.norm(filtered) == pytest.approx(np.linalg.norm(weight), rel=1e-5)
            cosine = (filtered * raw).sum() / np.linalg.norm(filtered) / np.linalg.norm(raw)
            assert cosine == pytest.approx(1, abs=1e-5)
    for name in ("0.bias", "1.weight", "1.bias", "5.bias"):
        assert not d[name].any()


def test_normalized_directions_do_not_see_the_scale_of_relu_layers():
    """Li et al., section 4: weights scaled up in one layer and down in the next are the same network."""

    def values(scale):
        tg.manual_seed(1)
        model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.ReLU(), nn.Linear(8, 3, bias=False))
        model[0].weight.data = model[0].weight.detach().numpy() * scale
        model[2].weight.data = model[2].weight.detach().numpy() / scale
        x = tg.tensor(np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32))
        surface = around(model, lambda: cross_entropy(model(x), LABELS))
        return surface.function(np.array([0.5, -0.5]), np.array([0.25, 1.0]))

    np.testing.assert_allclose(values(8.0), values(1.0), rtol=1e-4)


def test_the_plane_through_two_places():
    model, x, loss = network()
    other, _, _ = network(seed=5)
    surface = through(model, loss, weights(other), "both", seed=2)
    assert (surface.name, surface.start, surface.minima) == ("both", (1.0, 0.0), ((0.0, 0.0),))
    back = {name: w - weights(model)[name] for name, w in weights(other).items()}
    ends = surface.function(np.array([0.0, 0.5, 1.0]), np.zeros(3))
    np.testing.assert_allclose(ends, [moved(model, x, a, 0, back, {}).item() for a in (0, 0.5, 1)], rtol=1e-5)
    again = through(model, loss, weights(other), seed=2).function(np.array(0.0), np.array(1.0))
    assert again == surface.function(np.array(0.0), np.array(1.0))
    assert again != through(model, loss, weights(other), seed=3).function(np.array(0.0), np.array(1.0))


def test_bad_planes():
    model, _, loss = network()
    first, second = directions(model)
    with pytest.raises(StateError, match=r"do not fit the parameters\s+name   nothing"):
        plane(model, loss, {"nothing": np.ones(3)}, second, **ABOUT)
    with pytest.raises(StateError, match=r"name   0.bias\s+shape  \(7,\)"):
        plane(model, loss, first, {"0.bias": np.ones(7)}, **ABOUT)
    with pytest.raises(OptionError, match=r"through: .*train it first"):
        through(model, loss, weights(model))
    model[5].bias.data = np.full(3, np.nan, np.float32)
    with pytest.raises(NonFiniteError, match="plane: the loss is not finite at the weights of the model"):
        around(model, loss)


# --- Of a run ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    Run.start(RunConfig(model="mlp:12", epochs=3, settings={"lr": 0.01}), folder).fit()
    return folder


def test_the_plane_of_a_run(run):
    surface = of_run(Run.open(run))
    fresh = Run.open(run)
    images, labels = fresh.data.arrays("train", flatten=False)
    chosen = np.random.default_rng(0).permutation(len(labels))[:EXAMPLES]
    x, y = tg.tensor(images[chosen]), labels[chosen]
    model = fresh.trainer.model.eval()
    first = cross_entropy(model(x), y).item()
    fresh.load_best()
    best = cross_entropy(model(x), y).item()
    np.testing.assert_allclose(surface.function(np.array([1.0, 0.0]), np.zeros(2)), [first, best], rtol=1e-5)
    assert surface.least == pytest.approx(best, rel=1e-6)
    assert best < 0.5 * first
    assert of_run(Run.open(run), "around").function(np.array(0.0), np.array(0.0)) == pytest.approx(best)


def test_the_command(call, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = call("race", "--run", run, "--optimizers", "sgd,adam:lr=0.1", "--lr", 0.2, "--steps", 5)
    assert (answer.code, answer.err) == (0, "")
    assert "mlp:12 on digits" in answer.out
    assert (tmp_path / "runs" / "race-network-1.png").read_bytes()[:8] == PNG
    for row in race(of_run(Run.open(run)), ["sgd", "adam:lr=0.1"], 5, lr=0.2).table()[1]:
        assert all(word in answer.out for cell in row for word in cell.split())


def test_a_run_without_a_checkpoint(fails, run, tmp_path):
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.json").write_text((run / "config.json").read_text())
    fails(
        "race",
        "--run",
        tmp_path / "begun",
        "--out",
        tmp_path / "a.png",
        saying="has no checkpoint yet",
    )
    with pytest.raises(CheckpointError):
        of_run(Run.open(tmp_path / "begun"))


# --- What a race on a plane shows ---------------------------------------------------------


def small_network(seed, width=8):
    tg.manual_seed(seed)
    x, y = tg.data.moons(50, seed=seed)
    x = tg.tensor(x)
    model = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 2))
    return model, lambda: cross_entropy(model(x), y)


@pytest.mark.parametrize("seed", [1, 3])
def test_a_race_around_an_untrained_model_is_drawn(tmp_path, seed):
    model, loss = small_network(seed)
    surface = around(model, loss, seed=seed)
    found = race(surface, ["sgd", "adam"], steps=5)
    lowest = min(t.losses.min() for t in found.trajectories)
    assert lowest < surface.least  # nothing was trained, so the center is no valley
    assert (found.least, found.lowest) == (lowest, "the lowest found")
    assert all((found.heights(t) >= 0).all() for t in found.trajectories)
    save_race(found, tmp_path / "race.png")
    assert (tmp_path / "race.png").read_bytes()[:8] == PNG


def test_the_learning_rate_for_an_untrained_model_lowers_the_loss():
    model, loss = small_network(1)
    (path,) = race(around(model, loss, seed=1), ["sgd"], steps=10).trajectories
    assert path.losses[-1] < path.losses[0]


def test_the_window_is_as_large_as_the_paths():
    model, loss = small_network(0)
    surface = around(model, loss)
    found = race(surface, ["sgd:lr=0.001", "adam:lr=0.001"], steps=5)
    places = np.concatenate([*(t.positions for t in found.trajectories), [surface.start], surface.minima])
    x0, x1, y0, y1 = found.surface.window
    width, height = np.ptp(places, axis=0)
    assert (x0, y0) < tuple(places.min(axis=0))
    assert (x1, y1) > tuple(places.max(axis=0))
    assert width / (x1 - x0) > 0.8
    assert height / (y1 - y0) > 0.8
    assert all(found.left(t) is None for t in found.trajectories)


def test_a_path_that_diverges_does_not_make_the_window_large():
    model, loss = small_network(0)
    found = race(around(model, loss), ["sgd:lr=1000", "adam:lr=0.01"], steps=5)
    assert np.abs(found.trajectories[0].positions).max() > 10
    assert np.abs(found.surface.window).max() < 2.5
    assert found.left(found.trajectories[0]) is not None


def test_a_surface_with_a_window_of_its_own_keeps_it():
    assert race("beale", ["sgd:lr=0.001"], steps=2).surface.window == SURFACES["beale"].window
