"""Optimizers, schedules and clipping: closed forms, mutants, flat storage, state, wrong use."""

from __future__ import annotations

import copy
import importlib.util
import inspect
import math
import pickle
import types
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_adam as tg
from tinygrad_adam import errors, nn, optim
from tinygrad_adam.backend.kernels import reference_optim

HAS_NUMBA = importlib.util.find_spec("numba") is not None
needs_numba = pytest.mark.skipif(not HAS_NUMBA, reason="Numba is not installed: there are no fast kernels")
KERNELS = ["reference", pytest.param("fast", marks=needs_numba)]

EVERY = {"sgd": optim.SGD, "adam": optim.Adam, "adamw": optim.AdamW}
"""Every optimizer must be here; those without a closed form below fail a test."""


def exported_optimizers():
    return {
        value
        for value in vars(optim).values()
        if inspect.isclass(value) and issubclass(value, optim.Optimizer) and value is not optim.Optimizer
    }


def parameter(*values, dtype=np.float64):
    return nn.Parameter(np.array(values, dtype))


def give(p, gradient):
    p.grad = np.broadcast_to(np.asarray(gradient, p.dtype), p.shape).copy()


def take_steps(opt, p, gradients):
    for g in gradients:
        give(p, g)
        opt.step()


# --- Closed forms ------------------------------------------------------------------------------
# Plain transcriptions in Python floats, one element. A large eps tells where it stands; gradients that
# shrink and then grow tell AMSGrad's maximum from none and from one of corrected moments.


def algorithm_1(
    theta, gradients, lr, betas, eps, weight_decay=0.0, amsgrad=False, decoupled=False
):  # fmt: skip
    """Kingma & Ba, Algorithm 1; Reddi et al.; Loshchilov & Hutter. `lr` is one number a step."""
    m = v = v_max = 0.0
    path = []
    for t, (g, alpha) in enumerate(zip(gradients, lr, strict=True), 1):
        if decoupled:
            theta = theta - alpha * weight_decay * theta
        else:
            g = g + weight_decay * theta
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        v_max = max(v_max, v)
        m_hat = m / (1 - betas[0] ** t)
        v_hat = (v_max if amsgrad else v) / (1 - betas[1] ** t)
        theta = theta - alpha * m_hat / (math.sqrt(v_hat) + eps)
        path.append(theta)
    return path


