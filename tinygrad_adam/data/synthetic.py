"""Points in the plane, in classes that a small network can separate."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..values import integer, number_in

Points = tuple[NDArray[np.float32], NDArray[np.int64]]


def spirals(n: int, classes: int = 3, noise: float = 0.1, seed: int = 0) -> Points:
    """Draw points on interleaved spiral arms around the origin, an arm a class.

    Parameters
    ----------
    n : int
        Number of points; classes differ by one point at most.
    classes : int
        Number of arms, at least 2.
    noise : float
        Standard deviation of the Gaussian added to each coordinate; the arms end at radius 1.
    seed : int
        The same seed gives the same points.

    Returns
    -------
    x : numpy.ndarray, float32, shape (n, 2)
        In random order, so that any slice holds all classes.
    y : numpy.ndarray, int64, shape (n,)

    Raises
    ------
    OptionError
        If an option is outside its domain.
    """
    rng, y = _start("spirals", n, classes, seed)
    noise = number_in("spirals", "noise", noise, 0)
    radius = rng.uniform(0, 1, n)
    angle = 4 * radius + 2 * np.pi * y / classes
    return _scatter(rng, radius * np.cos(angle), radius * np.sin(angle), y, noise)


def moons(n: int, noise: float = 0.1, seed: int = 0) -> Points:
    """Draw points on two half circles of radius 1, each reaching into the other.

    Parameters
    ----------
    n : int
        Number of points.
    noise : float
        Standard deviation of the Gaussian added to each coordinate.
    seed : int
        The same seed gives the same points.

    Returns
    -------
    x : numpy.ndarray, float32, shape (n, 2)
        In random order.
    y : numpy.ndarray, int64, shape (n,)
        0 for the upper moon, 1 for the lower one.

    Raises
    ------
    OptionError
        If an option is outside its domain.
    """
    rng, y = _start("moons", n, 2, seed)
    noise = number_in("moons", "noise", noise, 0)
    angle = rng.uniform(0, np.pi, n)
    side = 1 - 2 * y
    return _scatter(rng, side * np.cos(angle) + y, side * np.sin(angle) + 0.5 * y, y, noise)


def blobs(n: int, classes: int = 3, spread: float = 0.25, seed: int = 0) -> Points:
    """Draw points from Gaussians whose centers lie evenly on the unit circle.

    Parameters
    ----------
    n : int
        Number of points; classes differ by one point at most.
    classes : int
        Number of Gaussians, at least 2.
    spread : float
        Standard deviation of each Gaussian.
    seed : int
        The same seed gives the same points.

    Returns
    -------
    x : numpy.ndarray, float32, shape (n, 2)
        In random order.
    y : numpy.ndarray, int64, shape (n,)

    Raises
    ------
    OptionError
        If an option is outside its domain.
    """
    rng, y = _start("blobs", n, classes, seed)
    spread = number_in("blobs", "spread", spread, 0)
    angle = 2 * np.pi * y / classes
    return _scatter(rng, np.cos(angle), np.sin(angle), y, spread)


def _start(where: str, n: int, classes: int, seed: int) -> tuple[np.random.Generator, NDArray[np.int64]]:
    n, classes = integer(where, "n", n, 1), integer(where, "classes", classes, 2)
    rng = np.random.default_rng(integer(where, "seed", seed, 0))
    return rng, rng.permutation(np.arange(n, dtype=np.int64) % classes)


def _scatter(
    rng: np.random.Generator, first: NDArray[Any], second: NDArray[Any], y: NDArray[np.int64], noise: float
) -> Points:
    x = np.stack([first, second], axis=1) + noise * rng.standard_normal((len(y), 2))
    return x.astype(np.float32), y
