"""Wrong calls of Tensors: making them, reading them, changing them in place; settings of the package."""

from __future__ import annotations

import copy
import operator
import pickle

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import cuda, nn


def leaf(*values):
    return tg.tensor(np.array(values), requires_grad=True)


def changed_view():
    x = leaf([1.0, 2.0], [3.0, 4.0])
    h = x * 1.0
    row = h[0]
    h += x
    return row


def recorded_assignment():
    tg.tensor([1.0, 2.0])[0] = leaf(1.0).sum()


def setting(x, name, value):
    setattr(x, name, value)


def inside(scope):
    with scope:
        pass


def truth(x):
    return bool(x)


CALLS = {
    "tensor of a complex number": lambda: tg.tensor(1j),
    "tensor of a ragged list": lambda: tg.tensor([[1], [2, 3]]),
    "tensor of words": lambda: tg.tensor(["a"]),
    "tensor of None": lambda: tg.tensor(None),
    "tensor of float16": lambda: tg.tensor(np.ones(2, np.float16)),
    "tensor of dates": lambda: tg.tensor(np.array(["2020-01-01"], "datetime64[D]")),
    "tensor of a masked array": lambda: tg.tensor(np.ma.array([1.0], mask=[1])),
    "tensor of an unknown dtype": lambda: tg.tensor([1.0], dtype="float99"),
    "tensor of 300 in int8": lambda: tg.tensor(300, dtype=np.int8),
    "tensor of integers that needs a gradient": lambda: tg.tensor([1, 2], requires_grad=True),
    "tensor on an unknown device": lambda: tg.tensor(1.0, device="gpu"),
    "zeros of a negative size": lambda: tg.zeros(-1),
    "zeros of a fraction": lambda: tg.zeros(2.5),
    "zeros of a word": lambda: tg.zeros("a"),
    "zeros of too much": lambda: tg.zeros(10**20),
    "zeros of 65 axes": lambda: tg.zeros(*(1,) * 65),
    "zeros of an unknown dtype": lambda: tg.zeros(2, dtype="flaot32"),
    "zeros of float16": lambda: tg.zeros(2, dtype="float16"),
    "zeros on an unknown device": lambda: tg.zeros(2, device="tpu"),
    "ones of None": lambda: tg.ones(2, None),
    "ones of complex": lambda: tg.ones(2, dtype=complex),
    "full of None": lambda: tg.full((2,), None),
    "full of another shape": lambda: tg.full((2,), [1, 2, 3]),
    "full of 300 in uint8": lambda: tg.full((2,), 300, dtype="uint8"),
    "arange of nothing": lambda: tg.arange(),
    "arange in no step": lambda: tg.arange(0, 1, 0),
    "arange of too many": lambda: tg.arange(1, 2, 3, 4),
    "arange of a word": lambda: tg.arange("a"),
    "arange to nan": lambda: tg.arange(float("nan")),
    "eye of a negative size": lambda: tg.eye(-1),
    "eye of a fraction": lambda: tg.eye(2.5),
    "rand of integers": lambda: tg.rand(2, dtype="int64"),
    "randn of True": lambda: tg.randn(True),
    # Reading.
    "item of two": lambda: tg.ones(2).item(),
    "float of two": lambda: float(tg.ones(2)),
    "truth of two": lambda: truth(tg.ones(2)),
    "truth of none": lambda: truth(tg.ones(0)),
    "len of a number": lambda: len(tg.tensor(1.0)),
    "list of a number": lambda: list(tg.tensor(1.0)),
    "index of a float": lambda: operator.index(tg.tensor(1.0)),
    "format of two": lambda: f"{tg.ones(2):.3f}",
    "numpy of a leaf": lambda: leaf(1.0, 2.0).numpy(),
    "asarray of a result": lambda: np.asarray(leaf(1.0) * 2),
    "to an unknown device": lambda: tg.ones(2).to("nowhere"),
    "astype of a number": lambda: tg.ones(2).astype(3),
    "deepcopy of a result": lambda: copy.deepcopy(leaf(1.0) * 2),
    "pickle of a result": lambda: pickle.dumps(leaf(1.0) * 2),
    "vstack": lambda: np.vstack([tg.ones(2), tg.ones(2)]),
    "sort": lambda: np.sort(tg.ones(2)),
    "median": lambda: np.median(leaf(1.0)),
    "add.reduce": lambda: np.add.reduce(tg.ones(2)),
    "add with out": lambda: np.add(np.ones(2), tg.ones(2), out=np.ones(2)),
    "exp with a dtype": lambda: np.exp(leaf(1.0), dtype=np.float32),
    "iadd of an array": lambda: operator.iadd(np.ones(2), leaf(1.0, 2.0)),
    "sum with a dtype": lambda: np.sum(tg.ones(2), dtype=np.float32),
    "linalg.inv": lambda: np.linalg.inv(tg.ones(2, 2)),
    # In place.
    "+= of a leaf": lambda: operator.iadd(leaf(1.0), 1),
    "*= of a Parameter": lambda: operator.imul(nn.Parameter([1.0]), 2),
    "/= of integers": lambda: operator.itruediv(tg.tensor([1]), 2),
    "+= of a fraction": lambda: operator.iadd(tg.tensor([1]), 0.5),
    "+= of a larger shape": lambda: operator.iadd(tg.ones(2), np.ones((3, 2))),
    "@= of another shape": lambda: operator.imatmul(tg.ones(2, 2), tg.ones(2, 3)),
    "+= of what is spread": lambda: operator.iadd(tg.ones(1).broadcast_to((3,)), 1),
    "+= with a view": changed_view,
    "item assignment out of range": lambda: tg.ones(2).__setitem__(5, 1.0),
    "item assignment of too many": lambda: tg.ones(2).__setitem__(0, [1, 2, 3]),
    "item assignment at a word": lambda: tg.ones(2).__setitem__("a", 1.0),
    "item assignment of an object": lambda: tg.ones(2).__setitem__(0, object()),
    "item assignment of a complex number": lambda: tg.ones(2).__setitem__(0, 1j),
    "item assignment into a leaf": lambda: leaf(1.0).__setitem__(0, 5.0),
    "item assignment that cannot be recorded": recorded_assignment,
    "data of another shape": lambda: setting(leaf(1.0, 2.0), "data", np.zeros(3)),
    "data of fractions": lambda: setting(tg.tensor([1, 2]), "data", [3.7, 1.0]),
    "data of words": lambda: setting(leaf(1.0), "data", ["1"]),
    "data of a Parameter": lambda: setting(nn.Parameter([1.0, 2.0]), "data", np.ones(1)),
    "grad of another shape": lambda: setting(leaf(1.0), "grad", np.ones(2)),
    "grad of words": lambda: setting(leaf(1.0), "grad", ["1"]),
    "grad in rows of another shape": lambda: setting(
        nn.Parameter(np.ones((5, 3))), "grad", tg.RowSparse(np.array([0]), np.ones((1, 3)), (4, 3))
    ),
    "requires_grad of integers": lambda: tg.tensor([1, 2]).requires_grad_(),
    "requires_grad of a result": lambda: (leaf(1.0) * 2).requires_grad_(False),
    "Parameter of integers": lambda: nn.Parameter([1, 2]),
    # Row-sparse gradients.
    "RowSparse of other rows": lambda: tg.RowSparse(np.array([0]), np.ones((2, 3)), (4, 3)),
    "RowSparse of another width": lambda: tg.RowSparse(np.array([0]), np.ones((1, 3)), (4, 2)),
    "RowSparse of a number": lambda: tg.RowSparse(np.array([0]), np.ones(1), ()),
    "RowSparse out of range": lambda: tg.RowSparse(np.array([4]), np.ones((1, 3)), (4, 3)),
    "RowSparse of a negative row": lambda: tg.RowSparse(np.array([-1]), np.ones((1, 3)), (4, 3)),
    "RowSparse and another": lambda: (
        tg.RowSparse(np.array([0]), np.ones((1, 3)), (4, 3))
        + tg.RowSparse(np.array([0]), np.ones((1, 2)), (4, 2))
    ),
    # Settings.
    "default_dtype of integers": lambda: inside(tg.default_dtype(np.int64)),
    "default_dtype of an unknown name": lambda: inside(tg.default_dtype("nope")),
    "device of an unknown name": lambda: inside(tg.device("gpu")),
    "device of a number": lambda: tg.device(3),
    "device of cuda without a number": lambda: tg.zeros(2, device="cuda:x"),
    "use_kernels of an unknown name": lambda: inside(tg.use_kernels("nope")),
    "use_kernels of a generator": lambda: tg.use_kernels("fast")(lambda: (yield)),
    "no_grad of a number": lambda: tg.no_grad(3),
    "enable_grad of a word": lambda: tg.enable_grad("name"),
    "set_num_threads of none": lambda: tg.set_num_threads(0),
    "set_num_threads of True": lambda: tg.set_num_threads(True),
    "set_num_threads of a word": lambda: tg.set_num_threads("2"),
    "manual_seed of a negative number": lambda: tg.manual_seed(-1),
    "manual_seed of a fraction": lambda: tg.manual_seed(1.5),
    "fork_rng of None": lambda: inside(tg.fork_rng(None)),
    "synchronize with an unknown device": lambda: cuda.synchronize("gpu"),
}
