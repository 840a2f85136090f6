"""The film in a real browser: it opens from disk without complaint, moves, and shows what was recorded."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import nn, optim

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.html"
    tg.manual_seed(0)
    x, y = tg.data.moons(32, seed=0)
    net = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 2))
    opt = optim.Adam(net.parameters(), lr=0.05)
    with tg.film(path, title="Moons & <b>more</b>") as recorder:
        for _ in range(20):
            loss = F.cross_entropy(net(tg.tensor(x)), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
    return path, recorder


@pytest.fixture
def page(blank, filmed):
    blank.goto(filmed[0].as_uri())
    return blank


EVENTS = 4 + 7 + 4  # stages, edges, parameters


def number(text):
    return float(text.replace("−", "-"))


def ledger(page):
    rows = page.locator("#ledger tr").all()
    cells = [row.locator("td").all_inner_texts() for row in rows]
    return [(name, formula, number(value)) for name, formula, value in cells]


def to_step(page, step):
    page.evaluate(f"""() => {{
        const slider = document.getElementById("slider");
        slider.value = {step * EVENTS - 1};
        slider.dispatchEvent(new Event("input"));
    }}""")


def test_it_opens(page):
    assert page.title() == "Moons & <b>more</b>"
    assert page.inner_text("h1") == "Moons & <b>more</b>"
    assert "27 parameters · 20 of 20 steps" in page.inner_text("#about")
    assert page.inner_text("#where") == "step 1 · forward 1 of 4"
    assert page.get_attribute("#slider", "max") == str(20 * EVENTS - 1)


@pytest.mark.parametrize("step", [1, 7, 20])
def test_the_numbers_shown_are_those_recorded(page, filmed, step):
    recorder = filmed[1]
    to_step(page, step)
    assert page.inner_text("#where") == f"step {step} · update 4 of 4"
    shown = {(name, formula): value for name, formula, value in ledger(page)}
    param = recorder.layout.params[0]
    frame = recorder.frames[step - 1].astype(np.float64)
    way = sum(np.abs(f[param.start + 40 : param.start + 50]) for f in recorder.frames)
    entry = int(np.argmax(way))  # of 5 x 2, the one that moved farthest
    value, g, m, v, update = (frame[param.start + 10 * k + entry] for k in range(5))
    m_hat, v_hat = m / (1 - 0.9**step), v / (1 - 0.999**step)
    wanted = [
        g,
        m,
        v,
        m_hat,
        v_hat,
        np.sqrt(v_hat),
        0.05 / (np.sqrt(v_hat) + 1e-8),
        value - update,
        update,
        value,
    ]
    assert page.inner_text("#entry-name") == f"0.weight[{entry // 2}, {entry % 2}]"
    np.testing.assert_allclose(list(shown.values()), wanted, rtol=6e-4)
    # Adam's own arithmetic joins them.
    assert -0.05 * m_hat / (np.sqrt(v_hat) + 1e-8) == pytest.approx(update, rel=1e-3, abs=1e-7)
    words, loss = page.locator("#loss text").last.text_content().split(": ")
    assert words == f"step {step}"
    assert number(loss) == pytest.approx(recorder.losses[step - 1][1], rel=6e-4)


def test_the_keyboard_moves_it(page):
    for key, where in [
        ("ArrowRight", "step 1 · forward 2 of 4"),
        ("PageDown", "step 2 · forward 2 of 4"),
        ("ArrowLeft", "step 2 · forward 1 of 4"),
        ("ArrowLeft", "step 1 · update 4 of 4"),
        ("End", "step 20 · update 4 of 4"),
        ("PageUp", "step 19 · update 4 of 4"),
        ("Home", "step 1 · forward 1 of 4"),
    ]:
        page.keyboard.press(key)
        assert page.inner_text("#where") == where
    assert page.input_value("#slider") == "0"


def test_buttons_move_and_play_it(page):
    page.click("#forth")
    page.click("#step-forth")
    assert page.inner_text("#where") == "step 2 · forward 2 of 4"
    page.click("#back")
    page.click("#step-back")
    assert page.inner_text("#where") == "step 1 · forward 1 of 4"
    page.fill("#speed", "30")
    page.click("#play")
    page.locator("#where", has_text="backward").wait_for()
    page.click("#play")
    assert page.get_attribute("#play", "aria-label") == "Play"


def test_the_backward_pass_goes_edge_by_edge(page, filmed):
    recorder = filmed[1]
    page.keyboard.press("End")
    norms = recorder.frames[-1][2 * sum(s.view.places.size for s in recorder.layout.stages) :]
    for i in range(7):
        page.evaluate(f"show({19 * EVENTS + 4 + i})")
        caption = page.inner_text("#caption")
        assert "passes a gradient to" in caption
        assert number(page.inner_text("#caption b")) == pytest.approx(norms[i], rel=6e-4)
    assert page.locator(".stage.now h3").inner_text() == "0 Linear"
    assert page.locator(".parameter.now h4").inner_text() == "0.bias"


def test_a_click_chooses_an_entry(page, filmed):
    to_step(page, 20)
    canvas = page.locator(".parameter canvas").nth(0)  # 0.weight, (5, 2)
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] * 0.75, "y": box["height"] * 0.7})
    assert page.inner_text("#entry-name") == "0.weight[3, 1]"
    param = filmed[1].layout.params[0]
    assert ledger(page)[0][2] == pytest.approx(filmed[1].frames[-1][param.start + 10 + 7], rel=6e-4)


def test_a_swipe_moves_it(browser, filmed):
    page = browser.new_page(viewport={"width": 390, "height": 800}, has_touch=True)
    page.goto(filmed[0].as_uri())
    top = page.locator("#flow").bounding_box()["y"] + 20
    touch = page.context.new_cdp_session(page).send
    for start, end, where in [
        (300, 60, "forward 2 of 4"),
        (300, 60, "forward 3 of 4"),
        (60, 300, "forward 2 of 4"),
        (100, 80, "forward 2 of 4"),  # too short
    ]:
        for kind, x in (("touchStart", start), ("touchMove", end)):
            touch("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": top}]})
        touch("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        page.locator("#where", has_text=where).wait_for()
    page.close()


def test_it_fits_a_narrow_screen(browser, filmed):
    page = browser.new_page(viewport={"width": 390, "height": 800}, has_touch=True)
    page.goto(filmed[0].as_uri())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()


# --- On a projector ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """A network of more layers than fit a screen, with a Conv1d, and of more steps than a film keeps."""
    path = tmp_path_factory.mktemp("film") / "deep.html"
    tg.manual_seed(0)
    rng = np.random.default_rng(0)
    net = nn.Sequential(
        nn.Conv1d(2, 3, 5, padding=2), nn.ReLU(), nn.Conv1d(3, 4, 3), nn.Flatten(), nn.Linear(24, 24),
        nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 3),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=0.01)
    with tg.film(path):
        for _ in range(232):
            x, y = rng.standard_normal((8, 2, 8)).astype(np.float32), rng.integers(3, size=8)
            loss = F.cross_entropy(net(tg.tensor(x)), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
    return path


def edges_of(page, selector):
    box = page.locator(selector).bounding_box()
    return box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1024, 768), (1366, 768), (1920, 1080), (390, 844)])
def test_loss_and_numbers_stay_in_view_whatever_happens(browser, deep, width, height, scheme):
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.goto(deep.as_uri())
    count = page.evaluate("events")
    for event in range(0, count, 3 if width == 1024 else 9):
        page.evaluate(f"show({5 * count + event})")
        for panel in ("#loss", "#ledger", "#entry-name", "#caption"):
            left, top, right, bottom = edges_of(page, panel)
            assert left >= 0, panel
            assert top >= 0, panel
            assert right <= width, panel
            assert bottom <= height, panel
        head = edges_of(page, "header")[3]
        if width > 760:
            assert head <= 0.2 * 768
        flow = edges_of(page, "#flow")
        active = page.locator(".parameter.now").first
        if active.count():  # it is scrolled to, at least to its first row
            box = active.bounding_box()
            assert flow[1] - 2 <= box["y"] < flow[3] - 40
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    page.close()


def test_nothing_is_written_smaller_than_on_a_slide(browser, deep):
    page = browser.new_page(viewport={"width": 1024, "height": 768})
    page.goto(deep.as_uri())
    sizes = page.evaluate(
        """() => [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() &&
        [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
        .map((e) => parseFloat(getComputedStyle(e).fontSize))"""
    )
    assert len(sizes) > 100
    assert min(sizes) >= 12.5
    page.close()


def test_rows_are_high_enough_and_kernels_of_one_dimension_lie_down(blank, deep):
    blank.goto(deep.as_uri())
    sizes = blank.evaluate(
        "film.params.map((p, i) => [p.name, p.rows, p.columns, params[i].pictures[0].canvas.clientHeight])"
    )
    found = {name: (rows, columns) for name, rows, columns, _ in sizes}
    assert found["0.weight"] == (3, 2 * 5)  # filters down, two kernels of five side by side
    assert found["0.bias"] == (1, 3)
    assert all(height >= 24 for *_, height in sizes)


def test_a_convolution_passes_gradients_by_its_own_rule(blank, deep):
    blank.goto(deep.as_uri())
    stages = blank.evaluate("film.stages.map((s) => s.name)")
    rules = blank.evaluate("film.edges.map((e) => [e.from, e.operation])")
    by_stage = {}
    for source, rule in rules:
        by_stage.setdefault(stages[source], set()).add(rule)
    assert by_stage["0 Conv1d"] == by_stage["2 Conv1d"] == {"conv1d"}
    assert by_stage["4 Linear"] == {"linear"}
    assert by_stage["3 Flatten"] == {"reshape"}  # which is all that it does
    first = next(i for i, (source, _) in enumerate(rules) if stages[source] == "2 Conv1d")
    blank.evaluate(f"show(film.stages.length + {first})")
    assert "2 Conv1d passes a gradient to" in blank.inner_text("#caption")
    assert "by the rule of “conv1d”" in blank.inner_text("#caption")


def test_it_says_why_some_steps_are_left_out(blank, deep, filmed):
    blank.goto(deep.as_uri())
    assert "116 of 232 steps, every second: a film keeps at most 200" in blank.inner_text("#about")
    blank.goto(filmed[0].as_uri())
    assert "20 of 20 steps" in blank.inner_text("#about")
    assert "keeps at most" not in blank.inner_text("#about")


@pytest.mark.parametrize(("ink", "paper"), [("black", "rgb(243, 245, 248)"), ("white", "rgb(18, 23, 30)")])
def test_in_a_notebook_it_plays_in_the_colors_of_the_notebook(blank, filmed, ink, paper):
    blank.set_content(f"<body style='color: {ink}'>{filmed[1]._repr_html_()}</body>")
    frame = blank.frame_locator("iframe")
    assert frame.locator("h1").inner_text() == "Moons & <b>more</b>"
    assert frame.locator("body").evaluate("body => getComputedStyle(body).backgroundColor") == paper
    before = frame.locator("#where").inner_text()
    frame.locator("#forth").click()
    assert frame.locator("#where").inner_text() != before
