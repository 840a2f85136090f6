"""A finding: a fault, its place, its remedy and the evidence, in words that a person can act on."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from ...engine.viewers import view


@dataclass(repr=False)
class Finding:
    """One thing that is wrong.

    Attributes
    ----------
    kind : str
        A short name, such as ``"dead-relu"``; always the same for the same fault.
    what : str
        The fault, with the operation and the shapes, and why it matters.
    where : str
        The layer and the line of the user's program.
    remedy : str
        The advice.
    evidence : str
        The numbers, and the threshold that they passed.
    step : int
        The optimizer step at which the doctor became sure, from 1.
    times : int
        The number of steps in which it was seen, from the one on in which the doctor was sure.
    """

    kind: str
    what: str
    where: str
    remedy: str
    evidence: str
    step: int = 0
    times: int = 1

    def parts(self) -> dict[str, str]:
        """Return place, evidence and remedy by their headings, in the order in which they are shown."""
        return {"where": self.where, "evidence": self.evidence, "remedy": self.remedy}

    def to_text(self, width: int = 88) -> str:
        """Return the finding as plain text, broken at `width` characters."""
        heading = f"doctor: {self.kind} (step {self.step:,})"
        lines = [textwrap.fill(f"{heading}: {self.what}", width, subsequent_indent="  ")]
        return "\n".join([*lines, *(part(name, text, width) for name, text in self.parts().items())])

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__

    def _repr_html_(self) -> str | None:
        return view("Finding._repr_html_")(self)


def part(name: str, text: str, width: int = 88) -> str:
    """Return a heading and its text, broken at `width` characters."""
    return textwrap.fill(
        text, width, initial_indent=f"  {name:<9} ", subsequent_indent=" " * 12,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
