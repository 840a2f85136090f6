"""A residual network whose graph is drawn."""

from __future__ import annotations

import numpy as np

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import nn

SVG = "{http://www.w3.org/2000/svg}"


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        h = F.relu(self.norm(self.conv1(x)))
        return F.relu(self.conv2(h) + x)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.first, self.second = Block(4), Block(4)
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        return self.head(self.second(self.first(self.stem(x))).mean(axis=(2, 3)))


def residual():
    tg.manual_seed(0)
    with tg.tracing():
        return F.cross_entropy(Residual()(tg.randn(2, 3, 6, 6)), np.array([0, 3]))
