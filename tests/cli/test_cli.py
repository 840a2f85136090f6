"""The command line, as its users meet it."""

import json
import math
import os
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import FILES, PNG, SMALL, module, outcome

pytest.importorskip("typer")
image_library = pytest.importorskip("PIL.Image")

from typer.testing import CliRunner  # noqa: E402

import tinygrad_adam as tg  # noqa: E402
from tinygrad_adam import cli, optim  # noqa: E402
from tinygrad_adam.data import load_digits  # noqa: E402
from tinygrad_adam.training import Run, RunConfig  # noqa: E402

pytestmark = pytest.mark.versions


@pytest.fixture
def train(call, no_pictures, tmp_path):
    return lambda *args, out="run": call("train", *SMALL, "--out", tmp_path / out, *args)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that was trained well enough to know its digits."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    config = RunConfig(model="mlp:48", epochs=8, settings={"lr": 0.01}, dropout=0.1)
    Run.start(config, folder).fit()
    return folder


# --- Training ----------------------------------------------------------------------------


def test_train_leaves_a_whole_run(call, tmp_path):
    run = tmp_path / "run"
    answer = call("train", *SMALL, "--out", run)
    assert answer.code == 0
    assert answer.err == ""
    assert sorted(p.name for p in run.iterdir()) == FILES
    assert (run / "curves.png").read_bytes()[:8] == (run / "predictions.png").read_bytes()[:8] == PNG
    with image_library.open(run / "predictions.png") as picture:
        picture.verify()
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    for row in rows:
        assert f"(validation {row['val_accuracy']:.2%})" in answer.out
    assert "3,441 images to train on, 382 to validate, 1,797 to test" in answer.out
    assert "1,810 parameters" in answer.out
    config = json.loads((run / "config.json").read_text())
    assert config["version"] == tg.__version__
    assert (config["model"], config["epochs"], list(config["settings"])) == ("mlp:24", 2, ["lr"])


def test_config_repeats_the_run(train, tmp_path):
    settings = ["--set", "betas=0.8,0.9", "--set", "amsgrad=True", "--weight-decay", "0.01"]
    train(*settings, "--optimizer", "adamw", "--seed", 5, "--max-grad-norm", "1", "--schedule", "constant")
    values = json.loads((tmp_path / "run" / "config.json").read_text())
    values.pop("version")
    Run.start(RunConfig(**values), tmp_path / "again").fit()
    assert outcome(tmp_path / "again") == outcome(tmp_path / "run")
    train("--seed", "6", out="other")
    assert outcome(tmp_path / "other") != outcome(tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "settings", "lrs"),
    [
        ("constant", {}, [1, 1, 1, 1]),
        ("cosine", {}, [1, 0.5 + math.sqrt(0.5) / 2, 0.5, 0.5 - math.sqrt(0.5) / 2, 0]),
        ("cosine", {"t_max": 2}, [1, 0.5, 0]),
        ("polynomial", {"power": 2}, [1, 9 / 16, 1 / 4, 1 / 16, 0]),
        ("step", {"step_size": 2, "gamma": 0.5}, [1, 1, 0.5, 0.5]),
        ("one-cycle", {"pct_start": 0.5}, [1 / 25, 1, 0.500002, 1 / 250_000]),
        ("inverse-sqrt", {}, [1, 1 / math.sqrt(2), 1 / math.sqrt(3), 1 / 2]),
    ],
)
def test_schedules_fit_the_run(tmp_path, name, settings, lrs):
    config = {"schedule": name, "schedule_settings": settings, "settings": {"lr": 0.01}}
    run = Run(tmp_path, RunConfig(model="mlp:4", epochs=4, **config))
    found = [lr for (lr,) in run.trainer.schedule.preview(len(lrs))]
    assert found == pytest.approx([lr / 100 for lr in lrs], abs=1e-12)


SET = ["--schedule-set"]


