"""What Tensors are made of, given and copied: what does not fit is refused, and memory is nobody else's."""

import copy
import fractions
import operator
import pickle

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import data, errors, nn, ops, optim
from tinygrad_adam.engine.aside import aside
from tinygrad_adam.engine.rowsparse import RowSparse

MASKED = np.ma.array([1.0, 2.0], mask=[False, True])
MASKED_INDEX = np.ma.array([0, 1], mask=[False, True])


def leaf(*values, dtype="float32"):
    return tg.tensor(list(values), dtype=dtype, requires_grad=True)


def same(x, values):
    np.testing.assert_array_equal(x.detach().numpy(), values)


# --- Masked arrays -------------------------------------------------------------------------------

MASKED_DOORS = {
    "tensor": lambda: tg.tensor(MASKED),
    "tensor: in a list": lambda: tg.tensor([MASKED, MASKED]),
    "tensor: the constant": lambda: tg.tensor([1.0, np.ma.masked]),
    "tensor: with a dtype": lambda: tg.tensor(MASKED, dtype="float64"),
    "full": lambda: tg.full((2,), MASKED),
    "grad": lambda: setattr(leaf(1, 2), "grad", MASKED),
    "Tensor.data": lambda: setattr(leaf(1, 2), "data", MASKED),
    "Parameter.data": lambda: setattr(nn.Parameter([1.0, 2.0]), "data", MASKED),
    "backward": lambda: (leaf(1, 2) * 1).backward(MASKED),
    "grad: of a function": lambda: tg.grad(leaf(1, 2) * 1, leaf(1, 2), MASKED),
    "add": lambda: leaf(1, 2) + MASKED,
    "add: in a list": lambda: leaf(1, 2).__add__([1.0, np.ma.masked]),
    "equal": lambda: leaf(1, 2) == MASKED,
    "add: in place": lambda: operator.iadd(tg.ones(2), MASKED),
    "where": lambda: tg.where(MASKED > 1, leaf(1, 2), 0.0),
    "getitem": lambda: leaf(1, 2)[MASKED_INDEX],
    "getitem: a list": lambda: leaf(1, 2)[[0, np.ma.masked]],
    "take_along_axis": lambda: tg.take_along_axis(leaf(1, 2), MASKED_INDEX, 0),
    "item assignment": lambda: operator.setitem(tg.ones(2), slice(None), MASKED),
    "item assignment: the index": lambda: operator.setitem(tg.ones(2), MASKED_INDEX, 1.0),
    "TensorDataset": lambda: data.TensorDataset(MASKED),
    "TensorDataset: the index": lambda: data.TensorDataset(np.ones(2))[MASKED_INDEX],
}


@pytest.mark.parametrize("door", MASKED_DOORS)
def test_masked_arrays_are_refused(door):
    with pytest.raises(errors.DTypeError, match=rf"^{door.partition(':')[0]}: "):
        MASKED_DOORS[door]()


def test_a_method_called_mask_is_no_mask():
    class Series(list):
        def mask(self):
            raise AssertionError

    same(tg.tensor(Series([1.0, 2.0])), [1, 2])


# --- What does not fit ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [[1.0, None], ["1"], "1", b"1", None, [[1.0], ["2"]], [np.str_("1")], [1.0, [2.0]],
     np.array([1, None], object), np.array(["1"]), np.array([1j]), np.array(["2020-01-01"], "M8[D]"),
     [np.datetime64(1, "s")]],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("dtype", [None, "float32", "int64"])
def test_what_is_no_number_does_not_become_one(values, dtype):
    with pytest.raises(errors.DTypeError, match=r"^tensor: the data do not form an array of numbers"):
        tg.tensor(values, dtype=dtype)
    for name in ("data", "grad") if values is not None else ("data",):
        with pytest.raises(errors.TinygradAdamError, match=name):
            setattr(leaf(1.0), name, values)
    with pytest.raises(errors.TinygradAdamError, match="item assignment"):
        tg.ones(1)[0] = values


