"""SparseAdam against a transcription, PyTorch and dense Adam; its kernels, its state, what it refuses."""

from __future__ import annotations

import ast
import copy
import inspect
import math
import pickle
import textwrap
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layers import CSR
from mutation import broken, compiled, running
from optim_cases import (
    KERNELS,
    NOT_BETAS,
    NOT_NUMBERS,
    assert_same,
    give,
    model_and_optimizer,
    moments_of,
    needs_numba,
    parameter,
    train,
    values,
)

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import data, errors, nn, optim, training

OPTIONS = [
    {},
    {"betas": (0.5, 0.7), "eps": 0.1},
    {"betas": (0.0, 0.9), "eps": 0.01},
    {"betas": (0.9, 0.0), "eps": 0.1},
]

# --- Closed forms ------------------------------------------------------------------------------

# Rows 0 and 2 are touched in turns, row 1 late, and row 3 never.
TOUCHES = [{0: 4.0, 2: 1.0}, {2: -2.0}, {}, {0: 1.0}, {0: -3.0, 1: 0.5, 2: 0.25}, {1: 2.0}]


def rule(theta, touches, lr, betas=(0.9, 0.999), eps=1e-8):
    """Adam on rows, one number each, in the faster order of computation of section 2."""
    theta = list(theta)
    m, v = [0.0] * len(theta), [0.0] * len(theta)
    path = []
    for t, touched in enumerate(touches, 1):
        for i, g in touched.items():
            m[i] = betas[0] * m[i] + (1 - betas[0]) * g
            v[i] = betas[1] * v[i] + (1 - betas[1]) * g**2
            rate = lr * math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
            theta[i] -= rate * m[i] / (math.sqrt(v[i]) + eps)
        path.append(list(theta))
    return path


def touch(p, touched, scale=1.0):
    """Give a gradient with these rows, in columns of both signs."""
    index = np.array(list(touched), int)
    column = scale * np.array(list(touched.values())).reshape(-1, 1)
    p.grad = tg.RowSparse(index, np.hstack([column, -column]), p.shape)


def check_closed_form(options):
    start = [1.5, -0.5, 2.0, 3.0]
    p = nn.Parameter(np.stack([start, np.negative(start)], axis=1))
    opt = optim.SparseAdam([p], lr=0.1, **options)
    for touched, wanted in zip(TOUCHES, rule(start, TOUCHES, 0.1, **options), strict=True):
        touch(p, touched, scale=3)
        opt.step(grad_scale=3)
        np.testing.assert_allclose(p.data, np.stack([wanted, np.negative(wanted)], axis=1), rtol=1e-12)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_closed_forms(options, kernels):
    with tg.use_kernels(kernels):
        check_closed_form(options)


@pytest.mark.parametrize("function", [optim.SparseAdam.update, optim.SparseAdam.scalars])
def test_wrong_updates_are_caught(function):
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body

    def is_caught(mutant):
        try:
            with running(function, compiled(mutant, function)), tg.use_kernels("reference"):
                for options in OPTIONS:
                    check_closed_form(options)
        except Exception:
            return True
        return False

    assert not is_caught(tree)
    arrays = {"table", "grad", "m", "v", "m_rows", "v_rows"}
    assert [label for label, mutant in broken(tree, arrays) if not is_caught(mutant)] == []


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")


