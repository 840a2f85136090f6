"""Types that signatures name: raw arrays, the namespace that computes with them, and operands."""

from typing import Any, TypeAlias

Array: TypeAlias = Any
"""A raw array of NumPy or CuPy, which share no base class; in a rule under ``create_graph``, a Tensor."""

Xp: TypeAlias = Any
"""An array namespace: NumPy, CuPy, or, in a rule under ``create_graph``, the package's own operations."""

TensorLike: TypeAlias = Any
"""An operand: a Tensor, a raw array, a number, or nested lists of numbers."""

Args: TypeAlias = tuple[Any, ...]
"""The arguments of an operation: Tensors, raw arrays, numbers, or None."""

Settings: TypeAlias = dict[str, Any]
"""The keyword arguments of an operation."""

DType: TypeAlias = Any
"""A data type as NumPy takes it: a `numpy.dtype`, its name or a scalar type. None stands for a default."""
