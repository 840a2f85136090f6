"""Random programs: gradients of first and second order against central differences and PyTorch."""

import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leaves import close

import tinygrad_adam as tg

HAS_TORCH = importlib.util.find_spec("torch") is not None

# Every function keeps values small and shapes such that any two of them broadcast. `m` is
# tinygrad_adam or torch.
UNARY = [
    lambda m, a: m.tanh(a),
    lambda m, a: m.sin(a),
    lambda m, a: m.sigmoid(a),
    lambda m, a: m.exp(-a * a),
    lambda m, a: 0.5 * a,
    lambda m, a: 1.0 - a,
    lambda m, a: m.log1p(m.square(a)),
    lambda m, a: a.mean(),
    lambda m, a: a.mean(axis=-1, keepdims=True) if a.ndim else a,
    lambda m, a: a.reshape((1, *a.shape)) if a.ndim < 3 else a.reshape(a.shape),
    lambda m, a: m.roll(a, 1),
    lambda m, a: a[..., [0, 0]].mean(axis=-1, keepdims=True) if a.ndim else a * 2.0 - a,
    lambda m, a: a[..., :1] if a.ndim else a,
]
BINARY = [
    lambda m, a, b: (a + b) * 0.5,
    lambda m, a, b: (a - b) * 0.5,
    lambda m, a, b: a * m.tanh(b),
    lambda m, a, b: a / (1 + b * b),
    lambda m, a, b: m.stack([a + b, a - b]).mean(axis=0),
    lambda m, a, b: m.tanh(m.matmul(a.reshape(-1, 1), b.reshape(1, -1)).mean()),
]
SHAPES = [(), (3,), (1,), (2, 3), (2, 1), (1, 3)]


@st.composite
def programs(draw):
    """Give shapes of inputs and instructions, each a function and the values it takes."""
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3))
    instructions = []
    for i in range(draw(st.integers(3, 12))):
        place = st.integers(0, len(shapes) + i - 1)
        if draw(st.booleans()):
            instructions.append((draw(st.sampled_from(UNARY)), draw(place)))
        else:
            instructions.append((draw(st.sampled_from(BINARY)), draw(place), draw(place)))
    return shapes, instructions, draw(st.integers(0, 2**32 - 1))


def run(m, instructions, inputs):
    values = list(inputs)
    for function, *places in instructions:
        values.append(function(m, *(values[i] for i in places)))
    return sum(v.mean() * weight for v, weight in zip(reversed(values), (1.0, -0.7, 0.4, 0.3), strict=False))


def arrays_for(shapes, seed):
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.uniform(-2, 2, shape)) for shape in shapes]


@settings(max_examples=60)
@given(programs())
def test_random_programs_against_central_differences(program):
    shapes, instructions, seed = program
    inputs = [tg.tensor(a, requires_grad=True) for a in arrays_for(shapes, seed)]
    assert tg.gradcheck(lambda *xs: run(tg, instructions, xs), inputs)


@settings(max_examples=25)
@given(programs())
def test_random_programs_to_second_order_against_central_differences(program):
    shapes, instructions, seed = program
    inputs = [tg.tensor(a, requires_grad=True) for a in arrays_for(shapes, seed)]
    assert tg.gradgradcheck(lambda *xs: run(tg, instructions, xs), inputs, atol=1e-5, rtol=1e-5)


@pytest.mark.torch
@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
@settings(max_examples=60)
@given(programs())
def test_random_programs_against_torch(program):
    import torch

    shapes, instructions, seed = program
    arrays = arrays_for(shapes, seed)
    ours = [tg.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]

    value, value_torch = run(tg, instructions, ours), run(torch, instructions, theirs)
    close(value, value_torch.item(), rtol=1e-9)
    value.backward(create_graph=True)
    first = [x.grad for x in ours]
    first_torch = torch.autograd.grad(value_torch, theirs, create_graph=True, allow_unused=True)
    for g, g_torch in zip(first, first_torch, strict=True):
        assert (g is None) == (g_torch is None)
        if g is not None:
            close(g, g_torch.detach().numpy(), rtol=1e-8, atol=1e-10)

    # And once more, through the gradient.
    norm = sum((g * g).sum() for g in first if g is not None)
    norm_torch = sum((g * g).sum() for g in first_torch if g is not None)
    for x in ours:
        x.grad = None
    if getattr(norm, "requires_grad", False):
        norm.backward()
    second_torch = [None] * len(theirs)
    if getattr(norm_torch, "requires_grad", False):
        second_torch = torch.autograd.grad(norm_torch, theirs, allow_unused=True)
    for x, g_torch in zip(ours, second_torch, strict=True):
        expected = np.zeros(x.shape) if g_torch is None else g_torch.numpy()
        close(np.zeros(x.shape) if x.grad is None else x.grad, expected, rtol=1e-7, atol=1e-9)


@settings(max_examples=40)
@given(programs(), st.data())
def test_random_programs_in_mixed_precision_give_each_input_its_own_dtype(program, data):
    shapes, instructions, seed = program
    arrays = arrays_for(shapes, seed)
    dtypes = [data.draw(st.sampled_from([np.float32, np.float64])) for _ in arrays]
    mixed = [tg.tensor(a, dtype=d, requires_grad=True) for a, d in zip(arrays, dtypes, strict=True)]
    exact = [tg.tensor(a, requires_grad=True) for a in arrays]
    run(tg, instructions, mixed).backward()
    run(tg, instructions, exact).backward()
    for x, dtype, twin in zip(mixed, dtypes, exact, strict=True):
        assert (x.grad is None) == (twin.grad is None)
        if x.grad is not None:
            assert x.grad.dtype == dtype
            close(x.grad, twin.grad.numpy(), rtol=1e-3, atol=1e-4)


@settings(max_examples=30)
@given(programs())
def test_grad_backward_and_a_reserved_place_agree(program):
    shapes, instructions, seed = program
    inputs = [tg.tensor(a, requires_grad=True) for a in arrays_for(shapes, seed)]
    run(tg, instructions, inputs).backward()
    by_backward = [x.grad for x in inputs]
    for x in inputs:
        x.grad = None
        x._grad_buffer = np.full(x.shape, np.nan)
    run(tg, instructions, inputs).backward()
    for x, g in zip(inputs, by_backward, strict=True):
        if g is None:
            assert x.grad is None
            continue
        assert x.grad.data is x._grad_buffer
        close(x.grad, g.numpy())
        close(tg.grad(run(tg, instructions, inputs), x), g.numpy())
