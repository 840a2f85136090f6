"""The film of a training: what is recorded, and the page that is written."""

from __future__ import annotations

import base64
import json
import re
import weakref
from html.parser import HTMLParser

import numpy as np
import pytest

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import errors, nn, optim
from tinygrad_adam.explain.film.camera import MOST_FRAMES, MOST_PARAMETERS, MOST_STAGES
from tinygrad_adam.explain.film.sampling import view_of_values, view_of_weights

X = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
Y = np.array([0, 1, 1, 0, 1, 0])


def small_net():
    tg.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def step(net, opt, x=X, y=Y):
    loss = F.cross_entropy(net(tg.tensor(x)), y)
    opt.zero_grad()
    loss.backward()
    opt.step()
    return loss.item()


def described(path):
    """Read a page as its player does: what is described, and the frames."""
    text = path.read_text(encoding="utf-8")
    film = json.loads(re.search(r"const film = (.*);\n", text)[1])
    packed = re.search(r'const packed = "(.*)";\n', text)[1]
    frames = np.frombuffer(base64.b64decode(packed), "<f4").reshape(len(film["steps"]), film["width"])
    return film, frames


def of_parameter(film, frames, name, kind):
    param = next(p for p in film["params"] if p["name"] == name)
    size = param["rows"] * param["columns"]
    start = param["start"] + param["kinds"].index(kind) * size
    return frames[:, start : start + size].reshape(-1, param["rows"], param["columns"])


def test_each_number_is_that_of_the_training(tmp_path):
    net = small_net()
    opt = optim.Adam(net.parameters(), lr=0.1)
    seen = {"value": [], "gradient": [], "m": [], "v": [], "update": []}
    losses, hidden, slopes = [], [], []
    with tg.film(tmp_path / "a.html") as recorder:
        for _ in range(5):
            before = net[0].weight.detach().numpy().copy()
            h = net[1](net[0](tg.tensor(X)))  # modules called one by one
            h.retain_grad()
            loss = F.cross_entropy(net[2](h), Y)
            opt.zero_grad()
            loss.backward()
            hidden.append(h.detach().numpy().copy())
            slopes.append(h.grad.numpy().copy())
            losses.append(loss.item())
            seen["gradient"].append(net[0].weight.grad.numpy().copy())
            opt.step()
            count, moments = opt.moments(net[0].weight)
            assert count == len(losses)
            seen["value"].append(net[0].weight.detach().numpy().copy())
            seen["update"].append(seen["value"][-1] - before)
            seen["m"].append(moments["m"].copy())
            seen["v"].append(moments["v"].copy())
    film, frames = described(tmp_path / "a.html")
    np.testing.assert_array_equal(frames, np.stack(recorder.frames))
    assert film["steps"] == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(np.float32([loss for _, loss in film["losses"]]), np.float32(losses))
    for kind, arrays in seen.items():
        np.testing.assert_array_equal(of_parameter(film, frames, "weight", kind), arrays)
    assert [stage["name"] for stage in film["stages"]] == [
        "Linear",
        "Tanh",
        "Linear",
        "softmax_cross_entropy",
    ]
    tanh = film["stages"][1]
    for at, arrays in ((tanh["output"], hidden), (tanh["gradient"], slopes)):
        np.testing.assert_array_equal(frames[:, at : at + 24].reshape(-1, 6, 4), arrays)
    edge = next(e for e in film["edges"] if (e["to"], e["target"]) == ("stage", 1))
    assert (edge["from"], edge["operation"]) == (2, "linear")
    np.testing.assert_allclose(frames[:, edge["norm"]], [np.linalg.norm(s) for s in slopes], rtol=1e-6)


def test_edges_run_backward_and_reach_every_parameter(tmp_path):
    net = small_net()
    with tg.film(tmp_path / "a.html"):
        step(net, optim.SGD(net.parameters(), lr=0.1))
    film, frames = described(tmp_path / "a.html")
    assert [p["name"] for p in film["params"]] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    names = [stage["name"] for stage in film["stages"]]
    shown = [
        (names[e["from"]], names[e["target"]] if e["to"] == "stage" else film["params"][e["target"]]["name"])
        for e in film["edges"]
    ]
    assert shown == [
        ("softmax_cross_entropy", "2 Linear"),
        ("2 Linear", "1 Tanh"),
        ("2 Linear", "2.weight"),
        ("2 Linear", "2.bias"),
        ("1 Tanh", "0 Linear"),
        ("0 Linear", "0.weight"),
        ("0 Linear", "0.bias"),
    ]
    for e in film["edges"]:
        if e["to"] == "parameter":
            p = list(net.parameters())[e["target"]]
            assert frames[0, e["norm"]] == pytest.approx(np.linalg.norm(p.grad.numpy()), rel=1e-6)
    assert film["params"][0]["kinds"] == ["value", "gradient", "update"]


