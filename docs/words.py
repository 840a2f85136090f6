"""Write the table of names from other packages into the cheat sheet.

    python docs/words.py

The table is in tinygrad_adam/words.json, from which the package also answers such names. A test fails if the
page is out of date.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from tinygrad_adam.words import TABLE

PAGE = Path(__file__).with_name("cheatsheet.md")
BEGIN, END = "<!-- written by docs/words.py -->\n", "<!-- end -->\n"
HEADINGS = {
    "keyword": ("Keywords", "{}="),
    "Tensor": ("Of a Tensor `x`", "x.{}"),
    "tinygrad_adam": ("Functions and modules", "{}"),
    "nn": ("Layers", "nn.{}"),
    "nn.functional": ("Layers as functions", "F.{}"),
    "optim": ("Optimizers and schedules", "optim.{}"),
    "data": ("Data", "data.{}"),
    "Module": ("Of a model", "model.{}"),
    "Optimizer": ("Of an optimizer", "opt.{}"),
    "Trainer": ("Of a Trainer", "trainer.{}"),
}


def tables() -> str:
    """Return the tables as Markdown, one for each owner; names with the same answer share a row."""
    text = ""
    for owner, words in groupby(TABLE, lambda word: word.owner):
        heading, pattern = HEADINGS[owner]
        text += f"\n### {heading}\n\n| elsewhere | here |\n|---|---|\n"
        for here, same in groupby(words, lambda word: word.here):
            names = ", ".join(f"`{pattern.format(word.word)}`" for word in same)
            text += f"| {names} | {here.removeprefix('nothing: ')} |\n"
    return text


def page() -> str:
    """Return the cheat sheet with up-to-date tables."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    return before + BEGIN + tables() + "\n" + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