@pytest.mark.parametrize(
    ("options", "lrs", "count"),
    [
        (["multi-step", *SET, "milestones=1,3", *SET, "gamma=0.5"], [1, 0.5, 0.5, 0.25], 4),
        # Five steps an epoch; a row of the history holds the learning rate of the next step.
        (["polynomial", "--schedule-per", "step"], [0.75, 0.5, 0.25, 0], 20),
        (["plateau", *SET, "patience=0", *SET, "threshold=0.99"], [1, 1, 0.1, 0.01], 4),
    ],
    ids=["per epoch", "per step", "plateau"],
)
def test_schedules(train, tmp_path, options, lrs, count):
    train("--schedule", *options, "--epochs", 4, "--batch-size", 700, "--lr", "0.01")
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["lr"] for row in rows] == pytest.approx([lr / 100 for lr in lrs], abs=1e-12)
    again = Run.open(tmp_path / "run")
    again.resume()
    assert again.trainer.schedule.count == count


def test_default_folders_are_numbered(call, no_pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    for model in ("mlp:4", "mlp:4", "net.py:build"):
        assert call("train", "--epochs", "1", "--model", model, "--batch-size", "999").code == 0
    assert sorted(p.name for p in Path("runs").iterdir()) == ["digits-mlp-1", "digits-mlp-2", "digits-net-1"]


def test_sgd_has_its_own_defaults(train, tmp_path):
    assert train("--optimizer", "sgd", "--set", "momentum=0.9", "--set", "nesterov=True").code == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["settings"] == {
        "momentum": 0.9,
        "nesterov": True,
    }


def test_patience_stops_early_and_resume_leaves_it(train, call, tmp_path):
    answer = train("--patience", "1", "--lr", "0", "--epochs", "9", "--set", "betas=0,0")
    assert "Stopped early: val_loss has not improved for 1 epochs" in answer.out
    before = outcome(tmp_path / "run")
    assert len(before[0]) == 2
    answer = call("train", "--resume", tmp_path / "run")
    assert answer.code == 0
    assert outcome(tmp_path / "run") == before


def test_output_is_not_broken_or_interpreted(train, tmp_path):
    name = "a rather long name of a folder [bold]with brackets[/bold] and :smile: and more and more and more"
    answer = train(out=name)
    assert f"{tmp_path / name} holds curves.png" in answer.out
    assert "\x1b" not in answer.out


# --- Folders -----------------------------------------------------------------------------


def test_an_existing_folder_is_refused(train, fails, call, tmp_path):
    train()
    before = outcome(tmp_path / "run")
    fails("train", *SMALL, "--out", tmp_path / "run", saying=r"exists.*--out.*--resume.*--overwrite")
    assert outcome(tmp_path / "run") == before
    assert train("--overwrite", "--seed", "3").code == 0
    assert outcome(tmp_path / "run") != before


@pytest.mark.parametrize("files", [["thesis.tex"], ["config.json", "src"], ["config.json", "notes.txt"]])
def test_overwrite_deletes_runs_only(fails, tmp_path, files):
    folder = tmp_path / "project"
    folder.mkdir()
    for name in files:
        (folder / name).write_text("{}")
    fails("train", *SMALL, "--out", folder, "--overwrite", saying="not overwritten")
    assert sorted(p.name for p in folder.iterdir()) == files
    fails("train", *SMALL, "--out", folder / files[0], "--overwrite", saying="not overwritten")


def test_bad_options_overwrite_nothing(train, fails, tmp_path):
    train()
    before = outcome(tmp_path / "run")
    fails("train", "--out", tmp_path / "run", "--overwrite", "--lr", "-1", saying="lr")
    assert outcome(tmp_path / "run") == before


def test_an_empty_folder_may_be_used(train, tmp_path):
    (tmp_path / "run").mkdir()
    assert train().code == 0


def test_a_folder_that_cannot_be_made(fails, tmp_path):
    (tmp_path / "file").write_text("x")
    fails("train", *SMALL, "--out", tmp_path / "file" / "run", saying=str(tmp_path / "file"))


# --- Options -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        (["--data", "mnits"], "did you mean 'mnist'.*digits, fashion-mnist, mnist"),
        (["--model", "mpl:3"], "did you mean 'mlp'"),
        (["--model", "mlp:0"], "positive integers, as in mlp:256,128.*mlp:0"),
        (["--model", "mlp:a"], "positive integers"),
        (["--optimizer", "adamww"], "did you mean 'adamw'"),
        (["--schedule", "cosin"], "did you mean 'cosine'"),
        (["--schedule", "step"], "step: the schedule needs more settings.*missing  step_size"),
        (["--schedule", "step", "--schedule-set", "step=3"], "did you mean 'step_size'"),
        (["--schedule-set", "t_max"], "--schedule-set: write name=value"),
        (["--schedule-set", "t_max=0"], "t_max must be a positive integer"),
        (["--schedule-per", "week"], "schedule_per must be 'epoch' or 'step'"),
        (["--schedule", "plateau", "--schedule-per", "step"], "use schedule_per='epoch'"),
        (["--set", "beta=0.9,0.9"], "did you mean 'betas'"),
        (["--set", "beta1=1.5"], "betas must be two numbers.*1.5, 0.999"),
        (["--film", "film.txt"], "must end in .html"),
        (["--set", "momentum=0.9"], "unknown hyper-parameter 'momentum'"),
        (["--set", "betas"], "name=value"),
        (["--set", "eps=tiny"], "eps must be a finite number >= 0.*tiny"),
        (["--set", "eps=1e"], "name=value.*eps=1e"),
        (["--set", "eps={[]:1}"], "name=value"),
        (["--set", "betas=0.9"], "betas must be two numbers"),
        (["--set", "betas=0.9,1"], r"betas must be two numbers in \[0, 1\).*\(0\.9, 1\)"),
        (["--epochs", "0"], "epochs must be an integer >= 1"),
        (["--batch-size", "0"], "batch_size"),
        (["--seed", "-1"], "seed"),
        (["--lr", "-1"], "lr.*-1"),
        (["--lr", "nan"], "lr"),
        (["--weight-decay", "-0.1"], "weight_decay"),
        (["--dropout", "1"], r"dropout must be in \[0, 1\)"),
        (["--dropout", "-0.1"], "dropout"),
        (["--patience", "0"], "patience"),
        (["--max-grad-norm", "0"], "max_grad_norm"),
        (["--device", "gpu"], "unknown device 'gpu'; write 'cpu', or 'cuda' for a GPU"),
        (["--model", "mlp:99999999999"], "MemoryError.*smaller"),
    ],
)
def test_bad_values(fails, tmp_path, options, saying):
    fails("train", "--out", tmp_path / "run", *options, saying=saying)
    assert not (tmp_path / "run").exists()