def test_recording_changes_no_number(tmp_path):
    alone, filmed = small_net(), small_net()
    for net in (alone, filmed):
        opt = optim.Adam(net.parameters(), lr=0.1)
        if net is filmed:
            with tg.film(tmp_path / "a.html"):
                losses = [step(net, opt) for _ in range(10)]
        else:
            expected = [step(net, opt) for _ in range(10)]
    assert losses == expected


@pytest.mark.parametrize("count", [MOST_FRAMES, MOST_FRAMES + 1, 1000])
def test_a_long_training_is_sampled_evenly(tmp_path, count):
    net = nn.Linear(1, 1)
    opt = optim.SGD(net.parameters(), lr=0.01)
    with tg.film(tmp_path / "a.html"):
        for _ in range(count):
            opt.zero_grad()
            (net(tg.ones(1, 1)) ** 2).sum().backward()
            opt.step()
    film, frames = described(tmp_path / "a.html")
    assert MOST_FRAMES / 2 <= len(frames) <= MOST_FRAMES
    assert film["steps"][0] == 1
    assert len({b - a for a, b in zip(film["steps"], film["steps"][1:], strict=False)}) == 1
    assert film["steps"][-1] > count - 2 * (film["steps"][1] - 1) - 1
    assert [t for t, _ in film["losses"]] == list(range(1, count + 1))


def test_the_size_is_bounded(tmp_path):
    tg.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(6272, 100),
        nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), amsgrad=True)
    with tg.film(tmp_path / "a.html") as recorder:
        step(net, opt, np.ones((2, 1, 28, 28), np.float32), np.array([1, 2]))
    assert recorder.layout.width * 4 * MOST_FRAMES * 4 / 3 < 5e6
    film, _ = described(tmp_path / "a.html")
    wide = next(p for p in film["params"] if p["name"] == "4.weight")
    assert "of 100 × 6272" in wide["about"]
    places = np.array(wide["places"]).reshape(wide["rows"], wide["columns"])
    assert {0, 6271, 100 * 6272 - 1} <= set(places.reshape(-1).tolist())


@pytest.mark.slow
def test_of_a_very_deep_network_the_end_is_shown(tmp_path):
    tg.manual_seed(0)
    net = nn.Sequential(*(nn.Linear(6, 6) for _ in range(110)))
    opt = optim.Adam(net.parameters())
    with tg.film(tmp_path / "a.html") as recorder:
        for _ in range(140):
            tg.sum(net(tg.ones(2, 6))).backward()
            opt.step()
    assert 60 <= len(recorder.frames) < 140
    assert recorder.steps[:2] == [1, 1 + recorder.every]
    assert len(recorder.layout.params) == MOST_PARAMETERS
    assert (tmp_path / "a.html").stat().st_size < 5e6
    film, _ = described(tmp_path / "a.html")
    assert (film["hidden"], film["size"]) == (2 * 110 - MOST_PARAMETERS, 110 * 42)
    assert [p["name"] for p in film["params"][-2:]] == ["109.weight", "109.bias"]


def test_nothing_of_a_finished_step_is_held(tmp_path):
    net = small_net()
    opt = optim.Adam(net.parameters())
    with tg.film(tmp_path / "a.html"):
        for _ in range(3):
            h = net[0](tg.tensor(X))
            h.retain_grad()
            F.cross_entropy(net[2](h), Y).backward()
            opt.step()
            held = [weakref.ref(each) for each in (h._data, h.node, h._grad)]
            del h
            assert [each() for each in held] == [None, None, None]