def heavy_ball(theta, gradients, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
    u = None
    path = []
    for g, alpha in zip(gradients, lr, strict=True):
        g = g + weight_decay * theta
        u = g if u is None else momentum * u + (1 - dampening) * g
        theta = theta - alpha * (g + momentum * u if nesterov else u if momentum else g)
        path.append(theta)
    return path


GRADIENTS = [4.0, -2.0, 1.0, 0.5, 0.25, -0.125, 4.5, 1.0]
LRS = [0.1, 0.1, 0.05, 0.05, 0.2, 0.02, 0.1, 0.05]
THETA = 1.5

ADAM_OPTIONS = [
    {"betas": (0.9, 0.999), "eps": 0.1},
    {"betas": (0.5, 0.7), "eps": 0.1},
    {"betas": (0.5, 0.7), "eps": 0.1, "amsgrad": True},
    {"betas": (0.5, 0.7), "eps": 0.1, "weight_decay": 0.3},
    {"betas": (0.5, 0.7), "eps": 0.1, "weight_decay": 0.3, "amsgrad": True},
    {"betas": (0.0, 0.9), "eps": 1e-8},
    {"betas": (0.9, 0.0), "eps": 0.1},
    {"betas": (0.5, 0.7), "eps": 0.0},
]
SGD_OPTIONS = [
    {},
    {"weight_decay": 0.3},
    {"momentum": 0.8},
    {"momentum": 0.8, "dampening": 0.4},
    {"momentum": 0.8, "nesterov": True, "weight_decay": 0.3},
    {"momentum": 0.8, "dampening": 1.0, "weight_decay": 0.1},
]


def expected_path(cls, options):
    if cls is optim.SGD:
        return heavy_ball(THETA, GRADIENTS, LRS, **options)
    return algorithm_1(
        THETA, GRADIENTS, LRS, decoupled=cls is optim.AdamW, **{"weight_decay": 0.0, **options}
    )


CLOSED_FORMS = [
    (cls, options)
    for cls, table in ((optim.Adam, ADAM_OPTIONS), (optim.AdamW, ADAM_OPTIONS), (optim.SGD, SGD_OPTIONS))
    for options in table
]


def check_closed_form(cls, options):
    if cls is not optim.SGD:
        options = {"weight_decay": 0.0, **options}
    p = parameter(THETA, -THETA)  # two elements: the second must mirror the first
    opt = cls([p], **options)
    for g, lr, wanted in zip(GRADIENTS, LRS, expected_path(cls, options), strict=True):
        opt.param_groups[0]["lr"] = lr
        give(p, [g, -g])
        opt.step()
        np.testing.assert_allclose(p.data, [wanted, -wanted], rtol=1e-13)


def test_every_exported_optimizer_is_tested():
    assert exported_optimizers() == set(EVERY.values())
    assert optim.OPTIMIZERS == EVERY
    assert {cls for cls, _ in CLOSED_FORMS} == set(EVERY.values())


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize(("cls", "options"), CLOSED_FORMS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_closed_forms(cls, options, kernels):
    with tg.use_kernels(kernels):
        check_closed_form(cls, options)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("cls", [optim.Adam, optim.AdamW])
def test_the_first_step_is_lr_in_the_direction_of_the_sign(cls, kernels):
    p = parameter(0.0, 0.0, 0.0)
    with tg.use_kernels(kernels):
        take_steps(cls([p], lr=0.01, eps=1e-12), p, [[1e-3, -7.0, 1e5]])
    np.testing.assert_allclose(p.data, [-0.01, 0.01, -0.01], rtol=1e-8)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", EVERY)
def test_float32_follows_float64(name, kernels):
    paths = []
    for dtype in (np.float32, np.float64):
        rng = np.random.default_rng(0)
        p = nn.Parameter(rng.standard_normal(100).astype(dtype))
        opt = EVERY[name]([p], lr=0.01, weight_decay=0.1)
        with tg.use_kernels(kernels):
            take_steps(opt, p, rng.standard_normal((200, 100)))
        assert p.dtype == dtype
        paths.append(p.data)
    np.testing.assert_allclose(paths[0], paths[1], atol=1e-4)


# --- Mutants -----------------------------------------------------------------------------------

M_HAT, V_HAT = "m_hat = m / (1 - beta1**step)", "v_hat = v / (1 - beta2**step)"
AMSGRAD = "        xp.maximum(v_max, v, out=v_max)\n        v = v_max\n"
DECOUPLED = "            param *= 1 - lr * weight_decay\n"
UPDATE = "param -= lr * m_hat / (xp.sqrt(v_hat) + eps)"

MUTANTS = {
    "adam: no power in the first correction": (M_HAT, "m_hat = m / (1 - beta1)"),
    "adam: no power in the second correction": (V_HAT, "v_hat = v / (1 - beta2)"),
    "adam: first correction missing": (M_HAT, "m_hat = m"),
    "adam: second correction missing": (V_HAT, "v_hat = v"),
    "adam: first correction one step late": (M_HAT, "m_hat = m / (1 - beta1**(step + 1))"),
    "adam: second correction one step late": (V_HAT, "v_hat = v / (1 - beta2**(step + 1))"),
    "adam: corrections exchanged": (M_HAT, "m_hat = m / (1 - beta2**step)"),
    "adam: eps inside the root": ("(xp.sqrt(v_hat) + eps)", "xp.sqrt(v_hat + eps)"),
    "adam: square of eps inside the root": ("(xp.sqrt(v_hat) + eps)", "xp.sqrt(v_hat + eps**2)"),
    "adam: eps hat": ("xp.sqrt(v_hat) + eps", "xp.sqrt(v_hat) + eps / (1 - beta2**step) ** 0.5"),
    "adam: eps dropped": ("xp.sqrt(v_hat) + eps", "xp.sqrt(v_hat)"),
    "adam: no root": ("xp.sqrt(v_hat)", "v_hat"),
    "adam: decays exchanged": ("if decoupled:", "if not decoupled:"),
    "adam: coupled decay dropped": ("grad = grad + weight_decay * param", "pass"),
    "adam: coupled decay of the wrong sign": ("grad + weight_decay", "grad - weight_decay"),
    "adam: decoupled decay dropped": (DECOUPLED, "            pass\n"),
    "adam: decoupled decay without lr": ("1 - lr * weight_decay", "1 - weight_decay"),
    "adam: decoupled decay after the step": (
        UPDATE,
        "param /= 1 - lr * weight_decay if decoupled else 1\n"
        "    param -= lr * m_hat / (xp.sqrt(v_hat) + eps)\n"
        "    param *= 1 - lr * weight_decay if decoupled else 1",
    ),
    "adam: amsgrad without the maximum": (AMSGRAD, "        pass\n"),
    "adam: amsgrad forgets to use it": ("        v = v_max\n", ""),
    "adam: amsgrad with the minimum": ("xp.maximum", "xp.minimum"),
    "adam: amsgrad after the correction": (
        AMSGRAD + "    m_hat = m / (1 - beta1**step)\n    v_hat = v / (1 - beta2**step)",
        "        xp.maximum(v_max, v / (1 - beta2**step), out=v_max)\n"
        "    m_hat = m / (1 - beta1**step)\n"
        "    v_hat = v / (1 - beta2**step) if v_max is None else v_max",
    ),
    "adam: amsgrad overwrites the moment": ("out=v_max)", "out=v_max)\n        v[...] = v_max"),
    "adam: sign flipped": ("param -= lr * m_hat", "param += lr * m_hat"),
    "adam: gradient in place of the mean": ("lr * m_hat", "lr * grad"),
    "adam: first moment not decayed": ("m *= beta1", "m *= 1"),
    "adam: first moment not averaged": ("m += (1 - beta1) * grad", "m += grad"),
    "adam: betas exchanged": ("m += (1 - beta1)", "m += (1 - beta2)"),
    "adam: second moment not decayed": ("v *= beta2", "v *= 1"),
    "adam: second moment without the square": ("grad * grad", "xp.abs(grad)"),
    "sgd: sign flipped": ("param -= lr", "param += lr"),
    "sgd: lr dropped": ("param -= lr * grad", "param -= grad"),
    "sgd: decay dropped": ("grad = grad + weight_decay * param", "pass"),
    "sgd: decay of the wrong sign": ("grad + weight_decay", "grad - weight_decay"),
    "sgd: Nesterov dropped": ("grad + momentum * velocity if nesterov else velocity", "velocity"),
    "sgd: Nesterov always": ("if nesterov else velocity", "if True else velocity"),
    "sgd: Nesterov without the gradient": ("grad + momentum * velocity if", "momentum * velocity if"),
    "sgd: dampening dropped": ("(1 - dampening) * grad", "grad"),
    "sgd: dampening in place of the rest": ("(1 - dampening)", "dampening"),
    "sgd: momentum dropped": ("velocity *= momentum", "velocity *= 0"),
    "sgd: velocity not decayed": ("velocity *= momentum", "pass"),
    "sgd: first velocity dampened": ("velocity[...] = grad", "velocity[...] = (1 - dampening) * grad"),
    "sgd: first velocity left at zero": ("velocity[...] = grad", "pass"),
    "sgd: every step like the first": ("if first:", "if True:"),
}


def mutant_of(name, old, new):
    source = inspect.getsource(getattr(reference_optim, name))
    assert source.count(old) == 1, f"the mutant no longer fits the source: {old}"
    namespace = {"Any": object}
    exec(source.replace(old, new), namespace)
    return namespace[name]


def run_closed_forms(kernels, name):
    """Run all closed forms of a kernel with the given reference kernels."""
    for cls, options in CLOSED_FORMS:
        if (cls is optim.SGD) == (name == "sgd"):
            check_closed_form(cls, options)


@pytest.mark.parametrize("label", MUTANTS)
def test_mutants_are_caught(label, monkeypatch):
    name = label.split(":")[0]
    kernel = mutant_of(name, *MUTANTS[label])
    table = types.SimpleNamespace(**{name: partial(kernel, np)})
    monkeypatch.setattr(
        optim.optimizer, "backend_of", lambda _: types.SimpleNamespace(tables={"reference": table})
    )
    with (
        tg.use_kernels("reference"),
        np.errstate(all="ignore"),
        pytest.raises(AssertionError, match="Not equal to tolerance"),
    ):
        run_closed_forms(table, name)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_an_unchanged_copy_is_no_mutant(name, monkeypatch):
    table = types.SimpleNamespace(**{name: partial(mutant_of(name, "param -=", "param -="), np)})
    monkeypatch.setattr(
        optim.optimizer, "backend_of", lambda _: types.SimpleNamespace(tables={"reference": table})
    )
    with tg.use_kernels("reference"):
        run_closed_forms(table, name)


# --- Fast kernels against the reference --------------------------------------------------------


def adam_arrays(rng, size, dtype, amsgrad, step):
    scale = 0.0 if step == 1 else 1.0
    p, g, m = (rng.standard_normal(size).astype(dtype) for _ in range(3))
    v, v_max = (rng.random(size).astype(dtype) * dtype(scale) for _ in range(2))
    return [p, g, m * dtype(scale), v, v_max if amsgrad else None]


def sgd_arrays(rng, size, dtype, momentum, first):
    p, g, u = (rng.standard_normal(size).astype(dtype) for _ in range(3))
    return [p, g, (u * dtype(not first)) if momentum else None]


def run_fast_and_reference(name, arrays, **scalars):
    from tinygrad_adam.backend.kernels import cpu_optim

    results = []
    for kernel in (getattr(cpu_optim, name), partial(getattr(reference_optim, name), np)):
        copies = [None if a is None else a.copy() for a in arrays]
        with np.errstate(all="ignore"):
            kernel(*copies, **scalars)
        results.append(copies)
    return results


def assert_alike(results, dtype):
    # Float32: the fast kernel rounds 1 - beta, the reference 1 - beta before rounding; for
    # beta = 0.999 the two differ by 1e-5 of the second moment.
    tolerance = {"rtol": 1e-12, "atol": 1e-14} if dtype == np.float64 else {"rtol": 1e-4, "atol": 1e-6}
    for fast, slow in zip(*results, strict=True):
        assert (fast is None) == (slow is None)
        if fast is not None:
            assert fast.dtype == slow.dtype == dtype
            np.testing.assert_allclose(fast, slow, **tolerance)


@needs_numba
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(0, 300),
    dtype=st.sampled_from([np.float64, np.float32]),
    amsgrad=st.booleans(),
    decoupled=st.booleans(),
    step=st.integers(1, 2000),
    lr=st.floats(0, 1),
    beta1=st.floats(0, 0.99),
    beta2=st.floats(0, 0.999),
    eps=st.sampled_from([1e-8, 1e-3, 0.1, 1.0]),
    weight_decay=st.sampled_from([0.0, 0.01, 0.5]),
)
def test_fast_adam(seed, size, dtype, amsgrad, step, eps, **scalars):
    arrays = adam_arrays(np.random.default_rng(seed), size, dtype, amsgrad, step)
    assert_alike(run_fast_and_reference("adam", arrays, step=step, eps=eps, **scalars), dtype)


@needs_numba
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(0, 300),
    dtype=st.sampled_from([np.float64, np.float32]),
    momentum=st.sampled_from([0.0, 0.5, 0.99]),
    first=st.booleans(),
    lr=st.floats(0, 1),
    dampening=st.floats(0, 1),
    weight_decay=st.sampled_from([0.0, 0.01, 0.5]),
    nesterov=st.booleans(),
)
def test_fast_sgd(seed, size, dtype, momentum, first, **scalars):
    arrays = sgd_arrays(np.random.default_rng(seed), size, dtype, momentum, first)
    assert_alike(run_fast_and_reference("sgd", arrays, momentum=momentum, first=first, **scalars), dtype)


