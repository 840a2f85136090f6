"""Drawn digits are placed as the training digits were, wherever and however they were drawn."""

import os
import re

import numpy as np
import pytest

pytest.importorskip("PIL")
pytest.importorskip("typer")

from PIL import Image, ImageDraw

from tinygrad_adam.data import load_digits, load_mnist
from tinygrad_adam.errors import OptionError
from tinygrad_adam.training import Run, RunConfig
from tinygrad_adam.training.framing import FRAMINGS, frame_digit
from tinygrad_adam.training.reading import read_images

SHAPES = {"mnist": (1, 28, 28), "digits": (1, 8, 8)}


def drawing(size=(200, 200), at=(40, 30), height=100, width=12, mode="L", ground=255, ink=0):
    """Draw a seven, its top left corner at a place."""
    picture = Image.new(mode, size, ground)
    x, y = at
    corners = [(x, y), (x + 0.6 * height, y), (x + 0.2 * height, y + height)]
    ImageDraw.Draw(picture).line(corners, fill=ink, width=width, joint="curve")
    return picture


def framed(picture, tmp_path, dataset="mnist"):
    picture.save(tmp_path / "digit.png")
    images, changes = read_images(tmp_path / "digit.png", SHAPES[dataset], 255, dataset)
    assert images.shape == (1, *SHAPES[dataset])
    assert images.dtype == np.float32
    return images[0, 0], changes


PLACES = {
    "in a corner": {"at": (10, 10)},
    "in the other corner": {"at": (130, 90)},
    "small": {"at": (90, 50), "height": 40, "width": 5},
    "large": {"at": (30, 10), "height": 180, "width": 22},
    "on a wide page": {"size": (600, 150)},
    "on a tall page": {"size": (150, 700), "at": (40, 550)},
    "on gray": {"ground": 200},
    "light on dark": {"ground": 20, "ink": 250},
    "in color": {"mode": "RGB", "ground": (250, 250, 210), "ink": (10, 30, 140)},
    "black on nothing": {"mode": "RGBA", "ground": (0, 0, 0, 0), "ink": (0, 0, 0, 255)},
    "white on nothing": {"mode": "RGBA", "ground": (0, 0, 0, 0), "ink": (255, 255, 255, 255)},
}


@pytest.mark.parametrize("dataset", FRAMINGS)
@pytest.mark.parametrize("drawn", PLACES.values(), ids=PLACES)
def test_place_size_and_colors_of_a_drawing_do_not_matter(tmp_path, drawn, dataset):
    wanted, _ = framed(drawing(), tmp_path, dataset)
    found, changes = framed(drawing(**drawn), tmp_path, dataset)
    assert np.abs(found - wanted).mean() < 0.035
    assert (wanted * found).sum() > 0.9 * (wanted**2).sum()
    assert changes[-1] == f"The digit was {FRAMINGS[dataset].words}."


def test_the_box_and_the_middle_are_those_of_mnist(tmp_path):
    image, _ = framed(drawing(at=(120, 20)), tmp_path)
    down, across = (np.flatnonzero((image > 0).any(axis=axis)) for axis in (1, 0))
    assert max(np.ptp(down), np.ptp(across)) + 1 == 20
    assert np.ptp(across) < np.ptp(down)  # a seven keeps its proportions
    assert image.max() == 1
    rows, columns = np.indices(image.shape)
    for place in (rows, columns):
        assert (image * place).sum() / image.sum() == pytest.approx(14, abs=0.51)


def test_the_optical_digits_fill_their_height(tmp_path):
    image, _ = framed(drawing(at=(120, 20)), tmp_path, "digits")
    assert (image[0] > 0).any()
    assert (image[7] > 0).any()
    across = np.flatnonzero((image > 0).any(axis=0))
    assert abs(across[0] + across[-1] - 7) <= 1


def test_a_digit_of_the_data_set_stays_what_it_is():
    images = load_digits().test_images[:100] / 16.0
    large = np.kron(images, np.ones((12, 12)))
    found = np.stack([frame_digit(image, FRAMINGS["digits"]) for image in large.astype(np.float32)])
    assert np.abs(found - images).mean() < 0.08


@pytest.mark.parametrize("gray", [0, 90, 255])
def test_a_blank_picture_is_refused(tmp_path, gray):
    with pytest.raises(OptionError, match=r"predict: the picture is blank: draw a digit"):
        framed(Image.new("L", (50, 50), gray), tmp_path)
    with pytest.raises(OptionError, match="blank"):  # as good as blank
        framed(drawing(ground=gray, ink=gray + (10 if gray < 200 else -10)), tmp_path)


