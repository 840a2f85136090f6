"""One table of every differentiable operation; the tests of operations, rules and kernels read it.

A row says how to call the operation, on what inputs, what NumPy makes of them, and what PyTorch
calls the same thing. A new operation goes into this table and is then tested in every way.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import ops
from tinygrad_adam.ops.indexing import lookup
from tinygrad_adam.primitive import PRIMITIVES, Primitive


@dataclass(frozen=True)
class Input:
    """How to draw one input: a function of a generator and a shape."""

    draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One way to call an operation.

    Attributes
    ----------
    op : str
        The public operation, or the primitive where it has no public name.
    label : str
        What is particular about this call.
    function : callable
        Takes a Tensor (or raw array) for each of `inputs`.
    inputs : tuple of Input
        Differentiable, in float64; what has no gradient is inside `function`.
    expected : callable
        The same in NumPy, independent of the package.
    torch : callable or str
        The same in PyTorch, given the module and its tensors, or why there is no such thing.
    differentiable : bool
        False where the result carries no gradient at all.
    smooth : int
        How many derivatives exist; finite differences check as many. 0 at a kink or a tie, where
        `gradient` says which subgradient is meant.
    gradient : callable, optional
        Of the arrays: the gradients of the sum of the outputs, one for each input.
    keeps_dtype : bool
        False where the result of float32 inputs is not float32 by design.
    elementwise : bool
        Whether the inputs may have any shapes that broadcast.
    """

    op: str
    label: str
    function: Callable[..., Any]
    inputs: tuple[Input, ...]
    expected: Callable[..., Any]
    torch: Callable[..., Any] | str
    differentiable: bool = True
    smooth: int = 2
    gradient: Callable[..., Any] | None = None
    keeps_dtype: bool = True
    elementwise: bool = False

    def __str__(self) -> str:
        return f"{self.op}: {self.label}" if self.label else self.op

    def arrays(self, *shapes: tuple[int, ...]) -> list[np.ndarray]:
        """Draw the inputs, in other shapes if they are given; the same ones every time."""
        rng = np.random.default_rng(zlib.crc32(str(self).encode()))
        chosen = shapes or [each.shape for each in self.inputs]
        return [each.draw(rng, shape) for each, shape in zip(self.inputs, chosen, strict=True)]

    def tensors(self, dtype: Any = np.float64) -> list[tg.Tensor]:
        """Draw the inputs as leaves that require a gradient."""
        return [tg.tensor(a, dtype=dtype, requires_grad=True) for a in self.arrays()]


CASES: list[Case] = []


def case(
    op: str,
    label: str,
    function: Callable[..., Any],
    inputs: Input | tuple[Input, ...],
    expected: Callable[..., Any],
    torch: Callable[..., Any] | str,
    **flags: Any,
) -> None:
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    CASES.append(Case(op, label, function, inputs, expected, torch, **flags))


def outputs_of(result: Any) -> list[Any]:
    """Return the outputs as a list, of one or of several."""
    return list(result) if isinstance(result, list | tuple) else [result]


def weighted(outputs: Any) -> Any:
    """Combine all outputs into one number, with weights that are the same every time."""
    rng = np.random.default_rng(3)
    return sum((out * rng.standard_normal(out.shape).astype(out.dtype)).sum() for out in outputs_of(outputs))


