"""The check that the real options of this room go through; integers go through `values.integer`."""

from __future__ import annotations

from ..errors import OptionError
from ..values import is_number


def check_real(where: str, name: str, value: object) -> None:
    """Refuse everything but a finite number of at least 0."""
    if not is_number(value) or value < 0:
        raise OptionError(where, f"{name} must be finite and >= 0", **{name: repr(value)})