def test_a_thin_line_of_any_form_has_a_place(tmp_path):
    for line in ((5, 50, 195, 50), (50, 5, 50, 195), (3, 3, 3, 3)):
        picture = Image.new("L", (200, 200), 255)
        ImageDraw.Draw(picture).line(line, fill=0, width=1)
        for dataset in FRAMINGS:
            image, _ = framed(picture, tmp_path, dataset)
            assert image.sum() > 0


def test_pictures_of_other_data_sets_are_taken_as_they_are(tmp_path):
    drawing(at=(10, 10)).save(tmp_path / "a.png")
    images, changes = read_images(tmp_path / "a.png", (1, 28, 28), 255, "fashion-mnist")
    assert changes == ["The picture is dark on light; it was inverted, as the model learned light on dark."]
    assert images[0, 0, :10, :12].sum() > 3  # still in its corner
    images, changes = read_images(tmp_path / "a.png", (3, 32, 32), 255, "cifar10")
    assert (images.shape, changes) == ((1, 3, 32, 32), [])


# --- By a trained network ----------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    Run.start(RunConfig(model="mlp:32", epochs=4, settings={"lr": 0.01}), folder).fit()
    return folder


def in_a_corner(image, size=60, scale=3):
    """Draw a data set's image, dark on light, in the top left of a larger page."""
    small = Image.fromarray(image).resize(
        (scale * image.shape[1], scale * image.shape[0]), Image.Resampling.BICUBIC
    )
    page = Image.new("L", (size, size), 255)
    page.paste(small.point(lambda value: 255 - value), (0, 0))
    return page


def test_digits_in_a_corner_are_read(run, tmp_path):
    data, opened = load_digits(), Run.open(run)
    opened.load_best()
    images, labels = (data.test_images[:200] * 15.9).astype(np.uint8), data.test_labels[:200]
    framed_images, plain = [], []
    for image in images:
        in_a_corner(image).save(tmp_path / "a.png")
        framed_images.append(read_images(tmp_path / "a.png", (1, 8, 8), 16, "digits").images[0])
        plain.append(read_images(tmp_path / "a.png", (1, 8, 8), 16).images[0])
    right, before = (
        (opened.predict(np.stack(found)).argmax(axis=1) == labels).mean() for found in (framed_images, plain)
    )
    assert right > 0.8
    assert before < 0.4


@pytest.mark.slow
@pytest.mark.skipif("TINYGRAD_ADAM_DATA" not in os.environ, reason="TINYGRAD_ADAM_DATA does not name MNIST")
def test_mnist_in_a_corner_is_read_as_well_as_in_the_middle(tmp_path):
    data = load_mnist()
    started = Run.start(
        RunConfig(data="mnist", model="mlp:64", epochs=1, settings={"lr": 2e-3}), tmp_path / "run"
    )
    started.fit()
    started.load_best()
    images, labels = data.test_images[:500], data.test_labels[:500]
    pages = [np.asarray(in_a_corner(image, size=200)) for image in images]
    found = np.stack([frame_digit(1 - page / np.float32(255), FRAMINGS["mnist"]) for page in pages])
    middle = (started.predict(images[:, None] / np.float32(255)).argmax(axis=1) == labels).mean()
    corner = (started.predict(found[:, None]).argmax(axis=1) == labels).mean()
    assert middle > 0.9
    assert corner > middle - 0.02


def test_the_command_says_what_it_did_and_when_it_is_unsure(call, fails, run, tmp_path):
    data = load_digits()
    opened = Run.open(run)
    opened.load_best()
    surest = opened.predict(data.test_images[:, None] / np.float32(16)).max(axis=1)
    for place, unsure in ((surest.argmin(), True), (surest.argmax(), False)):
        np.save(tmp_path / "a.npy", data.test_images[place])
        answer = call("predict", run, tmp_path / "a.npy")
        assert ("; unsure: below 80%" in answer.out) == unsure
        assert "The digit was" not in answer.out  # an array is taken as it is
    drawing(at=(10, 10)).save(tmp_path / "seven.png")
    out = call("predict", run, tmp_path / "seven.png").out
    assert re.search(
        r"it was inverted.*\nThe digit was scaled to the height .* centered, as the optical digits", out
    )
    Image.new("L", (50, 50), 255).save(tmp_path / "blank.png")
    fails("predict", run, tmp_path / "blank.png", saying="the picture is blank: draw a digit")
