"""One optimizer has one look in races, comparisons, chapters and pages."""

import re
from itertools import combinations
from pathlib import Path

import pytest

from tinygrad_adam.explain.races import race as races
from tinygrad_adam.optim import OPTIMIZERS
from tinygrad_adam.training.many import comparison
from tinygrad_adam.training.many.looks import LOOKS, OTHER, looks

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("names", [races.STANDARD, comparison.STANDARD], ids=["race", "compare"])
def test_the_standard_optimizers_differ_in_color_and_the_five_of_a_race_in_all(names):
    assert len({LOOKS[name][0] for name in names}) == len(names)
    if names is races.STANDARD:
        assert all(len({LOOKS[name][part] for name in names}) == 5 for part in range(3))


def test_looks_belong_to_optimizers_and_recipes_and_differ():
    assert set(LOOKS) <= {*OPTIMIZERS, *comparison.RECIPES}  # others share a color, not line and marker
    for one, other in combinations(LOOKS, 2):
        assert LOOKS[one] != LOOKS[other]
        same = sum(a == b for a, b in zip(LOOKS[one], LOOKS[other], strict=True))
        assert same < 2 or LOOKS[one][0] != LOOKS[other][0], (one, other)


def test_an_optimizer_looks_the_same_whoever_is_beside_it():
    alone = looks(["adam"])
    among = looks(["sgd", "momentum", "adam:lr=0.1", "lion"])
    assert among[2] == alone[0]


def test_entries_of_one_name_keep_the_color_and_differ_in_line_and_marker():
    found = looks([f"adam:lr={lr}" for lr in (1, 2, 3, 4)])
    assert {look["color"] for look in found} == {LOOKS["adam"][0]}
    assert len({str(look["linestyle"]) for look in found}) == 4
    assert len({look["marker"] for look in found}) == 4


def test_an_optimizer_of_ones_own_is_drawn():
    assert looks(["mine"])[0]["color"] == OTHER[0]


NAMES = {"SGD": "sgd", "Adagrad": "adagrad", "RMSprop": "rmsprop", "Adam": "adam", "AdamW": "adamw"}


def colored(chapter):
    """Find the lines of a chapter that give an optimizer a color."""
    text = chapter.read_text("utf-8")
    colors = {}
    for names, values in re.findall(r'^([A-Z, ]+) = ((?:"#\w{6}"(?:, )?)+)$', text, re.MULTILINE):
        colors.update(zip(names.split(", "), re.findall(r"#\w{6}", values), strict=True))
    for maker, rest, color in re.findall(rf"optim\.(\w+)\(p, ([^)]*)\).*?\b({'|'.join(colors)})\b", text):
        kind = NAMES[maker]
        if "nesterov=True" in rest:
            kind = "nesterov"
        elif "momentum" in rest:
            kind = "momentum"
        yield kind, colors[color].lower()


@pytest.mark.parametrize("number", [6, 7])
def test_the_chapters_color_optimizers_as_races_do(number):
    (chapter,) = (ROOT / "examples" / "tutorial").glob(f"0{number}_*.py")
    found = list(colored(chapter))
    assert len(found) >= 3
    for kind, color in found:
        assert color == LOOKS[kind][0], kind
