"""Tensors compared with arrays."""

import numpy as np

import tinygrad_adam as tg


def same(tensor, expected):
    assert type(tensor) is tg.Tensor
    assert type(tensor.data) is np.ndarray
    np.testing.assert_array_equal(tensor.detach().numpy(), expected)


def raw(value):
    return value.detach().numpy() if isinstance(value, tg.Tensor) else value
