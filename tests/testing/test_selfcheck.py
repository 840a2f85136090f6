"""The selfcheck finds what is wrong, names it, and passes where nothing is."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import strict_cupy
from cuda_on_host import needs_compiler

import tinygrad_adam as tg
from benchmarks import workloads
from tinygrad_adam import optim
from tinygrad_adam.backend.device import CPU, get_backend
from tinygrad_adam.engine.graph import PRIMITIVES
from tinygrad_adam.kernels import cpu
from tinygrad_adam.ops.normalization import channel_moments
from tinygrad_adam.testing import selfcheck as package
from tinygrad_adam.testing.selfcheck import beside, comparing, speed, trainings, waits
from tinygrad_adam.testing.selfcheck.calls import call, normal
from tinygrad_adam.testing.selfcheck.images import IMAGE_OPERATIONS
from tinygrad_adam.testing.selfcheck.large import LARGE
from tinygrad_adam.testing.selfcheck.layers import LAYERS
from tinygrad_adam.testing.selfcheck.operations import OPERATIONS
from tinygrad_adam.testing.selfcheck.report import Beside, Check, Failure, Report, Speed
from tinygrad_adam.training import build_model

FAST = CPU.rules["fast"]
REFERENCES = {
    **{primitive.name: primitive.forward for primitive in PRIMITIVES.values()},
    "channel_moments": channel_moments,
}
SMALL = trainings.Training("digits, MLP", "digits", "mlp:16", 640, 1)


def some(*names):
    """Return the calls of these operations."""
    return comparing.calls(case for case in [*OPERATIONS, *IMAGE_OPERATIONS] if case.op in names)


def broken(monkeypatch, name, change):
    """Let a fast kernel give something else."""
    rules, reference = CPU.rules["fast"], REFERENCES[name]
    kernel = rules[reference]
    monkeypatch.setitem(rules, reference, lambda *args, **settings: change(kernel(*args, **settings)))


def names_of(check):
    return {failure.case.partition(":")[0] for failure in check.failures}


# --- What an error is ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("got", "wanted", "least", "error"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0, 0.0),
        ([1.0, 2.5], [1.0, 2.0], 0.0, 0.25),
        ([0.0, -4.0], [1.0, -4.0], 0.0, 0.25),
        ([1e-9], [0.0], 1e-2, 1e-7),
        ([1e-9], [0.0], 0.0, math.inf),
        ([math.nan], [math.nan], 0.0, 0.0),
        ([math.nan], [1.0], 0.0, math.inf),
        ([1.0], [math.nan], 0.0, math.inf),
        ([math.inf, 1.0], [math.inf, 1.0], 0.0, 0.0),
        ([-math.inf], [math.inf], 0.0, math.inf),
        ([1.0], [[1.0]], 0.0, math.inf),
        ([1], [1.0], 0.0, math.inf),
        ([3], [4], 0.0, 0.25),
        ([True], [False], 0.0, 1.0),
        ([], [], 0.0, 0.0),
    ],
)
def test_relative_error(got, wanted, least, error):
    found = comparing.relative_error(np.array(got), np.array(wanted), least)
    assert found == pytest.approx(error, rel=1e-12)


def test_tolerances_are_far_below_what_tf32_does():
    assert comparing.TOLERANCES["float32"] < 2**-11 / 10


# --- Planted faults --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_nothing_is_found_where_nothing_is_wrong(dtype):
    check = comparing.compare("operations", some("relu", "softmax", "conv2d"), "cpu", dtype)
    assert check.result == "ok"
    assert 0 < check.largest <= check.tolerance
    assert check.count == len(list(some("relu", "softmax", "conv2d")))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda y: y * (1 + 1e-4), "largest relative error 1.0e-04, tolerance 3e-05"),
        (lambda y: y + np.float32(math.nan), "NaN or infinities differ"),
        (lambda y: y[..., None], "shape"),
        (lambda y: y.astype(np.float64), "TypeError: float32 became float64"),
        (lambda y: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_wrong_value_is_found_and_named(monkeypatch, change, problem):
    broken(monkeypatch, "erf", change)
    check = comparing.compare("operations", some("relu", "erf", "gelu"), "cpu", "float32")
    assert check.result == "FAILED"
    assert names_of(check) <= {"erf", "gelu"}
    texts = [failure.text(check.tolerance) for failure in check.failures if failure.case == "erf"]
    assert any(problem in text for text in texts)


def test_a_wrong_gradient_is_found_and_named(monkeypatch):
    broken(monkeypatch, "relu_vjp", lambda g: g * 1.001)
    check = comparing.compare("operations", some("relu", "exp"), "cpu", "float64")
    assert {failure.part for failure in check.failures} == {"gradient of input 0"}
    assert names_of(check) == {"relu"}
    assert check.largest == pytest.approx(1e-3)
    assert check.where.endswith("gradient of input 0")


def test_a_gradient_that_is_missing_is_found():
    def run(place):
        return {"value": np.ones(2)} | (
            {"gradient of input 0": np.ones(2)} if place.dtype == "float64" else {}
        )

    check = comparing.compare("operations", [("case", run)], "cpu", "float32")
    assert "gave value; it should be value, gradient of input 0" in check.failures[0].problem


def test_a_wrong_step_of_an_optimizer_is_found_and_named(monkeypatch):
    def changed(p, g, m, v, *rest, **scalars):
        adam(p, g, m, v, *rest, **scalars)
        v *= 1.0001

    adam = FAST[optim.Adam.update]
    monkeypatch.setitem(FAST, optim.Adam.update, changed)
    cases = [case for case in comparing.optimizers() if case[0].startswith(("adam(", "adamax("))]
    check = comparing.compare("optimizers", cases, "cpu", "float32")
    assert {failure.case.partition("(")[0] for failure in check.failures} == {"adam"}
    assert any(failure.part.startswith("v of") for failure in check.failures)


def test_a_wrong_layer_is_found_and_named(monkeypatch):
    broken(monkeypatch, "channel_moments", lambda moments: (moments[0], moments[1] * 1.01))
    table = [layer for layer in LAYERS if layer.name in ("BatchNorm2d", "Linear")]
    check = comparing.compare("layers", comparing.layers(table), "cpu", "float64")
    assert {failure.case for failure in check.failures} == {"BatchNorm2d", "BatchNorm2d-all settings"}
    assert any(failure.part == "buffer running_var" for failure in check.failures)


def test_runs_that_differ_in_a_bit_are_found(monkeypatch):
    last_bits = iter(np.float32([0, 0, 0, 1e-7]))
    broken(monkeypatch, "erf", lambda y: y + next(last_bits))
    check = comparing.compare_bits("two runs", comparing.calls([call("erf", "", normal(3, 4))] * 2), "cpu")
    assert [failure.part for failure in check.failures] == ["value"]
    assert check.count == 2
    assert comparing.compare_bits("two runs", comparing.calls(LARGE[:2]), "cpu").result == "ok"


def test_a_curve_that_goes_elsewhere_is_found(monkeypatch):
    check, curve = trainings.compare_curves(SMALL, "cpu")
    assert check.result == "ok"
    assert [row["epoch"] for row in curve] == [1]
    adam = FAST[optim.Adam.update]
    monkeypatch.setitem(
        FAST, optim.Adam.update, lambda *arrays, lr, **rest: adam(*arrays, lr=1.5 * lr, **rest)
    )
    check, _ = trainings.compare_curves(SMALL, "cpu")
    assert check.result == "FAILED"
    assert check.failures[0].part == "step 2"  # the first loss is that of the initial weights


def test_mnist_is_left_out_where_it_is_not(monkeypatch, tmp_path):
    monkeypatch.setenv("TINYGRAD_ADAM_DATA", str(tmp_path))
    monkeypatch.setattr(trainings, "folders", lambda name: [tmp_path / name])
    check, curve = trainings.compare_curves(trainings.TRAININGS[-1], "cpu")
    assert check.result == "left out"
    assert "train --data mnist" in check.note
    assert curve == []


# --- What is reached -------------------------------------------------------------------------


NAMES = {
    name for module, names in cpu.KERNELS.items() if module not in ("adam", "optim") for name in names.split()
}
FAST_NAMES = {name for name in NAMES if CPU.kernels[name] is not None}
"""The kernels that there are without the optimizers'."""