def test_floats_do_not_become_integers():
    counts = tg.tensor([1, 2])
    for values in ([3.7, 1.0], np.array([np.nan, 1.0]), tg.tensor([1.0, 2.0])):
        with pytest.raises(errors.DTypeError, match=r"^Tensor.data: the values do not fit the dtype"):
            counts.data = values
    counts.data = [True, False]
    same(counts, [1, 0])


def test_a_value_of_another_shape_is_refused():
    for x in (leaf(1, 2), tg.tensor([1, 2]), nn.Parameter([1.0, 2.0])):
        for values in (np.zeros(3, int), 1, [[1, 2]]):
            with pytest.raises(errors.ShapeError, match=r"\.data: the new value must have the same shape"):
                x.data = values
        same(x, [1, 2])


class EightBits:
    """As a dtype that another package registers: floats by their kind."""

    kind, itemsize, num = "f", 1, 257


def test_dtypes_that_other_packages_register_are_refused():
    from tinygrad_adam.backend.convert import check_dtype

    with pytest.raises(errors.DTypeError, match=r"^there: Tensors hold float32"):
        check_dtype("there", EightBits())
    for dtype in ("float16", "complex64", "longdouble"):
        for call in (lambda dtype=dtype: ops.astype(tg.ones(2), dtype=dtype),
                     lambda dtype=dtype: tg.ones(2).astype(dtype)):  # fmt: skip
            with pytest.raises(errors.DTypeError, match=r"^astype: Tensors hold"):
                call()


def test_only_leaves_of_floats_can_require_a_gradient():
    for whole in (tg.tensor([1, 2]), tg.tensor([True])):
        with pytest.raises(errors.DTypeError, match="only floats have gradients"):
            whole.requires_grad = True
        whole.requires_grad = False
        assert not whole.requires_grad
    x = leaf(1.0)
    for wanted in (True, False):
        with pytest.raises(errors.GraphError, match="only leaves can be changed"):
            (x * 2).requires_grad = wanted
    x.requires_grad = False
    assert not (x * 2).requires_grad


# --- Memory of one's own -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.asarray, tg.tensor], ids=["array", "Tensor"])
def test_setters_copy(kind):
    zeros = kind(np.zeros(2, "float32"))
    first, second = leaf(1, 2), leaf(1, 2)
    first.grad = second.grad = zeros
    (first * 1).sum().backward()
    same(first.grad, [1, 1])
    same(second.grad, [0, 0])
    first.data = second.data = zeros
    with tg.no_grad():
        first += 1
    same(second, [0, 0])
    np.testing.assert_array_equal(np.asarray(zeros), [0, 0])


def test_a_row_sparse_gradient_is_copied():
    rows = RowSparse(np.array([1]), np.ones((1, 2), "float32"), (3, 2))
    table = nn.Parameter(np.ones((3, 2)))
    table.grad = rows
    assert not np.shares_memory(table.grad.values, rows.values)


def test_a_gradient_that_is_changed_in_place_stays_where_it_is():
    model = nn.Linear(2, 1)
    optim.SGD(model.parameters(), lr=0.1)
    model(tg.ones(1, 2)).sum().backward()
    place = model.weight._grad
    model.weight.grad *= 0.5
    assert model.weight._grad is place
    same(model.weight.grad, [[0.5, 0.5]])


def copied(copying):
    x = leaf(1, 2)
    x.grad = [3.0, 4.0]
    y = copying(x)
    return x, y


