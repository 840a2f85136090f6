"""The parameters of an optimizer: in groups, with hyper-parameters and names, laid out in flat arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from ..errors import OptionError
from ..tensor.tensor import Tensor
from ..typing import Array
from ..values import plain
from .domains import NOT_NEGATIVE, domains_of
from .flat import FlatStorage, needed
from .refusals import require_choice, require_group, require_new, require_params, unknown_attribute
from .settings import Group, Settled


class Groups(Settled):
    """The part of `Optimizer` that holds parameters, hyper-parameters and moments."""

    moment_names: ClassVar[tuple[str, ...]] = ()
    """The moments, in the order in which `update` takes them."""

    optional: ClassVar[dict[str, str]] = {}
    """For a moment that is not always needed, the setting that asks for it."""

    storage: ClassVar[type[FlatStorage]] = FlatStorage
    """How parameters, gradients and moments lie in memory."""

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any], on_nonfinite: str = "ignore") -> None:
        self._name = type(self).__name__
        self.defaults = {key: value for key, value in defaults.items() if key not in _NO_SETTINGS}
        self.on_nonfinite = on_nonfinite
        require_choice(self._name, on_nonfinite)
        self.skipped = 0
        self.param_groups: list[Group] = []
        self._storages: list[list[FlatStorage]] = []
        self._names: dict[int, str] = {}
        self._grad_scale = 1.0
        self._recorded: dict[str, Any] = {}
        params = require_params(self._name, params)
        for group in params if isinstance(params[0], dict) else [{"params": params}]:
            self.add_param_group(group)

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add parameters with hyper-parameters of their own.

        Parameters
        ----------
        group : dict
            ``"params"`` and any hyper-parameters that differ from the defaults.
        """
        require_group(self._name, group, self.defaults)
        entries = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        if not entries:
            raise OptionError(
                self._name, "a group has no parameters; leave it out", group=len(self.param_groups)
            )
        named = [e if isinstance(e, tuple) else (str(len(self._names) + i), e) for i, e in enumerate(entries)]
        seen, names = set(self._names), set(self._names.values())
        for name, p in named:
            require_new(self._name, name, p, seen, names)
            seen.add(id(p))
            names.add(name)
        params = tuple(p for _, p in named)
        settings = {**self.defaults, **group, "params": params}
        settings = Group({key: plain(value) for key, value in settings.items()})
        self._validate(settings)
        self._names.update((id(p), name) for name, p in named)
        self.param_groups.append(settings)
        alike: dict[Any, list[Any]] = {}
        for p in params:
            alike.setdefault((p.dtype, p.device), []).append(p)
        self._storages.append([self.storage(members) for members in alike.values()])

    def _validate(self, group: dict[str, Any]) -> None:
        """Raise an OptionError for a hyper-parameter out of its domain."""
        domains = {"initial_lr": NOT_NEGATIVE}
        for kind in reversed(type(self).__mro__):
            domains.update(domains_of(vars(kind)["__init__"]) if "__init__" in vars(kind) else {})
        for name, domain in domains.items():
            if name in group:
                self._require(group, name, domain.words, domain.holds(group[name]))

    def _require(self, group: dict[str, Any], name: str, domain: str, inside: bool) -> None:
        if not inside:
            raise OptionError(self._name, f"{name} must be {domain}", **{name: repr(group[name])})

    def _unknown(self, name: str) -> OptionError:
        return unknown_attribute(self._name, name, self.defaults)

    # --- For viewers -----------------------------------------------------------------------

    def storages(self) -> Iterator[tuple[Group, FlatStorage]]:
        """Yield the flat arrays of the parameters, for each dtype and device of a group, with the group."""
        for group, storages in zip(self.param_groups, self._storages, strict=True):
            for storage in storages:
                yield group, storage

    def name_of(self, param: Tensor) -> str | None:
        """Return the name of a parameter, or None if the optimizer does not have it."""
        return self._names.get(id(param))

    def moments_of(self, group: dict[str, Any]) -> tuple[str | None, ...]:
        """Return `moment_names`, with None in place of those that the settings of a group do not need."""
        return needed(self.moment_names, self.optional, group)

    def moments(self, param: Any) -> tuple[int, dict[str, Array]]:
        """Return how many steps a parameter has taken, and its moments by name as raw arrays.

        The arrays are those that the next step changes; copy what is to be kept.

        Raises
        ------
        OptionError
            If the optimizer does not have this parameter.
        """
        for group, storage in self.storages():
            for i, p in enumerate(storage.params):
                if p is param:
                    return storage.steps[i], dict(storage.places(i, self.moments_of(group)))
        raise OptionError(self._name, "this is none of its parameters", shape=getattr(param, "shape", param))

    def __repr__(self) -> str:
        lines = []
        for settings in self.param_groups:
            shown = ", ".join(f"{key}={value}" for key, value in settings.items() if key != "params")
            count = sum(p.size for p in settings["params"])
            lines.append(f"  {len(settings['params'])} parameters ({count:,} numbers): {shown}")
        return "\n".join([f"{self._name}(", *lines, ")"])


_NO_SETTINGS = ("self", "__class__", "params", "on_nonfinite")
"""The other names in the `locals()` of a constructor."""
