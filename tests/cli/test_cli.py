"""The command line: trainings, folders, options, stops, and the program as a whole."""

import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import FILES, NET, PNG, SMALL, module, outcome

pytest.importorskip("typer")
image_library = pytest.importorskip("PIL.Image")

from typer.testing import CliRunner  # noqa: E402

import tinygrad_adam as tg  # noqa: E402
from tinygrad_adam import cli, optim  # noqa: E402
from tinygrad_adam.training import Run, RunConfig  # noqa: E402

pytestmark = pytest.mark.versions


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
    assert (
        "doctor: watched 28 steps and found none of the faults that it knows\n  loss      from " in answer.out
    )
    assert "╭" not in answer.out
    accuracy = re.compile(r"Test accuracy \S+%")
    assert accuracy.search(answer.out)[0] == accuracy.search(plain.out)[0]
    assert call("train", "--resume", tmp_path / "run", "--doctor").code == 0


def test_the_doctor_speaks_also_when_training_fails(train):
    answer = train("--optimizer", "sgd", "--lr", "1e30", "--epochs", "3", "--doctor")
    assert answer.code == 1
    assert "not-finite" in answer.out
    assert answer.err.startswith("NonFiniteError: training: ")


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
