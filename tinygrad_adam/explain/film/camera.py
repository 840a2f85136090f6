"""The camera of a film: it takes a frame of each step, with its outputs, gradients and updates.

A stage is a module without members, or an operation outside of those. Frames have one layout, so a film
is a matrix: one row a step, with a stretch of columns for each stage, parameter and edge.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy

from ...backend.device import to_host
from ...engine.events import Watcher
from ...engine.graph import Node, Primitive, Variable
from ...engine.rowsparse import RowSparse
from ...nn import Module, Parameter
from ...ops.shaping import __all__ as SHAPING  # the operations that only move numbers
from ...optim import Optimizer
from ...typing import Args, Array, Settings
from ..chain_rule.traces import ancestors, measure
from ..optimizers import name_of, parameters_of
from .sampling import View, view_of_values, view_of_weights

MOST_FRAMES = 200
"""Steps that a film keeps; a longer training is sampled, evenly."""
MOST_STAGES = 40
"""Stages that a film shows; of a longer program, the last ones, which end with the loss."""
MOST_PARAMETERS = 200
"""Parameters that a film shows; of a network with more, the last ones."""
_SIZES = (24, 16, 12, 8, 5, 3)
"""How many elements are shown along a side; the first with which all fits the budget."""
_BUDGET = 3_500_000
"""Bytes of numbers in a film, before they are written as text, which takes a third more. To stay within, a
network of very many layers gets fewer frames."""
_MOST_WAITING = 10_000
"""Stages that wait for a backward pass; until then the camera keeps their outputs."""
_MOST_LOSSES = 4000
"""Points of the curve of the loss."""


@dataclass
class Stage:
    """Part of the forward pass that a film shows as one card.

    `function` is the function that a layer stands for, if there is one, and `main` its first operation that
    does more than move numbers.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    node: Node | None = None
    view: View | None = None
    values: Array = None
    function: str = ""
    main: str = ""

    def rule(self, operation: str) -> str:
        """Name the rule by which it passes a gradient: the layer's function, or the operation that computes.

        Conv1d ends with a reshape, which says nothing about the layer.
        """
        return self.function or (self.main if self.main and operation in SHAPING else operation)


@dataclass
class _Running:
    """A module that is running, and the stage that it became."""

    module: Module
    prefix: str
    stage: Stage | None = None


@dataclass
class ShownParameter:
    """A parameter and the part of it that a film shows; the column after all others counts its steps."""

    name: str
    tensor: Parameter
    view: View
    kinds: list[str]
    start: int = 0


@dataclass
class FrameLayout:
    """The columns of a frame: outputs and gradients of stages, norms of edges, parameters."""

    stages: list[Stage]
    edges: list[tuple[int, str, int, str, float]] = field(default_factory=list)
    params: list[ShownParameter] = field(default_factory=list)
    width: int = 0

    def room(self, count: int) -> int:
        """Reserve columns, and return the first."""
        start = self.width
        self.width += count
        return start


