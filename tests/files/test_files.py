"""What is written to a disk: which files, whole or not at all, with which permissions, and what is left."""

import contextlib
import json
import os
import socket
import stat
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import nn
from tinygrad_adam.errors import CheckpointError, OptionError
from tinygrad_adam.files import writing as files
from tinygrad_adam.files.arrays import FOREIGN, load_tensors, save_tensors
from tinygrad_adam.files.figures import save_figure
from tinygrad_adam.files.writing import check_writable, is_partial, replacing, write_text
from tinygrad_adam.training import History, Trainer, load_checkpoint, save_checkpoint

posix = pytest.mark.skipif(os.name == "nt", reason="links, modes and pipes of POSIX")


def net():
    with tg.random.fork_rng(1):
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def draw(path):
    x = tg.tensor([1.0], requires_grad=True)
    tg.draw(x * 2).save(path)


def film(path):
    model = nn.Linear(2, 1)
    opt = tg.optim.SGD(model.parameters(), lr=0.1)
    with tg.film(path):
        model(tg.ones(1, 2)).sum().backward()
        opt.step()


def plot(path):
    pytest.importorskip("matplotlib")
    History([{"epoch": 1.0, "loss": 1.0}]).plot(path)


def plot_schedule(path):
    pytest.importorskip("matplotlib")
    tg.optim.StepLR(tg.optim.SGD([nn.Parameter([0.0])], lr=1.0), 2).plot(3, path)


def trainer(model):
    return Trainer(model, tg.optim.SGD(model.parameters(), lr=0.1), nn.functional.mse_loss)


DOORS = {
    "Module.save": ("x.safetensors", lambda path: net().save(path)),
    "Module.save npz": ("x.npz", lambda path: net().save(path)),
    "save_checkpoint": ("x.safetensors", lambda path: save_checkpoint(path, net())),
    "Trainer.save": ("x.safetensors", lambda path: trainer(net()).save(path)),
    "write_text": ("x.json", lambda path: write_text(path, "x" * 10_000)),
    "draw": ("x.svg", draw),
    "film": ("x.html", film),
    "History.plot": ("x.png", plot),
}
every_door = pytest.mark.parametrize("door", DOORS)
REFUSED = (CheckpointError, OptionError, OSError)


# --- Formats -------------------------------------------------------------------------------


def test_npz_is_numpys(tmp_path):
    model, path = net(), tmp_path / "m.npz"
    model.save(path)
    state = model.state_dict()
    with np.load(path, allow_pickle=False) as archive:
        assert list(archive) == list(state)
        for name, array in state.items():
            np.testing.assert_array_equal(archive[name], array)
            assert archive[name].dtype == array.dtype
    for number, save in enumerate((np.savez, np.savez_compressed)):
        doubled = {name: array * 2 for name, array in state.items()}
        save(tmp_path / f"{number}.npz", **doubled)
        loaded = (
            nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).load(tmp_path / f"{number}.npz").state_dict()
        )
        for name, array in doubled.items():
            np.testing.assert_array_equal(loaded[name], array)


@pytest.mark.parametrize(
    "tensors", [{"file": np.arange(3), "a/b.c": np.ones((2, 1), "f4"), "args": np.array(True)}, {}]
)
def test_npz_takes_any_names(tmp_path, tensors):  # numpy.savez(path, **{"file": ...}) is an error
    save_tensors(tmp_path / "m.NPZ", tensors)
    with np.load(tmp_path / "m.NPZ", allow_pickle=False) as archive:
        assert set(archive) == set(tensors)
    found, metadata = load_tensors(tmp_path / "m.NPZ")
    assert metadata == {}
    for name, array in tensors.items():
        np.testing.assert_array_equal(found[name], array)


def test_the_content_tells_the_format_not_the_name(tmp_path):
    net().save(tmp_path / "m")
    (tmp_path / "m").rename(tmp_path / "m.npz")  # as versions before wrote it
    other = net()
    nn.init.constant_(other[0].weight, 0.0)
    other.load(tmp_path / "m.npz")
    np.testing.assert_array_equal(other.state_dict()["0.weight"], net().state_dict()["0.weight"])


