"""Leaves of graphs, and their gradients compared with numbers."""

import numpy as np

import tinygrad_adam as tg


def leaf(*values, dtype=np.float64):
    return tg.tensor(np.array(values, dtype=dtype), requires_grad=True)


def close(tensor, expected, **tolerance):
    array = tensor.detach().numpy() if isinstance(tensor, tg.Tensor) else tensor
    np.testing.assert_allclose(array, expected, **{"rtol": 1e-12, "atol": 1e-12, **tolerance})
