"""The package's table of operations with the tests' oracles; all tests of operations use it.

`tinygrad_adam.testing.selfcheck` defines the calls and inputs of each operation; this module adds the
expected result from NumPy, independent of the package, and the counterpart in PyTorch. A new operation goes
into both tables and is then covered by all of these tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import loss_cases  # noqa: F401 (the oracles of losses)
import numpy as np
import pytest
import window_cases  # noqa: F401 (the oracles of images)
from oracles import ORACLES, functional, named, oracle, sigmoid

import tinygrad_adam as tg
from tinygrad_adam import ops
from tinygrad_adam.engine.graph import Primitive
from tinygrad_adam.testing.selfcheck.calls import Call, outputs_of
from tinygrad_adam.testing.selfcheck.images import IMAGE_OPERATIONS
from tinygrad_adam.testing.selfcheck.operations import OPERATIONS


@dataclass(frozen=True, eq=False, kw_only=True)
class Case(Call):
    """A row with its oracle; its functions take only the arrays.

    Attributes
    ----------
    name : str
        Name of the oracle.
    expected, torch, smooth, gradient
        See `Oracle`.
    """

    name: str
    expected: Callable[..., Any]
    torch: Callable[..., Any] | str
    smooth: int
    gradient: Callable[..., Any] | None


def case(call: Call) -> Case:
    """Combine a row with its oracle."""
    name = str(call) if str(call) in ORACLES else call.op
    known = ORACLES[name]
    return Case(
        **vars(call),
        name=name,
        expected=partial(known.expected, **call.settings),
        torch=known.torch if isinstance(known.torch, str) else partial(known.torch, **call.settings),
        smooth=known.smooth,
        gradient=known.gradient and partial(known.gradient, **call.settings),
    )


def weighted(outputs: Any) -> Any:
    """Combine all outputs into one number, with the same weights every time."""
    rng = np.random.default_rng(3)
    terms = [(out, rng.standard_normal(out.shape).astype(out.dtype)) for out in outputs_of(outputs)]
    return sum((out * beside(out, weights)).sum() for out, weights in terms)


def beside(like: Any, array: np.ndarray) -> Any:
    """Put an array on the device of `like` if that is a Tensor; otherwise return the array unchanged."""
    return tg.tensor(array, device=like.device) if isinstance(like, tg.Tensor) else array


def value_and_gradients(
    case: Case, arrays: list[np.ndarray], reserved: bool = False
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Run the case on the raw arrays without copies; return its outputs and a gradient for each input.

    With `reserved`, each gradient must be written to a reserved array, like those of an optimizer.
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
    """Compare gradients written to reserved arrays with gradients in new arrays."""
    arrays = case.arrays()
    _, gradients = value_and_gradients(case, arrays, reserved=True)
    for got, wanted in zip(gradients, value_and_gradients(case, arrays)[1], strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)


def check_second_derivative(case: Case) -> None:
    """Compare the gradient of the gradient with finite differences of the gradient."""
    if case.smooth >= 2:
        tg.gradgradcheck(case.function, case.tensors(), atol=1e-6, rtol=1e-6)


def public_operations() -> set[str]:
    """Return the names of the operations in `tinygrad_adam.ops`."""
    return {
        name
        for name, value in vars(ops).items()
        if callable(value) and (value.__module__ or "").startswith(f"{ops.__name__}.")
    }


@cache
def exercised(case: Case) -> tuple[set[str], set[str]]:
    """Return the names of the primitives used by the first derivative, and by the first two derivatives.

    They are recorded from the calls with an input that needs a gradient, so the table cannot claim coverage
    that it does not have. Primitives without rules count wherever they are called.
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


NO_GRADIENT = "carries no gradient; NumPy is the reference"

# --- Functions of one element ----------------------------------------------------------------


_erf = np.vectorize(math.erf, otypes=[float])


def _gelu(x: Any, approximate: str = "none") -> Any:
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x * 0.5 * (1 + _erf(x / math.sqrt(2)))


for _name in ("exp", "expm1", "log", "log1p", "sqrt", "square", "sin", "cos", "tan", "arctan", "sinh", "cosh",
              "tanh", "zeros_like", "abs", "sign"):  # fmt: skip
    oracle(_name, getattr(np, _name), named(_name))
