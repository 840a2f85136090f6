"""Small modules, with layers of several kinds, parameters of their own and shared ones."""

from __future__ import annotations

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.scale = nn.Parameter(tg.ones(4))
        self.last = nn.Linear(4, 2, bias=False)

    def forward(self, x):
        return self.last(self.norm(self.first(x)).relu() * self.scale)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(6, 3)
        self.out = nn.Linear(3, 6)
        self.out.weight = self.table.weight

    def forward(self, indices):
        return self.out(self.table(indices))


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(tg.zeros(2))
        self.b = nn.Parameter(tg.zeros(3))


def same_state(left, right):
    assert left.keys() == right.keys()
    return all(np.array_equal(left[name], right[name]) for name in left)
