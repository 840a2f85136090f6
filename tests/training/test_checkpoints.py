"""Checkpoints that are damaged, foreign, or cannot be written."""

import errno
import json
import os
import pickle
import sys
import zipfile

import numpy as np
import pytest
import safetensors.numpy
from trainings import EPOCHS, At, bits, make, python, rows, stop, validation

from tinygrad_adam import nn, optim
from tinygrad_adam.errors import CheckpointError, OptionError, StateError
from tinygrad_adam.files.arrays import load_tensors, save_tensors
from tinygrad_adam.nn.functional import cross_entropy
from tinygrad_adam.training import (
    Accuracy,
    EarlyStopping,
    MeanSquaredError,
    Trainer,
    load_checkpoint,
    save_checkpoint,
)
from tinygrad_adam.training.checkpoint import checksum

pytestmark = [pytest.mark.products, pytest.mark.versions]


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