oracle("negative", lambda x: 0 - x, named("negative"))
oracle("reciprocal", lambda x: 1 / x, named("reciprocal"))
oracle("erf", _erf, named("erf"))
oracle("sigmoid", sigmoid, functional("sigmoid"))
oracle("relu", lambda x: np.where(x > 0, x, 0), functional("relu"))
oracle("leaky_relu", lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x),
       functional("leaky_relu"))  # fmt: skip
oracle("elu", lambda x, alpha=1.0: np.where(x > 0, x, alpha * (np.exp(np.minimum(x, 0)) - 1)),
       functional("elu"))  # fmt: skip
oracle("softplus", lambda x: np.log(1 + np.exp(x)), functional("softplus"))
oracle("silu", lambda x: x * sigmoid(x), functional("silu"))
oracle("mish", lambda x: x * np.tanh(np.log(1 + np.exp(x))), functional("mish"))
oracle("gelu", _gelu, functional("gelu"))
oracle("abs: at zero", np.abs, named("abs"), smooth=0, gradient=lambda x: [[-1, 0, 1]])
oracle("sign: at zero", np.sign, named("sign"), smooth=0, gradient=lambda x: [[0, 0, 0]])
oracle("relu: at zero", lambda x: np.array([0, 0, 2.0]), functional("relu"), smooth=0,
       gradient=lambda x: [[0, 0, 1]])  # fmt: skip
oracle("leaky_relu: at zero, slope", lambda x, negative_slope: np.array([-negative_slope, 0, 2]),
       functional("leaky_relu"), smooth=0, gradient=lambda x, negative_slope: [[0.2, 0.2, 1]])  # fmt: skip
oracle("leaky_relu: at zero, no slope", lambda x, negative_slope: np.array([0, 0, 2.0]),
       functional("leaky_relu"), smooth=0, gradient=lambda x, negative_slope: [[0, 0, 1]])  # fmt: skip
oracle("elu: at zero, alpha", lambda x, alpha: np.array([1.5 * math.expm1(-1), 0, 2]), functional("elu"),
       smooth=0, gradient=lambda x, alpha: [[1.5 * math.exp(-1), 1.5, 1]])  # fmt: skip
oracle("elu: far out", lambda x: np.array([-1.0, 800.0]), functional("elu"))
oracle("astype", lambda x, dtype: x, lambda torch, x, dtype: x.to(torch.float64))
oracle("round", np.round, named("round"))
oracle("round: halves", lambda x: np.array([-2.0, 0, 0, 2, 2]), named("round"), smooth=0,
       gradient=lambda x: [[0, 0, 0, 0, 0]])  # fmt: skip
oracle("isfinite", lambda x: np.array([True, False, False, False]), NO_GRADIENT)
oracle("clip", lambda x, min, max: np.fmin(np.fmax(x, np.array(min, float)), np.array(max, float)),
       named("clamp"))  # fmt: skip
oracle("clip: bounds that exclude each other", lambda x, min, max: np.ones(5), named("clamp"),
       smooth=0, gradient=lambda x, min, max: [[0, 0, 0, 0, 0]])  # fmt: skip
oracle("clip: on the bounds", lambda x, min, max: np.array([-1, -1, 0.5, 2, 2.0]), named("clamp"),
       smooth=0, gradient=lambda x, min, max: [[0, 1, 1, 1, 0]])  # fmt: skip


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


oracle("dropout", dropped, "PyTorch draws other masks")

# --- Functions of two elements ---------------------------------------------------------------


def _beside(name: str) -> Callable[..., Any]:
    """Call a function of torch whose second operand may be a number or an array."""
    return lambda torch, a, b: getattr(torch, name)(a, torch.as_tensor(b))


