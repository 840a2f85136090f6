"""Drawings of graphs: what they say, read from the SVG, and that nothing lies on anything else."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from networks import SVG, residual

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import nn
from tinygrad_adam.errors import DTypeError, GraphError, OptionError
from tinygrad_adam.explain.drawing import faces

# --- Graphs ------------------------------------------------------------------------------


def scalars(*values):
    return [tg.tensor(v, dtype=np.float64, requires_grad=True) for v in values]


def neuron():
    x1, x2, w1, w2, b = scalars(2.0, 0.0, -3.0, 1.0, 6.881373587019543)
    return ((x1 * w1 + x2 * w2) + b).tanh()


def convolutional():
    tg.manual_seed(0)
    first = nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2)
    model = nn.Sequential(*first, nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4))
    with tg.tracing():
        return F.cross_entropy(model(tg.randn(2, 1, 10, 10)), np.array([0, 3]))


def tied():
    """A layer that is called twice, and a value that enters a module beside it."""
    layer = nn.Linear(3, 3)
    with tg.tracing():
        x = layer(tg.ones(2, 3))
        return (layer(x) * x + layer.weight.sum()).mean()


def random_graph(seed):
    rng = np.random.default_rng(seed)
    values = scalars(*rng.standard_normal(4))
    for _ in range(25):
        a, b = (values[i] for i in rng.integers(0, len(values), 2))
        operation = [tg.multiply, tg.add, lambda a, b: a.tanh()][rng.integers(3)]
        values.append(operation(a, b))
    total = values[4]
    for value in values[5:]:
        total = total + value
    return total


GRAPHS = {
    "neuron": (neuron, None),
    "residual": (residual, None),
    "residual, folded": (residual, 0),
    "residual, unfolded": (residual, 9),
    "residual, one block": (residual, ["first", "second.norm"]),
    "convolutional": (convolutional, None),
    "tied": (tied, 9),
    "random 0": (lambda: random_graph(0), None),
    "random 1": (lambda: random_graph(1), None),
    "chain": (lambda: chain(150), None),
}
TURNED = ("residual", "residual, unfolded", "residual, one block", "convolutional", "random 0")


def chain(length):
    (x,) = scalars(1.0)
    y = x
    for _ in range(length):
        y = y * 1.0
    return y


# --- Reading a picture -------------------------------------------------------------------


class Picture:
    """The shown boxes and edges of an SVG, in its coordinates, by the level that they stand in.

    A picture whose data flows to the right is mirrored at the diagonal, so that its data flows down.
    """

    def __init__(self, svg, right=False):
        self.right = right
        self.root = ET.fromstring(svg)
        _, _, *size = map(float, self.root.get("viewBox").split())
        self.size = size[::-1] if right else size
        self.levels = {}  # key: (boxes, edges, frame)
        self.texts = {}
        self._read(self.root, 0.0, 0.0, None)

    def _read(self, element, x, y, level):
        if element.get("display") == "none":
            return
        shift = re.fullmatch(r"translate\(([-\d.]+) ([-\d.]+)\)", element.get("transform", ""))
        if shift:
            x, y = x + float(shift[1]), y + float(shift[2])
        if element.get("data-level"):
            level = element.get("data-level")
            self.levels[level] = ({}, {})
        if element.get("data-edge"):
            path = points(element.get("d"), x, y, self.right)
            self.levels[level][1][element.get("data-edge")] = path
        if element.get("data-box"):
            shown = list(shown_rects(element))
            w, h = float(shown[0].get("width")), float(shown[0].get("height"))
            place = (y, x, y + h, x + w) if self.right else (x, y, x + w, y + h)
            self.levels[level][0][element.get("data-box")] = place
            self.texts[element.get("data-box")] = [
                "".join(t.itertext()) for t in shown_rects(element, "text")
            ]
        for child in element:
            self._read(child, x, y, level)

    def text_of(self, title):
        (found,) = [lines for lines in self.texts.values() if lines[0] == title]
        return found[1:]


def shown_rects(box, tag="rect"):
    """Yield the elements of a box that are shown and not those of boxes inside it."""
    for child in box:
        if child.get("display") == "none" or child.get("data-level"):
            continue
        if child.tag == SVG + tag:
            yield child
        yield from shown_rects(child, tag)


def points(path, dx, dy, right):
    """Sample the points of a path of M, V or H, C and a closing arrow."""
    found = []
    assert ("V" in path, "H" in path) == (not right, right)
    if right:
        dx, dy = dy, dx
    for command, numbers in re.findall(r"([MVCml])([^MVCml]*)", path.replace("H", "V")):
        n = [float(v) for v in re.findall(r"-?[\d.]+", numbers)]
        if right and len(n) > 1:
            n = [n[i ^ 1] for i in range(len(n))]
        if command == "M":
            found.append((n[0], n[1]))
        elif command == "V":
            x, y = found[-1]
            found += [(x, y + (n[0] - y) * t) for t in np.linspace(0, 1, 9)[1:]]
        elif command == "C":
            p = np.array([found[-1], n[:2], n[2:4], n[4:]])
            np.testing.assert_allclose(p[[0, 2], 0], p[[1, 3], 0], atol=0.11)  # upright at both ends
            for t in np.linspace(0, 1, 17)[1:]:
                weights = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3]
                found.append(tuple(np.array(weights) @ p))
    return [(x + dx, y + dy) for x, y in found]


@pytest.fixture(
    scope="module",
    params=[*((name, "down") for name in GRAPHS), *((name, "right") for name in TURNED)],
    ids=str,
)
def picture(request):
    name, direction = request.param
    build, unfold = GRAPHS[name]
    return Picture(tg.draw(build(), unfold=unfold, direction=direction).svg, direction == "right")


# --- Layout ------------------------------------------------------------------------------


def test_no_box_lies_on_another(picture):
    count = 0
    for boxes, _ in picture.levels.values():
        places = list(boxes.values())
        for i, a in enumerate(places):
            for b in places[i + 1 :]:
                count += 1
                assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (a, b)
    assert count or len(picture.texts) == 1


def test_everything_lies_inside_the_picture_and_the_frame_around_it(picture):
    width, height = picture.size
    places = {key: place for boxes, _ in picture.levels.values() for key, place in boxes.items()}
    for x0, y0, x1, y1 in places.values():
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
    for box in picture.root.iter(SVG + "g"):
        outer = places.get(box.get("data-box"))
        for inner in box.iter(SVG + "g") if outer else ():
            if inner.get("data-box") in places:
                x0, y0, x1, y1 = places[inner.get("data-box")]
                assert outer[0] <= x0 < x1 <= outer[2]
                assert outer[1] <= y0 < y1 <= outer[3]


def test_edges_run_down_and_cross_no_box(picture):
    for boxes, edges in picture.levels.values():
        for path in edges.values():
            for (_, y0), (_, y1) in pairwise(path):
                assert y1 >= y0 - 0.11
            for x, y in path:
                for x0, y0, x1, y1 in boxes.values():
                    assert not (x0 + 1 < x < x1 - 1 and y0 + 1 < y < y1 - 1)


def test_edges_begin_and_end_at_boxes_or_frames(picture):
    for boxes, edges in picture.levels.values():
        ends = [y for box in boxes.values() for y in (box[1], box[3])]
        for path in edges.values():
            at_box = [min(abs(y - e) for e in ends) < 0.11 for y in (path[0][1], path[-1][1])]
            assert any(at_box)


def test_text_fits_its_box(picture):
    for key, lines in picture.texts.items():
        for boxes, _ in picture.levels.values():
            if key in boxes:
                x0, y0, x1, y1 = boxes[key]
                width = y1 - y0 if picture.right else x1 - x0
                assert max(len(lines[0]) * 7.83, *(len(line) * 6.63 for line in lines)) < width


# --- What is said ------------------------------------------------------------------------


def test_scalars_show_values_and_gradients_as_micrograd_does():
    x1, x2, w1, w2, b = scalars(2.0, 0.0, -3.0, 1.0, 6.881373587019543)
    n = x1 * w1 + x2 * w2 + b
    o = n.tanh()
    drawn = Picture(tg.draw(o).svg)
    # The neuron of the micrograd lecture: data and gradients as published there.
    expected = {"x1": (2, -1.5), "x2": (0, 0.5), "w1": (-3, 1), "w2": (1, 0), "b": (6.881, 0.5)}
    for name, (data, grad) in expected.items():
        assert drawn.text_of(name) == [f"data {data}   grad {grad}"]
    assert drawn.text_of("n = add") == ["data 0.8814   grad 0.5", "dL/da = g", "dL/db = g"]
    assert drawn.text_of("o = tanh") == ["data 0.7071   grad 1", "dL/da = g * (1 - y * y)"]


def test_traced_scalars_show_values_that_no_variable_holds_and_numbers():
    with tg.tracing():
        (a,) = scalars(3.0)
        loss = (a + 1.0).exp()
    drawn = Picture(tg.draw(loss).svg)
    np.testing.assert_allclose(float(drawn.text_of("add")[0].split()[1]), 4)
    assert drawn.text_of("1") == []  # the number that was added
    assert drawn.text_of("loss = exp")[0] == f"data {math.exp(4):.4g}   grad 1"


def test_a_value_that_is_taken_twice_has_two_edges():
    (a,) = scalars(3.0)
    drawn = Picture(tg.draw(a * a).svg)
    assert len(drawn.levels["whole"][1]) == 2


def test_modules_are_boxes_with_shapes_and_parameters():
    loss = convolutional()
    drawn = Picture(tg.draw(loss).svg)
    assert drawn.text_of("+ 0 Conv2d")[:5] == [
        "1, 2, kernel_size=3", "(2, 1, 10, 10) → (2, 2, 8, 8)", "weight (2, 1, 3, 3)", "bias (2,)",
        "20 parameters",
    ]  # fmt: skip
    steps = {step.call.path: step for step in loss.explain().steps if step.call}
    assert drawn.text_of("+ 0 Conv2d")[5] == f"|grad| = {steps['0'].gradient.norm:.4g}"
    assert [t[0] for t in drawn.texts.values() if "ReLU" in t[0]] == ["+ 1 ReLU", "+ 4 ReLU"]


def titles(svg):
    return {lines[0] for lines in Picture(svg).texts.values()}


def test_modules_unfold_to_a_depth_and_by_name():
    loss = residual()
    assert titles(tg.draw(loss, unfold=0).svg) == {
        "x", "+ Residual", "labels", "loss = softmax_cross_entropy",
    }  # fmt: skip
    assert "+ first Block" in titles(tg.draw(loss, unfold=1).svg)
    by_name = titles(tg.draw(loss, unfold="first").svg)
    assert {"\u2212 first Block", "+ first.conv1 Conv2d", "+ second Block"} <= by_name
    inner = titles(tg.draw(loss, unfold=["second.norm BatchNorm2d"]).svg)
    assert {
        "\u2212 Residual",
        "\u2212 second Block",
        "\u2212 second.norm BatchNorm2d",
        "standardize",
    } <= inner
    assert "+ first Block" in inner
    everything = titles(tg.draw(loss, unfold=9).svg)
    assert not [title for title in everything if title.startswith("+")]
    with pytest.raises(OptionError, match=r"unknown module 'frist'; did you mean[\s\S]*second Block"):
        tg.draw(loss, unfold="frist")


def test_what_a_module_is_given_stands_outside_and_its_parameters_inside():
    drawn = Picture(tg.draw(residual(), unfold=9).svg)
    where = {drawn.texts[key][0]: level for level, (boxes, _) in drawn.levels.items() for key in boxes}
    assert where["x"] == where["labels"] == "whole"
    assert where["head.weight"] == where["linear"] == where["head.bias"] != "whole"


def test_a_layer_called_twice_is_two_boxes_and_its_weight_stands_outside_both():
    loss = tied()
    folded = Picture(tg.draw(loss, unfold=0).svg)
    assert [lines[0] for lines in folded.texts.values()].count("+ Linear") == 2
    drawn = Picture(tg.draw(loss, unfold=9).svg)
    where = [(drawn.texts[key][0], level) for level, (boxes, _) in drawn.levels.items() for key in boxes]
    assert [level for title, level in where if title in ("weight", "bias")] == ["whole", "whole"]
    assert len({level for title, level in where if title == "linear"}) == 2


def test_a_picture_is_one_file_with_text_as_text():
    svg = tg.draw(residual()).svg
    root = ET.fromstring(svg)
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg\")", svg)
    assert not [e for e in root.iter() if any(name.endswith("href") for name in e.attrib)]
    assert {e.tag.removeprefix(SVG) for e in root.iter()} == {
        "svg", "style", "g", "path", "rect", "text", "title", "script",
    }  # fmt: skip
    drawing = tg.draw(neuron())
    assert drawing._repr_svg_() == drawing.svg


def test_a_graph_without_modules_has_no_script():
    assert "<script" not in tg.draw(neuron()).svg


def test_text_that_xml_reserves_or_forbids():
    (a,) = scalars(3.0)
    with tg.tracing():
        loss = a * 2.0 if 1 < 2 & 3 else a
    assert "1 &lt; 2 &amp; 3" in tg.draw(loss).svg

    class Odd(nn.Module):
        def extra_repr(self):
            return "\x1b[1m<&>]]>"

        def forward(self, x):
            return x * 2.0

    with tg.tracing():
        loss = Odd()(a)
    root = ET.fromstring(tg.draw(loss).svg)
    assert "[1m<&>]]>" in {"".join(e.itertext()) for e in root.iter(SVG + "text")}


def test_a_freed_graph_that_was_traced_is_drawn_and_says_so():
    with tg.tracing():
        loss = neuron()
        loss.backward()
    assert "freed by an earlier backward pass" in tg.draw(loss).svg


def test_from_left_to_right_a_picture_says_the_same_and_is_wide():
    loss = residual()
    down, right = (tg.draw(loss, unfold=9, direction=way) for way in ("down", "right"))
    assert Picture(right.svg, True).texts == Picture(down.svg).texts
    width, height = map(float, ET.fromstring(right.svg).get("viewBox").split()[2:])
    assert width > 1.5 * height
    assert "data flows to the right, gradients back;" in right.svg
    assert "data flows down, gradients back up;" in down.svg


def wide_formulas():
    x = tg.tensor(np.linspace(-1, 1, 6).reshape(2, 3), requires_grad=True)
    target = np.array([[0.0, 1, 0], [1, 0, 1]])
    a = F.binary_cross_entropy_with_logits(x, target)
    b = F.cross_entropy(x, np.array([0, 2]), weight=np.array([1.0, 2.0, 1.0]))
    return a + b + x.var() + tg.leaky_relu(x, 0.2).prod()


def test_no_formula_is_cut():
    result = wide_formulas()
    drawn = Picture(tg.draw(result).svg)
    said = "\n".join("".join(line.strip() + " " for line in lines[1:]) for lines in drawn.texts.values())
    wide = 0
    for step in result.explain().steps:
        for given in step.inputs:
            if given.formula is not None:
                assert f"dL/d{given.name} = {given.formula.text}" in said
                wide += len(given.formula.text) > faces.WIDEST
    assert wide >= 3
    assert "…" not in said
    for lines in drawn.texts.values():
        assert max(map(len, lines[1:]), default=0) <= faces.WIDEST


def test_lines_break_between_words_and_words_that_are_too_long_anywhere():
    text = "dL/dx = " + "a" * 130 + " + b"
    parts = list(faces.wrapped(text))
    assert "".join(part.strip() for part in parts).replace(" ", "") == text.replace(" ", "")
    assert all(faces.cells(part) <= faces.WIDEST for part in parts)
    assert list(faces.wrapped("g" * faces.WIDEST)) == ["g" * faces.WIDEST]


def test_long_names_widen_their_box():
    a_name_that_says_everything_there_is_to_say_about_a_number_and_more_than_that = scalars(2.0)[0]
    verlust_損失_with_wide_characters = (
        a_name_that_says_everything_there_is_to_say_about_a_number_and_more_than_that.exp()
    )
    drawn = Picture(tg.draw(verlust_損失_with_wide_characters).svg)
    boxes, _ = drawn.levels["whole"]
    titles = {lines[0]: boxes[key][2] - boxes[key][0] for key, lines in drawn.texts.items()}
    for title, width in titles.items():
        assert width > (len(title) + 2 * ("損" in title)) * 7.83
    assert any(title.startswith("a_name_that") and title.endswith("more_than_that") for title in titles)


# --- Large graphs, wrong input -----------------------------------------------------------


def test_a_long_level_shows_its_ends():
    drawn = Picture(tg.draw(chain(150)).svg)
    assert drawn.text_of("100 operations, not drawn")[0] == "100 multiply"
    assert sum(lines[0].endswith("multiply") for lines in drawn.texts.values()) == 50


@pytest.mark.slow
def test_a_graph_of_100000_operations_is_folded_and_says_so():
    drawing = tg.draw(chain(100_000))
    assert "99,950 operations, not drawn" in drawing.svg
    assert len(drawing.svg) < 200_000
    assert len(drawing.explanation.steps) == 100_000


@pytest.mark.slow
def test_many_operations_in_many_modules_are_left_out_of_the_deep_ones():
    class Tower(nn.Module):
        def __init__(self):
            super().__init__()
            self.floors = nn.Sequential(*[nn.Sequential(*[nn.Tanh() for _ in range(60)]) for _ in range(40)])

        def forward(self, x):
            return self.floors(x)

    (x,) = scalars(1.0)
    with tg.tracing():
        y = Tower()(x)
    svg = tg.draw(y).svg
    assert svg.count(">tanh<") < 1100
    assert "60 operations, not drawn" in svg
    ET.fromstring(svg)


def test_many_leaves_are_folded():
    drawn = Picture(
        tg.draw(tg.concatenate([tg.tensor([v], requires_grad=True) for v in np.arange(400.0)])).svg
    )
    assert drawn.text_of("375 leaves, not drawn") == []
    assert len(drawn.texts) == 27
    assert len(drawn.levels["whole"][1]) == 26


def test_saving_is_whole_or_not_at_all(tmp_path):
    drawing = tg.draw(neuron())
    path = tmp_path / "new" / "graph.svg"
    drawing.save(path)
    assert path.read_text("utf-8") == drawing.svg
    assert [p.name for p in path.parent.iterdir()] == ["graph.svg"]
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OptionError, match=r"draw: the picture cannot be written[\s\S]*file"):
        drawing.save(tmp_path / "file" / "graph.svg")
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(OptionError, match="draw: the picture cannot be written"):
        drawing.save(tmp_path / "folder.svg")
    with pytest.raises(
        OptionError, match=r"the picture is SVG, so the name must end in .svg[\s\S]*graph.png"
    ):
        drawing.save(tmp_path / "graph.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.svg", "new"]


@pytest.mark.slow
def test_the_example_draws_the_pictures_of_the_docs(tmp_path):
    root = Path(__file__).parents[2]
    command = [sys.executable, root / "examples" / "05_see_the_graph.py", "--out", tmp_path]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert re.search(r"bytes {2}max_pool2d +2 +\S*05_see_the_graph\.py:\d+", said)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["network.svg", "neuron.svg", "unfolded.svg"]
    for path in tmp_path.iterdir():
        committed = root / "docs" / "images" / "graph" / path.name
        assert titles(path.read_text("utf-8")) == titles(committed.read_text("utf-8"))


def test_what_has_no_graph_is_refused():
    (a,) = scalars(1.0)
    with pytest.raises(GraphError, match="draw: the Tensor has no graph"):
        tg.draw(a)
    for wrong in ("left", "Right", None, 1):
        with pytest.raises(
            OptionError, match=rf"direction must be one of 'down', 'right'\s+direction  {wrong!r}"
        ):
            tg.draw(a.exp(), direction=wrong)
    for wrong in (-1, 1.5):
        with pytest.raises(OptionError, match=rf"unfold must be a depth >= 0 or names[\s\S]*{wrong}"):
            tg.draw(a.exp(), unfold=wrong)
    with pytest.raises(DTypeError, match=r"only a Tensor[\s\S]*float"):
        tg.draw(1.0)
    loss = a.exp()
    loss.backward()
    with pytest.raises(GraphError, match="tracing"):
        tg.draw(loss)
