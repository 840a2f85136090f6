"""Files and pickles of an earlier version, which `old_files/make.py` made, load with their values."""

from __future__ import annotations

import gzip
import importlib
import json
import pickle
import shutil

import numpy as np
import pytest
from old_files import make

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import errors, nn, optim, training

FOLDER = make.FOLDER
EXPECTED = json.loads((FOLDER / "expected.json").read_text("utf-8"))


def unpickled(name):
    return pickle.loads((FOLDER / name).read_bytes())


def close(found, wanted, rtol=1e-9):
    np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), rtol=rtol, atol=1e-12)


def assert_weights(model, wanted, rtol=1e-9):
    found = dict(model.named_parameters())
    assert list(found) == list(wanted)
    for name, p in found.items():
        close(p.data, wanted[name], rtol)


def test_the_files_are_of_a_version_and_small():
    assert EXPECTED["version"] == "0.1.0"
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.suffix != ".pyc") < 200_000


# --- Pickles -------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 5])
def test_tensors(protocol):
    found = unpickled(f"tensors-protocol-{protocol}.pickle")
    for name, values, dtype, gradient in [
        ("leaf", [[1.5, -2.0], [0.25, 4.0]], "float32", [[3.0, -4.0], [0.5, 8.0]]),
        ("double", [0.1, 0.2, 0.3], "float64", [1.0, 1.0, 1.0]),
        ("integers", [3, -7, 2**40], "int64", None),
        ("plain", [[1.0], [1.0]], "float32", None),
        ("booleans", [True, False], "bool", None),
        ("scalar", 2.5, "float32", None),
        ("empty", [], "float32", None),
        ("parameter", [1.0, 2.0], "float32", None),
        ("frozen", [1.0], "float32", None),
    ]:
        x = found[name]
        assert (type(x), x.dtype) == (nn.Parameter if name in ("parameter", "frozen") else tg.Tensor, dtype)
        assert x.tolist() == values
        assert x.requires_grad is (name in ("leaf", "double", "parameter"))
        assert x.is_leaf
        assert (None if x.grad is None else x.grad.tolist()) == gradient
    assert found["empty"].shape == (0, 3)


@pytest.mark.parametrize("protocol", [2, 5])
def test_an_unpickled_tensor_goes_on(protocol):
    x = unpickled(f"tensors-protocol-{protocol}.pickle")["leaf"]
    (x * 2).sum().backward()
    assert x.grad.tolist() == [[5.0, -2.0], [2.5, 10.0]]
    with tg.no_grad():
        x += 1
    assert x.tolist() == [[2.5, -1.0], [1.25, 5.0]]


@pytest.mark.parametrize("protocol", [2, 5])
def test_row_sparse_gradients(protocol):
    found = unpickled(f"tensors-protocol-{protocol}.pickle")
    dense = [[0.0, 0.0], [2.0, 2.0], [0.0, 0.0], [1.0, 1.0]]
    assert isinstance(found["rows"], tg.RowSparse)
    for rows in (found["rows"], found["embedding"].weight.grad):
        assert (rows.shape, rows.to_dense().tolist()) == ((4, 2), dense)
    assert found["embedding"]([2, 2]).tolist() == [[0.5, 0.5]] * 2


@pytest.mark.parametrize("protocol", [2, 5])
def test_operations_functions_and_classes_are_found_by_name(protocol):
    found = unpickled(f"tensors-protocol-{protocol}.pickle")
    for name in ("operations", "functions", "classes"):
        for there, here in zip(found[name], make.tensors()[name], strict=True):
            assert there is here


def test_layers():
    found, shapes = unpickled("layers.pickle"), {name: shape for name, (_, shape) in make.layers().items()}
    assert len(shapes) == len(EXPECTED["layers"]) == 26
    for name, shape in shapes.items():
        assert type(found[name]) is getattr(nn, name)
        assert found[name].training
        close(make.output_of(found[name], shape), EXPECTED["layers"][name])
    for name, fresh in make.losses().items():
        assert type(found[name]) is type(fresh)
        assert repr(found[name]) == repr(fresh)
        if name in ("HingeLoss", "HuberLoss", "KLDivLoss", "L1Loss", "MSELoss", "BCEWithLogitsLoss"):
            x, target = tg.tensor(make.wave((2, 3))), make.wave((2, 3)) > 0
            target = target.astype(float)
            close(found[name](x, target).data, fresh(x, target).data)


