"""A device against the reference kernels in float64: values and gradients of calls, layers and optimizers.

An error is the largest difference in an array, relative to the array's largest correct element. Where that
element is small compared with the other results of the same case, a hundredth of their largest element counts
instead: terms that should cancel leave rounding errors of that size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from ... import optim
from ...backend.device import asarray, to_host
from ...backend.overrides import use_kernels
from ...engine.rowsparse import RowSparse
from ...nn import Embedding, Parameter
from ...tensor.creation import tensor
from ...tensor.random import fork_rng
from ...tensor.tensor import Tensor
from .calls import Call, outputs_of
from .layers import CSR, Layer, build
from .optimizers import OPTIONS
from .report import Check

TOLERANCES = {"float64": 1e-12, "float32": 3e-5}
SMALL = 1e-2
"""The share of the largest result of a case, below which an array counts as small."""

Arrays = dict[str, NDArray[Any]]
"""On the host, by name: "value", "gradient of input 0", ..."""


class Place(NamedTuple):
    """The device and the dtypes to compute with.

    Attributes
    ----------
    device : str
    dtype : dtype
        Of the results.
    rounded : dtype
        Inputs are rounded to it first, so that two dtypes compute with the same numbers.
    """

    device: str
    dtype: Any
    rounded: Any

    def put(self, value: Any) -> Any:
        """Round floats and move arrays to the device, also inside tuples."""
        if isinstance(value, tuple):
            return tuple(map(self.put, value))
        if isinstance(value, CSR):
            return value.put(self.put)
        if not isinstance(value, numpy.ndarray):
            return value
        if value.dtype.kind == "f":
            value = value.astype(self.rounded).astype(self.dtype)
        return asarray(value, device=self.device)


Run = Callable[[Place], Arrays]


def relative_error(got: NDArray[Any], wanted: NDArray[Any], least: float = 0.0) -> float:
    """Return the largest difference, relative to the largest finite element of `wanted`.

    Parameters
    ----------
    got, wanted : array
    least : float
        The least that the difference is taken relative to.

    Returns
    -------
    float
        Infinite where the shapes, the kinds of numbers, or NaN and infinities differ.

    Examples
    --------
    >>> relative_error(numpy.array([1.0, 4.5]), numpy.array([1.0, 4.0]))
    0.125
    """
    if got.shape != wanted.shape or (got.dtype.kind == "f") != (wanted.dtype.kind == "f"):
        return math.inf
    largest = max(least, _size(wanted))
    got, wanted = got.astype(numpy.float64), wanted.astype(numpy.float64)
    finite = numpy.isfinite(wanted)
    if not numpy.array_equal(got[~finite], wanted[~finite], equal_nan=True):
        return math.inf
    difference = float(numpy.max(numpy.abs(got[finite] - wanted[finite]), initial=0.0))
    if not difference:
        return 0.0
    return difference / largest if largest and difference < math.inf else math.inf


def _size(array: NDArray[Any]) -> float:
    """Return the largest finite element; of truth values, 1."""
    if array.dtype.kind == "b":
        return 1.0
    finite = numpy.abs(array[numpy.isfinite(array)], dtype=numpy.float64)
    return float(numpy.max(finite, initial=0.0))


def compare(name: str, cases: Iterable[tuple[str, Run]], device: str, dtype: str) -> Check:
    """Compare each case on a device with the reference.

    Parameters
    ----------
    name : str
        Of the check.
    cases : iterable of (str, callable)
        A name, and a function that computes arrays at a place.
    device : str
    dtype : {"float32", "float64"}
    """
    check = Check(f"{name}, {dtype}", tolerance=TOLERANCES[dtype])
    rounded = numpy.dtype(dtype)
    oracle, place = Place("cpu", numpy.dtype("float64"), rounded), Place(device, rounded, rounded)
    with check.timed():
        for case, run in cases:
            with check.case(case), numpy.errstate(all="ignore"):
                with use_kernels("reference"):
                    wanted = run(oracle)
                got = run(place)
                if got.keys() != wanted.keys():
                    check.fail(f"gave {', '.join(got) or 'nothing'}; it should be {', '.join(wanted)}")
                    continue
                least = SMALL * max(map(_size, wanted.values()), default=0.0)
                for part, array in wanted.items():
                    check.enter(part, relative_error(got[part], array, least))
    return check


def compare_bits(name: str, cases: Iterable[tuple[str, Run]], device: str) -> Check:
    """Compute each case twice in float32 and compare bit for bit."""
    check = Check(name)
    place = Place(device, numpy.dtype("float32"), numpy.dtype("float32"))
    with check.timed():
        for case, run in cases:
            with check.case(case), numpy.errstate(all="ignore"):
                first, second = run(place), run(place)
                for part in first:
                    if first[part].tobytes() != second[part].tobytes():
                        check.fail("two runs differ in their bits", part)
    return check


# --- What is computed ------------------------------------------------------------------------


def calls(table: Iterable[Call]) -> Iterator[tuple[str, Run]]:
    """Yield each row of a table of operations: its outputs, and the gradients of a weighted sum of them."""
    for call in table:
        yield str(call), partial(_run_call, call)


def _run_call(call: Call, place: Place) -> Arrays:
    leaves = [Tensor(place.put(numpy.asarray(a)), requires_grad=True) for a in call.arrays()]
    settings = {name: place.put(value) for name, value in call.settings.items()}
    outputs = outputs_of(call.operation(*leaves, **settings))
    found = {f"output {i}" if i else "value": to_host(out._data) for i, out in enumerate(outputs)}
    if call.keeps_dtype and any(array.dtype != place.dtype for array in found.values()):
        raise TypeError(f"{place.dtype} became {', '.join(str(array.dtype) for array in found.values())}")
    if call.differentiable:
        _weighted_sum(outputs, place).backward()
        found |= _gradients(enumerate(leaves), "input")
    return found


def _weighted_sum(outputs: list[Any], place: Place) -> Any:
    """Combine all outputs into one number, with weights that are the same every time."""
    rng = numpy.random.default_rng(3)
    weights = [Tensor(place.put(numpy.asarray(rng.standard_normal(out.shape)))) for out in outputs]
    return sum((out * w.astype(out.dtype)).sum() for out, w in zip(outputs, weights, strict=True))


def _gradients(leaves: Iterable[tuple[Any, Any]], kind: str) -> Arrays:
    found = {}
    for name, leaf in leaves:
        gradient = leaf._grad
        if gradient is not None:
            dense = gradient.to_dense() if isinstance(gradient, RowSparse) else gradient
            found[f"gradient of {kind} {name}"] = to_host(dense)
    return found


def layers(table: Iterable[Layer]) -> Iterator[tuple[str, Run]]:
    """Yield each row of a table of layers: output, gradients, and the buffers that it leaves."""
    for layer in table:
        yield str(layer), partial(_run_layer, layer)


def _run_layer(layer: Layer, place: Place) -> Arrays:
    module = build(layer).to(place.rounded).to(place.dtype).to(place.device).train(layer.train)
    rng = numpy.random.default_rng(0)
    leaves = [Tensor(place.put(array), requires_grad=True) for array in layer.inputs(rng)]
    constants = [_constant(place.put(value)) for value in layer.constants(rng)]
    with fork_rng(0):
        out = module(*leaves, *constants)
    found = {"value": to_host(out._data)}
    if out.requires_grad:
        _weighted_sum([out], place).backward()
        found |= _gradients(enumerate(leaves), "input") | _gradients(module.named_parameters(), "parameter")
    return found | {f"buffer {name}": to_host(value._data) for name, value in module.named_buffers()}


def _constant(value: Any) -> Any:
    return value if isinstance(value, CSR) else Tensor(value)


def optimizers() -> Iterator[tuple[str, Run]]:
    """Yield every optimizer with each of its options: its parameters and moments after some steps."""
    for name, table in OPTIONS.items():
        for options in table:
            text = ", ".join(f"{key}={value}" for key, value in options.items())
            yield f"{name}({text})", partial(_run_optimizer, name, options)
    yield "adam(on_nonfinite='skip')", partial(_run_optimizer, "adam", {"on_nonfinite": "skip"})
    yield "SparseAdam()", _run_sparse_adam


SHAPES = ((60, 67), (5,), ())
"""Of the parameters; a block of a GPU takes a few hundred elements."""
STEPS = 5


def _run_optimizer(name: str, options: dict[str, Any], place: Place) -> Arrays:
    rng = numpy.random.default_rng(0)
    params = [
        Parameter(rng.standard_normal(shape).astype(place.rounded).astype(place.dtype)) for shape in SHAPES
    ]
    for p in params:
        p._data = asarray(p._data, device=place.device)
    opt = optim.build_optimizer(name, params, **options)
    for step in range(STEPS):
        for p in params:
            # They shrink, so that a maximum differs from none.
            p.grad = place.put(numpy.asarray(3 * rng.standard_normal(p.shape) / (1 + step)))
        opt.step(grad_scale=3)
    return _parameters(params, opt)


def _run_sparse_adam(place: Place) -> Arrays:
    rng = numpy.random.default_rng(0)
    with fork_rng(0):
        table = Embedding(50, 7, sparse=True).to(place.dtype).to(place.device)
    opt = optim.SparseAdam(table.parameters(), lr=0.05)
    for _ in range(STEPS):
        rows = tensor(rng.integers(0, 50, 90), device=place.device)
        opt.zero_grad()
        _weighted_sum([table(rows)], place).backward()
        opt.step()
    return _parameters(list(table.parameters()), opt)


def _parameters(params: list[Any], opt: Any) -> Arrays:
    """Return the parameters and the moments."""
    found = {f"parameter {i}": to_host(p._data) for i, p in enumerate(params)}
    for i, entry in opt.state_dict()["state"].items():
        moments = {name: numpy.asarray(value) for name, value in entry.items() if numpy.ndim(value)}
        found |= {f"{name} of parameter {i}": value for name, value in moments.items()}
    return found
