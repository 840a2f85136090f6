"""Twins: units of a layer that have the same weights, get the same gradient, and so stay the same."""

from __future__ import annotations

import numpy

from ...backend.device import on_device_of, to_host
from ...engine.graph import Primitive, Variable
from ...nn import Parameter
from ...optim import Optimizer
from ...typing import Args, Array, Settings
from ..optimizers import parameters_of
from .chart import Chart
from .check import PERSISTENCE, Check, numbers

ALIKE = 1e-4
"""How far the weights of twins may lie apart, relative to the layer's largest. Twins differ by rounding only,
1e-7; random weights by about their size."""

TWIN_SHARE = 0.5
"""The share of a layer's units that have a twin. Weights from a usual distribution have none."""

UNITS = {"linear": 0, "linear_relu": 0, "conv2d": 0, "conv2d_relu": 0, "matmul": -1}
"""Operations with weights, and the axis of the weights that counts the units."""

REMEDY = (
    "start from random weights: nn.init.kaiming_uniform_(layer.weight), or keep the layer's initial weights, "
    "which are random. Only biases and the last layer may begin with zeros."
)


class Twins(Check):
    """Finds hidden layers whose units are alike, as from weights that are all zero or all the same."""

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.axes: dict[int, tuple[int, int]] = {}
        self.looks = 0

    def operation(self, primitive: Primitive, args: Args, settings: Settings, output: Variable) -> None:
        if output.node is not None and primitive.name in UNITS and isinstance(args[1], Parameter):
            self.axes[id(args[1])] = (output.node.number, UNITS[primitive.name])

    def step_begins(self, optimizer: Optimizer) -> None:
        if self.looks > 2 * PERSISTENCE or not self.axes:
            return  # what differs by then will not become the same
        self.looks += 1
        last = max(number for number, _ in self.axes.values())
        for p in parameters_of(optimizer):
            number, axis = self.axes.get(id(p), (last, 0))
            # Outputs differ by their targets, so the last layer may begin with zeros.
            if number != last and p._grad is not None and p.ndim > 1:
                self._look(p, axis)
        self.axes = {}

    def _look(self, p: Parameter, axis: int) -> None:
        with on_device_of(p._data, "doctor"):
            weights, gradients = (_rows(to_host(a), axis) for a in (p._data, numbers(p._grad)))
        if len(weights) == 1:
            return
        constant = weights.shape[1] > 1 and bool((weights == weights[0, 0]).all())
        share = _twins(weights, gradients)
        if self.lasts(id(p), share > TWIN_SHARE):
            self._words(p, share, bool((weights == 0).all()))
        elif constant and weights[0, 0] != 0 and self.looks == 1 and share <= TWIN_SHARE:
            self._same(p, float(weights[0, 0]))

    def _same(self, p: Parameter, value: float) -> None:
        """Report weights that begin with one number, whose units only differ by their biases."""
        self.find(
            ("twins", id(p)),
            kind="equal-units",
            what=f"all weights of {self.doctor.name(p)} begin with the same number, {value:.3g}: its units "
            "compute nearly the same from every input, and learn nearly the same.",
            where=self.doctor.where(),
            remedy=REMEDY,
            evidence=f"{p.size} equal weights before the first step; reported at once",
        )

    def _words(self, p: Parameter, share: float, zero: bool) -> None:
        self.find(
            ("twins", id(p)),
            kind="equal-units",
            what=f"the units of {self.doctor.name(p)} are alike: "
            f"{'all weights are 0' if zero else 'their weights are the same'}, and so are their gradients. "
            "They stay the same, so the layer does the work of a single unit.",
            where=self.doctor.where(),
            remedy=REMEDY,
            evidence=f"{share:.0%} of the units have a twin; reported above {TWIN_SHARE:.0%} in "
            f"{PERSISTENCE} looks, for weights and gradients within {ALIKE:.0e} of the largest",
        )


def _rows(array: Array, axis: int) -> Array:
    """Return the numbers of each unit in a row."""
    rows = array if axis == 0 else array.T
    return rows.reshape(len(rows), -1)


def _twins(weights: Array, gradients: Array) -> float:
    """Return the share of rows whose weights and gradients another row has, too."""
    order = weights.sum(axis=1).argsort()  # twins become neighbors
    alike = numpy.ones(len(weights) - 1, bool)
    for rows in (weights[order], gradients[order]):
        alike &= abs(rows[1:] - rows[:-1]).max(axis=1) <= ALIKE * abs(rows).max()
    twin = numpy.zeros(len(weights), bool)
    twin[1:] |= alike
    twin[:-1] |= alike
    return float(twin.mean())