ADAM = {
    "lr": 0.1,
    "beta1": 0.9,
    "beta2": 0.99,
    "eps": 1e-8,
    "weight_decay": 0.01,
    "decoupled": True,
    "step": 3,
}
SGD = {"lr": 0.1, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.01, "nesterov": True, "first": False}


@pytest.fixture
def threads():
    from tinygrad_adam.backend import threads

    before = threads.get_num_threads()
    yield threads
    threads.set_num_threads(before)


@needs_numba
@pytest.mark.parametrize("extra", [-1, 0, 1, 65])
def test_sizes_around_the_threading_threshold(extra, threads):
    from tinygrad_adam.backend.kernels import cpu

    size = 2 * cpu._PIECE + extra
    rng = np.random.default_rng(0)
    adam, sgd = adam_arrays(rng, size, np.float64, True, 3), sgd_arrays(rng, size, np.float64, 0.9, False)
    results = {}
    for cores in (1, 2, 5):
        threads.set_num_threads(cores)
        a, b = run_fast_and_reference("adam", adam, **ADAM), run_fast_and_reference("sgd", sgd, **SGD)
        assert (threads._pool is not None) == (cores > 1 and extra >= 0)
        assert_alike(a, np.float64)
        assert_alike(b, np.float64)
        results[cores] = [x for x in a[0] + b[0] if x is not None]
    for other in (2, 5):
        assert all(np.array_equal(x, y) for x, y in zip(results[1], results[other], strict=True))


@needs_numba
def test_many_pieces(monkeypatch, threads):
    from tinygrad_adam.backend.kernels import cpu

    monkeypatch.setattr(cpu, "_PIECE", 100)
    threads.set_num_threads(3)
    for size in (*range(190, 210), 1000, 12345):
        arrays = adam_arrays(np.random.default_rng(size), size, np.float64, False, 3)
        assert_alike(run_fast_and_reference("adam", arrays, **ADAM), np.float64)


@needs_numba
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_gradients_that_are_not_finite_stay_where_they_are(bad, weight_decay):
    arrays = adam_arrays(np.random.default_rng(0), 20, np.float64, False, 3)
    arrays[1][7] = bad
    adam = run_fast_and_reference("adam", arrays, **{**ADAM, "weight_decay": weight_decay})
    sgd = run_fast_and_reference("sgd", arrays[:3], **{**SGD, "weight_decay": weight_decay})
    for results in (adam, sgd):
        assert_alike(results, np.float64)
        for param in (results[0][0], results[1][0]):
            assert list(np.flatnonzero(~np.isfinite(param))) == [7]


