"""Progress of `fit`: shown once where people look, nowhere else, and at no cost to the numbers."""

import contextlib
import io
import os
import subprocess
import sys
import threading

import pytest
from terminal import Terminal, terminal
from trainings import EPOCHS as ALL
from trainings import At, bits, ctrl_c, finished, make, rows, stop, validation

from tinygrad_adam.errors import NonFiniteError, OptionError
from tinygrad_adam.explain import take_next_step
from tinygrad_adam.training import Callback, PlainDisplay, RichDisplay, Run, RunConfig, display, run_trial
from tinygrad_adam.training.many.lr_finder import lr_find

posix = pytest.mark.skipif(os.name == "nt", reason="terminals of POSIX")
TINY = RunConfig(data="digits", model="mlp:4", epochs=2, batch_size=512)


@pytest.fixture(autouse=True)
def a_terminal_with_colors(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")


def epochs_of(shown):
    """Return the numbers of the epochs whose lines stand on the screen."""
    return [int(line.split()[1].partition("/")[0]) for line in shown.lines if line.startswith("epoch")]


# --- Where it is shown -------------------------------------------------------------------


@posix
@pytest.mark.parametrize("rich", [True, False])
def test_a_terminal_shows_one_line_an_epoch(rich, monkeypatch):
    if rich:
        pytest.importorskip("rich")
    else:
        monkeypatch.setattr(display.importlib.util, "find_spec", lambda name: None)
    trainer, loader = make()
    with terminal() as shown:
        history = trainer.fit(loader, 3, validation())
    assert shown.lines == [display.summary_line(row, 3) for row in history]
    assert ("/4 batches" in shown.text) == rich


def test_nothing_is_shown_in_captured_output_and_in_pipes(capfd):
    trainer, loader = make()
    trainer.fit(loader, 1)
    with contextlib.redirect_stdout(io.StringIO()) as captured:
        trainer.fit(loader, 2)
    assert captured.getvalue() == ""
    assert capfd.readouterr() == ("", "")


def test_true_prints_lines_anywhere(capsys):
    trainer, loader = make()
    trainer.fit(loader, 2, progress=True)
    assert capsys.readouterr().out.splitlines() == [display.summary_line(row, 2) for row in trainer.history]


@posix
def test_false_shows_nothing():
    trainer, loader = make()
    with terminal() as shown:
        trainer.fit(loader, 2, progress=False)
    assert shown.text == ""


@pytest.mark.parametrize("progress", ["bar", 2, [True]])
def test_other_values_are_refused(progress):
    trainer, loader = make()
    with pytest.raises(OptionError, match=r"Trainer\.fit: progress must be True, False or None"):
        trainer.fit(loader, 1, progress=progress)


# --- Never twice -------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("progress", [None, True])
@pytest.mark.parametrize("kind", [PlainDisplay, RichDisplay])
def test_a_display_among_the_callbacks_is_the_only_one(kind, progress):
    pytest.importorskip("rich")
    trainer, loader = make(callbacks=[kind()])
    with terminal() as shown:
        trainer.fit(loader, 3, progress=progress)
    assert epochs_of(shown) == [1, 2, 3]


@posix
def test_a_training_within_a_training_is_silent():
    def train_another(trainer):
        other, loader = make()
        other.fit(loader, 9)

    trainer, loader = make(callbacks=[At(train_another, step=2), At(train_another, epoch=1)])
    with terminal() as shown:
        trainer.fit(loader, 2)
    assert epochs_of(shown) == [1, 2]
    assert "/9" not in shown.text


@posix
def test_a_training_within_a_training_that_shall_be_shown_prints_lines():
    def train_another(trainer):
        other, loader = make()
        other.fit(loader, 2, progress=True)

    trainer, loader = make(callbacks=[At(train_another, step=2)])
    with terminal() as shown:
        trainer.fit(loader, 3)
    assert [line.split("  ")[0] for line in shown.lines] == [
        "epoch 1/2", "epoch 2/2", "epoch 1/3", "epoch 2/3", "epoch 3/3",
    ]  # fmt: skip


@posix
def test_of_two_threads_one_is_shown():
    inside, over = threading.Event(), threading.Event()
    outer, loader = make(callbacks=[At(lambda t: (inside.set(), over.wait(60)), step=1)])
    thread = threading.Thread(target=lambda: outer.fit(loader, 2))
    with terminal() as shown:
        thread.start()
        assert inside.wait(60)
        other, own_loader = make()
        other.fit(own_loader, 9)
        over.set()
        thread.join()
    assert epochs_of(shown) == [1, 2]
    assert "/9" not in shown.text


@posix
def test_trials_sweeps_and_the_next_step_of_a_run_show_nothing(tmp_path):
    run = Run.start(TINY, tmp_path / "run")
    with terminal() as shown:
        run.train()
    assert epochs_of(shown) == [1, 2]
    trainer, loader = make()
    with terminal() as shown:
        assert run_trial(TINY, warm=True).status == "ok"
        lr_find(trainer, loader, steps=40)
        take_next_step(tmp_path / "run")
    assert shown.text == ""


@posix
@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "lines"),
    [
        ("train", 2),
        ("compare --optimizer adam --optimizer sgd --seeds 1", 0),
        ("tune --space lr=0.1,0.01", 0),
    ],
)
def test_commands_show_each_epoch_once(command, lines, tmp_path):
    pytest.importorskip("typer")
    words = [*command.split(), "--model", "mlp:4", "--epochs", "2", "--batch-size", "512"]
    import pty

    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "150"}
    running = subprocess.Popen(
        [sys.executable, "-m", "tinygrad_adam", *words],
        stdout=slave,
        stderr=slave,
        cwd=tmp_path,
        env=environment,
    )
    os.close(slave)
    shown, chunks = Terminal(), []
    with contextlib.suppress(OSError):
        while chunk := os.read(master, 4096):
            chunks.append(chunk)
    os.close(master)
    shown.text = b"".join(chunks).decode()
    assert running.wait() == 0, shown.text
    assert len([line for line in shown.lines if line.startswith("epoch ")]) == lines
    assert ("batches" in shown.text) == bool(lines)


