"""The command `devices` and the option `--device`, under the strict stand-in for CuPy and without a GPU."""

from __future__ import annotations

import json
import re
import sys

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("PIL")

import strict_cupy
from typer.testing import CliRunner

from tinygrad_adam import cli, errors
from tinygrad_adam.backend.cuda import diagnosis
from tinygrad_adam.backend.cuda import finding as cuda
from tinygrad_adam.backend.cuda.diagnosis import Driver, Gpu
from tinygrad_adam.cli.shared import console
from tinygrad_adam.training import Run, RunConfig
from tinygrad_adam.training.many.trial import run_trial

SMALL = ("--model", "mlp:8", "--epochs", "2", "--batch-size", "512")
NO_DRIVER = (
    "There is no NVIDIA driver: libcuda.so.1 cannot be loaded.",
    "Install it from https://www.nvidia.com/drivers, start the container with --gpus all, or use the device "
    "'cpu'.",
)


@pytest.fixture
def gpu():
    with strict_cupy.installed() as cupy:
        yield cupy


@pytest.fixture
def no_gpu(monkeypatch):
    """Switch the stand-in off where a test asks."""

    def off():
        monkeypatch.setattr(diagnosis, "read_driver", Driver)
        monkeypatch.setattr(diagnosis, "installed_packages", dict)
        monkeypatch.setattr(sys, "platform", "linux")
        cuda._sound_gpu.cache_clear()

    return off


