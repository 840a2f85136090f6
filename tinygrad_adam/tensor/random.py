"""The random generator that weights, dropout masks and random Tensors are drawn from.

Numbers are drawn on the host, whatever the device, so that a seed means the same everywhere and
the state can be saved. The order of examples and their random changes do not come from here: they are
functions of the seed of their `DataLoader`, so that an epoch can be gone on with in the middle.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextvars import ContextVar
from numbers import Integral
from typing import Any

import numpy

from ..backend.scopes import scope
from ..engine import events
from ..engine.aside import aside
from ..errors import OptionError, StateError

_generator: ContextVar[numpy.random.Generator] = ContextVar("tinygrad_adam_generator")


@functools.cache
def _shared() -> numpy.random.Generator:
    """Make the generator outside any `fork_rng`; at first use, since it is slow to import."""
    return numpy.random.default_rng()


def generator() -> numpy.random.Generator:
    """Return the generator in use in this context."""
    events.tell(("draws",))
    return _current()


def _current() -> numpy.random.Generator:
    return _generator.get(None) or _shared()


def manual_seed(seed: int) -> None:
    """Restart the generator in use from `seed`.

    It does not reach the shuffles of a `DataLoader`, which has a `seed` of its own.

    Parameters
    ----------
    seed : int
        Any non-negative integer.

    Raises
    ------
    OptionError
        If it is not one.
    """
    generator().bit_generator.state = _seeded("manual_seed", seed).bit_generator.state


def _seeded(where: str, seed: int) -> numpy.random.Generator:
    if not isinstance(seed, Integral) or seed < 0:
        raise OptionError(where, "a seed must be a non-negative integer", seed=repr(seed))
    return numpy.random.default_rng(int(seed))


@scope
def fork_rng(seed: int) -> Iterator[numpy.random.Generator]:
    """Draw from a generator of one's own, started from `seed`, inside a ``with`` block.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> with tg.fork_rng(0):
    ...     first = tg.rand(3)
    >>> with tg.fork_rng(0):
    ...     second = tg.rand(3)
    >>> bool((first == second).numpy().all())
    True
    """
    own = _seeded("fork_rng", seed)
    generator()  # watchers receive that another one is used
    token = _generator.set(own)
    try:
        yield own
    finally:
        _generator.reset(token)


def get_state() -> dict[str, Any]:
    """Return the state of the generator in use, as plain numbers and strings."""
    return dict(generator().bit_generator.state)


def set_state(state: dict[str, Any]) -> None:
    """Put the generator in use back into a state that `get_state` returned.

    Raises
    ------
    StateError
        If it is not such a state.
    """
    try:
        generator().bit_generator.state = state
    except (ValueError, TypeError, KeyError) as error:
        raise StateError("set_state", f"not a state of this generator: {error!r}") from error


def random_key() -> int:
    """Draw a key for a counter-based kernel, such as dropout's."""
    key: int = aside(_draw_key)
    return key


def _draw_key() -> int:
    return int(_current().integers(2**63))