@needs_numba
def test_the_maximum_of_amsgrad_keeps_a_nan():
    arrays = adam_arrays(np.random.default_rng(0), 5, np.float64, True, 3)
    arrays[1][2] = np.nan
    assert_alike(run_fast_and_reference("adam", arrays, **ADAM), np.float64)


@needs_numba
@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_an_infinite_parameter_stays_out_of_the_moments(name):
    arrays = adam_arrays(np.random.default_rng(0), 5, np.float64, False, 3)
    arrays[0][2] = np.inf
    scalars = ADAM if name == "adam" else SGD
    count = 5 if name == "adam" else 3
    scalars = {**scalars, "weight_decay": 0.0}
    assert_alike(run_fast_and_reference(name, arrays[:count], **scalars), np.float64)


@needs_numba
def test_eps_zero_and_a_zero_gradient_agree():
    arrays = [np.ones(4), np.array([1.0, 0.0, -1.0, 0.0]), *(np.zeros(4) for _ in range(2)), None]
    scalars = {**ADAM, "eps": 0.0, "step": 1, "weight_decay": 0.0}
    fast, slow = run_fast_and_reference("adam", arrays, **scalars)
    np.testing.assert_allclose(fast[0], [0.9, np.nan, 1.1, np.nan])
    np.testing.assert_allclose(slow[0], fast[0])


@pytest.mark.parametrize("kernels", KERNELS)
def test_eps_zero_is_safe_between_parameters(kernels):
    """Nothing must be divided by zero in the gaps of the flat arrays: a warning would be raised."""
    params = [parameter(1.0, 2.0, 3.0), parameter(4.0)]
    opt = optim.Adam(params, lr=0.1, eps=0.0)
    with tg.use_kernels(kernels):
        for _ in range(5):
            for p in params:
                give(p, 1.0)
            opt.step()
    assert params[1].item() == pytest.approx(3.5)


# --- Flat storage ------------------------------------------------------------------------------


def model_and_optimizer(cls=optim.Adam, dtype=np.float64, **options):
    with tg.default_dtype(dtype), tg.fork_rng(0):
        model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    return model, cls(model.named_parameters(), **{"lr": 0.05, **options})


