"""The idx format of the MNIST family: a magic number, the dimensions, the values.

A file is two zero bytes, a byte for the data type, a byte for the number of dimensions, each dimension as a
big-endian 32-bit number, and then the values, big-endian, in C order.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: str | Path) -> NDArray[Any]:
    """Read an idx file, compressed with gzip or not.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    numpy.ndarray
        In the byte order of this machine.

    Raises
    ------
    DataError
        If the file cannot be read, is not in the idx format, is cut short, or goes on after its last value.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError("read_idx", "the file cannot be read", file=path, reason=error) from error
    if content.startswith(GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise DataError("read_idx", "the gzip file is damaged", file=path, reason=error) from error
    return parse_idx(content, str(path))


def parse_idx(content: bytes, source: str) -> NDArray[Any]:
    r"""Parse the bytes of an idx file; `source` names them in errors.

    Raises
    ------
    DataError
        As `read_idx`.

    Examples
    --------
    >>> parse_idx(b"\0\0\x08\x01" + b"\0\0\0\x03" + b"abc", "example")
    array([97, 98, 99], dtype=uint8)
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in DTYPES or content[3] == 0:
        raise DataError("read_idx", "not an idx file", file=source, magic=content[:4].hex(" "))
    dtype, ndim = np.dtype(DTYPES[content[2]]), content[3]
    start = 4 + 4 * ndim
    if len(content) < start:
        raise DataError(
            "read_idx", "the header is cut short", file=source, dimensions=ndim, bytes=len(content)
        )
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", ndim, offset=4))
    # Python's whole numbers: a forged header must not overflow into a size that fits.
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise DataError(
            "read_idx", "the values do not fill the shape in the header",
            file=source, shape=shape, expected=f"{expected} bytes", found=f"{len(content)} bytes",
        )  # fmt: skip
    try:
        values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    except ValueError as error:  # of a forged header: more than 64 axes, or none long and the others too long
        raise DataError(
            "read_idx", "NumPy has no array of the shape in the header", file=source, axes=ndim, reason=error
        ) from error
    return values.astype(dtype.newbyteorder("="))
