"""Files of named arrays in the safetensors format: written atomically, read without running code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .errors import CheckpointError
from .files import replacing


def save_tensors(
    path: str | os.PathLike[str], tensors: dict[str, Any], metadata: dict[str, str] | None = None
) -> None:
    """Write arrays to `path`; a file that is there already is replaced whole or not at all.

    Parameters
    ----------
    path : path
        Where to write. The folder is made if it does not exist.
    tensors : dict of str to numpy.ndarray
        What to write.
    metadata : dict of str to str, optional
        Text to keep in the header.

    Raises
    ------
    CheckpointError
        If the file cannot be written, say because the disk is full; an old file stays as it was.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    contiguous = {
        name: array if array.flags.c_contiguous else array.copy() for name, array in tensors.items()
    }
    try:
        with replacing(path) as partial:
            save_file(contiguous, partial, metadata=metadata)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"saving {path}", f"could not write: {error}; a file that was there before is as it was"
        ) from error


def load_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Read all arrays and the metadata of a safetensors file.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    tensors : dict of str to numpy.ndarray
        The arrays by name.
    metadata : dict of str to str
        The header's text.

    Raises
    ------
    CheckpointError
        If there is no such file, or it is truncated, damaged or of another format.
    """
    from safetensors import SafetensorError, safe_open

    target = Path(path)
    try:
        with safe_open(target, framework="numpy") as file:
            # safetensors has no type information.
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata() or {})
    except FileNotFoundError as error:
        raise CheckpointError(f"loading {target}", "there is no such file") from error
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"loading {target}",
            f"not a whole safetensors file ({error}); it may be truncated, damaged or of another format. "
            "Pickled files are never read: save with .save() or safetensors",
        ) from error
    # NumPy has no bfloat16, but reads it once another package has brought it.
    foreign = [f"{name}: {array.dtype}" for name, array in arrays.items() if array.dtype.kind not in "fiub"]
    if foreign:
        raise CheckpointError(
            f"loading {target}", "NumPy has no such numbers; save float32 instead", found="; ".join(foreign)
        )
    return arrays, metadata