def value_and_gradients(
    case: Case, arrays: list[np.ndarray], reserved: bool = False
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Run the case on raw arrays as they are; return its outputs and a gradient for each input.

    With `reserved`, each gradient has a place where it must be put, as an optimizer provides it.
    """
    leaves = [tg.Tensor(a, requires_grad=True) for a in arrays]
    if reserved:
        for leaf in leaves:
            leaf._grad_buffer = np.full_like(leaf.data, np.nan)
    outputs = outputs_of(case.function(*leaves))
    if case.differentiable:
        weighted(outputs).backward()
    assert not reserved or all(leaf.grad is None or leaf.grad.data is leaf._grad_buffer for leaf in leaves)
    return [out.data for out in outputs], [leaf.grad.data for leaf in leaves if leaf.grad is not None]


def check_first_derivative(case: Case) -> None:
    """Compare the gradient with the subgradient that the case names, and with finite differences."""
    if case.gradient is not None:
        leaves = case.tensors()
        sum(3 * out.sum() for out in outputs_of(case.function(*leaves))).backward()
        for leaf, wanted in zip(leaves, case.gradient(*case.arrays()), strict=True):
            np.testing.assert_allclose(leaf.grad.data, 3 * np.asarray(wanted), rtol=1e-12, atol=1e-12)
    if case.smooth >= 1:
        tg.gradcheck(case.function, case.tensors(), atol=1e-6, rtol=1e-6)


def check_reserved_places(case: Case) -> None:
    """Compare gradients that are put into a reserved place with those that are not."""
    arrays = case.arrays()
    _, gradients = value_and_gradients(case, arrays, reserved=True)
    for got, wanted in zip(gradients, value_and_gradients(case, arrays)[1], strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)


def check_second_derivative(case: Case) -> None:
    """Compare the gradient of the gradient with finite differences of the gradient."""
    if case.smooth >= 2:
        tg.gradgradcheck(case.function, case.tensors(), atol=1e-6, rtol=1e-6)


def public_operations() -> set[str]:
    """Name what `tinygrad_adam.ops` offers."""
    return {
        name
        for name, value in vars(ops).items()
        if callable(value) and (value.__module__ or "").startswith(f"{ops.__name__}.")
    }


@cache
def exercised(case: Case) -> tuple[set[str], set[str]]:
    """Name the primitives that the first derivative goes through, and those of the first two.

    Read off what the case calls with an input that needs a gradient, so the table cannot claim
    what it does not do. Primitives without rules count wherever they are called.
    """
    names: set[str] = set()
    original = Primitive.__call__

    def recording(primitive: Any, *args: Any, **static: Any) -> Any:
        if not primitive.rules or any(getattr(arg, "requires_grad", False) for arg in args):
            names.add(primitive.__name__)
        return original(primitive, *args, **static)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Primitive, "__call__", recording)
        outputs = outputs_of(case.function(*case.tensors()))
        first = set(names)
        if case.differentiable and case.smooth >= 2:
            weighted(outputs).backward(create_graph=True)
    return first, names


# --- Inputs ----------------------------------------------------------------------------------


def normal(*shape: int) -> Input:
    return Input(lambda rng, shape: rng.standard_normal(shape), shape)


def between(low: float, high: float, *shape: int) -> Input:
    return Input(lambda rng, shape: rng.uniform(low, high, shape), shape)


def positive(*shape: int) -> Input:
    return between(0.3, 2.5, *shape)


def away(*shape: int) -> Input:
    """Both signs, but not near zero."""
    return Input(lambda rng, shape: rng.choice([-1.0, 1.0], shape) * rng.uniform(0.3, 2.0, shape), shape)


def distinct(*shape: int) -> Input:
    """No two elements near each other, none near zero."""
    return Input(lambda rng, shape: (rng.permutation(math.prod(shape)).reshape(shape) - 2.5) * 0.4, shape)


def fixed(values: Any) -> Input:
    array = np.asarray(values, dtype=float)
    return Input(lambda rng, shape: array.copy(), array.shape)


# --- How to call PyTorch, which is imported only when its tests run ---------------------------


def _functional(name: str, **settings: Any) -> Callable[..., Any]:
    return lambda torch, *tensors: getattr(torch.nn.functional, name)(*tensors, **settings)


def _named(name: str, *args: Any, **settings: Any) -> Callable[..., Any]:
    return lambda torch, *tensors: getattr(torch, name)(*tensors, *args, **settings)


NO_GRADIENT = "carries no gradient; NumPy is the reference"

# --- Functions of one element ----------------------------------------------------------------


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


_erf = np.vectorize(math.erf, otypes=[float])


for _name, _input, _expected in [
    ("negative", normal(3, 4), lambda x: 0 - x),
    ("abs", away(3, 4), np.abs),
    ("exp", normal(3, 4), np.exp),
    ("expm1", normal(3, 4), np.expm1),
    ("log", positive(3, 4), np.log),
    ("log1p", between(-0.7, 2, 3, 4), np.log1p),
    ("sqrt", positive(3, 4), np.sqrt),
    ("square", normal(3, 4), np.square),
    ("reciprocal", away(3, 4), lambda x: 1 / x),
    ("sin", normal(3, 4), np.sin),
    ("cos", normal(3, 4), np.cos),
    ("tan", between(-1.2, 1.2, 3, 4), np.tan),
    ("arctan", normal(3, 4), np.arctan),
    ("sinh", normal(3, 4), np.sinh),
    ("cosh", normal(3, 4), np.cosh),
    ("tanh", normal(3, 4), np.tanh),
    ("sign", away(3, 4), np.sign),
    ("zeros_like", normal(3, 4), np.zeros_like),
    ("erf", between(-5, 5, 4, 5), _erf),
]:
    case(_name, "", getattr(tg, _name), _input, _expected, _named(_name), elementwise=True)

for _name, _expected in [
    ("sigmoid", _sigmoid),
    ("relu", lambda x: np.where(x > 0, x, 0)),
    ("leaky_relu", lambda x: np.where(x > 0, x, 0.01 * x)),
    ("elu", lambda x: np.where(x > 0, x, np.exp(x) - 1)),
    ("softplus", lambda x: np.log(1 + np.exp(x))),
    ("silu", lambda x: x * _sigmoid(x)),
    ("gelu", lambda x: x * 0.5 * (1 + _erf(x / math.sqrt(2)))),
]:
    case(_name, "", getattr(tg, _name), normal(3, 4), _expected, _functional(_name), elementwise=True)

for _name, _expected in [("sigmoid", _sigmoid), ("tanh", np.tanh), ("softplus", lambda x: np.maximum(x, 0))]:
    case(_name, "far out", getattr(tg, _name), fixed([-40.0, 40.0]), _expected, _functional(_name))

case("abs", "at zero", tg.abs, fixed([-1.0, 0.0, 2.0]), np.abs, _named("abs"), smooth=0,
     gradient=lambda x: [[-1, 0, 1]])  # fmt: skip
case("sign", "at zero", tg.sign, fixed([-1.0, 0.0, 2.0]), np.sign, _named("sign"), smooth=0,
     gradient=lambda x: [[0, 0, 0]])  # fmt: skip
case("relu", "at zero", tg.relu, fixed([-1.0, 0.0, 2.0]), lambda x: np.array([0, 0, 2.0]),
     _functional("relu"), smooth=0, gradient=lambda x: [[0, 0, 1]])  # fmt: skip
case("leaky_relu", "at zero, slope", partial(tg.leaky_relu, negative_slope=0.2), fixed([-1.0, 0.0, 2.0]),
     lambda x: np.array([-0.2, 0, 2]), _functional("leaky_relu", negative_slope=0.2),
     smooth=0, gradient=lambda x: [[0.2, 0.2, 1]])  # fmt: skip
case("leaky_relu", "slope", partial(tg.leaky_relu, negative_slope=0.3), normal(4),
     lambda x: np.where(x > 0, x, 0.3 * x), _functional("leaky_relu", negative_slope=0.3))  # fmt: skip
case("elu", "at zero, alpha", partial(tg.elu, alpha=1.5), fixed([-1.0, 0.0, 2.0]),
     lambda x: np.array([1.5 * math.expm1(-1), 0, 2]), _functional("elu", alpha=1.5),
     smooth=0, gradient=lambda x: [[1.5 * math.exp(-1), 1.5, 1]])  # fmt: skip
case("elu", "alpha", partial(tg.elu, alpha=0.7), normal(5),
     lambda x: np.where(x > 0, x, 0.7 * (np.exp(x) - 1)), _functional("elu", alpha=0.7))  # fmt: skip
case("elu", "far out", tg.elu, fixed([-800.0, 800.0]), lambda x: np.array([-1.0, 800.0]), _functional("elu"))
case("gelu", "tanh", partial(tg.gelu, approximate="tanh"), normal(3, 4),
     lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
     _functional("gelu", approximate="tanh"), elementwise=True)  # fmt: skip
case("astype", "", partial(tg.astype, dtype=np.float64), normal(3, 4), lambda x: x,
     lambda torch, x: x.to(torch.float64), keeps_dtype=False, elementwise=True)  # fmt: skip
case("isfinite", "", tg.isfinite, fixed([0.0, np.inf, -np.inf, np.nan]),
     lambda x: np.array([True, False, False, False]), NO_GRADIENT,
     differentiable=False, keeps_dtype=False)  # fmt: skip
for _label, _settings in [("both", {"min": -0.5, "max": 0.7}), ("min", {"min": 0.1}), ("max", {"max": 0.1})]:
    case("clip", _label, partial(tg.clip, **_settings), normal(3, 4),
         lambda x, s=_settings: np.minimum(np.maximum(x, s.get("min", -np.inf)), s.get("max", np.inf)),
         _named("clamp", **_settings), elementwise=True)  # fmt: skip
case("clip", "on the bounds", lambda x: tg.clip(x, -1.0, 2.0), fixed([-2.0, -1.0, 0.5, 2.0, 3.0]),
     lambda x: np.array([-1, -1, 0.5, 2, 2.0]), _named("clamp", -1.0, 2.0),
     smooth=0, gradient=lambda x: [[0, 1, 1, 1, 0]])  # fmt: skip
for _p in (0.0, 0.3, 0.9):
    case("dropout", f"p={_p}", partial(tg.dropout, p=_p, key=7), away(3, 5),
         lambda x, p=_p: dropped(x, p, 7), "PyTorch draws other masks", elementwise=True)  # fmt: skip


def dropped(x: np.ndarray, p: float, key: int) -> np.ndarray:
    """Apply dropout with SplitMix64 as published, in Python's integers."""
    word = 2**64 - 1
    out = np.zeros(x.size)
    for i in range(x.size):
        z = (key + (i + 1) * 0x9E3779B97F4A7C15) & word
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & word
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & word
        z ^= z >> 31
        if (z >> 32) / 2**32 >= int(p * 2**32) / 2**32:
            out[i] = x.reshape(-1)[i] / (1 - p)
    return out.reshape(x.shape)


# --- Functions of two elements ---------------------------------------------------------------

for _name, _inputs, _expected, _torch in [
    ("add", (normal(3, 4), normal(3, 4)), lambda a, b: a + b, _named("add")),
    ("subtract", (normal(3, 4), normal(3, 4)), lambda a, b: a - b, _named("subtract")),
    ("multiply", (normal(3, 4), normal(3, 4)), lambda a, b: a * b, _named("multiply")),
    ("divide", (normal(3, 4), away(3, 4)), lambda a, b: a / b, _named("divide")),
    ("power", (positive(3, 4), normal(3, 4)), lambda a, b: a**b, _named("pow")),
    ("maximum", (normal(3, 4), normal(3, 4)), np.maximum, _named("maximum")),
    ("minimum", (normal(3, 4), normal(3, 4)), np.minimum, _named("minimum")),
    ("floor_divide", (normal(3, 4), away(3, 4)), lambda a, b: np.floor(a / b), "has no gradient in PyTorch"),
    ("remainder", (normal(3, 4), away(3, 4)), lambda a, b: a - b * np.floor(a / b), _named("remainder")),
]:
    _function = getattr(tg, _name)
    case(_name, "", _function, _inputs, _expected, _torch, elementwise=True)
    _kinds = [each.draw for each in _inputs]
    for _label, _shapes in [("(3, 1) and (4,)", ((3, 1), (4,))), ("() and (2, 3)", ((), (2, 3)))]:
        _drawn = tuple(Input(kind, shape) for kind, shape in zip(_kinds, _shapes, strict=True))
        case(_name, _label, _function, _drawn, _expected, _torch)

case("add", "one input twice", lambda a: tg.add(a, a), normal(3), lambda a: 2 * a, lambda torch, a: a + a)
case("multiply", "one input twice", lambda a: tg.multiply(a, a), normal(3), np.square, lambda torch, a: a * a)
case("subtract", "from a number", lambda a: tg.subtract(2.0, a), normal(3), lambda a: 2 - a,
     lambda torch, a: 2.0 - a)  # fmt: skip
case("divide", "a number", lambda a: tg.divide(2.0, a), away(3), lambda a: 2 / a, lambda torch, a: 2.0 / a)
for _exponent in (2, 3, 0.5, -1, 1, 0):
    case("power", f"of {_exponent}", lambda a, n=_exponent: tg.power(a, n), positive(2, 3),
         lambda a, n=_exponent: a**n, _named("pow", _exponent))  # fmt: skip
case("power", "of a number", lambda b: tg.power(2.0, b), normal(4), lambda b: 2**b,
     lambda torch, b: torch.pow(2.0, b))  # fmt: skip
case("power", "exponents with zero", tg.power, (positive(3), fixed([0.0, 1.0, 2.0])), lambda a, b: a**b,
     _named("pow"))  # fmt: skip
case("power", "negative base", lambda a: tg.power(a, 3), away(4), lambda a: a * a * a,
     _named("pow", 3))  # fmt: skip
case("power", "integer exponents as an array", lambda a: tg.power(a, np.array([2, 3, 0])), away(3),
     lambda a: a ** np.array([2, 3, 0]), lambda torch, a: torch.pow(a, torch.tensor([2, 3, 0])),
     keeps_dtype=False)  # fmt: skip
case("power", "at zero", tg.power, (fixed([0.0, 0.0, 0.0, 2.0]), fixed([0.0, 1.0, 2.0, 0.0])),
     lambda a, b: np.array([1.0, 0.0, 0.0, 1.0]), _named("pow"), smooth=0,
     gradient=lambda a, b: ([0, 1, 0, 0], [0, 0, 0, math.log(2)]))  # fmt: skip
case("power", "zero to the number zero", lambda a: tg.power(a, 0), fixed([0.0, 1.0]),
     lambda a: np.ones(2), _named("pow", 0), smooth=0,
     gradient=lambda a: [[0, 0]])  # fmt: skip
case("maximum", "and a number", lambda a: tg.maximum(a, 0.1), normal(5), lambda a: np.maximum(a, 0.1),
     lambda torch, a: torch.clamp(a, min=0.1))  # fmt: skip
case("maximum", "ties", tg.maximum, (fixed([1.0, 2.0, 3.0]), fixed([1.0, 0.0, 5.0])),
     lambda a, b: np.array([1.0, 2.0, 5.0]), _named("maximum"), smooth=0,
     gradient=lambda a, b: ([0.5, 1, 0], [0.5, 0, 1]))  # fmt: skip
case("minimum", "ties", tg.minimum, (fixed([1.0, 2.0, 3.0]), fixed([1.0, 0.0, 5.0])),
     lambda a, b: np.array([1.0, 0.0, 3.0]), _named("minimum"), smooth=0,
     gradient=lambda a, b: ([0.5, 0, 1], [0.5, 1, 0]))  # fmt: skip

_MASK = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, False]])
case("where", "", lambda a, b: tg.where(_MASK, a, b), (normal(3, 4), normal(3, 4)),
     lambda a, b: np.where(_MASK, a, b),
     lambda torch, a, b: torch.where(torch.from_numpy(_MASK), a, b))  # fmt: skip
