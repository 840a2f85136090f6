"""CIFAR-10: 60,000 color images of 32 x 32 pixels, in six files of an archive."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from .fetch import RemoteFile, fetch, folders
from .images import ImageData

ARCHIVE = RemoteFile(
    folder="cifar10",
    name="cifar-10-binary.tar.gz",
    checksum="c32a1d4ab5d03f1284b67883e8d87530",
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
    algorithm="md5",
)
INSIDE = "cifar-10-batches-bin/"
MEMBER_MD5 = {
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
}
IMAGES = 10_000  # in each file
RECORD = 1 + 3 * 32 * 32  # bytes: the label, then the red, the green and the blue plane
WRONG = "is not the published one; replace or remove it"


def load_cifar10() -> ImageData:
    """Load CIFAR-10, 60,000 pictures of animals and vehicles: 50,000 to train, 10,000 to test.

    The six files ``data_batch_1.bin`` to ``data_batch_5.bin`` and ``test_batch.bin``, or the archive
    ``cifar-10-binary.tar.gz`` that holds them, are looked up in ``$TINYGRAD_ADAM_DATA/cifar10`` and in the
    user's cache; otherwise the archive is downloaded to the cache (170.1 MB; needs the extra ``cli``). It is
    read in place and never unpacked. The MD5 of the archive and of each file in it is checked every time.

    Returns
    -------
    ImageData
        With images of shape (n, 3, 32, 32).

    Raises
    ------
    DataError
        If a file cannot be found, fetched or trusted.

    References
    ----------
    A. Krizhevsky (2009), Learning multiple layers of features from tiny images, technical report, University
    of Toronto. No license is stated.
    """
    images = np.empty((len(MEMBER_MD5) * IMAGES, 3, 32, 32), np.uint8)
    labels = np.empty(len(images), np.uint8)
    order = {name: number * IMAGES for number, name in enumerate(MEMBER_MD5)}
    for name, records in _files():
        start = order[name]
        labels[start : start + IMAGES] = records[:, 0]
        images[start : start + IMAGES] = records[:, 1:].reshape(-1, 3, 32, 32)
    cut = order["test_batch.bin"]
    return ImageData(
        name="cifar10",
        train_images=images[:cut],
        train_labels=labels[:cut],
        test_images=images[cut:],
        test_labels=labels[cut:],
        classes=(
            "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
        ),
        scale=255.0,
        credit=(
            "A. Krizhevsky (2009), Learning multiple layers of features from tiny images, technical report, "
            "University of Toronto"
        ),
        license="none stated",
    )  # fmt: skip


def _files() -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield each of the six files once, by name, in any order, from the first place that has them."""
    for folder in folders(ARCHIVE.folder):
        missing = [name for name in MEMBER_MD5 if not (folder / name).is_file()]
        if not missing:
            for name in MEMBER_MD5:
                path = folder / name
                _check(path, f"{IMAGES * RECORD} bytes", f"{path.stat().st_size} bytes")
                yield name, _records(path, name, path.read_bytes())
            return
        if (folder / ARCHIVE.name).is_file():
            break
        if len(missing) < len(MEMBER_MD5):
            raise DataError(
                ARCHIVE.folder,
                f"some of the files are missing; add them, put {ARCHIVE.name} there, or remove the others",
                folder=folder, expected=", ".join(MEMBER_MD5), missing=", ".join(missing),
            )  # fmt: skip
    yield from _read_archive(fetch(ARCHIVE))


def _read_archive(path: Path) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield the six files of the archive; nothing in it is ever used as a path."""
    missing = dict.fromkeys(INSIDE + name for name in MEMBER_MD5)
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                inside = f"{path}: {member.name}"
                name = PurePosixPath(member.name)
                if not (member.isreg() or member.isdir()) or name.is_absolute() or ".." in name.parts:
                    raise DataError(
                        ARCHIVE.folder, f"a member is not a plain file or folder; {ARCHIVE.name} {WRONG}",
                        file=inside, expected="plain files and folders with relative names",
                        found=f"type {member.type!r}, name {member.name!r}",
                    )  # fmt: skip
                if member.isdir() or member.name not in missing:
                    continue
                del missing[member.name]
                _check(inside, f"{IMAGES * RECORD} bytes", f"{member.size} bytes")
                stream = archive.extractfile(member)
                assert stream is not None  # it is a plain file
                yield name.name, _records(inside, name.name, stream.read())
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(
            ARCHIVE.folder, "the archive is damaged; replace or remove it", file=path, reason=error
        ) from error
    if missing:
        raise DataError(
            ARCHIVE.folder, f"the archive lacks files; {ARCHIVE.name} {WRONG}",
            file=path, expected=", ".join(INSIDE + name for name in MEMBER_MD5), missing=", ".join(missing),
        )  # fmt: skip


def _records(source: str | Path, name: str, content: bytes) -> NDArray[np.uint8]:
    _check(source, f"md5 {MEMBER_MD5[name]}", f"md5 {hashlib.md5(content).hexdigest()}")
    return np.frombuffer(content, np.uint8).reshape(IMAGES, RECORD)


def _check(source: str | Path, expected: str, found: str) -> None:
    if found != expected:
        raise DataError(ARCHIVE.folder, f"the file {WRONG}", file=source, expected=expected, found=found)