# --- Its end -----------------------------------------------------------------------------

SHOWN_CURSOR, HIDDEN_CURSOR = "\x1b[?25h", "\x1b[?25l"


class Fault(Exception):
    pass


def fail(trainer):
    raise Fault


class FailsAtTheStart(Callback):
    def on_fit_start(self, trainer):
        raise Fault


def the_screen_is_free():
    free = display._screen.acquire(blocking=False)
    if free:
        display._screen.release()
    return free


@posix
@pytest.mark.parametrize("callbacks", [lambda: [At(fail, step=6)], lambda: [FailsAtTheStart()],
                                       lambda: [RichDisplay(), FailsAtTheStart()]])  # fmt: skip
def test_after_an_error_the_terminal_is_as_before(callbacks):
    pytest.importorskip("rich")
    trainer, loader = make(callbacks=callbacks())
    out = sys.stdout
    with terminal() as shown:
        inside = sys.stdout
        with pytest.raises(Fault):
            trainer.fit(loader, 4)
        assert sys.stdout is inside
    assert sys.stdout is out
    assert shown.text.count(SHOWN_CURSOR) == shown.text.count(HIDDEN_CURSOR)
    assert the_screen_is_free()
    assert [line for line in shown.lines if "batches" in line] == []


@posix
@pytest.mark.parametrize(
    ("end", "reason"), [(stop, "enough"), (ctrl_c, "interrupted")], ids=["stop", "ctrl-c"]
)
def test_a_stop_in_the_middle_of_an_epoch_says_where_and_why(end, reason):
    trainer, loader = make(callbacks=[At(end, step=6)])
    with terminal() as shown:
        trainer.fit(loader, ALL)
    assert [line.partition("  ")[0] for line in shown.lines] == [
        "epoch 1/4",
        f"stopped in epoch 2/4 after batch 2/4: {reason}",
    ]
    with terminal() as shown:
        trainer.fit(loader, ALL)
    assert epochs_of(shown) == [2, 3, 4]


@posix
def test_a_stop_after_an_epoch_says_why():
    trainer, loader = make(callbacks=[At(stop, epoch=2)])
    with terminal() as shown:
        trainer.fit(loader, ALL)
    assert shown.lines[-1] == "stopped after epoch 2/4: enough"


