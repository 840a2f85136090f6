"""NumPy's protocols: its functions, called on Tensors, are our operations of the same name."""

from __future__ import annotations

from typing import Any

import numpy

from .. import ops
from ..errors import DTypeError

_UFUNC_NAMES = {"absolute": "abs", "true_divide": "divide", "amax": "max", "amin": "min", "around": "round"}


def apply_ufunc(tensor: Any, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
    """Call the operation of the name of a ufunc."""
    operation = getattr(ops, _UFUNC_NAMES.get(ufunc.__name__, ufunc.__name__), None)
    if method != "__call__" or operation is None or settings:
        call = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        raise DTypeError(
            f"numpy.{call}",
            "not supported on Tensors" + (f" with {', '.join(settings)}" if settings else "")
            + "; use an operation of tinygrad_adam, or .detach().numpy()",
        )  # fmt: skip
    return operation(*inputs)


def apply_function(tensor: Any, function: Any, types: Any, args: Any, settings: Any) -> Any:
    """Call the operation of the name of a function of NumPy."""
    if function in (numpy.shape, numpy.ndim, numpy.size) and len(args) == 1:
        return getattr(args[0], function.__name__)
    operation = getattr(ops, _UFUNC_NAMES.get(function.__name__, function.__name__), None)
    # numpy.linalg has other functions under some of the same names.
    if operation is None or function.__module__ != "numpy":
        raise DTypeError(
            f"{function.__module__}.{function.__name__}",
            "not supported on Tensors; use an operation of tinygrad_adam, or .detach().numpy()",
        )
    return operation(*args, **settings)
