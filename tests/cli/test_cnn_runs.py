"""Runs of convolutional networks and of color images, as the users of the command line meet them."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import json
import re
import sys

import numpy as np
import pytest

pytest.importorskip("typer")
image_library = pytest.importorskip("PIL.Image")

from command_line import FILES, PNG, outcome  # noqa: E402

import tinygrad_adam as tg  # noqa: E402
from tinygrad_adam import cli, nn  # noqa: E402
from tinygrad_adam.data import DATASETS, ImageData, load_digits  # noqa: E402
from tinygrad_adam.errors import OptionError  # noqa: E402
from tinygrad_adam.training import Callback, Run, RunConfig, build_model, pictures  # noqa: E402
from tinygrad_adam.training import run as run_module  # noqa: E402
from tinygrad_adam.training.reading import read_images  # noqa: E402

pytestmark = [pytest.mark.products, pytest.mark.versions]

COLORS = ("red", "green", "blue")
NET = """
from tinygrad_adam import nn

def build(input_shape, classes):
    channels, _, _ = input_shape
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout2d(0.1), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, classes),
    )
"""


def patches(n, seed, height=12, width=10):
    """Dark noise with a patch of one color somewhere."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (n, 3, height, width)).astype(np.uint8)
    labels = rng.integers(0, 3, n).astype(np.uint8)
    for image, label, row, column in zip(images, labels, *rng.integers(0, 5, (2, n)), strict=True):
        image[label, row : row + 7, column : column + 5] += 180
    return images, labels


def load_patches():
    return ImageData(
        "patches", *patches(220, 0), *patches(60, 1),
        classes=COLORS, scale=255.0, credit="nobody", license="none",
    )  # fmt: skip


@pytest.fixture(scope="module")
def color():
    """A data set of small color images, known by the name of patches."""
    info = dataclasses.replace(
        DATASETS["cifar10"], name="patches", loader=load_patches, shape=(3, 12, 10), classes=3
    )
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(DATASETS, "patches", info)
        yield


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "net.py"
    path.write_text(NET)
    return f"{path}:build"


@pytest.fixture(scope="module")
def color_run(color, net, tmp_path_factory):
    """A run on the color images, made on the command line: its folder, and what was printed."""
    return at_the_shell(
        tmp_path_factory.mktemp("runs") / "color", "--data", "patches", "--model", net, "--epochs", "8",
        "--lr", "0.02", "--batch-size", "32", "--augment",
    )  # fmt: skip


def at_the_shell(folder, *args):
    """Train, and return the folder and what was printed; for fixtures that serve many tests."""
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as monkeypatch, contextlib.redirect_stdout(shown):
        monkeypatch.setattr(sys, "argv", ["tinygrad-adam", "train", *args, "--out", str(folder)])
        with contextlib.suppress(SystemExit):
            cli.main()
    return folder, shown.getvalue()


def settings(net, **others):
    return {
        "data": "patches", "model": net, "epochs": 3, "batch_size": 32, "augment": True,
        "settings": {"lr": 0.02}, **others,
    }  # fmt: skip


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer):
        if trainer.step == self.step:
            trainer.stop("enough")


# --- Models ------------------------------------------------------------------------------------


def shapes(model, *shape):
    """The shapes of the parameters, and the classes of the layers with the shapes of their outputs."""
    seen = []
    for layer in model:
        layer.register_forward_hook(lambda m, _, y: seen.append((type(m).__name__, y.shape[1:])))
    with tg.no_grad():
        model.eval()(tg.ones(1, *shape))
    return {name: p.shape for name, p in model.named_parameters()}, seen


