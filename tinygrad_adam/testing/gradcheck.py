"""Compare gradients with central differences, along random directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy

from ..engine.backward import grad
from ..engine.modes import enable_grad, no_grad
from ..engine.rowsparse import RowSparse
from ..errors import DTypeError, GradcheckError
from ..tensor.creation import tensor
from ..tensor.tensor import Tensor


def gradcheck(
    f: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    eps: float = 1e-6,
    atol: float = 1e-6,
    rtol: float = 1e-6,
    seed: int = 0,
) -> bool:
    """Check the gradients of `f` against central differences.

    For each input, the derivative of a random combination of the outputs along a random
    direction: two evaluations of `f` however many elements there are.

    Parameters
    ----------
    f : callable
        Takes the inputs, returns a Tensor or a sequence of Tensors.
    inputs : Tensor or sequence
        Those that are float64 Tensors and require a gradient are checked; others are passed on.
    eps : float
        The step of the difference quotient, to either side.
    atol, rtol : float
        The difference may be at most ``atol + rtol * abs(numerical)``.
    seed : int
        Of the random directions.

    Returns
    -------
    bool
        True; a difference is raised.

    Raises
    ------
    GradcheckError
        If a gradient differs.
    DTypeError
        If an input to be checked is not float64, in which rounding would drown the difference,
        or if there is none to check.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygrad_adam as tg
    >>> tg.gradcheck(tg.sin, tg.tensor(np.linspace(0, 1, 5), requires_grad=True))
    True
    """
    inputs, checked = _to_check("gradcheck", inputs)
    rng = numpy.random.default_rng(seed)
    weights: list[Any] = []

    def combination(*arguments: Any) -> Tensor:
        outputs = f(*arguments)
        outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        if not weights:
            weights.extend(rng.standard_normal(out.shape) for out in outputs)
        return sum((out * _beside(w, out)).sum() for out, w in zip(outputs, weights, strict=True))

    # On leaves of its own, so that an input which the outputs do not depend on has the gradient 0.
    leaves = [x.detach().requires_grad_() if i in checked else x for i, x in enumerate(inputs)]
    with enable_grad():
        total = combination(*leaves)
    if total.requires_grad:
        total.backward()
    for i in checked:
        x, gradient = inputs[i], leaves[i].grad
        if isinstance(gradient, RowSparse):
            gradient = _beside(gradient.to_dense(), x)
        direction = rng.standard_normal(x.shape)
        with no_grad():
            ends = []
            for sign in (1, -1):
                moved = list(leaves)
                moved[i] = x.detach() + _beside(sign * eps * direction, x)
                ends.append(combination(*moved).item())
        numerical = (ends[0] - ends[1]) / (2 * eps)
        expected = 0.0 if gradient is None else float((gradient * _beside(direction, x)).sum().item())
        if not abs(expected - numerical) <= atol + rtol * abs(numerical):
            raise GradcheckError(
                "gradcheck",
                f"the gradient of input {i} differs from central differences",
                shape=x.shape,
                analytical=expected,
                numerical=numerical,
                difference=abs(expected - numerical),
            )
    return True


def _to_check(where: str, inputs: Tensor | Sequence[Any]) -> tuple[list[Any], list[int]]:
    """Return the inputs as a list, and the positions of those to be checked."""
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    checked = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    wrong = {f"inputs[{i}]": inputs[i].dtype for i in checked if inputs[i].dtype != numpy.float64}
    if wrong or not checked:
        raise DTypeError(
            where, "give at least one float64 Tensor that requires a gradient, and no other", **wrong
        )
    return inputs, checked


def _beside(array: Any, like: Tensor) -> Tensor:
    return tensor(array, device=like.device)


def gradgradcheck(
    f: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    eps: float = 1e-6,
    atol: float = 1e-6,
    rtol: float = 1e-6,
    seed: int = 0,
) -> bool:
    """Check the gradients of the gradients of `f`, with respect to inputs and to the first gradient.

    Parameters as `gradcheck`, which it applies to the vector-Jacobian product of `f` as a function
    of the inputs and of the vector.

    Returns
    -------
    bool
        True; a difference is raised.

    Raises
    ------
    GradcheckError
        If a gradient of a gradient differs.
    DTypeError
        As `gradcheck`.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygrad_adam as tg
    >>> tg.gradgradcheck(tg.sin, tg.tensor(np.linspace(0, 1, 5), requires_grad=True))
    True
    """
    inputs, checked = _to_check("gradgradcheck", inputs)
    with no_grad():
        outputs = f(*inputs)
    single = isinstance(outputs, Tensor)
    rng = numpy.random.default_rng(seed)
    vectors = [
        tensor(rng.standard_normal(out.shape), device=out.device, requires_grad=True)
        for out in ([outputs] if single else outputs)
    ]

    def gradients(*arguments: Any) -> Any:
        arguments, vectors_in = arguments[: len(inputs)], arguments[len(inputs) :]
        # A constant argument gets its derivative too; leaves that need none are made to need it.
        arguments = tuple(
            argument if i not in checked or argument.requires_grad else argument.detach().requires_grad_()
            for i, argument in enumerate(arguments)
        )
        with enable_grad():
            outs = f(*arguments)
            outs = [outs] if single else list(outs)
            total = sum((out * v).sum() for out, v in zip(outs, vectors_in, strict=True))
            # Times 0, so that an input which the outputs do not depend on has the gradient 0.
            total = total + sum((arguments[i] * 0).sum() for i in checked)
            return grad(total, [arguments[i] for i in checked], create_graph=True)

    return gradcheck(gradients, [*inputs, *vectors], eps, atol, rtol, seed + 1)
