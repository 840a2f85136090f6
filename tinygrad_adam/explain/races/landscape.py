"""A network's loss on a plane through its weights: a surface like any other, for optimizers to be watched on.

A plane is a place and two directions, of the size of all weights. Two kinds show something:

- `around`: through the trained weights, both directions drawn at random and normalized filter by filter.
  It shows how wide or narrow, smooth or rough the loss is there, in a measure that two networks share.
- `through`: the first direction leads from the trained weights to those that training began with, so both
  are in the picture and a race can begin where training began. The second is again a random one. (Two
  random directions would miss the way of training: in many dimensions they are all but orthogonal to it.)

On the plane, the loss is a function of two numbers, and the picture shows exactly the loss that the
optimizers meet. A path of training through all weights lies in no plane; its picture would be a shadow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy

from ...engine.modes import no_grad
from ...errors import NonFiniteError, OptionError, StateError
from ...nn import Module
from ...nn.functional import cross_entropy
from ...ops import stack
from ...tensor.creation import tensor
from ...tensor.tensor import Tensor
from ...training.run import Run
from ...typing import TensorLike
from .surfaces import Array, Surface

Weights = dict[str, Array]
EXAMPLES = 256
"""How many training images the loss of a run's network is measured on."""


def filter_normalized(direction: Weights, weights: Weights) -> Weights:
    """Scale each filter of a direction to the norm of that filter of the weights.

    A filter makes one output: ``weight[i]``. So a step along the direction changes each by the same
    share, and the picture does not depend on the scale of the weights, which networks with ReLU or
    normalization can choose freely. Parameters of one dimension (biases, and the scales of normalizations)
    are left where they are, as in the authors' code.

    Parameters
    ----------
    direction, weights : dict of str to numpy.ndarray
        By the names of the parameters, of the same shapes.

    References
    ----------
    H. Li, Z. Xu, G. Taylor, C. Studer and T. Goldstein, "Visualizing the Loss Landscape of Neural Nets",
    NeurIPS 2018, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_adam.explain import filter_normalized
    >>> d = filter_normalized({"w": np.array([[3.0, 4.0], [1.0, 0.0]])}, {"w": np.eye(2) * 10})
    >>> d["w"]
    array([[ 6.,  8.],
           [10.,  0.]])
    """
    scaled = {}
    for name, d in direction.items():
        if d.ndim < 2:
            scaled[name] = numpy.zeros_like(d)
            continue
        axes = tuple(range(1, d.ndim))
        there = numpy.sqrt((weights[name] ** 2).sum(axis=axes, keepdims=True))
        here = numpy.sqrt((d**2).sum(axis=axes, keepdims=True))
        scaled[name] = d * (there / here)
    return scaled


def random_direction(weights: Weights, generator: numpy.random.Generator) -> Weights:
    """Draw a direction from the normal distribution, and normalize it filter by filter.

    Parameters
    ----------
    weights : dict of str to numpy.ndarray
        The weights that set the norms.
    generator : numpy.random.Generator
        Draws it.
    """
    drawn = {name: numpy.asarray(generator.standard_normal(w.shape), w.dtype) for name, w in weights.items()}
    return filter_normalized(drawn, weights)


def plane(
    model: Module, loss: Callable[[], Tensor], x_direction: Weights, y_direction: Weights, **about: Any
) -> Surface:
    """Return a model's loss around its present weights as a surface.

    ``function(x, y)`` is the loss with the weights ``w + x * x_direction + y * y_direction``. The gradient
    by x and y comes by the chain rule, through the network.

    Parameters
    ----------
    model : Module
        Its present weights w are copied. It is put into evaluation mode while its loss is computed, so
        that dropout and batch statistics don't change the surface.
    loss : callable
        Computes the loss of `model` on fixed data, a scalar Tensor.
    x_direction, y_direction : dict of str to numpy.ndarray
        By the names of the parameters; those not in it stay.
    **about
        The attributes of the `Surface` that say how it is drawn.

    Raises
    ------
    StateError
        If a direction does not fit the parameters.
    NonFiniteError
        If the loss is not finite at the present weights.
    """
    parameters = dict(model.named_parameters())
    for direction in (x_direction, y_direction):
        for name, d in direction.items():
            if name not in parameters or d.shape != parameters[name].shape:
                raise StateError(
                    "plane", "the directions do not fit the parameters", name=name, shape=d.shape
                )
    w = {name: tensor(p.detach().numpy().copy()) for name, p in parameters.items()}
    along = [
        {name: tensor(d.astype(w[name].dtype)) for name, d in direction.items()}
        for direction in (x_direction, y_direction)
    ]

    def at(x: TensorLike, y: TensorLike) -> Tensor:
        weights = {}
        for name, value in w.items():
            for amount, direction in zip((x, y), along, strict=True):
                if name in direction:
                    value = value + amount.astype(value.dtype) * direction[name]
            weights[name] = value
        with _replaced(model, weights):
            return loss()

    def function(x: TensorLike, y: TensorLike) -> Any:
        if isinstance(x, Tensor):
            if x.ndim == 0:
                return at(x, y)
            return stack([at(x[i], y[i]) for i in range(len(x))])
        with no_grad():
            points = zip(numpy.ravel(x), numpy.ravel(y), strict=True)
            values = [at(tensor(a), tensor(b)).item() for a, b in points]
        return numpy.reshape(values, numpy.shape(x))

    least = float(function(numpy.zeros(()), numpy.zeros(())))
    if not numpy.isfinite(least):
        raise NonFiniteError("plane", "the loss is not finite at the weights of the model", loss=least)
    return Surface(
        function=function,
        minima=((0.0, 0.0),),
        least=least,
        grid=33,
        zooms=True,
        **{"goal": "trained weights", **about},
    )


