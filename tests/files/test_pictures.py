"""Figures in a notebook: one picture in each case, and the same figure as a file."""

import pickle
import struct

import pytest

from tinygrad_adam import optim
from tinygrad_adam.files.figures import new_figure
from tinygrad_adam.nn import Parameter
from tinygrad_adam.training import History

pytest.importorskip("matplotlib")
HISTORY = History([{"epoch": i, "loss": 1.0 / i} for i in (1, 2, 3)])


def size(png):
    return struct.unpack(">II", png[16:24])


def test_a_figure_offers_itself_as_a_picture_of_twice_the_pixels_that_it_takes_on_the_screen():
    png, shown = HISTORY.plot()._repr_png_()
    assert png.startswith(b"\x89PNG")
    assert shown == {"width": 460, "height": 340}
    assert size(png) == (920, 680)


def test_showing_a_figure_does_not_change_its_file(tmp_path):
    figure = HISTORY.plot(tmp_path / "before.png")
    figure._repr_png_()
    figure.savefig(tmp_path / "after.png", format="png", dpi=130)
    assert (tmp_path / "before.png").read_bytes() == (tmp_path / "after.png").read_bytes()


def test_pyplot_does_not_know_the_figure_and_so_does_not_show_it_again():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    before = pyplot.get_fignums()
    HISTORY.plot()
    assert pyplot.get_fignums() == before


def test_a_figure_can_be_pickled():
    copy = pickle.loads(pickle.dumps(new_figure("a test", 2, 1)))
    assert size(copy._repr_png_()[0]) == (400, 200)


def test_a_schedule_draws_such_a_figure():
    schedule = optim.StepLR(optim.SGD([Parameter([1.0])], lr=0.1), 2)
    assert size(schedule.plot(4)._repr_png_()[0]) == (1280, 640)