@pytest.mark.skipif(not FAST_NAMES, reason="Numba is not installed: there are no fast kernels")
def test_every_fast_kernel_is_reached(monkeypatch):
    """Called, and not given on to the reference, as kernels do with what is small."""
    called, given_on = Counter(), Counter()

    def counting(function, counter, name):
        def counted(*args, **settings):
            counter[name] += 1
            return function(*args, **settings)

        return counted

    for name in FAST_NAMES:
        kernel = counting(CPU.kernels[name], called, name)
        monkeypatch.setitem(CPU.rules["fast"], REFERENCES[name], kernel)
    for primitive in PRIMITIVES.values():
        if primitive.name in FAST_NAMES:
            plain = counting(primitive.forward, given_on, primitive.name)
            monkeypatch.setattr(primitive, "forward", plain)
            monkeypatch.setitem(CPU.rules["fast"], plain, CPU.rules["fast"][REFERENCES[primitive.name]])
    for cases in (comparing.calls(LARGE), comparing.optimizers()):
        check = comparing.compare_bits("reached", cases, "cpu")
        assert check.result == "ok", check.failures
    assert {name for name in called if called[name] > given_on[name]} == FAST_NAMES


def test_workloads_are_those_of_the_benchmarks():
    assert list(speed.WORKLOADS) == list(workloads.WORKLOADS)
    for name, workload in speed.WORKLOADS.items():
        theirs = workloads.WORKLOADS[name]
        model = build_model(workload.model, workload.shape, 10)
        assert [p.shape for p in model.parameters()] == [array.shape for array in theirs.arrays()]
        assert (workload.shape, workload.batch) == (theirs.shape, theirs.batch)
        made = [type(layer).__name__.lower().rstrip("12d") for layer in model]
        assert [kind.removeprefix("max") for kind in made if kind != "flatten"] == [
            kind for kind, *_ in theirs.layers if kind != "flatten"
        ]
        assert theirs.description.startswith(workload.description)


