"""The exercises of chapter 10: a convolutional network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from ..testing.grading.report import Grade
from ..typing import Array
from .calling import Case
from .comparing import compare, number
from .exercise import Exercise
from .findings import Mistake, together
from .with_grader import graded_primitive

# --- 10.1 ----------------------------------------------------------------------------------------


def _blocks(x: Array) -> Any:
    n, height, width = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2)


def _average_pool_right(x: Array) -> Any:
    return _blocks(x).mean(axis=(2, 4))


POOLS = (
    Mistake(
        "maximum",
        "this is max pooling. Average pooling takes the mean of the four pixels.",
        lambda x: _blocks(x).max(axis=(2, 4)),
    ),
    Mistake(
        "sum",
        "this is the sum of the four pixels. Divide it by 4.",
        lambda x: _blocks(x).sum(axis=(2, 4)),
    ),
    Mistake(
        "one pixel of four",
        "this takes the first of each four pixels. Average pooling takes the mean of all four.",
        lambda x: x[:, ::2, ::2],
    ),
    Mistake(
        "blocks mixed up",
        """the four pixels of a mean are not neighbors in two directions. Reshape to (n, height // 2, 2,
        width // 2, 2) and take the mean over the axes 2 and 4.""",
        lambda x: x.reshape(len(x), x.shape[1] // 2, x.shape[2] // 2, 4).mean(axis=-1),
    ),
)
SLOPES = (
    Mistake(
        "one pixel of four",
        "the gradient goes to one of the four pixels only. Each of them contributed a quarter.",
        lambda g, x: numpy.kron(g, numpy.array([[[1.0, 0.0], [0.0, 0.0]]])),
    ),
    Mistake(
        "a quarter to one pixel",
        "a quarter of the gradient goes to one of the four pixels. Each of them gets a quarter.",
        lambda g, x: numpy.kron(g, numpy.array([[[0.25, 0.0], [0.0, 0.0]]])),
    ),
    Mistake(
        "the winner",
        "the gradient goes to the largest pixel, as in max pooling. Each of the four contributed a quarter.",
        lambda g, x: (
            numpy.kron(g, numpy.ones((1, 2, 2)))
            * (x == numpy.kron(_blocks(x).max(axis=(2, 4)), numpy.ones((1, 2, 2))))
        ),
    ),
)


def _average_pool(student: object) -> Grade:
    rng = numpy.random.default_rng(10)
    cases = [(rng.standard_normal((2, 4, 6)),), (rng.standard_normal((3, 2, 4)),)]
    return graded_primitive("average_pool", student, _average_pool_right, cases, POOLS, SLOPES, cases[0])


# --- 10.2 ----------------------------------------------------------------------------------------

KERNELS, WINDOW, PIXELS = 16, 3, 8
OUTPUTS = KERNELS * (PIXELS - WINDOW + 1) ** 2

CONVOLUTIONS = (
    Mistake("no biases", "the biases are missing: each of the 16 kernels has one.", KERNELS * WINDOW**2),
    Mistake("one kernel", "this is one kernel with its bias. The layer has 16 of them.", WINDOW**2 + 1),
    Mistake("one kernel", "this is one kernel, without its bias. The layer has 16 of them.", WINDOW**2),
    Mistake(
        "one bias",
        "there is a bias for each kernel, and not one for the layer.",
        KERNELS * WINDOW**2 + 1,
    ),
    Mistake(
        "3 for 3 by 3",
        "kernel_size=3 means windows of 3 by 3 pixels, so a kernel has 9 weights.",
        KERNELS * WINDOW + KERNELS,
    ),
    Mistake(
        "outputs",
        "this is the number of outputs. The kernel is the same at each position, so its weights count once.",
        OUTPUTS,
    ),
    Mistake(
        "weights for each output",
        "this counts weights for each output. They are shared: the kernel is the same at each position.",
        OUTPUTS * (WINDOW**2 + 1),
    ),
)
LINEAR = (
    Mistake(
        "no biases",
        "the biases are missing: there is one for each output.",
        PIXELS**2 * OUTPUTS,
    ),
    Mistake(
        "an output for each kernel",
        "this is a layer with 16 outputs. The convolution has 16 outputs at each of its positions.",
        PIXELS**2 * KERNELS + KERNELS,
    ),
    Mistake(
        "padded",
        """this takes 8 by 8 positions. Without padding, a window of 3 by 3 fits into 8 by 8 pixels at fewer
        positions.""",
        PIXELS**2 * KERNELS * PIXELS**2 + KERNELS * PIXELS**2,
    ),
    Mistake(
        "padded, no biases",
        "this takes 8 by 8 positions, and no biases. Without padding there are fewer positions.",
        PIXELS**2 * KERNELS * PIXELS**2,
    ),
    Mistake(
        "outputs",
        "this is the number of outputs. Each has a weight for every pixel, and a bias.",
        OUTPUTS,
    ),
    Mistake(
        "a bias for each kernel",
        "a linear layer has a bias for each output, and not one for all outputs of a kernel.",
        PIXELS**2 * OUTPUTS + KERNELS,
    ),
)