case("where", "broadcast", lambda a, b: tg.where(_MASK[:, :1], a, b), (normal(4), normal(3, 1)),
     lambda a, b: np.where(_MASK[:, :1], a, b),
     lambda torch, a, b: torch.where(torch.from_numpy(_MASK[:, :1]), a, b))  # fmt: skip
case("where", "and a number", lambda a: tg.where(_MASK, 0.0, a), normal(3, 4), lambda a: a * ~_MASK,
     lambda torch, a: a * torch.from_numpy(~_MASK))  # fmt: skip
case("where", "by comparison", lambda a: tg.where(a > 0, a, a * a), away(3, 4),
     lambda a: np.where(a > 0, a, a**2), lambda torch, a: torch.where(a > 0, a, a * a))  # fmt: skip

for _name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
    case(_name, "", getattr(tg, _name), (fixed([1.0, 2.0, 3.0]), fixed([2.0, 2.0, 2.0])),
         getattr(np, _name), NO_GRADIENT, differentiable=False, keeps_dtype=False)  # fmt: skip

# --- Softmax and its relatives ---------------------------------------------------------------


def _softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


for _axis in (-1, 0, 1):
    case("softmax", f"axis {_axis}", partial(tg.softmax, axis=_axis), normal(3, 4, 2),
         partial(_softmax, axis=_axis), _functional("softmax", dim=_axis))  # fmt: skip
    case("log_softmax", f"axis {_axis}", partial(tg.log_softmax, axis=_axis), normal(3, 4, 2),
         lambda x, axis=_axis: np.log(_softmax(x, axis)), _functional("log_softmax", dim=_axis))  # fmt: skip
case("softmax", "no rows", tg.softmax, normal(0, 3), lambda x: x, _functional("softmax", dim=-1))
case("log_softmax", "no rows", tg.log_softmax, normal(0, 3), lambda x: x, _functional("log_softmax", dim=-1))
case("softmax", "large", tg.softmax, fixed([[900.0, 901.0]]), _softmax, _functional("softmax", dim=-1))
case("log_softmax", "large", tg.log_softmax, fixed([[900.0, 902.0]]), lambda x: np.log(_softmax(x)),
     _functional("log_softmax", dim=-1))  # fmt: skip

# --- Reductions ------------------------------------------------------------------------------

_AXES: list[Any] = [None, 0, 1, -1, (0, 2), (-1, 0), (0, 1, 2)]


def _torch_reduction(name: str, axis: Any, keepdims: bool, **settings: Any) -> Callable[..., Any]:
    def apply(torch: Any, x: Any) -> Any:
        axes = tuple(range(x.ndim)) if axis is None else axis
        return getattr(torch, name)(x, dim=axes, keepdim=keepdims, **settings)

    return apply


def _torch_prod(axis: Any, keepdims: bool) -> Callable[..., Any]:
    def apply(torch: Any, x: Any) -> Any:
        axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
        for each in axes:
            x = torch.prod(x, each, keepdim=True)
        return x if keepdims else x.squeeze(tuple(axes)) if axes else x

    return apply


def _logsumexp(x: np.ndarray, axis: Any = None, keepdims: bool = False) -> np.ndarray:
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


for _name, _input, _expected, _torch in [
    ("sum", normal(2, 3, 4), np.sum, lambda a, k: _torch_reduction("sum", a, k)),
    ("mean", normal(2, 3, 4), np.mean, lambda a, k: _torch_reduction("mean", a, k)),
    ("var", normal(2, 3, 4), np.var, lambda a, k: _torch_reduction("var", a, k, correction=0)),
    ("std", normal(2, 3, 4), np.std, lambda a, k: _torch_reduction("std", a, k, correction=0)),
    ("max", distinct(2, 3, 4), np.max, lambda a, k: _torch_reduction("amax", a, k)),
    ("min", distinct(2, 3, 4), np.min, lambda a, k: _torch_reduction("amin", a, k)),
    ("prod", away(2, 3, 4), np.prod, _torch_prod),
    ("logsumexp", normal(2, 3, 4), _logsumexp, lambda a, k: _torch_reduction("logsumexp", a, k)),
]:
    for _axis in _AXES:
        for _keep in (False, True):
            _settings = {"axis": _axis, "keepdims": _keep}
            case(_name, f"axis {_axis}{', kept' * _keep}",
                 partial(getattr(tg, _name), **_settings), _input, partial(_expected, **_settings),
                 _torch(_axis, _keep))  # fmt: skip
    case(_name, "0-d", getattr(tg, _name), Input(_input.draw, ()), _expected, _torch(None, False),
         smooth=1 if _name == "std" else 2,
         gradient=(lambda x: [0.0]) if _name in ("var", "std") else None)  # fmt: skip
for _name in ("sum", "max"):
    case(_name, "0-d, axis 0", partial(getattr(tg, _name), axis=0), normal(),
         partial(getattr(np, _name), axis=0), "NumPy is the reference")  # fmt: skip
for _name, _expected in [("sum", np.sum), ("prod", np.prod)]:
    case(_name, "no elements", getattr(tg, _name), normal(0, 3), _expected,
         _named(_name))  # fmt: skip
    case(_name, "no elements along the axis", partial(getattr(tg, _name), axis=0), normal(0, 3),
         partial(_expected, axis=0), _named(_name, dim=0))  # fmt: skip
