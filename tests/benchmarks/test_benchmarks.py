"""The benchmark's own arithmetic, that everyone computes the same, and what becomes of those who fail."""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import math
import os
import shutil
import signal

import numpy as np
import pytest
import strict_cupy
from cuda_on_host import needs_compiler

from benchmarks import measure as measuring
from benchmarks import optimizers, parts, picture, tables, watching
from benchmarks.machine import better, limit
from benchmarks.measure import Failed, Process, agree, environment, import_times, measure
from benchmarks.peers import GPU_PEERS, PEERS
from benchmarks.workloads import WORKLOADS
from tinygrad_adam import optim

RATES = {"flops": 2e11, "copy": 2e10, "moved": [[160_000, 1e11], [28_800_000, 5e10]]}
MEMORY = {"imported": 30.0, "peak": 90.0}
BIG = {"imported": 250.0, "peak": 1234.0}
RESULTS = {
    "date": "2026-01-02",
    "machine": "A processor, 2 cores",
    "threads": 2,
    "versions": {"numpy": "2.4.6"},
    "blas": {
        "own": {
            "variables": {},
            "rates": RATES,
            "rows": {
                "W1": {
                    "title": "MLP 64-32-10, batch 32",
                    "limit": {"products": 2e-6, "memory": 1e-6, "limit": 2e-6},
                    "peers": {
                        "ours": {"median": 1e-4, "min": 9e-5, "steps": 400, **MEMORY},
                        "torch": {"median": 2.5e-4, "min": 2.25e-4, "steps": 400, **MEMORY},
                    },
                    "notes": {"mygrad": "failed: MemoryError"},
                },
                "W3": {
                    "title": "MLP 784-1000-1000-10, batch 128 (the Adam paper's)",
                    "limit": {"products": 6e-3, "memory": 1e-3, "limit": 6e-3},
                    "peers": {
                        "ours": {"median": 0.0123, "min": 0.012, "steps": 15, **MEMORY},
                        "torch": {"median": 0.00615, "min": 0.006, "steps": 15} | BIG,
                    },
                    "notes": {},
                },
                "deep": {
                    "title": "a chain",
                    "limit": None,
                    "peers": {"ours": {"median": 0.05, "min": 0.04, "steps": 5, **MEMORY}},
                    "notes": {"torch": "it compiles"},
                },
            },
        }
    },
    "imports": {
        "python": {"statement": "pass", "median": 0.011, "min": 0.01},
        "dezero": {"statement": "import dezero", "failure": "AttributeError: int"},
    },
}  # fmt: skip


# --- limits ------------------------------------------------------------------


def test_work_of_w1_by_hand():
    flops = 2 * 32 * (64 * 32 * 2 + 32 * 10 * 3)  # the first layer needs no gradient of its input
    parameters = 64 * 32 + 32 + 32 * 10 + 10
    activations = 32 * (32 + 32 + 10)  # linear, ReLU, linear
    assert WORKLOADS["W1"].work() == (flops, 28 * parameters + 16 * activations)


def test_work_of_w4_by_hand():
    first, second = 25 * 1 * 32, 25 * 32 * 64
    hidden, last = 64 * 7 * 7 * 128, 128 * 10
    flops = 2 * 64 * (2 * first * 28 * 28 + 3 * second * 14 * 14 + 3 * hidden + 3 * last)
    parameters = first + 32 + second + 64 + hidden + 128 + last + 10
    conv1, pool1, conv2, pool2 = 32 * 28 * 28, 32 * 14 * 14, 64 * 14 * 14, 64 * 7 * 7
    activations = 64 * (2 * conv1 + pool1 + 2 * conv2 + pool2 + 128 + 128 + 10)  # each ReLU writes once more
    assert WORKLOADS["W4"].work() == (flops, 28 * parameters + 16 * activations)


def test_shapes_are_those_of_the_weights():
    for workload in WORKLOADS.values():
        outputs = [shape[0] for (kind, *_), _, shape in workload.shapes() if kind in ("linear", "conv")]
        assert outputs == [len(bias) for _, bias in workload.weights()]
        assert [shape for _, _, shape in workload.shapes()][-1] == (10,)