@pytest.mark.parametrize("copying", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_are_apart(copying):
    for x in (leaf(1, 2), nn.Parameter([1.0, 2.0]), leaf(1, 2, dtype="float64")):
        x.grad = [3.0, 4.0]
        x.T.sum()  # a view that has come and gone
        y = copying(x)
        assert type(y) is type(x)
        assert y.requires_grad
        assert y.dtype == x.dtype
        with tg.no_grad():
            y += 1
        y.grad *= 2
        same(x, [1, 2])
        same(x.grad, [3, 4])
        same(y, [2, 3])
        same(y.grad, [6, 8])
        assert x._version[0] == 0


def test_a_copy_of_a_result_has_its_history():
    x = leaf(1, 2)
    h = x * 3
    twin = copy.copy(h)
    twin.sum().backward(retain_graph=True)
    same(x.grad, [3, 3])
    assert not np.shares_memory(twin.data, h.data)
    with pytest.raises(errors.GraphError, match=r"^pickle: .*call \.detach\(\)"):
        pickle.dumps(h)


PAIRS = {
    "base and view": lambda x: (x, x[1]),
    "view and base": lambda x: (x.T, x),
    "two views": lambda x: (x[:, 1:], x.flip(axis=0)[1]),
    "detached": lambda x: (x, x.detach()),
    "of a parameter": lambda x: (p := nn.Parameter(x), p.detach().reshape(-1)),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_views_that_are_copied_together_stay_views(pair):
    base = tg.tensor(np.arange(6.0).reshape(2, 3))
    pair = PAIRS[pair](base)
    first, second = copy.deepcopy(pair)
    for twin, x in zip((first, second), pair, strict=True):
        same(twin, x.detach().numpy())
        assert not np.shares_memory(twin.data, x.data)
    assert np.shares_memory(first.data, second.data)
    before = second.detach().numpy().copy()
    with tg.no_grad():
        first *= 10
    assert (second.detach().numpy() != before).any()
    assert first._version is second._version
    same(base, np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    "views",
    [
        lambda x: (part := x[:, ::2], part[0]),  # the part has gaps in memory
        lambda x: (x[:1], x.reshape(6)[2:]),  # no one holds the other
        lambda x: (x, x[2:]),  # an empty one
    ],
)
def test_copies_of_views_that_cannot_stay_views_are_right(views):
    pair = views(tg.tensor(np.arange(6.0).reshape(2, 3)))
    for twin, x in zip(copy.deepcopy(pair), pair, strict=True):
        same(twin, x.numpy())


def test_copies_that_stayed_views_know_of_each_other():
    base = tg.tensor(np.arange(6.0).reshape(2, 3))
    first, _second = copy.deepcopy((base, base[1]))
    with pytest.raises(errors.GraphError, match="would not see the change"):
        first += leaf(1.0, dtype="float64")


@pytest.mark.parametrize("shape", [(3,), (3, 2), (3, 2, 2)])
def test_an_integer_gives_a_view(shape):
    x = tg.tensor(np.arange(float(np.prod(shape))).reshape(shape))
    y = x.numpy().copy()
    assert np.shares_memory(x[0].data, x.data)
    assert np.shares_memory(x[(0,) * len(shape)].data, x.data)
    for part in x:
        part *= 10
    y *= 10
    same(x, y)
    x[-1] += 1
    y[-1] += 1
    same(x, y)


# --- Operators -----------------------------------------------------------------------------------

M = np.array([[1.0, 2.0, 3.0], [-1.5, 0.5, 2.5]])


@pytest.mark.parametrize(
    "call",
    [
        lambda m: (m > 1) & (m < 3),
        lambda m: (m > 1) | (m < 0),
        lambda m: (m > 1) ^ (m < 3),
        lambda m: ~(m > 1),
        lambda m: True & (m > 1),
        lambda m: +m,
        lambda m: divmod(m, 2)[0],
        lambda m: divmod(m, 2)[1],
        lambda m: divmod(7, m)[1],
        lambda m: m.round(),
        lambda m: np.round(m, 1),
        lambda m: np.bitwise_or(m > 1, m < 0),
        np.shape,
        np.ndim,
        np.size,
        lambda m: [2.0 in m, 7.0 in m, np.float64(3) in m],
        lambda m: [m == "a", m != "a", m == None, m != None, m == {}],  # noqa: E711
    ],
)
def test_operators_are_numpys(call):
    with np.errstate(all="ignore"):
        got = call(tg.tensor(M))
        wanted = [False, True, False, True, False] if isinstance(got, list) and len(got) == 5 else call(M)
    np.testing.assert_array_equal(got, wanted)


def test_round_is_an_operator():
    x = leaf(1.26, -0.5)
    same(round(x), [1, 0])
    same(round(x, 1), np.float32([1.3, -0.5]))
    round(x).sum().backward()
    same(x.grad, [0, 0])


def test_a_positive_copy():
    x = leaf(1.0)
    y = +x
    y *= 2
    same(x, [1])


class Polite:
    """A class of its own, whose methods have their turn when a Tensor does not know it."""

    def __radd__(self, other):
        return "radd"

    def __rmatmul__(self, other):
        return "rmatmul"

    def __rand__(self, other):
        return "rand"

    def __gt__(self, other):
        return "gt"


def test_other_classes_have_their_turn():
    x = leaf(1.0)
    assert x + Polite() == "radd"
    assert x @ Polite() == "rmatmul"
    assert (x > 0) & Polite() == "rand"
    assert (x < Polite()) == "gt"
    assert (x == Polite()) is False
    with pytest.raises(errors.DTypeError, match=r"^subtract: "):  # it has no such method
        x - Polite()
    x = tg.ones(1)
    x += Polite()
    assert x == "radd"


@pytest.mark.parametrize(
    "other", ["a", None, object(), 1j, {}, fractions.Fraction(1, 2)], ids=lambda other: type(other).__name__
)
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("subtract", operator.sub),
        ("subtract", lambda x, other: operator.sub(other, x)),
        ("multiply", operator.mul),
        ("less", operator.lt),
        ("remainder", operator.mod),
        ("divide", operator.itruediv),
    ],
)
def test_errors_name_the_operation_that_was_written(name, call, other):
    with pytest.raises(errors.DTypeError, match=rf"^{name}: "):
        call(tg.ones(1), other)