def test_a_module_that_is_called_twice_is_two_stages(tmp_path):
    lin = nn.Linear(3, 3)
    opt = optim.SGD(lin.parameters(), lr=0.1)
    with tg.film(tmp_path / "a.html"):
        tg.sum(lin(lin(tg.tensor(X)))).backward()
        opt.step()
    film, frames = described(tmp_path / "a.html")
    assert [stage["name"] for stage in film["stages"]] == ["Linear", "Linear", "sum"]
    first, second = (frames[0, s["output"] : s["output"] + 18] for s in film["stages"][:2])
    assert not np.array_equal(first, second)


def test_a_row_sparse_gradient_is_shown_whole(tmp_path):
    table = nn.Embedding(5, 2, sparse=True)
    opt = optim.SparseAdam(table.parameters())
    with tg.film(tmp_path / "a.html"):
        (table(np.array([1, 3])) * 2.0).sum().backward()
        opt.step()
    film, frames = described(tmp_path / "a.html")
    gradient = of_parameter(film, frames, film["params"][0]["name"], "gradient")
    np.testing.assert_array_equal(gradient[0], [[0, 0], [2, 2], [0, 0], [2, 2], [0, 0]])


def test_the_names_that_the_optimizer_was_given_count(tmp_path):
    net = small_net()
    opt = optim.SGD([("whole." + name, p) for name, p in net.named_parameters()], lr=0.1)
    with tg.film(tmp_path / "a.html"):
        step(net, opt)
    film, _ = described(tmp_path / "a.html")
    assert [p["name"] for p in film["params"]] == ["whole." + name for name, _ in net.named_parameters()]


@pytest.mark.parametrize(
    "shape", [(), (1,), (7,), (300,), (3, 4), (100, 3), (20, 3, 5, 5), (2, 2, 1, 7), (0, 3)]
)
@pytest.mark.parametrize("view_of", [view_of_weights, view_of_values])
@pytest.mark.parametrize("most", [24, 5, 3])
def test_views_lie_inside(shape, view_of, most):
    array = np.arange(int(np.prod(shape)))
    view = view_of(shape, most)
    shown = view.of(array.reshape(shape))
    assert len(set(shown.tolist())) == view.places.size
    if view.about == "all":
        assert sorted(shown) == list(array)


def test_kernels_of_filters_stay_whole():
    weight = np.arange(20 * 3 * 5 * 5).reshape(20, 3, 5, 5)
    view = view_of_weights(weight.shape, 10)  # two filters of two channels
    shown = view.of(weight).reshape(view.places.shape)
    np.testing.assert_array_equal(shown[:5, :5], weight[0, 0])
    np.testing.assert_array_equal(shown[5:, 5:], weight[19, 2])


def test_kernels_of_one_dimension_lie_down():
    weight = np.arange(6 * 4 * 5).reshape(6, 4, 5)
    view = view_of_weights(weight.shape, 12)
    assert view.places.shape == (6, 2 * 5)
    shown = view.of(weight).reshape(view.places.shape)
    np.testing.assert_array_equal(shown[0], [*weight[0, 0], *weight[0, 3]])


def test_a_layer_of_several_operations_names_the_one_that_computes(tmp_path):
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(np.ones((3, 2), np.float32))

        def forward(self, x):
            return (x.reshape(18).reshape(6, 3) @ self.weight).reshape(6, 2)

    net = nn.Sequential(nn.Linear(3, 3), Turned())
    with tg.film(tmp_path / "a.html"):
        step(net, optim.SGD(net.parameters(), lr=0.1))
    film, _ = described(tmp_path / "a.html")
    passed = [(e["to"], e["operation"]) for e in film["edges"] if e["from"] == 1]
    assert film["stages"][1]["name"] == "1 Turned"
    assert sorted(passed) == [("parameter", "matmul"), ("stage", "matmul")]


def test_what_is_no_training_step_is_left_out(tmp_path):
    net = small_net()
    opt = optim.Adam(net.parameters(), lr=0.1)
    other = optim.SGD([nn.Parameter(np.ones(2))], lr=1.0)
    with tg.film(tmp_path / "a.html") as recorder:
        step(net, opt)
        with tg.no_grad():
            net(tg.tensor(X))
        net(tg.tensor(X[:2]))  # nobody goes back through it
        other.param_groups[0]["params"][0].sum().backward()
        other.step()
        step(net, opt, X[:4], Y[:4])  # the last batch of an epoch
        loss = F.mse_loss(net(tg.tensor(X)), np.zeros((6, 2), np.float32))
        opt.zero_grad()
        loss.backward()
        opt.step()
        step(net, opt)
    assert recorder.steps == [1, 2, 4]
    assert described(tmp_path / "a.html")[0]["other"] == 1