@pytest.mark.slow
def test_the_network_of_the_paper():
    model = build_model("cnn:paper", (3, 32, 32), 10)
    assert repr(model[5]) == "MaxPool2d(kernel_size=3, stride=2, padding=1)"
    parameters, outputs = shapes(model, 3, 32, 32)
    stages = [
        stage
        for filters, side in ((64, 32), (64, 16), (128, 8))
        for stage in (
            ("Conv2d", (filters, side, side)),
            ("ReLU", (filters, side, side)),
            ("MaxPool2d", (filters, side // 2, side // 2)),
        )
    ]
    head = [("Flatten", (2048,)), ("Linear", (1000,)), ("ReLU", (1000,)), ("Linear", (10,))]
    assert outputs == [*stages, *head]
    assert list(parameters.values()) == [
        (64, 3, 5, 5), (64,), (64, 64, 5, 5), (64,), (128, 64, 5, 5), (128,),
        (1000, 2048), (1000,), (10, 1000), (10,),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "flat"), [((1, 8, 8), 256), ((1, 28, 28), 3136), ((3, 32, 32), 4096), ((3, 9, 5), 384)]
)
def test_the_small_network(shape, flat):
    parameters, outputs = shapes(build_model("cnn", shape, 7, dropout=0.5), *shape)
    assert [name for name, _ in outputs] == [
        *("Conv2d", "ReLU", "MaxPool2d") * 2, "Flatten", "Dropout", "Linear", "ReLU", "Dropout", "Linear",
    ]  # fmt: skip
    assert list(parameters.values()) == [
        (32, shape[0], 5, 5), (32,), (64, 32, 5, 5), (64,), (128, flat), (128,), (7, 128), (7,),
    ]  # fmt: skip
    assert outputs[-1] == ("Linear", (7,))


def test_a_cnn_without_dropout_has_none():
    model = build_model("cnn:paper", (1, 8, 8), 2)
    assert not any(isinstance(layer, nn.Dropout) for layer in model)
    assert [layer.p for layer in build_model("cnn", (1, 8, 8), 2, 0.2) if isinstance(layer, nn.Dropout)] == [
        0.2, 0.2,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "shape", "saying"),
    [
        ("cnn:nothing", (1, 8, 8), r"unknown kind of cnn 'nothing'.*known +paper"),
        ("cnn:papr", (1, 8, 8), "unknown kind of cnn 'papr'; did you mean 'paper'"),
        ("cnn:64,128", (1, 8, 8), "unknown kind of cnn '64,128'"),
        ("cn", (1, 8, 8), "did you mean 'cnn'"),
        ("cnn", (64,), r"a cnn takes images: channels, height, width.*\(64,\)"),
    ],
)
def test_networks_that_cannot_be_built(spec, shape, saying):
    with pytest.raises(OptionError, match="(?s)" + saying):
        build_model(spec, shape, 10)


# --- Digits --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "cnn"
    return at_the_shell(folder, "--model", "cnn", "--epochs", "1", "--lr", "0.002")


@pytest.mark.usefixtures("no_pictures")
def test_a_cnn_on_digits(call, digits_run):
    folder, printed = digits_run
    assert "cnn (86,282 parameters) on digits: 3,441 images to train on" in printed
    assert sorted(p.name for p in folder.iterdir()) == FILES
    accuracy = re.search(r"Test accuracy (\S+)%", printed)[1]
    assert float(accuracy) > 80
    assert f"cnn on digits: test accuracy {accuracy}%, loss 0." in call("evaluate", folder).out
    before = outcome(folder)
    again = call("train", "--resume", folder)
    assert "is finished" in again.out
    assert f"Test accuracy {accuracy}%" in again.out
    assert outcome(folder) == before


@pytest.mark.usefixtures("no_pictures")
def test_a_cnn_of_digits_stopped_in_mid_epoch_goes_on_bit_for_bit(digits_run, tmp_path):
    config = RunConfig(model="cnn", epochs=1, settings={"lr": 2e-3})
    stopped = Run.start(config, tmp_path / "run")
    assert stopped.trainer.optimizer.param_groups[0]["lr"] == 2e-3
    training, _ = stopped.loaders()
    stopped.trainer.callbacks.append(StopAt(30))
    stopped.trainer.fit(training, 1)
    assert (stopped.trainer.step, stopped.trainer.batch) == (30, 30)
    stopped.trainer.save(stopped.checkpoints.last)
    resumed = Run.open(tmp_path / "run")
    resumed.resume()
    resumed.train()
    assert outcome(tmp_path / "run") == outcome(digits_run[0])


def test_predictions_of_a_cnn_of_gray_images(call, digits_run, tmp_path):
    folder, _ = digits_run
    data = load_digits()
    images, labels = data.test_images[:40], data.test_labels[:40]
    for name, array in (
        ("one", images[0]), ("one_channel", images[:1]), ("float", images[0] / 16), ("many", images)
    ):  # fmt: skip
        np.save(tmp_path / f"{name}.npy", array)
    first = call("predict", folder, tmp_path / "one.npy").out.partition(": ")[2]
    assert "%" in first
    for name in ("one_channel", "float"):
        assert call("predict", folder, tmp_path / f"{name}.npy").out.partition(": ")[2] == first
    answers = re.findall(r"\[\d+\]: (\d) \(", call("predict", folder, tmp_path / "many.npy").out)
    assert len(answers) == 40
    assert (np.array(answers, int) == labels).mean() > 0.7
    digit = np.kron(images[0], np.ones((5, 5))) * (255 / 16)
    image_library.fromarray(255 - digit.astype(np.uint8)).save(tmp_path / "light.png")
    answer = call("predict", folder, tmp_path / "light.png")
    assert "inverted" in answer.out
    assert answer.out.splitlines()[2].partition(": ")[2][:1] == first[:1]


