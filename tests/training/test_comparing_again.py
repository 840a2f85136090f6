"""Comparisons that go on: after a process died, after an executor failed, and from their file."""

import asyncio
import dataclasses
import json
import math
import os
import threading
from concurrent import futures
from pathlib import Path

import pytest
from executors import Inline

from tinygrad_adam.errors import CheckpointError, StateError, TinygradAdamError
from tinygrad_adam.training import Entry, Outcome, RunConfig, Search, compare, process_pool
from tinygrad_adam.training.many import comparison, parallel, results

TINY = RunConfig(model="mlp:3", epochs=1, batch_size=2048)
TWO = [Entry.parse("adam"), Entry.parse("momentum")]


def summary(results):
    """What a comparison came to, but for the seconds."""
    found = {}
    for result in results:
        for seed, outcome in result.outcomes.items():
            values = dataclasses.asdict(outcome)
            for row in values["rows"]:
                del row["seconds"]
            found[result.entry.label, seed] = str(values)  # NaN is equal to NaN there
    return found, [result.entry for result in results]


# --- Processes that die --------------------------------------------------------------------


def work(job):
    """Die always, or the first time, or tell what one was given."""
    kind, place = job
    if kind == "deadly" or (kind == "deadly once" and not Path(place).exists()):
        Path(place).touch()
        os._exit(9)
    return kind


@pytest.mark.slow
def test_a_job_that_kills_its_process_does_not_end_the_others(tmp_path):
    kinds = ["a", "deadly", "b", "deadly once", "c"]
    jobs = {number: (kind, str(tmp_path / str(number))) for number, kind in enumerate(kinds)}
    with process_pool(2) as pool:
        found = dict(parallel.as_they_finish(pool, work, jobs, lambda problem: problem))
    assert found.pop(1).startswith("a worker process died")
    assert found == {0: "a", 2: "b", 3: "deadly once", 4: "c"}


class Dying(parallel.Workers):
    """Workers without processes: a moment after the first job comes, all that are there are done or lost."""

    def __init__(self, count, deadly):
        self.count, self.deadly, self.waiting, self.lock = count, deadly, {}, threading.Lock()

    def again(self):
        return Dying(self.count, self.deadly)

    def shutdown(self, *args, **kwargs):
        pass

    def submit(self, function, job, **settings):
        future = futures.Future()
        with self.lock:
            if not self.waiting:
                threading.Timer(0.02, self.work).start()
            self.waiting[future] = job
        assert len(self.waiting) <= self.count
        return future

    def work(self):
        with self.lock:
            ended, self.waiting = self.waiting, {}
        fatal = [job for job in ended.values() if self.deadly[job]]
        if fatal:
            self.deadly[fatal[0]] -= 1
        for future, job in ended.items():
            if fatal:
                future.set_exception(futures.process.BrokenProcessPool("it died"))
            else:
                future.set_result(job)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_jobs_that_were_under_way_when_a_process_died_are_done_again(count):
    jobs = {name: name for name in ("a", "deadly", "b", "deadly once", "c", "d")}
    deadly = dict.fromkeys(jobs, 0) | {"deadly": 99, "deadly once": 1}
    found = dict(parallel.as_they_finish(Dying(count, deadly), None, jobs, lambda problem: problem))
    assert found.pop("deadly").startswith("a worker process died")
    assert found == {name: name for name in jobs if name != "deadly"}
    assert deadly["deadly"] == 97  # once among others, once alone


def test_without_a_result_for_it_a_death_is_an_error():
    pool = Dying(1, {0: 0, 1: 99, 2: 0})
    with pytest.raises(TinygradAdamError, match=r"worker process died.*--workers\n +done +1 of 3: 0$"):
        list(parallel.as_they_finish(pool, None, {0: 0, 1: 1, 2: 2}))
    assert pool.deadly[1] == 97


def test_processes_that_all_die_are_not_made_for_ever():
    """As in a script without ``if __name__ == "__main__"``, where each of them dies at once."""
    deadly = dict.fromkeys(range(6), 99)
    with pytest.raises(TinygradAdamError, match=r"worker process died"):
        list(parallel.as_they_finish(Dying(1, deadly), None, {n: n for n in deadly}, Outcome.of_a_death))
    assert sum(deadly.values()) == 6 * 99 - parallel.DEATHS - 1


# --- Executors of others -------------------------------------------------------------------


class Failing(Inline):
    """Does some jobs, and fails then."""

    def __init__(self, good, error, at_once=False):
        super().__init__()
        self.good, self.error, self.at_once = good, error, at_once

    def submit(self, function, /, *args, **kwargs):
        if self.good == 0:
            if self.at_once:
                raise self.error
            future = futures.Future()
            future.set_exception(self.error)
            return future
        self.good -= 1
        return super().submit(function, *args, **kwargs)


