"""An exercise of the course: the names that it asks for, the code handed out, and the check of an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..testing.grading.report import Finding, Grade


@dataclass(frozen=True)
class Exercise:
    """An exercise.

    Attributes
    ----------
    number : str
        Chapter and number, such as ``"7.1"``.
    asks : tuple of str
        The names that the student's cell must define, such as ``("update",)``.
    scaffold : str
        The code of the cell as it is handed out. It runs, and it is not the right answer: a function's body
        raises `NotImplementedError`, and a number to be found is ``...``.
    check : callable
        Takes the objects of those names and returns a `Grade`.
    """

    number: str
    asks: tuple[str, ...]
    scaffold: str
    check: Callable[..., Grade]

    def grade(self, *answers: object) -> Grade:
        """Return the grade of a student's objects; errors that their code raises are findings.

        Parameters
        ----------
        *answers : object
            The objects of the names in `asks`, in that order.
        """
        if len(answers) != len(self.asks):
            return self._failed("missing", f"pass {', '.join(self.asks)} to the grader, in this order.")
        untouched = [name for name, answer in zip(self.asks, answers, strict=True) if answer is ...]
        try:
            if not untouched:
                return self.check(*answers)
        except NotImplementedError:
            untouched = list(self.asks)
        except Exception as error:
            return self._failed("raises", f"your code raises {type(error).__name__}: {error}")
        return self._failed("untouched", f"{' and '.join(untouched)}: nothing is written here yet.")

    def _failed(self, kind: str, sentence: str) -> Grade:
        return Grade(f"exercise {self.number}", (Finding("answer", kind, sentence),), ())
