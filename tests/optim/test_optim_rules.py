"""Every optimizer against a transcription of its paper, and its fast kernel against the reference."""

from __future__ import annotations

import inspect
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optim_cases import (
    CLOSED_FORMS,
    GRADIENTS,
    KERNELS,
    LRS,
    ROWS,
    THETA,
    check_closed_form,
    exported_optimizers,
    give,
    needs_numba,
    parameter,
    take_steps,
)
from optim_kernels import (
    OPTIMIZER_KERNELS,
    OPTIONAL,
    SCALARS,
    UPDATES,
    VALUES,
    arrays_of,
    cpu_kernel,
    kernel_arguments,
)  # fmt: skip

import tinygrad_adam as tg
from tinygrad_adam import errors, nn, optim
from tinygrad_adam.kernels import cpu, cuda
from tinygrad_adam.optim.flat import all_finite


def test_every_optimizer_is_in_the_table():
    # SparseAdam takes row-sparse gradients and has no weight decay: test_sparse_adam.py is about it.
    assert set(exported_optimizers()) - {optim.SparseAdam} == {row.cls for row in ROWS.values()}
    assert {name: row.cls for name, row in ROWS.items()} == optim.OPTIMIZERS


def test_every_kernel_belongs_to_an_optimizer():
    for folder in (cpu, cuda):
        names = f"{folder.KERNELS.get('adam', '')} {folder.KERNELS['optim']}"
        assert {*names.split()} == {*OPTIMIZER_KERNELS, "sparse_adam", "all_finite"}


# --- Closed forms ------------------------------------------------------------------------------


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize(("name", "options"), CLOSED_FORMS, ids=str)
def test_closed_forms(name, options, kernels):
    with tg.use_kernels(kernels):
        check_closed_form(name, options)


@pytest.mark.parametrize("name", ROWS)
def test_every_option_matters(name):
    """No option is without a closed form that differs from the one without it."""
    row = ROWS[name]
    defaults = row.cls([parameter(1.0)]).defaults
    for key in set(defaults) - {"lr"}:
        others = [options for options in row.options if key in options]
        plain = [{k: v for k, v in options.items() if k != key} for options in others]
        paths = [[row.rule(THETA, GRADIENTS, LRS, **o) for o in table] for table in (others, plain)]
        assert any(a != b for a, b in zip(*paths, strict=True)), key


@pytest.mark.parametrize("name", ROWS)
def test_defaults_are_those_of_the_constructor(name):
    opt = ROWS[name].cls([parameter(1.0)])
    signature = inspect.signature(ROWS[name].cls)
    own = {key: p.default for key, p in signature.parameters.items() if key != "params"}
    assert own.pop("on_nonfinite") == "ignore"
    settings = {key: opt.param_groups[0][key] for key in own}
    assert settings == {**own, **({"base_lr": own["lr"]} if "base_lr" in own else {})}


FIRST_STEP_IS_LR = ["adam", "adamw", "adamax", "adagrad"]


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", FIRST_STEP_IS_LR)
def test_the_first_step_is_lr_in_the_direction_of_the_sign(name, kernels):
    p = parameter(0.0, 0.0, 0.0)
    with tg.use_kernels(kernels):
        take_steps(ROWS[name].cls([p], lr=0.01, eps=1e-12), p, [[1e-3, -7.0, 1e5]])
    np.testing.assert_allclose(p.data, [-0.01, 0.01, -0.01], rtol=1e-8)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", ROWS)
