"""The table of viewers: every public name in it is served, and nothing below imports what it names."""

import subprocess
import sys

import pytest

import tinygrad_adam as tg
from tinygrad_adam.engine.viewers import VIEWERS, view

OFFERED = [name for name in VIEWERS if not name.endswith("_repr_html_")]  # those: tests/notebook


@pytest.mark.parametrize("name", OFFERED)
def test_each_view_is_there_and_has_its_public_name(name):
    kind, _, attribute = name.partition(".")
    owners = {"tg": tg, "Tensor": tg.Tensor, "Module": tg.nn.Module, "Optimizer": tg.optim.Optimizer}
    owner = {**owners, "Trainer": tg.training.Trainer}[kind]
    assert callable(view(name))
    assert hasattr(owner, attribute)
    if owner is tg:
        assert getattr(tg, attribute) is view(name)


def test_nothing_that_is_viewed_imports_a_viewer():
    program = (
        "import sys, tinygrad_adam.engine.viewers as v;"
        "served = {f'tinygrad_adam.{place.partition(\":\")[0]}' for place in v.VIEWERS.values()};"
        "print(sorted(served & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_ledger_waits_neither_for_training_nor_for_races():
    program = (
        "import sys, tinygrad_adam.explain.ledger.ledger;"
        "print([m for m in ('matplotlib', 'tinygrad_adam.training', 'tinygrad_adam.explain.races')"
        " if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_explain_lists_what_it_offers():
    assert {"race", "save_race", "take_next_step", "plot_layer", "SURFACES"} <= set(dir(tg.explain))
    assert all(getattr(tg.explain, name) is not None for name in tg.explain.__all__)
    with pytest.raises(AttributeError, match="no attribute 'SURFACE'"):
        tg.explain.SURFACE  # noqa: B018
