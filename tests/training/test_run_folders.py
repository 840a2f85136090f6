"""Folders of runs: each is one run's, also of those that begin together, and a killed one can be replaced."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tinygrad_adam.errors import CheckpointError, OptionError
from tinygrad_adam.training import Run, RunConfig, models, run
from tinygrad_adam.training.many.results import begin_results

TINY = {"model": "mlp:3", "epochs": 1, "batch_size": 1024}


@pytest.fixture
def together(monkeypatch):
    """Call a function in three threads, which wait for each other before they make their first folders."""
    barrier, begun, mkdir = threading.Barrier(3), threading.local(), Path.mkdir

    def waiting(self, *args, **kwargs):
        if threading.current_thread() is not threading.main_thread() and not hasattr(begun, "here"):
            begun.here = True
            barrier.wait(60)
        return mkdir(self, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", waiting)

    def together(function):
        with ThreadPoolExecutor(3) as executor:
            jobs = [executor.submit(function, number) for number in range(3)]
        return [job.exception() or job.result() for job in jobs]

    return together


def test_runs_that_begin_together_share_no_folder(together, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "digits-mlp-2").mkdir(parents=True)
    found = together(lambda seed: Run.start(RunConfig(**TINY, seed=seed)))
    assert sorted(str(one.folder) for one in found) == [
        str(Path("runs", f"digits-mlp-{i}")) for i in (1, 3, 4)
    ]
    for seed, one in enumerate(found):
        assert Run.open(one.folder).config.seed == seed


def test_of_runs_that_begin_together_in_one_folder_one_is_there(together, tmp_path):
    found = together(lambda seed: Run.start(RunConfig(**TINY, seed=seed), tmp_path / "a" / "run"))
    (winner,) = (one for one in found if isinstance(one, Run))
    assert Run.open(tmp_path / "a" / "run").config == winner.config
    for one in found:
        assert one is winner or (isinstance(one, OptionError) and "choose another with --out" in str(one))


def test_pictures_that_are_drawn_together_share_no_name(together, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = together(lambda _: run.new_path("race-beale", ".png"))
    assert sorted(map(str, found)) == [str(Path("runs", f"race-beale-{i}.png")) for i in (1, 2, 3)]


def test_a_run_that_cannot_begin_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in (None, tmp_path / "run"):
        with pytest.raises(OptionError):
            Run.start(RunConfig(**{**TINY, "model": "mlp:0"}), folder)
        with monkeypatch.context() as patched:
            patched.setattr(run.json, "dumps", lambda *args, **kwargs: Full())
            with pytest.raises(OSError, match="No space"):
                Run.start(RunConfig(**TINY), folder)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))
    assert not (tmp_path / "run").exists()
    assert list(tmp_path.glob("runs/*")) == []


class Full(str):
    """A text that no disk has room for."""

    def __add__(self, other):
        raise OSError(28, "No space left on device")


LEFT = [".best.0a1b2c3d.safetensors", ".last.x_y_z_00.safetensors", ".tmpAbC123", ".film.00000000.html"]


def test_what_a_killed_run_left_can_be_overwritten(tmp_path):
    Run.start(RunConfig(**TINY), tmp_path)
    for name in [*LEFT, "film.html", "mine.html"]:
        (tmp_path / name).touch()
    with pytest.raises(OptionError, match=r"more than a run.*\n.*\n +foreign +mine\.html$"):
        Run.start(RunConfig(**TINY), tmp_path, overwrite=True)
    Run.start(RunConfig(**TINY), tmp_path, overwrite=True, film=tmp_path / "mine.html")
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize("name", [".best.0a1b2c3d.png", ".git", "best.safetensors.bak", ".tmp", "mine.html"])
def test_foreign_files_are_kept(tmp_path, name):
    Run.start(RunConfig(**TINY), tmp_path)
    (tmp_path / name).touch()
    with pytest.raises(OptionError, match="not overwritten"):
        Run.start(RunConfig(**TINY), tmp_path, overwrite=True, film=tmp_path.parent / "mine.html")
    assert {p.name for p in tmp_path.iterdir()} == {"config.json", name}


def test_a_folder_of_a_runs_file_is_foreign(tmp_path):
    Run.start(RunConfig(**TINY), tmp_path)
    (tmp_path / "curves.png").mkdir()
    with pytest.raises(OptionError, match="more than a run"):
        Run.start(RunConfig(**TINY), tmp_path, overwrite=True)
    assert (tmp_path / "config.json").exists()


def test_resuming_cleans_up(tmp_path):
    first = Run.start(RunConfig(**TINY), tmp_path)
    first.fit()
    for name in [*LEFT, ".mine.0a1b2c3d.safetensors"]:
        (tmp_path / name).touch()
    Run.open(tmp_path).resume()
    assert {p.name for p in tmp_path.iterdir() if p.name.startswith(".")} == {".mine.0a1b2c3d.safetensors"}


def test_a_folder_in_place_of_the_configuration(tmp_path):
    (tmp_path / "config.json").mkdir()
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read"):
        Run.open(tmp_path)


# --- Configurations ------------------------------------------------------------------------


def test_numpys_numbers_configure_a_run(tmp_path):
    config = RunConfig(
        model="mlp:3",
        epochs=np.int64(1),
        batch_size=np.uint16(1024),
        seed=np.int8(3),
        dropout=np.float32(0.25),
        validation=np.float64(0.5),
        max_grad_norm=np.float32(2),
        patience=np.int32(4),
        augment=np.bool_(False),
        settings={"lr": np.float32(0.5), "betas": (np.float64(0.5), 0.75)},
    )
    Run.start(config, tmp_path)
    assert Run.open(tmp_path).config == RunConfig(
        model="mlp:3", epochs=1, batch_size=1024, seed=3, dropout=0.25, validation=0.5, max_grad_norm=2.0,
        patience=4, augment=False, settings={"lr": 0.5, "betas": [0.5, 0.75]},
    )  # fmt: skip
    assert {type(value) for value in vars(config).values()} == {str, int, float, bool, dict}


@pytest.mark.parametrize(
    ("name", "value", "saying"),
    [
        ("epochs", 1.5, "epochs must be an integer >= 1"),
        ("epochs", True, "epochs must be an integer >= 1"),
        ("batch_size", 0, "batch_size must be an integer >= 1"),
        ("batch_size", None, "batch_size must be an integer >= 1"),
        ("seed", -1, "seed must be an integer >= 0"),
        ("patience", "3", "patience must be an integer >= 0"),
        ("dropout", float("nan"), "dropout must be a finite number"),
        ("dropout", None, "dropout must be a finite number"),
        ("max_grad_norm", float("inf"), "max_grad_norm must be a finite number"),
        ("validation", True, "validation must be a finite number"),
        ("settings", [], "settings is of the wrong type"),
        ("model", Path("net.py"), "model is of the wrong type"),
    ],
)
def test_bad_configurations(name, value, saying):
    with pytest.raises(OptionError, match=f"run: {saying}"):
        RunConfig(**{name: value})


NET = """
from tinygrad_adam import nn
def net(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
"""


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("mlp", ("mlp", "")),
        ("mlp:256,128", ("mlp", "256,128")),
        ("net.py:f", ("net.py", "f")),
        ("net.py", ("net.py", "")),
        ("a:b/net.py:f", ("a:b/net.py", "f")),
        (r"C:\models\net.py:f", (r"C:\models\net.py", "f")),
        (r"C:\models\net.py", (r"C:\models\net.py", "")),
        (r"C:\old.py\net.py:f", (r"C:\old.py\net.py", "f")),
    ],
)
def test_models_are_read_from_files_on_any_system(spec, parts):
    assert models.read_spec(spec) == parts
    if parts[0].endswith(".py"):
        with pytest.raises(OptionError, match="there is no such file"):
            models.build_model(spec, (1, 8, 8), 10)


def test_a_path_with_a_colon(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        Path("C:").mkdir()
        Path("C:", "net.py").write_text(NET)
    except OSError:
        pytest.skip("no such names here")
    assert models.build_model("C:/net.py:net", (1, 8, 8), 10).parameter_count() == 650
    assert Run.start(RunConfig(model="C:/net.py:net")).folder == Path("runs", "digits-net-1")


def test_a_results_file_has_one_beginning_though_many_begin_it_at_once(tmp_path):
    path, count = tmp_path / "new" / "trials.jsonl", 8
    together = threading.Barrier(count)

    def begin(number):
        together.wait()
        return begin_results(path, {"search": number})

    with ThreadPoolExecutor(count) as pool:
        found = list(pool.map(begin, range(count)))
    assert found.count(True) == 1
    assert json.loads(path.read_text()) == {"search": found.index(True)}  # one line


def test_a_beginning_that_cannot_be_written_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        begin_results(tmp_path / "trials.jsonl", {"search": float("nan")})
    assert list(tmp_path.iterdir()) == []