class Camera(Watcher):
    """Watches training steps and keeps up to `MOST_FRAMES` of them.

    Attributes
    ----------
    frames : list of numpy.ndarray, float32
        One for each step that was kept.
    steps : list of int
        Their numbers, from 1.
    losses : list of (int, float)
        The loss of each step, or of evenly spread ones.
    other : int
        How many steps had another structure than the first, and were left out.
    folded, hidden : int
        How many stages at the beginning are not shown, and how many parameters.
    size : int
        The numbers that all parameters have together.
    every, most_frames : int
        Every which step is kept, and how many frames at most; when there are more, every second is dropped.
    """

    def __init__(self) -> None:
        self.frames: list[Any] = []
        self.steps: list[int] = []
        self.rates: list[float] = []
        self.losses: list[tuple[int, float]] = []
        self.other = self.folded = self.hidden = self.size = 0
        self.layout: FrameLayout | None = None
        self.optimizer: Optimizer | None = None
        self.most_frames = MOST_FRAMES
        self._count = 1  # the number of the step that is under way
        self.every = self._every_loss = 1
        self._path: list[_Running] = []
        self._names: dict[int, str] = {}
        self._made: list[Stage] = []
        self._frame: Array = None
        self._gradients: dict[Node, Array] = {}
        self._shares: list[tuple[Node, Node | Variable, float]] = []
        self._stages: list[Stage] = []
        self._before: list[Any] = []
        self._signature: list[tuple[str, tuple[int, ...]]] | None = None

    def _due(self) -> bool:
        return (self._count - 1) % self.every == 0

    # --- Forward -------------------------------------------------------------------------

    def module_begins(self, module: Module, args: tuple[Any, ...]) -> None:  # noqa: D102
        prefix = ""
        if self._path:
            parent = self._path[-1]
            prefix = next((key for key, member in parent.module._modules.items() if member is module), "")
            prefix = f"{parent.prefix}.{prefix}" if parent.prefix else prefix
        self._path.append(_Running(module, prefix))
        if self.layout is None:
            for key, p in module._parameters.items():
                self._names[id(p)] = f"{prefix}.{key}" if prefix else key

    def module_ends(self, module: Module, output: object) -> None:  # noqa: D102
        self._path.pop()

    def operation(self, primitive: Primitive, args: Args, settings: Settings, output: Variable) -> None:  # noqa: D102
        if output.node is None or not self._due():
            return
        call = self._path[-1] if self._path and not self._path[-1].module._modules else None
        stage = None if call is None else call.stage
        if stage is None:  # of several operations of a module, the last gives its output
            kind = "operation" if call is None else type(call.module).__name__
            name = primitive.name if call is None else f"{call.prefix} {kind}".strip()
            function = getattr(call.module, "_function", None) if call is not None else None
            stage = Stage(name, kind, output._data.shape, function=getattr(function, "__name__", ""))
            self._made.append(stage)
        if call is not None:
            call.stage = stage
        if not stage.main and primitive.name not in SHAPING:
            stage.main = primitive.name
        stage.shape, stage.node, stage.values = output._data.shape, output.node, output._data
        if len(self._made) > _MOST_WAITING:  # forward passes without a backward pass
            del self._made[: -2 * MOST_STAGES]

    # --- Backward ------------------------------------------------------------------------

    def backward_begins(self, root: Variable) -> None:  # noqa: D102
        self._gradients, self._shares = {}, []
        if (self._count - 1) % self._every_loss == 0 and root._data.size == 1:
            self._note_loss(float(to_host(root._data).reshape(())))
        if not self._due() or root.node is None:
            return
        reached = ancestors(root.node, lambda node: node.parents or ())
        stages = [stage for stage in self._made if stage.node in reached]
        self.folded = max(0, len(stages) - MOST_STAGES)
        self._stages, self._made = stages[-MOST_STAGES:], []

    def _note_loss(self, loss: float) -> None:
        if self.losses and self.losses[-1][0] == self._count:  # several backward passes for one step
            self.losses.pop()
        self.losses.append((self._count, loss))
        if len(self.losses) > _MOST_LOSSES:
            self.losses = self.losses[::2]
            self._every_loss *= 2

    def gradient(self, node: Node, g: Array) -> None:  # noqa: D102
        if self._due() and any(stage.node is node for stage in self._stages):
            self._gradients[node] = g._data if isinstance(g, Variable) else g

    def share(self, node: Node, position: int, parent: Node | Variable, share: Array) -> None:  # noqa: D102
        if self._due():
            self._shares.append((node, parent, measure(share).norm))

    # --- Update --------------------------------------------------------------------------

    def step_begins(self, optimizer: Optimizer) -> None:  # noqa: D102
        if self.optimizer is None:
            self.optimizer = optimizer
        if optimizer is not self.optimizer or not self._due() or not self._stages:
            return
        signature = [(stage.name, stage.shape[1:]) for stage in self._stages]
        if self.layout is None:
            self._signature = signature
            self.layout = self._planned(optimizer)
        if signature != self._signature:
            self.other += 1
            self._stages = []
            return
        self._frame = numpy.zeros(self.layout.width, numpy.float32)
        self._write_stages()
        self._before = [p.view.of(p.tensor._data) for p in self.layout.params]

    def step_ends(self, optimizer: Optimizer) -> None:  # noqa: D102
        if optimizer is not self.optimizer:
            return
        if self._frame is not None:
            self._write_parameters(optimizer)
            self.frames.append(self._frame)
            self.steps.append(self._count)
            self.rates.append(float(optimizer.param_groups[0]["lr"]))
            if len(self.frames) > self.most_frames:
                self.frames, self.steps, self.rates = self.frames[::2], self.steps[::2], self.rates[::2]
                self.every *= 2
        self._frame, self._stages, self._made = None, [], []  # nothing of the step is held
        self._gradients, self._shares, self._before = {}, [], []
        self._count += 1

    # --- The layout ----------------------------------------------------------------------

    def _planned(self, optimizer: Optimizer) -> FrameLayout:
        """Choose how much of each array is shown, so that all frames fit the budget."""
        for most in _SIZES:
            layout = self._layout(optimizer, most)
            if layout.width * 4 * MOST_FRAMES <= _BUDGET:
                break
        self.most_frames = max(1, min(MOST_FRAMES, _BUDGET // (4 * layout.width)))
        return layout

    def _layout(self, optimizer: Optimizer, most: int) -> FrameLayout:
        layout = FrameLayout([])
        for stage in self._stages:
            view = view_of_values(stage.shape, most)
            layout.stages.append(replace(stage, view=view, node=None, values=None))
            layout.room(2 * view.places.size)  # values, then gradients
        params = parameters_of(optimizer)
        self.size, self.hidden = sum(p.size for p in params), max(0, len(params) - MOST_PARAMETERS)
        for p in params[self.hidden :]:
            moments = optimizer.moments(p)[1]
            name = name_of(optimizer, p)
            if name.isdecimal():  # a number, where the optimizer was given no names
                name = self._names.get(id(p), name)
            layout.params.append(
                ShownParameter(
                    name, p, view_of_weights(p.shape, most), ["value", "gradient", *moments, "update"]
                )
            )
        layout.edges = self._edges(layout)
        layout.room(len(layout.edges))
        for shown in layout.params:
            shown.start = layout.room(len(shown.kinds) * shown.view.places.size + 1)
        return layout

    def _edges(self, layout: FrameLayout) -> list[tuple[int, str, int, str, float]]:
        """List the ways of the gradient between stages and to parameters, in the order of the pass.

        Each is a stage, the stage or parameter that it passes a gradient to (its kind and number), the
        operation whose rule gave it, and its norm.
        """
        edges = []
        places = {id(p.tensor): i for i, p in enumerate(layout.params)}
        stage_of = {stage.node: i for i, stage in enumerate(self._stages)}
        for node, parent, norm in self._shares:
            source = self._stage_behind(node)
            rule = self._stages[source].rule(node.primitive.name)
            if isinstance(parent, Node):
                target = stage_of.get(parent)
                if target is not None and target != source:
                    edges.append((source, "stage", target, rule, norm))
            elif id(parent) in places:
                edges.append((source, "parameter", places[id(parent)], rule, norm))
        return edges

    def _stage_behind(self, node: Node) -> int:
        """Return the stage that a node is part of: the first whose output was made no earlier."""
        numbers = (i for i, s in enumerate(self._stages) if s.node and s.node.number >= node.number)
        return next(numbers, len(self._stages) - 1)

    # --- A frame -------------------------------------------------------------------------

    def _write_stages(self) -> None:
        assert self.layout is not None
        column = 0
        for stage, planned in zip(self._stages, self.layout.stages, strict=True):
            assert planned.view is not None
            size = planned.view.places.size
            for array in (stage.values, self._gradients.get(stage.node) if stage.node else None):
                if array is not None and array.size > planned.view.places.max(initial=-1):
                    self._frame[column : column + size] = planned.view.of(array)
                column += size
        norms = [edge[-1] for edge in self._edges(self.layout)]
        if len(norms) == len(self.layout.edges):
            self._frame[column : column + len(norms)] = norms

    def _write_parameters(self, optimizer: Optimizer) -> None:
        assert self.layout is not None
        for p, before in zip(self.layout.params, self._before, strict=True):
            tensor, view, column = p.tensor, p.view, p.start
            count, moments = optimizer.moments(tensor)
            value = view.of(tensor._data)
            gradient = None if tensor._grad is None else view.of(_dense(tensor._grad))
            for array in (value, gradient, *[view.of(m) for m in moments.values()], value - before):
                if array is not None:
                    self._frame[column : column + view.places.size] = array
                column += view.places.size
            self._frame[column] = count


def _dense(gradient: Array) -> Array:
    """Return the array of a gradient, which may be row-sparse, or have a graph of its own."""
    if isinstance(gradient, RowSparse):
        return gradient.to_dense()
    return gradient._data if isinstance(gradient, Variable) else gradient
