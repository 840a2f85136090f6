"""Optimizers on surfaces: the surfaces, what is recorded, races, their pictures and the command."""

import base64
import dataclasses
import io
import itertools
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("matplotlib")
pytest.importorskip("PIL")

from command_line import PNG
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from tinygrad_adam import nn
from tinygrad_adam.errors import NonFiniteError, OptionError
from tinygrad_adam.explain import SURFACES, Surface, descend, race, save_race, tune_lr
from tinygrad_adam.explain.races import saving
from tinygrad_adam.explain.races.pictures import RacePicture
from tinygrad_adam.explain.races.trajectories import LONGEST_STEP, RATES, TOLERANCE
from tinygrad_adam.training import Entry

pytestmark = pytest.mark.versions

# --- Surfaces ----------------------------------------------------------------------------


def beale(x, y):
    a, b, c = 1.5 - x + x * y, 2.25 - x + x * y**2, 2.625 - x + x * y**3
    return (
        2 * a * (y - 1) + 2 * b * (y**2 - 1) + 2 * c * (y**3 - 1),
        2 * a * x + 4 * b * x * y + 6 * c * x * y**2,
    )


GRADIENTS = {
    "beale": beale,
    "rosenbrock": lambda x, y: (-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)),
    "saddle": lambda x, y: (2 * x, -2 * y + y**3),
    "himmelblau": lambda x, y: (
        4 * x * (x**2 + y - 11) + 2 * (x + y**2 - 7),
        2 * (x**2 + y - 11) + 4 * y * (x + y**2 - 7),
    ),
    "ravine": lambda x, y: (0.2 * x, 4 * y),
    "noisy": lambda x, y: (0.1 * x, y),
    "plateau": lambda x, y: (x * np.exp(-(x**2 + y**2) / 2), y * np.exp(-(x**2 + y**2) / 2)),
}
"""By hand; a surface without a gradient here fails a test."""

VALUES = {
    "beale": ((1, 1), 1.5**2 + 2.25**2 + 2.625**2),
    "rosenbrock": ((-1.2, 1), 24.2),  # Moré, Garbow and Hillstrom
    "saddle": ((2, 2), 4.0),
    "himmelblau": ((0, 0), 170.0),
    "ravine": ((-5, -2), 10.5),
    "noisy": ((-5, -2), 3.25),
    "plateau": ((1, 1), 1 - np.exp(-1)),
}
ALL = sorted(SURFACES)


@pytest.mark.parametrize("name", ALL)
def test_a_surface_and_its_gradient(name):
    surface = SURFACES[name]
    assert surface.name == name
    (x, y), value = VALUES[name]
    assert surface.function(np.array(x, float), np.array(y, float)) == pytest.approx(value)
    x0, x1, y0, y1 = surface.window
    for x, y in np.random.default_rng(0).uniform((x0, y0), (x1, y1), (20, 2)):
        p, q = nn.Parameter(x), nn.Parameter(y)
        surface.function(p, q).backward()
        np.testing.assert_allclose(
            (p.grad.item(), q.grad.item()), GRADIENTS[name](x, y), rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("name", ALL)
def test_minima(name):
    surface = SURFACES[name]
    x0, x1, y0, y1 = surface.window
    grid = np.meshgrid(np.linspace(x0, x1, 301), np.linspace(y0, y1, 301))
    assert surface.function(*grid).min() >= surface.least - 1e-12
    for x, y in surface.minima:
        np.testing.assert_allclose(GRADIENTS[name](x, y), 0, atol=1e-12)
        assert surface.function(np.array(x), np.array(y)) == pytest.approx(surface.least, abs=1e-15)
        assert surface.distance((x, y)) == 0
    x, y = surface.start
    assert x0 < x < x1
    assert y0 < y < y1
    assert np.hypot(*GRADIENTS[name](x, y)) > 1e-3  # there is a way down


def test_noise_has_the_stated_deviation_and_no_other_memory():
    noisy = SURFACES["noisy"]
    tilts = np.array([noisy.tilt(step) for step in range(4000)])
    np.testing.assert_allclose(tilts.std(axis=0), noisy.noise, rtol=0.05)
    np.testing.assert_allclose(tilts.mean(axis=0), 0, atol=0.02)
    np.testing.assert_array_equal(noisy.tilt(7), tilts[7])
    assert (noisy.tilt(7, seed=1) != tilts[7]).all()
    assert not SURFACES["beale"].tilt(0).any()


# --- What is recorded --------------------------------------------------------------------

STEPS = 12


def by_hand(text, name, steps=STEPS):
    """The paper's formulas in a loop of plain NumPy."""
    p, u, m, v, total = np.array(SURFACES[name].start, float), 0.0, 0.0, 0.0, 0.0
    path, first, second = [p], [], []
    for t in range(1, steps + 1):
        g = np.array(GRADIENTS[name](*p)) + SURFACES[name].tilt(t - 1)
        if text.startswith("sgd"):
            step = 0.01 * g
        elif text.startswith("momentum"):
            u = 0.9 * u + g
            step = 0.005 * u
        elif text.startswith("adagrad"):
            total = total + g * g
            step = 0.3 * g / (np.sqrt(total) + 1e-10)
        elif text.startswith("rmsprop"):
            v = 0.99 * v + 0.01 * g * g
            step = 0.02 * g / (np.sqrt(v) + 1e-8)
        else:
            m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g * g
            step = 0.1 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-8)
        p = p - step
        path.append(p)
        first.append(m if text.startswith("adam") else u)
        second.append(total if text.startswith("adagrad") else v)
    return np.array(path), first, second