def train(model, opt, steps=3, seed=0):
    rng = np.random.default_rng(seed)
    dtype = next(model.parameters()).dtype
    for _ in range(steps):
        loss = (model(tg.tensor(rng.standard_normal((4, 3)).astype(dtype))) ** 2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()


def values(model):
    return {name: p.data.copy() for name, p in model.named_parameters()}


def assert_same(left, right, **tolerance):
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_allclose(
            left[name], right[name], err_msg=name, **{"rtol": 0, "atol": 0, **tolerance}
        )


def moments_of(opt):
    return {
        f"{name}.{key}": value
        for name, entry in opt.state_dict()["state"].items()
        for key, value in entry.items()
    }


def test_values_and_gradients_are_views_of_one_array():
    model, opt = model_and_optimizer()
    before = values(model)
    train(model, opt, 1)
    assert before["0.weight"].shape == (5, 3)
    (storage,) = opt._storages[0]
    for p in model.parameters():
        assert np.shares_memory(p.data, storage.data)
        assert np.shares_memory(p.grad.data, storage.grad)
        assert p.data.flags.c_contiguous
    model.zero_grad()
    model(tg.ones(1, 3, dtype=np.float64)).sum().backward()
    assert all(np.shares_memory(p.grad.data, storage.grad) for p in model.parameters())


def test_making_an_optimizer_changes_no_value_and_no_gradient():
    model, _ = model_and_optimizer()
    (model(tg.ones(1, 3, dtype=np.float64)) ** 2).sum().backward()
    before, gradients = values(model), [p.grad.numpy().copy() for p in model.parameters()]
    optim.SGD(model.parameters())
    assert_same(values(model), before)
    for p, g in zip(model.parameters(), gradients, strict=True):
        assert np.array_equal(p.grad.numpy(), g)


def test_an_assigned_value_is_what_the_step_starts_from():
    p = parameter(1.0, 2.0)
    opt = optim.SGD([p], lr=1.0)
    p.data = np.array([10.0, 20.0])
    assert np.shares_memory(p.data, opt._storages[0][0].data)
    take_steps(opt, p, [1.0])
    assert p.tolist() == [9, 19]


def test_a_plain_leaf_can_be_optimized_and_its_value_swapped():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    opt = optim.SGD([x], lr=1.0, momentum=0.5)
    take_steps(opt, x, [1.0])
    x.data = np.array([10.0, 20.0], np.float32)
    take_steps(opt, x, [0.0])
    assert x.tolist() == [9.5, 19.5]


def test_a_step_is_noticed_by_a_graph_that_kept_the_value():
    p = parameter(1.0)
    loss = (p**2).sum()
    opt = optim.SGD([p], lr=1.0)
    loss.backward(retain_graph=True)
    opt.step()
    with pytest.raises(errors.GraphError, match="changed in place"):
        loss.backward()


@pytest.mark.parametrize("name", EVERY)
def test_a_cast_after_the_optimizer_was_made(name):
    model, opt = model_and_optimizer(EVERY[name], np.float32, **({"momentum": 0.9} if name == "sgd" else {}))
    train(model, opt)
    before, moments = values(model), moments_of(opt)
    model.to(np.float64)
    assert_same(values(model), before)
    assert_same(moments_of(opt), moments)
    twin, twin_opt = model_and_optimizer(type(opt), np.float64)
    twin.load_state_dict(model.state_dict())
    twin_opt.load_state_dict(opt.state_dict())
    train(model, opt, seed=1)
    train(twin, twin_opt, seed=1)
    assert {p.dtype.name for p in model.parameters()} == {"float64"}
    assert all(np.shares_memory(p.data, opt._storages[0][0].data) for p in model.parameters())
    assert_same(values(model), values(twin))
    assert_same(moments_of(opt), moments_of(twin_opt))


def test_a_state_loaded_between_the_cast_and_the_step_keeps_its_precision():
    exact, exact_opt = model_and_optimizer(dtype=np.float64)
    train(exact, exact_opt)
    model, opt = model_and_optimizer(dtype=np.float32)
    model.to(np.float64)
    opt.load_state_dict(exact_opt.state_dict())
    assert_same(moments_of(opt), moments_of(exact_opt))


def test_a_cast_of_a_part_is_refused_not_undone():
    model, opt = model_and_optimizer(dtype=np.float32)
    model[2].to(np.float64)
    for p in model.parameters():
        give(p, 1.0)
    with pytest.raises(errors.DTypeError, match=r"cast or moved apart.*\n.*float32.*float64"):
        opt.step()
    assert model[2].weight.dtype == np.float64


def test_dtypes_may_differ_from_the_start():
    params = [parameter(1.0, dtype=d) for d in (np.float32, np.float64, np.float32)]
    opt = optim.SGD(params, lr=0.5)
    for p in params:
        give(p, 1.0)
    opt.step()
    assert [p.item() for p in params] == [0.5] * 3
    assert [p.dtype.name for p in params] == ["float32", "float64", "float32"]


@pytest.mark.parametrize("kernels", KERNELS)
def test_two_optimizers_take_turns(kernels):
    """The gradients do not depend on the value, so each optimizer's share of the way is known."""
    a, b = parameter(0.0), parameter(0.0)
    adam = optim.Adam([a, b], lr=0.1, eps=0.1)
    take = {"adam": [3.0, -2.0, 1.0, 4.0], "sgd": [0.5, 0.25, 1.0]}
    with tg.use_kernels(kernels):
        for g in take["adam"][:2]:
            give(a, g), give(b, -g)
            adam.step()
        sgd = optim.SGD([a], lr=1.0)
        for g in take["sgd"]:
            sgd.zero_grad()
            (a * g).sum().backward()
            sgd.step()
        for g in take["adam"][2:]:
            adam.zero_grad()
            (a * g - b * g).sum().backward()
            adam.step()
    way = algorithm_1(0.0, take["adam"], [0.1] * 4, (0.9, 0.999), 0.1)[-1]
    assert a.item() == pytest.approx(way - sum(take["sgd"]), rel=1e-12)
    assert b.item() == pytest.approx(-way, rel=1e-12)


def test_empty_parameters_are_harmless():
    params = [nn.Parameter(np.zeros((0, 3))), parameter(1.0), nn.Parameter(np.zeros(0))]
    opt = optim.Adam(params, lr=0.1)
    for p in params:
        give(p, 1.0)
    opt.step()
    assert params[1].item() == pytest.approx(0.9)


# --- Which parameters move -----------------------------------------------------------------------


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", EVERY)
def test_a_parameter_without_a_gradient_is_left_alone(name, kernels):
    options = {"momentum": 0.9} if name == "sgd" else {}
    a, b, c = (parameter(1.0, 2.0) for _ in range(3))
    opt = EVERY[name]([a, b, c], lr=0.1, weight_decay=0.5, **options)
    with tg.use_kernels(kernels):
        for p in (a, b, c):
            give(p, 1.0)
        opt.step()
        before, moments = b.data.copy(), moments_of(opt)
        version = b._version[0]
        opt.zero_grad()
        assert b.grad is None
        give(a, 2.0), give(c, 2.0)
        opt.step()
    assert np.array_equal(b.data, before)
    assert b._version[0] == version
    after = moments_of(opt)
    for key, value in moments.items():
        assert np.array_equal(after[key], value) == key.startswith("1."), key
    assert [opt.state_dict()["state"][k]["step"] for k in "012"] == [2, 1, 2]
    assert np.array_equal(a.data, c.data)


@pytest.mark.parametrize("kernels", KERNELS)
def test_each_parameter_counts_its_own_steps(kernels):
    gradients = {
        0: [1.0, 2.0, 3.0, 4.0],
        1: [None, 2.0, None, 4.0],
        2: [None, None, None, 4.0],
        3: [1.0, 2.0, 3.0, 4.0],
    }
    params = [parameter(0.5) for _ in gradients]
    opt = optim.Adam(params, lr=0.1, betas=(0.5, 0.7), eps=0.1)
    with tg.use_kernels(kernels):
        for t in range(4):
            opt.zero_grad()
            for i, p in enumerate(params):
                if gradients[i][t] is not None:
                    give(p, gradients[i][t])
            opt.step()
    for i, p in enumerate(params):
        seen = [g for g in gradients[i] if g is not None]
        wanted = algorithm_1(0.5, seen, [0.1] * len(seen), (0.5, 0.7), 0.1)[-1]
        assert p.item() == pytest.approx(wanted, rel=1e-12)
        assert opt.state_dict()["state"][str(i)]["step"] == len(seen)


def test_frozen_parameters_stay():
    model, opt = model_and_optimizer(weight_decay=0.1)
    model[0].requires_grad_(False)
    before = values(model)
    train(model, opt)
    after = values(model)
    assert np.array_equal(before["0.weight"], after["0.weight"])
    assert not np.array_equal(before["2.weight"], after["2.weight"])
    assert set(opt.state_dict()["state"]) == {"2.weight", "2.bias"}


def test_gradients_accumulate_until_zero_grad():
    p = parameter(0.0)
    opt = optim.SGD([p], lr=1.0)
    for g in (1.0, 2.0, 4.0):
        (p * g).sum().backward()
    opt.step()
    assert p.item() == -7
    opt.step()
    assert p.item() == -14
    opt.zero_grad()
    (p * 1.0).sum().backward()
    opt.step()
    assert p.item() == -15


def test_a_tied_parameter_moves_once_along_the_sum():
    p = parameter(1.0)
    layer = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)])
    layer[0].bias = layer[1].bias = p
    opt = optim.SGD(layer.parameters(), lr=1.0)
    (layer[0].bias * 2.0 + layer[1].bias * 3.0).sum().backward()
    opt.step()
    assert p.item() == -4


def test_a_gradient_assigned_by_hand_is_copied_into_place():
    p = parameter(1.0, 1.0)
    opt = optim.SGD([p], lr=1.0)
    p.grad = np.array([[1.0, 5.0], [2.0, 5.0]])[:, 0]  # strided
    opt.step()
    assert p.tolist() == [0, -1]
    assert np.shares_memory(p.grad.data, opt._storages[0][0].grad)
    p.grad = tg.tensor([1.0, 1.0])  # float32
    opt.step()
    assert p.tolist() == [-1, -2]
    p.grad = p.grad * 2
    opt.step()
    assert p.tolist() == [-3, -4]