for _name, _expected in [("mean", np.mean), ("max", np.max), ("prod", np.prod), ("logsumexp", _logsumexp)]:
    case(_name, "no rows", partial(getattr(tg, _name), axis=1), normal(0, 3),
         lambda x: np.zeros(0), "NumPy is enough for nothing")  # fmt: skip
for _name, _expected in [("var", np.var), ("std", np.std)]:
    for _axis in (None, 1, (0, 2)):
        case(_name, f"axis {_axis}, ddof 1", partial(getattr(tg, _name), axis=_axis, ddof=1),
             normal(2, 3, 4), partial(_expected, axis=_axis, ddof=1),
             _torch_reduction(_name, _axis, False, correction=1))  # fmt: skip
case("std", "of equal elements", tg.std, fixed([2.0, 2.0, 2.0]), lambda x: np.zeros(()), _named("std"),
     smooth=0, gradient=lambda x: [[0, 0, 0]])  # fmt: skip
for _name, _values, _value in [("max", [1.0, 3.0, 3.0, 3.0], 3.0), ("min", [1.0, 0.5, 0.5, 0.5], 0.5)]:
    case(_name, "ties of three", getattr(tg, _name), fixed(_values), lambda x, v=_value: np.array(v),
         _named(f"a{_name}"), smooth=0,
         gradient=lambda x: [[0, 1 / 3, 1 / 3, 1 / 3]])  # fmt: skip
    case(_name, "ties in a row", partial(getattr(tg, _name), axis=1, keepdims=True),
         fixed([[2.0, 2.0, 2.0], [1.0, 1.0, 2.0]]), partial(getattr(np, _name), axis=1, keepdims=True),
         _torch_reduction(f"a{_name}", 1, True), smooth=0,
         gradient=lambda x, name=_name: [[[1 / 3] * 3, [0, 0, 1] if name == "max" else [0.5, 0.5, 0]]],
    )  # fmt: skip
for _zeros in range(4):
    _values = [0.0] * _zeros + [1.5, -2.0, 0.7, 3.0, -1.1][_zeros:]
    case("prod", f"{_zeros} zeros", tg.prod, fixed(_values), np.prod, _named("prod"))
case("prod", "rows with zeros", partial(tg.prod, axis=1),
     fixed([[1.0, 0.0, 3.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0], [4.0, 5.0, 6.0]]),
     partial(np.prod, axis=1), _torch_prod(1, False))  # fmt: skip
case("prod", "one element", tg.prod, normal(1), np.prod, _named("prod"))
case("prod", "seven elements", tg.prod, away(7), np.prod, _named("prod"))
case("logsumexp", "large", tg.logsumexp, fixed([900.0, 901.0]),
     lambda x: np.array(901 + math.log1p(math.exp(-1))), _named("logsumexp", 0))  # fmt: skip
case("logsumexp", "with minus infinity", tg.logsumexp, fixed([-np.inf, 1.0, 2.0]), _logsumexp,
     _named("logsumexp", 0), smooth=0,
     gradient=lambda x: [[0, *(_softmax(x[1:]))]])  # fmt: skip


def _norm(x: np.ndarray, order: float, axis: Any, keepdims: bool) -> np.ndarray:
    if order == math.inf:
        return np.max(np.abs(x), axis=axis, keepdims=keepdims)
    return np.sum(np.abs(x) ** order, axis=axis, keepdims=keepdims) ** (1 / order)


for _order in (1, 2, 3, 1.5, math.inf):
    for _axis, _keep in [(None, False), (1, False), ((0, -1), True)]:
        _settings = {"axis": _axis, "keepdims": _keep}
        case("norm", f"order {_order}, axis {_axis}", partial(tg.norm, ord=_order, **_settings),
             distinct(2, 3, 2), partial(_norm, order=_order, **_settings),
             lambda torch, x, o=_order, a=_axis, k=_keep: torch.linalg.vector_norm(x, o, dim=a, keepdim=k),
        )  # fmt: skip
case("norm", "at zero", tg.norm, fixed([0.0, 0.0]), lambda x: np.zeros(()), _named("norm"), smooth=0,
     gradient=lambda x: [[0, 0]])  # fmt: skip
case("norm", "order inf, ties", partial(tg.norm, ord=math.inf), fixed([2.0, -2.0, 1.0]),
     lambda x: np.array(2.0), lambda torch, x: torch.linalg.vector_norm(x, math.inf), smooth=0,
     gradient=lambda x: [[0.5, -0.5, 0]])  # fmt: skip


for _axis in (None, 0, 1, -1):
    case("cumsum", f"axis {_axis}", partial(tg.cumsum, axis=_axis), normal(3, 4),
         partial(np.cumsum, axis=_axis),
         lambda torch, x, axis=_axis: torch.cumsum(x.flatten() if axis is None else x, axis or 0),
    )  # fmt: skip
case("cumsum", "0-d", tg.cumsum, normal(), lambda x: x[None], lambda torch, x: torch.cumsum(x.flatten(), 0))
case("cumsum", "no elements", tg.cumsum, normal(0), lambda x: x, _named("cumsum", 0))
for _name in ("argmax", "argmin"):
    for _settings in ({}, {"axis": 0}, {"axis": -1, "keepdims": True}):
        case(_name, str(_settings), partial(getattr(tg, _name), **_settings), distinct(3, 4),
             partial(getattr(np, _name), **_settings), NO_GRADIENT,
             differentiable=False, keeps_dtype=False)  # fmt: skip

# --- Shapes ----------------------------------------------------------------------------------


def _sizes(shape: Any) -> Any:
    return (shape,) if isinstance(shape, int) else shape


for _label, _shape in [("", (4, 3)), ("inferred", (2, -1)), ("to one axis", -1), ("more axes", (1, 3, 2, 2))]:
    case("reshape", _label, partial(tg.reshape, shape=_shape), normal(3, 4),
         lambda x, s=_shape: np.reshape(x, s), _named("reshape", _sizes(_shape)))  # fmt: skip
case("reshape", "no elements", partial(tg.reshape, shape=(2, 0, 3)), normal(0, 5),
     lambda x: x.reshape(2, 0, 3), _named("reshape", (2, 0, 3)))  # fmt: skip
case("reshape", "to 0-d", partial(tg.reshape, shape=()), normal(1, 1), lambda x: x[0, 0],
     _named("reshape", ()))  # fmt: skip


for _axes in (None, (2, 0, 1), (0, 2, 1), (-1, 0, -2)):
    case("transpose", f"axes {_axes}", partial(tg.transpose, axes=_axes), normal(2, 3, 4),
         partial(np.transpose, axes=_axes), _named("permute", _axes or (2, 1, 0)))  # fmt: skip
for _pair in [(0, 2), (-1, 1), (1, 1)]:
    case("swapaxes", f"{_pair}", lambda x, p=_pair: tg.swapaxes(x, *p), normal(2, 3, 4),
         lambda x, p=_pair: np.swapaxes(x, *p), _named("swapaxes", *_pair))  # fmt: skip
for _pair in [(0, 2), (-1, 0), ((0, 1), (2, 0)), ((2, 0), (0, 1))]:
    case("moveaxis", f"{_pair}", lambda x, p=_pair: tg.moveaxis(x, *p), normal(2, 3, 4),
         lambda x, p=_pair: np.moveaxis(x, *p), _named("movedim", *_pair))  # fmt: skip
for _axis in (None, 0, -1, (0, 2)):
    case("squeeze", f"axis {_axis}", partial(tg.squeeze, axis=_axis), normal(1, 3, 1),
         partial(np.squeeze, axis=_axis), _named("squeeze", *([] if _axis is None else [_axis])))  # fmt: skip
for _axis in (0, 1, -1, (0, 2), (-1, 0)):
    case("expand_dims", f"axis {_axis}", partial(tg.expand_dims, axis=_axis), normal(2, 3),
         partial(np.expand_dims, axis=_axis),
         "PyTorch inserts one axis at a time" if isinstance(_axis, tuple) else
         _named("unsqueeze", _axis))  # fmt: skip