def test_float32_follows_float64(name, kernels):
    paths, row = [], ROWS[name]
    for dtype in (np.float32, np.float64):
        rng = np.random.default_rng(0)
        p = nn.Parameter(rng.standard_normal(100).astype(dtype))
        opt = row.cls([p], lr=row.lr, weight_decay=0.1, **row.stateful)
        with tg.use_kernels(kernels):
            take_steps(opt, p, rng.standard_normal((200, 100)))
        assert p.dtype == dtype
        paths.append(p.data)
    np.testing.assert_allclose(paths[0], paths[1], rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", ROWS)
def test_the_gaps_between_parameters_stay_finite(name, kernels):
    """Nothing must be divided by zero there: a warning would be raised."""
    row = ROWS[name]
    params = [parameter(1.0, 2.0, 3.0, dtype=np.float32), parameter(4.0, dtype=np.float32)]
    options = {**row.stateful}
    if "eps" in row.refused and 0.0 not in row.refused["eps"] and not options.get("centered"):
        options["eps"] = 0.0
    opt = row.cls(params, **options)
    rng = np.random.default_rng(0)
    with tg.use_kernels(kernels):
        for _ in range(2000):
            for p in params:
                give(p, rng.standard_normal())
            opt.step()
    (storage,) = opt._storages[0]
    assert np.isfinite(storage.data).all()
    assert all(np.isfinite(flat).all() for flat in storage.moments.values())


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", ["rmsprop", "adabelief"])
def test_a_steady_gradient_has_no_variance_and_no_nan(name, kernels):
    p = nn.Parameter(np.full(50, 0.1, np.float32))
    opt = ROWS[name].cls([p], lr=1e-12, **ROWS[name].stateful)
    with tg.use_kernels(kernels):
        take_steps(opt, p, np.broadcast_to(np.float32(np.linspace(0.1, 0.2, 50)), (4000, 50)))
    assert np.isfinite(p.data).all()


# --- What the gradients are divided by -----------------------------------------------------------


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", ROWS)
def test_a_sum_of_gradients_is_divided_by_its_scale(name, kernels):
    row, results = ROWS[name], []
    for scale in (1.0, 4.0):
        p = parameter(1.0, -2.0)
        opt = row.cls([p], lr=row.lr, weight_decay=0.1, **row.stateful)
        with tg.use_kernels(kernels):
            for g in GRADIENTS:
                give(p, scale * g)
                opt.step(grad_scale=scale)
        assert p.grad.tolist() == [scale * GRADIENTS[-1]] * 2
        results.append(p.data.copy())
    assert np.array_equal(*results)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_scales_must_be_positive(scale):
    p = parameter(1.0)
    opt = optim.Adam([p])
    give(p, 1.0)
    with pytest.raises(
        errors.OptionError, match=f"grad_scale must be a positive number\n  grad_scale  {scale}"
    ):
        opt.step(grad_scale=scale)
    assert p.item() == 1


# --- Fast kernels against the reference --------------------------------------------------------


@pytest.mark.parametrize("name", ROWS)
def test_scalars_and_moments_come_in_the_order_of_the_kernel(name):
    row = ROWS[name]
    arrays, scalars = kernel_arguments(row.cls.kernel or name)
    opt = row.cls([parameter(1.0)], **row.stateful)
    group = opt.param_groups[0]
    assert ["scale", *opt.scalars(group, 1)] == ["scale", *opt.scalars(group, 1000)] == scalars
    assert ["param", "grad", *row.cls.moment_names] == arrays
    for moment, wanted in zip(opt.moments_of(group), row.cls.moment_names, strict=True):
        assert moment in (None, wanted)


@needs_numba
@pytest.mark.parametrize("name", OPTIMIZER_KERNELS)
def test_fast_kernels_have_the_parameters_of_the_reference(name):
    arrays, scalars = kernel_arguments(name)
    fast = list(inspect.signature(cpu_kernel(name)).parameters)
    assert fast == ["p", "g", *arrays[2:], *scalars]


def run_fast_and_reference(name, arrays, **scalars):
    scalars = {key: scalars[key] for key in kernel_arguments(name)[1]}
    results = []
    for kernel in (cpu_kernel(name), partial(UPDATES[name], np)):
        copies = [None if a is None else a.copy() for a in arrays]
        with np.errstate(all="ignore"):
            kernel(*copies, **scalars)
        results.append(copies)
    return results


def assert_alike(results, dtype):
    # Float32: the fast kernel rounds 1 - beta, the reference 1 - beta before rounding; for
    # beta = 0.999 the two differ by 1e-5 of the second moment.
    tolerance = {"rtol": 1e-11, "atol": 1e-13} if dtype == np.float64 else {"rtol": 1e-3, "atol": 1e-5}
    for fast, slow in zip(*results, strict=True):
        assert (fast is None) == (slow is None)
        if fast is not None:
            assert fast.dtype == slow.dtype == dtype
            np.testing.assert_allclose(fast, slow, **tolerance)


@needs_numba
@pytest.mark.parametrize("name", OPTIMIZER_KERNELS)
@settings(max_examples=40)
@given(data=st.data())
def test_fast_kernels(name, data):
    arrays, scalars = kernel_arguments(name)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), "seed"))
    dtype = data.draw(st.sampled_from([np.float64, np.float32]), "dtype")
    without = data.draw(st.sets(st.sampled_from(sorted(OPTIONAL))), "without") & set(arrays)
    values = {key: data.draw(SCALARS[key], key) for key in scalars}
    size = data.draw(st.integers(0, 300), "size")
    if "mean" in arrays and "mean" not in without:
        values["alpha"] = max(values["alpha"], 0.1)  # with 0 the variance is 0 but for rounding
    results = run_fast_and_reference(name, arrays_of(name, rng, size, dtype, without), **values)
    assert_alike(results, dtype)


@pytest.fixture
def threads():
    from tinygrad_adam.backend import threads

    before = threads.get_num_threads()
    yield threads
    threads.set_num_threads(before)