@pytest.mark.parametrize("name", ["beale", "noisy"])
@pytest.mark.parametrize(
    "text",
    ["sgd:lr=0.01", "momentum:lr=0.005", "adagrad:lr=0.3", "rmsprop:lr=0.02", "adam:lr=0.1,betas=(0.8,0.95)"],
)
def test_a_trajectory_is_that_of_a_loop_by_hand(text, name):
    entry = Entry("adam", "adam", {"lr": 0.1, "betas": (0.8, 0.95)}) if "betas" in text else Entry.parse(text)
    t = descend(SURFACES[name], entry, STEPS)
    path, first, second = by_hand(text, name)
    np.testing.assert_allclose(t.positions, path, rtol=1e-9)
    np.testing.assert_allclose(t.losses, SURFACES[name].function(*path.T), rtol=1e-9)
    gradients = [GRADIENTS[name](*p) + SURFACES[name].tilt(i) for i, p in enumerate(path[:-1])]
    np.testing.assert_allclose(t.gradients, gradients, rtol=1e-7)
    np.testing.assert_allclose(t.steps, np.diff(path, axis=0), rtol=1e-6, atol=1e-12)
    if t.first_moment is not None:
        np.testing.assert_allclose(t.first_moment, first, rtol=1e-7)
    if t.root_second_moment is not None:
        np.testing.assert_allclose(t.root_second_moment**2, second, rtol=1e-7)
    kept = (t.first_moment is not None, t.root_second_moment is not None)
    assert kept == (text[0] == "m" or "adam:" in text, text[:3] in ("ada", "rms"))
    assert not t.diverged


@pytest.mark.torch
@pytest.mark.parametrize(
    ("text", "twin"),
    [
        ("nadam:lr=0.05", lambda torch, p: torch.optim.NAdam(p, lr=0.05)),
        ("nesterov:lr=0.005", lambda torch, p: torch.optim.SGD(p, lr=0.005, momentum=0.9, nesterov=True)),
        ("amsgrad:lr=0.1", lambda torch, p: torch.optim.Adam(p, lr=0.1, amsgrad=True)),
        ("adamax:lr=0.1", lambda torch, p: torch.optim.Adamax(p, lr=0.1)),
    ],
)
def test_a_trajectory_is_that_of_pytorch(text, twin):
    torch = pytest.importorskip("torch")
    point = torch.tensor(SURFACES["beale"].start, dtype=torch.float64, requires_grad=True)
    optimizer = twin(torch, [point])
    path = []
    for _ in range(40):
        path.append(point.detach().numpy().copy())
        optimizer.zero_grad()
        SURFACES["beale"].function(point[0], point[1]).backward()
        optimizer.step()
    t = descend(SURFACES["beale"], Entry.parse(text), 39)
    np.testing.assert_allclose(t.positions, path, rtol=1e-6)