@pytest.mark.parametrize("shape", [(64,), (8, 9), (3, 8, 8, 8), (1, 1, 8, 8), (2, 1, 8, 8), (0, 8, 8)])
def test_wrong_shapes_of_gray_images(fails, digits_run, tmp_path, shape):
    np.save(tmp_path / "x.npy", np.zeros(shape))
    said = fails("predict", digits_run[0], tmp_path / "x.npy", saying=r"of shape \(n, 8, 8\)")
    assert str(shape) in said


def test_refused_models(fails, tmp_path):
    fails("train", "--model", "cnn:nothing", "--out", tmp_path / "r", saying="cnn 'nothing'.*paper")
    fails("train", "--model", "cnn:papers", "--out", tmp_path / "r", saying="did you mean 'paper'")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_cnn_that_diverges_ends_in_one_message(call, tmp_path, threads):
    before = tg.get_num_threads()
    tg.set_num_threads(threads)
    try:
        answer = call(
            "train", "--model", "cnn", "--optimizer", "sgd", "--lr", "1e30", "--epochs", "1",
            "--out", tmp_path / "r",
        )  # fmt: skip
    finally:
        tg.set_num_threads(before)
    assert answer.code == 1
    assert answer.err.startswith("NonFiniteError: training: ")
    assert "Warning" not in answer.err


# --- Color ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_on_color_images(call, color_run):
    folder, printed = color_run
    assert "198 images to train on, 22 to validate, 60 to test" in printed
    assert sorted(p.name for p in folder.iterdir()) == FILES
    accuracy = re.search(r"Test accuracy (\S+)%", printed)[1]
    assert float(accuracy) > 80
    assert f"test accuracy {accuracy}%" in call("evaluate", folder).out
    assert json.loads((folder / "config.json").read_text())["augment"] is True


@pytest.fixture(scope="module")
def augmented_run(color, net, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    Run.start(RunConfig(**settings(net)), folder).fit()
    return folder


@pytest.mark.parametrize("step", [3, 9, 14])  # 7 steps an epoch; 14 is the end of the second
def test_augmented_runs_stopped_anywhere_go_on_bit_for_bit(color, net, augmented_run, tmp_path, step):
    stopped = Run.start(RunConfig(**settings(net)), tmp_path / "run")
    training, validation = stopped.loaders()
    stopped.trainer.callbacks.append(StopAt(step))
    stopped.trainer.fit(training, 3, validation)
    assert stopped.trainer.step == step
    stopped.trainer.save(stopped.checkpoints.last)
    resumed = Run.open(tmp_path / "run")
    resumed.resume()
    assert resumed.trainer.step == step
    resumed.fit()
    assert outcome(tmp_path / "run") == outcome(augmented_run)


def test_augmentation_changes_training_images_only(color, net, tmp_path):
    runs = {}
    for augment in (True, False):
        opened = Run.start(RunConfig(**settings(net, augment=augment)), tmp_path / str(augment))
        runs[augment] = [
            np.concatenate([x.numpy() for x, _ in loader]).astype(np.float32) for loader in opened.loaders()
        ]
        opened.fit()
    changed, plain = runs[True], runs[False]
    assert changed[0].shape == plain[0].shape == (198, 3, 12, 10)
    same = (changed[0] == plain[0]).reshape(198, -1).all(1)
    assert same.mean() < 0.1
    assert np.array_equal(changed[1], plain[1])
    assert outcome(tmp_path / "True")[1] != outcome(tmp_path / "False")[1]


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(
    ("options", "wanted"), [((), False), (("--augment",), True), (("--no-augment",), False)]
)
def test_config_records_whether_images_are_changed(call, color, net, tmp_path, options, wanted):
    common = ("train", "--data", "patches", "--model", net, "--epochs", "1", "--batch-size", "99")
    assert call(*common, "--out", tmp_path / "r", *options).code == 0
    assert json.loads((tmp_path / "r" / "config.json").read_text())["augment"] is wanted
    opened = Run.open(tmp_path / "r")
    assert opened.config.augment is wanted
    if options:
        fails_with = call("train", "--resume", tmp_path / "r", *options)
        assert "as it was set up" in fails_with.err


def test_defaults_follow_the_data_and_the_model():
    assert RunConfig(data="cifar10").augment is True
    assert RunConfig(data="cifar10", augment=False).augment is False
    for data in ("digits", "mnist", "fashion-mnist"):
        assert RunConfig(data=data).augment is False
        assert RunConfig(data=data, augment=True).augment is True
    epochs = {
        (data, model): RunConfig(data=data, model=model).epochs
        for data in ("digits", "mnist", "cifar10")
        for model in ("mlp", "cnn")
    }
    assert epochs == {
        ("digits", "mlp"): 40, ("digits", "cnn"): 40, ("mnist", "mlp"): 10, ("mnist", "cnn"): 5,
        ("cifar10", "mlp"): 10, ("cifar10", "cnn"): 10,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "rate"),
    [
        (("--model", "cnn"), 1e-3), (("--model", "cnn:paper", "--optimizer", "adamw"), 1e-3),
        (("--model", "mlp:4"), 4e-3), (("--model", "cnn", "--lr", "0.5"), 0.5),
        (("--model", "cnn", "--optimizer", "sgd"), None),
    ],
)  # fmt: skip
def test_learning_rates_follow_the_model(call, tmp_path, monkeypatch, options, rate):
    seen = []

    def start(config, *args):
        seen.append(config)
        raise OptionError("here", "it stops")

    monkeypatch.setattr(Run, "start", start)
    call("train", "--out", tmp_path / "r", *options)
    assert seen[0].settings.get("lr") == rate


