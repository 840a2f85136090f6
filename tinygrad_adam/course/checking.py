"""Checking the submissions of a class: each notebook runs in a process of its own."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace

from ..backend.threads import get_num_threads
from .exercises import EXERCISES
from .runs import Limits, Runs
from .submissions import Submission, Verdict


@dataclass(frozen=True)
class Row:
    """The verdict on an exercise of a student, or on a file that is no notebook of the course.

    Attributes
    ----------
    student, exercise : str
        The student, and the number of the exercise; ``"all"`` if the file cannot be run.
    passed : bool
        Whether the answer is right.
    sentence : str
        The grader's sentence.
    kind : str
        The kind of the mistake, such as ``"flipped sign"``; empty if there is none.
    file : str
        The path of the notebook within the folder.
    """

    student: str
    exercise: str
    passed: bool
    sentence: str
    kind: str
    file: str


def check(
    submissions: list[Submission], limits: Limits | None = None, workers: int | None = None
) -> Generator[list[Row]]:
    """Run notebooks, several at a time, and yield the rows of each as it is done.

    Parameters
    ----------
    submissions : list of Submission
        The notebooks.
    limits : Limits, optional
        The bounds of each.
    workers : int, optional
        How many run at a time; by default one a core.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(workers or get_num_threads()) as pool:
        waiting = [pool.submit(check_one, submission, limits or Limits(), stop) for submission in submissions]
        try:
            for done in as_completed(waiting):
                yield done.result()
        finally:  # after Ctrl-C, too
            stop.set()
            pool.shutdown(cancel_futures=True)


def check_one(submission: Submission, limits: Limits, stop: threading.Event) -> list[Row]:
    """Return the rows of a submission, in the order of the exercises."""

    def row(exercise: str, passed: bool, kind: str, sentence: str) -> Row:
        return Row(submission.student, exercise, passed, sentence, kind, submission.file)

    if submission.problem:
        return [row("all", False, "no notebook", submission.problem)]
    try:
        found = Runs(submission, limits, stop).verdicts()
    except OSError as error:  # no room for one more process, or on the disk
        return [row("all", False, "not checked", f"the notebook could not be run here: {error}.")]
    found |= {number: Verdict(False, "missing", sentence) for number, sentence in submission.lost.items()}
    return [row(number, *found[number]) for number in EXERCISES if number in found]


def in_order(rows: list[Row]) -> list[Row]:
    """Return rows by student, file and exercise; a sentence names the file if the student has two of them."""
    twice = Counter((row.student, row.exercise) for row in rows)
    named = [
        replace(row, sentence=f"{row.file}: {row.sentence}") if twice[row.student, row.exercise] > 1 else row
        for row in rows
    ]
    return sorted(named, key=lambda row: (row.student.casefold(), row.student, row.file))
