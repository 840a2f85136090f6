"""The Tensor: its operators and gradient, its methods, and the functions that make one."""

from .tensor import Tensor
