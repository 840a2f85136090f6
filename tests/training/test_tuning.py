"""Searches for hyper-parameters: what they try, what they keep, and how they go on."""

import dataclasses
import json
import re
import shlex
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("matplotlib")

from command_line import PNG, module
from executors import Disorderly, Inline, inline_pool

import tinygrad_adam as tg
from tinygrad_adam import training
from tinygrad_adam.errors import CheckpointError, OptionError, StateError
from tinygrad_adam.training import RunConfig, Search, parse_space, plot_search, rank_trials
from tinygrad_adam.training.many import search as search_module
from tinygrad_adam.training.many import space

pytestmark = pytest.mark.versions

CONFIG = RunConfig(model="mlp:6", epochs=1, batch_size=512, settings={"lr": 0.01})
OPTIONS = ("--model", "mlp:6", "--epochs", 1, "--batch-size", 512)
GRID = {"lr": [0.001, 0.01, 0.1], "beta1": [0.5, 0.9]}


def timeless(trials):
    return [{**vars(trial), "seconds": None} for trial in trials]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search from its beginning to its end: the file and the trials."""
    path = tmp_path_factory.mktemp("search") / "trials.jsonl"
    return path, Search(CONFIG, GRID).run(path, Inline())


# --- The space ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("lr=1e-4..1e-1", np.geomspace(1e-4, 1e-1, 4)),
        ("eps=1e-10..1e-4", np.geomspace(1e-10, 1e-4, 4)),
        ("beta2=0..0.999", 1 - np.geomspace(1, 1e-3, 4)),
        ("momentum=0.9..0.99", 1 - np.geomspace(0.1, 0.01, 4)),
        ("momentum_decay=0..0.3", np.linspace(0, 0.3, 4)),
    ],
)
def test_ranges_have_their_scale(text, numbers):
    ranges = parse_space([text])
    (name,) = ranges
    found = [settings[name] for settings in space.grid(ranges, points=4)]
    np.testing.assert_allclose(found, numbers, rtol=1e-3, atol=1e-15)
    assert (found[0], found[-1]) == (ranges[name].low, ranges[name].high)
    drawn = np.array([settings[name] for settings in space.draw(ranges, 400, seed=1)])
    assert ranges[name].low <= drawn.min() <= drawn.max() <= ranges[name].high
    thirds = np.histogram(drawn, np.sort(numbers))[0]
    assert 100 < min(thirds) <= max(thirds) < 170  # evenly on the scale


def test_grid_is_the_product():
    found = space.grid({"lr": [1, 2], "amsgrad": [True, False], "eps": [0.1]})
    assert [tuple(settings.values()) for settings in found] == [
        (1, True, 0.1), (1, False, 0.1), (2, True, 0.1), (2, False, 0.1)
    ]  # fmt: skip


def test_draws_depend_on_seed_and_number_only():
    ranges = parse_space(["lr=1e-4..1", "amsgrad=True,False"])
    few, many, others = (space.draw(ranges, n, seed) for n, seed in ((5, 0), (50, 0), (5, 1)))
    assert many[:5] == few
    assert others != few
    assert len({settings["lr"] for settings in many}) == 50
    assert {settings["amsgrad"] for settings in many} == {True, False}


def test_words_and_lists_in_a_space():
    assert parse_space(["amsgrad=True,False", "lr=0,1e-3", "on_nonfinite=skip,raise"]) == {
        "amsgrad": [True, False], "lr": [0, 0.001], "on_nonfinite": ["skip", "raise"],
    }  # fmt: skip


def test_settings_go_together():
    base = {"lr": 0.1, "betas": [0.8, 0.99]}
    assert space.optimizer_settings("adam", base, {"beta2": 0.5}) == {"lr": 0.1, "betas": (0.8, 0.5)}
    assert space.optimizer_settings("adam", {"beta1": 0.5}) == {"betas": (0.5, 0.999)}
    assert base == {"lr": 0.1, "betas": [0.8, 0.99]}
    with pytest.raises(OptionError, match="betas must be two numbers"):
        space.optimizer_settings("adam", {"betas": 0.9}, {"beta1": 0.5})


def test_a_space_of_nothing_is_refused():
    for nothing in ({}, {"lr": []}):
        with pytest.raises(
            OptionError, match=r"the search space is empty; name what to try, as in lr=1e-4\.\.1e-1"
        ):
            Search(CONFIG, nothing)


# --- Searching ---------------------------------------------------------------------------


def test_trials_are_what_runs_do(whole):
    path, trials = whole
    assert [trial.trial for trial in trials] == list(range(6))
    assert [trial.settings for trial in trials] == space.grid(GRID)
    for trial in trials[::5]:
        config = RunConfig(
            model="mlp:6", epochs=1, batch_size=512,
            settings={"lr": trial.settings["lr"], "betas": (trial.settings["beta1"], 0.999)},
        )  # fmt: skip
        best = training.run_trial(config).best
        assert (trial.val_accuracy, trial.val_loss, trial.epoch) == (
            best["val_accuracy"],
            best["val_loss"],
            1,
        )
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0]["search"]["config"]["model"] == "mlp:6"
    assert [line["trial"] for line in lines[1:]] == list(range(6))


def test_order_of_completion_does_not_matter(whole, tmp_path):
    path = tmp_path / "disorderly.jsonl"
    disorderly = Search(CONFIG, GRID).run(path, Disorderly(6))
    with ThreadPoolExecutor(2) as threads:
        parallel = Search(CONFIG, GRID).run(tmp_path / "parallel.jsonl", threads)
    assert timeless(disorderly) == timeless(parallel) == timeless(whole[1])
    numbers = [json.loads(line)["trial"] for line in path.read_text().splitlines()[1:]]
    assert numbers[:4] == [1, 2, 3, 4]
    assert sorted(numbers) == list(range(6))


@pytest.mark.parametrize("kept", [0, 2, 5])
def test_ctrl_c_leaves_whole_lines_and_the_search_goes_on(whole, tmp_path, kept):
    path, search = tmp_path / "trials.jsonl", Search(CONFIG, GRID)
    with pytest.raises(KeyboardInterrupt):
        search.run(path, Inline(interrupt_before=kept))
    content = path.read_bytes()
    assert content.endswith(b"\n")
    assert len([json.loads(line) for line in content.splitlines()]) == 1 + kept
    executor = Inline()
    assert timeless(Search.open(path).run(path, executor)) == timeless(whole[1])
    assert len(executor.calls) == 6 - kept
    assert path.read_bytes().startswith(content)


@pytest.mark.parametrize("cut", [1, 20, -1])
def test_a_kill_in_the_middle_of_a_line(whole, tmp_path, cut):
    lines = whole[0].read_bytes().splitlines(keepends=True)
    path = tmp_path / "trials.jsonl"
    path.write_bytes(b"".join(lines[:4]) + lines[4][:cut])  # -1: all but the end of the line
    executor = Inline()
    assert timeless(Search(CONFIG, GRID).run(path, executor)) == timeless(whole[1])
    assert len(executor.calls) == 3
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 7


def test_a_finished_search_runs_nothing(whole):
    executor = Inline()
    assert timeless(Search.open(whole[0]).run(whole[0], executor)) == timeless(whole[1])
    assert executor.calls == []


def test_bad_trials_are_recorded_and_failed_ones_tried_again(tmp_path, monkeypatch):
    path = tmp_path / "trials.jsonl"
    config = RunConfig(model="mlp:6", epochs=1, batch_size=512, optimizer="sgd", settings={})
    search = Search(config, {"lr": [0.1, 1e30, 0.2]})
    honest = training.run_trial

    def failing(config):
        if config.settings["lr"] == 0.2:
            return training.Outcome("failed", error="OSError: the disk\nis full")
        return honest(config)

    monkeypatch.setattr(search_module, "run_trial", failing)
    trials = search.run(path, Inline())
    assert [trial.status for trial in trials] == ["ok", "diverged", "failed"]
    assert "disk" in trials[2].error
    assert [trial.val_accuracy for trial in trials[1:]] == [None, None]
    assert rank_trials(trials) == trials[:1]
    monkeypatch.setattr(search_module, "run_trial", honest)
    executor = Inline()
    again = search.run(path, executor)
    assert [args[0].settings["lr"] for _, args, _ in executor.calls] == [0.2]
    assert [trial.status for trial in again] == ["ok", "diverged", "ok"]
    with pytest.raises(OptionError, match="no trial ended well; try lower learning rates"):
        rank_trials(trials[1:])


def test_ranking():
    def trial(number, accuracy, loss, status="ok"):
        return training.Trial(number, {}, status, 1, accuracy, loss, 0.1)

    trials = [
        trial(0, 0.8, 0.1), trial(1, 0.9, 0.3), trial(2, 0.9, 0.2), trial(3, None, None, "diverged"),
        trial(4, 0.9, 0.2),
    ]  # fmt: skip
    assert [one.trial for one in rank_trials(trials)] == [2, 4, 1, 0]


def test_more_random_trials(tmp_path):
    path = tmp_path / "trials.jsonl"
    ranges = parse_space(["lr=1e-4..1e-1"])
    few = Search(CONFIG, ranges, trials=2).run(path, Inline())
    executor = Inline()
    many = Search.open(path, trials=4).run(path, executor)
    assert timeless(many[:2]) == timeless(few)
    assert len(many) == 4
    assert len(executor.calls) == 2


def test_settings_drawn_twice_are_tried_once(tmp_path):
    executor = Inline()
    trials = Search(CONFIG, {"lr": [0.1, 0.2]}, trials=10).run(tmp_path / "trials.jsonl", executor)
    assert len(trials) == len(executor.calls) == 2


OTHERS = [
    (dataclasses.replace(CONFIG, model="mlp:7"), GRID, {}, "model: 'mlp:6' there, 'mlp:7' here"),
    (CONFIG, {**GRID, "lr": [0.5]}, {}, "space"),
    (CONFIG, GRID, {"points": 7}, "points"),
    (CONFIG, GRID, {"trials": 7}, "trials"),
]  # fmt: skip


NAMES = ["model", "space", "points", "trials"]


@pytest.mark.parametrize(("config", "what", "more", "saying"), OTHERS, ids=NAMES)
def test_the_file_of_another_search_is_refused(whole, config, what, more, saying):
    before = whole[0].read_bytes()
    with pytest.raises(StateError, match=rf"(?s)of another search; go on with that one.*{saying}"):
        Search(config, what, **more).run(whole[0], Inline())
    assert whole[0].read_bytes() == before


@pytest.mark.parametrize(
    ("change", "saying"),
    [
        (lambda lines: [b"PNG\n", *lines[1:]], "line 1"),
        (lambda lines: [b'{"config": 3}\n'], "line 1"),
        (lambda lines: [b'{"search": {"config": 3}}\n'], "line 1"),
        (lambda lines: [b"[]\n"], "line 1"),
        (lambda lines: [lines[0].replace(b'"seed"', b'"sead"'), *lines[1:]], "line 1"),
        (lambda lines: [b'{"sea'], "line 1"),
        (lambda lines: [*lines[:3], b"{half}\n", *lines[3:]], "line"),
        (lambda lines: [*lines[:2], b'{"trial": 1}\n'], "line 3"),
        (lambda lines: [*lines[:2], b'{"trial": 1, "settings": {"eps": 1}, "status": "ok"}\n'], "line 3"),
    ],
)
def test_damaged_files(whole, tmp_path, change, saying):
    path = tmp_path / "trials.jsonl"
    path.write_bytes(b"".join(change(whole[0].read_bytes().splitlines(keepends=True))))
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=rf"not a results file of a search, or damaged at {saying}"):
        Search.open(path)
    assert path.read_bytes() == before


# --- The picture -------------------------------------------------------------------------

TRIALS = [
    training.Trial(i, {"lr": lr, "beta1": beta1, "amsgrad": amsgrad}, "ok", 1, 0.5 + i / 20, 1.0, 1.0)
    for i, (lr, beta1, amsgrad) in enumerate(
        (lr, beta1, amsgrad) for lr in (0.001, 0.1) for beta1 in (0.5, 0.99) for amsgrad in (True, False)
    )
]
BAD = training.Trial(8, {"lr": 0.1, "beta1": 0.9, "amsgrad": True}, "diverged")


@pytest.mark.parametrize(
    ("number", "trials"),
    [(1, None), (2, None), (3, None), (2, 9)],
    ids=["curve", "cells", "best over the others", "points"],
)
@pytest.mark.parametrize(
    "found",
    [
        TRIALS,
        pytest.param([*TRIALS, BAD], marks=pytest.mark.slow),
        [BAD],
        pytest.param(TRIALS[:1], marks=pytest.mark.slow),
    ],
    ids=["good", "mixed", "bad", "one"],
)
def test_pictures(tmp_path, number, trials, found):
    names = ["lr=1e-3..1e-1", "beta1=0.5..0.99", "amsgrad=True,False"][:number]
    search = Search(CONFIG, parse_space(names), trials)
    plot_search(search, found, tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes()[:8] == PNG


def test_cells_hold_the_best_over_the_others(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    written = {}
    text = Axes.text
    monkeypatch.setattr(
        Axes, "text", lambda self, x, y, s, **kw: written.update({(x, y): s}) or text(self, x, y, s, **kw)
    )
    search = Search(CONFIG, {"lr": [0.001, 0.1], "beta1": [0.5, 0.99], "amsgrad": [True, False]})
    plot_search(search, [*TRIALS, BAD], tmp_path / "map.png")
    # Accuracies are 50, 55, 60 ... 85 %, those of amsgrad=False the higher ones; the middle row is 0.9.
    assert written == {
        (0, 0): "55.0", (0, 2): "65.0", (1, 0): "75.0", (1, 2): "85.0", (0, 1): "x", (1, 1): "x",
    }  # fmt: skip


def test_nothing_cannot_be_drawn(tmp_path):
    with pytest.raises(OptionError, match="no trial to draw"):
        plot_search(Search(CONFIG, GRID), [], tmp_path / "map.png")


# --- On the command line -----------------------------------------------------------------


@pytest.fixture
def at_once(monkeypatch):
    """Trials run in this process."""
    monkeypatch.setattr(training, "process_pool", inline_pool)


@pytest.fixture
def threads():
    before = tg.get_num_threads()
    yield
    tg.set_num_threads(before)


def command(answer):
    return shlex.split(answer.out.split("The best again:\n")[1].strip())


@pytest.mark.slow
def test_the_best_command_repeats_the_best_trial(call, threads, tmp_path):
    folder = tmp_path / "search"
    options = (
        "--model", "mlp:12", "--epochs", 3, "--batch-size", 300, "--dropout", 0.1, "--seed", 4, "--schedule",
        "step", "--schedule-set", "step_size=2", "--max-grad-norm", 5, "--optimizer", "adamw",
        "--weight-decay", 0.02,
    )  # fmt: skip
    what = ("--space", "lr=1e-3..1e-1", "--space", "beta2=0.9,0.99", "--space", "amsgrad=True,False")
    answer = call("tune", *options, *what, "--trials", 3, "--out", folder)  # in processes of their own
    assert (answer.code, answer.err) == (0, "")
    assert sorted(p.name for p in folder.iterdir()) == ["heatmap.png", "trials.jsonl"]
    assert (folder / "heatmap.png").read_bytes()[:8] == PNG
    path = folder / "trials.jsonl"
    best = rank_trials(Search.open(path).run(path, Inline()))[0]
    words = command(answer)
    assert words[:2] == ["tinygrad-adam", "train"]
    assert call(*words[1:], "--out", tmp_path / "run").code == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    row = rows[best.epoch - 1]
    assert [row[name] for name in ("val_accuracy", "val_loss", "loss")] == [
        best.val_accuracy, best.val_loss, best.loss
    ]  # fmt: skip
    assert row["val_accuracy"] == max(row["val_accuracy"] for row in rows)


def test_resume(call, at_once, monkeypatch, tmp_path):
    class Stopping:
        def __enter__(self):
            return Inline(interrupt_before=2)

        def __exit__(self, *error):
            pass

    folder = tmp_path / "a search"
    what = ("--space", "lr=1e-3..1e-1", "--space", "beta1=0.5,0.9", "--points", 2, "--lr", 0.5)
    with monkeypatch.context() as patched:
        patched.setattr(training, "process_pool", lambda *counts: Stopping())
        answer = call("tune", *OPTIONS, *what, "--out", folder)
    assert answer.code == 130
    assert "trial 2/4" in answer.out
    assert f"tinygrad-adam tune --resume '{folder}'" in answer.out
    answer = call("tune", "--resume", folder)
    assert answer.code == 0
    assert re.findall(r"trial (\d)/4", answer.out) == ["3", "4"]
    again = call("tune", "--resume", folder)
    assert "trial 1/4" not in again.out
    assert command(again) == command(answer)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_a_real_ctrl_c(call, at_once, tmp_path):
    folder = tmp_path / "search"
    process = module(
        "tune", "--model", "mlp:6", "--epochs", 20, "--space", "lr=1e-3..1e-1", "--trials", 200,
        "--workers", 2, "--out", folder,
    )  # fmt: skip
    process.stdout.readline()
    assert process.stdout.readline().startswith("trial ")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, err
    assert "Traceback" not in out + err
    assert "--resume" in out
    assert Search.open(folder / "trials.jsonl").trials == 200
    kept = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()[1:]]
    assert 1 <= len(kept) < 200


def test_default_folders(call, at_once, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert call("tune", *OPTIONS, "--points", 2).code == 0
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["tune-digits-mlp-1", "tune-digits-mlp-2"]


def test_all_trials_bad(call, at_once, tmp_path):
    bad = ("--optimizer", "sgd", "--space", "lr=1e30,1e31")
    answer = call("tune", *OPTIONS, *bad, "--out", tmp_path / "search")
    assert answer.code == 1
    assert "no trial ended well" in answer.err
    assert answer.out.count("the loss diverged") == 2
    assert (tmp_path / "search" / "heatmap.png").read_bytes()[:8] == PNG


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        (["--optimizer", "adm"], "unknown optimizer 'adm'; did you mean 'adam'"),
        (["--space", "lr=1e-4"], None),
        (["--space", "lr="], r"write a range, as lr=1e-4\.\.1e-1, or values.*got +lr=$"),
        (["--space", "lr"], "write a range"),
        (["--space", "lr=low..high"], "write a range"),
        (["--space", "lr=0..0.1"], "logarithmic scale, so both ends must be positive.*lr=0,1e-3"),
        (["--space", "lr=-1..0.1"], "both ends must be positive"),
        (["--space", "lr=0.1..0.01"], "from a lower number to a higher one"),
        (["--space", "lr=0.1..1e999"], "from a lower number to a higher one"),
        (["--space", "beta2=0.9..1"], "both ends must be below 1"),
        (["--space", "beta2=0.9,1"], r"betas must be two numbers in \[0, 1\)"),
        (["--space", "lr=0.1", "--space", "lr=0.2"], "lr is there twice"),
        (["--space", "beta9=0.1"], "unknown hyper-parameter 'beta9'; did you mean 'betas'"),
        (["--space", "beta1=0.1", "--optimizer", "sgd"], "unknown hyper-parameter 'beta1'"),
        (["--space", "lr=0.1,much"], "lr must be a finite number.*much"),
        (["--trials", "0"], "at least one trial"),
        (["--points", "1"], "at least 2 points"),
        (["--points", "3", "--trials", "3"], "--points: they belong to a grid"),
        (["--set", "betas=0.9", "--space", "beta1=0.5"], "betas must be two numbers"),
        (["--model", "mlp:0"], "positive integers"),
    ],
)
def test_bad_searches(request, call, at_once, fails, tmp_path, options, saying):
    folder = tmp_path / "search"
    if saying is None:  # a single value is a search, if a small one
        assert call("tune", *OPTIONS, *options, "--out", folder).code == 0
        return
    fails("tune", *OPTIONS, *options, "--out", folder, saying=saying)
    assert not folder.exists()


def test_bad_resumes(call, at_once, fails, whole, tmp_path):
    fails("tune", "--resume", tmp_path, saying="CheckpointError.*there is no such results file")
    fails(
        "tune", "--resume", whole[0].parent, "--epochs", 3, saying="goes on as it was set up.*given +--epochs"
    )
    fails("tune", "--resume", whole[0].parent, "--trials", 3, saying="it is a grid; trials are drawn")
    fails(
        "tune",
        *OPTIONS,
        "--out",
        whole[0].parent,
        saying="tune: the folder exists; choose another with --out",
    )
    (tmp_path / "trials.jsonl").write_text('{"epoch": 1}\n')
    fails("tune", "--resume", tmp_path, saying="not a results file of a search")
