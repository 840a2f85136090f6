"""An exercise of the course: the names that it asks for, the code handed out, and the check of an answer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..testing.grading.report import Finding, Grade
from .calling import Printed, raising
from .findings import together, untouched
from .reading import line_of


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
            names = ", ".join(self.asks)
            return self._named(
                Grade("", (Finding("answer", "missing", f"pass {names} to the grader, in this order."),), ())
            )
        try:
            with contextlib.redirect_stdout(Printed()):
                return self._named(self.check(*answers))
        except NotImplementedError:
            return self._named(together(*(untouched(name).grade for name in self.asks)))
        except (Exception, SystemExit) as error:
            if not line_of(error):
                raise  # no code of the student's: the grader is to blame
            return self._named(raising("answer", error).grade)

    def _named(self, grade: Grade) -> Grade:
        return replace(grade, name=f"exercise {self.number}")