def call(*args):
    """Return what a command printed; its error, if it has one, is raised."""
    result = CliRunner().invoke(cli.app, [str(arg) for arg in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def lines(monkeypatch):
    monkeypatch.setattr(console, "width", 110)
    return [line.rstrip() for line in call("devices").splitlines()]


# --- devices --------------------------------------------------------------------------------------


def test_devices_that_are_ready(gpu, monkeypatch):
    monkeypatch.setitem(
        diagnosis.__dict__,
        "read_driver",
        lambda: Driver(
            True,
            "580.65.06",
            (13, 0),
            "",
            (Gpu(0, "NVIDIA H100", 80 << 30, (9, 0)), Gpu(1, "NVIDIA L4", 24 << 30, (8, 9))),
        ),
    )
    cpu, software, *gpus = lines(monkeypatch)
    assert cpu.split()[:2] == ["cpu", "ready"]
    assert "thread" in cpu
    assert "NumPy" in software
    assert gpus == [
        "cuda:0   ready   NVIDIA H100",
        "                 80.0 GiB of memory (16.0 free), compute capability 9.0",
        "cuda:1   ready   NVIDIA L4",
        "                 24.0 GiB of memory (16.0 free), compute capability 8.9",
        "",
        "For GPUs: NVIDIA driver 580.65.06 for CUDA 13.0, cupy-cuda13x 14.2.0, "
        "CUDA's libraries from stand-in",
    ]


def test_devices_without_a_gpu(no_gpu, monkeypatch):
    no_gpu()
    found = lines(monkeypatch)
    assert found[2] == "cuda   none    no NVIDIA GPU"
    assert found[3:6] == ["", NO_DRIVER[0], f"  {NO_DRIVER[1]}"]


def test_devices_without_cupy_tell_it_once(gpu, monkeypatch):
    monkeypatch.setattr(diagnosis, "installed_packages", dict)
    found = lines(monkeypatch)
    assert [line.split()[:3] for line in found[2:6:2]] == [
        ["cuda:0", "not", "ready"],
        ["cuda:1", "not", "ready"],
    ]
    assert found[7:11] == [
        "For GPUs: NVIDIA driver 580.65.06 for CUDA 13.0, no CuPy",
        "",
        "CuPy is not installed.",
        '  pip install "tinygrad-adam[cuda13]"',
    ]
    assert found.count("CuPy is not installed.") == 1


def test_one_gpu_of_two_is_broken(gpu, monkeypatch):
    right = diagnosis.small_product
    monkeypatch.setattr(diagnosis, "small_product", lambda index: index == 0 and right(index))
    found = lines(monkeypatch)
    assert found[2].startswith("cuda:0   ready")
    assert found[4].startswith("cuda:1   not ready")
    assert "A small product on cuda:1 (Stand-in) came out wrong." in found
    assert not any("cuda:0 (Stand-in)" in line for line in found)


def test_a_command_for_a_missing_numba(no_gpu, monkeypatch):
    no_gpu()
    monkeypatch.setitem(sys.modules, "numba", None)
    found = lines(monkeypatch)
    assert "no Numba" in found[1]
    assert found[-1] == '  pip install "tinygrad-adam[fast]"'


# --- --device -------------------------------------------------------------------------------------


def test_a_run_on_a_gpu_is_that_on_the_cpu(gpu, no_pictures, tmp_path):
    call("train", *SMALL, "--device", "cpu", "--out", tmp_path / "cpu")
    with gpu.cuda.Device(1):
        said = call("train", *SMALL, "--device", "auto", "--out", tmp_path / "gpu")
    assert "adam on cuda:1" in said
    assert json.loads((tmp_path / "gpu" / "config.json").read_text())["device"] == "cuda:1"
    there, here = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("gpu", "cpu")
    )
    for row, expected in zip(there, here, strict=True):
        assert row["loss"] == pytest.approx(expected["loss"], rel=1e-4)
        assert row["val_accuracy"] == pytest.approx(expected["val_accuracy"], abs=0.01)


def test_other_trainings_on_a_gpu_are_those_on_the_cpu(gpu):
    here, there = (
        run_trial(RunConfig(model="mlp:8", epochs=1, batch_size=512, device=device), test=True)
        for device in ("cpu", "cuda:1")
    )
    assert (here.status, there.status) == ("ok", "ok")
    assert there.test["loss"] == pytest.approx(here.test["loss"], rel=1e-4)


def test_looking_for_a_learning_rate_on_a_gpu(gpu, tmp_path):
    small = ("--model", "mlp:8", "--batch-size", "256", "--steps", "40")
    suggested = [
        re.search(
            r"falls fastest at (\S+):",
            call("lr-find", *small, "--device", device, "--out", tmp_path / device),
        )
        for device in ("cpu", "cuda")
    ]
    assert suggested[0][1] == suggested[1][1]


def test_a_run_goes_from_a_gpu_to_a_machine_without_one(gpu, no_gpu, no_pictures, tmp_path):
    run = tmp_path / "run"
    call("train", *SMALL, "--device", "cuda", "--out", run)
    np.save(tmp_path / "image.npy", np.zeros((8, 8)))
    expected, answer = call("evaluate", run), call("predict", run, tmp_path / "image.npy")
    no_gpu()
    with pytest.raises(errors.DeviceError) as caught:
        call("evaluate", run)
    assert str(caught.value) == f"cuda: {' '.join(NO_DRIVER)}"
    assert call("evaluate", run, "--device", "cpu") == expected
    assert call("evaluate", run, "--device", "auto") == expected
    assert call("predict", run, tmp_path / "image.npy", "--device", "cpu") == answer
    assert "is finished" in call("train", "--resume", run, "--device", "cpu")
    assert Run.open(run, "cpu").config.device == "cpu"


@pytest.mark.parametrize(
    "command", [("train",), ("lr-find",), ("compare", "--seeds", "1"), ("tune", "--trials", "1")]
)
def test_no_gpu_is_told_before_anything_is_written(no_gpu, tmp_path, command):
    no_gpu()
    with pytest.raises(errors.DeviceError) as caught:
        call(*command, "--device", "cuda", "--out", tmp_path / "out")
    assert str(caught.value) == f"cuda: {' '.join(NO_DRIVER)}"
    assert not (tmp_path / "out").exists()


def test_auto_without_a_gpu_is_the_cpu(no_gpu):
    no_gpu()
    assert RunConfig(device="auto").device == "cpu"


@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "compare", "tune", "lr-find"])
def test_every_command_that_computes_has_the_option(command):
    assert "--device" in call(command, "--help")