def test_a_gradient_with_a_graph_steps_like_one_without():
    results = []
    for create_graph in (False, True):
        p = parameter(1.0, 2.0)
        opt = optim.Adam([p], lr=0.1)
        for _ in range(3):
            opt.zero_grad()
            (p**3).sum().backward(create_graph=create_graph)
            opt.step()
        results.append(p.tolist())
    assert results[0] == results[1]


def test_a_penalty_on_the_gradient():
    p = parameter(1.0, 2.0)
    opt = optim.SGD([p], lr=0.01)
    (p**3).sum().backward(create_graph=True)
    penalty = (p.grad**2).sum()  # 9 p^4, whose gradient is 36 p^3
    opt.zero_grad()
    penalty.backward()
    opt.step()
    np.testing.assert_allclose(p.data, [1 - 0.36, 2 - 0.36 * 8])


@pytest.mark.parametrize("name", EVERY)
def test_both_kernel_sets_train_alike(name):
    results = []
    for kernels in ("fast", "reference"):
        with tg.use_kernels(kernels):
            model, opt = model_and_optimizer(EVERY[name], weight_decay=0.1)
            train(model, opt, 20)
        results.append(values(model))
    assert_same(*results, rtol=1e-11)


# --- Groups ------------------------------------------------------------------------------------