SLOPE = Surface("slope", "", lambda x, y: 3 * x - 0.5 * y, ((0, 0),), 0.0, (1.0, 1.0), (-9, 9, -9, 9), "")


def test_moments_of_a_steady_gradient():
    g, t = np.array([3.0, -0.5]), np.arange(1, 21)[:, None]
    closed = {
        "adam": ((1 - 0.9**t) * g, np.sqrt(1 - 0.999**t) * abs(g)),
        "momentum": ((1 - 0.9**t) / (1 - 0.9) * g, None),
        "adagrad": (None, np.sqrt(t) * abs(g)),
        "rmsprop": (None, np.sqrt(1 - 0.99**t) * abs(g)),
        "adamax": ((1 - 0.9**t) * g, abs(g) + 0 * t),
        "sgd": (None, None),
    }
    for name, expected in closed.items():
        path = descend(SLOPE, Entry.parse(name), 20)
        np.testing.assert_array_equal(path.gradients, np.broadcast_to(g, (20, 2)))
        for found, value in zip((path.first_moment, path.root_second_moment), expected, strict=True):
            assert (found is None) == (value is None), name
            if value is not None:
                np.testing.assert_allclose(found, value, rtol=1e-7)
    lr = Entry.parse("adam").settings["lr"]
    np.testing.assert_allclose(
        descend(SLOPE, Entry.parse("adam"), 5).steps, [-lr * np.sign(g)] * 5, rtol=1e-6
    )


def test_the_record_ends_before_what_is_not_finite():
    t = descend(SURFACES["beale"], Entry.parse("sgd:lr=1.0"), 50)
    assert t.diverged
    assert 1 < len(t.positions) < 10
    assert len(t.positions) == len(t.losses) == len(t.steps) + 1 == len(t.gradients) + 1
    for values in (t.positions, t.losses, t.gradients, t.steps):
        assert np.isfinite(values).all()


def test_a_start_where_nothing_is_finite_is_refused():
    broken = dataclasses.replace(SLOPE, function=lambda x, y: x * float("nan") + y)
    with pytest.raises(NonFiniteError, match="race on slope: loss or gradient are not finite at the start"):
        descend(broken, Entry.parse("sgd"), 3)


# --- Learning rates and races ------------------------------------------------------------


@pytest.mark.parametrize("text", ["momentum", "adagrad", "adam"])  # Adagrad would leap
def test_the_learning_rate_found_is_the_best_of_all(text):
    surface, steps, entry = SURFACES["ravine"], 40, Entry.parse(text)
    found = tune_lr(surface, entry, steps)
    x0, x1, y0, y1 = surface.window
    scores = []
    for lr in RATES:
        t = descend(surface, dataclasses.replace(entry, settings={**entry.settings, "lr": lr}), steps)
        if t.diverged or np.linalg.norm(t.steps, axis=1).max() > LONGEST_STEP * np.hypot(x1 - x0, y1 - y0):
            continue
        share = t.losses / t.losses[0]
        scores.append(((share > TOLERANCE).sum(), np.log10(np.clip(share, 1e-12, None)).mean(), lr))
    assert len(scores) > 5
    assert found == min(scores)[2]