def test_who_only_guesses_is_sent_to_the_doctor(train, call, tmp_path):
    answer = train("--lr", "1000")
    command = re.search(r"tinygrad-adam (train .* --doctor)\n$", answer.out)[1]
    assert "--lr 1000.0" in command
    assert "large-updates" in call(*command.split(), "--out", tmp_path / "again").out
    assert "--doctor" not in train(out="good").out


def test_one_of_the_betas(train, tmp_path):
    assert train("--set", "beta1=0.8").code == 0
    settings = json.loads((tmp_path / "run" / "config.json").read_text())["settings"]
    assert settings == {"lr": 0.004, "betas": [0.8, 0.999]}


@pytest.mark.parametrize(
    ("args", "saying"),
    [
        (["trian"], "train"),
        (["train", "--epoch", "3"], "--epochs"),
        (["train", "--lr", "much"], "--lr"),
        (["predict", "somewhere"], "image"),
        (["predict", "a", "b", "--top", "0"], "--top"),
    ],
)
def test_misspelled_commands(args, saying):
    result = CliRunner().invoke(cli.app, args)
    assert result.exit_code == 2
    assert saying in result.stderr.lower()


@pytest.mark.parametrize(
    "command", ["train", "evaluate", "predict", "datasets", "devices", "compare", "tune", "lr-find"]
)
def test_help(command):
    result = CliRunner().invoke(cli.app, [command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.stdout
    everything = CliRunner().invoke(cli.app, ["--help"])
    assert command in everything.stdout


def test_help_names_every_option_and_default():
    text = CliRunner().invoke(cli.app, ["train", "--help"], env={"COLUMNS": "200"}).stdout
    for word in (
        "--set",
        "--resume",
        "--overwrite",
        "--doctor",
        "[default: digits]",
        "betas=0.9,0.99",
        "[default: one a core]",
        *optim.OPTIMIZERS,
    ):
        assert word in text


def test_datasets_lists_all(call):
    answer = call("datasets")
    for word in ("digits", "mnist", "fashion-mnist", "8x8", "28x28", "CC BY 4.0", "small enough to train on"):
        assert word in answer.out


# --- Models of one's own -----------------------------------------------------------------

NET = """
from __future__ import annotations
from dataclasses import dataclass
from math import prod
from tinygrad_adam import nn

@dataclass
class Shape:
    sizes: tuple[int, ...]

def build(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(Shape(input_shape).sizes), classes))

def number(input_shape, classes):
    return 3

def broken(input_shape, classes):
    return 1 / 0

def misshapen(input_shape, classes):
    return nn.Linear(0, classes)

def no_arguments():
    return nn.Linear(64, 10)

def unflattened(input_shape, classes):
    return nn.Linear(64, classes)

def too_few(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 9))

class Misspelt(nn.Module):
    def forward(self, x):
        return self.lin(x)

def misspelt(input_shape, classes):
    return Misspelt()

ready = nn.Linear(64, 10)
"""


def test_a_model_from_a_file(train, call, tmp_path):
    (tmp_path / "net.py").write_text(NET)
    answer = train("--model", f"{tmp_path / 'net.py'}:build")
    assert "(650 parameters)" in answer.out
    assert call("evaluate", tmp_path / "run").code == 0


@pytest.mark.parametrize(
    ("function", "saying"),
    [
        (":biuld", "did you mean 'build'"),
        ("", "unknown function.*build"),
        (":prod", "unknown function"),
        (":number", "must return a Module.*int"),
        (":ready", r"write 'def ready\(input_shape, classes\):' and return.*\n  ready +Linear"),
        (":broken", "net.py, line 18: ZeroDivisionError"),
        (":no_arguments", r"let it begin with 'def no_arguments\(input_shape, classes\):'"),
        (
            ":unflattened",
            r"\(n, 1, 8, 8\) into numbers of shape \(n, 10\); put nn.Flatten.*weight +\(10, 64\)",
        ),
        (":too_few", r"into numbers of shape \(n, 10\)\n.*output +\(2, 9\)"),
        (":misspelt", r"\(n, 10\)\n  failed .*net.py, line 34: AttributeError.*'lin'"),
    ],
)
def test_bad_functions(fails, tmp_path, function, saying):
    (tmp_path / "net.py").write_text(NET)
    fails("train", "--out", tmp_path / "r", "--model", f"{tmp_path / 'net.py'}{function}", saying=saying)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("text", "saying"),
    [("def build(:", "SyntaxError"), ("import nothing_of_this_name", "line 1: ModuleNotFoundError")],
)
def test_bad_files(fails, tmp_path, text, saying):
    (tmp_path / "net.py").write_text(text)
    fails("train", "--model", f"{tmp_path / 'net.py'}:build", saying=saying)
    fails("train", "--model", f"{tmp_path / 'gone.py'}:build", saying="no such file")


# --- Stopping and going on ---------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_ctrl_c_and_resume(train, call, tmp_path):
    options = [*SMALL, "--epochs", "120", "--model", "mlp:32"]
    folder = tmp_path / "a folder"
    process = module("train", *options, "--out", folder)
    while "/120" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert err == ""
    assert f"tinygrad-adam train --resume '{folder}'\n" in out
    assert re.search(r"Stopped at step \d+ and saved", out)
    answer = call("train", "--resume", folder)
    assert answer.code == 0
    assert "Going on with" in answer.out
    train(*options, out="whole")
    assert outcome(folder) == outcome(tmp_path / "whole")
    again = call("train", "--resume", folder)
    assert "is finished" in again.out
    assert "Test accuracy" in again.out
    assert outcome(folder) == outcome(tmp_path / "whole")


def test_resume_refuses(fails, run, tmp_path):
    fails("train", "--resume", tmp_path / "gone", saying="there is no such folder")
    fails("train", "--resume", tmp_path, saying="not the folder of a run")
    fails("train", "--resume", run / "config.json", saying="not the folder of a run")
    fails(
        "train", "--resume", run, "--epochs", "9", "--set", "a=1", saying="as it was set up.*--epochs, --set"
    )
    config = (run / "config.json").read_text()
    (tmp_path / "config.json").write_text(config)
    fails("train", "--resume", tmp_path, saying="no checkpoint yet.*--overwrite")
    (tmp_path / "last.safetensors").write_bytes((run / "last.safetensors").read_bytes()[:5000])
    fails("train", "--resume", tmp_path, saying="CheckpointError.*truncated")
    (tmp_path / "last.safetensors").write_bytes((run / "last.safetensors").read_bytes())
    (tmp_path / "config.json").write_text(config.replace("mlp:48", "mlp:47"))
    fails("train", "--resume", tmp_path, saying="StateError.*does not fit|shape|moments")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", "many"), ("epochs", 1.5), ("settings", None), ("settings", [1]), ("model", 5),
        ("optimizer", []), ("max_grad_norm", "x"), ("data", "nothing"), ("batch_size", 2.5),
        ("seed", None), ("nonsense", 1),
    ],
)  # fmt: skip
def test_a_damaged_config(fails, run, tmp_path, name, value):
    values = json.loads((run / "config.json").read_text()) | {name: value}
    (tmp_path / "config.json").write_text(json.dumps(values))
    fails("evaluate", tmp_path, saying="CheckpointError: .*config.json is damaged")


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"version"', "\xff", "[" * 100_000])
def test_a_config_that_is_none(fails, tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    fails("evaluate", tmp_path, saying="CheckpointError: .*config.json is damaged")


def test_a_loss_that_is_not_finite_ends_in_a_message(train):
    answer = train("--optimizer", "sgd", "--lr", "1e30", "--epochs", "3")
    assert answer.code == 1
    assert answer.err.startswith("NonFiniteError: training: ")
    assert "lower the learning rate" in answer.err
    assert re.search(r"step +\d", answer.err)


# --- The doctor --------------------------------------------------------------------------


def test_the_doctor_shows_what_is_wrong(train, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    answer = train("--lr", "0.5", "--doctor")
    assert answer.code == 0
    assert re.search(r"─ large-updates: step 1 ─", answer.out)
    assert "remedy    lower the learning rate, 0.5 now" in answer.out
    assert "where     the training loop" in answer.out
    assert "doctor: watched 28 steps and found: large-updates" in answer.out
    assert max(map(len, re.findall(r"^[╭│╰].*$", answer.out, re.MULTILINE))) == 80


def test_the_doctor_finds_nothing_in_a_usual_run(train, call, tmp_path):
    plain = train(out="plain")
    answer = train("--doctor")
    assert "doctor: watched 28 steps and found nothing wrong\n" in answer.out
    assert "╭" not in answer.out
    accuracy = re.compile(r"Test accuracy \S+%")
    assert accuracy.search(answer.out)[0] == accuracy.search(plain.out)[0]
    assert call("train", "--resume", tmp_path / "run", "--doctor").code == 0


def test_the_doctor_speaks_also_when_training_fails(train):
    answer = train("--optimizer", "sgd", "--lr", "1e30", "--epochs", "3", "--doctor")
    assert answer.code == 1
    assert "not-finite" in answer.out
    assert answer.err.startswith("NonFiniteError: training: ")


# --- Evaluating and predicting -----------------------------------------------------------


def test_evaluate_is_what_train_printed(train, call, tmp_path):
    printed = re.search(r"Test accuracy (\S+%)", train().out)[1]
    answer = call("evaluate", tmp_path / "run")
    assert f"test accuracy {printed}, loss " in answer.out
    assert "1,797 images" in answer.out


def test_train_measures_the_best_weights(train, call, tmp_path):
    train()
    untrained = Run.open(tmp_path / "run")
    untrained.trainer.save(untrained.checkpoints.best_file)
    expected = untrained.evaluate()["accuracy"]
    answer = call("train", "--resume", tmp_path / "run")
    assert f"Test accuracy {expected:.2%}" in answer.out
    seconds = sum(
        json.loads(line)["seconds"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    )
    assert f"after {seconds:.1f} s of training" in answer.out


@pytest.mark.parametrize("command", [["evaluate"], ["explain"], ["train", "--resume"]])
def test_no_such_run(fails, tmp_path, command):
    fails(*command, tmp_path / "gone", saying="there is no such folder; 'tinygrad-adam train' leaves")
    fails(*command, tmp_path, saying="not the folder of a run: there is no config.json")


def test_evaluate_needs_a_best(fails, run, tmp_path):
    (tmp_path / "config.json").write_text((run / "config.json").read_text())
    fails("evaluate", tmp_path, saying="no checkpoint yet; train it")


def digit(label):
    """A test image of the digits, and larger and in 256 grays."""
    data = load_digits()
    image = data.test_images[np.flatnonzero(data.test_labels == label)[3]]
    return image, (np.kron(image, np.ones((9, 9))) * (255 / 16)).astype(np.uint8)


def best(answer):
    assert answer.code == 0, answer.err
    return re.search(r": (\d) \((\d+\.\d)%\), \d \(", answer.out).groups()


@pytest.mark.parametrize("label", [0, 4])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "16 bits", "transparent", "jpg", "wide"])
def test_predict_pictures(call, run, tmp_path, label, mode):
    _, dark = digit(label)
    answers = {}
    for ground, pixels in (("dark", dark), ("light", 255 - dark)):
        picture = image_library.fromarray(pixels)
        if mode == "16 bits":
            picture = image_library.fromarray(pixels.astype(np.uint16) * 257)
        elif mode == "transparent":
            clear = np.zeros((*dark.shape, 4), np.uint8)
            clear[..., 3] = dark  # black ink on nothing
            picture = image_library.fromarray(clear)
        elif mode == "wide":
            picture = picture.resize((200, 40))
        elif mode != "jpg":
            picture = picture.convert(mode)
        path = tmp_path / f"{ground}.{'jpg' if mode == 'jpg' else 'png'}"
        picture.save(path)
        answer = call("predict", run, path)
        assert ("inverted" in answer.out) == (ground == "light" or mode == "transparent")
        answers[ground] = best(answer)
    assert answers["dark"][0] == answers["light"][0] == str(label)
    assert float(answers["dark"][1]) == pytest.approx(float(answers["light"][1]), abs=2)


def test_predict_arrays(call, run, tmp_path):
    image, _ = digit(4)
    for name, array in (
        ("int", image), ("float", image / 16), ("float16", (image / 16).astype(np.float16)),
        ("fortran", np.asfortranarray(image.astype(">i8"))),
    ):  # fmt: skip
        np.save(tmp_path / f"{name}.npy", array)
        assert best(call("predict", run, tmp_path / f"{name}.npy"))[0] == "4"
    np.save(tmp_path / "many.npy", np.stack([digit(label)[0] for label in (0, 4, 6)]))
    answer = call("predict", run, tmp_path / "many.npy", "--top", "1")
    assert re.findall(r"many\.npy\[(\d)\]: (\d) \(\d+\.\d%\)\n", answer.out) == [
        ("0", "0"),
        ("1", "4"),
        ("2", "6"),
    ]
    answer = call("predict", run, tmp_path / "int.npy", "--top", "99")
    assert answer.out.count("%") == 10


def test_predict_agrees_with_the_library(call, run, tmp_path):
    image, _ = digit(0)
    opened = Run.open(run)
    opened.load_best()
    probabilities = opened.predict(image[None] / 16)[0]
    assert probabilities.sum() == pytest.approx(1, rel=1e-5)
    np.save(tmp_path / "i.npy", image)
    assert f"({probabilities.max():.1%})" in call("predict", run, tmp_path / "i.npy").out


class Evil:
    def __reduce__(self):
        return os.mkdir, ("marker",)


def bad_inputs():
    np.save("shape.npy", np.zeros((9, 8)))
    np.save("scalar.npy", np.float64(3))
    np.save("empty.npy", np.zeros((0, 8, 8)))
    np.save("nan.npy", np.full((8, 8), np.nan))
    np.save("bright.npy", np.full((8, 8), 17))
    np.save("dark.npy", np.full((8, 8), -0.5))
    np.save("text.npy", np.full((8, 8), "a"))
    np.save("complex.npy", np.zeros((8, 8), complex))
    np.save("object.npy", np.full((8, 8), Evil()), allow_pickle=True)
    Path("pickle.npy").write_bytes(pickle.dumps(Evil()))
    np.savez("archive.npz", np.zeros((8, 8)))
    os.rename("archive.npz", "archive.npy")
    for name, shape in (("huge.npy", "(100000000000, 8, 8)"), ("absurd.npy", f"({'9' * 30}, 8, 8)")):
        header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
        Path(name).write_bytes(b"\x93NUMPY\x01\x00v\x00" + header.encode())
    Path("nothing.npy").write_bytes(b"")
    Path("nothing.png").write_bytes(b"")
    Path("words.png").write_text("I am not a picture")
    image_library.fromarray(np.zeros((50, 50), np.uint8)).save("cut.png")
    Path("cut.png").write_bytes(Path("cut.png").read_bytes()[:60])
    image_library.fromarray(np.zeros((8, 8), np.float32)).save("float.tiff")
    Path("folder.png").mkdir()
    return sorted(os.listdir())


def test_predict_refuses(fails, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [*bad_inputs(), "gone.png"]:
        assert name in fails("predict", run, name, saying=r"OptionError: predict: ")
    assert "shape   " not in fails("predict", run, "gone.png", saying="no such file")
    fails("predict", run, "shape.npy", saying=r"\(n, 8, 8\).*\(9, 8\)")
    fails("predict", run, "bright.npy", saying="integers up to 16.*17")
    fails("predict", run, "nan.npy", saying="nan")
    fails("predict", tmp_path, "shape.npy", saying="not the folder of a run")
    assert not Path("marker").exists()


# --- As a program ------------------------------------------------------------------------


@pytest.mark.slow
def test_as_a_module(tmp_path):
    folder = tmp_path / ("long" * 30)
    process = module("train", *SMALL, "--epochs", "1", "--out", folder)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    assert "\x1b" not in out
    assert "\r" not in out
    assert f"{folder} holds" in out
    assert re.search(r"^epoch 1/1  loss \d", out, re.MULTILINE)
    process = module("train", "--data", "nothing", cwd=tmp_path)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (1, "")
    assert err.startswith("OptionError: run: unknown data set 'nothing'")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_live_display_on_a_terminal(tmp_path):
    import pty

    main, side = pty.openpty()
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(tg.__file__).parents[1]),
        "TERM": "xterm",
        "COLUMNS": "120",
    }
    command = [
        sys.executable,
        "-m",
        "tinygrad_adam",
        "train",
        *SMALL,
        "--epochs",
        "1",
        "--out",
        tmp_path / "r",
    ]
    process = subprocess.Popen(command, env=environment, stdout=side, stderr=side)
    os.close(side)
    shown = b""
    try:
        while part := os.read(main, 65536):
            shown += part
    except OSError:
        pass  # the other side was closed
    os.close(main)
    assert process.wait(timeout=300) == 0
    text = shown.decode()
    assert "\x1b[" in text
    assert "epoch 1/1" in text
    assert "batches" in text
    assert "(validation " in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h")  # the cursor comes back