@pytest.mark.torch
@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_follows_pytorch(options, kernels, torch):
    """Over 1,000 steps in float64, with rows that repeat, and steps that touch none."""
    rng = np.random.default_rng(0)
    start, target = rng.standard_normal((2, 20, 3))
    ours, theirs = nn.Parameter(start), torch.nn.Parameter(torch.tensor(start))
    opt = optim.SparseAdam([ours], lr=0.01, **options)
    their_opt = torch.optim.SparseAdam([theirs], lr=0.01, **options)
    for _ in range(1000):
        index = rng.integers(0, 19, rng.integers(0, 5))
        opt.zero_grad(), their_opt.zero_grad()
        with tg.use_kernels(kernels):
            ((F.embedding(index, ours, sparse=True) - target[index]) ** 2).sum().backward()
            opt.step()
        y = torch.nn.functional.embedding(torch.tensor(index), theirs, sparse=True)
        ((y - torch.tensor(target[index])) ** 2).sum().backward()
        their_opt.step()
    np.testing.assert_allclose(ours.data, theirs.detach().numpy(), rtol=1e-10, atol=1e-10)
    assert np.array_equal(ours.data[19], start[19])
    state = their_opt.state[theirs]
    moments = moments_of(opt)
    np.testing.assert_allclose(moments["0.m"], state["exp_avg"].numpy(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(moments["0.v"], state["exp_avg_sq"].numpy(), rtol=1e-10, atol=1e-10)
    assert moments["0.step"] == state["step"] == 1000


# --- Beside dense Adam ---------------------------------------------------------------------------


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("shape", [(4, 3), (5,), (2, 3, 2), (), (0, 3), (3, 0)], ids=str)
def test_a_dense_gradient_makes_it_adam(shape, kernels):
    rng = np.random.default_rng(0)
    start, gradients = rng.standard_normal(shape), rng.standard_normal((50, *shape))
    p, q = nn.Parameter(start), nn.Parameter(start)
    sparse, dense = optim.SparseAdam([p], lr=0.1, eps=0.1), optim.Adam([q], lr=0.1, eps=0.1, eps_at="hat")
    with tg.use_kernels(kernels):
        for i, g in enumerate(gradients):
            give(q, g)
            if i % 2 and shape:
                p.grad = tg.RowSparse(np.arange(shape[0]), g, shape)  # every row
            else:
                give(p, g)
            sparse.step(), dense.step()
    np.testing.assert_allclose(p.data, q.data, rtol=1e-12)
    assert_same(
        moments_of(sparse), {k: v for k, v in moments_of(dense).items() if "v_max" not in k}, rtol=1e-12
    )


def test_a_gradient_that_carries_a_graph_is_taken():
    p, q = parameter(1.0, 2.0), parameter(1.0, 2.0)
    for x, graph in ((p, True), (q, False)):
        opt = optim.SparseAdam([x], lr=0.1)
        (x**3).sum().backward(create_graph=graph)
        opt.step()
    assert p.tolist() == q.tolist() != [1.0, 2.0]


def test_other_rows_stay_and_dense_adam_moves_them():
    """After a single touch late in training dense Adam goes 1 / (1 - beta1) times as far."""
    moved = {}
    for cls in (optim.SparseAdam, optim.Adam):
        p = nn.Parameter(np.zeros((2, 1)))
        opt = cls([p], lr=1e-3, betas=(0.9, 0.9999), eps=0.0 if cls is optim.SparseAdam else 1e-300)
        for step in range(300):
            g = tg.RowSparse(np.array([1] if step == 100 else [0]), np.ones((1, 1)), (2, 1))
            p.grad = g if cls is optim.SparseAdam else g.to_dense()
            opt.step()
            if step == 100:
                first = p.data[1, 0]
        moved[cls] = (first, p.data[1, 0])
    lazy, eager = moved[optim.SparseAdam], moved[optim.Adam]
    assert lazy[0] == lazy[1] < 0
    assert eager[0] == pytest.approx(lazy[0], rel=1e-9)
    assert eager[1] / lazy[1] == pytest.approx(10, rel=0.1)


def test_rows_that_are_not_touched_keep_every_bit():
    p = nn.Parameter(np.random.default_rng(0).standard_normal((6, 2)))
    opt = optim.SparseAdam([p], lr=0.1)
    give(p, 1.0)
    opt.step()
    before, moments = p.data.copy(), moments_of(opt)
    touch(p, {1: 2.0, 4: -1.0})
    opt.step()
    others = [0, 2, 3, 5]
    assert np.array_equal(p.data[others], before[others])
    for name in ("0.m", "0.v"):
        assert np.array_equal(moments_of(opt)[name][others], moments[name][others])
        assert (moments_of(opt)[name][[1, 4]] != moments[name][[1, 4]]).all()


def test_there_is_no_place_for_a_dense_gradient():
    table = nn.Embedding(6, 2, sparse=True)
    adam = optim.Adam(table.parameters())
    assert table.weight._grad_buffer is not None
    opt = optim.SparseAdam(table.parameters())
    assert table.weight._grad_buffer is None
    assert not hasattr(opt._storages[0][0], "grad")
    del adam


# --- Kernels -------------------------------------------------------------------------------------


def run_both_kernels(rng, n, k, width, dtype, **scalars):
    from tinygrad_adam.kernels.cpu import adam as cpu_adam

    rows = np.sort(rng.choice(n, k, replace=False))
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in [(n, width), (k, width), (n, width)]]
    second = (rng.standard_normal((n, width)) ** 2 + 0.1).astype(dtype)
    results = []
    for kernel in (cpu_adam.sparse_adam, partial(optim.SparseAdam.update, np)):
        table, grad, m = (a.copy() for a in arrays)
        v = second.copy()
        kernel(table, rows, grad, m, v, **{key: scalars[key] for key in SCALARS})
        results.append((table, grad, m, v))
    tolerance = {"rtol": 1e-11, "atol": 1e-13} if dtype == np.float64 else {"rtol": 1e-3, "atol": 1e-5}
    for fast, slow in zip(*results, strict=True):
        assert fast.dtype == slow.dtype == dtype
        np.testing.assert_allclose(fast, slow, **tolerance)
    others = np.setdiff1d(np.arange(n), rows)
    assert np.array_equal(results[0][0][others], arrays[0][others])


SCALARS = {
    "scale": 1 / 3, "lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "correction1": 0.3,
    "correction2": 0.03,
}  # fmt: skip


@needs_numba
@settings(max_examples=30)
@given(
    n=st.integers(0, 30),
    share=st.floats(0, 1),
    width=st.integers(0, 9),
    dtype=st.sampled_from([np.float64, np.float32]),
    scalars=st.fixed_dictionaries(
        {
            "scale": st.sampled_from([1.0, 0.25, 1 / 3]),
            "lr": st.floats(0, 1),
            "beta1": st.floats(0, 0.99),
            "beta2": st.floats(0, 0.999),
            "eps": st.sampled_from([1e-8, 0.1]),
            "correction1": st.floats(0.01, 1),
            "correction2": st.floats(0.001, 1),
        }
    ),
)
def test_fast_kernel(n, share, width, dtype, scalars):
    run_both_kernels(np.random.default_rng(n), n, int(share * n), width, dtype, **scalars)


@needs_numba
def test_many_pieces(monkeypatch):
    from tinygrad_adam.backend import threads
    from tinygrad_adam.kernels.cpu import adam as cpu_adam

    monkeypatch.setattr(cpu_adam, "_LEAST", 40)
    before = threads.get_num_threads()
    threads.set_num_threads(3)
    try:
        for k in (0, 1, 19, 20, 41, 300):
            run_both_kernels(np.random.default_rng(k), 300, k, 4, np.float64, **SCALARS)
    finally:
        threads.set_num_threads(before)


@needs_numba
def test_parameters_come_in_the_order_of_the_reference():
    from tinygrad_adam.kernels.cpu import adam as cpu_adam

    parameters = inspect.signature(optim.SparseAdam.update).parameters.values()
    scalars = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    opt = optim.SparseAdam([parameter(1.0)])
    assert ["scale", *opt.scalars(opt.param_groups[0], 1)] == scalars == list(SCALARS)
    compiled_names = list(inspect.signature(cpu_adam._sparse_adam.py_func).parameters)
    assert compiled_names == ["first", "last", "p", "rows", "g", "m", "v", *scalars]


# --- State ---------------------------------------------------------------------------------------


class Words(nn.Module):
    """A table of words, their mean, and a linear layer."""

    def __init__(self, sparse=True):
        super().__init__()
        self.table = nn.Embedding(30, 4, sparse=sparse)
        self.out = nn.Linear(4, 2)

    def forward(self, indices):
        return self.out(self.table(indices).mean(axis=1))


def words(seed=0, **options):
    with tg.default_dtype(np.float64), tg.fork_rng(seed):
        model = Words()
    return model, optim.SparseAdam(model.named_parameters(), **{"lr": 0.05, **options})


def learn(model, opt, steps=3, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        loss = F.cross_entropy(model(rng.integers(0, 30, (4, 3))), rng.integers(0, 2, 4))
        opt.zero_grad()
        loss.backward()
        opt.step()


def test_a_run_resumes_bit_for_bit():
    model, opt = words(betas=(0.5, 0.9))
    learn(model, opt)
    state = opt.state_dict()
    assert {key: value.shape for key, value in state["state"]["table.weight"].items() if key != "step"} == {
        "m": (30, 4), "v": (30, 4),
    }  # fmt: skip
    twin, twin_opt = words(seed=1)
    twin.load_state_dict(model.state_dict())
    twin_opt.load_state_dict(state)
    assert twin_opt.param_groups[0]["betas"] == (0.5, 0.9)
    learn(model, opt, seed=1), learn(twin, twin_opt, seed=1)
    assert_same(values(model), values(twin))
    assert_same(moments_of(opt), moments_of(twin_opt))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_goes_its_own_way(copied):
    model, opt = words()
    learn(model, opt)
    if copied is not copy.deepcopy:
        opt.zero_grad()
    twin, twin_opt = copied((model, opt))
    before = values(model)
    learn(twin, twin_opt, seed=1)
    assert_same(values(model), before)
    learn(model, opt, seed=1)
    assert_same(values(model), values(twin))


def test_a_cast_of_the_model_is_followed():
    model, opt = words()
    learn(model, opt)
    model.to(np.float32)
    learn(model, opt)
    assert all(p.dtype == np.float32 for p in model.parameters())
    assert moments_of(opt)["table.weight.m"].dtype == np.float32


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("lr", value) for value in NOT_NUMBERS),
        *(("eps", value) for value in NOT_NUMBERS),
        *(("betas", value) for value in NOT_BETAS),
    ],
    ids=str,
)
def test_hyper_parameters_out_of_their_domain(key, value):
    with pytest.raises(errors.OptionError, match=f"SparseAdam: {key} must be "):
        optim.SparseAdam([parameter(1.0)], **{key: value})


