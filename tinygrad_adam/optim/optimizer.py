"""Base of all optimizers: their declarations, and the step."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import chain
from typing import Any, ClassVar, Never, TypeAlias

from ..backend.device import backend_of
from ..backend.overrides import chosen_kernels, fast_or_reference
from ..backend.scopes import Scope
from ..engine import events
from ..engine.viewers import view
from ..words import refuse_words
from .domains import with_defaults
from .flat import FlatStorage, all_finite, needed
from .refusals import no_gradient, not_finite, require_choice, require_scale, row_sparse
from .settings import Group
from .state import Saved

Scalars: TypeAlias = dict[str, float]


class Optimizer(Saved):
    """Changes parameters by their gradients.

    A subclass is one file: its docstring states the algorithm; its constructor declares the hyper-parameters
    with their defaults and, as annotations, their domains (see `domains`); `scalars` computes the numbers
    that a step has in common for all elements; `update` is the algorithm in array code. A class that differs
    from another one in defaults alone names them, as in ``class AdamW(Adam, weight_decay=0.01)``.

    Parameters
    ----------
    params : iterable
        Parameters; or pairs of name and Parameter, as ``model.named_parameters()`` yields them; or
        groups, each a dict with ``"params"`` and hyper-parameters of its own. Without names, the
        state is saved under the parameters' numbers.
    defaults : dict
        The hyper-parameters of groups that do not set them.
    on_nonfinite : {"ignore", "skip", "raise"}
        The treatment of a gradient that is NaN or infinite: `step` takes it as it is, takes no step
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

    kernel: ClassVar[str | None] = None
    """The name under which ``kernels/`` may hold a faster `update`."""

    update: ClassVar[Callable[..., None]]
    """``update(xp, param, grad, *moments, scale=, **scalars)`` changes a stretch of the flat arrays in place.

    The arrays have one length and dtype, and a moment that the settings do not need is None. `grad` is only
    read, and multiplied by `scale`. A decay of the older kind adds ``l2 * param`` to it, and the decoupled
    kind multiplies the parameter by `shrink`.
    """

    def __init_subclass__(cls, **defaults: object) -> None:
        super().__init_subclass__()
        if "update" in vars(cls):
            _, *names = inspect.signature(cls.update).parameters.values()
            arrays = [p.name for p in names if p.kind is not p.KEYWORD_ONLY]
            cls.moment_names = tuple(arrays[arrays.index("grad") + 1 :])
            vars(cls)["update"].__func__.kernel = vars(cls).get("kernel")
        if defaults:
            cls.__init__ = with_defaults(cls.__init__, defaults)  # type: ignore[method-assign]

    def scalars(self, group: Group, t: int) -> Scalars:
        """Return the numbers of step t, from 1, that `update` takes, in its order."""
        raise NotImplementedError

    def _repr_html_(self) -> str | None:
        return view("Optimizer._repr_html_")(self)

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
            The factor by which the gradients are too large: the number of backward passes that they sum
            up, or the factor of the loss. The step is taken along the gradients
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
        where = f"{self._name}.step"
        if grad_scale != 1.0:
            grad_scale = require_scale(where, grad_scale)
        for storage in chain(*self._storages):
            if (p := storage.gather()) is not None:
                raise row_sparse(where, self._names[id(p)])
        if self.on_nonfinite != "ignore" and not self._finite(where):
            return
        self.__dict__["_grad_scale"] = grad_scale  # past the check of attributes
        events.tell(("step_begins", self))
        stepped = False
        for group, storages in zip(self.param_groups, self._storages, strict=True):
            for storage in storages:
                backend = backend_of((storage.data,))
                with backend.current(where):
                    update = backend.rules[chosen_kernels()][self.update]
                    stepped |= self._change(storage, group, update, 1.0 / grad_scale)
        if not stepped:
            raise no_gradient(where)
        events.tell(("step_ends", self))

    def _change(self, storage: FlatStorage, group: Group, update: Callable[..., None], scale: float) -> bool:
        """Update the parameters that have gradients, and tell whether there were any."""
        stepped = False
        arrays = [storage.data, storage.grad]
        arrays += [
            None if name is None else storage.moment(name)
            for name in needed(self.moment_names, self.optional, group)
        ]
        for stretch, t in storage.runs():
            stepped = True
            parts = [None if flat is None else flat[stretch] for flat in arrays]
            update(*parts, scale=scale, **self.scalars(group, t))
        return stepped

    def _finite(self, where: str) -> bool:
        """Tell whether all gradients are finite; if not, count or raise."""
        require_choice(self._name, self.on_nonfinite)
        for storage in chain(*self._storages):
            backend = backend_of((storage.data,))
            with backend.current(where):
                p = storage.first_not_finite(fast_or_reference(all_finite, backend))
            if p is not None:
                if self.on_nonfinite == "raise":
                    raise not_finite(where, self._names[id(p)])
                self.skipped += 1
                return False
        return True

    # --- Explaining a step ---------------------------------------------------------------

    def ledger(self) -> Scope[None]:
        """Copy the values that each step inside the block is made from, so that `explain` can show them.

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
