"""Models of one's own, evaluated and used to predict."""

import json
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from command_line import NET

pytest.importorskip("typer")
image_library = pytest.importorskip("PIL.Image")

from tinygrad_adam.data import load_digits  # noqa: E402
from tinygrad_adam.training import Run  # noqa: E402

pytestmark = pytest.mark.versions


# --- Models of one's own -----------------------------------------------------------------


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
            picture = image_library.new("L", (300, 90), int(pixels[0, 0]))
            picture.paste(image_library.fromarray(pixels), (200, 10))
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
