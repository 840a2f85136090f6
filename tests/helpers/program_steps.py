"""The steps of random programs: operations in this package and in PyTorch; see `programs`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from program_drafts import OPS, Draft, Op, axes_of, dims, named_axis

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import errors, ops

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")


def _unary() -> None:
    def draw(draft: Draft) -> Any:
        slot = draft.floating()
        return slot is not None and ((slot,), ())

    f = torch.nn.functional
    for name, theirs in {
        "exp": torch.exp,
        "expm1": torch.expm1,
        "log": torch.log,
        "log1p": torch.log1p,
        "sqrt": torch.sqrt,
        "square": torch.square,
        "reciprocal": torch.reciprocal,
        "sin": torch.sin,
        "cos": torch.cos,
        "tan": torch.tan,
        "arctan": torch.arctan,
        "sinh": torch.sinh,
        "cosh": torch.cosh,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "softplus": lambda x: f.softplus(x, threshold=1e9),
        "erf": torch.erf,
        "relu": torch.relu,
        "silu": f.silu,
        "abs": torch.abs,
        "sign": torch.sign,
        "gelu": f.gelu,
        "elu": f.elu,
        "negative": torch.negative,
        "leaky_relu": lambda x: f.leaky_relu(x, 0.01),
    }.items():
        OPS[name] = Op(draw, getattr(ops, name), theirs)
    OPS["gelu tanh"] = Op(draw, lambda x: ops.gelu(x, "tanh"), lambda x: f.gelu(x, approximate="tanh"))

    def bounds(draft: Draft) -> Any:
        slot = draft.floating()
        low, high = sorted(draft.rng.standard_normal(2).round(1).tolist())
        low, high = [(low, high), (low, None), (None, high), (high, low)][draft.below(4)]
        return slot is not None and ((slot,), (low, high))

    OPS["clip"] = Op(bounds, lambda x, low, high: x.clip(low, high), torch.clamp)


def _binary() -> None:
    def draw(draft: Draft) -> Any:
        first, second = draft.floating(), draft.numeric()
        if draft.chance(0.5):
            first, second = second, first
        return first is not None and draft.broadcast(first, second) and ((first, second), ())

    for name, ours, theirs in [
        ("add", lambda a, b: a + b, torch.add),
        ("subtract", lambda a, b: a - b, torch.subtract),
        ("multiply", lambda a, b: a * b, torch.multiply),
        ("divide", lambda a, b: a / b, torch.divide),
        ("maximum", ops.maximum, torch.maximum),
        ("minimum", ops.minimum, torch.minimum),
        ("power", lambda a, b: a.abs() ** b, lambda a, b: a.abs() ** b),
        ("remainder", lambda a, b: a % (b.abs() + 1), lambda a, b: a % (b.abs() + 1)),
    ]:
        OPS[name] = Op(draw, ours, theirs)
    OPS["where"] = Op(draw, lambda a, b: ops.where(a > b, a, b), lambda a, b: torch.where(a > b, a, b))

    def scalar(draft: Draft) -> Any:
        slot = draft.floating()
        number = [2, -1, 0, 0.5, 3, 1.5][draft.below(6)]
        kind = [int, float, np.float64, np.float32, np.int64][draft.below(5)]
        return slot is not None and ((slot,), (number if kind is int and number == 0.5 else kind(number),))

    def plain(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda a, c: function(a, c.item() if isinstance(c, np.generic) else c)

    for name, function in [
        ("add number", lambda a, c: a + c),
        ("subtract from number", lambda a, c: c - a),
        ("times number", lambda a, c: a * c),
        ("number over", lambda a, c: c / a),
        ("power of", lambda a, c: a**c),
        ("over number", lambda a, c: a / (c + 1)),
    ]:
        OPS[name] = Op(scalar, function, plain(function))


def _reductions() -> None:
    def draw(draft: Draft) -> Any:
        slot = draft.floating()
        if slot is None:
            return None
        return (slot,), (axes_of(draft, draft.shape(slot).__len__()), draft.chance(0.4))

    for name, theirs in {
        "sum": torch.sum,
        "mean": torch.mean,
        "max": torch.amax,
        "min": torch.amin,
        "logsumexp": torch.logsumexp,
    }.items():
        OPS[name] = Op(
            draw, getattr(ops, name), lambda x, axis, keep, f=theirs: f(x, dim=dims(x, axis), keepdim=keep)
        )
    for name in ("var", "std"):
        OPS[name] = Op(
            draw,
            lambda x, axis, keep, n=name: getattr(ops, n)(x, axis=axis, keepdims=keep),
            lambda x, axis, keep, n=name: getattr(torch, n)(x, dim=dims(x, axis), correction=0, keepdim=keep),
        )

    def one_axis(draft: Draft) -> Any:
        slot = draft.floating(least=1)
        return slot is not None and ((slot,), (named_axis(draft, len(draft.shape(slot))),))

    OPS["prod"] = Op(one_axis, lambda x, axis: x.prod(axis), torch.prod)
    OPS["cumsum"] = Op(one_axis, lambda x, axis: x.cumsum(axis), torch.cumsum)
    OPS["softmax"] = Op(one_axis, lambda x, axis: x.softmax(axis), torch.softmax)
    OPS["log_softmax"] = Op(one_axis, lambda x, axis: x.log_softmax(axis), torch.log_softmax)

    def order(draft: Draft) -> Any:
        slot = draft.floating(least=1)
        axis = slot is not None and axes_of(draft, len(draft.shape(slot)))
        return slot is not None and ((slot,), ([2, 1, 3, 0.5, np.inf, 1.5][draft.below(6)], axis))

    OPS["norm"] = Op(
        order,
        lambda x, ord, axis: x.norm(ord, axis),
        lambda x, ord, axis: torch.linalg.vector_norm(x, ord, dim=dims(x, axis)),
    )


def _shapes() -> None:
    def any_value(draft: Draft, least: int = 0) -> int | None:
        return draft.numeric(least)

    def reshaped(draft: Draft) -> Any:
        slot = any_value(draft)
        shape = draft.shape(slot)
        if draft.chance(0.5):
            size = int(np.prod(shape))
            parts = [n for n in range(1, size + 1) if size % n == 0] if size else []
            first = parts[draft.below(len(parts))] if parts else 0
            return (slot,), ((first, size // first) if first else (0, 2),)
        cut = draft.below(len(shape) + 1)
        return (slot,), ((*shape[:cut], 1, *shape[cut:]),)

    OPS["reshape"] = Op(reshaped, lambda x, shape: x.reshape(shape), torch.reshape, "view")

    def permuted(draft: Draft) -> Any:
        slot = any_value(draft, 2)
        return slot is not None and (
            (slot,),
            (tuple(draft.rng.permutation(len(draft.shape(slot))).tolist()),),
        )

    OPS["transpose"] = Op(permuted, lambda x, axes: x.transpose(axes), torch.permute, "view")

    def spread(draft: Draft) -> Any:
        slot = any_value(draft)
        shape = [draft.below(3) + 1 if n == 1 else n for n in draft.shape(slot)]
        return (slot,), ((*([2] * draft.below(2)), *shape),)

    OPS["broadcast_to"] = Op(spread, lambda x, shape: x.broadcast_to(shape), torch.broadcast_to, "view")

    def basic(draft: Draft) -> Any:
        slot = any_value(draft, 1)
        if slot is None:
            return None
        index: list[Any] = []
        for n in draft.shape(slot):
            choice = draft.below(4)
            if choice == 0 and n:
                index.append(draft.below(2 * n) - n)
            elif choice == 1:
                index.append(slice(draft.below(n + 1), None, draft.below(2) + 1))
            elif choice == 2:
                index.append(slice(None, draft.below(n + 1)))
            else:
                index.append(slice(None))
        if draft.chance(0.2):
            index.insert(draft.below(len(index) + 1), None)
        if draft.chance(0.3):
            index = [index[0]]
        return (slot,), (tuple(index) if len(index) > 1 or draft.chance(0.5) else index[0],)

    OPS["part"] = Op(basic, lambda x, index: x[index], lambda x, index: x[index], "view")

    def flipped(draft: Draft) -> Any:
        slot = draft.floating(least=1)
        return slot is not None and ((slot,), (named_axis(draft, len(draft.shape(slot))),))

    # A view in NumPy and here, a copy in PyTorch.
    OPS["flip"] = Op(flipped, lambda x, axis: x.flip(axis).copy(), lambda x, axis: torch.flip(x, (axis,)))
    OPS["roll"] = Op(flipped, lambda x, axis: x.roll(2, axis), lambda x, axis: torch.roll(x, 2, axis))
    OPS["repeat"] = Op(
        flipped, lambda x, axis: x.repeat(2, axis), lambda x, axis: x.repeat_interleave(2, axis)
    )
    OPS["pad"] = Op(
        flipped,
        lambda x, axis: ops.pad(x, [(1, 2) if i == axis % x.ndim else (0, 0) for i in range(x.ndim)]),
        lambda x, axis: torch.nn.functional.pad(
            x, [n for i in reversed(range(x.ndim)) for n in ((1, 2) if i == axis % x.ndim else (0, 0))]
        ),
    )

    def joined(draft: Draft) -> Any:
        slot = draft.floating(least=1)
        if slot is None:
            return None
        axis = named_axis(draft, len(draft.shape(slot)))
        others = [i for i in draft.floats() if draft.joins(slot, i, axis)]
        return (slot, draft.pick(others)), (axis,)

    OPS["concatenate"] = Op(
        joined, lambda a, b, axis: ops.concatenate([a, b], axis), lambda a, b, axis: torch.cat([a, b], axis)
    )


def _indices() -> None:
    def at_tensor(draft: Draft) -> Any:
        slot = draft.floating(least=1)
        indices = [
            i for i in draft.integers() if slot is not None and draft.fits_index(i, draft.shape(slot)[0])
        ]
        return bool(indices) and ((slot, draft.pick(indices)), ())

    def long(index: Any) -> Any:
        return index.long()

    OPS["gather"] = Op(at_tensor, lambda x, index: x[index], lambda x, index: x[long(index)])

    def rows(draft: Draft) -> Any:
        found = at_tensor(draft)
        fits = found and len(draft.shape(found[0][0])) == 2 and bool((draft.values[found[0][1]] >= 0).all())
        return fits and found

    OPS["embedding"] = Op(
        rows,
        lambda x, index: F.embedding(index, x),
        lambda x, index: torch.nn.functional.embedding(long(index), x),
    )

    def along(draft: Draft) -> Any:
        slot = draft.floating(least=1)
        shape = () if slot is None else draft.shape(slot)
        fits = [
            i
            for i in draft.integers()
            if len(draft.shape(i)) == len(shape) == 1
            and shape[0]
            and draft.fits_index(i, shape[0], negative=False)
        ]
        return bool(fits) and ((slot, draft.pick(fits)), ())

    OPS["take_along_axis"] = Op(
        along,
        lambda x, index: ops.take_along_axis(x, index, 0),
        lambda x, index: torch.take_along_dim(x, long(index), 0),
    )

    def labels(draft: Draft) -> Any:
        slot = draft.floating(least=2)
        shape = () if slot is None else draft.shape(slot)
        fits = [
            i
            for i in draft.integers()
            if len(shape) == 2
            and draft.shape(i) == shape[:1]
            and shape[1]
            and draft.fits_index(i, shape[1], negative=False)
        ]
        ignored = [-100, 0, 1][draft.below(3)]
        smooth = [0.0, 0.1][draft.below(2)]
        return bool(fits) and ((slot, draft.pick(fits)), (ignored, smooth))

    OPS["cross_entropy"] = Op(
        labels,
        lambda x, y, ignored, smooth: F.cross_entropy(x, y, ignore_index=ignored, label_smoothing=smooth),
        lambda x, y, ignored, smooth: torch.nn.functional.cross_entropy(
            x, long(y), ignore_index=ignored, label_smoothing=smooth
        ),
    )
    OPS["nll_loss"] = Op(
        labels,
        lambda x, y, ignored, smooth: F.nll_loss(x, y, ignore_index=ignored),
        lambda x, y, ignored, smooth: torch.nn.functional.nll_loss(x, long(y), ignore_index=ignored),
    )


def _losses() -> None:
    def draw(draft: Draft) -> Any:
        slot = draft.floating()
        fits = [
            i
            for i in draft.floats()
            if slot is not None
            and draft.shape(i) == draft.shape(slot)
            and draft.values[i].dtype == draft.values[slot].dtype
        ]
        return bool(fits) and ((slot, draft.pick(fits)), (["mean", "sum", "none"][draft.below(3)],))

    def _loss(function: Callable[..., Any]) -> Callable[..., Any]:
        squash = function.__name__.startswith("binary")
        return lambda a, b, reduction: function(a, b.sigmoid() if squash else b, reduction=reduction)

    f = torch.nn.functional
    for name in ("mse_loss", "l1_loss", "huber_loss", "binary_cross_entropy_with_logits"):
        OPS[name] = Op(
            draw,
            _loss(getattr(F, name)),
            _loss(getattr(f, name)),
        )


def _products() -> None:
    def draw(draft: Draft) -> Any:
        slot = draft.floating(least=1)
        fits = [i for i in draft.floats() if slot is not None and draft.multiplies(slot, i)]
        return bool(fits) and ((slot, draft.pick(fits)), ())

    OPS["matmul"] = Op(draw, lambda a, b: a @ b, torch.matmul)

    def features(draft: Draft) -> Any:
        slot = draft.floating(least=1)
        fits = [
            i
            for i in draft.floats()
            if slot is not None
            and len(draft.shape(i)) == 2
            and draft.shape(i)[1] == draft.shape(slot)[-1]
            and draft.values[i].dtype == draft.values[slot].dtype
        ]
        return bool(fits) and ((slot, draft.pick(fits)), (draft.chance(0.5),))

    OPS["linear"] = Op(
        features,
        lambda x, w, relu: F.linear(x, w, activation="relu" if relu else None),
        lambda x, w, relu: (
            torch.relu(torch.nn.functional.linear(x, w)) if relu else torch.nn.functional.linear(x, w)
        ),
    )

    def last(draft: Draft) -> Any:
        slot = draft.floating(least=1)
        return slot is not None and draft.shape(slot)[-1] > 1 and ((slot,), ())

    OPS["layer_norm"] = Op(
        last,
        lambda x: ops.layer_norm(x, x.shape[-1:]),
        lambda x: torch.nn.functional.layer_norm(x.contiguous(), x.shape[-1:]),
    )


def _images() -> None:
    f = torch.nn.functional

    def image(draft: Draft, least: int = 1) -> int | None:
        fits = [
            i
            for i in draft.floats()
            if len(draft.shape(i)) == 4 and min(draft.shape(i)[2:]) >= least and min(draft.shape(i)) > 0
        ]
        return draft.pick(fits) if fits else None

    def filtered(draft: Draft) -> Any:
        x = image(draft)
        if x is None:
            return None
        channels, dtype = draft.shape(x)[1], draft.values[x].dtype
        fits = [
            i
            for i in draft.floats()
            if len(draft.shape(i)) == 4
            and draft.shape(i)[1] == channels
            and min(draft.shape(i)[2:]) > 0
            and max(draft.shape(i)[2:]) <= 5
            and draft.values[i].dtype == dtype
        ]
        return bool(fits) and ((x, draft.pick(fits)), (draft.below(2) + 1, draft.below(3)))

    OPS["conv2d"] = Op(
        filtered,
        lambda x, w, stride, padding: F.conv2d(x, w, stride=stride, padding=padding),
        lambda x, w, stride, padding: f.conv2d(x, w, stride=stride, padding=padding),
    )

    def windows(draft: Draft) -> Any:
        x = image(draft)
        size, stride = draft.below(3) + 1, draft.below(3) + 1
        padding = draft.below(size // 2 + 1)
        return x is not None and ((x,), (size, stride, padding, draft.chance(0.3)))

    OPS["max_pool2d"] = Op(
        windows,
        lambda x, *s: F.max_pool2d(x, *s[:3], ceil_mode=s[3]),
        lambda x, *s: f.max_pool2d(x, *s[:3], ceil_mode=s[3]),
    )
    OPS["avg_pool2d"] = Op(
        windows,
        lambda x, *s: F.avg_pool2d(x, *s[:3], ceil_mode=s[3]),
        lambda x, *s: f.avg_pool2d(x, *s[:3], ceil_mode=s[3]),
    )

    def sizes(draft: Draft) -> Any:
        x = image(draft)
        return x is not None and ((x,), ((draft.below(4) + 1, draft.below(4) + 1),))

    OPS["adaptive_avg_pool2d"] = Op(sizes, F.adaptive_avg_pool2d, f.adaptive_avg_pool2d)
    for mode in ("nearest", "bilinear"):
        OPS[f"interpolate {mode}"] = Op(
            sizes,
            lambda x, size, m=mode: F.interpolate(x, size=size, mode=m),
            lambda x, size, m=mode: f.interpolate(x, size=size, mode=m),
        )

    def several(draft: Draft) -> Any:
        x = image(draft)
        shape = x is not None and draft.shape(x)
        return bool(shape) and shape[0] * shape[2] * shape[3] > 1 and ((x,), ())

    # PyTorch's own gradient is wrong for permuted inputs with axes of size one, so it gets contiguous ones.
    OPS["batch_norm"] = Op(
        several,
        lambda x: ops.batch_norm(x, training=True),
        lambda x: f.batch_norm(x.contiguous(), None, None, training=True),
    )


def _writes() -> None:
    def draw(draft: Draft) -> Any:
        slot = draft.pick(range(len(draft.values)))
        return (slot,), (draft.below(3) + 1,)

    def under_no_grad(library: Any, change: Callable[[Any, Any], None]) -> Callable[..., None]:
        def write(x: Any, number: int) -> None:
            with library.no_grad():
                change(x, number)

        return write

    def plus(x: Any, number: int) -> None:
        x += number

    def times(x: Any, number: int) -> None:
        x *= number

    def fill(x: Any, number: int) -> None:
        x[...] = number

    for name, change in (("write +=", plus), ("write *=", times), ("write fill", fill)):
        OPS[name] = Op(draw, under_no_grad(tg, change), under_no_grad(torch, change), "write")

    def assigned(draft: Draft) -> Any:
        slot, other = draft.floating(derived=True), draft.floating()
        return slot is not None and draft.broadcast(slot, other) and ((slot, other), ())

    def assign(symbol: str) -> Callable[[Any, Any], None]:
        def change(x: Any, other: Any) -> None:
            if symbol == "+":
                x += other
            elif symbol == "-":
                x -= other
            else:
                x *= other

        return change

    for symbol in "+-*":
        OPS[f"{symbol}="] = Op(assigned, assign(symbol), assign(symbol), "assign")

    def alias(draft: Draft) -> Any:
        return (draft.pick(range(len(draft.values))),), ()

    OPS["name"] = Op(alias, lambda x: x, lambda x: x, "name")

    def hooked(draft: Draft) -> Any:
        slot = draft.floating(derived=True)
        # PyTorch 2.13 crashes on a hook of a view whose base was changed in place.
        return slot is not None and not draft.values[slot]._is_view() and ((slot,), ())

    def our_hook(x: Any) -> None:
        if x.requires_grad:  # a float64 mask, as in NumPy
            x.register_hook(lambda g: g * (np.arange(g.size).reshape(g.shape) % 3 > 0).astype(np.float64))

    def their_hook(x: Any) -> None:
        if x.requires_grad:
            x.register_hook(lambda g: g * (torch.arange(g.numel()).reshape(g.shape) % 3 > 0).to(g.dtype))

    OPS["hook"] = Op(hooked, our_hook, their_hook, "hook")


def _long_sums() -> None:
    """Sums of many rows, where sequential addition in float32 would lose the small terms."""

    def rows(draft: Draft) -> Any:
        fits = [i for i in draft.floats() if len(draft.shape(i)) == 2 and draft.shape(i)[0] > 1000]
        return draft.pick(fits) if fits else None

    def alone(draft: Draft) -> Any:
        slot = rows(draft)
        return slot is not None and ((slot,), ())

    for name, ours, theirs in [
        ("sum rows", lambda x: x.sum(0), lambda x: x.sum(0)),
        ("mean rows", lambda x: x.mean(0), lambda x: x.mean(0)),
        ("var rows", lambda x: x.var(0), lambda x: x.var(0, correction=0)),
        ("norm rows", lambda x: x.norm(2, 0), lambda x: torch.linalg.vector_norm(x, 2, dim=0)),
        ("cumsum rows", lambda x: x.cumsum(0)[-1], lambda x: x.cumsum(0)[-1]),
    ]:
        OPS[name] = Op(alone, ours, theirs)

    def beside(draft: Draft) -> Any:
        slot = rows(draft)
        fits = [i for i in draft.floats() if draft.shape(i) == (4,)]
        return slot is not None and bool(fits) and ((slot, draft.pick(fits)), ())

    OPS["spread"] = Op(beside, lambda x, b: x * b, lambda x, b: x * b)
    OPS["bias"] = Op(
        beside,
        lambda x, b: F.linear(x, tg.eye(4), b),
        lambda x, b: torch.nn.functional.linear(x, torch.eye(4, dtype=x.dtype), b),
    )


def _refusals() -> None:
    """Masked arrays, which every entry point rejects by name."""

    def draw(draft: Draft) -> Any:
        slot = draft.numeric()
        return slot is not None and ((slot,), (draft.below(len(doors)),))

    def masked(x: Any) -> Any:
        return np.ma.masked_array(np.ones(x.shape), mask=np.ones(x.shape, bool))

    def assign(x: Any) -> None:
        with tg.no_grad():
            x[...] = masked(x)

    doors: list[Callable[[Any], Any]] = [
        lambda x: x + masked(x),
        lambda x: tg.tensor(masked(x)),
        lambda x: x[np.ma.masked_array([0], mask=[True])],
        assign,
        lambda x: ops.maximum(x, masked(x)),
    ]

    def ours(x: Any, door: int) -> None:
        try:
            doors[door](x)
        except errors.DTypeError:
            return
        raise AssertionError(f"door {door} takes a masked array")

    OPS["masked"] = Op(draw, ours, lambda x, door: None, "refusal")


for _family in (
    _unary,
    _binary,
    _reductions,
    _shapes,
    _indices,
    _losses,
    _products,
    _images,
    _writes,
    _long_sums,
    _refusals,
):
    _family()
