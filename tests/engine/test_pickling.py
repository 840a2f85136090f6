"""Pickling and copying what the engine is made of: values without a graph, and operations by name."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import errors, nn
from tinygrad_adam.engine.graph import PRIMITIVES


def with_graph_in_its_gradient():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    (x**2).sum().backward(create_graph=True)
    return x


X = tg.tensor([1.0, 2.0], requires_grad=True)


@pytest.mark.parametrize("thing", [
    X * 2, [X * 2], {"loss": (X * 2).sum()}, (X * 2).reshape(1, 2), with_graph_in_its_gradient(),
])  # fmt: skip
@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_a_graph_cannot_be_pickled(thing, protocol):
    with pytest.raises(errors.GraphError, match=r"^pickle: .*\.detach\(\) first\n  made_by"):
        pickle.dumps(thing, protocol)


def test_values_without_a_graph_can():
    for x in (X, (X * 2).detach(), nn.Parameter([1.0])):
        again = pickle.loads(pickle.dumps(x))
        np.testing.assert_array_equal(again.data, x.data)
        assert again.requires_grad is x.requires_grad
    rows = pickle.loads(pickle.dumps(tg.RowSparse(np.array([2, 0]), np.ones((2, 3)), (4, 3))))
    np.testing.assert_array_equal(rows.to_dense(), [[1.0] * 3, [0.0] * 3, [1.0] * 3, [0.0] * 3])


@pytest.mark.parametrize("name", PRIMITIVES)
def test_an_operation_is_pickled_and_copied_by_name(name):
    operation = PRIMITIVES[name]
    assert pickle.loads(pickle.dumps(operation)) is operation
    assert copy.deepcopy(operation) is copy.copy(operation) is operation


def test_a_module_that_holds_an_operation():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.activation = nn.Linear(2, 2), tg.relu

        def forward(self, x):
            return self.activation(self.linear(x))

    twin = copy.deepcopy(net := Net())
    assert twin.activation is tg.relu
    np.testing.assert_array_equal(twin(X).data, net(X).data)