def test_a_race():
    result = race("ravine", ["sgd", "momentum:lr=0.02", "adam"], steps=80, lr=0.1)
    assert [t.entry.label for t in result.trajectories] == ["sgd", "momentum:lr=0.02", "adam"]
    assert [t.entry.settings["lr"] for t in result.trajectories] == [0.1, 0.02, 0.1]
    columns, rows = result.table()
    assert columns == ("optimizer", "settings", "final loss", "steps to 0.1%", "distance to minimum")
    # Each entry of SGD shrinks by 1 - lr * curvature: (1 - 0.02)^t and (1 - 0.4)^t.
    x, y = -5 * 0.98**80, -2 * 0.6**80
    assert rows[0][2] == f"{0.1 * x**2 + 2 * y**2:.3g}"
    assert rows[0][4] == f"{np.hypot(x, y):.2g}"
    losses = 0.1 * (5 * 0.98 ** np.arange(300)) ** 2 + 2 * (2 * 0.6 ** np.arange(300)) ** 2
    needed = int((losses > 1e-3 * 10.5).sum())
    assert rows[0][3] == "never"
    assert race("ravine", ["sgd"], 200, lr=0.1).table()[1][0][3] == str(needed)


def test_one_that_comes_within_the_tolerance_and_leaves_again_has_not_settled():
    swinging = race("ravine", ["momentum"], 20, lr=0.1)
    (t,) = swinging.trajectories
    shares = t.losses / t.losses[0]
    cross = dataclasses.replace(t, losses=np.where(np.arange(21) == 5, 0, shares))
    assert swinging.settled(cross) is None
    assert swinging.settled(dataclasses.replace(t, losses=np.array([1.0] * 5 + [0.0] * 16))) == 5


def test_who_leaves_and_who_diverges():
    result = race("beale", ["sgd:lr=0.05", "adam:lr=0.1", "momentum:lr=0.02"], steps=30)
    sgd, adam, _ = result.trajectories
    assert result.left(sgd) == 1
    assert result.note(sgd) == f"left the picture at step 1; diverged: not finite after step {len(sgd.steps)}"
    assert (result.left(adam), result.note(adam)) == (None, "")
    assert result.settled(sgd) is None


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        (("beal",), r"race: unknown surface 'beal'; did you mean 'beale'\?\s+known  beale, himmelblau"),
        (("beale", ["adm"]), r"race: unknown optimizer 'adm'; did you mean 'adam'"),
        (("beale", ["sgd", "sgd"]), r"no optimizer twice"),
        (("beale", []), r"at least one optimizer"),
        (("beale", ["sgd"], 0), r"race: steps must be an integer >= 1\s+steps  0"),
        (("beale", ["sgd"], 1.5), r"race: steps must be an integer >= 1\s+steps  1.5"),
        (("beale", ["sgd"], 5, -1.0), r"lr must be"),
    ],
)
def test_bad_races(arguments, saying):
    with pytest.raises(OptionError, match=saying):
        race(*arguments)


# --- Pictures and animations -------------------------------------------------------------


COLORS = ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73))


@pytest.fixture(scope="module")
def short():
    return race("beale", ["sgd:lr=0.01", "adam:lr=0.3", "momentum:lr=0.5"], steps=9)


def frames(path):
    with Image.open(path) as picture:
        return [
            (picture.seek(i), np.asarray(picture.convert("RGB")))[1]
            for i in range(getattr(picture, "n_frames", 1))
        ]


def test_a_picture(short, tmp_path):
    save_race(short, tmp_path / "race.png")
    (pixels,) = frames(tmp_path / "race.png")
    assert pixels.shape == (726, 1320, 3)
    for color in COLORS:
        assert (np.abs(pixels.astype(int) - color).sum(axis=2) < 12).sum() > 50
    assert os.listdir(tmp_path) == ["race.png"]


