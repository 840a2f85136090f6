"""Types that signatures name: raw arrays, the namespace that computes with them, operands and data types."""

from typing import Any, TypeAlias

Array: TypeAlias = Any
"""A raw array of NumPy or CuPy, which share no base class; in a rule under ``create_graph``, a Tensor."""

Xp: TypeAlias = Any
"""An array namespace: NumPy, CuPy, or, in a rule under ``create_graph``, the package's own operations."""

TensorLike: TypeAlias = Any
"""An operand: a Tensor, a raw array, a number, or nested lists of numbers."""

DType: TypeAlias = Any
"""A data type as NumPy takes it: a `numpy.dtype`, its name or a scalar type. None stands for a default."""