for _from, _to in [
    ((3, 1), (3, 4)), ((4,), (2, 3, 4)), ((), (2, 2)), ((1, 3), (0, 3)), ((2, 1, 3), (2, 4, 3)),
]:  # fmt: skip
    case("broadcast_to", f"{_from} to {_to}", partial(tg.broadcast_to, shape=_to), normal(*_from),
         partial(np.broadcast_to, shape=_to), _named("broadcast_to", _to))  # fmt: skip
for _axis in (None, 0, -1, (0, 2)):
    _all = (0, 1, 2) if _axis is None else _axis if isinstance(_axis, tuple) else (_axis,)
    case("flip", f"axis {_axis}", partial(tg.flip, axis=_axis), normal(2, 3, 4),
         partial(np.flip, axis=_axis), _named("flip", _all))  # fmt: skip
for _shift, _axis in [(2, None), (-1, 0), (1, 1), ((1, 2), (0, 1)), ((1, -1), (1, 1)), (np.int64(1), 0)]:
    case("roll", f"by {_shift}, axis {_axis}", partial(tg.roll, shift=_shift, axis=_axis), normal(3, 4),
         partial(np.roll, shift=_shift, axis=_axis),
         _named("roll", _shift if isinstance(_shift, tuple) else int(_shift), _axis))  # fmt: skip
for _axis in (0, 1, -1):
    _shapes = [[2, 3], [2, 3], [2, 3]]
    for _n, _each in enumerate(_shapes, 1):
        _each[_axis] = _n
    case("concatenate", f"axis {_axis}", lambda *a, axis=_axis: tg.concatenate(a, axis),
         tuple(normal(*each) for each in _shapes), lambda *a, axis=_axis: np.concatenate(a, axis),
         lambda torch, *a, axis=_axis: torch.cat(a, axis))  # fmt: skip
    case("stack", f"axis {_axis}", lambda *a, axis=_axis: tg.stack(a, axis), (normal(2, 3), normal(2, 3)),
         lambda *a, axis=_axis: np.stack(a, axis),
         lambda torch, *a, axis=_axis: torch.stack(a, axis))  # fmt: skip
case("concatenate", "one of them constant, one empty",
     lambda a, b: tg.concatenate([np.ones((1, 2), a.dtype), a, b]), (normal(2, 2), normal(0, 2)),
     lambda a, b: np.concatenate([np.ones((1, 2)), a, b]),
     lambda torch, a, b: torch.cat([torch.ones(1, 2, dtype=a.dtype), a, b]))  # fmt: skip
case("concatenate", "one array twice", lambda a: tg.concatenate([a, a], axis=1), normal(2, 2),
     lambda a: np.concatenate([a, a], 1), lambda torch, a: torch.cat([a, a], 1))  # fmt: skip
case("stack", "0-d", lambda *a: tg.stack(a), (normal(), normal()), lambda *a: np.stack(a),
     lambda torch, *a: torch.stack(a))  # fmt: skip
for _how, _axis in [(2, 0), (3, -1), ([1, 3], 0), ([2], 1)]:
    case("split", f"{_how}, axis {_axis}", lambda x, h=_how, a=_axis: tg.split(x, h, a), normal(4, 3),
         lambda x, h=_how, a=_axis: np.split(x, h, a), _named("tensor_split", _how, _axis))  # fmt: skip
case("split", "no elements", lambda x: tg.split(x, 2), normal(0, 3), lambda x: np.split(x, 2),
     _named("tensor_split", 2))  # fmt: skip
for _width, _torch_width in [
    (1, (1, 1, 1, 1)),
    ((1, 2), (1, 2, 1, 2)),
    (((0, 2), (1, 0)), (1, 0, 0, 2)),
    (((2, 1),), (2, 1, 2, 1)),
]:
    case("pad", f"{_width}", partial(tg.pad, pad_width=_width, constant_values=3.0), normal(2, 3),
         partial(np.pad, pad_width=_width, constant_values=3.0),
         _functional("pad", pad=_torch_width, value=3.0))  # fmt: skip
case("pad", "with zeros", partial(tg.pad, pad_width=((1, 0),)), normal(3),
     lambda x: np.append(0, x), _functional("pad", pad=(1, 0)))  # fmt: skip
for _repeats, _axis in [(2, None), (3, 0), (2, -1), ([1, 0, 2], 1), (0, 0)]:
    case("repeat", f"{_repeats}, axis {_axis}", partial(tg.repeat, repeats=_repeats, axis=_axis),
         normal(2, 3), partial(np.repeat, repeats=_repeats, axis=_axis),
         lambda torch, x, r=_repeats, a=_axis: torch.repeat_interleave(
             x, torch.tensor(r), **({} if a is None else {"dim": a}))
    )  # fmt: skip
for _reps in (2, (2, 3), (1, 1), (2, 1, 2), (0, 1)):
    case("tile", f"{_reps}", partial(tg.tile, reps=_reps), normal(2, 3), partial(np.tile, reps=_reps),
         _named("tile", _sizes(_reps)))  # fmt: skip

# --- Indices ---------------------------------------------------------------------------------


def _torch_index(torch: Any, index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_torch_index(torch, part) for part in index)
    return torch.tensor(index) if isinstance(index, list | np.ndarray | np.generic) else index


_ROWS = np.array([[0, 2], [2, 2]])
for _index in [
    1, -1, slice(1, 3), slice(None, None, 2), (slice(None), 1), (Ellipsis, 0), (0, Ellipsis, slice(1)), None,
    (slice(None), None, 2), (), Ellipsis, slice(2, 2), np.int64(1), (np.int64(2), slice(None), 1),
    [0, 0, 2], [-1, 0, -1], (slice(None), [3, 3, 1]), ([0, 1, 0], [2, 2, 2]), ([0, 0], slice(None), [1, 1]),
    _ROWS, (_ROWS, 1), (0, [1, 1]), (slice(1), [0, 2, 2], None), _MASK, (slice(None), _MASK[0]), [],
    np.array([True, False, True]), (np.array([True, True, False]), [0, 0]), np.zeros((3, 4), bool), True,
]:  # fmt: skip
    case("getitem", repr(_index).replace("\n", ""), lambda x, i=_index: tg.getitem(x, i), normal(3, 4, 2),
         lambda x, i=_index: x[np.array(i, int) if i == [] else i] if isinstance(i, list) else x[i],
         "PyTorch has no empty list as an index" if isinstance(_index, list) and not _index else
         lambda torch, x, i=_index: x[_torch_index(torch, i)])  # fmt: skip
case("getitem", "backwards", lambda x: x[::-1, 2::-2], normal(3, 4), lambda x: x[::-1, 2::-2],
     "PyTorch has no negative steps")  # fmt: skip
case("getitem", "Tensors", lambda x: x[tg.tensor([2, 0, 2]), tg.tensor(1)], normal(3, 4),
     lambda x: x[[2, 0, 2], 1], lambda torch, x: x[torch.tensor([2, 0, 2]), torch.tensor(1)],
)  # fmt: skip
# Of what is no leaf the row-sparse gradient is made dense, as the table wants it.
_FEW = np.array([[2, 0, 2], [4, 4, 2]])
case("getitem", "rows, row-sparse", lambda x: lookup(x * 1, _FEW, sparse=True), normal(6, 3, 2),
     lambda x: x[_FEW], lambda torch, x: x[torch.tensor(_FEW)])  # fmt: skip
case("getitem", "from no elements", lambda x: x[:, 1], normal(0, 3), lambda x: x[:, 1],
     lambda torch, x: x[:, 1])  # fmt: skip
for _label, _index, _shape in [("slice", (slice(1, 3), 0), (2,)), ("repeated", ([0, 0, 2], [1, 1, 3]), (3,)),
                               ("basic", 1, (4,)), ("mask", _MASK, (6,))]:  # fmt: skip

    def _added(a: np.ndarray, index: Any = _index) -> np.ndarray:
        total = np.zeros((3, 4))
        np.add.at(total, index, a)
        return total

    case("_add_at", _label, lambda a, i=_index: PRIMITIVES["_add_at"](a, index=i, shape=(3, 4)),
         normal(*_shape), _added,
         lambda torch, a, i=_index: torch.zeros(3, 4, dtype=a.dtype).index_put(
             _torch_index(torch, i), a, accumulate=True)
         if isinstance(i, tuple) and isinstance(i[0], list) else
         _torch_assigned(torch, _torch_index(torch, i), a))  # fmt: skip


