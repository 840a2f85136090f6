"""Random programs beside PyTorch: values, gradients, second gradients; recorded to the bit; by threads."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")

import torch
from programs import disagreements, draw_program

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def _one_thread_of_pytorch():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("start", range(0, 240, 40))
def test_programs_agree(start):
    assert [text for seed in range(start, start + 40) for text in disagreements(seed)] == []


@pytest.mark.slow
@pytest.mark.parametrize("start", range(400, 4400, 200))
def test_more_programs_agree(start):
    assert [text for seed in range(start, start + 200) for text in disagreements(seed)] == []


@pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch warns of statistics of nothing
def test_the_programs_are_of_every_kind():
    """So the comparisons above mean something."""
    programs = [draw_program(seed) for seed in range(240)]
    leaves = [a for p in programs for a in p.leaves]
    used = {step.op for p in programs for step in p.steps}
    assert len({p.kind for p in programs}) == 12
    assert {"gather", "embedding", "+=", "*=", "write fill", "part", "hook", "masked", "conv2d"} <= used
    assert {"uint8", "int8", "bool", "float32", "float64"} <= {str(a.dtype) for a in leaves}
    assert {(), (0,), (1, 1), (2, 0), (3, 1, 2)} <= {a.shape for a in leaves}
    assert sum(len(p.steps) for p in programs) > 800
