"""What the doctor tells: a finding, in words that a person can act on."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass


@dataclass
class Finding:
    """One thing that is wrong.

    Attributes
    ----------
    kind : str
        A short name, such as ``"dead-relu"``; always the same for the same fault.
    what : str
        What was seen, with the operation and the shapes, and why it matters.
    where : str
        The layer and the line of the user's program.
    remedy : str
        What to do.
    evidence : str
        The numbers, beside the threshold that they passed.
    step : int
        The optimizer step at which the doctor became sure, from 1.
    times : int
        In how many of the steps that were looked at it was seen, once the doctor was sure.
    """

    kind: str
    what: str
    where: str
    remedy: str
    evidence: str
    step: int = 0
    times: int = 1

    def parts(self) -> dict[str, str]:
        """Return what there is to say, in order, by the headings under which it is shown."""
        return {"where": self.where, "evidence": self.evidence, "remedy": self.remedy}

    def to_text(self, width: int = 88) -> str:
        """Return the finding as plain text, broken at `width` characters."""
        heading = f"doctor: {self.kind} (step {self.step:,})"
        lines = [textwrap.fill(f"{heading}: {self.what}", width, subsequent_indent="  ")]
        for name, text in self.parts().items():
            lines.append(
                textwrap.fill(
                    text, width, initial_indent=f"  {name:<9} ", subsequent_indent=" " * 12,
                    break_long_words=False, break_on_hyphens=False,
                )
            )  # fmt: skip
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.to_text()
