"""The next step of a run, its picture, and the command that shows it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("typer")

from command_line import PNG  # noqa: E402

import tinygrad_adam as tg  # noqa: E402
from tinygrad_adam import errors, explain, nn, optim  # noqa: E402
from tinygrad_adam.explain.ledger.ledgers import DISTRIBUTED  # noqa: E402
from tinygrad_adam.training import Callback, Run, RunConfig  # noqa: E402

pytestmark = pytest.mark.versions


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain") / "run"
    config = RunConfig(
        model="mlp:12", epochs=2, batch_size=512, settings={"lr": 4e-3}, max_grad_norm=0.5, dropout=0.2
    )
    Run.start(config, folder).fit()
    return folder


@pytest.fixture
def unfinished(finished, tmp_path):
    """The same run, had it been asked for an epoch more."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "epochs": 3}))
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Stop(Callback):
    def __init__(self, at):
        self.at = at

    def on_step_end(self, trainer):
        if trainer.step == self.at:
            trainer.stop("enough")


def test_it_is_the_step_that_training_goes_on_with(unfinished):
    before = contents(unfinished)
    taken = explain.take_next_step(unfinished)
    assert contents(unfinished) == before
    run = Run.open(unfinished)
    run.resume()
    old = {name: p.data.copy() for name, p in run.trainer.model.named_parameters()}
    run.trainer.callbacks = [Stop(at=15)]
    run.fit()
    new = dict(run.trainer.model.named_parameters())
    assert taken.parameters == tuple(new)
    assert taken.loss == run.trainer.last_loss
    assert (taken.step, taken.epoch, taken.batch, taken.batches, taken.examples) == (15, 3, 1, 7, 512)
    for name, p in new.items():
        layer = taken.optimizer.explain(name)
        np.testing.assert_array_equal(layer["value"], old[name])
        np.testing.assert_allclose(layer["new_value"], p.data, rtol=1e-6, atol=1e-9)
        assert layer["lr"] == run.trainer.optimizer.param_groups[0]["lr"] > 0
    norms = [np.linalg.norm(taken.optimizer.explain(name)["g"]) for name in new]
    assert np.linalg.norm(norms) <= 0.5 * (1 + 1e-5)  # what the optimizer saw was clipped
    assert taken.past_lr is None


def test_a_run_that_was_stopped_within_an_epoch_goes_on_there(tmp_path):
    run = Run.start(RunConfig(model="mlp:8", epochs=2, batch_size=512), tmp_path / "run")
    run.trainer.callbacks = [Stop(at=2)]
    run.fit()
    run.trainer.save(run.checkpoints.last)
    taken = explain.take_next_step(run.folder)
    assert (taken.step, taken.epoch, taken.batch, taken.examples) == (3, 1, 3, 512)
    run = Run.open(run.folder)
    run.resume()
    run.trainer.callbacks = [Stop(at=3)]
    run.fit()
    assert run.trainer.last_loss == taken.loss


def test_a_schedule_that_ended_at_zero_gives_the_rate_before(finished):
    taken = explain.take_next_step(finished)
    assert taken.past_lr == pytest.approx(4e-3 * (1 + np.cos(np.pi / 2)) / 2)  # cosine, epoch 2 of 2
    assert taken.optimizer.explain("1.bias", 0)["lr"] == taken.past_lr
    assert "The schedule has come to a learning rate of 0, so the one before is taken, 0.002." in str(taken)
    assert str(taken).startswith(
        "Step 15, which follows the last checkpoint: batch 1 of 7 of epoch 3, 512 images, loss "
    )


def test_a_run_without_a_checkpoint(finished, tmp_path):
    with pytest.raises(errors.CheckpointError, match="not the folder of a run"):
        explain.take_next_step(tmp_path)
    shutil.copy(finished / "config.json", tmp_path)
    with pytest.raises(errors.CheckpointError, match="no checkpoint yet; train it first"):
        explain.take_next_step(tmp_path)


# --- The command ---------------------------------------------------------------------------------


