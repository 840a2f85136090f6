"""The errors of wrong calls of an optimizer, and the checks that raise them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from ..errors import DTypeError, GraphError, NonFiniteError, OptionError, near_names, unknown_name
from ..tensor.tensor import Tensor
from ..values import is_number

ON_NONFINITE = ("ignore", "skip", "raise")


def require_choice(where: str, on_nonfinite: object) -> None:
    """Refuse an unknown choice for gradients that are not finite."""
    if on_nonfinite not in ON_NONFINITE:
        raise unknown_name(where, "choice for on_nonfinite", on_nonfinite, ON_NONFINITE)


def require_params(where: str, params: Any) -> list[Any]:
    """Return the parameters, pairs or groups that an optimizer is made for as a list."""
    if isinstance(params, Tensor):
        raise DTypeError(where, "params must be an iterable of Parameters; write [p] for a single one")
    if hasattr(params, "parameters"):
        raise DTypeError(where, "params are a model's parameters; write model.parameters()")
    params = list(params)
    if not params:
        raise OptionError(
            where,
            "there are no parameters; layers must be attributes of a Module, lists of them a ModuleList",
        )
    return params


def require_group(where: str, group: Any, known: Iterable[str]) -> None:
    """Refuse a group that is not a dict with parameters, or that sets an unknown hyper-parameter."""
    if not isinstance(group, dict) or "params" not in group:
        got = sorted(group) if isinstance(group, dict) else type(group).__name__
        raise OptionError(where, "a group must be a dict with 'params'", got=got)
    unknown = set(group) - {"params", *known}
    if unknown:
        raise OptionError(
            where, "unknown hyper-parameters in a group", unknown=sorted(unknown), known=sorted(known)
        )


def require_new(where: str, name: str, p: Any, params: Collection[int], names: Collection[str]) -> None:
    """Refuse a parameter that cannot be optimized, or that the optimizer has by its id or name."""
    if not isinstance(p, Tensor) or p.node is not None or p.dtype.kind != "f":
        got = type(p).__name__
        if isinstance(p, Tensor):
            got = f"{p.dtype} {'leaf' if p.node is None else 'result of an operation'}"
        raise DTypeError(where, "only leaf Tensors of floats can be optimized", name=name, got=got)
    if not p.requires_grad:
        raise OptionError(
            where,
            "a parameter needs no gradient; leave frozen ones out: "
            "[(n, p) for n, p in model.named_parameters() if p.requires_grad]",
            name=name,
        )
    if id(p) in params or name in names:
        raise OptionError(
            where, "a parameter or a name appears twice; list each once, in one group", name=name
        )


def unknown_attribute(where: str, name: str, defaults: Collection[str]) -> OptionError:
    """Return the error for a new attribute of an optimizer, whose hyper-parameters are in the groups."""
    known = [*defaults, "on_nonfinite"]
    near = ["lr"] if name == "learning_rate" else near_names(name, known) or ["lr"]
    if near[0] == "on_nonfinite":
        return unknown_name(where, "attribute", name, known)
    return OptionError(
        where,
        f"there is no attribute {name!r}; hyper-parameters stand in the groups: "
        f"for group in opt.param_groups: group[{near[0]!r}] = value",
        known=", ".join(sorted(defaults)),
    )


def require_scale(where: str, grad_scale: Any) -> float:
    """Return the divisor of the gradients of a step."""
    if callable(grad_scale):
        raise OptionError(where, "a step takes no closure; call it yourself, then step()", got=grad_scale)
    if not is_number(grad_scale) or grad_scale <= 0:
        raise OptionError(where, "grad_scale must be a positive number", grad_scale=repr(grad_scale))
    return float(grad_scale)


def row_sparse(where: str, name: str) -> DTypeError:
    """Return the error for a row-sparse gradient, which only SparseAdam takes."""
    return DTypeError(
        where,
        "a gradient is row-sparse; give the parameter to a SparseAdam, or make the gradient "
        "dense with Embedding(sparse=False), or Linear in place of SparseLinear",
        name=name,
    )


def not_finite(where: str, name: str) -> NonFiniteError:
    """Return the error for a gradient with NaN or infinities."""
    return NonFiniteError(
        where,
        "a gradient is not finite; lower the learning rate, clip gradients, look for "
        "log(0) and division by 0, or skip such steps with on_nonfinite='skip'. "
        "The parameters are as they were before this step",
        name=name,
    )


def no_gradient(where: str) -> GraphError:
    """Return the error for a step without any gradient."""
    return GraphError(
        where, "no parameter has a gradient; call loss.backward() after zero_grad() and before step()"
    )
