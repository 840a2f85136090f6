"""Files that are found on this machine or downloaded, and never used unverified.

A file is looked up in three places: the folder in the environment variable ``TINYGRAD_ADAM_DATA``, the
user's cache, and the mirrors. From any of them, its checksum must be right.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Literal

from ...errors import DataError

VARIABLE = "TINYGRAD_ADAM_DATA"
TIMEOUT = (10, 60)  # seconds to connect, and between two pieces of an answer
CHUNK = 1 << 16


@dataclass(frozen=True)
class RemoteFile:
    """A file with its checksum, and where to get it.

    Attributes
    ----------
    folder : str
        The data set's own folder, in the cache and under ``TINYGRAD_ADAM_DATA``.
    name : str
    checksum : str
        In hexadecimal, as the publisher gives it.
    mirrors : tuple of str
        Base addresses, each ending in a slash, tried in turn.
    algorithm : {"sha256", "md5"}
        Of the checksum.
    """

    folder: str
    name: str
    checksum: str
    mirrors: tuple[str, ...]
    algorithm: Literal["sha256", "md5"] = "sha256"


def folders(name: str) -> list[Path]:
    """Return where on this machine the files of the data set `name` may be, the first place first."""
    named = os.environ.get(VARIABLE)
    return [base / name for base in ([Path(named).expanduser()] if named else []) + [_cache()]]


def fetch(file: RemoteFile) -> Path:
    """Return the path of a verified copy of `file`, downloading it if there is none.

    A download that is cut off leaves a ``.part`` file, and the next one continues it, from any mirror.

    Parameters
    ----------
    file : RemoteFile

    Returns
    -------
    Path

    Raises
    ------
    DataError
        If the copy under ``TINYGRAD_ADAM_DATA`` is not the published file, if no mirror serves that file, or
        if the packages that download are not installed.
    """
    *named, cache = folders(file.folder)
    for folder in named:
        path = folder / file.name
        if path.is_file():
            if (found := _checksum(path, file)) != file.checksum:
                raise DataError(
                    file.folder,
                    f"{VARIABLE} holds a file that is not the published one; replace or remove it",
                    file=path,
                    expected=f"{file.algorithm} {file.checksum}",
                    found=f"{file.algorithm} {found}",
                )
            return path
    path = cache / file.name
    if not (path.is_file() and _checksum(path, file) == file.checksum):
        _download(file, path)
    return path


def _checksum(path: Path, file: RemoteFile) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, file.algorithm).hexdigest()


def _cache() -> Path:
    try:
        from platformdirs import user_cache_path
    except ImportError:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinygrad_adam"
    return user_cache_path("tinygrad_adam")


def _download(file: RemoteFile, path: Path) -> None:
    try:
        import pooch
        import requests  # noqa: F401
        import rich  # noqa: F401
    except ImportError as error:
        raise DataError(
            file.folder,
            'downloading needs more packages: pip install "tinygrad-adam[cli]"',
            missing=error.name,
        ) from error
    resume = partial(_resume, path.with_name(path.name + ".part"))
    failures = {}
    for mirror in file.mirrors:
        url = mirror + file.name
        try:
            # Verifies the file of `resume`, and only then moves it to its place.
            pooch.retrieve(
                url, f"{file.algorithm}:{file.checksum}", file.name, path.parent, downloader=resume
            )
            return
        except (OSError, ValueError) as error:  # the network or the disk, and a wrong checksum
            failures[url] = f"{type(error).__name__}: {error}"
    raise DataError(
        file.folder,
        f"no mirror served {file.name}; {VARIABLE} may name a folder that has {file.folder}/{file.name}",
        **failures,
    )


def _resume(part: Path, url: str, output: str, _: object) -> None:
    """Download `url` to `output` for pooch, going on with `part` where there is one.

    Several processes may write one part at once: they put the same bytes in the same places, none truncates
    before its end, and each copies from the file that it opened, even after another unlinks the name.
    """
    import requests
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    part.touch()
    with part.open("r+b") as file:
        done = file.seek(0, os.SEEK_END)
        # `identity`: a range counts the bytes of the file, not of a compressed answer.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            # Nothing left to send: the last download ended between its last byte and its check.
            if response.status_code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                response.raise_for_status()
                if response.status_code != HTTPStatus.PARTIAL_CONTENT:
                    done = file.seek(0)
                total = done + int(response.headers.get("Content-Length", 0))
                columns = TextColumn(part.stem), BarColumn(), DownloadColumn(), TransferSpeedColumn()
                with Progress(*columns, console=Console(stderr=True)) as progress:
                    task = progress.add_task("download", total=total, completed=done)
                    for chunk in response.iter_content(CHUNK):
                        file.write(chunk)
                        progress.advance(task, len(chunk))
                file.truncate()
        file.seek(0)
        with open(output, "wb") as whole:
            shutil.copyfileobj(file, whole)
    part.unlink(missing_ok=True)
