"""`grade`: passes a learner's work to the grader of its kind."""

from __future__ import annotations

import inspect
from typing import Any

from ...engine.graph import Primitive
from ...errors import DTypeError
from ...optim import Optimizer
from .optimizers import grade_optimizer
from .primitives import grade_primitive
from .report import Grade


def grade(
    student: Any,
    reference: Any = None,
    inputs: Any = None,
    settings: dict[str, Any] | None = None,
    seed: int = 0,
) -> Grade:
    """Check a learner's own primitive or optimizer, and explain mistakes in sentences.

    A primitive's rules are compared with central differences of its forward rule, input by input. An
    optimizer takes steps on given gradients, and so does the reference. Wrong results are compared with the
    results of typical mistakes: a flipped sign, a missing factor, the wrong axis, only a part of a broadcast
    gradient; a forgotten bias correction, a missing power of t, eps in another place, and so on. Right parts
    are broken on purpose, to show that the check would have noticed.

    Parameters
    ----------
    student : Primitive, subclass of Optimizer, or function
        Made with `tinygrad_adam.primitive`; or an optimizer: a class, or a function
        ``update(p, g, state, ...)`` of NumPy arrays, which returns the new p or changes p in place, and
        keeps the moments of this parameter in the dict `state`, empty at first. Its other
        parameters are the reference's hyper-parameters, such as ``lr``, ``betas`` (or ``beta1`` and
        ``beta2``) and ``eps``; the grader chooses values with which mistakes show.
    reference : str or callable, optional
        For a primitive the name of one of this package's operations, or a function that gives the right
        output; by default the forward rule counts as right. For an optimizer the name of one of this
        package's, or a right class or function; by default the one of the student's name.
    inputs : sequence, optional
        For a primitive: for each input an array, or a shape to be filled with random numbers. By default
        shapes are tried that spread the last input.
    settings : dict, optional
        Settings of the primitive, such as ``{"axis": 1}``; or hyper-parameters to use instead of the
        grader's.
    seed : int
        Of the random numbers.

    Returns
    -------
    Grade
        ``grade.passed``, ``grade.findings``; printed, an explanation.

    Raises
    ------
    DTypeError
        If `student` is none of these.
    OptionError
        If the reference is not known, or there are no inputs that the forward rule takes.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> @tg.primitive(a=lambda g, b: g * b, b=lambda g, a: -g * a)
    ... def times(xp, a, b):
    ...     return a * b
    >>> answer = tg.testing.grade(times, reference="multiply")
    >>> answer.passed, [(finding.where, finding.kind) for finding in answer.findings]
    (False, [('b', 'flipped sign')])
    """
    if isinstance(student, Primitive):
        return grade_primitive(student, reference, inputs, settings or {}, seed)
    if inspect.isfunction(student) or (inspect.isclass(student) and issubclass(student, Optimizer)):
        if inputs is not None:
            raise DTypeError("grade", "an optimizer takes no inputs; its gradients are the grader's")
        if inspect.isfunction(student) and len(inspect.signature(student).parameters) < 3:
            raise DTypeError(
                "grade",
                "an optimizer's function takes p, g and state, and then hyper-parameters",
                takes=f"{student.__name__}{inspect.signature(student)}",
            )
        return grade_optimizer(student, reference, settings or {})
    raise DTypeError(
        "grade",
        "give a primitive (made with tinygrad_adam.primitive), a subclass of Optimizer, or a function "
        "update(p, g, state, ...)",
        got=repr(student),
    )