def test_the_command_lists_the_parameters(call, finished):
    answer = call("explain", finished)
    assert answer.code == 0
    taken = explain.take_next_step(finished)
    for name in taken.parameters:
        layer = taken.optimizer.explain(name)
        row = next(line for line in answer.out.splitlines() if line.startswith(f"{name} "))
        assert row.split()[1:3] == [
            "x".join(map(str, layer.shape)), f"{layer.distribution('effective_lr')['median']:.3g}"
        ]  # fmt: skip
        assert row.split()[-1] == f"{layer.norm_ratio:.3g}"
    assert "1.weight --index 0,0" in answer.out


def test_the_command_explains_an_entry_and_a_layer(call, finished, tmp_path):
    taken = explain.take_next_step(finished)
    answer = call("explain", finished, "1.weight", "--index", "3,7")
    assert (answer.code, str(taken) in answer.out) == (0, True)
    assert str(taken.optimizer.explain("1.weight", (3, 7))) in answer.out
    answer = call("explain", finished, "4.bias", "--picture", tmp_path / "new" / "step.png")
    assert str(taken.optimizer.explain("4.bias")) in answer.out
    assert (tmp_path / "new" / "step.png").read_bytes()[:8] == PNG
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["step.png"]


def test_wrong_use_of_the_command(fails, finished, tmp_path):
    fails(
        "explain", finished, "1.weigth", saying=r"did you mean '1\.weight'\?\n  known  1\.weight \(12, 64\)"
    )
    fails("explain", finished, "1.weight", "--index", "3,99", saying=r"shape +\(12, 64\)\n  index +\(3, 99\)")
    fails("explain", finished, "1.weight", "--index", "a", saying="--index: write a whole number")
    fails("explain", finished, "--index", "3,7", saying="of one parameter; name it")
    fails("explain", finished, "4.bias", "--picture", "step.jpg", saying="must end in .pdf, .png, .svg")
    fails("explain", finished, "--picture", "x.png", saying="of one parameter; name it")
    fails("explain", finished, "1.bias", "--index", "3", "--picture", "x.png", saying="leave out")
    fails("explain", tmp_path / "none", saying="there is no such folder")


# --- The picture ---------------------------------------------------------------------------------


def stepped(cls, shape, gradient=None, **options):
    rng = np.random.default_rng(0)
    p = nn.Parameter(rng.standard_normal(shape))
    opt = cls([("w", p)], lr=0.01, **options)
    p.grad = rng.standard_normal(shape) if gradient is None else np.full(shape, gradient)
    with opt.ledger(), np.errstate(all="ignore"):
        opt.step()
    return opt.explain("w")


@pytest.mark.parametrize(
    ("shape", "suffix"),
    [
        ((), "png"),
        ((1,), "svg"),
        pytest.param((7,), "pdf", marks=pytest.mark.slow),
        ((4, 5), "png"),
        pytest.param((2, 3, 2, 2), "png", marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_pictures_of_all_shapes(shape, suffix, tmp_path):
    explain.plot_layer(stepped(optim.Adam, shape), tmp_path / f"a.{suffix}")
    assert [p.name for p in tmp_path.iterdir()] == [f"a.{suffix}"]
    assert (tmp_path / f"a.{suffix}").stat().st_size > 5000


@pytest.mark.parametrize(
    "name", ["adam", *(pytest.param(n, marks=pytest.mark.slow) for n in ("sgd", "lion", "adadelta"))]
)
def test_pictures_show_what_the_optimizer_has(name, tmp_path, monkeypatch):
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")  # letters, not their outlines
    layer = stepped(optim.OPTIMIZERS[name], (3, 4))
    explain.plot_layer(layer, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    for quantity in ("effective_lr", "snr", "ratio"):
        assert (DISTRIBUTED[quantity] in text) == (quantity in layer.lines)
    assert f"median {layer.distribution('ratio')['median']:.3g}" in text


def test_a_picture_of_zeros(tmp_path):
    explain.plot_layer(stepped(optim.Adam, (3, 4), gradient=0.0), tmp_path / "zeros.svg")
    assert "</svg>" in (tmp_path / "zeros.svg").read_text()


def test_pictures_that_cannot_be_written(tmp_path):
    layer = stepped(optim.SGD, (3,))
    with pytest.raises(errors.OptionError, match=r"must end in \.pdf, \.png, \.svg"):
        explain.plot_layer(layer, tmp_path / "a.gif")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        explain.plot_layer(layer, tmp_path / "file" / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_explain_is_a_lazy_name():
    assert tg.explain is explain
