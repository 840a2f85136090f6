"""A drawing in a real browser: modules unfold by click and by key, to what Python would have drawn."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from networks import SVG, residual

import tinygrad_adam as tg

pytestmark = pytest.mark.browser


@pytest.fixture
def page(blank, tmp_path):
    path = tmp_path / "graph.svg"
    tg.draw(residual(), unfold=1).save(path)
    blank.goto(path.as_uri())
    return blank


def geometry(svg):
    """List where everything is that is shown."""
    found = []

    def read(element):
        if element.get("display") == "none":
            return
        name = element.get("data-box") or element.get("data-edge") or element.get("data-level")
        for key in ("transform", "d", "width", "height", "viewBox"):
            text = element.get(key)
            if text and element.tag != SVG + "text":
                shape = re.sub(r"-?[\d.]+", "#", text)
                found.append((element.tag, name, key, shape, *map(float, re.findall(r"-?[\d.]+", text))))
        for child in element:
            read(child)

    read(ET.fromstring(svg))
    return found


def assert_same_picture(page, unfold, direction="down"):
    shown = geometry(page.evaluate("document.documentElement.outerHTML"))
    wanted = geometry(tg.draw(residual(), unfold=unfold, direction=direction).svg)
    assert [row[:4] for row in shown] == [row[:4] for row in wanted]
    for mine, theirs in zip(shown, wanted, strict=True):
        assert mine[4:] == pytest.approx(theirs[4:], abs=0.11)


def face(page, title):
    return page.locator(f'[data-handle]:has(text.title:text-is("{title}"))').filter(visible=True)


def test_clicks_unfold_and_fold(page):
    assert_same_picture(page, 1)
    face(page, "+ second Block").click()
    face(page, "+ second.norm BatchNorm2d").click()
    face(page, "+ head Linear").click()
    assert_same_picture(page, ["second.norm", "head"])
    face(page, "\u2212 second Block").click()
    assert_same_picture(page, ["head"])
    face(page, "+ second Block").click()  # what was unfolded inside still is
    face(page, "\u2212 Residual").click()
    assert_same_picture(page, 0)


def test_keys_unfold_and_keep_the_focus(page):
    face(page, "+ first Block").focus()
    page.keyboard.press("Enter")
    assert_same_picture(page, ["first"])
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    page.keyboard.press(" ")
    assert_same_picture(page, 1)


def test_clicks_unfold_a_picture_from_left_to_right(blank, tmp_path):
    tg.draw(residual(), unfold=1, direction="right").save(tmp_path / "graph.svg")
    blank.goto((tmp_path / "graph.svg").as_uri())
    assert_same_picture(blank, 1, "right")
    face(blank, "+ second Block").click()
    face(blank, "+ second.norm BatchNorm2d").click()
    face(blank, "+ head Linear").click()
    assert_same_picture(blank, ["second.norm", "head"], "right")
    face(blank, "\u2212 Residual").click()
    assert_same_picture(blank, 0, "right")