def _torch_assigned(torch: Any, index: Any, a: Any) -> Any:
    total = torch.zeros(3, 4, dtype=a.dtype)
    total[index] = a
    return total


for _axis, _indices in [(0, [[1, 1, 0, 2]]), (1, [[0, 0], [3, 1], [2, 2]]), (-1, [[3], [0], [3]])]:
    _settings = {"indices": np.array(_indices), "axis": _axis}
    case("take_along_axis", f"axis {_axis}", partial(tg.take_along_axis, **_settings), normal(3, 4),
         partial(np.take_along_axis, **_settings),
         lambda torch, x, i=_indices, a=_axis: torch.gather(x, a, torch.tensor(i)))  # fmt: skip
case("take_along_axis", "broadcast", lambda x: tg.take_along_axis(x, tg.tensor([[3, 0, 3]]), 1),
     normal(3, 4), lambda x: np.take_along_axis(x, np.array([[3, 0, 3]]), 1),
     lambda torch, x: torch.take_along_dim(x, torch.tensor([[3, 0, 3]]), 1))  # fmt: skip

# --- Products --------------------------------------------------------------------------------

for _a, _b in [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)), ((5, 1, 2, 3), (2, 3, 4)), ((1, 2, 3), (5, 3, 4)), ((5, 2, 3), (3,)),
    ((3,), (5, 3, 2)), ((1, 1), (1, 1)),
    ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((4, 2, 0), (0, 3)), ((4, 0, 3), (3, 2)), ((0,), (0,)),
]:  # fmt: skip
    case("matmul", f"{_a} @ {_b}", tg.matmul, (normal(*_a), normal(*_b)), np.matmul, _named("matmul"))
for _a, _b in [((3,), (3,)), ((2, 3), (3, 4)), ((2, 3), (3,)), ((2, 3), (5, 3, 4)), ((3,), (2, 3, 4)),
               ((2, 2, 3), (5, 3, 2)), ((), (2, 3)), ((3,), ()), ((2, 0), (3, 0, 2))]:  # fmt: skip
    case("dot", f"{_a} {_b}", tg.dot, (normal(*_a), normal(*_b)), np.dot,
         lambda torch, a, b: a * b if not a.ndim or not b.ndim else
         torch.tensordot(a, b, dims=([-1], [-2 if b.ndim > 1 else 0])))  # fmt: skip
for _a, _b in [((3,), (4,)), ((2, 2), (3,)), ((), (3,)), ((0,), (3,))]:
    case("outer", f"{_a} {_b}", tg.outer, (normal(*_a), normal(*_b)), np.outer,
         lambda torch, a, b: torch.outer(a.flatten(), b.flatten()))  # fmt: skip
for _x in [(3,), (2, 3), (4, 2, 3), (2, 1, 2, 3), (0, 3), (2, 0, 3)]:
    _inputs = (normal(*_x), normal(5, 3), normal(5))
    case("linear", f"{_x}", tg.linear, _inputs[:2], lambda x, w: x @ w.T, _functional("linear"))
    case("linear", f"{_x}, bias", tg.linear, _inputs, lambda x, w, b: x @ w.T + b, _functional("linear"))
    case("linear", f"{_x}, relu", partial(tg.linear, activation="relu"), _inputs[:2],
         lambda x, w: np.maximum(x @ w.T, 0), lambda torch, x, w: torch.relu(x @ w.T))  # fmt: skip
    case("linear", f"{_x}, bias, relu", partial(tg.linear, activation="relu"), _inputs,
         lambda x, w, b: np.maximum(x @ w.T + b, 0),
         lambda torch, x, w, b: torch.relu(torch.nn.functional.linear(x, w, b)))  # fmt: skip
case("linear", "no features", tg.linear, (normal(2, 3, 0), normal(4, 0)), lambda x, w: np.zeros((2, 3, 4)),
     _functional("linear"))  # fmt: skip
case("linear", "no outputs", tg.linear, (normal(2, 3, 2), normal(0, 2)), lambda x, w: np.zeros((2, 3, 0)),
     _functional("linear"))  # fmt: skip