# --- Numbers -------------------------------------------------------------------------------------


def test_numbers_that_no_integer_dtype_holds():
    same(tg.ones(1) + 2**70, np.float32([2.0**70]))
    same(tg.ones(1) * -(2**64), np.float32([-(2.0**64)]))
    same(tg.tensor([5]) < 2**70, [True])
    for x in (tg.ones(1), tg.tensor([5])):
        with pytest.raises(errors.DTypeError, match=r"^multiply: (.|\n)*an integer of"):
            x * 10**400
    with pytest.raises(errors.DTypeError, match=r"^add: Python integer 300 out of bounds for uint8"):
        tg.tensor([1], dtype="uint8") + 300
    assert (tg.tensor([1], dtype="uint8") + np.int64(3)).dtype == np.uint8


def test_integers_have_no_negative_powers():
    for exponent in (-1, np.int64(-2)):
        with pytest.raises(errors.DTypeError, match=r"^power: integers have no negative powers"):
            tg.tensor([2]) ** exponent
    same(tg.tensor([2.0]) ** -1, [0.5])


def test_integers_do_not_widen_floats_in_any_operation():
    x, whole = tg.ones(2, 2), tg.tensor([[1, 2], [3, 4]])
    for result in (
        x @ whole,
        whole @ x.numpy(),
        x - whole.numpy(),
        tg.concatenate([x, whole]),
        tg.stack([whole, x]),
        tg.outer(x[0], whole[0]),
        tg.einsum("ij,jk", whole, x),
        tg.dot(x, whole),
        tg.linear(x, whole),
    ):
        assert result.dtype == np.float32
    weight = tg.ones(2, 2, requires_grad=True)
    (weight * whole).sum().backward()
    same(weight.grad, whole.numpy())
    assert weight.grad.dtype == np.float32


def doubled(array):
    return 2 * array


@pytest.mark.parametrize(("kind", "times"), [(lambda n: n, 1), (lambda n: aside(doubled, n), 2)])
def test_a_recorded_pass_casts_integers_anew(kind, times):
    w = leaf(1.0, 2.0)
    replayed = tg.recorded(lambda counts: (w * kind(counts)).sum() / counts.sum())
    for counts in ([1, 2], [3, 4], [5, 6], [7, 9]):
        w.grad = None
        loss = replayed(tg.tensor(counts))
        assert loss.dtype == np.float32
        np.testing.assert_allclose(loss.item(), times * (counts[0] + 2 * counts[1]) / sum(counts), rtol=1e-6)
        np.testing.assert_allclose(w.grad.numpy(), times * np.array(counts) / sum(counts), rtol=1e-6)