def test_a_model():
    model = unpickled("model.pickle")
    assert_state(model)
    x = tg.tensor(make.wave((4, 2)))
    assert model.train()[1].training
    model(x).sum().backward()  # and its running statistics move
    assert int(model[1].num_batches_tracked) == 4


def assert_state(model):
    state = model.state_dict()
    assert list(state) == list(EXPECTED["state"])
    for name, value in state.items():
        close(value, EXPECTED["state"][name])
    close(make.output_of(model, (3, 2)), EXPECTED["output"])


def test_other_pickles():
    found = unpickled("others.pickle")
    assert [array.tolist() for array in found["dataset"].batch(np.array([2]), None)] == [[[0, 0, 1]], [2]]
    images = found["images"].batch(np.arange(2), np.random.default_rng(0))[0]
    assert (images.shape, images.max() <= 17 / 255) == ((2, 1, 3, 3), True)
    assert [len(x) for (x,) in found["loader"]] == [4, 2]
    assert [row["loss"] for row in found["history"]] == found["history"]["loss"] == [0.5]
    assert found["config"] == training.RunConfig(model="mlp:3", epochs=2, settings={"lr": 0.1})
    assert found["entry"] == training.Entry.parse("adam:lr=0.1")
    assert found["range"] == training.Range("lr", 0.001, 0.1)
    assert found["accuracy"].value == 0.75
    assert (found["stopping"].patience, found["stopping"].waited) == (2, 0)
    assert make.follow(found["schedule"], 2) == [[0.5, 0.0], [0.05, 0.0]]
    assert (found["outcome"].status, found["outcome"].best["val_accuracy"]) == ("ok", 0.5)
    assert type(found["error"]) is errors.OptionError
    assert str(found["error"]) == "Adam: lr must be positive\n  lr  -1"


# --- Optimizers ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def optimizers():
    return pickle.loads(gzip.decompress((FOLDER / "optimizers.pickle.gz").read_bytes()))


def assert_goes_on(name, model, opt):
    wanted = EXPECTED["optimizers"][name]
    steps, moments = opt.moments(model[0].weight)
    assert (steps, moments.keys()) == (3, wanted["moments"].keys())
    for key, value in moments.items():
        close(value, wanted["moments"][key])
    make.take_steps(model, opt, 2)
    assert_weights(model, wanted["after"])


@pytest.mark.parametrize("name", make.OPTIMIZERS)
def test_an_unpickled_model_and_its_optimizer_go_on(name, optimizers):
    model, opt = pickle.loads(optimizers[name])
    assert type(opt) is make.OPTIMIZERS[name][0]
    assert_goes_on(name, model, opt)


@pytest.mark.parametrize("name", make.OPTIMIZERS)
def test_a_state_goes_on_in_a_new_optimizer(name):
    weights, state = unpickled("optimizer-states.pickle")[name]
    model, opt = make.stepped(name, steps=0)
    model.load_state_dict(weights)
    opt.load_state_dict(state)
    assert [group["lr"] for group in opt.param_groups] == [group["lr"] for group in state["groups"]]
    assert_goes_on(name, model, opt)


@pytest.mark.parametrize("name", make.OPTIMIZERS)
def test_a_checkpoint_goes_on(name):
    model, opt = make.stepped(name, steps=1)
    with tg.fork_rng(0):
        extra = training.load_checkpoint(FOLDER / f"checkpoints/{name}.safetensors", model, opt)
        close(tg.rand(2).data, EXPECTED["optimizers"][name]["drawn"], 1e-6)
    assert extra == {"name": name}
    assert_goes_on(name, model, opt)


