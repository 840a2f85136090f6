"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary file that becomes `path` at the end of the ``with`` block.

    If anything fails, a file that was there before stays as it was, and nothing half-written is left. A
    symbolic link stays, and the file that it names is written. A file that was there before keeps its
    permissions, and its owner where the system allows it; a new one gets the same as from ``open``.

    Parameters
    ----------
    path : path
        The file to write. Its folder is made if it does not exist.

    Yields
    ------
    Path
        An empty file in the same folder, with the same ending.

    Raises
    ------
    OSError
        If it cannot be written, say because the disk is full, because it is write-protected, or because
        `path` is a folder, a device or a pipe.
    """
    before = check_writable(path)
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, so that the last step is a rename within one file system. The kernel takes the umask
    # off the mode; a user without access to the old file has none to the new one while it grows.
    partial = target.with_name(f".{target.stem}.{secrets.token_hex(4)}{target.suffix}")
    mode = 0o666 if before is None else stat.S_IMODE(before.st_mode) & 0o666 | 0o600
    handle = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    usual = os.fstat(handle)
    os.close(handle)
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        _make_like(partial, before or usual)  # a writer that renames a file of its own has changed it
        os.replace(partial, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)


def is_partial(name: str, files: Iterable[str]) -> bool:
    """Return whether a file was left behind by a process that was killed while it wrote one of `files`.

    Examples
    --------
    >>> is_partial(".best.0a1b2c3d.safetensors", ["best.safetensors"])
    True
    """
    ends = ((re.escape(Path(file).stem), re.escape(Path(file).suffix)) for file in files)
    ours = any(re.fullmatch(rf"\.{stem}\.[a-z0-9_]{{8}}{suffix}", name) for stem, suffix in ends)
    return (
        ours or re.fullmatch(r"\.tmp[A-Za-z0-9]{6}", name) is not None
    )  # safetensors makes it inside of ours


def check_regular(path: str | os.PathLike[str]) -> os.stat_result:
    """Return the `os.stat` of a file, or refuse a path to a folder, a device, a pipe or nothing.

    Raises
    ------
    OSError
        `FileNotFoundError` and `IsADirectoryError` among them.
    """
    found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder; name a file", os.fspath(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no file but a device, a pipe or a socket", os.fspath(path))
    return found


def check_writable(path: str | os.PathLike[str]) -> os.stat_result | None:
    """Refuse a path that `replacing` could not write to, as far as it can be known; make nothing.

    Returns
    -------
    os.stat_result or None
        Of the file that is there now, if there is one.

    Raises
    ------
    OSError
        If it is a folder, a device or a pipe, or write-protected.
    """
    try:
        before = check_regular(path)
    except FileNotFoundError:
        before = None
    if before is not None and not os.access(path, os.W_OK):  # the rename at the end would not check
        raise PermissionError(errno.EACCES, "the file is write-protected", os.fspath(path))
    folder = Path(os.path.realpath(path)).parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "it is no folder", os.fspath(folder))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "the folder is write-protected", os.fspath(folder))
    return before


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file whole or not at all, as `replacing` does."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def finite_or_none(value: Any) -> Any:
    """Return nested dicts and lists with None for each number that is not finite, which JSON cannot hold."""
    if isinstance(value, dict):
        return {key: finite_or_none(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [finite_or_none(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _make_like(path: Path, before: os.stat_result) -> None:
    """Give a file the owner, group and permissions of another, past or present."""
    new = os.stat(path)
    if (new.st_uid, new.st_gid) != (before.st_uid, before.st_gid):
        with contextlib.suppress(OSError):  # only root may give files away
            os.chown(path, before.st_uid, before.st_gid)
    if stat.S_IMODE(new.st_mode) != stat.S_IMODE(before.st_mode):
        os.chmod(path, stat.S_IMODE(before.st_mode))
