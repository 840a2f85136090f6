"""The grader's answers."""

from __future__ import annotations

import textwrap
import tomllib
from dataclasses import dataclass
from pathlib import Path

from ...engine.viewers import view

SENTENCES: dict[str, dict[str, str]] = {
    part: {kind: " ".join(text.split()) for kind, text in rows.items()}
    for part, rows in tomllib.loads(Path(__file__).with_name("sentences.toml").read_text("utf-8")).items()
}
"""By part ("gradient", "forward", "update", or an optimizer) and kind of mistake, the sentence."""


def sentence(part: str, kind: str, **values: object) -> str:
    """Return the sentence of a mistake, with the values that it names."""
    return SENTENCES[part][kind].format(**values)


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes
    ----------
    where : str
        The input whose rule it is about, such as ``"a"``; ``"forward"``, or ``"update"``.
    kind : str
        A name for this mistake, such as ``"flipped sign"``.
    sentence : str
        The mistake, the reason, and the remedy.
    evidence : str
        Numbers that show it.
    """

    where: str
    kind: str
    sentence: str
    evidence: str = ""


@dataclass(frozen=True, repr=False)
class Grade:
    """The grader's answer; a learner reads it printed.

    Attributes
    ----------
    name : str
        What was graded.
    findings : tuple of Finding
        All that is wrong, the most basic first; empty if it is right.
    checked : tuple of str
        The comparisons that were made.
    mutants : int
        The number of broken versions that the same check was tried on. Only right parts are broken.
    unnoticed : tuple of str
        Those of them that it did not notice.
    """

    name: str
    findings: tuple[Finding, ...]
    checked: tuple[str, ...]
    mutants: int = 0
    unnoticed: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the findings."""
        return tuple(finding.kind for finding in self.findings)

    def mutants_sentence(self) -> str:
        """Return a sentence on the broken versions that were tried; nothing if there were none."""
        if not self.mutants:
            return ""
        text = f"To show that this check can fail, it was tried on {self.mutants} broken versions; "
        text += "it noticed all"
        if self.unnoticed:
            text += f" but these, which do not show here: {', '.join(self.unnoticed)}"
        return f"{text}."

    def __str__(self) -> str:
        lines = [f"{self.name}: {'right' if self.passed else 'not right yet'}"]
        for finding in self.findings:
            lines += ["", *_wrapped(f"{finding.where}: {finding.sentence}")]
            if finding.evidence:
                lines.append(textwrap.indent(finding.evidence, "    "))
        if self.checked:
            lines += ["", "Checked:" if self.passed else "Besides, this was checked:"]
            for text in self.checked:
                lines += _wrapped(text, "  - ")
        if self.mutants:
            lines += ["", *_wrapped(self.mutants_sentence(), "")]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str | None:
        return view("Grade._repr_html_")(self)


def _wrapped(text: str, begin: str = "  ") -> list[str]:
    """Break a paragraph into lines."""
    return textwrap.wrap(
        text, 96, initial_indent=begin, subsequent_indent=" " * len(begin), break_long_words=False
    )