def test_what_the_picture_shows(short):
    picture = RacePicture(short)
    picture.show(9, moment=2)
    picture.label()
    texts = {text.get_text() for text in picture.figure.findobj(Text)}
    left = short.left(short.trajectories[2])
    assert {"start", "minimum", "sgd", "adam", f"momentum left at step {left}", "lr=0.01"} <= texts
    for t, line, head, dial in zip(
        short.trajectories[:2], picture._lines, picture._heads, picture._dials, strict=False
    ):
        np.testing.assert_array_equal(line.get_xydata(), t.positions)
        np.testing.assert_array_equal(head.get_xydata(), t.positions[2:3])
        m = np.zeros(2) if t.first_moment is None else t.first_moment[2]
        root = np.zeros(2) if t.root_second_moment is None else t.root_second_moment[2]
        unit = max(map(np.max, map(np.abs, (t.gradients[2], m, root))))
        for arrow, value in ((dial._gradient, -t.gradients[2] / unit), (dial._momentum, -m / unit)):
            np.testing.assert_allclose((arrow.U[0], arrow.V[0]), value)
        box = dial._box
        np.testing.assert_allclose((box.get_width(), box.get_height()), 2 * root / unit)
        np.testing.assert_allclose((box.get_x(), box.get_y()), -root / unit)
        step = np.array([dial._step.U[0], dial._step.V[0]])
        np.testing.assert_allclose(step * np.linalg.norm(t.steps[2]), t.steps[2])
        assert f"|step| {np.linalg.norm(t.steps[2]):.2g}" in dial._scale.get_text()
    assert picture._dials[2]._scale.get_text() == f"diverged after step {len(short.trajectories[2].steps)}"
    styles = {(line.get_color(), line.get_marker(), str(line._dash_pattern)) for line in picture._lines}
    assert all(len({style[i] for style in styles}) == 3 for i in range(3))
    end = picture._lines[2].get_xydata()[-1]
    x0, x1, y0, y1 = short.surface.window
    assert min(abs(end[0] - x0), abs(end[0] - x1), abs(end[1] - y0), abs(end[1] - y1)) < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["gif", "html"])
def test_an_animation_has_a_frame_a_step(short, tmp_path, ending):
    told = []
    save_race(short, tmp_path / f"race.{ending}", lambda *numbers: told.append(numbers))
    assert told == [(i + 1, 9) for i in range(9)]
    assert os.listdir(tmp_path) == [f"race.{ending}"]
    if ending == "gif":
        pictures = frames(tmp_path / "race.gif")
        assert {picture.shape for picture in pictures} == {(528, 960, 3)}
        assert len(pictures) == 9
        for frame in pictures[1:]:
            for color in COLORS:
                assert (frame == color).all(axis=2).sum() > 30  # none was taken for another
        changes = [(a != b).any(axis=2).mean() for a, b in itertools.pairwise(pictures)]
        assert all(0 < change < 0.3 for change in changes)  # paths grow, the rest stands still
    else:
        text = (tmp_path / "race.html").read_text()
        encoded = re.findall(r'data:image/png;base64,([^"]*)"', text)
        assert len(encoded) == 9
        middle = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded[4]))).convert("RGB"))
        assert all((middle == color).all(axis=2).sum() > 30 for color in COLORS)
        assert not re.search(r"https?://|<link", text)  # it opens without a network
        assert text.count('::before { content: "') == len(set(re.findall(r'class="fa (fa-[\w\s-]+)"', text)))


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_a_film(short, tmp_path):
    save_race(short, tmp_path / "race.mp4")
    assert (tmp_path / "race.mp4").read_bytes()[4:8] == b"ftyp"


@pytest.mark.slow
def test_a_frame_is_what_a_whole_drawing_would_be(short):
    frames = list(saving._draw_frames(RacePicture(short), [1, 4, 9]))
    picture = RacePicture(short)
    picture.figure.set_dpi(saving.DPI)
    canvas = FigureCanvasAgg(picture.figure)
    picture.show(9)
    canvas.draw()
    picture.figure.set_layout_engine("none")
    picture.show(4)
    canvas.draw()
    whole = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
    apart = np.abs(frames[1] - whole).max(axis=2) > 60  # colors are rounded to those of the palette
    assert apart.mean() < 2e-4
    assert (np.abs(frames[0] - whole).max(axis=2) > 60).mean() > 2e-3


def test_long_races_leave_steps_out():
    steps = saving.frame_steps(1000)
    assert (len(steps), steps[0], steps[-1]) == (saving.FRAMES, 1, 1000)
    assert steps == sorted(set(steps))
    assert saving.frame_steps(80) == list(range(1, 81))