# --- A GPU -----------------------------------------------------------------------------------


@pytest.fixture
def gpu():
    """Stand in for a GPU, with the CUDA kernels run from their sources."""
    with strict_cupy.installed():
        yield


@needs_compiler
@pytest.mark.parametrize(
    ("name", "cases"),
    [
        ("operations", comparing.calls([*OPERATIONS, *IMAGE_OPERATIONS])),
        pytest.param("large calls", comparing.calls(LARGE), marks=pytest.mark.slow),
        ("layers", comparing.layers(LAYERS)),
        ("optimizers", comparing.optimizers()),
    ],
    ids=["operations", "large calls", "layers", "optimizers"],
)
def test_a_gpu_is_compared(gpu, name, cases):
    check = comparing.compare(name, cases, "cuda:1", "float32")
    assert check.result == "ok", check.failures


@needs_compiler
def test_trainings_on_a_gpu(gpu):
    check, _ = trainings.compare_curves(SMALL, "cuda:1")
    assert check.result == "ok", check.failures


class CountingHold:
    """Holds nothing, and asks the stand-in whether a value was read."""

    def __init__(self, backend):
        self.device = backend.device

    def waited(self, work, seconds):
        before = strict_cupy.host_reads()
        work()
        return strict_cupy.host_reads() > before


@pytest.mark.slow
@needs_compiler
def test_waits_of_the_host_are_found_and_named(gpu, monkeypatch):
    monkeypatch.setattr(waits, "Hold", CountingHold)
    check = waits.count_waits("cuda:1")
    assert check.result == "ok", check.failures
    assert check.count == 6 + len(tg.optim.OPTIMIZERS)

    def reading(opt):
        return opt.param_groups[0]["params"][0].sum().item()

    monkeypatch.setattr(tg.optim.RMSprop, "step", reading)
    check = waits.count_waits("cuda:1")
    assert [failure.case for failure in check.failures] == ["step of rmsprop"]
    assert re.search(r", at .*test_selfcheck\.py:\d+ > tensor\.py:\d+$", check.failures[0].problem)