def test_a_step_before_backward_says_so():
    model, opt = words()
    with pytest.raises(errors.GraphError, match=r"SparseAdam\.step: no parameter has a gradient"):
        opt.step()
    model([[1, 2]]).sum().backward()
    opt.zero_grad()
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_gradients_that_are_not_finite(bad, kernels):
    for choice in ("skip", "raise"):
        model, opt = words(on_nonfinite=choice)
        with tg.use_kernels(kernels):
            learn(model, opt)
            before, moments = values(model), moments_of(opt)
            model.table.weight.grad.values[1, 2] = bad
            if choice == "skip":
                opt.step()
                assert opt.skipped == 1
            else:
                with pytest.raises(errors.NonFiniteError, match=r"SparseAdam.step: (?s:.*)table\.weight$"):
                    opt.step()
        assert_same(values(model), before)
        assert_same(moments_of(opt), moments)


# --- Training ------------------------------------------------------------------------------------


def test_the_trainer_takes_a_model_of_sparse_and_dense_gradients():
    """Two batches gathered are one of twice the size, clipped and all."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 30, (64, 3))
    dataset = data.TensorDataset(x, (x.sum(axis=1) > 45).astype(np.int64))
    results = []
    for size, accumulate in ((16, 1), (8, 2)):
        model, opt = words()
        trainer = training.Trainer(model, opt, F.cross_entropy, max_grad_norm=0.1, accumulate=accumulate)
        trainer.fit(data.DataLoader(dataset, batch_size=size), epochs=3)
        results.append(values(model))
        assert isinstance(model.table.weight.grad, tg.RowSparse)
    assert_same(*results, rtol=1e-9)
    assert trainer.history["loss"][-1] < trainer.history["loss"][0]


def test_the_trainer_says_what_to_do_with_a_dense_optimizer():
    model, _ = words()
    dataset = data.TensorDataset(np.zeros((4, 3), np.int64), np.zeros(4, np.int64))
    trainer = training.Trainer(model, optim.Adam(model.named_parameters()), F.cross_entropy)
    with pytest.raises(errors.DTypeError, match=r"(?s)Adam\.step: .*SparseAdam.*table\.weight"):
        trainer.fit(data.DataLoader(dataset, batch_size=4), epochs=1)


def test_logistic_regression_on_counts_of_words():
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.1, (200, 50))
    labels = (counts[:, :25].sum(axis=1) > counts[:, 25:].sum(axis=1)).astype(int)
    with tg.fork_rng(0):
        model = nn.SparseLinear(50, 2)
    opt = optim.SparseAdam(model.parameters(), lr=0.05)
    for start in [*range(0, 200, 20)] * 20:
        batch = slice(start, start + 20)
        loss = F.cross_entropy(model(CSR(counts[batch])), labels[batch])
        opt.zero_grad()
        loss.backward()
        opt.step()
    assert (model(CSR(counts)).argmax(axis=1).numpy() == labels).mean() > 0.95


def test_other_models_train_with_it_as_with_adam():
    model, opt = model_and_optimizer(optim.SparseAdam, lr=0.05)
    twin, twin_opt = model_and_optimizer(optim.Adam, lr=0.05, eps_at="hat")
    train(model, opt), train(twin, twin_opt)
    assert_same(values(model), values(twin), rtol=1e-12)