@pytest.mark.parametrize("ending", [*FOREIGN, ".PT"])
def test_endings_of_other_formats_are_refused(tmp_path, ending):
    path = tmp_path / f"m{ending}"
    for save in (net().save, lambda path: save_checkpoint(path, net()), trainer(net()).save):
        with pytest.raises(CheckpointError, match=rf"{ending.lower()} is for .*end in \.safetensors"):
            save(path)
    assert list(tmp_path.iterdir()) == []


def test_other_endings_are_names(tmp_path):
    for name in ("model", "model-1.2", "run.ckpt"):
        net().save(tmp_path / name)
        assert set(load_tensors(tmp_path / name)[0]) == set(net().state_dict())


def test_a_checkpoint_is_no_npz(tmp_path):
    with pytest.raises(CheckpointError, match=r"\.npz is for arrays alone"):
        save_checkpoint(tmp_path / "c.npz", net())
    np.savez(tmp_path / "c.npz", **net().state_dict())
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_checkpoint(tmp_path / "c.npz", net())


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3", "F8_E5M2"])
def test_numbers_that_numpy_has_not(tmp_path, kind):
    size = 2 if kind == "BF16" else 1
    header = json.dumps({"w": {"dtype": kind, "shape": [3], "data_offsets": [0, 3 * size]}}).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(3 * size))
    with pytest.raises(
        CheckpointError, match=rf"NumPy has no such numbers; save float32.*\n +found +w: {kind}"
    ):
        net().load(path)


def damaged(path, kind):
    np.savez_compressed(path, a=np.arange(1000))
    whole = bytearray(path.read_bytes())
    if kind == "cut":
        del whole[-50:]
    elif kind == "bytes changed":
        whole[100] ^= 255
    path.write_bytes(whole)
    if kind == "objects":
        np.savez(path, a=np.array([{}], object))


@pytest.mark.parametrize("kind", ["cut", "bytes changed", "objects"])
def test_damaged_npz(tmp_path, kind):
    damaged(tmp_path / "m.npz", kind)
    with pytest.raises(CheckpointError, match=r"not a whole safetensors or \.npz file"):
        load_tensors(tmp_path / "m.npz")


@pytest.mark.parametrize("name", ["x.jpgg", "x.npz", "x.safetensors"])
def test_pictures_in_unknown_formats(tmp_path, name):
    for draw_into in (plot, plot_schedule):
        with pytest.raises(OptionError, match=r"picture's name ends in \.png"):
            draw_into(tmp_path / name)
    plot(tmp_path / "x")  # PNG, as matplotlib has it
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


# --- Places --------------------------------------------------------------------------------


@posix
@every_door
def test_links_stay_and_what_they_name_is_written(tmp_path, door):
    name, save = DOORS[door]
    (tmp_path / "real").mkdir()
    real, link, hanging = tmp_path / "real" / name, tmp_path / name, tmp_path / f"hanging-{name}"
    real.write_bytes(b"old")
    link.symlink_to(Path("real") / name)
    hanging.symlink_to(tmp_path / "real" / f"new-{name}")
    save(link)
    save(hanging)
    assert link.is_symlink()
    assert hanging.is_symlink()
    assert min(p.stat().st_size for p in (tmp_path / "real").iterdir()) > 10
    assert sorted(p.name for p in (tmp_path / "real").iterdir()) == sorted([name, f"new-{name}"])