def test_schedules():
    kept, fresh = json.loads((FOLDER / "schedules.json").read_text("utf-8")), make.schedules()
    assert len(kept) == len(fresh) == len(EXPECTED["schedules"]) == 15
    for name, schedule in fresh.items():
        schedule.optimizer.load_state_dict(kept[name]["optimizer"])
        schedule.load_state_dict(kept[name]["schedule"])
        close(make.follow(schedule, 5), EXPECTED["schedules"][name]["after"])
        close(make.follow(make.schedules()[name], 3), EXPECTED["schedules"][name]["before"])


@pytest.mark.parametrize("kind", [optim.ExponentialMovingAverage, optim.PolyakAverage])
def test_averages(kind):
    kept, wanted = unpickled("averages.pickle")[kind.__name__], EXPECTED["averages"][kind.__name__]
    average, model = kept["pair"]
    with average.applied():
        assert_weights(model, wanted)
    fresh = kind(other := make.network())
    fresh.load_state_dict(kept["state"])
    fresh.copy_to_model()
    assert_weights(other, wanted)


# --- Files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["safetensors", "npz"])
def test_saved_weights(ending):
    model = make.network()
    model.load(FOLDER / f"model.{ending}")
    assert_state(model)


def test_a_trainer_goes_on_in_the_middle_of_an_epoch():
    trainer, loader = make.trainer()
    wanted = EXPECTED["trainer"]
    with tg.fork_rng(0):
        extra = trainer.load(FOLDER / "trainer.safetensors")
        assert extra == {"note": "in the middle of the second epoch"}
        assert (trainer.step, trainer.epoch, trainer.batch) == (
            wanted["step"],
            wanted["epoch"],
            wanted["batch"],
        )
        assert_rows(trainer.history, wanted["rows"])
        trainer.fit(loader, 3)
    assert_rows(trainer.history, wanted["after"])
    assert_weights(trainer.model, wanted["weights"], 1e-6)


def assert_rows(history, wanted):
    found = make.rows(history)
    assert [row.keys() for row in found] == [row.keys() for row in wanted]
    for row, other in zip(found, wanted, strict=True):
        close(list(row.values()), list(other.values()), 1e-6)


def test_a_folder_of_a_run(tmp_path):
    shutil.copytree(FOLDER / "run", tmp_path / "run")
    run = training.Run.open(tmp_path / "run")
    assert run.config == training.RunConfig(
        model="mlp:2", epochs=2, batch_size=512, settings={"lr": 0.05}, patience=5
    )
    with tg.fork_rng(0):
        run.load_best()
        first = run.data.arrays("test", flatten=False)[0][:4]
        close(run.predict(first), EXPECTED["run"]["probabilities"], 1e-3)
        close([*run.evaluate().values()], [*EXPECTED["run"]["test"].values()], 5e-3)
        run.resume()
        lines = (FOLDER / "run" / "metrics.jsonl").read_text("utf-8").splitlines()
        assert run.trainer.history.rows == [json.loads(line) for line in lines]
        run.fit()  # there is nothing left to do
    assert run.trainer.step == json.loads(lines[-1])["step"]


class Refusing:
    def submit(self, *args, **kwargs):
        raise AssertionError("the trainings of the file are not repeated")


def test_results_of_a_comparison(tmp_path):
    path = shutil.copy(FOLDER / "comparison.jsonl", tmp_path)
    comparison = importlib.import_module("tinygrad_adam.training.comparison")
    config, entries, seeds, done = comparison.read_comparison(path)
    assert ([entry.label for entry in entries], seeds, done) == (["adam:lr=0.1", "sgd"], [0], 2)
    found = training.compare(config, entries, seeds, Refusing(), path=path)
    assert {result.entry.label: result.last("val_accuracy")[0] for result in found} == EXPECTED["comparison"]


def test_results_of_a_search(tmp_path):
    path = shutil.copy(FOLDER / "search.jsonl", tmp_path)
    trials = training.Search.open(path).run(path, Refusing())
    assert [[trial.settings["lr"], trial.val_accuracy] for trial in trials] == EXPECTED["search"]


def test_functions_that_were_given_to_other_processes():
    assert pickle.loads(pickle.dumps(F.cross_entropy)) is F.cross_entropy
