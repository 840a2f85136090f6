"""The results of a class: as a file for a spreadsheet, and exercise by exercise."""

from __future__ import annotations

import csv
import unicodedata
from collections import Counter
from pathlib import Path

from ..errors import OptionError
from ..files.writing import check_writable, replacing
from .checking import Row

COLUMNS = ("student", "exercise", "passed", "sentence", "kind", "file")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Cells that begin with one of these are computed by spreadsheets; the last four are the full-width signs."""


def table_file(folder: Path) -> Path:
    """Return the path of the table, beside the folder of submissions and with its name.

    Raises
    ------
    OptionError
        If there is another file of this name.
    OSError
        If it cannot be written.
    """
    file = folder.resolve()
    file = file.with_name(f"{file.name}.csv")
    if check_writable(file) is not None:
        with file.open(encoding="utf-8-sig", errors="replace") as lines:
            if lines.readline().strip() != ",".join(COLUMNS):
                raise OptionError(
                    "course --check",
                    "its table gets this name, but another file has it; move that",
                    file=file,
                )
    return file


def write_table(rows: list[Row], file: Path) -> None:
    """Write a table as CSV, in UTF-8 with a byte order mark: Excel needs it."""
    with replacing(file) as partial, partial.open("w", encoding="utf-8-sig", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(COLUMNS)
        for row in rows:
            passed = "yes" if row.passed else "no"
            cells = (row.student, row.exercise, passed, row.sentence, row.kind, row.file)
            writer.writerow([_inert(visible(cell)) for cell in cells])


def _inert(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def visible(text: str) -> str:
    """Return a text in which characters that a terminal would obey, such as the escape, are written out."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in unicodedata.normalize("NFC", text))


def by_exercise(rows: list[Row]) -> list[tuple[str, str, str]]:
    """Return for each exercise its number, how many passed, and the most common kinds of mistakes."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.exercise, []).append(row)
    return [
        (exercise, f"{sum(row.passed for row in of_it)} of {len(of_it)}", _common(of_it))
        for exercise, of_it in sorted(found.items(), key=lambda item: _order(item[0]))
    ]


def _common(rows: list[Row]) -> str:
    kinds = Counter(row.kind for row in rows if not row.passed)
    return ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common(3))


def _order(exercise: str) -> tuple[int, ...]:
    return tuple(int(part) for part in exercise.split(".") if part.isdigit()) or (10**6,)
