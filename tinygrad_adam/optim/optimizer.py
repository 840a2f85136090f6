"""Base of all optimizers: groups of parameters, their hyper-parameters, and state by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Never

from ..backend.device import asarray, backend_of, on_device_of, to_host
from ..backend.overrides import chosen_kernels
from ..backend.scopes import Scope
from ..engine import events
from ..engine.viewers import view
from ..errors import (
    DTypeError,
    GraphError,
    NonFiniteError,
    OptionError,
    StateError,
    near_names,
    unknown_name,
)
from ..nn.state import misfit, require_state, saved_array
from ..tensor.tensor import Tensor
from ..values import is_integer, is_number, plain
from ..words import refuse_words
from .flat import FlatStorage
from .settings import Group, Settled

ON_NONFINITE = ("ignore", "skip", "raise")


class Optimizer(Settled):
    """Changes parameters by their gradients.

    A subclass names its kernel and its moments, checks its hyper-parameters, and computes the scalars
    of a step in `_scalars`.

    Parameters
    ----------
    params : iterable
        Parameters; or pairs of name and Parameter, as ``model.named_parameters()`` yields them; or
        groups, each a dict with ``"params"`` and hyper-parameters of its own. Without names, the
        state is saved under the parameters' numbers.
    defaults : dict
        The hyper-parameters of groups that do not set them.
    on_nonfinite : {"ignore", "skip", "raise"}
        What `step` does about a gradient that is NaN or infinite: takes it as it is, takes no step
        but counts it in `skipped`, or raises a NonFiniteError that names the parameter. The last two
        read all gradients once more, and change nothing where they find one.

    Attributes
    ----------
    param_groups : list of dict
        The parameters and hyper-parameters of each group. Hyper-parameters may be changed
        between steps; schedules do. They stand here only: ``opt.lr = 0.1`` is refused, as is a name that
        the optimizer does not have.
    skipped : int
        How many steps were not taken, for a gradient that was not finite.

    Raises
    ------
    OptionError
        If there is no parameter, one appears twice or needs no gradient, or a hyper-parameter is out
        of its domain.
    DTypeError
        If something is not a leaf Tensor of floats.
    """

    kernel: ClassVar[str]
    """The name of the kernel that changes a stretch of the flat arrays."""

    moment_names: ClassVar[tuple[str, ...]] = ()
    """The arrays that the kernel takes after parameter and gradient."""

    storage: ClassVar[type[FlatStorage]] = FlatStorage
    """How parameters, gradients and moments lie in memory."""

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any], on_nonfinite: str = "ignore") -> None:
        self._name = type(self).__name__
        self.defaults = defaults
        self.on_nonfinite = on_nonfinite
        self._require_choice()
        self.skipped = 0
        self.param_groups: list[Group] = []
        self._storages: list[list[FlatStorage]] = []
        self._names: dict[int, str] = {}
        self._grad_scale = 1.0
        self._recorded: dict[str, Any] = {}
        if isinstance(params, Tensor):
            raise DTypeError(
                self._name, "params must be an iterable of Parameters; write [p] for a single one"
            )
        if hasattr(params, "parameters"):
            raise DTypeError(self._name, "params are a model's parameters; write model.parameters()")
        params = list(params)
        if not params:
            raise OptionError(
                self._name,
                "there are no parameters; layers must be attributes of a Module, lists of them a ModuleList",
            )
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
            raise OptionError(
                self._name, "a group has no parameters; leave it out", group=len(self.param_groups)
            )
        named = [e if isinstance(e, tuple) else (str(len(self._names) + i), e) for i, e in enumerate(entries)]
        seen, names = set(self._names), set(self._names.values())
        for name, p in named:
            if not isinstance(p, Tensor) or p.node is not None or p.dtype.kind != "f":
                raise DTypeError(
                    self._name, "only leaf Tensors of floats can be optimized", name=name, got=_kind(p)
                )
            if not p.requires_grad:
                raise OptionError(
                    self._name,
                    "a parameter needs no gradient; leave frozen ones out: "
                    "[(n, p) for n, p in model.named_parameters() if p.requires_grad]",
                    name=name,
                )
            if id(p) in seen or name in names:
                raise OptionError(
                    self._name, "a parameter or a name appears twice; list each once, in one group", name=name
                )
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

    def _unknown(self, name: str) -> OptionError:
        known = [*self.defaults, "on_nonfinite"]
        near = ["lr"] if name == "learning_rate" else near_names(name, known) or ["lr"]
        if near[0] == "on_nonfinite":
            return unknown_name(self._name, "attribute", name, known)
        return OptionError(
            self._name,
            f"there is no attribute {name!r}; hyper-parameters stand in the groups: "
            f"for group in opt.param_groups: group[{near[0]!r}] = value",
            known=", ".join(sorted(self.defaults)),
        )

    def _require_choice(self) -> None:
        if self.on_nonfinite not in ON_NONFINITE:
            raise unknown_name(self._name, "choice for on_nonfinite", self.on_nonfinite, ON_NONFINITE)

    def _validate(self, settings: dict[str, Any]) -> None:
        """Raise an OptionError for a hyper-parameter out of its domain."""
        raise NotImplementedError

    def _moments(self, settings: dict[str, Any]) -> tuple[str | None, ...]:
        """Name the moments that these settings need, with None in place of those they do not."""
        return self.moment_names

    def _scalars(self, settings: dict[str, Any], step: int) -> dict[str, Any]:
        """Return the scalars of step number `step`, from 1, in the order of the kernel's parameters."""
        raise NotImplementedError

    def _require(self, settings: dict[str, Any], name: str, domain: str, inside: bool) -> None:
        if not inside:
            raise OptionError(self._name, f"{name} must be {domain}", **{name: repr(settings[name])})

    def _require_not_negative(self, settings: dict[str, Any], *names: str) -> None:
        for name in names:
            value = settings[name]
            self._require(settings, name, "a finite number >= 0", is_number(value) and value >= 0)

    def _require_below_one(self, settings: dict[str, Any], *names: str) -> None:
        for name in names:
            value = settings[name]
            self._require(settings, name, "a number in [0, 1)", is_number(value) and 0 <= value < 1)

    def _require_betas(self, settings: dict[str, Any]) -> None:
        betas = settings["betas"]
        self._require(
            settings,
            "betas",
            "two numbers in [0, 1)",
            isinstance(betas, tuple | list)
            and len(betas) == 2
            and all(is_number(b) and 0 <= b < 1 for b in betas),
        )

    def _require_switch(self, settings: dict[str, Any], *names: str) -> None:
        for name in names:
            self._require(settings, name, "True or False", isinstance(settings[name], bool))

    def zero_grad(self, **words: Never) -> None:
        """Forget the gradients of all parameters, before the next backward pass."""
        if words:
            refuse_words(self.zero_grad, words)
        for group in self.param_groups:
            group["params"][0]._changing("zero_grad")
            for p in group["params"]:
                p._grad = None

    def step(self, grad_scale: float = 1.0, **words: Never) -> None:
        """Take one step along the gradients.

        A parameter that got no gradient since `zero_grad` is left as it is, moments and all.

        Parameters
        ----------
        grad_scale : float
            What the gradients are too large by: the number of backward passes that they are the sum
            of, or the factor that the loss was multiplied by. The step is taken along the gradients
            divided by it; `p.grad` stays as it is.

        Raises
        ------
        GraphError
            If no parameter has a gradient.
        DTypeError
            If a gradient is row-sparse; only `SparseAdam` takes those.
        NonFiniteError
            If a gradient is NaN or infinite, and `on_nonfinite` is ``"raise"``.
        OptionError
            If `grad_scale` is not a positive number.
        """
        if words:
            refuse_words(self.step, words)
        if grad_scale != 1.0:
            grad_scale = self._require_scale(grad_scale)
        self._gather()
        if self.on_nonfinite != "ignore" and not self._finite():
            return
        self._grad_scale = grad_scale
        events.tell(("step_begins", self))
        stepped = False
        for settings, storages in zip(self.param_groups, self._storages, strict=True):
            for storage in storages:
                backend = backend_of((storage.data,))
                kernel = getattr(backend.tables[chosen_kernels()], self.kernel)
                with backend.current(f"{self._name}.step"):
                    stepped |= self._change(storage, settings, kernel, 1.0 / grad_scale)
        if not stepped:
            raise GraphError(
                f"{self._name}.step",
                "no parameter has a gradient; call loss.backward() after zero_grad() and before step()",
            )
        events.tell(("step_ends", self))

    def _require_scale(self, grad_scale: Any) -> float:
        if callable(grad_scale):
            raise OptionError(
                f"{self._name}.step", "a step takes no closure; call it yourself, then step()", got=grad_scale
            )
        if not is_number(grad_scale) or grad_scale <= 0:
            raise OptionError(
                f"{self._name}.step", "grad_scale must be a positive number", grad_scale=repr(grad_scale)
            )
        return float(grad_scale)

    def _gather(self) -> None:
        """Bring all values and gradients into place."""
        for storages in self._storages:
            for storage in storages:
                storage.follow()
                p = storage.gather()
                if p is not None:
                    raise DTypeError(
                        f"{self._name}.step",
                        "a gradient is row-sparse; give the parameter to a SparseAdam, or make the gradient "
                        "dense with Embedding(sparse=False), or Linear in place of SparseLinear",
                        name=self._names[id(p)],
                    )

    def _change(
        self, storage: FlatStorage, settings: dict[str, Any], kernel: Callable[..., None], scale: float
    ) -> bool:
        """Call the kernel where there are gradients, and tell whether there were any."""
        stepped = False
        arrays = [storage.data, storage.grad]
        arrays += [None if name is None else storage.moment(name) for name in self._moments(settings)]
        for stretch, step in storage.runs():
            stepped = True
            kernel(
                *[None if flat is None else flat[stretch] for flat in arrays],
                scale=scale,
                **self._scalars(settings, step),
            )
        return stepped

    def _finite(self) -> bool:
        """Tell whether all gradients are finite; if not, count or raise."""
        self._require_choice()
        for storages in self._storages:
            for storage in storages:
                backend = backend_of((storage.data,))
                with backend.current(f"{self._name}.step"):
                    p = storage.first_not_finite(backend.tables[chosen_kernels()].all_finite)
                if p is None:
                    continue
                if self.on_nonfinite == "raise":
                    raise NonFiniteError(
                        f"{self._name}.step",
                        "a gradient is not finite; lower the learning rate, clip gradients, look for "
                        "log(0) and division by 0, or skip such steps with on_nonfinite='skip'. "
                        "The parameters are as they were before this step",
                        name=self._names[id(p)],
                    )
                self.skipped += 1
                return False
        return True

    # --- Explaining a step ---------------------------------------------------------------

    def ledger(self) -> Scope[None]:
        """Copy what each step inside the block is made from, so that `explain` can show it.

        Values, gradients and moments are copied before a step, which then takes about twice as long; the
        memory is taken once. Only the last step of each parameter is kept, also after the block.
        """
        return view("Optimizer.ledger")(self)

    def explain(self, parameter: str, index: int | tuple[int, ...] | None = None) -> Any:
        """Show every quantity of the last step that was taken within `ledger`, formulas included.

        Parameters
        ----------
        parameter : str
            Its name, as the optimizer was given it.
        index : int or tuple of int, optional
            One entry; by default the whole parameter.

        Returns
        -------
        EntryLedger or LayerLedger
            For an entry every line of the algorithm, with its formula and the numbers put in. For a
            parameter how learning rates, signal-to-noise ratios and updates are distributed, and which
            entries moved most. Both print as text, and hold all numbers.

        Raises
        ------
        OptionError
            If there is no parameter of that name, or no ledger for this optimizer.
        IndexingError
            If the index does not name an entry.
        StateError
            If no step of the parameter was recorded.

        Examples
        --------
        >>> import tinygrad_adam as tg
        >>> p = tg.nn.Parameter([1.0, 2.0])
        >>> opt = tg.optim.Adam([("w", p)], lr=0.5)
        >>> (p * p).sum().backward()
        >>> with opt.ledger():
        ...     opt.step()
        >>> ledger = opt.explain("w", 1)
        >>> ledger["g"], round(ledger["m"], 6), round(ledger["new_value"], 6)
        (4.0, 0.4, 1.5)
        """
        return view("Optimizer.explain")(self, parameter, index)

    # --- State ---------------------------------------------------------------------------

    def moments(self, param: Any) -> tuple[int, dict[str, Any]]:
        """Return how many steps a parameter has taken, and its moments by name as raw arrays.

        The arrays are those that the next step changes; copy what is to be kept.

        Raises
        ------
        OptionError
            If the optimizer does not have this parameter.
        """
        for settings, storages in zip(self.param_groups, self._storages, strict=True):
            for storage in storages:
                for i, p in enumerate(storage.params):
                    if p is param:
                        return storage.steps[i], dict(storage.places(i, self._moments(settings)))
        raise OptionError(self._name, "this is none of its parameters", shape=getattr(param, "shape", param))

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
                views = self._views(storage, settings)
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
            if "initial_lr" in settings:
                self._require_not_negative(settings, "initial_lr")
        problems = list(self._misfits(saved["state"], groups))
        if problems:
            raise StateError(self._name, "the state does not fit", problems="; ".join(problems))
        for settings, storages, taken in zip(self.param_groups, self._storages, groups, strict=True):
            settings.update(taken)
            for storage in storages:
                storage.follow()
                views = self._views(storage, settings)
                for i, p in enumerate(storage.params):
                    entry = saved["state"].get(self._names[id(p)], {"step": 0})
                    storage.steps[i] = int(entry["step"])
                    with on_device_of(storage.data, f"{self._name}.load_state_dict"):
                        for name, view in views.items():
                            view[i][...] = asarray(entry.get(name, 0), dtype=p.dtype, device=p.device)

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

    def _views(self, storage: FlatStorage, settings: dict[str, Any]) -> dict[str, list[Any]]:
        """Return the views of each moment that the settings need."""
        names = [name for name in self._moments(settings) if name is not None]
        return {name: storage.views(storage.moment(name)) for name in names}

    def _misfits(self, state: dict[str, Any], groups: list[dict[str, Any]]) -> Iterable[str]:
        """Yield the entries of a saved state that do not fit, with the reason."""
        strangers = sorted(set(state) - set(self._names.values()))
        if strangers:
            yield f"none of the parameters: {', '.join(strangers)}"
        for settings, storages in zip(groups, self._storages, strict=True):
            for p in (p for storage in storages for p in storage.params):
                name = self._names[id(p)]
                entry = state.get(name)
                if entry is None:
                    continue
                if not is_integer(entry.get("step"), 0):
                    yield f"{name}.step: {entry.get('step')!r} is not a number of steps"
                for moment in self._moments(settings):
                    if moment is not None:
                        yield from _misfit(f"{name}.{moment}", p, entry.get(moment))

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


def _misfit(name: str, p: Tensor, value: Any) -> Iterable[str]:
    array = None if value is None else saved_array(value, "load_state_dict")
    if array is None or array.shape != p.shape:
        yield f"{name}: here {p.shape}, there {None if array is None else array.shape}"
    elif (problem := misfit(array, p.dtype)) is not None:
        yield f"{name}: {problem}"


def _setting(value: Any) -> Any:
    """Return a saved setting as it was; JSON makes lists of tuples."""
    return tuple(value) if isinstance(value, list) else value


def _kind(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{value.dtype} {'leaf' if value.node is None else 'result of an operation'}"