@pytest.mark.slow
@needs_compiler
def test_a_gpu_is_checked_from_beginning_to_end(gpu, few, monkeypatch):
    monkeypatch.setattr(waits, "Hold", CountingHold)
    monkeypatch.setattr(speed, "WORKLOADS", {"W1": speed.WORKLOADS["W1"]})
    monkeypatch.setattr(speed, "ADAM_SIZES", (10**3,))
    monkeypatch.setattr(speed, "SECONDS", 1e-3)
    monkeypatch.setattr(speed, "IMAGES", 300)
    monkeypatch.setattr(speed, "_room", lambda device: 2**20)
    monkeypatch.setattr(package, "TRAININGS", (SMALL,))
    report = package.selfcheck("cuda:1")
    assert report.failed == [], report.failure_lines()
    assert {check.result for check in report.checks} == {"ok"}
    assert (report.device, report.name) == ("cuda:1", "Stand-in")
    assert report.versions["driver"] == "580.65.06"
    assert [row["epoch"] for row in report.curves["digits, MLP"]] == [1]
    assert all(each.value > 0 for each in report.speeds)
    assert report.others == []  # their process has no stand-in
    assert report.others_note


def test_nothing_waits_on_the_cpu():
    check = waits.count_waits("cpu")
    assert (check.result, check.note) == ("left out", "on the CPU there is nothing to wait for")


def test_a_gpu_is_held_before_the_work_is_told():
    """The order counts: kernel, event, work, and a look at the event."""
    told = []

    class Event:
        def __init__(self, disable_timing):
            self.done = False

        def record(self):
            told.append("event")

    def kernel(source, name):
        assert f"void {name}(" in source
        return lambda grid, block, args: told.append((grid, block, *args))

    xp = SimpleNamespace(cuda=SimpleNamespace(Event=Event), RawKernel=kernel)
    hold = waits.Hold(SimpleNamespace(xp=xp))
    assert hold.waited(lambda: told.append("work"), 0.25) is False
    assert told == [((1,), (1,), np.uint64(250_000_000)), "event", "work"]


# --- Speed -----------------------------------------------------------------------------------


def test_what_is_measured(monkeypatch):
    monkeypatch.setattr(speed, "WORKLOADS", {"W1": speed.WORKLOADS["W1"]})
    monkeypatch.setattr(speed, "ADAM_SIZES", (10**3, 10**15))
    monkeypatch.setattr(speed, "SECONDS", 1e-3)
    monkeypatch.setattr(speed, "IMAGES", 300)
    monkeypatch.setattr(speed, "_room", lambda device: 2**24)
    told = []
    copied, w1, small, large, loaded = speed.measure("cpu", told.append)
    assert [s.name for s in (copied, w1, small, large, loaded)] == ["copy", "W1", "1e3", "1e15", "loader"]
    assert all(s.value > 0 for s in (copied, w1, small, loaded))
    assert small.share == pytest.approx(28 * 10**3 / (small.value / 1e3) / (copied.value * 1e9))
    assert large.value is None
    assert large.note.startswith("needs 29,802,322 GiB; 0.0 may be used")
    assert told[1:3] == ["W1", "Adam alone, 10^3 parameters"]


