"""The process in which a student's notebook runs: ``python -m tinygrad_adam.course.runner``.

It reads a job from its standard input, runs the cells, grades the exercises, and writes a message a line to
the process that watches it. The student's code sees neither of the two.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from .cells import Result, TimeIsUpError, at_most, names_in, new_namespace, run_cell, short
from .exercise import Exercise
from .exercises import EXERCISES
from .patches import Originals
from .submissions import TOO_LONG, Verdict


class Channel:
    """The way to the process that watches this one.

    Each line begins with a secret. A student's code that finds the file and writes into it is ignored.
    """

    def __init__(self) -> None:
        self._file, self._process = os.dup(1), os.getpid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for file in (0, 1, 2):
            os.dup2(nothing, file)
        self.secret = ""

    def send(self, *message: object) -> None:
        """Write a message; a copy of the process that a cell has made by os.fork() ends here."""
        if os.getpid() != self._process:
            os._exit(0)
        os.write(self._file, f"\n{self.secret}{json.dumps(message)}\n".encode())


class Notebook:
    """A notebook in the middle of its run.

    Parameters
    ----------
    job : dict
        ``cells``, pairs of a name and a source; ``places``, the cells of the exercises that are to be graded;
        ``skip``, the cells that ended this process before; ``limits``, first the seconds for a cell.
    send : callable
        Takes the messages.
    """

    def __init__(self, job: dict[str, Any], send: Callable[..., None]) -> None:
        self.cells: list[tuple[str, str]] = [(name, source) for name, source in job["cells"]]
        self.places: dict[str, list[int]] = job["places"]
        self.skip: set[int] = {*job["skip"]}
        self.seconds: float = job["limits"][0]
        self.exercises = {number: EXERCISES[number] for number in self.places}
        self.send, self.results = send, [Result() for _ in self.cells]
        self.namespace = new_namespace()
        self.originals = Originals()

    def run(self) -> None:
        """Run the cells up to the last exercise, and grade each exercise after its last cell."""
        last = {places[-1]: number for number, places in self.places.items()}
        for place, (name, source) in enumerate(self.cells[: max(last) + 1]):
            self.send("cell", place)
            if place not in self.skip:
                self.results[place] = result = run_cell(source, name, self.namespace, self.seconds)
                if result.kind in ("syntax", "raises", "too long"):
                    self.send("trouble", place, result.sentence)
            if place in last:
                number = last[place]
                self.send("cell", place)  # the time for the answer's calls begins
                passed, kind, sentence = self.verdict(number)
                self.send("verdict", number, passed, kind, short(sentence, 1000))
        self.send("end")

    def verdict(self, number: str) -> Verdict:
        """Return the verdict on the names that the cells of an exercise have bound."""
        exercise, places = self.exercises[number], self.places[number]
        results = [self.results[place] for place in places]
        troubles = [result for result in results if result.kind]
        stuck = next((result for result in troubles if result.kind == "too long"), None)
        if stuck is not None:
            return Verdict(False, stuck.kind, stuck.sentence)
        defined = {name for result in results for name in result.defined if name in self.namespace}
        missing = [name for name in exercise.asks if name not in defined]
        if missing:
            return self._missing(exercise, missing, troubles)
        passed, kind, sentence = self._graded(exercise)
        if passed and troubles:
            sentence += f", but {troubles[0].sentence}"
        if len(places) > 1:
            sentence += f" (There are {len(places)} copies of the cell, and the last one counts.)"
        return Verdict(passed, kind, sentence)

    def _missing(self, exercise: Exercise, missing: list[str], troubles: list[Result]) -> Verdict:
        names = " and ".join(missing)
        elsewhere = next(
            (
                name
                for name, source in self.cells
                if not name.startswith("exercise") and {*missing} <= names_in(source)
            ),
            "",
        )
        if troubles and troubles[0].kind in ("syntax", "raises"):
            return Verdict(False, troubles[0].kind, troubles[0].sentence)
        begin = f"{troubles[0].sentence}; it should define" if troubles else "the cell does not define"
        if elsewhere:
            sentence = (
                f"{begin} {names}. {elsewhere} does: move the answer from there into the exercise's own cell."
            )
        else:
            line = next(line for line in exercise.scaffold.splitlines() if missing[0] in line)
            sentence = f'{begin} {names}. The cell that was handed out has the line "{line}".'
        return Verdict(False, troubles[0].kind if troubles else "missing", sentence)

    def _graded(self, exercise: Exercise) -> Verdict:
        """Grade the answers in the namespace, with the grader as it is installed."""
        answers = [self.namespace[name] for name in exercise.asks]
        try:
            with at_most(self.seconds), self.originals.in_place():
                grade = exercise.grade(*answers)
                passed = grade.passed
        except TimeIsUpError:
            call = f"a call of {exercise.asks[0]}"
            return Verdict(False, "too long", TOO_LONG.format(call, self.seconds, ""))
        except BaseException as error:
            return Verdict(False, "raises", f"your code raises {type(error).__name__} when it is graded")
        if passed:
            return Verdict(True, "", "right")
        first, *others = grade.findings
        places = [first.where, *(other.where for other in others if other.sentence == first.sentence)]
        named = len(exercise.asks) > 1 or first.where not in (*exercise.asks, "answer", "update", "forward")
        sentence = f"{' and '.join(places)}: {first.sentence}" if named else first.sentence
        if more := len(others) + 1 - len(places):
            sentence += f" ({more} more to see when the cell runs.)"
        return Verdict(False, first.kind, sentence)


def limit(seconds: float) -> None:
    """Bound the processor's time and the size of files, where the system can; no core is dumped."""
    try:
        import resource
    except ImportError:  # Windows
        return
    bounds = {
        resource.RLIMIT_CPU: int(seconds) + 1,
        resource.RLIMIT_FSIZE: 100 * 2**20,
        resource.RLIMIT_CORE: 0,
    }
    for which, bound in bounds.items():
        _, hard = resource.getrlimit(which)
        bound = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(which, (bound, bound))


def main() -> None:
    """Run the notebook of the job on the standard input."""
    job = json.loads(sys.stdin.buffer.readline())
    channel = Channel()
    channel.secret = job.pop("secret")
    limit(job["limits"][1])
    Notebook(job, channel.send).run()
    os._exit(0)  # whatever threads and exit handlers the student's code has left


if __name__ == "__main__":
    main()