oracle("add", lambda a, b: a + b, named("add"))
oracle("subtract", lambda a, b: a - b, named("subtract"))
oracle("multiply", lambda a, b: a * b, named("multiply"))
oracle("divide", lambda a, b: a / b, named("divide"))
oracle("power", lambda a, b: a**b, _beside("pow"))
oracle("maximum", np.maximum, named("maximum"))
oracle("minimum", np.minimum, named("minimum"))
oracle("floor_divide", lambda a, b: np.floor(a / b), "has no gradient in PyTorch")
oracle("remainder", lambda a, b: a - b * np.floor(a / b), named("remainder"))
oracle("add: one input twice", lambda a: 2 * a, lambda torch, a: a + a)
oracle("multiply: one input twice", np.square, lambda torch, a: a * a)
oracle("subtract: from a number", lambda a: 2 - a, lambda torch, a: 2.0 - a)
oracle("divide: a number", lambda a: 2 / a, lambda torch, a: 2.0 / a)
oracle("power: of a number", lambda b: 2**b, lambda torch, b: torch.pow(2.0, b))
oracle("power: negative base", lambda a, b: a * a * a, named("pow", b="exponent"))
oracle("power: at zero", lambda a, b: np.array([1.0, 0.0, 0.0, 1.0]), named("pow"), smooth=0,
       gradient=lambda a, b: ([0, 1, 0, 0], [0, 0, 0, math.log(2)]))  # fmt: skip
oracle("power: zero to the number zero", lambda a, b: np.ones(2), named("pow", b="exponent"), smooth=0,
       gradient=lambda a, b: [[0, 0]])  # fmt: skip
for _exponent in (2, 3, 0.5, -1, 1, 0):
    oracle(f"power: of {_exponent}", lambda a, b: a**b, named("pow", b="exponent"))
oracle("maximum: and a number", lambda a, b: np.maximum(a, b), named("clamp", b="min"))
oracle("maximum: ties", lambda a, b: np.array([1.0, 2.0, 5.0]), named("maximum"), smooth=0,
       gradient=lambda a, b: ([0.5, 1, 0], [0.5, 0, 1]))  # fmt: skip
oracle("minimum: ties", lambda a, b: np.array([1.0, 0.0, 3.0]), named("minimum"), smooth=0,
       gradient=lambda a, b: ([0.5, 0, 1], [0.5, 1, 0]))  # fmt: skip
oracle("where", lambda a, b, condition: np.where(condition, a, b),
       lambda torch, a, b, condition: torch.where(torch.from_numpy(condition), a, b))  # fmt: skip
oracle("where: and a number", lambda a, condition: a * ~condition,
       lambda torch, a, condition: a * torch.from_numpy(~condition))  # fmt: skip
oracle("where: by comparison", lambda a: np.where(a > 0, a, a**2),
       lambda torch, a: torch.where(a > 0, a, a * a))  # fmt: skip
for _name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
    oracle(_name, getattr(np, _name), NO_GRADIENT)

for _kind in (np.bool_, np.int64):
    for _name in ("bitwise_and", "bitwise_or", "bitwise_xor", "invert"):
        oracle(
            f"{_name}: {_kind.__name__}",
            lambda *arrays, name=_name, kind=_kind: getattr(np, name)(*[a.astype(kind) for a in arrays]),
            NO_GRADIENT,
        )

# --- Softmax and its relatives ---------------------------------------------------------------


def _softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _torch_softmax(name: str) -> Callable[..., Any]:
    return lambda torch, x, axis=-1: getattr(torch.nn.functional, name)(x, dim=axis)


oracle("softmax", _softmax, _torch_softmax("softmax"))
oracle("log_softmax", lambda x, axis=-1: np.log(_softmax(x, axis)), _torch_softmax("log_softmax"))
oracle("softmax: no rows", lambda x: x, _torch_softmax("softmax"))
oracle("log_softmax: no rows", lambda x: x, _torch_softmax("log_softmax"))

# --- Reductions ------------------------------------------------------------------------------


def _torch_reduction(name: str, **settings: Any) -> Callable[..., Any]:
    def apply(torch: Any, x: Any, axis: Any = None, keepdims: bool = False, **more: Any) -> Any:
        axes = tuple(range(x.ndim)) if axis is None else axis
        return getattr(torch, name)(x, dim=axes, keepdim=keepdims, **settings, **more)

    return apply


def _torch_spread(name: str) -> Callable[..., Any]:
    plain = _torch_reduction(name)
    return lambda torch, x, ddof=0, **settings: plain(torch, x, correction=ddof, **settings)