@pytest.mark.torch
@pytest.mark.slow
def test_others_are_measured_in_one_run_with_ours(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(beside, "WORKLOADS", ["W1"])
    monkeypatch.setattr(beside, "PEERS", {"torch fused": ("torch",)})
    monkeypatch.setattr(beside, "ROUNDS", 1)
    measured, note = beside.measure_beside("cpu")
    assert [each.name for each in measured] == ["W1"]
    assert list(measured[0].times) == ["ours", "torch fused"]
    assert all(0.01 < time < 1000 for time in measured[0].times.values())
    assert note == ""


def a_benchmark(folder, *lines):
    package = folder / "benchmarks"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize(("visible", "physical"), [(None, "1"), ("2,GPU-ab", "GPU-ab"), (" 5, 3 ,7", "3")])
def test_a_gpu_of_another_number_and_what_could_not_be_measured(visible, physical, monkeypatch, tmp_path):
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    repository = a_benchmark(
        tmp_path,
        "import json, os, sys",
        "rows = {'W1': {'peers': {'ours': {'median': 0.002}}, 'notes': {'jax': 'no ' + sys.argv[2]}}}",
        "rows['W2'] = {'peers': {}, 'notes': {'ours': 'on GPU ' + os.environ['CUDA_VISIBLE_DEVICES']}}",
        "open(sys.argv[-1], 'w').write(json.dumps({'blas': {'own': {'rows': rows}}}))",
    )
    monkeypatch.setattr(beside, "REPOSITORY", repository)
    monkeypatch.setattr(beside, "PEERS", {"torch": ("json",)})
    measured, note = beside.measure_beside("cuda:1")
    assert measured == [Beside("W1", {"ours": 2.0}), Beside("W2", {})]
    assert note == f"W1, jax: no cuda; W2, ours: on GPU {physical}"


def test_why_no_others_are_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(beside, "PEERS", {"one": ("no_such_package",), "two": ("json", "no_such_package")})
    assert beside.measure_beside("cpu") == ([], "neither PyTorch nor JAX with optax is installed")
    monkeypatch.setattr(beside, "PEERS", {"one": ("json",)})
    monkeypatch.setattr(beside, "REPOSITORY", tmp_path)
    measured, note = beside.measure_beside("cpu")
    assert (measured, "clone" in note) == ([], True)
    a_benchmark(tmp_path, "raise SystemExit('first line\\nthere is no GPU')")
    assert beside.measure_beside("cuda:0") == ([], "the benchmark failed: there is no GPU")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("import os; os.write(2, b'\\xff what'); raise SystemExit(3)", "what"),
        ("pass", "results.json"),
        ("import sys; open(sys.argv[-1], 'w').write('{')", "line 1 column 2"),
        ("import sys; open(sys.argv[-1], 'w').write('{\"blas\": {}}')", "list index"),
        pytest.param("import time; time.sleep(60)", "timed out", marks=pytest.mark.slow),
    ],
)
def test_a_benchmark_that_fails_ends_nothing_else(line, words, monkeypatch, tmp_path):
    monkeypatch.setattr(beside, "PEERS", {"one": ("json",)})
    monkeypatch.setattr(beside, "REPOSITORY", a_benchmark(tmp_path, line))
    monkeypatch.setattr(beside, "_LONGEST", 2 if "sleep" in line else 300)
    measured, note = beside.measure_beside("cpu")
    assert measured == []
    assert note.startswith("the benchmark failed: ")
    assert words in note


# --- The report and the command --------------------------------------------------------------


@pytest.fixture
def report():
    good = Check("operations, float64", 1e-12, 904, 3e-16, "exp, value", seconds=1.5)
    bad = Check("layers, float32", 3e-5, 134, 2e-3, "Linear|x, value", seconds=0.5)
    bad.failures = [Failure("Linear|x", "value", 2e-3), Failure("GELU", "value", math.inf),
                    Failure("ReLU", problem="ValueError: no")]  # fmt: skip
    left_out = Check("curves of MNIST, CNN", note="MNIST is not on this machine")
    row = dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy"), 0.5)
    speeds = [
        Speed("A6", "Adam alone", 0.0123, "ms a step", 0.876),
        Speed("A9", "Adam alone", None, "ms a step", note="needs 30 GiB"),
    ]
    curves = {"digits, MLP": [{"epoch": 1, "device": row, "cpu": row}]}
    about = ("cuda:0", "A GPU", "The GPU against the CPU", "2026-01-02", False, {"numpy": "2.4"})
    others = [
        Beside("W3", {"ours": 1.2, "torch": 3.0, "torch graph": 0.8}),
        Beside("W4", {"ours": 2.0, "torch": 1.0}),
        Beside("W5", {"torch": 1.0}),
    ]
    note = "W4, torch graph: failed"
    return Report(*about, [good, bad, left_out], curves, speeds, others, note)


def test_a_report_in_words(report):
    assert report.verdict() == "1 of 2 checks FAILED"
    assert report.failure_lines() == [
        "layers, float32: Linear|x, value: largest relative error 2.0e-03, tolerance 3e-05",
        "layers, float32: GELU, value: shape, kind of number, NaN or infinities differ (tolerance 3e-05)",
        "layers, float32: ReLU: ValueError: no",
    ]
    assert report.failure_lines(2)[-1] == "... and 1 more"
    assert report.note_lines()[-1] == "other frameworks: W4, torch graph: failed"
    assert report.others_table() == (
        ("ms a step", "ours", "torch", "torch graph", "ours over the best other"),
        [("W3", "1.2", "3", "0.8", "1.50"), ("W4", "2", "1", "", "2.00"), ("W5", "", "1", "", "")],
    )
    del report.checks[1]
    assert report.verdict() == "All 1 checks hold; 1 left out"