def test_an_error_leaves_the_old_file(short, tmp_path, monkeypatch):
    target = tmp_path / "race.gif"
    target.write_text("old")

    def failing(self, step, moment=None):
        raise RuntimeError("no more")

    monkeypatch.setattr(RacePicture, "show", failing)
    with pytest.raises(RuntimeError, match="no more"):
        save_race(short, target)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["race.gif"]


@pytest.mark.parametrize(
    ("name", "saying"),
    [
        ("race.jpg", r"unknown file ending '.jpg'; did you mean '.png'\?\s+known  .gif, .html, .mp4, .png"),
        ("race", r"unknown file ending 'race'"),
        ("file/race.png", r"cannot write there: .*; choose another[\s\S]*file"),
        ("there.png", r"cannot write there: it is a folder"),
    ],
)
def test_bad_files(short, tmp_path, name, saying):
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "there.png").mkdir()
    with pytest.raises(OptionError, match=f"race: {saying}"):
        save_race(short, tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["file", "there.png"]


def test_mp4_without_ffmpeg(short, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OptionError, match=r"ffmpeg, which is not there; install it, or choose .gif or .html"):
        save_race(short, tmp_path / "new" / "race.mp4")
    assert os.listdir(tmp_path) == []


# --- On the command line -----------------------------------------------------------------


def test_the_command(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = call(
        "race",
        "--surface",
        "ravine",
        "--optimizers",
        "sgd,adam:lr=0.1,beta1=0.8,momentum:lr=9",
        "--steps",
        40,
    )
    assert (answer.code, answer.err) == (0, "")
    assert (tmp_path / "runs" / "race-ravine-1.png").read_bytes()[:8] == PNG
    for row in race("ravine", ["sgd", "adam:lr=0.1,beta1=0.8"], 40).table()[1]:
        assert all(word in answer.out for cell in row for word in cell.split())
    assert "momentum:lr=9 left the picture at step 1" in answer.out
    assert "race-ravine-1.png shows the paths" in answer.out


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        (["--surface", "beal"], r"race: unknown surface 'beal'; did you mean 'beale'"),
        (["--optimizers", "sgd,adm"], r"race: unknown optimizer 'adm'"),
        (["--optimizers", "sgd,sgd"], r"no optimizer twice"),
        (["--optimizers", "adam:lr"], r"race: write name:setting=value"),
        (["--lr", "-1"], r"lr must be"),
        (["--plane", "around"], r"name its run with --run"),
        (["--run", "nowhere"], r"there is no such folder"),
        (["--run", "nowhere", "--surface", "beale"], r"a surface or a run, not both"),
        (["--run", "nowhere", "--plane", "arond"], r"unknown plane 'arond'; did you mean 'around'"),
    ],
)
def test_bad_options(fails, tmp_path, monkeypatch, options, saying):
    monkeypatch.chdir(tmp_path)
    fails("race", *options, saying=saying)
    assert os.listdir(tmp_path) == []


def test_a_file_is_not_overwritten(fails, tmp_path):
    (tmp_path / "mine.gif").write_text("mine")
    fails("race", "--out", tmp_path / "mine.gif", saying="race: the file exists; choose another with --out")
    fails("race", "--out", tmp_path / "mine.txt", saying="race: unknown file ending '.txt'")
    assert (tmp_path / "mine.gif").read_text() == "mine"


def test_the_help_names_all_surfaces(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert f" {', '.join(ALL)}. " in call("race", "--help").out


# --- The page ----------------------------------------------------------------------------

PAGE = (Path(__file__).parents[2] / "docs" / "explain.md").read_text().partition("## Races")[2]


@pytest.mark.slow
def test_the_code_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1], {})
    assert (tmp_path / "beale.png").read_bytes()[:8] == PNG
    assert "adam:lr=0.1" in capsys.readouterr().out


def test_the_page_lists_all_surfaces_as_they_are():
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \| [^|]* \| ([^|]*) \|", PAGE, re.MULTILINE)
    stated = {name: (formula, start) for name, formula, start in rows if name in SURFACES}
    assert stated == {
        name: (surface.formula.partition(", and")[0], "({:g}, {:g})".format(*surface.start))
        for name, surface in SURFACES.items()
    }
