"""Files of results that a killed process goes on from, in JSON Lines.

The first line describes the trainings, each line below it is the result of one. A result is one write of a
whole line, and on the disk before the next. However the process ends, all lines are whole, except perhaps a
last one without its end; that one is cut off, and its training repeated.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, TypeVar

from ...errors import CheckpointError, DeviceError, StateError

Row = TypeVar("Row")


def begin_results(path: Path, header: dict[str, Any]) -> bool:
    """Make the file with its first line; False if there is one, perhaps made by another process just now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = path.open("xb", buffering=0)
    except FileExistsError:
        return False
    try:
        _write(file, header)
    except BaseException:
        path.unlink()
        raise
    return True


def append_result(path: Path, record: dict[str, Any]) -> None:
    """Write a line at the end of the file."""
    _write(path.open("ab", buffering=0), record)


def _write(file: FileIO, record: dict[str, Any]) -> None:
    with file:
        line = (json.dumps(record, allow_nan=False) + "\n").encode()
        # On a disk with room for a part, a part is written. A line behind it would spoil both.
        if file.write(line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file.name)
        os.fsync(file.fileno())


@contextmanager
def readable(path: Path, kind: str, line: Callable[[], int] = lambda: 1) -> Iterator[None]:
    """Turn the errors of a damaged file inside a ``with`` block into a `CheckpointError` with its line."""
    try:
        yield
    except DeviceError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"opening {path}",
            f"not a results file of a {kind}, or damaged at line {line()}; start the {kind} anew",
            problem=f"{type(error).__name__}: {error}",
        ) from error


def read_results(
    path: Path, kind: str, names: set[str], row: Callable[[dict[str, Any], dict[str, Any]], Row]
) -> tuple[dict[str, Any], list[Row]]:
    """Return the header and the results; cut off a last line that was not finished.

    Parameters
    ----------
    path : Path
        The file.
    kind : str
        The kind of the results, "search" or "comparison": the one key of the first line.
    names : set of str
        The entries that the header must have.
    row : callable
        Makes a result from the header and a line.

    Raises
    ------
    CheckpointError
        If it is not such a file, or damaged.
    """
    where = f"opening {path}"
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(where, f"there is no such results file of a {kind}") from error
    except OSError as error:
        raise CheckpointError(where, f"the results file cannot be read: {error}") from error
    whole = content[: content.rfind(b"\n") + 1]
    number = 1
    with readable(path, kind, lambda: number):
        lines = [json.loads(line) for line in whole.splitlines()]
        header = lines[0][kind]
        missing = names - set(header)
        if missing:
            raise KeyError(*missing)
        rows = []
        for line in lines[1:]:
            number += 1
            rows.append(row(header, line))
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    return header, rows


def check_same(where: str, kind: str, path: Path, there: dict[str, Any], here: dict[str, Any]) -> None:
    """Refuse a file whose header differs, in other entries than the version.

    Parameters
    ----------
    where : str
        The function that goes on with the file.
    kind : str
        The kind of the results.
    path : Path
        The file.
    there, here : dict
        The header of the file, and the one that would be written now.

    Raises
    ------
    StateError
        With the entries that differ.
    """
    here = json.loads(json.dumps(here))
    differing = _differences(*({**header, "version": None} for header in (there, here)))
    if differing:
        raise StateError(
            where,
            f"the results file is of another {kind}; go on with that one as it was, or name a new file",
            file=path,
            differing=differing,
        )


def _differences(there: dict[str, Any], here: dict[str, Any]) -> str:
    names = [name for name in here if there.get(name) != here[name]]
    return "; ".join(
        f"{name}: {_differences(there[name], here[name])}"
        if name == "config"
        else f"{name}: {there.get(name)!r} there, {here[name]!r} here"
        for name in names
    )