@pytest.mark.parametrize("value", ["yes", 3, [], {}])
def test_a_damaged_augment(fails, digits_run, tmp_path, value):
    values = json.loads((digits_run[0] / "config.json").read_text()) | {"augment": value}
    (tmp_path / "config.json").write_text(json.dumps(values))
    fails("evaluate", tmp_path, saying="config.json is damaged: .*augment is of the wrong type")


def test_a_config_from_before_there_was_augmentation(call, digits_run, tmp_path):
    values = json.loads((digits_run[0] / "config.json").read_text())
    del values["augment"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert Run.open(tmp_path).config.augment is False


# --- Pictures ------------------------------------------------------------------------------------


def test_predictions_are_drawn_in_color(color_run, monkeypatch):
    folder, _ = color_run
    with image_library.open(folder / "predictions.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    red, green, blue = np.moveaxis(pixels, -1, 0)
    for one, two, three in ((red, green, blue), (green, red, blue), (blue, red, green)):
        assert ((one > 170) & (two < 100) & (three < 100)).sum() > 500
    assert (folder / "curves.png").read_bytes()[:8] == PNG
    drawn = []
    monkeypatch.setattr(run_module, "plot_predictions", lambda *args: drawn.append(args))
    opened = Run.open(folder)
    opened.load_best()
    opened.draw_predictions()
    images, labels, probabilities, classes, path = drawn[0]
    assert images.shape == (60, 12, 10, 3)
    np.testing.assert_array_equal(images[7, :, :, 2] * 255, opened.data.test_images[7, 2])
    assert (labels.shape, probabilities.shape, classes) == ((60,), (60, 3), COLORS)
    assert path == folder / "predictions.png"


@pytest.mark.parametrize(("n", "shape"), [(1, (6, 5)), (5, (6, 5, 3)), (40, (6, 5, 3))])
def test_few_pictures_and_none_wrong(tmp_path, n, shape):
    probabilities = np.tile([0.25, 0.75], (n, 1))
    for labels in (np.zeros(n, int), np.ones(n, int)):
        path = tmp_path / f"{labels[0]}.png"
        pictures.plot_predictions(np.zeros((n, *shape)), labels, probabilities, ("a", "b"), path, 3, 2)
        assert path.read_bytes()[:8] == PNG


def answered(answer):
    assert answer.code == 0, answer.err
    return re.findall(r": (\w+) \((\d+\.\d)%\)", answer.out)


def test_predict_color(call, color_run, tmp_path):
    images, labels = patches(12, 5)
    opened = Run.open(color_run[0])
    opened.load_best()
    wanted = opened.predict(images / 255)
    assert (wanted.argmax(1) == labels).mean() > 0.8
    chosen = [int(np.flatnonzero((labels == label) & (wanted.argmax(1) == label))[0]) for label in range(3)]
    for label, i in enumerate(chosen):
        expected = [(COLORS[label], f"{100 * wanted[i, label]:.1f}")]
        shown = np.moveaxis(images[i], 0, -1)
        clear = np.concatenate([shown, np.full((12, 10, 1), 255, np.uint8)], -1)
        image_library.fromarray(shown).save(tmp_path / "rgb.png")
        image_library.fromarray(clear).save(tmp_path / "rgba.png")
        np.save(tmp_path / "bytes.npy", images[i])
        np.save(tmp_path / "float.npy", images[i] / 255)
        np.save(tmp_path / "batch.npy", images[i : i + 1])
        np.save(tmp_path / "fortran.npy", np.asfortranarray(images[i].astype(">i4")))
        for name in ("rgb.png", "rgba.png", "bytes.npy", "float.npy", "batch.npy", "fortran.npy"):
            answer = call("predict", color_run[0], tmp_path / name)
            assert answered(answer) == expected, name
            assert "inverted" not in answer.out
    np.save(tmp_path / "many.npy", images)
    found = answered(call("predict", color_run[0], tmp_path / "many.npy", "--top", "1"))
    assert [name for name, _ in found] == [COLORS[j] for j in wanted.argmax(1)]


def test_color_pictures_keep_their_channels_and_their_light(tmp_path):
    shown = np.zeros((24, 20, 3), np.uint8)
    shown[:12, :, 0], shown[12:, :, 2] = 255, 51
    image_library.fromarray(shown).save(tmp_path / "rgb.png")
    image, changes = read_images(tmp_path / "rgb.png", (3, 12, 10), 255.0)
    assert (image.shape, image.dtype, changes) == ((1, 3, 12, 10), np.float32, [])
    assert (image[0, 0, :6] == 1).all()
    assert (image[0, 0, 6:] == 0).all()
    assert (image[0, 1] == 0).all()
    np.testing.assert_allclose(image[0, 2, 6:], 0.2, rtol=1e-6)
    # White is white: what a picture of colors shows on a light ground is no negative.
    image_library.fromarray(np.full((5, 9), 255, np.uint8)).save(tmp_path / "gray.png")
    white, changes = read_images(tmp_path / "gray.png", (3, 12, 10), 255.0)
    assert (white == 1).all()
    assert not changes
    # What is transparent shows the white paper behind it.
    clear = np.zeros((12, 10, 4), np.uint8)
    clear[3:, :, :] = (255, 0, 0, 255)
    image_library.fromarray(clear).save(tmp_path / "rgba.png")
    image, _ = read_images(tmp_path / "rgba.png", (3, 12, 10), 255.0)
    assert (image[0, :, :3] == 1).all()
    assert (image[0, :, 3:].transpose(1, 2, 0) == [1, 0, 0]).all()


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "16 bits", "CMYK"])
def test_gray_pictures_for_a_model_of_colors(call, color_run, tmp_path, mode):
    gray = np.kron(np.arange(30, dtype=np.uint8).reshape(6, 5) * 8, np.ones((4, 4), np.uint8))
    picture = image_library.fromarray(gray)
    if mode == "16 bits":
        picture = image_library.fromarray(gray.astype(np.uint16) * 257)
    elif mode != "L":
        picture = picture.convert(mode)
    path = tmp_path / f"gray.{'tiff' if mode == 'CMYK' else 'png'}"
    picture.save(path)
    image, changes = read_images(path, (3, 12, 10), 255.0)
    assert not changes
    assert np.array_equal(image[0, 0], image[0, 1])
    assert np.array_equal(image[0, 0], image[0, 2])
    if mode not in ("1", "P"):
        wanted = gray.reshape(12, 2, 10, 2).mean((1, 3)) / 255
        np.testing.assert_allclose(image[0, 0], wanted, atol=0.01)
    assert len(answered(call("predict", color_run[0], path, "--top", "1"))) == 1