def test_limit_is_the_longer_of_products_and_memory():
    flops, traffic = WORKLOADS["W3"].work()
    found = limit("W3", RATES)
    assert found == {"products": flops / 2e11, "memory": traffic / 5e10, "limit": flops / 2e11}
    assert found["products"] > found["memory"] > 0


@pytest.mark.parametrize(
    ("row", "rate"), [("A4", 1e11), ("A5", 1e11), ("A6", 5e10), ("A7", 5e10)], ids=lambda value: str(value)
)
def test_limit_of_adam_is_28_bytes_a_parameter(row, rate):
    size = {"A4": 10_000, "A5": 100_000, "A6": 1_800_000, "A7": 20_000_000}[row]
    assert limit(row, RATES) == {"products": 0.0, "memory": 28 * size / rate, "limit": 28 * size / rate}


def test_the_better_of_two_rates_is_taken_one_by_one():
    busy = {"flops": 1e11, "copy": 3e10, "moved": [[160_000, 2e11], [28_800_000, 1e10]]}
    expected = {"flops": 2e11, "copy": 3e10, "moved": [(160_000, 2e11), (28_800_000, 5e10)]}
    assert better(RATES, busy) == better(busy, RATES) == expected


def test_the_deep_graph_has_no_limit():
    assert limit("deep", RATES) is None


# --- everyone computes the same ----------------------------------------------


@pytest.fixture(scope="module")
def ours():
    process = Process("ours", environment("own"))
    yield process.ask("train", "W1")
    process.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PEERS if name not in ("ours", "torch compile")])
def test_losses_agree_with_ours(name, ours):
    for package in PEERS[name].packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    if name == "tinygrad" and shutil.which("clang") is None:
        pytest.skip("tinygrad needs clang")
    process = Process(name, environment("own"))
    losses = process.ask("train", "W1")
    process.close()
    agree(losses, ours)
    assert len(losses) == len(ours) == 4
    assert losses[-1] < losses[0]


def test_the_chain_has_the_derivative_of_a_power():
    process = Process("ours", environment("own"))
    assert process.ask("chain", 1000) == pytest.approx([1.0001**500] * 4, rel=1e-4)
    assert len(process.ask("run", 3, math.inf)) == 3
    assert len(process.ask("run", 3, 0.0)) == 0
    process.close()


@pytest.mark.parametrize("values", [[1.0, 2.0, 2.5], [1.0, 2.0003], [math.nan]], ids=str)
def test_other_losses_are_refused(values):
    with pytest.raises(Failed, match="not timed"):
        agree(values, [1.0, 2.0, 3.0])


def test_a_slow_peer_may_have_fewer_losses():
    agree([1.0, 2.00005], [1.0, 2.0, 3.0])


@pytest.mark.slow
def test_who_has_computed_long_enough_sits_out(monkeypatch):
    monkeypatch.setattr(measuring, "BUDGET", math.inf)
    assert measure("A4", ["ours"], 3, "own")["peers"]["ours"]["steps"] == 3 * 400
    monkeypatch.setattr(measuring, "BUDGET", 1e-9)
    assert measure("A4", ["ours"], 3, "own")["peers"]["ours"]["steps"] == 1


# --- those who fail ----------------------------------------------------------


@pytest.mark.slow
def test_a_failure_is_noted_and_ends_nothing():
    result = measure("A4", ["ours", "nobody", "ours (reference)"], 1, "own")
    assert result["notes"] == {"nobody": "failed: KeyError: 'nobody'"}
    assert list(result["peers"]) == ["ours", "ours (reference)"]
    for times in result["peers"].values():
        assert 0 < times["min"] <= times["median"]
        assert 0 < times["imported"] <= times["peak"]


def test_what_cannot_be_done_is_told_with_its_reason():
    if importlib.util.find_spec("mygrad") is None:
        pytest.skip("mygrad is not installed")
    result = measure("A4", ["ours", "mygrad"], 1, "own")
    assert result["notes"] == {"mygrad": "it has no optimizer"}


