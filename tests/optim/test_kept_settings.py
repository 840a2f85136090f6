"""Settings come back from files and states: first learning rates, NumPy's numbers, shared lists."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from executors import Inline

from tinygrad_adam import errors, nn, optim
from tinygrad_adam.training import (
    Entry,
    Range,
    RunConfig,
    Search,
    compare,
    load_checkpoint,
    save_checkpoint,
)
from tinygrad_adam.training.many.comparison import read_comparison

TINY = RunConfig(model="mlp:3", epochs=1, batch_size=2048)


def two_groups(lr=1.0, other=0.5):
    """An optimizer with a group named "a" and one named "b"."""
    groups = [{"params": [("a", nn.Parameter([1.0]))]}, {"params": [("b", nn.Parameter([1.0]))], "lr": other}]
    return optim.SGD(groups, lr=lr)


def lr_of(opt):
    return [group["lr"] for group in opt.param_groups]


def loaded(saved, **settings):
    opt = two_groups(**settings)
    opt.load_state_dict(saved)
    return opt


# --- First learning rates ----------------------------------------------------------------------


def test_a_schedule_made_after_loading_begins_where_the_others_began():
    opt = two_groups()
    schedule = optim.ExponentialLR(opt, 0.5)
    for _ in range(3):
        schedule.step()
    saved = {**opt.state_dict(), "groups": json.loads(json.dumps(opt.state_dict()["groups"]))}
    for there in (opt, loaded(saved)):  # the same where the optimizer was saved in between
        cosine = optim.CosineAnnealingLR(there, 10)
        assert (lr_of(there), cosine.base_lrs) == ([1.0, 0.5], [1.0, 0.5])


def test_the_first_learning_rates_are_in_a_checkpoint(tmp_path):
    def parts():
        model = nn.Linear(2, 1)
        return model, optim.Adam(model.named_parameters(), lr=0.5)

    model, opt = parts()
    optim.StepLR(opt, 1, 0.1).step()
    save_checkpoint(tmp_path / "last.safetensors", model, opt)
    model, opt = parts()
    load_checkpoint(tmp_path / "last.safetensors", model, opt)
    assert lr_of(opt) == [pytest.approx(0.05)]
    assert optim.LinearLR(opt, 1.0).base_lrs == [0.5]


def test_states_without_first_learning_rates_change_none():
    saved = two_groups(lr=0.25).state_dict()  # no schedule was made, as in files of older versions, too
    opt = two_groups()
    schedule = optim.StepLR(opt, 1, 0.5)
    state = schedule.state_dict()
    opt.load_state_dict(saved)
    assert schedule.base_lrs == [1.0, 0.5]
    with pytest.raises(errors.OptionError, match="a loaded state"):
        schedule.step()
    schedule.load_state_dict(state)
    schedule.step()
    assert lr_of(opt) == [0.5, 0.25]


@pytest.mark.parametrize("wrong", [-1.0, "1", float("nan"), None])
def test_first_learning_rates_that_are_none_are_refused(wrong):
    opt = two_groups()
    schedule = optim.StepLR(opt, 1, 0.5)
    saved = opt.state_dict()
    saved["groups"] = copy.deepcopy(saved["groups"])
    saved["groups"][1]["initial_lr"] = wrong
    with pytest.raises(errors.OptionError, match="initial_lr must be a finite number >= 0"):
        opt.load_state_dict(saved)
    assert schedule.base_lrs == [1.0, 0.5]


# --- NumPy's numbers ---------------------------------------------------------------------------


def test_comparisons_take_numpys_numbers_and_keep_them_in_a_file(tmp_path):
    file = tmp_path / "trials.jsonl"
    entries = [Entry("a", "adam", {"lr": np.float32(0.25), "betas": (np.float64(0.5), 0.75)})]
    (result,) = compare(TINY, entries, np.arange(2), Inline(), path=file)
    assert list(result.outcomes) == [0, 1]
    _, there, seeds, done = read_comparison(file)
    assert (there, seeds, done) == ([Entry("a", "adam", {"lr": 0.25, "betas": (0.5, 0.75)})], [0, 1], 2)
    asked = []
    compare(TINY, entries, [np.int64(0), 1], Inline(), lambda *each: asked.append(each), file)
    assert asked == []  # it is the same comparison


@pytest.mark.parametrize("seeds", [[0, 1.0], [True], [-1], ["0"]])
def test_other_seeds_are_refused(seeds):
    with pytest.raises(errors.OptionError, match="compare: a seed must be an integer >= 0"):
        compare(TINY, [Entry.parse("adam")], seeds, Inline())


@pytest.mark.parametrize(
    ("space", "options", "tried"),
    [
        ({"lr": np.array([0.25, 0.5], np.float32)}, {}, [{"lr": 0.25}, {"lr": 0.5}]),
        ({"lr": Range("lr", np.float32(0.25), 1)}, {"points": np.int64(2)}, [{"lr": 0.25}, {"lr": 1.0}]),
        ({"amsgrad": np.array([True])}, {"trials": np.int64(1)}, [{"amsgrad": True}]),
    ],
)
def test_searches_take_numpys_numbers_and_keep_them_in_a_file(tmp_path, space, options, tried):
    file = tmp_path / "trials.jsonl"
    trials = Search(TINY, space, **options).run(file, Inline())
    assert [(trial.status, trial.settings) for trial in trials] == [("ok", settings) for settings in tried]
    again = Search.open(file)
    assert again.settings == tried
    assert again.run(file, Inline()) == trials


@pytest.mark.parametrize("options", [{"points": 2.0}, {"trials": 1.5}, {"trials": "3"}])
def test_other_counts_are_refused(options):
    (name,) = options
    with pytest.raises(errors.OptionError, match=f"{name} must be an integer"):
        Search(TINY, {"lr": [0.1]}, **options)


def test_runs_take_arrays_of_numpy_as_settings():
    config = RunConfig(schedule="multi-step", schedule_settings={"milestones": np.array([3, 5])})
    assert json.loads(json.dumps(config.schedule_settings)) == {"milestones": [3, 5]}


# --- Shared ------------------------------------------------------------------------------------


def test_lists_and_dicts_of_an_optimizer_of_ones_own_stay_the_same_objects():
    class Logging(optim.SGD):
        def __init__(self, params, log, table):
            self.log, self.table = log, table
            super().__init__(params, lr=0.5)

    log, table = [1], {"a": (0.5, "b")}
    opt = Logging([nn.Parameter([1.0])], log, table)
    log.append(2)
    assert opt.log is log
    assert opt.table is table
    opt.log = [np.int64(3)]
    opt.table = {"a": (np.float32(0.5), [np.True_])}
    assert str((opt.log, opt.table)) == "([3], {'a': (0.5, [True])})"


def test_the_rate_of_a_group_under_another_name_is_refused_with_the_right_one():
    with pytest.raises(errors.OptionError, match="is called 'lr'"):
        two_groups().param_groups[0]["learning_rate"] = 0.1