def test_a_long_program_shows_its_end(tmp_path):
    p = nn.Parameter(np.ones(3))
    opt = optim.SGD([("p", p)], lr=0.1)
    with tg.film(tmp_path / "a.html"):
        x = p
        for _ in range(100):
            x = x * 1.01
        x.sum().backward()
        opt.step()
    film, _ = described(tmp_path / "a.html")
    assert (len(film["stages"]), film["folded"]) == (MOST_STAGES, 101 - MOST_STAGES)
    assert film["stages"][-1]["name"] == "sum"


def test_a_loss_that_is_not_finite_is_shown(tmp_path):
    p = nn.Parameter(np.array([0.0]))
    opt = optim.SGD([p], lr=0.1)
    with tg.film(tmp_path / "a.html"), np.errstate(divide="ignore"):
        p.log().sum().backward()
        opt.step()
    film, frames = described(tmp_path / "a.html")
    assert film["losses"] == [[1, None]]
    assert frames[0, film["stages"][-1]["output"]] == -np.inf


def test_the_page_needs_nothing_else_and_takes_any_title(tmp_path):
    net = small_net()
    with tg.film(tmp_path / "a.html", title="</script><b>{{data}} & 3"):
        step(net, optim.Adam(net.parameters()))
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)\s*=|url\(|https?:|@import", text)
    assert "</script><b>" not in text
    assert "default-src 'none'" in text


def test_a_training_that_fails_leaves_the_film_so_far(tmp_path):
    net = small_net()
    opt = optim.Adam(net.parameters())

    def stopped():
        with tg.film(tmp_path / "a.html"):
            step(net, opt)
            step(net, opt)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert described(tmp_path / "a.html")[0]["steps"] == [1, 2]
    with pytest.raises(ZeroDivisionError), tg.film(tmp_path / "b.html"):
        1 / 0  # noqa: B018
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("film.txt", r"must end in \.html[^\n]*\n.*film\.txt"),
        ("folder.html", "cannot write there: it is a folder"),
        ("file/film.html", "cannot write there"),
    ],
)
def test_where_it_cannot_be_written_is_said_before_the_training(tmp_path, name, message):
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.OptionError, match=message), tg.film(tmp_path / name):
        pytest.fail("the training began")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.html"]


def test_no_step_is_said(tmp_path):
    with pytest.raises(errors.OptionError, match="no training step was seen"), tg.film(tmp_path / "a.html"):
        small_net()(tg.tensor(X))
    assert not list(tmp_path.iterdir())


# --- In a notebook -----------------------------------------------------------------------


class Frames(HTMLParser):
    """Collects the frames of a page, with their contents as a browser reads them."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "iframe":
            self.found.append(dict(attrs))


def test_a_film_without_a_file_is_a_frame_with_all_that_it_needs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = small_net()
    opt = optim.Adam(net.named_parameters())
    with tg.film() as film:
        before = film._repr_html_()
        step(net, opt)
    assert before is None
    assert list(tmp_path.iterdir()) == []
    (frame,) = Frames(film._repr_html_()).found
    (tmp_path / "inside.html").write_text(frame["srcdoc"], "utf-8")
    inside, frames = described(tmp_path / "inside.html")
    assert (inside["title"], inside["steps"], frames.shape[0]) == ("film", [1], 1)
    assert "src" not in frame


def test_a_film_with_a_file_plays_in_a_notebook_too_under_its_title(tmp_path):
    net = small_net()
    opt = optim.Adam(net.named_parameters())
    with tg.film(tmp_path / "film.html", title='"Moons" & <b>more</b>') as film:
        step(net, opt)
    (frame,) = Frames(film._repr_html_()).found
    page = (tmp_path / "film.html").read_text("utf-8")
    start, _, _ = frame["srcdoc"].rpartition("<script>")
    assert page.startswith(start)
    assert frame["title"] == '"Moons" & <b>more</b>'
    assert repr(film) == "<film '\"Moons\" & <b>more</b>': 1 step>"


def test_a_film_without_a_file_needs_a_step_too():
    with pytest.raises(errors.OptionError, match="no training step was seen"), tg.film():
        pass