def _counts(convolution: object, linear: object) -> Grade:
    per_kernel = "conv_weights counts the weights of all kernels, and the biases"
    per_pair = "linear_weights counts each pair of pixel and output, and the biases"
    hint = "Count the weights of one kernel, the kernels, and the biases."
    why = "Count the positions of the window first, then the outputs, then the weights of one output."
    return together(
        number("conv_weights", convolution, KERNELS * (WINDOW**2 + 1), CONVOLUTIONS, per_kernel, hint=hint),
        number("linear_weights", linear, OUTPUTS * (PIXELS**2 + 1), LINEAR, per_pair, hint=why),
    )


# --- 10.3 ----------------------------------------------------------------------------------------

Layer = Callable[[Array], Array]
PICTURE = numpy.random.default_rng(5).standard_normal((8, 8))
RNG = numpy.random.default_rng(6)
KERNEL, MATRIX, MASK = (RNG.standard_normal(shape) for shape in ((3, 3), (36, 64), (8, 8)))


def convolution(picture: Array) -> Array:
    """Return the convolution with a kernel of 3 by 3."""
    windows = numpy.lib.stride_tricks.sliding_window_view(picture, KERNEL.shape)
    return numpy.asarray((windows * KERNEL).sum(axis=(-2, -1)))


def linear(picture: Array) -> Array:
    """Return 6 by 6 outputs of a matrix."""
    return numpy.asarray((MATRIX @ picture.ravel()).reshape(6, 6))


def squares(picture: Array) -> Array:
    """Return the square of each pixel."""
    return picture**2


def mask(picture: Array) -> Array:
    """Return each pixel times a weight of its own."""
    return picture * MASK


MOVING: dict[Layer, bool] = {convolution: True, linear: False, squares: True, mask: False}


def _moves(layer: Layer, picture: Array) -> bool:
    return MOVING[layer]


def _compared(edges: bool) -> Callable[[Layer, Array], bool]:
    """Return the answers that one gets by comparing with or without the edges, along either axis."""

    def moves(layer: Layer, picture: Array) -> bool:
        shifted, y = layer(numpy.roll(picture, 1, axis=1)), layer(picture)
        return numpy.allclose(shifted, numpy.roll(y, 1, axis=1) if edges else y)

    return moves


MOVES = (
    Mistake(
        "edges compared",
        """the convolution is said not to move along. Compare away from the edges: the pixels that leave on
        one side and enter on the other make the outermost column differ.""",
        _compared(edges=True),
    ),
    Mistake(
        "the output not shifted",
        """every layer is said not to move along. When the picture moves, the output should move as far:
        compare the output of the shifted picture with the shifted output.""",
        _compared(edges=False),
    ),
    Mistake(
        "always true",
        """every layer is said to move along, also a linear layer, in which each output has weights of its
        own. Is the picture shifted before one of the two calls?""",
        lambda layer, picture: True,
    ),
    Mistake(
        "the wrong way round",
        "the answers are the wrong way round: True is for layers whose output moves along.",
        lambda layer, picture: not _moves(layer, picture),
    ),
)


def _along(student: object) -> Grade:
    checked = """moves_along is right for a convolution, the square of each pixel, a linear layer, and pixels
    with weights of their own"""
    hint = """Shift the picture by one pixel with np.roll, call layer for both, and compare away from the
    edges."""
    cases: list[Case] = [(layer, PICTURE) for layer in MOVING]
    return compare("moves_along", student, _moves, cases, MOVES, checked, rtol=1e-9, hint=hint)


EXERCISES = (
    Exercise(
        "10.1",
        ("average_pool",),
        '''\
@tg.primitive(x=lambda g, xp, x_shape: ...)
def average_pool(xp, x):
    """Return the mean of each 2 by 2 pixels; x has the shape (n, height, width)."""
    raise NotImplementedError("write the forward rule here, and the rule for x above")
''',
        _average_pool,
    ),
    Exercise(
        "10.2",
        ("conv_weights", "linear_weights"),
        """\
conv_weights = ...  # of nn.Conv2d(1, 16, kernel_size=3)
linear_weights = ...  # of a linear layer from 8 by 8 pixels to as many outputs
""",
        _counts,
    ),
    Exercise(
        "10.3",
        ("moves_along",),
        '''\
def moves_along(layer, picture):
    """Return whether the output of `layer` moves along when the picture moves by a pixel.

    `layer` is a function from pictures to pictures. The edges do not count.
    """
    raise NotImplementedError("shift and apply, apply and shift, and compare")
''',
        _along,
    ),
)
