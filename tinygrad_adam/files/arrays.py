"""Files of named arrays, safetensors or NumPy's .npz: written atomically, read without running code."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy

from ..errors import CheckpointError
from .writing import check_regular, replacing

FOREIGN = {
    **dict.fromkeys((".pt", ".pth"), "PyTorch"),
    **dict.fromkeys((".keras", ".h5", ".hdf5"), "Keras"),
    **dict.fromkeys((".pb", ".tflite"), "TensorFlow"),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), "Python's pickles"),
    **dict.fromkeys((".msgpack", ".orbax"), "Flax"),
    ".onnx": "ONNX",
    ".gguf": "llama.cpp",
    ".mat": "MATLAB",
    ".npy": "a single array",
    ".json": "JSON",
    ".zip": "archives",
}
"""Endings of formats that are not written here, with their owners."""
READ = {"F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"}
"""The number types of safetensors that NumPy has too."""


def save_tensors(
    path: str | os.PathLike[str], tensors: dict[str, Any], metadata: dict[str, str] | None = None
) -> None:
    """Write arrays to `path`; a file that is there already is replaced whole or not at all.

    Parameters
    ----------
    path : path
        The file to write. ``.npz`` makes an archive as `numpy.savez` does; another ending, unless it belongs
        to another format, makes a safetensors file. The folder is made if it does not exist.
    tensors : dict of str to numpy.ndarray
        The arrays by name.
    metadata : dict of str to str, optional
        Text for the header; ``.npz`` has none.

    Raises
    ------
    CheckpointError
        If the ending belongs to another format, or the file cannot be written, say because the disk is full;
        an old file stays as it was.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    ending = Path(path).suffix.lower()
    if ending in FOREIGN or (ending == ".npz" and metadata):
        formats = (
            ".safetensors" if metadata else ".safetensors, which PyTorch and others read, or .npz for NumPy"
        )
        owner = FOREIGN.get(ending, "arrays alone, without the state of a run")
        raise CheckpointError(
            f"saving {path}", f"{ending} is for {owner} and not written here; let the name end in {formats}"
        )
    try:
        with replacing(path) as partial:
            if ending == ".npz":
                _save_npz(partial, tensors)
            else:
                contiguous = {
                    name: array if array.flags.c_contiguous else array.copy()
                    for name, array in tensors.items()
                }
                save_file(contiguous, partial, metadata=metadata)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"saving {path}", f"could not write: {error}; a file that was there before is as it was"
        ) from error


def load_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Read all arrays and the metadata of a safetensors file, or the arrays of an ``.npz``.

    The format is recognized by the first bytes, not by the name.

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
        If there is no such file, or it is truncated, damaged or of another format, or holds numbers that
        NumPy does not have.
    """
    target = Path(path)
    where = f"loading {target}"
    try:
        check_regular(target)
        with target.open("rb") as file:
            zipped = file.read(2) == b"PK"
        return (_load_npz(target), {}) if zipped else _load_safetensors(where, target)
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(where, "there is no such file") from error
    except OSError as error:
        raise CheckpointError(where, f"it cannot be read: {error}") from error
    except Exception as error:  # damaged files raise errors of many kinds
        raise CheckpointError(
            where,
            f"not a whole safetensors or .npz file ({error}); it may be truncated, damaged or of another "
            "format. Pickled files are never read: save with .save() or safetensors",
        ) from error


def _load_safetensors(where: str, path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        # safetensors has no type information.
        kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
        foreign = [f"{name}: {kind}" for name, kind in kinds.items() if kind not in READ]
        if foreign:
            raise CheckpointError(
                where, "NumPy has no such numbers; save float32 instead, in PyTorch by tensor.float()",
                found="; ".join(foreign),
            )  # fmt: skip
        return {name: file.get_tensor(name) for name in kinds}, dict(file.metadata() or {})


def _save_npz(path: Path, tensors: dict[str, Any]) -> None:
    """Write an archive as `numpy.savez` does, which cannot take an array named "file"."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in tensors.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                numpy.lib.format.write_array(member, numpy.asanyarray(array), allow_pickle=False)


def _load_npz(path: Path) -> dict[str, Any]:
    # numpy.load would leave the file of a damaged archive open.
    with path.open("rb") as file, numpy.load(file, allow_pickle=False) as archive:
        others = [name for name in archive.zip.namelist() if not name.endswith(".npy")]
        if others:
            raise ValueError(f"an archive that holds {others[0]}")
        return dict(archive)