@needs_numba
@pytest.mark.parametrize("awake", [False, True])
@pytest.mark.parametrize("extra", [-64, 0])  # a flat array is padded to lines of the cache
def test_a_smaller_step_is_cut_for_a_thread_that_is_awake(extra, awake, threads, monkeypatch):
    from tinygrad_adam.kernels.cpu import adam as cpu_adam

    monkeypatch.setattr(cpu_adam, "a_worker_is_awake", lambda: awake)
    threads.set_num_threads(2)
    threads._workers.clear()
    p = tg.nn.Parameter(np.ones(2 * cpu_adam._LEAST_AWAKE + extra, np.float32))
    optimizer = tg.optim.Adam([p], lr=0.5)
    p.grad = tg.ones(p.shape)
    optimizer.step()
    assert bool(threads._workers) == (awake and extra >= 0)
    np.testing.assert_allclose(p.detach().numpy(), 0.5, rtol=1e-6)


@needs_numba
@pytest.mark.parametrize("extra", [-1, 0, 1, 65])
def test_sizes_around_the_threading_threshold(extra, threads):
    from tinygrad_adam.kernels.cpu import adam as cpu_adam

    size = 2 * cpu_adam._LEAST + extra
    cases = {name: arrays_of(name, np.random.default_rng(0), size, np.float64) for name in ("adam", "sgd")}
    results = {}
    for cores in (1, 2, 5):
        threads.set_num_threads(cores)
        threads._workers.clear()
        both = {name: run_fast_and_reference(name, arrays, **VALUES) for name, arrays in cases.items()}
        assert bool(threads._workers) == (cores > 1 and extra >= 0)
        for result in both.values():
            assert_alike(result, np.float64)
        results[cores] = [x for result in both.values() for x in result[0]]
    for other in (2, 5):
        assert all(np.array_equal(x, y) for x, y in zip(results[1], results[other], strict=True))


@needs_numba
def test_many_pieces(monkeypatch, threads):
    from tinygrad_adam.kernels.cpu import adam as cpu_adam

    monkeypatch.setattr(cpu_adam, "_LEAST", 100)
    threads.set_num_threads(3)
    for size in (*range(190, 210), 1000, 12345):
        arrays = arrays_of("adam", np.random.default_rng(size), size, np.float64, {"v_max"})
        assert_alike(run_fast_and_reference("adam", arrays, **VALUES), np.float64)


@needs_numba
@pytest.mark.parametrize("name", OPTIMIZER_KERNELS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_gradients_that_are_not_finite_stay_where_they_are(name, bad, l2):
    arrays = arrays_of(name, np.random.default_rng(0), 20, np.float64)
    arrays[1][7] = bad
    results = run_fast_and_reference(name, arrays, **{**VALUES, "l2": l2})
    assert_alike(results, np.float64)
    for copies in results:
        changed = {i for a in copies[:1] + copies[2:] for i in np.flatnonzero(~np.isfinite(a))}
        assert changed == {7}


@needs_numba
@pytest.mark.parametrize("name", OPTIMIZER_KERNELS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_moments_that_are_not_finite_agree(name, bad):
    arrays = arrays_of(name, np.random.default_rng(0), 20, np.float64)
    for i, array in enumerate(arrays[2:], 2):
        array[i] = bad
    assert_alike(run_fast_and_reference(name, arrays, **VALUES), np.float64)


@needs_numba
@pytest.mark.parametrize("name", OPTIMIZER_KERNELS)
def test_an_infinite_parameter_stays_out_of_the_moments(name):
    arrays = arrays_of(name, np.random.default_rng(0), 5, np.float64)
    arrays[0][2] = np.inf
    results = run_fast_and_reference(name, arrays, **{**VALUES, "l2": 0.0})
    assert_alike(results, np.float64)
    assert all(np.isfinite(array).all() for copies in results for array in copies[2:])


@needs_numba
def test_eps_zero_and_a_zero_gradient_agree():
    arrays = [np.ones(4), np.array([1.0, 0.0, -1.0, 0.0]), *(np.zeros(4) for _ in range(2)), None]
    scalars = {"eps": 0.0, "l2": 0.0, "shrink": 1.0, "correction1": 0.1, "correction2": 0.01}
    fast, slow = run_fast_and_reference("adam", arrays, **{**VALUES, **scalars})
    np.testing.assert_allclose(fast[0], [0.9, np.nan, 1.1, np.nan])
    np.testing.assert_allclose(slow[0], fast[0])


@needs_numba
@pytest.mark.parametrize("size", [0, 1, 63, 2 * (1 << 18) + 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_finding_what_is_not_finite(size, dtype):
    all_finite_fast = cpu_kernel("all_finite")
    flat = np.full(size, np.finfo(dtype).max, dtype)
    for place in (None, 0, size // 2, size - 1):
        for bad in (np.nan, np.inf, -np.inf):
            twin = flat.copy()
            if place is not None and size:
                twin[place] = bad
            wanted = place is None or not size
            assert all_finite_fast(twin) is all_finite(np, twin) is wanted
