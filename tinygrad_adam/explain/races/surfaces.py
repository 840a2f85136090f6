"""Functions of two numbers to watch optimizers on: formula, minima, start, and source.

Each function is written once, in the package's own operations: called with arrays it gives the contours of a
picture, and called with Tensors the gradient.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy

from ...errors import unknown_name
from ...ops import exp

Array = numpy.ndarray[Any, Any]


@dataclass(frozen=True)
class Surface:
    """A loss of two numbers, x and y.

    Attributes
    ----------
    name : str
        Its name.
    formula : str
        The function, for a reader.
    function : callable
        ``function(x, y)``, element by element: Tensors to a Tensor, arrays to an array of their shape.
    minima : tuple of (float, float)
        Where it is least; all of them if there are several.
    least : float
        Its value there.
    start : (float, float)
        Where a race begins.
    window : tuple of float
        The part that a picture shows: the least and the greatest x, the least and the greatest y.
    source : str
        Who uses it.
    noise : (float, float)
        Standard deviations of the noise in the gradient, 0 for none; see `tilt`.
    log : bool
        Whether contours are drawn at equal ratios of the height above `least`, not at equal differences.
    goal : str
        The meaning of `minima`: "minimum", or the place that a race on a network's loss makes for.
    axes : (str, str)
        The names of x and y.
    grid : int
        How many values of x, and of y, contours are made from.
    zooms : bool
        Whether a race shows the part that its paths take, in place of `window`: on a network's loss, it is
        not known beforehand.
    """

    name: str
    formula: str
    function: Callable[[Any, Any], Any] = field(repr=False)
    minima: tuple[tuple[float, float], ...]
    least: float
    start: tuple[float, float]
    window: tuple[float, float, float, float]
    source: str
    noise: tuple[float, float] = (0.0, 0.0)
    log: bool = True
    goal: str = "minimum"
    axes: tuple[str, str] = ("x", "y")
    grid: int = 201
    zooms: bool = False

    def inside(self, places: Array) -> Array:
        """Return for each place, shape (..., 2), whether it lies in the window."""
        x, y = places[..., 0], places[..., 1]
        x0, x1, y0, y1 = self.window
        return (x0 <= x) & (x <= x1) & (y0 <= y) & (y <= y1)

    def floor(self, places: Array, losses: Array) -> float:
        """Return `least`, or the least loss of the places in the window if that is lower.

        A plane through a network may lie lower in places than at the weights that it is drawn through.

        Parameters
        ----------
        places : numpy.ndarray, shape (..., 2)
        losses : numpy.ndarray, shape (...)
        """
        found = float(losses[self.inside(places)].min(initial=numpy.inf))
        return found if found < self.least - 1e-6 * (1 + abs(self.least)) else self.least

    def around(self, places: Array) -> Surface:
        """Return the surface with the window that shows some places, the start and the minima.

        Places far out, as of a path that diverges, are left out: it grows to twice its size at most.

        Parameters
        ----------
        places : numpy.ndarray, shape (n, 2)
        """
        low, high = numpy.reshape(self.window, (2, 2)).T
        points = numpy.concatenate([places, [self.start], self.minima])
        size = high - low
        points = points[((points > low - size / 2) & (points < high + size / 2)).all(axis=1)]
        begin, end = points.min(axis=0), points.max(axis=0)
        margin = 0.1 * numpy.maximum(end - begin, 0.1 * size)
        (x0, y0), (x1, y1) = (begin - margin).tolist(), (end + margin).tolist()
        return dataclasses.replace(self, window=(x0, x1, y0, y1))

    def tilt(self, step: int, seed: int = 0) -> Array:
        """Return the noise in the gradient of a step, shape (2,).

        The loss of that step is ``function(x, y) + tilt @ (x, y)``: the surface, tilted by chance, as the
        loss of a batch is in comparison with the loss of all data. It depends on step and seed alone, so all
        optimizers meet the same noise.

        Parameters
        ----------
        step : int
            The number of the step, from 0.
        seed : int
            Fixes the noise.
        """
        return numpy.random.default_rng((seed, step)).normal(size=2) * self.noise

    def distance(self, point: Sequence[float] | Array) -> float:
        """Return the Euclidean distance from a point, shape (2,), to the nearest minimum.

        Examples
        --------
        >>> from tinygrad_adam.explain import SURFACES
        >>> SURFACES["himmelblau"].distance((3.0, 2.5))
        0.5
        """
        return float(min(numpy.hypot(*(numpy.subtract(point, minimum))) for minimum in self.minima))


_HIMMELBLAU = (
    (3.0, 2.0),
    (-2.805118086952745, 3.131312518250573),
    (-3.779310253377747, -3.283185991286170),
    (3.584428340330492, -1.848126526964404),
)
_ROOT2 = 2**0.5
_ALL = (
    Surface(
        "beale",
        "(1.5 - x + xy)² + (2.25 - x + xy²)² + (2.625 - x + xy³)²",
        lambda x, y: (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2,
        minima=((3.0, 0.5),),
        least=0.0,
        start=(1.0, 1.5),
        window=(-1.0, 4.5, -2.4, 2.2),
        source="Beale 1958; Moré, Garbow and Hillstrom 1981, problem 5, who start at (1, 1)",
    ),
    Surface(
        "rosenbrock",
        "(1 - x)² + 100 (y - x²)²",
        lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2,
        minima=((1.0, 1.0),),
        least=0.0,
        start=(-1.2, 1.0),
        window=(-1.8, 1.8, -0.8, 2.2),
        source="Rosenbrock 1960; Moré, Garbow and Hillstrom 1981, problem 1",
    ),
    Surface(
        "saddle",
        "x² - y² + y⁴/4",  # x² - y² alone, the usual one, falls for ever
        lambda x, y: x**2 - y**2 + y**4 / 4,
        minima=((0.0, _ROOT2), (0.0, -_ROOT2)),
        least=-1.0,
        start=(1.5, 0.001),
        window=(-2.0, 2.0, -0.8, 2.2),
        source="the usual x² - y², with y⁴/4 to give it an end",
    ),
    Surface(
        "himmelblau",
        "(x² + y - 11)² + (x + y² - 7)²",
        lambda x, y: (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2,
        minima=_HIMMELBLAU,
        least=0.0,
        start=(-0.3, -0.9),  # next to the top of the hill in the middle
        window=(-6.0, 6.0, -5.5, 5.5),
        source="Himmelblau 1972",
    ),
    Surface(
        "ravine",
        "0.1 x² + 2 y²",
        lambda x, y: 0.1 * x**2 + 2 * y**2,
        minima=((0.0, 0.0),),
        least=0.0,
        start=(-5.0, -2.0),
        window=(-6.0, 2.0, -3.0, 3.0),
        source="Zhang, Lipton, Li and Smola, Dive into Deep Learning, on momentum",
    ),
    Surface(
        "noisy",
        "(0.1 x² + y²) / 2, and noise in the gradient",
        lambda x, y: 0.05 * x**2 + 0.5 * y**2,
        minima=((0.0, 0.0),),
        least=0.0,
        start=(-5.0, -2.0),
        window=(-6.0, 2.0, -3.0, 3.0),
        # As in the paper, its variance is the curvature over the size of a batch, which is 16.
        noise=(0.1**0.5 / 4, 1.0 / 4),
        source="the noisy quadratic model of Zhang et al. 2019, arXiv:1907.04164",
    ),
    Surface(
        "plateau",
        "1 - exp(-(x² + y²) / 2)",
        lambda x, y: 1 - exp(-(x**2 + y**2) / 2),
        minima=((0.0, 0.0),),
        least=0.0,
        start=(-3.0, 2.0),
        window=(-4.0, 2.0, -2.0, 2.8),
        log=False,
        source="a bell upside down, as flat far out as a saturated unit",
    ),
)
SURFACES: dict[str, Surface] = {surface.name: surface for surface in _ALL}
"""Every surface by its name."""


def get_surface(name: str) -> Surface:
    """Return a surface by its name.

    Raises
    ------
    OptionError
        If it is not known, with those that are.
    """
    if name not in SURFACES:
        raise unknown_name("race", "surface", name, SURFACES)
    return SURFACES[name]
