"""Settings of optimizers and schedules: Python's numbers, under names that something reads."""

from __future__ import annotations

import sys
from typing import Any

from ..errors import OptionError, unknown_name
from ..values import plain


class Settled:
    """Base of objects whose public attributes are settled once their own methods have made them.

    From outside, one that exists may be changed; a new one, which nothing would read, is refused, and so is
    a value in the place of a method. Numbers of NumPy become Python's.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            value = plain(value)
            if name not in self.__dict__:
                self._require_own(name, value, sys._getframe(1).f_locals.get("self"))
        object.__setattr__(self, name, value)

    def _require_own(self, name: str, value: Any, setter: Any) -> None:
        """Refuse a new attribute that is set from outside, or that would hide a method or property."""
        declared = getattr(type(self), name, None)
        if isinstance(declared, property) or (callable(declared) and not callable(value)):
            raise OptionError(type(self).__name__, f"{name} is computed, and cannot be set", value=value)
        if declared is None and setter is not self:
            raise self._unknown(name)

    def _unknown(self, name: str) -> OptionError:
        """Build the error for an attribute that is not known."""
        known = [known for known in vars(self) if not known.startswith("_")]
        return unknown_name(type(self).__name__, "attribute", name, known)


class Group(dict[str, Any]):
    """The parameters and hyper-parameters of a group. Values may be changed; names are fixed."""

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "params":
            raise OptionError(
                "param_groups", "the parameters of a group are fixed; use add_param_group for more of them"
            )
        if name not in self and name != "initial_lr":  # which schedules add
            known = [known for known in self if known not in ("params", "initial_lr")]
            if name == "learning_rate":
                raise OptionError("param_groups", "the learning rate of a group is called 'lr'")
            raise unknown_name("param_groups", "hyper-parameter", name, known)
        super().__setitem__(name, plain(value))

    def update(self, *args: Any, **settings: Any) -> None:
        """Set several values."""
        for name, value in dict(*args, **settings).items():
            self[name] = value

    def __ior__(self, other: Any) -> Group:  # type: ignore[override,misc]
        self.update(other)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)  # by itself, pickle would set the names of an empty group