def test_groups_have_settings_of_their_own():
    a, b = parameter(1.0), parameter(1.0)
    opt = optim.SGD([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.25)
    give(a, 1.0), give(b, 1.0)
    opt.step()
    assert (a.item(), b.item()) == (0.5, 0.75)
    c = parameter(1.0)
    opt.add_param_group({"params": [("late", c)], "weight_decay": 1.0})
    opt.zero_grad()
    give(c, 0.0)
    opt.step()
    assert c.item() == 0.75
    assert list(opt.state_dict()["state"]) == ["0", "1", "late"]


def test_settings_changed_between_steps_count():
    p = parameter(0.0)
    opt = optim.SGD([p], lr=1.0)
    take_steps(opt, p, [1.0])
    opt.param_groups[0]["lr"] = 0.5
    take_steps(opt, p, [1.0])
    assert p.item() == -1.5


def test_generators_and_names():
    model = nn.Linear(2, 2)
    opt = optim.Adam(p for p in model.parameters())
    assert opt.state_dict()["groups"][0]["params"] == ["0", "1"]
    opt = optim.Adam({"params": (p for p in [q]), "lr": 0.1} for q in model.parameters())
    assert [g["params"] for g in opt.state_dict()["groups"]] == [["0"], ["1"]]
    opt = optim.Adam(model.named_parameters())
    assert opt.state_dict()["groups"][0]["params"] == ["weight", "bias"]


def test_repr_shows_groups():
    text = repr(optim.SGD([{"params": [parameter(1.0, 2.0)], "lr": 0.5}], momentum=0.9))
    assert text.startswith("SGD(\n  1 parameters (2 numbers): lr=0.5, momentum=0.9")


# --- State -------------------------------------------------------------------------------------

STATEFUL = {"sgd": {"momentum": 0.9, "nesterov": True}, "adam": {"amsgrad": True}, "adamw": {"amsgrad": True}}


@pytest.mark.parametrize("name", EVERY)
def test_a_run_resumes_bit_for_bit(name):
    model, opt = model_and_optimizer(EVERY[name], **STATEFUL[name])
    train(model, opt, 3)
    twin, twin_opt = model_and_optimizer(EVERY[name])
    twin.load_state_dict(model.state_dict())
    state = opt.state_dict()
    twin_opt.load_state_dict(state)
    train(model, opt, 3, seed=1)
    train(twin, twin_opt, 3, seed=1)
    assert_same(values(model), values(twin))
    assert_same(moments_of(opt), moments_of(twin_opt))
    assert opt.param_groups[0].keys() == twin_opt.param_groups[0].keys()
    for key, value in STATEFUL[name].items():
        assert twin_opt.param_groups[0][key] == value
    assert state["state"]["0.bias"]["step"] == 3  # the saved state did not follow


def test_a_state_is_matched_by_name_not_by_order():
    model, opt = model_and_optimizer()
    train(model, opt)
    twin, _ = model_and_optimizer()
    twin.load_state_dict(model.state_dict())
    other = optim.Adam(reversed(list(twin.named_parameters())))
    other.load_state_dict(opt.state_dict())
    assert_same(moments_of(other), moments_of(opt))
    train(model, opt, seed=1)
    train(twin, other, seed=1)
    assert_same(values(model), values(twin))


def test_a_state_of_parameters_that_never_moved_resets():
    model, opt = model_and_optimizer()
    empty = opt.state_dict()
    assert empty["state"] == {}
    train(model, opt)
    opt.load_state_dict(empty)
    assert opt.state_dict()["state"] == {}
    fresh, fresh_opt = model_and_optimizer()
    fresh.load_state_dict(model.state_dict())
    train(model, opt, seed=1)
    train(fresh, fresh_opt, seed=1)
    assert_same(values(model), values(fresh))


def other_optimizer(saved):
    saved["optimizer"] = "SGD"


def other_name(saved):
    saved["groups"][0]["params"][0] = "elsewhere"


def fewer_names(saved):
    saved["groups"][0]["params"].pop()


def more_groups(saved):
    saved["groups"].append({**saved["groups"][0], "params": ["x"]})


def other_shape(saved):
    saved["state"]["0.weight"]["m"] = np.ones((3, 5))


def no_moment(saved):
    del saved["state"]["2.bias"]["v"]


def bad_setting(saved):
    saved["groups"][0]["lr"] = -1.0


def amsgrad_without_maximum(saved):
    saved["groups"][0]["amsgrad"] = True


@pytest.mark.parametrize(
    ("damage", "kind", "message"),
    [
        (other_optimizer, errors.StateError, r"saved by another optimizer\n  saved  SGD"),
        (other_name, errors.StateError, r"missing .*0\.weight.*\n  unexpected .*elsewhere"),
        (fewer_names, errors.StateError, r"missing .*2\.bias"),
        (more_groups, errors.StateError, r"group_sizes +\[4\]\n  saved_group_sizes +\[4, 1\]"),
        (other_shape, errors.StateError, r"0\.weight\.m: here \(5, 3\), there \(3, 5\)"),
        (no_moment, errors.StateError, r"2\.bias\.v: here \(2,\), there None"),
        (amsgrad_without_maximum, errors.StateError, r"0\.weight\.v_max"),
        (bad_setting, errors.OptionError, "-1.0"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_whole(damage, kind, message):
    model, opt = model_and_optimizer()
    train(model, opt)
    source, source_opt = model_and_optimizer(lr=0.5)
    train(source, source_opt, 5)
    saved = source_opt.state_dict()
    damage(saved)
    before, moments, settings_before = values(model), moments_of(opt), dict(opt.param_groups[0])
    with pytest.raises(kind, match=message):
        opt.load_state_dict(saved)
    assert_same(values(model), before)
    assert_same(moments_of(opt), moments)
    assert opt.param_groups[0] == settings_before


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_of_model_and_optimizer_goes_its_own_way(copied):
    model, opt = model_and_optimizer()
    train(model, opt)
    twin, twin_opt = copied((model, opt))
    before = values(model)
    train(twin, twin_opt, seed=1)
    assert_same(values(model), before)
    train(model, opt, seed=1)
    assert_same(values(model), values(twin))
    assert_same(moments_of(opt), moments_of(twin_opt))


# --- Wrong use ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "options", "name"),
    [
        *[(cls, {n: v}, n) for cls in (optim.Adam, optim.AdamW) for n in ("lr", "eps", "weight_decay")
          for v in (-0.5, math.nan, math.inf, "x", None, True)],
        *[(cls, {"betas": v}, "betas") for cls in (optim.Adam, optim.AdamW)
          for v in ((1.0, 0.9), (0.9, 1.0), (-0.1, 0.9), (0.9,), 0.9, (0.9, math.nan), ("a", 0.9), None)],
        *[(cls, {"amsgrad": v}, "amsgrad") for cls in (optim.Adam, optim.AdamW) for v in ("False", None, 1)],
        *[(optim.SGD, {n: v}, n) for n in ("lr", "momentum", "dampening", "weight_decay")
          for v in (-0.5, math.nan, math.inf, "x")],
        (optim.SGD, {"momentum": 1.0}, "momentum"),
        (optim.SGD, {"momentum": 0.5, "dampening": 1.5}, "dampening"),
        (optim.SGD, {"nesterov": True}, "nesterov"),
        (optim.SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "nesterov"),
        (optim.SGD, {"nesterov": "yes", "momentum": 0.9}, "nesterov"),
    ],
)  # fmt: skip
def test_hyper_parameters_out_of_their_domain(cls, options, name):
    with pytest.raises(errors.OptionError) as caught:
        cls([parameter(1.0)], **options)
    message = str(caught.value)
    assert message.startswith(f"{cls.__name__}: {name} must be ")
    assert message.endswith(f"\n  {name}  {options[name]}")
    good, opt = {"params": [parameter(1.0)]}, cls([parameter(1.0)])
    with pytest.raises(errors.OptionError):
        opt.add_param_group({**good, **options})
    assert len(opt.param_groups) == 1


@pytest.mark.parametrize("name", EVERY)
def test_every_hyper_parameter_has_a_refused_value(name):
    known = set(EVERY[name]([parameter(1.0)]).defaults)
    rows = test_hyper_parameters_out_of_their_domain.pytestmark[0].args[1]
    assert known == {row[2] for row in rows if row[0] is EVERY[name]}


def shared():
    p = parameter(1.0)
    return [p, p]


@pytest.mark.parametrize(
    ("params", "kind", "message"),
    [
        (lambda: [], errors.OptionError, "there are no parameters"),
        (lambda: iter(()), errors.OptionError, "there are no parameters"),
        (lambda: nn.ReLU().parameters(), errors.OptionError, "there are no parameters"),
        (lambda: [{"params": []}], errors.OptionError, "a group has no parameters"),
        (shared, errors.OptionError, r"a parameter appears twice\n  name  1"),
        (lambda: [{"params": shared()[:1]}, {"params": shared()}], errors.OptionError, "appears twice"),
        (lambda: [("a", parameter(1.0)), ("a", parameter(1.0))], errors.OptionError, r"twice\n  name  a"),
        (lambda: parameter(1.0), errors.DTypeError, r"write \[p\]"),
        (lambda: [parameter(1.0) * 2], errors.DTypeError, r"only leaf.*\n.*0\n.*result of an operation"),
        (lambda: [tg.tensor([1, 2])], errors.DTypeError, r"only leaf.*\n.*\n.*int64 leaf"),
        (lambda: [np.ones(2)], errors.DTypeError, "ndarray"),
        (lambda: [None], errors.DTypeError, "NoneType"),
        (lambda: [{"lr": 0.1}], errors.OptionError, r"dict with 'params'\n.*lr"),
        (lambda: [{"params": [parameter(1.0)]}, parameter(1.0)], errors.OptionError, "Parameter"),
        (lambda: [{"params": [parameter(1.0)], "rate": 1}], errors.OptionError, r"unknown.*\n.*rate.*\n.*lr"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("cls", [optim.SGD, optim.AdamW])
def test_wrong_parameters(cls, params, kind, message):
    with pytest.raises(kind, match=message):
        cls(params())


@pytest.mark.parametrize("name", EVERY)
def test_a_step_before_backward_says_so(name):
    p = parameter(1.0)
    opt = EVERY[name]([p])
    with pytest.raises(errors.GraphError, match=r"step: no parameter has a gradient; call loss\.backward"):
        opt.step()
    assert p.item() == 1
    assert opt.state_dict()["state"] == {}


def test_optimizers_by_name():
    opt = optim.build_optimizer("adamw", [parameter(1.0)], lr=0.5)
    assert type(opt) is optim.AdamW
    assert opt.param_groups[0]["lr"] == 0.5
    with pytest.raises(errors.OptionError, match="did you mean 'adam'"):
        optim.build_optimizer("adm", [parameter(1.0)])
    with pytest.raises(errors.OptionError, match="did you mean 'betas'"):
        optim.build_optimizer("adam", [parameter(1.0)], beta=1)


# --- Clipping ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kernels", KERNELS)
def test_clipping_by_norm(kernels):
    params = [parameter(0.0, 0.0), parameter(0.0), parameter(0.0)]
    optim.SGD(params)
    give(params[0], [3.0, 0.0]), give(params[1], 4.0)
    with tg.use_kernels(kernels):
        norm = optim.clip_grad_norm_(iter(params), 1.0)
    assert isinstance(norm, tg.Tensor)
    assert norm.item() == 5
    np.testing.assert_allclose(params[0].grad.numpy(), [0.6, 0.0], rtol=1e-6)
    np.testing.assert_allclose(params[1].grad.numpy(), [0.8], rtol=1e-6)
    assert params[2].grad is None
    before = params[0].grad.numpy().copy()
    optim.clip_grad_norm_(params, 10.0)
    assert np.array_equal(params[0].grad.numpy(), before)
    assert optim.clip_grad_norm_(params, math.inf).item() == pytest.approx(1, rel=1e-6)
    assert optim.clip_grad_norm_(params[0], 10.0).item() == pytest.approx(0.6, rel=1e-6)


def test_clipping_without_gradients():
    p = parameter(1.0)
    assert optim.clip_grad_norm_([p], 1.0).item() == 0
    optim.clip_grad_value_([p], 1.0)
    give(p, 0.0)
    assert optim.clip_grad_norm_([p], 1.0).item() == 0
    assert p.grad.tolist() == [0]


def test_clipping_by_value():
    p = parameter(0.0, 0.0, 0.0)
    give(p, [-3.0, 0.5, 2.0])
    optim.clip_grad_value_(p, 1.0)
    assert p.grad.tolist() == [-1, 0.5, 1]


def test_clipping_a_gradient_that_is_differentiated_is_noticed():
    p = parameter(1.0, 2.0)
    (p**3).sum().backward(create_graph=True)
    penalty = (p.grad**2).sum()
    optim.clip_grad_norm_([p], 0.1)
    with pytest.raises(errors.GraphError, match="changed in place"):
        penalty.backward()


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan])
def test_limits_must_be_positive(limit):
    with pytest.raises(errors.OptionError, match=f"max_norm must be positive\n  max_norm  {limit}"):
        optim.clip_grad_norm_([parameter(1.0)], limit)
    with pytest.raises(errors.OptionError, match=f"clip_value must be positive\n  clip_value  {limit}"):
        optim.clip_grad_value_([parameter(1.0)], limit)


# --- Schedules ---------------------------------------------------------------------------------


def two_groups():
    return optim.SGD([{"params": [parameter(1.0)], "lr": 0.5}, {"params": [parameter(1.0)]}], lr=1.0)


def test_step_schedule():
    opt = two_groups()
    schedule = optim.StepLR(opt, 2, gamma=0.1)
    seen = []
    for _ in range(5):
        seen.append(opt.param_groups[1]["lr"])
        schedule.step()
    assert seen == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    assert schedule.last_lrs == pytest.approx([0.005, 0.01])
    assert schedule.count == 5


def test_cosine_schedule():
    opt = two_groups()
    schedule = optim.CosineAnnealingLR(opt, 4, eta_min=0.1)
    seen = []
    for _ in range(7):
        seen.append(opt.param_groups[1]["lr"])
        schedule.step()
    half = 0.45 * math.sqrt(0.5)
    assert seen == pytest.approx([1.0, 0.55 + half, 0.55, 0.55 - half, 0.1, 0.1, 0.1])
    assert schedule.last_lrs == pytest.approx([0.1, 0.1])


SCHEDULES = {
    "StepLR": lambda opt: optim.StepLR(opt, 3, 0.5),
    "CosineAnnealingLR": lambda opt: optim.CosineAnnealingLR(opt, 20, 0.01),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_resumes(name):
    opt, other = two_groups(), two_groups()
    schedule, twin = SCHEDULES[name](opt), SCHEDULES[name](other)
    for _ in range(7):
        schedule.step()
    twin.load_state_dict(schedule.state_dict())
    assert twin.last_lrs == schedule.last_lrs
    schedule.step(), twin.step()
    assert twin.last_lrs == schedule.last_lrs
    assert other.param_groups[0]["lr"] == opt.param_groups[0]["lr"] == schedule.last_lrs[0]


def test_every_exported_schedule_is_tested():
    exported = {
        name
        for name, value in vars(optim).items()
        if inspect.isclass(value) and issubclass(value, optim.Schedule) and value is not optim.Schedule
    }
    assert exported == set(SCHEDULES)


def test_a_schedule_refuses_the_state_of_another():
    step, cosine = SCHEDULES["StepLR"](two_groups()), SCHEDULES["CosineAnnealingLR"](two_groups())
    step.step()
    with pytest.raises(errors.StateError, match="another schedule"):
        cosine.load_state_dict(step.state_dict())
    with pytest.raises(errors.StateError, match="another schedule"):
        SCHEDULES["StepLR"](optim.SGD([parameter(1.0)])).load_state_dict(step.state_dict())
    assert cosine.count == 0


def test_a_group_added_after_the_schedule_is_refused():
    opt = two_groups()
    schedule = optim.StepLR(opt, 2)
    opt.add_param_group({"params": [parameter(1.0)]})
    with pytest.raises(errors.OptionError, match=r"make the schedule after that\n.*2\n.*3"):
        schedule.step()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: optim.StepLR(o, 0), "step_size must be a positive integer\n  step_size  0"),
        (lambda o: optim.StepLR(o, 1.5), "1.5"),
        (lambda o: optim.StepLR(o, 1, gamma=0.0), "gamma must be positive\n  gamma  0.0"),
        (lambda o: optim.StepLR(o, 1, gamma=math.nan), "nan"),
        (lambda o: optim.CosineAnnealingLR(o, 0), "t_max must be a positive integer\n  t_max  0"),
        (lambda o: optim.CosineAnnealingLR(o, 5, eta_min=-1.0), "eta_min must be >= 0\n  eta_min  -1.0"),
    ],
)
def test_schedules_refuse_wrong_settings(make, message):
    opt = two_groups()
    with pytest.raises(errors.OptionError, match=message):
        make(opt)
    assert opt.param_groups[0]["lr"] == 0.5
