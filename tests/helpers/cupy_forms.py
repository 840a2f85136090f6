"""The forms of the results of CuPy's functions, which the stand-in must reproduce.

Each line of ``cupy_forms.txt`` is a call and the form of its result in CuPy: dtype, shape and strides (0 for
axes of size 1), or the exception; "waits" if the host waits for the GPU. In a call ``f`` is an
array of float32 of that shape, ``d`` of float64, ``h`` of float16, ``i`` of int32, ``q`` of int64, ``u`` of
uint8 and ``b`` of booleans. No line depends on values.
"""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Any

import numpy as np

VERSION = "14.2.0"
"""The version of CuPy that produced the forms."""

TYPES = {"f": "float32", "d": "float64", "h": "float16", "i": "int32", "q": "int64", "u": "uint8"}


def expected() -> dict[str, str]:
    """Return the form of each call."""
    lines = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("  ->  ") for line in lines)


def found(xp: Any, call: str) -> str:
    """Return the form of a call's result under `xp`, which is CuPy or the stand-in."""

    def made(dtype: str, *shape: int) -> Any:
        return xp.asarray((np.arange(np.prod(shape, dtype=int)) + 1).reshape(shape).astype(dtype))

    names = {letter: functools.partial(made, dtype) for letter, dtype in TYPES.items()}
    names["b"] = lambda *shape: made("f", *shape) > 3
    with warnings.catch_warnings(action="ignore"):
        try:
            return _form(eval(call, {"xp": xp, "np": np, **names}))
        except Exception as error:
            return f"raises {type(error).__name__}"


def _form(value: Any) -> str:
    if isinstance(value, tuple | list) and value:
        return f"[{'; '.join(map(_form, value))}]"
    if not hasattr(value, "dtype"):
        return type(value).__name__
    words = [f"{value.dtype} {tuple(value.shape)}"]
    if isinstance(value, np.ndarray | np.generic):
        words.insert(0, "host")
    if value.size > 1:
        strides = [s if n > 1 else 0 for s, n in zip(value.strides, value.shape, strict=True)]
        words.append(f"strides {tuple(strides)}")
    return " ".join(words)