@posix
@pytest.mark.parametrize("rich", [True, False])
def test_a_terminal_that_is_closed_meanwhile_does_not_end_the_training(rich, monkeypatch):
    if not rich:
        monkeypatch.setattr(display.importlib.util, "find_spec", lambda name: None)

    class Closing(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdout", Closing())
    trainer, loader = make(callbacks=[At(lambda t: closing.close(), step=5)])
    closing = sys.stdout
    trainer.fit(loader, ALL, validation())
    assert rows(trainer) == finished("adam")[2]
    assert the_screen_is_free()


@pytest.mark.parametrize("stdout", [None, "closed", object()])
def test_without_a_stdout_nothing_is_shown(stdout, monkeypatch):
    if stdout == "closed":
        stdout = io.StringIO()
        stdout.close()
    monkeypatch.setattr(sys, "stdout", stdout)
    trainer, loader = make()
    assert len(trainer.fit(loader, 1)) == 1


def test_lines_that_were_asked_for_and_cannot_be_written_are_an_error(monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    trainer, loader = make()
    with pytest.raises(ValueError, match="closed file"):
        trainer.fit(loader, 1, progress=True)
    assert the_screen_is_free()


# --- What it costs -----------------------------------------------------------------------


@posix
def test_the_numbers_are_the_same_to_the_last_bit(tmp_path):
    trainer, loader = make()
    with terminal():
        trainer.fit(loader, ALL, validation())
    assert (bits(trainer), rows(trainer)) == finished("adam")[1:]


@posix
def test_a_checkpoint_does_not_mention_it(tmp_path):
    files = []
    for progress in (False, None):
        trainer, loader = make(callbacks=[At(lambda t: t.save(files[-1]), step=6)])
        files.append(tmp_path / f"{progress}.safetensors")
        with terminal():
            trainer.fit(loader, 2, progress=progress)
        fresh, _ = make()
        fresh.load(files[-1])
        assert (fresh.epoch, fresh.batch, fresh.callbacks) == (1, 2, [])


class Counting(display.Display):
    """Keeps the states that it would show."""

    def __init__(self):
        self.bars, self.lines = [], []

    def _bar(self, *state):
        self.bars.append(state)

    def _line(self, text):
        self.lines.append(text)


def test_the_bar_and_the_loss_are_looked_at_ten_times_a_second(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    counting = Counting()

    class Slow(Callback):
        def on_step_end(self, trainer):
            now[0] += 0.04

    trainer, loader = make(callbacks=[Slow(), counting])
    looked = []
    monkeypatch.setattr(
        type(trainer), "last_loss", property(lambda self: looked.append(self.step) or float(self._last_loss))
    )
    trainer.fit(loader, 4)
    assert [state[:3] for state in counting.bars] == [
        ("epoch 1/4", 0, 4), ("epoch 1/4", 3, 4), ("epoch 2/4", 2, 4), ("epoch 3/4", 1, 4),
        ("epoch 3/4", 4, 4), ("epoch 4/4", 3, 4),
    ]  # fmt: skip
    assert looked == [3, 6, 9, 12, 15]


def test_many_quick_epochs_have_few_lines_and_the_last_one_has_its_own():
    counting = Counting()
    trainer, loader = make(callbacks=[counting])
    frozen = display.time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(display.time, "monotonic", lambda: frozen)
        trainer.fit(loader, 120)
    shown = [int(line.split()[1].partition("/")[0]) for line in counting.lines]
    assert shown == [1, *range(3, 121, 3)]


def test_slow_epochs_have_a_line_each(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    counting = Counting()
    trainer, loader = make(callbacks=[counting])
    later = At(None)
    later.on_epoch_end = lambda trainer: now.__setitem__(0, now[0] + 1.0)
    trainer.callbacks.insert(0, later)
    trainer.fit(loader, 60)
    assert len(counting.lines) == 60


def test_the_error_of_a_training_is_not_hidden():
    trainer, loader = make(loss=lambda output, target: output.sum() * float("nan"))
    with pytest.raises(NonFiniteError):
        trainer.fit(loader, 1, progress=True)
    assert the_screen_is_free()