@every_door
def test_a_folder_is_no_file(tmp_path, door):
    name, save = DOORS[door]
    (tmp_path / name).mkdir()
    with pytest.raises(REFUSED, match="folder"):
        save(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == [name]


@posix
def test_devices_pipes_and_sockets_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        Path("link").symlink_to("/dev/null")
        Path("loop").symlink_to("loop")
        for name in ("pipe", "socket", "link", "loop", os.devnull):
            before = os.lstat(name).st_mode
            with pytest.raises(CheckpointError, match="could not write"):
                net().save(name)
            with pytest.raises(CheckpointError):
                net().load(name)
            assert os.lstat(name).st_mode == before
    assert sorted(os.listdir()) == ["link", "loop", "pipe", "socket"]


@pytest.fixture
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@posix
@every_door
@pytest.mark.parametrize("umask", [0o027], indirect=True, ids=oct)
def test_permissions(tmp_path, monkeypatch, door, umask):
    name, save = DOORS[door]

    def touched(mask):
        raise AssertionError("another thread would see it")

    with monkeypatch.context() as patched:
        patched.setattr(os, "umask", touched)
        save(tmp_path / name)
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~umask
        for mode in (0o600, 0o666):
            (tmp_path / name).chmod(mode)
            save(tmp_path / name)
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode


@posix
def test_a_secret_file_is_secret_while_it_is_written(tmp_path):
    (tmp_path / "x").touch(0o600)
    with replacing(tmp_path / "x") as partial:
        assert stat.S_IMODE(partial.stat().st_mode) == 0o600


@posix
def test_the_owner_stays(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root may give files away")
    (tmp_path / "x").touch()
    os.chown(tmp_path / "x", 1234, 2345)
    net().save(tmp_path / "x")
    found = (tmp_path / "x").stat()
    assert (found.st_uid, found.st_gid) == (1234, 2345)


@every_door
def test_a_write_protected_file_stays(tmp_path, monkeypatch, door):
    name, save = DOORS[door]
    path = tmp_path / name
    path.write_bytes(b"old")
    asked = os.access
    # Root may write everything.
    monkeypatch.setattr(files.os, "access", lambda p, how: Path(p) != path and asked(p, how))
    with pytest.raises(REFUSED, match="write-protected"):
        save(path)
    assert path.read_bytes() == b"old"
    with pytest.raises(PermissionError):
        check_writable(path)


# --- Failures ------------------------------------------------------------------------------


FULL = """
import resource, signal, sys
from pathlib import Path
from test_files import DOORS, REFUSED
from tinygrad_adam import use_kernels
from tinygrad_adam.training import Run, RunConfig
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))  # what fills a disk, for this process
folder = Path(sys.argv[1])
with use_kernels("reference"):  # compiled ones could not be kept
    for door, (name, save) in DOORS.items():
        path = folder / door.replace(" ", "-") / name
        path.parent.mkdir()
        for before in (None, b"old"):
            if before is not None:
                path.write_bytes(before)
            try:
                save(path)
            except REFUSED:
                there = {p.name: p.read_bytes() for p in path.parent.iterdir()}
                assert there == ({} if before is None else {name: before}), (door, there)
            else:
                raise AssertionError(door)
try:
    Run.start(RunConfig(), folder / "run")
except OSError:
    assert not (folder / "run").exists()
else:
    raise AssertionError("run")
"""


@posix
def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    pytest.importorskip("matplotlib.font_manager")  # its cache is made now
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(tg.__file__).parents[1]), str(Path(__file__).parent)]),
    }
    ended = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path], env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr


def leave_partial(path):
    """Do what a process does that is killed while it writes `path`."""
    with contextlib.suppress(KeyboardInterrupt), replacing(path) as partial:
        raise KeyboardInterrupt
    partial.touch()
    return partial


@pytest.mark.parametrize("name", ["best.safetensors", "film.html", "a.b.json", "model", "curves.png"])
def test_what_a_killed_process_leaves_is_known(tmp_path, name):
    partial = leave_partial(tmp_path / name).name
    assert is_partial(partial, ["other", name])
    assert not is_partial(partial, ["other"])
    assert not is_partial(name, [name])


def test_figures_are_whole_or_not_there(tmp_path):
    figure = pytest.importorskip("matplotlib.figure").Figure()

    def stopped(partial, **settings):
        Path(partial).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    figure.savefig = stopped
    with pytest.raises(OSError, match="No space"):
        save_figure(figure, tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []
