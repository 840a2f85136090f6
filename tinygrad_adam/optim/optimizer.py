"""Base of all optimizers: groups of parameters, their hyper-parameters, and state by name."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy

from ..backend.device import asarray, backend_of, to_host
from ..backend.kernels import chosen_kernels
from ..errors import DTypeError, GraphError, OptionError, StateError
from ..tensor import Tensor
from .flat import FlatStorage


class Optimizer:
    """Changes parameters by their gradients.

    A subclass names its moments, checks its hyper-parameters and calls its kernel in `_update`.

    Parameters
    ----------
    params : iterable
        Parameters; or pairs of name and Parameter, as ``model.named_parameters()`` yields them; or
        groups, each a dict with ``"params"`` and hyper-parameters of its own. Without names, the
        state is saved under the parameters' numbers.
    defaults : dict
        The hyper-parameters of groups that do not set them.

    Attributes
    ----------
    param_groups : list of dict
        The parameters and hyper-parameters of each group. Hyper-parameters may be changed
        between steps; schedules do.

    Raises
    ------
    OptionError
        If there is no parameter, one appears twice, or a hyper-parameter is out of its domain.
    DTypeError
        If something is not a leaf Tensor of floats.
    """

    moment_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self._name = type(self).__name__
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self._storages: list[list[FlatStorage]] = []
        self._names: dict[int, str] = {}
        if isinstance(params, Tensor):
            raise DTypeError(
                self._name, "params must be an iterable of Parameters; write [p] for a single one"
            )
        params = list(params)
        if not params:
            raise OptionError(self._name, "there are no parameters; has the model registered its layers?")
        for group in params if isinstance(params[0], dict) else [{"params": params}]:
            self.add_param_group(group)

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add parameters with hyper-parameters of their own.

        Parameters
        ----------
        group : dict
            ``"params"`` and any hyper-parameters that differ from the defaults.
        """
        if not isinstance(group, dict) or "params" not in group:
            raise OptionError(
                self._name,
                "a group must be a dict with 'params'",
                got=sorted(group) if isinstance(group, dict) else type(group).__name__,
            )
        unknown = set(group) - {"params", *self.defaults}
        if unknown:
            raise OptionError(
                self._name,
                "unknown hyper-parameters in a group",
                unknown=sorted(unknown),
                known=sorted(self.defaults),
            )
        entries = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        if not entries:
            raise OptionError(self._name, "a group has no parameters", group=len(self.param_groups))
        named = [e if isinstance(e, tuple) else (str(len(self._names) + i), e) for i, e in enumerate(entries)]
        seen, names = set(self._names), set(self._names.values())
        for name, p in named:
            if not isinstance(p, Tensor) or p.node is not None or p.dtype.kind != "f":
                raise DTypeError(
                    self._name, "only leaf Tensors of floats can be optimized", name=name, got=_kind(p)
                )
            if id(p) in seen or name in names:
                raise OptionError(self._name, "a parameter appears twice", name=name)
            seen.add(id(p))
            names.add(name)
        settings = {**self.defaults, **{key: value for key, value in group.items() if key != "params"}}
        self._validate(settings)
        self._names.update((id(p), name) for name, p in named)
        params = [p for _, p in named]
        self.param_groups.append({"params": params, **settings})
        alike: dict[Any, list[Any]] = {}
        for p in params:
            alike.setdefault((p.dtype, p.device), []).append(p)
        self._storages.append([FlatStorage(members) for members in alike.values()])

    def _validate(self, settings: dict[str, Any]) -> None:
        """Raise an OptionError for a hyper-parameter out of its domain."""
        raise NotImplementedError

    def _moments(self, settings: dict[str, Any]) -> tuple[str, ...]:
        """Name the moments that these settings need."""
        return self.moment_names

    def _update(
        self,
        kernels: Any,
        param: Any,
        grad: Any,
        moments: dict[str, Any],
        step: int,
        settings: dict[str, Any],
    ) -> None:
        """Change a stretch of the flat arrays in place."""
        raise NotImplementedError

    def _require(self, settings: dict[str, Any], name: str, domain: str, inside: bool) -> None:
        if not inside:
            raise OptionError(self._name, f"{name} must be {domain}", **{name: settings[name]})

    def _require_not_negative(self, settings: dict[str, Any], *names: str) -> None:
        for name in names:
            value = settings[name]
            self._require(settings, name, "a finite number >= 0", _is_number(value) and 0 <= value < math.inf)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters, before the next backward pass."""
        for group in self.param_groups:
            for p in group["params"]:
                p._grad = None

    def step(self) -> None:
        """Take one step along the gradients.

        A parameter that got no gradient since `zero_grad` is left as it is, moments and all.

        Raises
        ------
        GraphError
            If no parameter has a gradient.
        """
        stepped = False
        for settings, storages in zip(self.param_groups, self._storages, strict=True):
            names = self._moments(settings)
            for storage in storages:
                storage.follow()
                moments = {name: storage.moment(name) for name in names}
                for stretch, step in storage.runs():
                    stepped = True
                    self._update(
                        backend_of((storage.data,)).tables[chosen_kernels()],
                        storage.data[stretch],
                        storage.grad[stretch],
                        {name: flat[stretch] for name, flat in moments.items()},
                        step,
                        settings,
                    )
        if not stepped:
            raise GraphError(
                f"{self._name}.step",
                "no parameter has a gradient; call loss.backward() after zero_grad() and before step()",
            )

    # --- State ---------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resumed run needs besides the weights.

        Returns
        -------
        dict
            ``"optimizer"``: the class's name; ``"groups"``: for each group its hyper-parameters
            and the names of its ``"params"``; ``"state"``: for each parameter that has taken a
            step, by name, ``"step"`` and its moments as NumPy arrays.
        """
        state = {}
        for storages, settings in zip(self._storages, self.param_groups, strict=True):
            for storage in storages:
                views = {name: storage.views(storage.moment(name)) for name in self._moments(settings)}
                for i, p in enumerate(storage.params):
                    if storage.steps[i]:
                        moments = {name: to_host(view[i]).copy() for name, view in views.items()}
                        state[self._names[id(p)]] = {"step": storage.steps[i], **moments}
        groups = [
            {**settings, "params": [self._names[id(p)] for p in settings["params"]]}
            for settings in self.param_groups
        ]
        return {"optimizer": self._name, "groups": groups, "state": state}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Take over a state that `state_dict` returned; parameters are matched by name.

        The hyper-parameters of a group are taken over where the saved groups have the same
        members; nothing is changed if something does not fit.

        Raises
        ------
        StateError
            If it is of another optimizer, or names or shapes of parameters differ.
        """
        if saved.get("optimizer") != self._name:
            raise StateError(
                self._name, "the state was saved by another optimizer", saved=saved.get("optimizer")
            )
        members = [[self._names[id(p)] for p in settings["params"]] for settings in self.param_groups]
        saved_members = [list(group["params"]) for group in saved["groups"]]
        if [sorted(names) for names in members] != [sorted(names) for names in saved_members]:
            here = {name for names in members for name in names}
            there = {name for names in saved_members for name in names}
            raise StateError(
                self._name,
                "the groups of parameters differ from those saved",
                missing=sorted(here - there),
                unexpected=sorted(there - here),
                group_sizes=[len(names) for names in members],
                saved_group_sizes=[len(names) for names in saved_members],
            )
        for settings, group in zip(self.param_groups, saved["groups"], strict=True):
            self._validate({**settings, **{key: value for key, value in group.items() if key != "params"}})
        problems = list(self._misfits(saved["state"], [{**g, "params": []} for g in saved["groups"]]))
        if problems:
            raise StateError(self._name, "moments do not fit", problems="; ".join(problems))
        for settings, storages, group in zip(self.param_groups, self._storages, saved["groups"], strict=True):
            settings.update({key: value for key, value in group.items() if key in self.defaults})
            for storage in storages:
                storage.follow()
                views = {name: storage.views(storage.moment(name)) for name in self._moments(settings)}
                for i, p in enumerate(storage.params):
                    entry = saved["state"].get(self._names[id(p)], {"step": 0})
                    storage.steps[i] = int(entry["step"])
                    for name, view in views.items():
                        value = entry.get(name, 0)
                        view[i][...] = asarray(value, dtype=p.dtype, device=p.device)

    def _misfits(self, state: dict[str, Any], groups: list[dict[str, Any]]) -> Iterable[str]:
        for settings, storages in zip(groups, self._storages, strict=True):
            for storage in storages:
                for p in storage.params:
                    name = self._names[id(p)]
                    entry = state.get(name)
                    if entry is None:
                        continue
                    for moment in self._moments(settings):
                        shape = None if moment not in entry else numpy.shape(entry[moment])
                        if shape != p.shape:
                            yield f"{name}.{moment}: here {p.shape}, there {shape}"

    def __getstate__(self) -> dict[str, Any]:
        # Copies of the parameters have other ids: deepcopy and pickle take the names in order.
        names = [(p, self._names[id(p)]) for group in self.param_groups for p in group["params"]]
        return {**self.__dict__, "_names": names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _names={id(p): name for p, name in state["_names"]})

    def __repr__(self) -> str:
        lines = []
        for settings in self.param_groups:
            shown = ", ".join(f"{key}={value}" for key, value in settings.items() if key != "params")
            count = sum(p.size for p in settings["params"])
            lines.append(f"  {len(settings['params'])} parameters ({count:,} numbers): {shown}")
        return "\n".join([f"{self._name}(", *lines, ")"])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{value.dtype} {'leaf' if value.node is None else 'result of an operation'}"
