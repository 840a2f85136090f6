"""Colors: legible on the backgrounds of known front ends, light and dark, and mixed with the theme's own."""

import re

import pytest
from displays import DISPLAYS

from tinygrad_adam.notebook.style import HUES, OPACITY, STYLE, TEXT_SHARE

THEMES = {
    "JupyterLab": ("#212121", "#ffffff"),  # black at 87 % on white
    "JupyterLab, dark": ("#ffffff", "#111111"),
    "VS Code, light": ("#3b3b3b", "#ffffff"),
    "VS Code, dark": ("#cccccc", "#1f1f1f"),
    "VS Code, dark, high contrast": ("#ffffff", "#000000"),
    "Colab": ("#212121", "#ffffff"),
    "Colab, dark": ("#e3e3e3", "#383838"),
    "a page of documentation, dark": ("#ced6dd", "#14181e"),
}
"""The colors of text and background."""


def numbers(color):
    return [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def mixed(one, other, share):
    return [a * share + b * (1 - share) for a, b in zip(one, other, strict=True)]


def luminance(color):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    """Return the contrast ratio of WCAG 2.2, from 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_contrast_of_black_and_white_is_the_greatest():
    assert contrast(numbers("#000000"), numbers("#ffffff")) == pytest.approx(21)
    assert contrast(numbers("#777777"), numbers("#ffffff")) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("hue", HUES)
def test_accents_can_be_read_in_every_theme(theme, hue):
    text, background = map(numbers, THEMES[theme])
    assert contrast(mixed(text, numbers(HUES[hue]), TEXT_SHARE / 100), background) >= 4.5  # WCAG's level AA


@pytest.mark.parametrize("theme", THEMES)
def test_minor_text_can_be_read_in_every_theme(theme):
    text, background = map(numbers, THEMES[theme])
    assert contrast(mixed(text, background, OPACITY["soft"] / 100), background) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_accents_differ_from_text_and_from_each_other(theme):
    text = numbers(THEMES[theme][0])
    colors = [mixed(text, numbers(hue), TEXT_SHARE / 100) for hue in HUES.values()]
    for i, color in enumerate(colors):
        for other in [text, *colors[:i]]:
            assert max(abs(a - b) for a, b in zip(color, other, strict=True)) > 0.1


def test_the_style_sets_no_color_and_no_background_of_its_own():
    declared = re.findall(
        r"(?<![\w-])(color|background|fill|border|border-top|border-bottom|outline): ([^;}]+)", STYLE
    )
    assert len(declared) > 10
    for name, value in declared:
        assert "currentColor" in value or value.strip() in ("inherit", "none", "0", "currentColor"), (
            name,
            value,
        )


def test_the_style_touches_nothing_outside_its_output():
    selectors = [part for rule in re.findall(r"([^{}]+){", STYLE) for part in rule.split(", div")]
    assert all("div.tga" in selector or selector.startswith(".tga") for selector in selectors)


def test_the_style_is_short_since_each_output_carries_it():
    assert len(STYLE) < 3000
    assert all("{" not in line.replace("{ ", "") for line in STYLE.splitlines())


@pytest.mark.parametrize("name", ["Schedule", "Sweep", "TensorDataset", "Explanation"])
def test_outputs_have_no_color_but_mixtures_with_the_text(name):
    body = DISPLAYS[name]()._repr_html_().partition("</style>")[2]
    without_data = re.sub(r"base64,[^\"]*", "", body)
    for color in re.findall(r"#[0-9a-f]{6}\b", without_data):
        assert f"color-mix(in srgb, currentColor {TEXT_SHARE}%, {color})" in without_data