def test_a_report_in_files(report, tmp_path):
    report.write(tmp_path / "new" / "folder")
    values = json.loads((tmp_path / "new" / "folder" / "selfcheck.json").read_text())
    assert values["passed"] is False
    assert [check["result"] for check in values["checks"]] == ["ok", "FAILED", "left out"]
    assert [failure["error"] for failure in values["checks"][1]["failures"]] == [2e-3, None, None]
    assert values["speeds"][0]["share"] == 0.876
    text = (tmp_path / "new" / "folder" / "selfcheck.md").read_text()
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 4
    for lines in tables:
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert "| A6 | Adam alone | 0.0123 ms a step | 88% |" in text
    assert "A GPU" in text.splitlines()[0]
    assert "2026-01-02" in text


@pytest.fixture
def few(monkeypatch):
    """Make the command look at little."""
    monkeypatch.setattr(package, "OPERATIONS", [case for case in OPERATIONS if case.op in ("erf", "add")])
    monkeypatch.setattr(package, "IMAGE_OPERATIONS", IMAGE_OPERATIONS[:3])
    monkeypatch.setattr(package, "LARGE", [case for case in LARGE if case.op == "erf"])
    monkeypatch.setattr(package, "LAYERS", [layer for layer in LAYERS if layer.name == "GELU"])
    monkeypatch.setattr(package, "QUICK", (SMALL,))
    monkeypatch.setattr(trainings, "QUICK", (SMALL,))


@pytest.fixture
def command(monkeypatch):
    """Call the command at a width; return its exit status and what it printed."""
    pytest.importorskip("typer")
    from typer.testing import CliRunner

    from tinygrad_adam import cli
    from tinygrad_adam.cli import shared

    def command(*args, width=80):
        monkeypatch.setattr(shared.console, "_width", width)
        result = CliRunner().invoke(cli.app, ["selfcheck", "--quick", *map(str, args)])
        return result.exit_code, result.output

    return command


@pytest.mark.slow
def test_the_command_passes_on_the_cpu(command, tmp_path):
    code, text = command("--device", "cpu", "--out", tmp_path)
    assert code == 0, text
    assert "All 12 checks hold; 1 left out." in text
    values = json.loads((tmp_path / "selfcheck.json").read_text())
    counts = {check["name"]: check["count"] for check in values["checks"]}
    assert counts["operations, float32"] == len(OPERATIONS) + len(IMAGE_OPERATIONS)
    assert counts["layers, float64"] == len(LAYERS)
    assert values["passed"] is values["quick"] is True
    assert (tmp_path / "selfcheck.md").read_text().startswith("# Selfcheck of cpu: ")


@pytest.mark.parametrize("width", [80, 120])
def test_the_command_names_what_fails_and_ends_with_1(few, command, monkeypatch, width, tmp_path):
    broken(monkeypatch, "erf", lambda y: y * (1 + 1e-4))
    code, text = command("--device", "cpu", "--out", tmp_path, width=width)
    assert code == 1
    assert "6 of 11 checks FAILED." in text
    assert "operations, float64: erf, value: largest relative error 1.0e-04, tolerance 1e-12" in text
    table = text[: text.index("6 of 11")].splitlines()
    assert max(map(len, table)) <= width
    assert any(line.startswith("operations, float32") and "FAILED" in line for line in table)
    assert ("erf, value" in text[: text.index("6 of 11")]) is (width == 120)
    assert json.loads((tmp_path / "selfcheck.json").read_text())["passed"] is False


def test_a_device_that_cannot_be_used_is_refused():
    with pytest.raises(tg.errors.OptionError, match="unknown device 'gpu'"):
        package.selfcheck("gpu")
    with pytest.raises(tg.errors.DeviceError):
        get_backend("cuda:7")
