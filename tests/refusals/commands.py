"""Wrong calls of the command line."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import re
import sys
from unittest import mock

import numpy as np
import pytest

typer = pytest.importorskip("typer.main")

from tinygrad_adam import cli, training  # noqa: E402

SMALL = ("--model", "mlp:3", "--epochs", "1", "--batch-size", "1024")


built_once = functools.cache(typer.get_command)
"""Reading the options of all commands takes longer than a wrong call."""


class Refused(Exception):
    """The message of a command that ended with an error; its kind is the class it names, or the exit code."""

    def __init__(self, code, text):
        kind, _, rest = text.partition(": ")
        self.kind = kind if code == 1 and re.fullmatch(r"\w+Error", kind) else f"exit {code}"
        super().__init__(rest if self.kind == kind else " ".join(re.sub(r"[─│╭╮╰╯]", " ", text).split()))


def command(*args):
    """Return a function that calls the command line."""

    def call():
        shown = io.StringIO()
        environment = mock.patch.dict("os.environ", COLUMNS="200", NO_COLOR="1", TERM="dumb")
        arguments = mock.patch.object(sys, "argv", ["tinygrad-adam", *map(str, args)])
        built = mock.patch("typer.main.get_command", built_once)
        silent = contextlib.redirect_stdout(io.StringIO())
        with environment, arguments, built, silent, contextlib.redirect_stderr(shown):
            try:
                cli.main()
            except SystemExit as error:
                if error.code:
                    raise Refused(error.code, shown.getvalue()) from None

    return call


def of_a_run(*args, **changes):
    """Return a function that makes a folder of a run without a checkpoint, and calls the command line."""

    def call(folder):
        training.Run.start(training.RunConfig(model="mlp:3", epochs=1), folder / "run")
        path = folder / "run" / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
        command(*args)()

    return call


def with_a_file(name, content, *args):
    """Return a function that writes a file, and calls the command line."""

    def call(folder):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
        command(*args)()

    return call


def predicted(array):
    """Return a function that predicts the class of an array."""

    def call(folder):
        run = training.Run.start(training.RunConfig(model="mlp:2", epochs=1, batch_size=1024), folder / "run")
        run.fit()
        np.save(folder / "image.npy", array)
        command("predict", "run", "image.npy")()

    return call


def train(*args):
    return command("train", *SMALL, "--out", "run", *args)


NET = "from tinygrad_adam import nn\ndef number(input_shape, classes):\n    return 3\n"

CALLS = {
    **{
        f"train {' '.join(options)}": train(*options)
        for options in [
            ("--data", "mnits"), ("--model", "mpl:3"), ("--model", "mlp:0"), ("--model", "mlp:a"),
            ("--optimizer", "adamww"), ("--schedule", "cosin"), ("--schedule", "step"),
            ("--schedule", "step", "--schedule-set", "step=3"), ("--schedule-set", "t_max"),
            ("--schedule-set", "t_max=0"), ("--schedule-per", "week"),
            ("--schedule", "plateau", "--schedule-per", "step"), ("--set", "beta=0.9,0.9"),
            ("--set", "beta1=1.5"), ("--film", "film.txt"), ("--set", "momentum=0.9"), ("--set", "betas"),
            ("--set", "eps=tiny"), ("--set", "eps=1e"), ("--set", "betas=0.9"), ("--set", "betas=0.9,1"),
            ("--epochs", "0"), ("--batch-size", "0"), ("--seed", "-1"), ("--lr", "-1"), ("--lr", "nan"),
            ("--weight-decay", "-0.1"), ("--dropout", "1"), ("--dropout", "-0.1"), ("--patience", "0"),
            ("--max-grad-norm", "0"), ("--device", "gpu"), ("--threads", "0"), ("--epoch", "3"),
            ("--lr", "much"), ("--model", "gone.py:net"),
        ]
    },
    "a misspelled command": command("trian"),
    "predict without an image": command("predict", "somewhere"),
    "predict of no class": command("predict", "a", "b", "--top", "0"),
    "train into a folder that is there": with_a_file("run/notes.txt", "", "train", *SMALL, "--out", "run"),
    "train over other files": with_a_file(
        "run/thesis.tex", "", "train", *SMALL, "--out", "run", "--overwrite"
    ),
    "train of a function that is not there": with_a_file(
        "net.py", NET, "train", "--out", "run", "--model", "net.py:nmber"
    ),
    "train of a function that returns a number": with_a_file(
        "net.py", NET, "train", "--out", "run", "--model", "net.py:number"
    ),
    "train of a file that does not end": with_a_file(
        "net.py", "def build(:", "train", "--out", "run", "--model", "net.py:build"
    ),
    "resuming what is not there": command("train", "--resume", "gone"),
    "resuming what is no run": command("train", "--resume", "."),
    "resuming before a checkpoint": of_a_run("train", "--resume", "run"),
    "resuming with other options": of_a_run("train", "--resume", "run", "--epochs", "9", "--set", "a=1"),
    "evaluating what is not there": command("evaluate", "gone"),
    "evaluating before a checkpoint": of_a_run("evaluate", "run"),
    "evaluating a damaged configuration": of_a_run("evaluate", "run", epochs="many"),
    "evaluating on an unknown device": of_a_run("evaluate", "run", "--device", "gpu"),
    "predict of what is not there": command("predict", "gone", "image.npy"),
    "predict of another shape": predicted(np.zeros((9, 8))),
    "predict of nan": predicted(np.full((8, 8), np.nan)),
    "predict of what is too bright": predicted(np.full((8, 8), 17)),
    "explain of what is not there": command("explain", "gone"),
    "explain before a checkpoint": of_a_run("explain", "run", "1.weight"),
    **{
        f"compare {' '.join(options)}": command("compare", *SMALL, *options, "--out", "results")
        for options in [
            ("--optimizer", "adamm"), ("--optimizer", "adam:beta3=1"), ("--optimizer", "sgd:beta1=0.9"),
            ("--optimizer", "adam:lr"), ("--optimizer", "adam:lr=much"), ("--optimizer", "adam:lr=-1"),
            ("--optimizer", "adam", "--optimizer", "adam"), ("--optimizer", "adam", "--seeds", "0"),
            ("--optimizer", "adam", "--schedule", "cosin"),
        ]
    },
    "compare into a folder that is there": with_a_file(
        "mine/notes.txt", "", "compare", *SMALL, "--optimizer", "adam", "--out", "mine"
    ),
    "going on with a comparison that is not there": command("compare", "--resume", "gone"),
    **{
        f"tune {' '.join(options)}": command("tune", *SMALL, *options, "--out", "search")
        for options in [
            ("--space", "lr=1..0.1"), ("--space", "lr=0..1"), ("--space", "lr"),
            ("--space", "beta2=0.9,1"), ("--space", "lr=0.1", "--space", "lr=0.2"),
            ("--space", "beta9=0.1"), ("--space", "lr=0.1,much"), ("--trials", "0"), ("--points", "1"),
            ("--points", "3", "--trials", "3"), ("--set", "betas=0.9", "--space", "beta1=0.5"),
        ]
    },
    "going on with a search that is not there": command("tune", "--resume", "gone"),
    "going on with a search of notes": with_a_file("old/trials.jsonl", "notes\n", "tune", "--resume", "old"),
    **{
        f"lr-find {' '.join(options)}": command("lr-find", "--model", "mlp:3", *options, "--out", "a.png")
        for options in [("--low", "0"), ("--steps", "5"), ("--optimizer", "adm"), ("--low", "20")]
    },
    "lr-find into a file that is there": with_a_file("a.png", "mine", "lr-find", "--out", "a.png"),
    **{
        f"race {' '.join(options)}": command("race", *options)
        for options in [
            ("--surface", "beal"), ("--optimizers", "sgd,adm"), ("--optimizers", "sgd,sgd"),
            ("--optimizers", "adam:lr"), ("--lr", "-1"), ("--steps", "0"), ("--plane", "around"),
            ("--run", "nowhere"), ("--run", "nowhere", "--surface", "beale"),
            ("--run", "nowhere", "--plane", "arond"), ("--out", "race.txt"),
        ]
    },
    "race into a file that is there": with_a_file("a.gif", "mine", "race", "--out", "a.gif"),
    "selfcheck on an unknown device": command("selfcheck", "--device", "gpu"),
}  # fmt: skip
