"""Gradients of which only some rows are stored: the class, the engine, the layers that make them."""

from __future__ import annotations

import copy
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layers import CSR

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import errors, nn, optim

INDICES = np.array([[5, 1, 5], [0, 5, 1]])


def table(rows=7, width=3, seed=0):
    return nn.Parameter(np.random.default_rng(seed).standard_normal((rows, width)))


def both(function):
    """Return the gradients of a table by `function`, called with sparse and dense lookups."""
    gradients = []
    for sparse in (True, False):
        p = table()
        function(p, sparse)
        gradients.append(p.grad)
    sparse, dense = gradients
    return sparse, dense.numpy()


def weighted(y, seed=1):
    return (y * np.random.default_rng(seed).standard_normal(y.shape)).sum()


# --- The class ---------------------------------------------------------------------------------


@settings(max_examples=50)
@given(
    index=st.lists(st.integers(0, 9), max_size=20),
    rest=st.sampled_from([(), (1,), (3,), (2, 2), (0,)]),
    kernels=st.sampled_from(["fast", "reference"]),
)
def test_repeated_rows_are_added_up(index, rest, kernels):
    index = np.array(index, int)
    values = np.random.default_rng(0).standard_normal((len(index), *rest))
    with tg.use_kernels(kernels):
        g = tg.RowSparse(index, values, (10, *rest))
    wanted = np.zeros((10, *rest))
    for row, value in zip(index, values, strict=True):
        wanted[row] += value
    np.testing.assert_allclose(g.to_dense(), wanted, rtol=1e-14)
    assert g.rows.tolist() == sorted(set(index.tolist()))
    assert g.rows.dtype == np.int64
    assert g.values.shape == (len(g.rows), *rest)
    twice = g + g.copy()
    np.testing.assert_allclose(twice.to_dense(), 2 * wanted, rtol=1e-14)


