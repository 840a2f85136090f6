"""Saving and loading an optimizer: hyper-parameters of its groups, moments and counts of steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..backend.device import asarray, on_device_of, to_host
from ..errors import StateError
from ..nn.state import misfit, require_state, saved_array
from ..tensor.tensor import Tensor
from ..values import is_integer
from .groups import Groups


class Saved(Groups):
    """The part of `Optimizer` that returns a state of it, and takes one over."""

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
        for group, storage in self.storages():
            for i, p in enumerate(storage.params):
                if storage.steps[i]:
                    places = storage.places(i, self.moments_of(group))
                    moments = {name: to_host(view).copy() for name, view in places}
                    state[self._names[id(p)]] = {"step": storage.steps[i], **moments}
        groups = [
            {**group, "params": [self._names[id(p)] for p in group["params"]]} for group in self.param_groups
        ]
        return {"optimizer": self._name, "groups": groups, "state": state}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Take over a state that `state_dict` returned; parameters are matched by name.

        Order and groups may differ from those saved. A group takes over the hyper-parameters that its
        members were saved with. Nothing is changed if something does not fit.

        Raises
        ------
        StateError
            If it is of another optimizer, if names or shapes of parameters differ, if a moment or a number of
            steps is none that could have been saved, or if the members of a group were saved with
            hyper-parameters that differ.
        """
        require_state(self._name, saved, "optimizer")
        if saved["optimizer"] != self._name:
            raise StateError(
                self._name,
                "the state was saved by another optimizer; make that one, or start without its state",
                saved=saved["optimizer"],
            )
        require_state(self._name, saved, "groups", "state")
        for group in saved["groups"]:
            require_state(self._name, group, "params")
        for entry in saved["state"].values():
            require_state(self._name, entry, "step")
        groups = self._saved_settings(saved["groups"])
        for settings in groups:
            self._validate(settings)
        problems = list(self._misfits(saved["state"], groups))
        if problems:
            raise StateError(self._name, "the state does not fit", problems="; ".join(problems))
        for group, taken in zip(self.param_groups, groups, strict=True):
            group.update(taken)
        for group, storage in self.storages():
            storage.follow()
            for i, p in enumerate(storage.params):
                entry = saved["state"].get(self._names[id(p)], {"step": 0})
                storage.steps[i] = int(entry["step"])
                with on_device_of(storage.data, f"{self._name}.load_state_dict"):
                    for name, view in storage.places(i, self.moments_of(group)):
                        view[...] = asarray(entry.get(name, 0), dtype=p.dtype, device=p.device)

    def _saved_settings(self, saved: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the hyper-parameters that each group of this optimizer takes over from saved groups."""
        there = {name: group for group in saved for name in group["params"]}
        here = set(self._names.values())
        if here != set(there):
            raise StateError(
                self._name,
                "the parameters differ from those saved",
                missing=sorted(here - set(there)),
                unexpected=sorted(set(there) - here),
            )
        groups = []
        for settings in self.param_groups:
            first, *others = [self._names[id(p)] for p in settings["params"]]
            # A schedule that is made after loading begins where the others began.
            keys = [*self.defaults, *({"initial_lr"} & set(there[first]))]
            taken = {key: _setting(there[first].get(key, settings.get(key))) for key in keys}
            for name in others:
                for key, value in taken.items():
                    other = _setting(there[name].get(key, settings.get(key)))
                    if other != value:
                        raise StateError(
                            self._name,
                            f"parameters of one group were saved with another {key} each; "
                            "put them in groups of their own",
                            **{first: value, name: other},
                        )
            groups.append(taken)
        return groups

    def _misfits(self, state: dict[str, Any], groups: list[dict[str, Any]]) -> Iterable[str]:
        """Yield the entries of a saved state that do not fit, with the reason."""
        strangers = sorted(set(state) - set(self._names.values()))
        if strangers:
            yield f"none of the parameters: {', '.join(strangers)}"
        for group, taken in zip(self.param_groups, groups, strict=True):
            for p in group["params"]:
                name = self._names[id(p)]
                entry = state.get(name)
                if entry is None:
                    continue
                if not is_integer(entry.get("step"), 0):
                    yield f"{name}.step: {entry.get('step')!r} is not a number of steps"
                for moment in self.moments_of(taken):
                    if moment is not None:
                        yield from _misfit(f"{name}.{moment}", p, entry.get(moment))

    def __getstate__(self) -> dict[str, Any]:
        # Copies of the parameters have other ids: deepcopy and pickle take the names in order.
        names = [(p, self._names[id(p)]) for group in self.param_groups for p in group["params"]]
        return {**self.__dict__, "_names": names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _names={id(p): name for p, name in state["_names"]})


def _misfit(name: str, p: Tensor, value: Any) -> Iterable[str]:
    array = None if value is None else saved_array(value, "load_state_dict")
    if array is None or array.shape != p.shape:
        yield f"{name}: here {p.shape}, there {None if array is None else array.shape}"
    elif (problem := misfit(array, p.dtype)) is not None:
        yield f"{name}: {problem}"


def _setting(value: Any) -> Any:
    """Return a saved setting as it was; JSON makes lists of tuples."""
    return tuple(value) if isinstance(value, list) else value