@pytest.mark.parametrize("at_once", [False, True], ids=["later", "at once"])
@pytest.mark.parametrize(
    "error",
    [
        futures.BrokenExecutor(),
        futures.process.BrokenProcessPool("a child is gone"),
        futures.thread.BrokenThreadPool("no thread"),
        futures.CancelledError(),
        asyncio.CancelledError(),
        OSError("the scheduler is gone"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_executor_that_fails_says_what_is_done(tmp_path, error, at_once):
    path = tmp_path / "trials.jsonl"
    with pytest.raises(TinygradAdamError) as caught:
        compare(TINY, TWO, [0, 1], Failing(3, error, at_once), path=path)
    assert "done  3 of 4: adam, 0; momentum, 0; adam, 1" in str(caught.value)
    assert type(error).__name__ in str(caught.value) or "process died" in str(caught.value)
    again = Inline()
    compare(TINY, TWO, [0, 1], again, path=path)
    assert len(again.calls) == 1


# --- The file ------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 7], ids=["whole", "last line cut"])
def test_a_comparison_goes_on_where_it_stopped(tmp_path, cut):
    path = tmp_path / "new" / "trials.jsonl"
    whole = summary(compare(TINY, TWO, [0, 1], Inline()))
    with pytest.raises(KeyboardInterrupt):
        compare(TINY, TWO, [0, 1], Inline(interrupt_before=3), path=path)
    if cut:
        path.write_bytes(path.read_bytes()[:-cut])
    rest, reported = Inline(), []
    assert comparison.read_comparison(path) == (TINY, TWO, [0, 1], 2 if cut else 3)
    found = compare(TINY, TWO, [0, 1], rest, lambda *each: reported.append(each[:2]), path)
    assert summary(found)[0] == whole[0]
    assert len(rest.calls) == len(reported) == (2 if cut else 1)
    nothing = Inline()
    assert summary(compare(TINY, TWO, [0, 1], nothing, path=path)) == summary(found)
    assert nothing.calls == []


def test_what_diverged_is_kept_and_what_failed_is_tried_again(tmp_path):
    path = tmp_path / "trials.jsonl"
    entries = [Entry.parse("sgd:lr=1e30"), Entry.parse("adam")]
    config = dataclasses.replace(TINY, model="mlp:6", epochs=2, batch_size=512, schedule="constant")
    first = compare(config, entries, [0], Inline(), path=path)
    assert {result.entry.label: result.outcomes[0].status for result in first} == {
        "sgd:lr=1e30": "diverged",
        "adam": "ok",
    }
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[2]["status"], lines[2]["error"] = "failed", "the machine was switched off"
    lines[2]["rows"][0]["loss"] = None
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    again = Inline()
    second = compare(config, entries, [0], again, path=path)
    assert len(again.calls) == 1
    assert summary(second) == summary(first)


def test_numbers_that_are_not_finite_come_back_as_nan(tmp_path):
    path = tmp_path / "trials.jsonl"
    compare(TINY, TWO[:1], [0], Inline(), path=path)
    header, line = (json.loads(text) for text in path.read_text().splitlines())
    line["test"]["loss"] = None
    path.write_text(f"{json.dumps(header)}\n{json.dumps(line)}\n")
    (result,) = compare(TINY, TWO[:1], [0], Inline(), path=path)
    assert math.isnan(result.outcomes[0].test["loss"])


@pytest.mark.parametrize(
    ("change", "saying"),
    [
        ({"seeds": [0, 1]}, r"seeds: \[0\] there, \[0, 1\] here"),
        ({"entries": TWO}, "entries: "),
        ({"config": dataclasses.replace(TINY, batch_size=1024)}, "config: .*2048.*1024"),
    ],
    ids=["seeds", "entries", "config"],
)
def test_the_file_of_another_comparison_is_refused(tmp_path, change, saying):
    path = tmp_path / "trials.jsonl"
    asked = {"config": TINY, "entries": TWO[:1], "seeds": [0]}
    compare(*asked.values(), Inline(), path=path)
    before = path.read_bytes()
    with pytest.raises(StateError, match=f"of another comparison(.|\n)*{saying}"):
        compare(*{**asked, **change}.values(), Inline(), path=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "kind", ["folder", "absent", "text", "search", "foreign training", "foreign setting"]
)
def test_other_files_are_refused(tmp_path, kind):
    path = tmp_path / "trials.jsonl"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("these are notes\n")
    elif kind == "search":
        Search(TINY, {"lr": [0.1]}).run(path, Inline())
    elif kind == "foreign training":
        compare(TINY, TWO[:1], [0], Inline(), path=path)
        path.write_text(path.read_text().replace('"seed": 0, "status"', '"seed": 1, "status"'))
    elif kind == "foreign setting":
        compare(TINY, TWO[:1], [0], Inline(), path=path)
        path.write_text(path.read_text().replace('"batch_size"', '"batches"'))
    with pytest.raises(CheckpointError, match="results file"):
        comparison.read_comparison(path)
    if kind in ("folder", "search"):
        with pytest.raises(CheckpointError, match="results file"):
            Search.open(tmp_path / "trials.jsonl" if kind == "folder" else tmp_path / "x")


def test_a_disk_that_is_full_ends_a_comparison_and_keeps_what_was_done(tmp_path, monkeypatch):
    path, append = tmp_path / "trials.jsonl", comparison.append_result

    def full(where, record):
        if record.get("seed") == 1:
            raise OSError(28, "No space left on device")
        append(where, record)

    monkeypatch.setattr(comparison, "append_result", full)
    with pytest.raises(OSError, match="No space"):
        compare(TINY, TWO[:1], [0, 1], Inline(), path=path)
    monkeypatch.undo()
    again = Inline()
    compare(TINY, TWO[:1], [0, 1], again, path=path)
    assert len(again.calls) == 1


def test_a_disk_with_room_for_half_a_line_ends_a_comparison_too(tmp_path):
    resource = pytest.importorskip("resource")
    path, before = tmp_path / "trials.jsonl", resource.getrlimit(resource.RLIMIT_FSIZE)
    compare(TINY, TWO[:1], [0], Inline(), path=path)
    whole = path.read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 20, before[1]))  # the kernel then writes a part
    try:
        with pytest.raises(OSError, match="No space"):
            results.append_result(path, {"optimizer": "adam", "seed": 0, "status": "ok"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(path.read_bytes()) == len(whole) + 20
    assert comparison.read_comparison(path)[3] == 1
    assert path.read_bytes() == whole