def test_a_copy_has_values_of_its_own():
    values = np.ones((2, 3))
    g = tg.RowSparse(np.array([0, 4]), values, (5, 3))
    for twin in (g.copy(), g.astype(np.float32), g + tg.RowSparse(np.array([0]), np.ones((1, 3)), (5, 3))):
        twin.values[...] = 7
    assert (g.values == 1).all()
    g.values[...] = 5
    assert (values == 1).all()
    assert g.astype(np.float32).dtype == np.float32


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: tg.RowSparse(np.array([0]), np.ones((2, 3)), (4, 3)), errors.ShapeError, r"\(1,\)\n.*\(2,"),
        (lambda: tg.RowSparse(np.array([[0]]), np.ones((1, 3)), (4, 3)), errors.ShapeError, r"\(1, 1\)"),
        (lambda: tg.RowSparse(np.array([0]), np.ones((1, 3)), (4, 2)), errors.ShapeError, r"\(4, 2\)"),
        (lambda: tg.RowSparse(np.array([0]), np.ones(1), ()), errors.ShapeError, r"shape +\(\)"),
        (lambda: tg.RowSparse(np.array([4]), np.ones((1, 3)), (4, 3)), errors.IndexingError, r"range\(4\)"),
        (lambda: tg.RowSparse(np.array([-1]), np.ones((1, 3)), (4, 3)), errors.IndexingError, "least +-1"),
        (lambda: example() + tg.RowSparse(np.array([0]), np.ones((1, 2)), (4, 2)), errors.ShapeError, "left"),
        (lambda: example() + np.ones((4, 3)), TypeError, "RowSparse"),
        (lambda: np.ones((4, 3)) * example(), TypeError, "RowSparse"),
        (lambda: setattr(table(5), "grad", example()), errors.ShapeError, r"\(5, 3\)\n.*\(4, 3\)"),
    ],
)  # fmt: skip
def test_wrong_use_of_the_class(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def example():
    return tg.RowSparse(np.array([1]), np.ones((1, 3)), (4, 3))


# --- The engine --------------------------------------------------------------------------------


@pytest.mark.parametrize("kernels", ["fast", "reference"])
def test_an_embedding_gives_the_rows_that_it_read(kernels):
    with tg.use_kernels(kernels):
        g, dense = both(lambda p, sparse: weighted(F.embedding(INDICES, p, sparse)).backward())
    assert isinstance(g, tg.RowSparse)
    assert g.rows.tolist() == [0, 1, 5]
    np.testing.assert_allclose(g.to_dense(), dense, rtol=1e-13)


@pytest.mark.torch
def test_the_gradient_agrees_with_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
    p = table()
    q = torch.tensor(p.data.copy(), requires_grad=True)
    weights = np.random.default_rng(1).standard_normal((*INDICES.shape, 3))
    (F.embedding(INDICES, p, sparse=True) * weights).sum().backward()
    y = torch.nn.functional.embedding(torch.tensor(INDICES), q, sparse=True)
    (y * torch.tensor(weights)).sum().backward()
    theirs = q.grad.coalesce()
    assert p.grad.rows.tolist() == theirs.indices()[0].tolist()
    np.testing.assert_allclose(p.grad.values, theirs.values().numpy(), rtol=1e-12)


USES = {
    "two lookups": lambda p, s: F.embedding([1, 2], p, s).sum() + weighted(F.embedding([2, 6], p, s)),
    "no lookup": lambda p, s: F.embedding(np.zeros((0,), int), p, s).sum() + 0.0,
    "a lookup, then a product": lambda p, s: weighted(F.embedding([1, 2], p, s)) + weighted(p * p),
    "a product, then a lookup": lambda p, s: weighted(p * p) + weighted(F.embedding([1, 2], p, s)),
    "between two products": lambda p, s: (
        weighted(p * p) + weighted(F.embedding([1, 2], p, s)) + weighted(p.exp(), 2)
    ),
    "of a result": lambda p, s: weighted(F.embedding([1, 2, 1], p * 2, s)),
    "tied weights": lambda p, s: weighted(F.linear(F.embedding([1, 2, 1], p, s), p)),
    "float64 from float32": lambda p, s: weighted(F.embedding([1, 1], p, s).astype(np.float32)),
}
STAYS = {"two lookups", "no lookup", "float64 from float32"}


@pytest.mark.parametrize("reserved", [False, True])
@pytest.mark.parametrize("use", USES)
def test_sums_with_other_gradients(use, reserved):
    """A leaf that is only looked up has a row-sparse gradient; otherwise it is dense, and right."""

    def run(p, sparse):
        if reserved:
            p._grad_buffer = np.full(p.shape, np.nan)
        USES[use](p, sparse).backward()

    g, dense = both(run)
    assert isinstance(g, tg.RowSparse) == (use in STAYS)
    np.testing.assert_allclose(g.to_dense() if use in STAYS else g.numpy(), dense, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("second", ["sparse", "dense", "graph"])
@pytest.mark.parametrize("first", ["sparse", "dense", "graph"])
@pytest.mark.parametrize("reserved", [False, True])
def test_two_backward_passes_add_up(first, second, reserved):
    p = table()
    if reserved:
        p._grad_buffer = np.full(p.shape, np.nan)
    for kind in (first, second):
        weighted(F.embedding([1, 1, 4], p, kind != "dense")).backward(create_graph=kind == "graph")
    q = table()
    for _ in range(2):
        weighted(F.embedding([1, 1, 4], q)).backward()
    assert isinstance(p.grad, tg.RowSparse) == (first == second == "sparse")
    g = p.grad.to_dense() if isinstance(p.grad, tg.RowSparse) else p.grad.detach().numpy()
    np.testing.assert_allclose(g, q.grad.numpy(), rtol=1e-13)


def test_grad_and_gradients_of_gradients_are_dense():
    p = table()
    y = (F.embedding(INDICES, p, sparse=True) ** 3).sum()
    plain = tg.grad(y, p, retain_graph=True)
    wanted = np.zeros(p.shape)
    np.add.at(wanted, INDICES, 3 * p.data[INDICES] ** 2)
    np.testing.assert_allclose(plain.numpy(), wanted, rtol=1e-12)
    assert p.grad is None
    (dp,) = tg.grad(y, [p], create_graph=True)
    (dp**2).sum().backward()
    count = np.bincount(INDICES.ravel(), minlength=7)[:, None]
    np.testing.assert_allclose(p.grad.to_dense(), count**2 * 36 * p.data**3, rtol=1e-12)
    assert tg.gradcheck(lambda w: F.embedding(INDICES, w, sparse=True), table())
    assert tg.gradgradcheck(lambda w: F.embedding(INDICES, w, sparse=True) ** 2, table())


def test_hooks_see_and_may_replace_a_row_sparse_gradient():
    p, seen = table(), []
    p.register_hook(seen.append)
    F.embedding([1], p, sparse=True).sum().backward()
    assert isinstance(seen[0], tg.RowSparse)
    p.grad = None
    other = tg.RowSparse(np.array([3]), np.ones((1, 3)), p.shape)
    remove = p.register_hook(lambda g: other)
    F.embedding([1], p, sparse=True).sum().backward()
    assert p.grad.rows.tolist() == [3]
    p.grad = None
    remove()
    remove = p.register_hook(lambda g: tg.tensor(2 * g.to_dense()))
    F.embedding([1], p, sparse=True).sum().backward()
    assert p.grad.numpy().sum() == 6
    remove()
    p.register_hook(lambda g: tg.ones(2))
    with pytest.raises(errors.ShapeError, match=r"hook: .*\n.*\(7, 3\)\n.*\(2,\)"):
        F.embedding([1], p, sparse=True).sum().backward()


def test_a_deep_copy_has_a_gradient_of_its_own():
    p = table()
    F.embedding([1, 2], p, sparse=True).sum().backward()
    twin = copy.deepcopy(p)
    twin.grad.values[...] = 9
    assert (p.grad.values == 1).all()
    assert twin.grad.rows.tolist() == [1, 2]


def test_memory_follows_the_rows():
    p = nn.Parameter(np.zeros((200_000, 8), np.float32))
    opt = optim.SparseAdam([p])
    for kernels in ("fast", "reference"):
        with tg.use_kernels(kernels):
            for i in range(2):  # the first may compile
                tracemalloc.start()
                opt.zero_grad()
                F.embedding(np.arange(i, 1000, 7), p, sparse=True).sum().backward()
                opt.step()
                _, peak = tracemalloc.get_traced_memory()
                tracemalloc.stop()
        assert peak < 300_000 < p.data.nbytes / 20


# --- Gradients between the backward pass and the step --------------------------------------------


def two_gradients():
    """The same gradients, row-sparse and dense, beside one of another parameter."""
    for sparse in (True, False):
        p, q = table(), nn.Parameter(np.array([3.0, -4.0]))
        (4 * weighted(F.embedding(INDICES, p, sparse)) + (q * q).sum()).backward()
        yield p, q


@pytest.mark.parametrize(
    "clip",
    [
        lambda params: optim.clip_grad_norm_(params, 0.5),
        lambda params: optim.clip_grad_value_(params, 0.5),
        lambda params: optim.clip_grad_adaptive_(params, 0.1),
    ],
    ids=["norm", "value", "adaptive"],
)
def test_clipping_is_that_of_the_dense_gradient(clip):
    (p, q), (p2, q2) = two_gradients()
    before = p.grad.to_dense()
    answer, wanted = clip([p, q]), clip([p2, q2])
    np.testing.assert_allclose(p.grad.to_dense(), p2.grad.numpy(), rtol=1e-12)
    np.testing.assert_allclose(q.grad.numpy(), q2.grad.numpy(), rtol=1e-12)
    assert not np.allclose(p.grad.to_dense(), before)
    if wanted is not None:
        assert answer.item() == pytest.approx(wanted.item(), rel=1e-12)


def test_adaptive_clipping_of_a_vector_takes_it_as_one_unit():
    gradients = []
    for sparse in (True, False):
        p = nn.Parameter(np.array([3.0, 0.0, 4.0]))
        (F.embedding([2, 2], p, sparse) * 100).sum().backward()
        optim.clip_grad_adaptive_([p], 0.1)
        gradients.append(p.grad.to_dense() if sparse else p.grad.numpy())
    assert gradients[0].tolist() == gradients[1].tolist()
    assert gradients[1].tolist() == pytest.approx([0, 0, 0.5])


def test_noise_is_refused_by_name():
    p, _ = next(two_gradients())
    with pytest.raises(errors.DTypeError, match=r"add_grad_noise_: .*Embedding\(sparse=False\)"):
        optim.add_grad_noise_([p], 0)


@pytest.mark.parametrize("cls", optim.OPTIMIZERS.values())
def test_dense_optimizers_refuse_it_and_change_nothing(cls):
    first, model = nn.Linear(2, 2), nn.Embedding(4, 2, sparse=True)
    opt = cls([{"params": [("first", first.weight)]}, {"params": [("table", model.weight)]}])
    first.weight.grad = np.ones((2, 2))
    model([1]).sum().backward()
    before = first.weight.data.copy()
    with pytest.raises(
        errors.DTypeError,
        match=rf"{cls.__name__}.step: a gradient is row-sparse; .*SparseAdam.*sparse=False.*\n  name  table",
    ):
        opt.step()
    assert np.array_equal(first.weight.data, before)
    assert opt.state_dict()["state"] == {}
    cls([model.weight])  # the gradient that is there does not stop a new optimizer


# --- Layers ------------------------------------------------------------------------------------


def test_settings_are_shown():
    assert repr(nn.Embedding(3, 2, sparse=True)) == "Embedding(3, 2, sparse=True)  # 6 parameters"
    assert repr(nn.SparseLinear(3, 2)) == "SparseLinear(3, 2)  # 8 parameters"
    assert repr(nn.SparseLinear(3, 2, bias=False)) == "SparseLinear(3, 2, bias=False)  # 6 parameters"


def dense_matrix(rows=5, columns=8, seed=0):
    """A matrix with an empty row and an empty column."""
    rng = np.random.default_rng(seed)
    dense = rng.standard_normal((rows, columns)) * (rng.random((rows, columns)) < 0.4)
    dense[2], dense[:, 3] = 0, 0
    return dense


@pytest.mark.parametrize("kernels", ["fast", "reference"])
@pytest.mark.parametrize("kind", ["ours", "scipy array", "scipy matrix", "int32"])
def test_sparse_linear_is_a_product(kind, kernels):
    dense = dense_matrix()
    x = CSR(dense)
    if kind.startswith("scipy"):
        sparse = pytest.importorskip("scipy.sparse", reason="SciPy is not installed")
        x = (sparse.csr_array if kind == "scipy array" else sparse.csr_matrix)(dense)
    elif kind == "int32":
        dense = (dense * 5).astype(np.int32)
        x = CSR(dense)
    w, b = table(8, 3), nn.Parameter(np.array([1.0, 2.0, 3.0]))
    g = np.random.default_rng(1).standard_normal((5, 3))
    with tg.use_kernels(kernels):
        y = F.sparse_linear(x, w, b)
        y.backward(g)
    np.testing.assert_allclose(y.detach().numpy(), dense @ w.data + b.data, rtol=1e-12)
    assert w.grad.rows.tolist() == np.flatnonzero(dense.any(axis=0)).tolist()
    np.testing.assert_allclose(w.grad.to_dense(), dense.T @ g, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(b.grad.numpy(), g.sum(axis=0), rtol=1e-12)


def test_sparse_linear_to_the_second_order():
    x = CSR(dense_matrix())
    assert tg.gradcheck(lambda w: F.sparse_linear(x, w), table(8, 3))
    assert tg.gradgradcheck(lambda w: F.sparse_linear(x, w) ** 3, table(8, 3))


def test_sparse_linear_keeps_the_dtype_of_the_weight():
    layer = nn.SparseLinear(8, 3)
    y = layer(CSR(dense_matrix()))
    assert y.dtype == np.float32
    y.sum().backward()
    assert layer.weight.grad.dtype == np.float32


@pytest.mark.parametrize("shape", [(0, 8), (3, 8)])
def test_sparse_linear_of_nothing(shape):
    layer = nn.SparseLinear(8, 2)
    y = layer(CSR(np.zeros(shape)))
    assert y.tolist() == [layer.bias.tolist()] * shape[0]
    y.sum().backward()
    assert layer.weight.grad.rows.tolist() == []


def damaged(**changes):
    x = CSR(dense_matrix())
    for name, value in changes.items():
        setattr(x, name, value)
    return x


@pytest.mark.parametrize(
    ("x", "kind", "message"),
    [
        (lambda: CSR(np.ones((2, 7))), errors.ShapeError, r"x.shape\[1\] must.*\n.*\(2, 7\)\n.*\(8, 3\)"),
        (lambda: np.ones((2, 8)), errors.DTypeError, "sparse rows.*dense one to linear\n  x  ndarray"),
        (lambda: tg.ones(2, 8), errors.DTypeError, "Tensor"),
        (lambda: damaged(format="csc"), errors.DTypeError, r"\.tocsr\(\)"),
        (lambda: damaged(indptr=np.zeros(3, int)), errors.ShapeError, r"indptr +\(3,\)"),
        (lambda: damaged(data=np.ones(1)), errors.ShapeError, r"data +\(1,\)"),
        (lambda: damaged(indptr=np.zeros(6, int)), errors.IndexingError, r"range\(5\)"),
        (lambda: damaged(indices=CSR(dense_matrix()).indices + 1), errors.IndexingError, r"range\(8\)"),
    ],
)  # fmt: skip
def test_wrong_matrices(x, kind, message):
    with pytest.raises(kind, match=f"sparse_linear: (?s:.*){message}"):
        nn.SparseLinear(8, 3)(x())


def test_wrong_weights_and_sizes():
    x = CSR(dense_matrix())
    with pytest.raises(errors.ShapeError, match=r"weight +\(8,\)"):
        F.sparse_linear(x, nn.Parameter(np.ones(8)))
    with pytest.raises(errors.ShapeError, match=r"bias must .*\n  bias +\(8,\)"):
        F.sparse_linear(x, table(8, 3), np.ones(8))
    with pytest.raises(errors.OptionError, match=r"SparseLinear: .*\n.*in_features +0"):
        nn.SparseLinear(0, 3)
    with pytest.raises(errors.IndexingError, match=r"range\(7\)"):
        nn.Embedding(7, 3, sparse=True)([7])