@pytest.mark.parametrize(
    "shape",
    [(12, 10), (12, 10, 3), (1, 12, 10), (2, 12, 10), (3, 10, 12), (4, 1, 12, 10), (1, 1, 3, 12, 10), (360,),
     (0, 3, 12, 10), ()],
)  # fmt: skip
def test_wrong_shapes_of_color_images(fails, color_run, tmp_path, shape):
    np.save(tmp_path / "x.npy", np.zeros(shape))
    said = fails("predict", color_run[0], tmp_path / "x.npy", saying=r"of shape \(n, 3, 12, 10\)")
    assert str(shape) in said


def test_wrong_values_of_color_images(fails, color_run, tmp_path):
    for array in (np.full((3, 12, 10), 256), np.full((3, 12, 10), 1.5), np.full((3, 12, 10), np.nan)):
        np.save(tmp_path / "x.npy", array)
        fails("predict", color_run[0], tmp_path / "x.npy", saying=r"floats in \[0, 1\] or integers up to 255")


def test_the_list_of_data_sets_shows_channels(call, color):
    lines = call("datasets").out.splitlines()
    after = {line.split(":")[0]: following for line, following in itertools.pairwise(lines)}
    assert "3x32x32" in after["cifar10"]
    assert "3x12x10" in after["patches"]
    assert " 8x8" in after["digits"]
