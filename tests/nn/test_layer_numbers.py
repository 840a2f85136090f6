"""Layers made with numbers of NumPy are those made with Python's, and wrong numbers are refused."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import errors, nn
from tinygrad_adam.nn import init

X, IMAGES = (2, 4), (2, 4, 6, 6)

ROWS = [
    (lambda c, r: nn.Linear(c(4), c(3)), X),
    (lambda c, r: nn.Embedding(c(9), c(4)), None),
    (lambda c, r: nn.Conv2d(c(4), c(6), c(3), c(2), c(1), c(1), c(2)), IMAGES),
    (lambda c, r: nn.Conv2d(c(4), c(6), (c(3), c(1)), (c(2), c(1)), [c(1), c(0)]), IMAGES),
    (lambda c, r: nn.Conv1d(c(4), c(6), c(3), c(2), c(1), c(1), c(2)), (2, 4, 6)),
    (lambda c, r: nn.ConvTranspose2d(c(4), c(6), c(3), c(2), c(1), c(1), c(2)), IMAGES),
    (lambda c, r: nn.MaxPool2d(c(2), c(2), c(1)), IMAGES),
    (lambda c, r: nn.AvgPool2d((c(2), c(2)), c(1)), IMAGES),
    (lambda c, r: nn.AdaptiveAvgPool2d((c(2), c(3))), IMAGES),
    (lambda c, r: nn.LayerNorm(c(4), r(0.5)), X),
    (lambda c, r: nn.LayerNorm([c(6), c(6)], r(0.5)), IMAGES),
    (lambda c, r: nn.GroupNorm(c(2), c(4), r(0.5)), IMAGES),
    (lambda c, r: nn.BatchNorm2d(c(4), r(0.5), r(0.25)), IMAGES),
    (lambda c, r: nn.Dropout(r(0.5)), X),
    (lambda c, r: nn.Dropout2d(r(0.25)), IMAGES),
]


@pytest.mark.parametrize(("make", "shape"), ROWS, ids=range(len(ROWS)))
@pytest.mark.parametrize(("whole", "real"), [(np.int64, np.float64), (np.uint8, np.float32)])
def test_numbers_of_numpy_make_the_same_layer(make, shape, whole, real):
    with tg.fork_rng(0):
        ours = make(int, float)
    with tg.fork_rng(0):
        theirs = make(whole, real)
    assert repr(theirs) == repr(ours)
    rng = np.random.default_rng(0)
    x = (
        rng.integers(0, 9, (2, 3))
        if shape is None
        else tg.tensor(rng.standard_normal(shape).astype(np.float32))
    )
    with tg.fork_rng(0):
        wanted = ours(x)
    with tg.fork_rng(0):
        y = theirs(x)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y.detach().numpy(), wanted.detach().numpy())
    for name, value in theirs.state_dict().items():
        np.testing.assert_array_equal(value, ours.state_dict()[name], err_msg=name)


@pytest.mark.parametrize("wrong", [0, -1, 2.0, True, np.True_, "2", None])
@pytest.mark.parametrize(
    "make",
    [
        lambda n: nn.Linear(n, 2), lambda n: nn.Linear(2, n), lambda n: nn.SparseLinear(n, 2),
        lambda n: nn.Embedding(n, 2), lambda n: nn.Conv2d(n, 2, 1), lambda n: nn.Conv2d(2, 2, 1, groups=n),
        lambda n: nn.Conv1d(2, 2, n), lambda n: nn.ConvTranspose2d(2, n, 1), lambda n: nn.LayerNorm(n),
        lambda n: nn.LayerNorm((2, n)), lambda n: nn.BatchNorm1d(n), lambda n: nn.GroupNorm(n, 2),
    ],
)  # fmt: skip
def test_sizes_that_are_none(make, wrong):
    with pytest.raises(errors.OptionError, match="sizes must be positive integers"):
        make(wrong)


@pytest.mark.parametrize("wrong", [-0.5, np.nan, np.inf, "0.5", True, np.True_])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (nn.Dropout, "p"), (nn.Dropout2d, "p"), (lambda v: nn.LayerNorm(2, v), "eps"),
        (lambda v: nn.GroupNorm(1, 2, v), "eps"), (lambda v: nn.BatchNorm1d(2, v), "eps"),
        (lambda v: nn.BatchNorm1d(2, momentum=v), "momentum"),
    ],
)  # fmt: skip
def test_numbers_that_are_none(make, name, wrong):
    with pytest.raises(errors.OptionError, match=f"{name} must be "):
        make(wrong)


def test_functions_of_normalization_take_them_too():
    x = tg.tensor(np.random.default_rng(0).standard_normal((2, 4)).astype(np.float32))
    wanted = F.layer_norm(x, (4,))
    for shape in (4, np.int64(4), [4], (np.int32(4),)):
        np.testing.assert_array_equal(F.layer_norm(x, shape).numpy(), wanted.numpy())
    np.testing.assert_array_equal(F.group_norm(x, np.int64(2)).numpy(), F.group_norm(x, 2).numpy())
    eps = np.float64(0.5)
    for kernels in ("fast", "reference"):
        with tg.use_kernels(kernels):
            for y in (
                F.layer_norm(x, 4, eps=eps),
                F.group_norm(x, 2, eps=eps),
                F.batch_norm(x, eps=eps),
                F.batch_norm(x, tg.zeros(4), tg.ones(4), eps=eps),
                F.batch_norm(x, tg.zeros(4), tg.ones(4), training=True, momentum=eps, eps=eps),
            ):
                assert y.dtype == np.float32
    with pytest.raises(errors.ShapeError, match="num_groups must divide"):
        F.group_norm(x, 2.0)


def test_gains_of_initial_weights():
    for fill in (
        lambda w, r: init.xavier_uniform_(w, r(0.5)),
        lambda w, r: init.xavier_normal_(w, r(0.5)),
        lambda w, r: init.orthogonal_(w, r(0.5)),
        lambda w, r: init.kaiming_uniform_(w, r(0.25)),
        lambda w, r: init.normal_(w, r(1.0), r(0.5)),
        lambda w, r: init.trunc_normal_(w, r(0.0), r(0.5)),
        lambda w, r: init.constant_(w, r(0.5)),
    ):
        filled = []
        for real in (float, np.float32, np.float64):
            with tg.fork_rng(0):
                filled.append(fill(nn.Parameter(np.zeros((3, 4), np.float32)), real))
        assert {w.dtype for w in filled} == {np.dtype("float32")}
        for w in filled[1:]:
            np.testing.assert_allclose(w.data, filled[0].data, rtol=1e-6)
