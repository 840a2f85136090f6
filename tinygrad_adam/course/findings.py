"""Findings of the course's graders, and the typical mistakes that they look for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..testing.grading.report import Finding, Grade


class AnswerError(Exception):
    """Ends a check with a finding.

    Attributes
    ----------
    grade : Grade
        With the finding alone.
    """

    def __init__(self, where: str, kind: str, sentence: str, evidence: str = "") -> None:
        super().__init__(sentence)
        self.grade = Grade(where, (Finding(where, kind, " ".join(sentence.split()), evidence),), ())


@dataclass(frozen=True)
class Mistake:
    """A typical mistake.

    Attributes
    ----------
    kind : str
        Its name, such as ``"flipped sign"``.
    sentence : str
        The mistake, the reason and the remedy.
    made : callable or float
        The function, or the number, that one gets with this mistake.
    """

    kind: str
    sentence: str
    made: Any


def untouched(name: str) -> AnswerError:
    """Return the finding for an answer that is as it was handed out."""
    sentence = """nothing is written here yet. Your answer goes in place of raise NotImplementedError, or of
    the dots."""
    return AnswerError(name, "untouched", sentence)


def together(*grades: Grade) -> Grade:
    """Return one grade of an answer that has several parts."""
    return Grade(
        grades[0].name,
        tuple(finding for grade in grades for finding in grade.findings),
        tuple(text for grade in grades for text in grade.checked),
        sum(grade.mutants for grade in grades),
        tuple(kind for grade in grades for kind in grade.unnoticed),
    )
