"""The two checks that every option of this room goes through."""

from __future__ import annotations

import math

import numpy as np

from ..errors import OptionError


def check_int(where: str, name: str, value: object, least: int) -> None:
    """Refuse what is not a whole number of at least `least`; True and False are not numbers here."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise OptionError(where, f"{name} must be a whole number >= {least}", **{name: repr(value)})


def check_real(where: str, name: str, value: object) -> None:
    """Refuse what is not a finite number of at least 0."""
    if not isinstance(value, int | float | np.number) or not (math.isfinite(value) and value >= 0):
        raise OptionError(where, f"{name} must be finite and >= 0", **{name: repr(value)})