for _subscripts, *_shapes in [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("ba,cb", (2, 3), (4, 2)),
    ("ij->ji", (2, 3)),
    ("ji", (2, 3)),
    ("ij->", (2, 3)),
    ("ij->j", (2, 3)),
    ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("iij->j", (3, 3, 2)),
    ("iii->i", (2, 2, 2)),
    ("ijij->ji", (2, 3, 2, 3)),
    ("ii,ij->j", (3, 3), (3, 2)),
    ("i,i", (3,), (3,)),
    ("i,j->ij", (3,), (2,)),
    ("i,j->", (3,), (2,)),
    ("ij,k->i", (2, 3), (4,)),
    (",ij->ij", (), (2, 3)),
    ("->", ()),
    ("bij,bjk->bik", (2, 3, 2), (2, 2, 3)),
    ("...ij,...jk->...ik", (2, 3, 2), (2, 2, 3)),
    ("...ij,...jk->...ik", (5, 1, 2, 3), (4, 3, 2)),
    ("...ij,jk", (4, 2, 3), (3, 2)),
    ("...i->...", (2, 3)),
    ("...i->i...", (2, 4, 3)),
    ("i...,i...->...", (3, 2), (3, 2)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
    ("i,ij,j->", (2,), (2, 3), (3,)),
    ("ij,ij,ij->i", (2, 3), (2, 3), (2, 3)),
    ("bi,oi,b->bo", (4, 3), (2, 3), (4,)),
    (" i j , j k -> i k ", (2, 3), (3, 4)),
    ("ij,jk->ik", (2, 1), (3, 4)),
    ("ij,ij->ij", (1, 3), (2, 3)),
    ("ij,jk->ik", (0, 3), (3, 2)),
    ("ij,jk->ik", (2, 0), (0, 3)),
]:
    _shown = " ".join(map(str, _shapes))
    case("einsum", f"{_subscripts!r} {_shown}", partial(tg.einsum, _subscripts),
         tuple(normal(*each) for each in _shapes), partial(np.einsum, _subscripts),
         lambda torch, *a, s=_subscripts: torch.einsum(s, *a))  # fmt: skip
case("einsum", "one operand twice", lambda a: tg.einsum("ij,kj->ik", a, a), normal(2, 3), lambda a: a @ a.T,
     lambda torch, a: a @ a.T)  # fmt: skip
case("einsum", "a constant operand", lambda a: tg.einsum("i,ij->j", np.arange(3.0).astype(a.dtype), a),
     normal(3, 2), lambda a: np.arange(3.0) @ a,
     lambda torch, a: torch.arange(3, dtype=a.dtype) @ a)  # fmt: skip

for _name, _torch in [
    ("diagonal", lambda *where: _named("diagonal", *where)),
    ("trace", lambda *where: lambda torch, x: torch.diagonal(x, *where).sum(-1)),
]:
    for _shape, _where in [
        ((3, 3), (0, 0, 1)), ((3, 4), (1, 0, 1)), ((3, 4), (-1, 0, 1)), ((2, 3, 4), (0, -1, 1)),
        ((3, 2, 3), (1, 0, 2)), ((2, 3), (5, 0, 1)),
    ]:  # fmt: skip
        _settings = dict(zip(("offset", "axis1", "axis2"), _where, strict=True))
        case(_name, f"{_shape} {_where}", partial(getattr(tg, _name), **_settings), normal(*_shape),
             partial(getattr(np, _name), **_settings),
             "PyTorch refuses an offset beyond the matrix" if _where[0] == 5 else
             _torch(*_where))  # fmt: skip
for _name in ("tril", "triu"):
    for _shape, _k in [((3, 4), 0), ((2, 3, 3), 1), ((4, 3), -1)]:
        case(_name, f"{_shape} {_k}", partial(getattr(tg, _name), k=_k), normal(*_shape),
             partial(getattr(np, _name), k=_k), _named(_name, _k))  # fmt: skip

# --- Losses ----------------------------------------------------------------------------------

_LABELS = np.array([0, 2, 1, 2])
_WEIGHT = np.array([0.5, 2.0, 1.5])


def _cross_entropy(
    logits: np.ndarray,
    target: np.ndarray,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> np.ndarray:
    """Take PyTorch's definition literally, one sample after the other."""
    axis = 1 if logits.ndim > 1 else 0
    classes = logits.shape[axis]
    rows = np.moveaxis(logits, axis, -1).reshape(-1, classes)
    shape = np.moveaxis(logits, axis, -1).shape[:-1]
    weight = np.ones(classes) if weight is None else np.asarray(weight)
    soft = target.dtype.kind == "f"
    targets = np.moveaxis(target, axis, -1).reshape(-1, classes) if soft else target.reshape(-1)
    losses, divisor = [], 0.0
    for z, t in zip(rows, targets, strict=True):
        log_p = z - math.log(np.sum(np.exp(z)))
        if not soft and t == ignore_index:
            losses.append(0.0)
            continue
        q = t if soft else np.eye(classes)[t]
        q = (1 - label_smoothing) * q + label_smoothing / classes
        losses.append(-np.sum(weight * q * log_p))
        divisor += 1.0 if soft else weight[t]
    if reduction == "none":
        return np.reshape(losses, shape)
    return np.array(np.sum(losses) / (divisor if reduction == "mean" else 1))


def _torch_cross_entropy(target: np.ndarray, **settings: Any) -> Callable[..., Any]:
    def apply(torch: Any, logits: Any) -> Any:
        values = torch.tensor(target, dtype=logits.dtype if target.dtype.kind == "f" else torch.int64)
        return torch.nn.functional.cross_entropy(logits, values, **_torch_settings(torch, logits, settings))

    return apply


_SOFT = _softmax(np.random.default_rng(5).standard_normal((4, 3)))
_SOFT_IMAGE = _softmax(np.random.default_rng(6).standard_normal((2, 3, 2, 2)), axis=1)
_IMAGE = np.array([[[0, 1], [2, 2]], [[1, 0], [-100, 2]]])
for _label, _shape, _target in [
    ("labels", (4, 3), _LABELS),
    ("one sample", (3,), np.array(1)),
    ("(N, C, d)", (2, 3, 2), np.array([[0, 1], [2, -100]])),
    ("(N, C, d1, d2)", (2, 3, 2, 2), _IMAGE),
    ("soft", (4, 3), _SOFT),
    ("soft (N, C, d1, d2)", (2, 3, 2, 2), _SOFT_IMAGE),
    ("one soft sample", (3,), _SOFT[0]),
]:
    for _reduction in ("mean", "sum", "none"):
        for _extra in (
            {},
            {"weight": _WEIGHT},
            {"label_smoothing": 0.2},
            {"weight": _WEIGHT, "label_smoothing": 0.1},
            {"ignore_index": 2},
            {"ignore_index": 2, "weight": _WEIGHT, "label_smoothing": 0.1},
        ):
            if "ignore_index" in _extra and (_target.dtype.kind == "f" or np.any(_target == -100)):
                continue
            _settings = {"reduction": _reduction, **_extra}
            _shown = ", ".join([_label, _reduction, *_extra])
            case("cross_entropy", _shown, partial(tg.cross_entropy, target=_target, **_settings),
                 normal(*_shape), partial(_cross_entropy, target=_target, **_settings),
                 _torch_cross_entropy(_target, **_settings))  # fmt: skip
case("cross_entropy", "soft targets that need a gradient", tg.cross_entropy, (normal(4, 3), fixed(_SOFT)),
     _cross_entropy, _functional("cross_entropy"))  # fmt: skip
case("cross_entropy", "large logits", lambda z: tg.cross_entropy(z, [1, 0], reduction="none"),
     fixed([[900.0, 901.0], [0.0, -900.0]]), lambda z: np.array([math.log1p(math.exp(-1)), 0.0]),
     lambda torch, z: torch.nn.functional.cross_entropy(
         z, torch.tensor([1, 0]), reduction="none"))  # fmt: skip


def _nll(x: np.ndarray, reduction: str, weight: Any = (1, 1, 1), ignore_index: int = -1) -> Any:
    w = np.array([weight[t] * (t != ignore_index) for t in _LABELS])
    each = np.array([-row[t] for row, t in zip(x, _LABELS, strict=True)]) * w
    return {"none": each, "sum": each.sum(), "mean": each.sum() / w.sum()}[reduction]


def _torch_settings(torch: Any, like: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Turn weights into tensors."""
    weights = ("weight", "pos_weight")
    return {k: torch.tensor(v, dtype=like.dtype) if k in weights else v for k, v in settings.items()}


for _reduction in ("mean", "sum", "none"):
    for _extra in ({}, {"weight": _WEIGHT}, {"ignore_index": 2}, {"weight": _WEIGHT, "ignore_index": 0}):
        _settings = {"reduction": _reduction, **_extra}

        case("nll_loss", ", ".join([_reduction, *_extra]), partial(tg.nll_loss, target=_LABELS, **_settings),
             normal(4, 3), partial(_nll, **_settings),
             lambda torch, x, s=_settings: torch.nn.functional.nll_loss(
                 x, torch.tensor(_LABELS), **_torch_settings(torch, x, s)))  # fmt: skip


def _reduce(each: np.ndarray, reduction: str) -> Any:
    if reduction == "batchmean":
        return each.sum() / len(each)
    return each if reduction == "none" else getattr(each, reduction)()


def _binary_cross_entropy(x: Any, t: Any, reduction: str, weight: Any = 1.0, pos_weight: Any = 1.0) -> Any:
    s = _sigmoid(x)
    each = -(pos_weight * t * np.log(s) + (1 - t) * np.log(1 - s))
    return _reduce(np.asarray(each * weight), reduction)


for _reduction in ("mean", "sum", "none"):
    for _extra in (
        {},
        {"pos_weight": 3.0},
        {"pos_weight": _WEIGHT},
        {"weight": _WEIGHT},
        {"weight": 0.5, "pos_weight": _WEIGHT},
    ):
        _settings = {"reduction": _reduction, **_extra}
        _shown = ", ".join(f"{k} {v}" for k, v in _settings.items())
        case("binary_cross_entropy_with_logits", _shown,
             partial(tg.binary_cross_entropy_with_logits, **_settings),
             (normal(2, 3), between(0.1, 0.9, 2, 3)), partial(_binary_cross_entropy, **_settings),
             lambda torch, x, t, s=_settings: torch.nn.functional.binary_cross_entropy_with_logits(
                 x, t, **_torch_settings(torch, x, s)))  # fmt: skip
case("binary_cross_entropy_with_logits", "integer targets, far out",
     lambda x: tg.binary_cross_entropy_with_logits(x, [1, 0, 1, 0], reduction="none"),
     fixed([50.0, -50.0, -50.0, 50.0]), lambda x: np.array([0, 0, 50.0, 50.0]),
     lambda torch, x: torch.nn.functional.binary_cross_entropy_with_logits(
         x, torch.tensor([1.0, 0, 1, 0], dtype=x.dtype), reduction="none"))  # fmt: skip

for _reduction in ("mean", "sum", "none"):
    for _name, _expected in [
        ("mse_loss", lambda x, t: (x - t) ** 2),
        ("l1_loss", lambda x, t: np.abs(x - t)),
        ("huber_loss", lambda x, t: np.where(np.abs(x - t) <= 1, (x - t) ** 2 / 2, np.abs(x - t) - 0.5)),
    ]:
        case(_name, _reduction, partial(getattr(tg, _name), reduction=_reduction),
             (normal(3, 4), normal(3, 4)), lambda x, t, f=_expected, r=_reduction: _reduce(f(x, t), r),
             _functional(_name, reduction=_reduction))  # fmt: skip
    case("hinge_loss", _reduction,
         lambda x, r=_reduction: tg.hinge_loss(x, [1.0, -1.0, 1.0, -1.0], reduction=r), normal(4),
         lambda x, r=_reduction: _reduce(np.maximum(1 - np.array([1, -1, 1, -1]) * x, 0), r),
         lambda torch, x, r=_reduction: _torch_hinge(torch, x, r))  # fmt: skip
for _reduction in ("mean", "batchmean", "sum", "none"):
    case("kl_div", _reduction, partial(tg.kl_div, reduction=_reduction),
         (normal(3, 4), between(0.1, 0.9, 3, 4)),
         lambda x, t, r=_reduction: _reduce(t * (np.log(t) - x), r),
         _functional("kl_div", reduction=_reduction))  # fmt: skip
case("mse_loss", "0-d", tg.mse_loss, (normal(), normal()), lambda x, t: (x - t) ** 2, _functional("mse_loss"))
case("mse_loss", "no elements", lambda x: tg.mse_loss(x, np.zeros((0, 2), x.dtype), reduction="sum"),
     normal(0, 2), lambda x: np.zeros(()), lambda torch, x: (x * x).sum())  # fmt: skip
case("l1_loss", "at zero", partial(tg.l1_loss, reduction="none"),
     (fixed([1.0, 2.0]), fixed([1.0, 0.0])), lambda x, t: np.array([0.0, 2.0]),
     _functional("l1_loss", reduction="none"), smooth=0,
     gradient=lambda x, t: ([0, 1], [0, -1]))  # fmt: skip
case("huber_loss", "delta 0.3", partial(tg.huber_loss, delta=0.3), (normal(4, 4), normal(4, 4)),
     lambda x, t: np.mean(np.where(np.abs(x - t) <= 0.3, (x - t) ** 2 / 2, 0.3 * (np.abs(x - t) - 0.15))),
     _functional("huber_loss", delta=0.3))  # fmt: skip
case("huber_loss", "at delta", partial(tg.huber_loss, delta=0.5), (fixed([0.5, 0.0]), fixed([0.0, 0.5])),
     lambda x, t: np.array(0.125), _functional("huber_loss", delta=0.5),
     smooth=1, gradient=lambda x, t: ([0.25, -0.25], [-0.25, 0.25]))  # fmt: skip
case("hinge_loss", "at the margin", lambda x: tg.hinge_loss(x, [1.0, -1.0], margin=2.0, reduction="none"),
     fixed([2.0, 1.0]), lambda x: np.array([0.0, 3.0]), "PyTorch's clamp takes the other subgradient",
     smooth=0, gradient=lambda x: [[0, 1]])  # fmt: skip
case("kl_div", "target of zero", lambda x: tg.kl_div(x, [0.0, 1.0], reduction="sum"), fixed([-0.5, -1.0]),
     lambda x: np.array(1.0), lambda torch, x: torch.nn.functional.kl_div(
         x, torch.tensor([0.0, 1.0], dtype=x.dtype), reduction="sum"))  # fmt: skip


def _torch_hinge(torch: Any, x: Any, reduction: str) -> Any:
    each = torch.relu(1 - torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=x.dtype) * x)
    return each if reduction == "none" else getattr(each, reduction)()


# --- Normalization ---------------------------------------------------------------------------


def _standardized(x: np.ndarray, axes: Any, eps: float) -> np.ndarray:
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


for _shape, _last in [((3, 4), (4,)), ((2, 3, 4), (3, 4)), ((2, 3, 4), (4,)), ((5,), (5,)), ((0, 4), (4,))]:
    _axes = tuple(range(-len(_last), 0))
    case("layer_norm", f"{_shape} over {_last}", partial(tg.layer_norm, normalized_shape=_last),
         normal(*_shape), partial(_standardized, axes=_axes, eps=1e-5),
         _functional("layer_norm", normalized_shape=_last))  # fmt: skip
    case("layer_norm", f"{_shape} over {_last}, affine",
         lambda x, w, b, n=_last: tg.layer_norm(x, n, w, b, eps=0.1),
         (normal(*_shape), normal(*_last), normal(*_last)),
         lambda x, w, b, a=_axes: w * _standardized(x, a, 0.1) + b,
         lambda torch, x, w, b, n=_last: torch.nn.functional.layer_norm(x, n, w, b, 0.1))  # fmt: skip


def _pulled_back(a: np.ndarray, x: np.ndarray, axes: Any, eps: float) -> np.ndarray:
    """Multiply a group by the derivative of its standardization, a matrix made entry by entry."""
    total = np.empty_like(x)
    groups = np.moveaxis(x, axes, range(-len(axes), 0)).reshape(-1, math.prod(x.shape[i] for i in axes))
    gradients = np.moveaxis(a, axes, range(-len(axes), 0)).reshape(groups.shape)
    moved = np.moveaxis(total, axes, range(-len(axes), 0))
    results = []
    for values, gradient in zip(groups, gradients, strict=True):
        n, centered = len(values), values - values.mean()
        scale = np.sqrt(values.var() + eps)
        derivative = (np.eye(n) - 1 / n) / scale - np.outer(centered, centered) / (n * scale**3)
        results.append(gradient @ derivative)
    moved[...] = np.reshape(results, moved.shape)
    return total


def _torch_pulled_back(torch: Any, a: Any, x: Any, axes: Any, eps: float) -> Any:
    x = x if x.requires_grad else x.requires_grad_()
    y = (x - x.mean(axes, keepdim=True)) / (x.var(axes, unbiased=False, keepdim=True) + eps).sqrt()
    return torch.autograd.grad(y, x, a, create_graph=True)[0]


for _shape, _axes in [((2, 3, 2, 2), (0, 2, 3)), ((4, 3), (0,)), ((2, 5), (1,)), ((2, 2, 3, 2), (2, 3))]:
    case("_standardize_vjp", f"{_shape} over {_axes}",
         partial(PRIMITIVES["_standardize_vjp"], axes=_axes, eps=0.1), (normal(*_shape), normal(*_shape)),
         partial(_pulled_back, axes=_axes, eps=0.1), partial(_torch_pulled_back, axes=_axes, eps=0.1)
    )  # fmt: skip

_MEAN, _VAR = np.array([0.1, -0.2, 0.3]), np.array([0.5, 1.5, 2.0])
for _shape in [(4, 3), (2, 3, 4), (2, 3, 2, 2)]:
    _axes, _across = (0, *range(2, len(_shape))), (1, 3, *[1] * (len(_shape) - 2))
    case("batch_norm", f"{_shape}, training", lambda x: tg.batch_norm(x, training=True), normal(*_shape),
         lambda x, a=_axes: _standardized(x, a, 1e-5),
         lambda torch, x: torch.nn.functional.batch_norm(x, None, None, training=True))  # fmt: skip
    case("batch_norm", f"{_shape}, training, affine",
         lambda x, w, b: tg.batch_norm(x, None, None, w, b, training=True, eps=0.01),
         (normal(*_shape), normal(3), normal(3)),
         lambda x, w, b, a=_axes, s=_across: w.reshape(s) * _standardized(x, a, 0.01) + b.reshape(s),
         lambda torch, x, w, b: torch.nn.functional.batch_norm(
             x, None, None, w, b, training=True, eps=0.01))  # fmt: skip
    case("batch_norm", f"{_shape}, running averages, affine",
         lambda x, w, b: tg.batch_norm(x, _MEAN.astype(x.dtype), _VAR.astype(x.dtype), w, b),
         (normal(*_shape), normal(3), normal(3)),
         lambda x, w, b, s=_across: w.reshape(s) * (x - _MEAN.reshape(s)) / np.sqrt(
             _VAR.reshape(s) + 1e-5) + b.reshape(s),
         lambda torch, x, w, b: torch.nn.functional.batch_norm(
             x, torch.tensor(_MEAN, dtype=x.dtype), torch.tensor(_VAR, dtype=x.dtype), w, b)
    )  # fmt: skip

for _shape, _groups in [((2, 4), 2), ((2, 4, 3), 1), ((3, 6, 2, 2), 3)]:
    _split = (_shape[0], _groups, _shape[1] // _groups, *_shape[2:])
    _axes, _across = tuple(range(2, len(_split))), (1, _shape[1], *[1] * (len(_shape) - 2))
    case("group_norm", f"{_shape} in {_groups}, affine",
         lambda x, w, b, n=_groups: tg.group_norm(x, n, w, b, eps=0.1),
         (normal(*_shape), normal(_shape[1]), normal(_shape[1])),
         lambda x, w, b, p=_split, a=_axes, s=_across: w.reshape(s) * _standardized(
             x.reshape(p), a, 0.1).reshape(x.shape) + b.reshape(s),
         lambda torch, x, w, b, n=_groups: torch.nn.functional.group_norm(x, n, w, b, 0.1))  # fmt: skip

# --- Convolution and pooling: a file of their own, which appends to this table -----------------

import window_cases  # noqa: E402, F401
