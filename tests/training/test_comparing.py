"""Trainings side by side, and optimizers compared."""

import json
import math
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("matplotlib")

from command_line import PNG
from executors import Disorderly, Inline, inline_pool

import tinygrad_adam as tg
from tinygrad_adam import training
from tinygrad_adam.errors import OptionError, TinygradAdamError
from tinygrad_adam.optim import OPTIMIZERS
from tinygrad_adam.training import Entry, Outcome, Result, Run, RunConfig, compare, process_pool
from tinygrad_adam.training.many import comparison, curves, parallel, trial

pytestmark = [pytest.mark.products, pytest.mark.versions]

TINY = {"model": "mlp:6", "epochs": 2, "batch_size": 512}
OPTIONS = ("--model", "mlp:6", "--epochs", 2, "--batch-size", 512)
THREE = ("--optimizer", "adam", "--optimizer", "momentum", "--optimizer", "nesterov:lr=0.2")


def without_seconds(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


# --- One training ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_a_trial_is_what_a_run_does(tmp_path, warm):
    config = RunConfig(**TINY, settings={"lr": 0.01}, seed=3)
    run = Run.start(config, tmp_path / "run")
    results = run.train()
    outcome = training.run_trial(config, warm=warm, test=True)
    assert outcome.status == "ok"
    assert without_seconds(outcome.rows) == without_seconds(run.trainer.history.rows)
    assert set(outcome.test) == {"loss", "accuracy"}
    best = max(row["val_accuracy"] for row in outcome.rows)
    if outcome.rows[-1]["val_accuracy"] == best:  # then the run kept the last weights too
        assert outcome.test == {name: results[name] for name in outcome.test}


def test_a_trial_leaves_the_generator_alone():
    tg.manual_seed(5)
    before = tg.random.get_state()
    training.run_trial(RunConfig(**TINY))
    assert tg.random.get_state() == before


def test_divergence_and_failure_are_outcomes():
    outcome = training.run_trial(RunConfig(**TINY, optimizer="sgd", settings={"lr": 1e30}))
    assert (outcome.status, outcome.test) == ("diverged", {})
    assert "not finite" in outcome.error
    outcome = training.run_trial(RunConfig(**{**TINY, "model": "mlp:99999999999"}))
    assert (outcome.status, outcome.rows) == ("failed", [])
    assert "MemoryError" in outcome.error


def test_a_validation_loss_that_is_not_finite_is_a_divergence(monkeypatch):
    def infinite(self, batches):
        return {"loss": math.inf, "accuracy": 0.5}

    monkeypatch.setattr(training.Trainer, "evaluate", infinite)
    assert training.run_trial(RunConfig(**TINY)).status == "diverged"


def test_ctrl_c_ends_a_trial(monkeypatch):
    def fit(self, progress):
        self.trainer.interrupted = True

    monkeypatch.setattr(trial.Experiment, "fit", fit)
    with pytest.raises(KeyboardInterrupt):
        training.run_trial(RunConfig(**TINY))


def test_best_is_the_later_of_equals():
    rows = [{"epoch": i, "val_accuracy": a} for i, a in enumerate((0.5, 0.9, 0.9, 0.8))]
    assert Outcome("ok", rows).best["epoch"] == 2


# --- Side by side ------------------------------------------------------------------------


def test_as_they_finish_yields_what_is_ready_before_the_next_is_begun():
    seen = []
    executor = Inline()
    for key, result in parallel.as_they_finish(executor, lambda x: x * x, {"a": 2, "b": 3}):
        seen.append((key, result, len(executor.calls)))
    assert seen == [("a", 4, 1), ("b", 9, 2)]


def slow_touch(path):
    time.sleep(600)
    Path(path).touch()


def worker_threads(_):
    return tg.get_num_threads(), os.getpid()


def test_ctrl_c_at_any_line_leaves_no_future_locked():
    """The end of a pool waits for the locks of its futures: one that is kept would make it wait forever."""
    files = {parallel.__file__, futures._base.__file__}
    lines, interrupted = 0, True
    while interrupted:
        lines, left = lines + 1, lines
        given = []

        class Recording(Disorderly):
            def submit(self, *args, given=given, **kwargs):
                given.append(super().submit(*args, **kwargs))
                return given[-1]

        def trace(frame, event, arg):
            nonlocal left
            code = frame.f_code
            # Methods of futures lock in with-blocks; no signal comes just before their end, a trace does.
            if code.co_filename not in files or code.co_qualname.startswith("Future."):
                return None
            left -= event == "line"
            if left < 0:
                sys.settrace(None)
                raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            dict(parallel.as_they_finish(Recording(3), abs, {1: -1, 2: -2, 3: -3}))
            interrupted = False
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        other = threading.Thread(target=lambda made=given: [future.running() for future in made], daemon=True)
        other.start()
        other.join(60)
        assert not other.is_alive()
    assert lines > 20


def test_worker_processes(tmp_path):
    with process_pool(2, threads=1) as pool:
        config = RunConfig(**TINY, settings={"lr": 0.01})
        found = dict(parallel.as_they_finish(pool, training.run_trial, {0: config}, test=True))
        threads, pid = pool.submit(worker_threads, None).result()
        assert threads == 1
        assert pid != os.getpid()
    assert without_seconds(found[0].rows) == without_seconds(training.run_trial(config).rows)
    with pytest.raises(KeyboardInterrupt), process_pool(1) as pool:  # noqa: PT012
        pool.submit(worker_threads, None).result()
        pool.submit(slow_touch, tmp_path / "touched")
        raise KeyboardInterrupt
    assert not (tmp_path / "touched").exists()  # the worker was not waited for


def die(_):
    os._exit(3)


def test_a_worker_that_dies_is_named():
    with pytest.raises(TinygradAdamError, match=r"worker process died.*--workers"), process_pool(1) as pool:
        list(parallel.as_they_finish(pool, die, {0: 0}))


ORPHAN = """
import os, signal
from test_comparing import worker_threads
from tinygrad_adam.training import process_pool
if __name__ == "__main__":
    with process_pool(1) as pool:
        print(pool.submit(worker_threads, None).result()[1], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_workers_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "orphan.py"
    script.write_text(ORPHAN)
    paths = [Path(tg.__file__).parents[1], Path(__file__).parent, Path(__file__).parents[1] / "helpers"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    ended = subprocess.run([sys.executable, script], env=environment, stdout=subprocess.PIPE, text=True)
    assert ended.returncode == -signal.SIGKILL
    worker = int(ended.stdout)
    for _ in range(3000):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker outlived its parent")


@pytest.mark.parametrize("option", ["--workers", "--threads", "--seeds"])
def test_counts_are_positive(call, option):
    answer = call("compare", option, 0)
    assert answer.code == 2
    assert option in answer.err


@pytest.mark.parametrize("counts", [{"workers": 0}, {"threads": 0}])
def test_pools_need_somebody(counts):
    with pytest.raises(OptionError, match="must be positive"), process_pool(**counts):
        pass


# --- Comparing ---------------------------------------------------------------------------


class Spied(trial.Experiment):
    """Notes the initial weights, and inputs, targets and loss of each training batch."""

    seen = []

    def __init__(self, config, callbacks=()):
        super().__init__(config, callbacks)
        weights = [array.tobytes() for array in self.trainer.model.state_dict().values()]
        batches, losses = [], []
        self.seen.append((config.optimizer, config.seed, weights, batches, losses))
        forward, measure = self.trainer.model.forward, self.trainer.loss

        def note(output, target):
            loss = measure(output, target)
            if self.trainer.model.training:
                batches.append(target.numpy().tobytes())
                losses.append(loss.item())
            return loss

        def note_input(x):
            if self.trainer.model.training:
                batches.append(x.numpy().tobytes())
            return forward(x)

        self.trainer.model.__dict__["forward"] = note_input
        self.trainer.loss = note


def test_all_begin_with_the_same_weights_and_see_the_same_batches(monkeypatch):
    monkeypatch.setattr(trial, "Experiment", Spied)
    monkeypatch.setattr(Spied, "seen", [])
    entries = [Entry.parse(text) for text in ("sgd", "momentum", "adam", "adamw:lr=0.1")]
    compare(RunConfig(**TINY), entries, (0, 1), Inline())
    assert len(Spied.seen) == 16  # a warming step before each training
    by_seed = {}
    for _, seed, weights, batches, losses in Spied.seen[1::2]:
        assert len(batches) == 2 * 2 * 7  # inputs and targets of 7 batches in each of 2 epochs
        by_seed.setdefault(seed, []).append((weights, batches, losses))
    for runs in by_seed.values():
        assert len(runs) == 4
        for weights, batches, losses in runs:
            assert weights == runs[0][0]
            assert batches == runs[0][1]
            assert losses[0] == runs[0][2][0]  # the same units were dropped
        assert len({losses[-1] for _, _, losses in runs}) == 4
    first, second = by_seed[0][0], by_seed[1][0]
    assert first[0] != second[0]
    assert sorted(first[1]) != sorted(second[1])


def test_executors_agree():
    config, entries = RunConfig(**TINY), [Entry.parse(text) for text in ("sgd", "adam")]
    with ThreadPoolExecutor(2) as threads:
        parallel = compare(config, entries, (0, 1), threads)
    reported = []
    alone = compare(config, entries, (0, 1), Inline(), lambda *args: reported.append(args[:2]))
    assert [(entry.label, seed) for entry, seed in reported] == [
        ("sgd", 0), ("adam", 0), ("sgd", 1), ("adam", 1)
    ]  # fmt: skip
    for one, other in zip(parallel, alone, strict=True):
        assert one.entry == other.entry
        for seed in (0, 1):
            assert without_seconds(one.outcomes[seed].rows) == without_seconds(other.outcomes[seed].rows)
            assert one.outcomes[seed].test == other.outcomes[seed].test


@pytest.mark.parametrize("label", [n for n, (o, _) in comparison.RECIPES.items() if o in OPTIMIZERS])
def test_recipes_learn(label):
    (result,) = compare(RunConfig(model="mlp:16", epochs=3), [Entry.parse(label)], (0,), Inline())
    assert result.outcomes[0].test["accuracy"] > 0.6


def test_standard_entries_have_recipes():
    assert set(comparison.STANDARD) <= set(comparison.RECIPES)


@pytest.mark.parametrize(
    ("text", "optimizer", "settings"),
    [
        ("sgd:lr=0.3", "sgd", {"lr": 0.3}),
        ("momentum:momentum=0.5", "sgd", {"lr": 0.05, "momentum": 0.5}),
        ("nesterov", "sgd", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
        ("adam:beta1=0.8,eps=0.1", "adam", {"lr": 0.002, "betas": (0.8, 0.999), "eps": 0.1}),
        ("adam:beta2=0.9,beta1=0.5", "adam", {"lr": 0.002, "betas": (0.5, 0.9)}),
        ("amsgrad", "adam", {"lr": 0.002, "amsgrad": True}),
    ],
)
def test_entries(text, optimizer, settings):
    assert Entry.parse(text) == Entry(text, optimizer, settings)


def outcome(accuracies, losses, test=0.5, status="ok", seconds=1.0):
    rows = [
        {"step": 10 * (i + 1), "loss": loss, "val_accuracy": accuracy, "val_loss": 1.0, "seconds": seconds}
        for i, (accuracy, loss) in enumerate(zip(accuracies, losses, strict=True))
    ]
    return Outcome(status, rows, {"accuracy": test} if status == "ok" else {})


@pytest.fixture
def result():
    return Result(
        Entry.parse("adam"),
        {
            2: outcome((0.5, 0.75, 0.9), (2.0, 1.0, 0.6), 0.7, seconds=0.5),
            0: outcome((0.4, 0.85), (1.0, 0.4), 0.9, seconds=0.25),
            1: outcome((0.1,), (math.inf,), status="diverged"),
            3: outcome((0.4, 0.80), (1.0, 0.5), 0.8, seconds=60.0),
        },
    )


def test_statistics(result):
    losses = [0.4, 0.6, 0.5]
    assert result.last("loss") == pytest.approx((statistics.mean(losses), statistics.stdev(losses)))
    assert result.last("test_accuracy") == pytest.approx((0.8, 0.1))
    np.testing.assert_array_equal(result.curve("loss"), [[1.0, 0.4], [2.0, 1.0], [1.0, 0.5]])
    np.testing.assert_allclose(
        result.seconds(), [0.5, 1.0]
    )  # the machine that was busy for a minute is left out
    assert result.note() == "1 of 4 diverged"
    columns, (row,) = comparison.table([result])
    assert row == (
        "adam",
        "lr=0.002",
        "0.500 ± 0.100",
        "85.00 ± 5.00%",
        "80.00 ± 10.00%",
        "1.0",
        "1 of 4 diverged",
    )
    assert len(columns) == len(row)


def test_statistics_of_one_and_of_none(result):
    one = Result(result.entry, {0: result.outcomes[0]})
    none = Result(result.entry, {1: result.outcomes[1]})
    assert one.last("loss") == pytest.approx((0.4, math.nan), nan_ok=True)
    columns, (row,) = comparison.table([one])
    assert row == ("adam", "lr=0.002", "0.400", "85.00%", "90.00%", "0.5")
    assert len(columns) == len(row)
    _, (row,) = comparison.table([none])
    assert row == ("adam", "lr=0.002", "", "", "", "", "1 of 1 diverged")
    values = json.loads(json.dumps(comparison.as_json([none]), allow_nan=False))
    assert values[0]["seeds"]["1"]["rows"][0]["loss"] is None


def test_those_that_never_end_well_are_last():
    entries = [Entry.parse(text) for text in ("sgd:lr=1e30", "sgd:lr=0", "sgd")]
    results = compare(RunConfig(**TINY), entries, (0,), Inline())
    assert [result.entry.label for result in results] == ["sgd", "sgd:lr=0", "sgd:lr=1e30"]


def test_picture_tells_many_apart(result, tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    drawn = []
    plot = Axes.plot
    monkeypatch.setattr(
        Axes, "plot",
        lambda self, x, y, **kw: (
            drawn.append((str(kw["linestyle"]), kw["marker"], kw["color"])) or plot(self, x, y, **kw)
        ),
    )  # fmt: skip
    results = [Result(Entry(f"o{i}", "adam", {}), result.outcomes) for i in range(15)]
    curves.plot_comparison(RunConfig(**TINY), results, tmp_path / "many.png")
    assert (tmp_path / "many.png").read_bytes()[:8] == PNG
    assert len(set(drawn)) == 15
    assert len(drawn) == 60
    with pytest.raises(OptionError, match="nothing to draw"):
        curves.plot_comparison(
            RunConfig(**TINY), [Result(result.entry, {1: result.outcomes[1]})], tmp_path / "none.png"
        )


# --- On the command line -----------------------------------------------------------------


@pytest.fixture
def at_once(monkeypatch):
    """Trainings run in this process."""
    monkeypatch.setattr(training, "process_pool", inline_pool)


def test_compare(call, at_once, tmp_path):
    folder = tmp_path / "results"
    answer = call("compare", *OPTIONS, *THREE, "--seeds", 2, "--seed", 7, "--out", folder)
    assert (answer.code, answer.err) == (0, "")
    assert sorted(p.name for p in folder.iterdir()) == [
        "comparison.png",
        "results.json",
        "table.md",
        "trials.jsonl",
    ]
    assert (folder / "comparison.png").read_bytes()[:8] == PNG
    values = json.loads((folder / "results.json").read_text())
    assert values["config"]["model"] == "mlp:6"
    found = {entry["label"]: entry for entry in values["results"]}
    assert set(found) == {"adam", "momentum", "nesterov:lr=0.2"}
    assert found["nesterov:lr=0.2"]["settings"] == {"lr": 0.2, "momentum": 0.9, "nesterov": True}
    for entry in found.values():
        assert set(entry["seeds"]) == {"7", "8"}
        for seed, one in entry["seeds"].items():
            config = RunConfig(
                **TINY,
                optimizer=entry["optimizer"],
                settings=entry["settings"],
                seed=int(seed),
                schedule="constant",
            )
            assert without_seconds(one["rows"]) == without_seconds(training.run_trial(config).rows)
    table = (folder / "table.md").read_text().splitlines()
    assert len(table) == 5
    for label in found:
        assert any(line.startswith(f"| {label} | lr=") for line in table)
        assert label in answer.out
    assert "6/6  nesterov:lr=0.2, seed 8: epoch 2/2" in answer.out


def test_compare_names_what_diverged(call, at_once, tmp_path):
    bad = ("--optimizer", "sgd:lr=1e30", "--optimizer", "adam")
    answer = call("compare", *OPTIONS, *bad, "--seeds", 1, "--out", tmp_path / "some")
    assert answer.code == 0
    assert "1/2  sgd:lr=1e30, seed 0: the loss diverged" in answer.out
    assert "1 of 1 diverged" in (tmp_path / "some" / "table.md").read_text()
    answer = call("compare", *OPTIONS, *bad[:2], "--seeds", 1, "--out", tmp_path / "none")
    assert answer.code == 1
    assert "no training ended well" in answer.err
    assert "1 of 1 diverged" in (tmp_path / "none" / "table.md").read_text()


def test_a_comparison_stopped_by_ctrl_c_goes_on(call, monkeypatch, tmp_path):
    class Pool:
        def __enter__(self):
            return Inline(interrupt_before=1)

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(training, "process_pool", lambda *counts: Pool())
    answer = call("compare", *OPTIONS, *THREE, "--out", tmp_path / "results")
    assert answer.code == 130
    assert f"tinygrad-adam compare --resume {tmp_path / 'results'}" in answer.out
    monkeypatch.setattr(training, "process_pool", inline_pool)
    answer = call("compare", "--resume", tmp_path / "results")
    assert answer.code == 0
    assert "1/9" not in answer.out  # it was done
    assert "2/9" in answer.out
    assert "9/9" in answer.out


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        (["--optimizer", "adamm"], "compare: unknown optimizer 'adamm'; did you mean 'adam'"),
        (["--optimizer", "adam:beta3=1"], "unknown hyper-parameter 'beta3'; did you mean 'betas'"),
        (["--optimizer", "sgd:beta1=0.9"], "unknown hyper-parameter 'beta1'"),
        (["--optimizer", "adam:lr"], "name:setting=value.*got +adam:lr"),
        (["--optimizer", "adam:lr=much"], "lr must be a finite number.*much"),
        (["--optimizer", "adam:lr=-1"], "lr must be"),
        (["--optimizer", "adam", "--optimizer", "adam"], "no optimizer twice.*twice +adam"),
        (["--model", "mlp:0"], "positive integers"),
        (["--schedule", "cosin"], "did you mean 'cosine'"),
    ],
)
def test_bad_comparisons(fails, tmp_path, options, saying):
    extra = [] if "--optimizer" in options else ["--optimizer", "adam"]
    folder = tmp_path / "results"
    fails("compare", *options, *extra, "--out", folder, saying=saying)
    assert not folder.exists()


def test_compare_refuses_an_existing_folder(fails, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    fails(
        "compare", *THREE, "--out", tmp_path, saying="compare: the folder exists; choose another with --out"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
