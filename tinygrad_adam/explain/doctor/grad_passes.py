"""Gradients that a loop takes with ``tg.grad`` instead of ``backward()``: from which loss, and when."""

from __future__ import annotations

import weakref

from ...backend.device import is_array
from ...engine.graph import Node, Variable
from ...nn import Parameter
from ...typing import Array


class GradPasses:
    """Finds the loss behind the gradients that ``tg.grad(loss, parameters)`` gives.

    Only ``backward()`` announces its root. A pass of ``tg.grad`` counts as one of training as soon as it
    gives a parameter a gradient without a graph: gradients of inputs, and those that are differentiated
    again, serve other ends.
    """

    def __init__(self) -> None:
        self._scalars: dict[int, weakref.ref[Variable]] = {}
        self._root: Variable | None = None
        self._begun = False

    def operation(self, output: Variable) -> None:
        """Remember a scalar: it may be a loss."""
        if output.node is not None and output._data.size == 1:
            self._scalars[output.node.number] = weakref.ref(output)

    def gradient(self, node: Node) -> None:
        """Take the latest scalar that a pass goes through for its root; those below it are parts of it."""
        before = None if self._root is None else self._root.node
        reference = self._scalars.get(node.number)
        if reference is not None and (before is None or node.number > before.number):
            self._root, self._begun = reference(), False

    def begins(self, parent: Node | Variable, share: Array) -> Variable | None:
        """Return the root if this share of a gradient shows that a pass of training has begun."""
        if self._begun or self._root is None or not isinstance(parent, Parameter) or not is_array(share):
            return None
        self._begun = True
        return self._root

    def end(self) -> Variable | None:
        """Return the root of the pass that has ended now that its gradients are used, if there was one."""
        root = self._root if self._begun else None
        self.forget()
        return root

    def forget(self) -> None:
        """Forget the scalars of a step."""
        self._scalars, self._root, self._begun = {}, None, False