@contextmanager
def _replaced(model: Module, weights: dict[str, Tensor]) -> Iterator[None]:
    """Replace the weights of a model inside a block, in evaluation mode; a parameter in two places is one."""
    names = {id(p): name for name, p in model.named_parameters()}
    places = [
        (module, attribute, p)
        for module in model.modules()
        for attribute, p in module._parameters.items()
        if p is not None
    ]
    modes = [(module, module.training) for module in model.modules()]
    try:
        for module, attribute, p in places:
            module.__dict__[attribute] = weights[names[id(p)]]
        model.eval()
        yield
    finally:
        for module, attribute, p in places:
            module.__dict__[attribute] = p
        for module, mode in modes:
            module.__dict__["training"] = mode


def around(model: Module, loss: Callable[[], Tensor], name: str = "network", seed: int = 0) -> Surface:
    """Return a model's loss around its weights, in two random directions normalized by filters.

    Parameters
    ----------
    model : Module
        With the weights that the plane goes through.
    loss : callable
        See `plane`.
    name : str
        The name of the surface.
    seed : int
        Fixes the directions.
    """
    weights = _weights(model)
    generator = numpy.random.default_rng(seed)
    x, y = random_direction(weights, generator), random_direction(weights, generator)
    return plane(
        model, loss, x, y,
        name=name,
        formula="its loss in two random directions, normalized by filters",
        start=(-0.8, 0.7),
        window=(-1.0, 1.0, -1.0, 1.0),
        source="Li et al. 2018, arXiv:1712.09913",
        goal="the model's weights",
        axes=("one random direction", "another"),
    )  # fmt: skip


def through(
    model: Module, loss: Callable[[], Tensor], begun: Weights, name: str = "network", seed: int = 0
) -> Surface:
    """Return a model's loss on the plane through its weights, others, and a random direction.

    Parameters
    ----------
    model : Module
        With the weights that lie at (0, 0).
    loss : callable
        See `plane`.
    begun : dict of str to numpy.ndarray
        The weights that lie at (1, 0), where a race starts: those that training began with.
    name : str
        The name of the surface.
    seed : int
        Fixes the random direction, which is normalized by filters.

    Raises
    ------
    OptionError
        If the weights are the same.
    """
    weights = _weights(model)
    back = {key: begun[key] - w for key, w in weights.items()}
    if not any(d.any() for d in back.values()):
        raise OptionError("through", "the model has the weights that training began with; train it first")
    return plane(
        model, loss, back, random_direction(weights, numpy.random.default_rng(seed)),
        name=name,
        formula="its loss on a plane through first and trained weights",
        start=(1.0, 0.0),
        window=(-1.1, 1.3, -1.0, 1.0),
        source="Goodfellow, Vinyals and Saxe 2015, arXiv:1412.6544; Li et al. 2018, arXiv:1712.09913",
        axes=("from the trained weights (0) to the first ones (1)", "random direction"),
    )  # fmt: skip


def _weights(model: Module) -> Weights:
    return {name: p.detach().numpy().copy() for name, p in model.named_parameters()}


def of_run(run: Run, kind: str = "through", seed: int = 0) -> Surface:
    """Return the loss of a run's network on a plane through its best weights.

    Parameters
    ----------
    run : Run
        As ``Run.open`` returns it: with the weights that training began with.
    kind : {"through", "around"}
        Through its first weights too, or around the best ones.
    seed : int
        Fixes the random directions, and which `EXAMPLES` training images the loss is measured on.

    Raises
    ------
    CheckpointError
        If the run has no checkpoint yet.
    """
    model = run.trainer.model.to("cpu")
    begun = _weights(model)
    run.load_best()
    images, labels = run.data.arrays("train", flatten=False)
    chosen = numpy.random.default_rng(seed).permutation(len(labels))[:EXAMPLES]
    x, y = tensor(images[chosen]), labels[chosen]
    name = f"{run.config.model} on {run.config.data}"

    def loss() -> Tensor:
        return cross_entropy(model(x), y)

    return around(model, loss, name, seed) if kind == "around" else through(model, loss, begun, name, seed)