# --- Making Tensors ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "call"),
    [
        *[(make.__name__, lambda make=make, shape=shape: make(*shape))
          for make in (tg.zeros, tg.ones, tg.rand, tg.randn)
          for shape in ((10**20,), (1,) * 65, (True,), (2.0,), (-1,), ("a",), (2, None))],
        ("full", lambda: tg.full((10**20,), 1.0)),
        ("full", lambda: tg.full((2,), None)),
        ("full", lambda: tg.full((2,), "1")),
        ("full", lambda: tg.full((2,), [1, 2, 3])),
        ("full", lambda: tg.full((2,), 300, dtype="uint8")),
        ("arange", lambda: tg.arange(10**20)),
        ("arange", lambda: tg.arange(0, 1, 0)),
        ("arange", lambda: tg.arange(float("nan"))),
        ("arange", tg.arange),
        ("arange", lambda: tg.arange("a")),
        ("arange", lambda: tg.arange(1, 2, 3, 4)),
        ("eye", lambda: tg.eye(-1)),
        ("eye", lambda: tg.eye(2.5)),
        ("zeros", lambda: tg.zeros(2, dtype="flaot32")),
        ("zeros", lambda: tg.zeros(2, dtype="float16")),
        ("rand", lambda: tg.rand(2, dtype="int64")),
        ("reshape", lambda: tg.ones(1).reshape((1,) * 65)),
        ("tensor", lambda: tg.tensor(eval("[" * 65 + "1.0" + "]" * 65))),
        ("flatten", lambda: tg.ones(2, 3).flatten(5)),
        ("flatten", lambda: tg.ones(2, 3).flatten(-3)),
        ("flatten", lambda: tg.ones(2, 3).flatten(1.0)),
        ("flatten", lambda: tg.ones(()).flatten(1)),
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_refused_by_name(name, call):
    with pytest.raises(errors.TinygradAdamError, match=rf"^{name}: "):
        call()


def test_integers_of_numpy_are_integers():
    two = np.int64(2)
    for x in (
        tg.zeros(two, 3),
        tg.ones((two, np.uint8(3))),
        tg.full((two, 3), 1),
        tg.rand(two, 3),
        tg.eye(two),
    ):
        assert x.shape[0] == 2
    x = tg.tensor(np.arange(12.0).reshape(2, 3, 2))
    y = x.numpy()
    one = np.int64(1)
    assert x.flatten(one).shape == (2, 6)
    assert x.flatten(-one).shape == (2, 3, 2)
    for call in (
        lambda a, n: a.swapaxes(n, 0),
        lambda a, n: a.sum(axis=n),
        lambda a, n: a.squeeze(n) if a.shape[n] == 1 else a[n],
        lambda a, n: np.expand_dims(a, n),
        lambda a, n: np.moveaxis(a, n, 0),
        lambda a, n: a.diagonal(n, n, 0),
        lambda a, n: a.reshape(n, -1),
    ):
        same(call(x, one), call(y, 1))


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0,), (0, 0, 0)])
def test_an_empty_tensor_shows_its_shape(shape):
    shown = repr(tg.zeros(shape))
    assert shown == ("tensor([])" if shape == (0,) else f"tensor([], shape={shape})")


@pytest.mark.parametrize(
    "given", [[[1.0, 2.0]], (1.0, 2.0), "a", object()], ids=lambda given: type(given).__name__
)
@pytest.mark.parametrize(
    ("name", "more"),
    [
        *[(name, ()) for name in ("squeeze", "diagonal", "trace", "logsumexp", "relu")],
        *[(name, (0, 1)) for name in ("swapaxes", "moveaxis")],
        *[(name, (1,)) for name in ("expand_dims", "split", "tile", "pad")],
        ("take_along_axis", (np.zeros((1, 1), int), 0)),
        ("layer_norm", ((2,),)),
        ("batch_norm", ()),
    ],
)
def test_lists_where_tensors_are_wanted_are_refused_by_name(name, more, given):
    with pytest.raises(errors.DTypeError, match=rf"^{name}: "):
        getattr(ops, name)(given, *more)