def test_a_process_that_dies_is_told():
    process = Process("ours", environment("own"))
    os.kill(process.process.pid, signal.SIGKILL)
    with pytest.raises(Failed, match=f"status -{signal.SIGKILL.value}"):
        process.ask("memory")
    process.close()


def test_an_import_that_fails_is_told(monkeypatch):
    class Broken:
        imports = "import numpy; numpy.no_such_name"

    monkeypatch.setitem(PEERS, "broken", Broken())
    monkeypatch.setattr(measuring, "IMPORT_ROUNDS", 2)
    rows = import_times(["broken"], environment("own"))
    assert rows["broken"]["failure"].startswith("AttributeError")
    assert 0 < rows["python"]["min"] < rows["numpy"]["min"]


@pytest.mark.parametrize(
    ("blas", "expected"),
    [
        ("own", {}),
        ("environment", {"OPENBLAS_CORETYPE": "Zen", "OPENBLAS_L2_SIZE": "1"}),
        ("pinned", {"OPENBLAS_CORETYPE": "Haswell"}),
    ],
)
def test_blas_settings(blas, expected, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Zen")
    monkeypatch.setenv("OPENBLAS_L2_SIZE", "1")
    variables = environment(blas)
    assert {n: variables[n] for n in measuring.BLAS_VARIABLES if n in variables} == expected


# --- tables and the picture --------------------------------------------------


def test_the_table_of_a_row():
    assert tables.row_table("W1", RESULTS["blas"]["own"]["rows"]["W1"]) == (
        "W1: MLP 64-32-10, batch 32; limit 0.002 ms (products 0.002, memory 0.001)\n"
        "\n"
        "| peer  | median, ms | min, ms | x ours | steps |\n"
        "| ----- | ---------: | ------: | -----: | ----: |\n"
        "| ours  |      0.100 |   0.090 |   1.00 |   400 |\n"
        "| torch |      0.250 |   0.225 |   2.50 |   400 |\n"
        "\n"
        "- mygrad: failed: MemoryError"
    )


def test_the_summary_has_a_dash_where_there_is_no_time():
    assert tables.summary(RESULTS["blas"]["own"]["rows"]) == (
        "|      |  ours | torch | mygrad | limit |\n"
        "| ---- | ----: | ----: | -----: | ----: |\n"
        "| W1   | 0.100 | 0.250 |      - | 0.002 |\n"
        "| W3   |  12.3 |  6.15 |      - |  6.00 |\n"
        "| deep |  5.00 |     - |      - |     - |"
    )


def test_the_report_has_memory_imports_and_rates():
    report = tables.report(RESULTS)
    assert "float32 products 200 GFLOP/s, copying 20.0 GB/s" in report
    assert "| torch |           250 |        1,234 |" in report
    assert "| python |    `pass` |       11.0 |    10.0 |" in report
    assert "- dezero: AttributeError: int" in report


def test_a_row_that_we_could_not_run_has_no_ratios():
    result = {"title": "a row", "limit": None, "peers": {}, "notes": {"ours": "failed: MemoryError"}}
    assert tables.row_table("W1", result) == "W1: a row\n\n\n- ours: failed: MemoryError"


def test_the_picture_orders_peers_by_their_speed(tmp_path):
    pytest.importorskip("matplotlib")
    results = copy.deepcopy(RESULTS)
    rows = results["blas"]["own"]["rows"]
    rows["W1"]["peers"]["slow"] = {"median": 1e-2, "min": 1e-2, "steps": 1, **MEMORY}
    rows["W3"]["peers"]["torch"]["median"] = 0.00246  # faster than ours on average, and yet after ours
    found = picture.ratios({row: rows[row] for row in ("W1", "W3")})
    assert list(found) == ["ours", "torch", "slow"]
    assert found["torch"] == pytest.approx({"W1": 2.5, "W3": 0.2})
    path = tmp_path / "speed.png"
    picture.draw(results, path)
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    small = path.stat().st_size
    del rows["W3"]
    picture.draw(results, path)
    assert path.stat().st_size < small  # a panel less


@pytest.mark.slow
def test_each_optimizer_has_a_row():
    table = [row.strip("| ").split(" | ") for row in optimizers.rows(copy=1e6, size=1000, calls=3)]
    assert {cells[0].split(",")[0] for cells in table} == set(optim.OPTIMIZERS)
    milliseconds = {cells[0]: float(cells[2]) for cells in table}
    # Bytes for each parameter: three numbers without a moment, and two more for each.
    assert [milliseconds[name] for name in ("sgd", "lion", "adam", "adam, amsgrad")] == [12, 20, 28, 36]


def test_what_watching_costs_is_told(monkeypatch, capsys):
    monkeypatch.setattr(watching, "STEPS", {"W1": 3})
    monkeypatch.setattr(watching, "TURNS", 1)
    monkeypatch.setattr(watching, "hold_cores", lambda: None)
    watching.main()
    cells = capsys.readouterr().out.splitlines()[-1].strip("| ").split(" | ")
    assert cells[0] == "W1"
    assert all(float(ratio) > 0 for ratio in cells[2:6])
    assert cells[6].endswith("%")
    assert 15 < watching.looks(watching.train("W1")[0]) < 30


@pytest.mark.slow
def test_the_parts_of_a_step_are_told(monkeypatch, capsys):
    monkeypatch.setattr(parts, "SECONDS", 0.0)
    monkeypatch.setattr(parts, "hold_cores", lambda: None)
    monkeypatch.setattr(parts, "rates", lambda: RATES)
    parts.main(["W1"])
    first, *lines = capsys.readouterr().out.splitlines()
    assert "200 GFLOP/s" in first
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")][2:]
    rows = {label: cells for label, *cells in table}
    assert next(iter(rows)) == "linear_relu 32x64 32x64"
    assert list(rows)[-2:] == ["adam 2496 2496", "the rest"]  # 64 x 32 + 32, padded, and 32 x 10 + 10, padded
    assert {row[0] for row in rows.values()} == {"1", ""}
    assert sum(float(row[2].rstrip("%")) for row in rows.values()) == pytest.approx(100, abs=1)


def test_the_rate_of_a_part_by_hand():
    def part(name, result, *arguments):
        slow = parts.Part(lambda *_: result, name)
        slow.call(*arguments)
        slow.times = [1e-6]
        return slow.rate()

    x, weight, image, filters = (np.ones(s) for s in ((50, 20), (10, 20), (1, 4, 7, 7), (8, 2, 3, 3)))
    y, gy = np.ones((50, 10)), np.ones((1, 8, 5, 5))
    assert part("linear", y, x, weight) == "20 GFLOP/s"
    assert part("matmul", y, x, weight.T) == "20 GFLOP/s"
    for name, result, *arguments in (
        ("conv2d", gy, image, filters),
        ("conv2d_input", image, gy, filters),
        ("conv2d_weight", filters, image, gy),
    ):
        assert part(name, result, *arguments) == f"{2 * 8 * 25 * 2 * 9 / 1e3:.0f} GFLOP/s"  # in two groups
    assert part("adam", None, np.ones(500)) == "14 GB/s"
    assert part("relu", y, x) == ""


# --- GPUs ---------------------------------------------------------------------


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("row", ["W1", "W4"])
def test_our_steps_on_a_gpu_give_the_losses_of_the_cpu(row):
    small = dataclasses.replace(WORKLOADS[row], batch=4)
    step = PEERS["ours"].train(small)
    with strict_cupy.installed():
        gpu_step = GPU_PEERS["ours"].train(small)
        agree([gpu_step() for _ in range(3)], [step() for _ in range(3)])
        GPU_PEERS["ours"].adam(100)()


def test_peers_on_a_gpu_are_ours_and_those_that_have_one():
    assert list(GPU_PEERS) == [
        "ours",
        "ours (recorded)",
        "torch",
        "torch fused",
        "torch graph",
        "jax + optax",
    ]
    assert {peer.device for peer in GPU_PEERS.values()} == {"cuda"}
    assert {peer.device for peer in PEERS.values()} == {"cpu"}


def test_a_gpu_has_no_limit_and_its_report_says_where_to_look():
    assert limit("W1", None) is None
    assert "selfcheck" in tables.rates_line(None)
