"""The handout and the slides: made from one page, loading nothing, with numbers that the package gives."""

from __future__ import annotations

import re

import pages
import pytest

import tinygrad_adam as tg
from tinygrad_adam import optim

FOLDER = pages.ROOT / "docs" / "teach"
HANDOUT = (FOLDER / "handout.md").read_text("utf-8")


def row(begin):
    """Return the cells of the handout's row whose first cell begins so."""
    (line,) = re.findall(rf"^\| {re.escape(begin)}.*\|$", HANDOUT, re.MULTILINE)
    return [cell.strip() for cell in re.split(r" \| ", line.strip("| "))]


def bold(cell):
    return float(re.search(r"\*\*(.+)\*\*", cell)[1])


def step(opt, w, b):
    """Take a step of the handout's training; return its prediction and loss."""
    prediction = w * 2.0 + b
    loss = (prediction - 5.0) ** 2
    opt.zero_grad()
    prediction.retain_grad()
    loss.backward()
    opt.step()
    return prediction, loss


def test_numbers_of_the_handout_are_the_ones_of_the_package():
    w, b = (tg.tensor(value, requires_grad=True) for value in (3.0, 1.0))
    opt = optim.Adam([("w", w), ("b", b)], lr=0.1)
    with opt.ledger():
        prediction, loss = step(opt, w, b)
    assert bold(row("prediction `p`")[2]) == prediction.item()
    assert bold(row("loss `L`")[2]) == loss.item()
    assert bold(row("`L = (p - y)**2`")[2]) == prediction.grad.item()
    assert bold(row("`p = w*x + b`")[2]) == b.grad.item()
    assert bold(row("`w*x`")[2]) == w.grad.item()
    names = {"`g` =": "g", "`m =": "m", "`v =": "v", "`m̂ =": "m_hat", "`v̂ =": "v_hat"}
    for column in (1, 2):
        if column == 2:
            with opt.ledger():
                step(opt, w, b)
        ledger = {line.name: line.value for line in opt.explain("w", ()).lines}
        for begin, name in names.items():
            assert float(row(begin)[column]) == pytest.approx(ledger[name], rel=1e-5), name
        assert float(row("`w = w - ")[column]) == pytest.approx(w.item(), rel=1e-5)


@pytest.mark.parametrize("name", ["handout.html", "slides.html"])
def test_files_to_show_are_made_from_the_page_and_load_nothing(name):
    pytest.importorskip("markdown_it")
    import slides

    text = (FOLDER / name).read_text("utf-8")
    assert text == slides.made()[name], "run: python docs/slides.py"
    assert not re.findall(r"""(?:src|href)\s*=|url\(|@import|https?:""", text)
    for heading in re.findall(r"^## (.+)$", HANDOUT, re.MULTILINE):
        assert text.count(f"<h2>{heading}</h2>") == 1