def _torch_prod(torch: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    for each in axes:
        x = torch.prod(x, each, keepdim=True)
    return x if keepdims else x.squeeze(tuple(axes)) if axes else x


def _logsumexp(x: np.ndarray, axis: Any = None, keepdims: bool = False) -> np.ndarray:
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def _nothing(x: np.ndarray, **settings: Any) -> np.ndarray:
    return np.zeros(0)


for _name, _expected, _torch in [
    ("sum", np.sum, _torch_reduction("sum")),
    ("mean", np.mean, _torch_reduction("mean")),
    ("var", np.var, _torch_spread("var")),
    ("std", np.std, _torch_spread("std")),
    ("max", np.max, _torch_reduction("amax")),
    ("min", np.min, _torch_reduction("amin")),
    ("prod", np.prod, _torch_prod),
    ("logsumexp", _logsumexp, _torch_reduction("logsumexp")),
]:
    oracle(_name, _expected, _torch)
oracle("var: 0-d | var: 0-d, axis 0 | var: 0-d, axis -1", lambda x, axis=None: np.zeros(()),
       _torch_spread("var"), gradient=lambda x, axis=None: [0.0])  # fmt: skip
oracle("std: 0-d | std: 0-d, axis 0 | std: 0-d, axis -1", lambda x, axis=None: np.zeros(()),
       _torch_spread("std"), smooth=1, gradient=lambda x, axis=None: [0.0])  # fmt: skip
for _name, _torch in [
    *((name, _torch_reduction(name)) for name in ("sum", "mean", "logsumexp")),
    *((name, _torch_reduction(f"a{name}")) for name in ("max", "min")),
    ("prod", named("prod", axis="dim")),
]:  # a number has an axis 0 here, as in PyTorch
    oracle(f"{_name}: 0-d, axis 0 | {_name}: 0-d, axis -1", lambda x, axis: x, _torch)
oracle("mean: no rows | max: no rows | prod: no rows | logsumexp: no rows", _nothing,
       "NumPy is enough for nothing")  # fmt: skip
oracle("std: of equal elements", lambda x: np.zeros(()), named("std"), smooth=0,
       gradient=lambda x: [[0, 0, 0]])  # fmt: skip
for _name, _value, _rows in [("max", 3.0, [0, 0, 1]), ("min", 0.5, [0.5, 0.5, 0])]:
    oracle(f"{_name}: ties of three", lambda x, v=_value: np.array(v), named(f"a{_name}"), smooth=0,
           gradient=lambda x: [[0, 1 / 3, 1 / 3, 1 / 3]])  # fmt: skip
    oracle(f"{_name}: ties in a row", getattr(np, _name), _torch_reduction(f"a{_name}"), smooth=0,
           gradient=lambda x, axis, keepdims, rows=_rows: [[[1 / 3] * 3, rows]])  # fmt: skip
# The gradient of PyTorch's own function is sensitive to the rounding of a large value.
oracle("logsumexp: large", lambda x: np.array(901 + math.log1p(math.exp(-1))),
       lambda torch, x: x[0] - torch.log_softmax(x, 0)[0])  # fmt: skip
oracle("logsumexp: with minus infinity", _logsumexp, lambda torch, x: torch.logsumexp(x, 0), smooth=0,
       gradient=lambda x: [[0, *(_softmax(x[1:]))]])  # fmt: skip


def _norm(x: np.ndarray, ord: float = 2, axis: Any = None, keepdims: bool = False) -> np.ndarray:
    if math.isinf(ord):
        return (np.max if ord > 0 else np.min)(np.abs(x), axis=axis, keepdims=keepdims)
    return np.sum(np.abs(x) ** ord, axis=axis, keepdims=keepdims) ** (1 / ord)


def _torch_norm(torch: Any, x: Any, ord: float = 2, axis: Any = None, keepdims: bool = False) -> Any:
    return torch.linalg.vector_norm(x, ord, dim=axis, keepdim=keepdims)


oracle("norm", _norm, _torch_norm)
oracle(" | ".join(f"norm: order {order}, at zero" for order in (2, 3, 1.5, 0.5)),
       lambda x, ord: np.zeros(()), _torch_norm, smooth=0, gradient=lambda x, ord: [[0, 0]])  # fmt: skip
oracle("norm: order 3, beside zeros", lambda x, ord, axis: np.array([3.0, 4.0]), _torch_norm, smooth=1)
oracle("norm: order 0", lambda x, ord, axis: np.array([1.0, 2.0]), NO_GRADIENT)
oracle("norm: order inf, ties", lambda x, ord: np.array(2.0), _torch_norm, smooth=0,
       gradient=lambda x, ord: [[0.5, -0.5, 0]])  # fmt: skip
oracle("cumsum", np.cumsum,
       lambda torch, x, axis: torch.cumsum(x.flatten() if axis is None else x, axis or 0))  # fmt: skip
oracle("cumsum: 0-d | cumsum: 0-d, axis 0", lambda x, axis=None: x[None],
       lambda torch, x, axis=None: torch.cumsum(x.flatten(), 0))  # fmt: skip
oracle("cumsum: no elements", lambda x: x, lambda torch, x: torch.cumsum(x, 0))
oracle("argmax", np.argmax, NO_GRADIENT)
oracle("argmin", np.argmin, NO_GRADIENT)

# --- Shapes ----------------------------------------------------------------------------------


def _torch_flip(torch: Any, x: Any, axis: Any) -> Any:
    return torch.flip(
        x, tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    )


def _torch_pad(torch: Any, x: Any, pad_width: Any, constant_values: float = 0.0) -> Any:
    """Pass the widths from the last axis to the first."""
    widths = np.broadcast_to(pad_width, (x.ndim, 2))[::-1].flatten().tolist()
    return torch.nn.functional.pad(x, widths, value=constant_values)


oracle("reshape", lambda x, shape: np.reshape(x, shape),
       lambda torch, x, shape: torch.reshape(x, (shape,) if isinstance(shape, int) else shape))  # fmt: skip
oracle("reshape: no elements", lambda x, shape: np.zeros((2, 0, 3)), named("reshape"))
oracle("reshape: to 0-d", lambda x, shape: x[0, 0], named("reshape"))
oracle("transpose", np.transpose, lambda torch, x, axes: torch.permute(x, axes or (2, 1, 0)))
oracle("swapaxes", np.swapaxes, named("swapaxes", axis1="axis0", axis2="axis1"))
oracle("moveaxis", np.moveaxis, named("movedim"))
oracle("squeeze", np.squeeze,
       lambda torch, x, axis: torch.squeeze(x, *([] if axis is None else [axis])))  # fmt: skip
oracle("expand_dims", np.expand_dims, named("unsqueeze", axis="dim"))
oracle("expand_dims: axis (0, 2) | expand_dims: axis (-1, 0)", np.expand_dims,
       "PyTorch inserts one axis at a time")  # fmt: skip
oracle("broadcast_to", np.broadcast_to, named("broadcast_to", shape="size"))
oracle("flip", np.flip, _torch_flip)
oracle("roll", np.roll, lambda torch, x, shift, axis: torch.roll(
    x, shift if isinstance(shift, tuple) else int(shift), axis))  # fmt: skip
oracle("concatenate", lambda *a, axis: np.concatenate(a, axis), lambda torch, *a, axis: torch.cat(a, axis))
oracle("stack", lambda *a, axis=0: np.stack(a, axis), lambda torch, *a, axis=0: torch.stack(a, axis))
oracle("concatenate: one of them constant, one empty",
       lambda a, b, constant: np.concatenate([constant, a, b]),
       lambda torch, a, b, constant: torch.cat([torch.tensor(constant, dtype=a.dtype), a, b]))  # fmt: skip
oracle("concatenate: one array twice", lambda a, axis: np.concatenate([a, a], axis),
       lambda torch, a, axis: torch.cat([a, a], axis))  # fmt: skip
oracle("split", np.split, lambda torch, x, indices_or_sections, axis=0: torch.tensor_split(
    x, indices_or_sections, axis))  # fmt: skip
oracle("pad", lambda x, pad_width, constant_values: np.pad(x, pad_width, constant_values=constant_values),
       _torch_pad)  # fmt: skip
oracle("pad: with zeros", lambda x, pad_width: np.append(0, x), _torch_pad)
oracle("repeat", np.repeat, lambda torch, x, repeats, axis: torch.repeat_interleave(
    x, torch.tensor(repeats), **({} if axis is None else {"dim": axis})))  # fmt: skip
oracle("tile", np.tile,
       lambda torch, x, reps: torch.tile(x, (reps,) if isinstance(reps, int) else reps))  # fmt: skip

# --- Indices ---------------------------------------------------------------------------------


def _torch_index(torch: Any, index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_torch_index(torch, part) for part in index)
    return torch.tensor(index) if isinstance(index, list | np.ndarray | np.generic) else index


def _added(a: np.ndarray, index: Any, shape: Any) -> np.ndarray:
    total = np.zeros(shape)
    np.add.at(total, index, a)
    return total


def _torch_added(torch: Any, a: Any, index: Any, shape: Any) -> Any:
    total = torch.zeros(shape, dtype=a.dtype)
    if isinstance(index, tuple) and isinstance(index[0], list):
        return total.index_put(_torch_index(torch, index), a, accumulate=True)
    total[_torch_index(torch, index)] = a
    return total


oracle("getitem", lambda x, index: x[index], lambda torch, x, index: x[_torch_index(torch, index)])
oracle("getitem: []", lambda x, index: x[np.array([], int)], "PyTorch has no empty list as an index")
oracle("getitem: backwards", lambda x, index: x[::-1, 2::-2], "PyTorch has no negative steps")
oracle("_add_at", _added, _torch_added)
oracle("take_along_axis", np.take_along_axis,
       lambda torch, x, indices, axis: torch.take_along_dim(x, torch.tensor(indices), axis))  # fmt: skip

# --- Products --------------------------------------------------------------------------------

oracle("matmul", np.matmul, named("matmul"))
oracle("dot", np.dot, lambda torch, a, b: a * b if not a.ndim or not b.ndim else
       torch.tensordot(a, b, dims=([-1], [-2 if b.ndim > 1 else 0])))  # fmt: skip
oracle("outer", np.outer, lambda torch, a, b: torch.outer(a.flatten(), b.flatten()))


def linear(x: np.ndarray, w: np.ndarray, b: Any = 0.0, activation: str | None = None) -> np.ndarray:
    return np.maximum(x @ w.T + b, 0) if activation else x @ w.T + b


def torch_linear(torch: Any, *arrays: Any, activation: str | None = None) -> Any:
    y = torch.nn.functional.linear(*arrays)
    return torch.relu(y) if activation else y


oracle("linear", linear, torch_linear)
oracle("linear: no features", lambda x, w: np.zeros((2, 3, 4)), functional("linear"))
oracle("linear: no outputs", lambda x, w: np.zeros((2, 3, 0)), functional("linear"))
oracle("einsum", lambda *a, subscripts: np.einsum(subscripts, *a),
       lambda torch, *a, subscripts: torch.einsum(subscripts, *a))  # fmt: skip
oracle("einsum: one operand twice", lambda a: a @ a.T, lambda torch, a: a @ a.T)
oracle("einsum: a constant operand", lambda a, constant: constant @ a,
       lambda torch, a, constant: torch.tensor(constant, dtype=a.dtype) @ a)  # fmt: skip
oracle("diagonal", np.diagonal, named("diagonal", axis1="dim1", axis2="dim2"))
oracle("trace", np.trace,
       lambda torch, x, offset, axis1, axis2: torch.diagonal(x, offset, axis1, axis2).sum(-1))  # fmt: skip
oracle("diagonal: (2, 3) (5, 0, 1)", np.diagonal, "PyTorch refuses an offset beyond the matrix")
oracle("trace: (2, 3) (5, 0, 1)", np.trace, "PyTorch refuses an offset beyond the matrix")
oracle("tril", np.tril, named("tril", k="diagonal"))
oracle("triu", np.triu, named("triu", k="diagonal"))

CASES = [case(call) for call in [*OPERATIONS, *IMAGE_OPERATIONS]]
