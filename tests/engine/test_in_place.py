"""Changes in place, between the forward and the backward pass."""

import numpy as np
import pytest
from leaves import close, leaf

import tinygrad_adam as tg


def assign_item(x):
    x[0] = 5.0


def assign_all(x):
    x[...] = 5.0


def assign_mask(x):
    x[x > 1.0] = 5.0


def add_in_place(x):
    x += 1.0


def subtract_in_place(x):
    x -= 1.0


def multiply_in_place(x):
    x *= 2.0


def divide_in_place(x):
    x /= 2.0


def assign_data(x):
    x.data = np.full(x.shape, 5.0)


def through(view, change):
    def changed(x):
        change(view(x))

    changed.__name__ = f"{change.__name__} through {view.__name__}"
    return changed


def reshaped(x):
    return x.reshape(2, -1)


def sliced(x):
    return x[1:]


def stepped(x):
    return x[::-2]


def row_by_numpy_integer(x):
    return x.reshape(2, 2)[np.int64(0)]


def transposed(x):
    return x.reshape(2, 2).T


def by_einsum(x):
    return tg.einsum("ij->ji", x.reshape(2, 2))


def detached(x):
    return x.detach()


def expanded(x):
    return x.expand_dims(0).squeeze(0)


def flipped(x):
    return x.flip(0)


def part(x):
    return x.split(2)[0]


def iterated(x):
    return next(iter(x.reshape(2, 2)))


def nested(x):
    return x.detach().reshape(2, 2).swapaxes(0, 1)[:, 1:]


VIEWS = [
    reshaped,
    sliced,
    stepped,
    row_by_numpy_integer,
    transposed,
    by_einsum,
    detached,
    expanded,
    flipped,
    part,
    iterated,
    nested,
]
CHANGES = [
    assign_item,
    assign_all,
    assign_mask,
    add_in_place,
    subtract_in_place,
    multiply_in_place,
    divide_in_place,
    assign_data,
    *(through(view, change) for view in VIEWS for change in (assign_all, add_in_place)),
]


@pytest.fixture(params=["leaf", "intermediate"])
def value(request):
    x = leaf(1.0, 2.0, 3.0, 4.0)
    return x if request.param == "leaf" else x * 1.0


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_of_what_is_needed_is_an_error(value, change):
    y = (value * value).sum()
    with tg.no_grad():
        change(value)
    with pytest.raises(tg.errors.GraphError, match=r"^multiply: [ab] was changed in place"):
        y.backward()
    assert value.grad is None


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_of_what_is_not_needed_is_none(value, change):
    y = ((value + 1) - value * 3).sum()  # a constant factor is all that multiply keeps
    z = tg.relu(value.reshape(-1)).sum() + value.mean()  # relu keeps its output
    with tg.no_grad():
        change(value)
    (y + z).backward()


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_of_a_needed_output_is_an_error(change):
    x = leaf(1.0, 2.0, 3.0, 4.0)
    y = tg.exp(x)
    z = (y + 1).sum()
    with tg.no_grad():
        change(y)
    with pytest.raises(tg.errors.GraphError, match=r"^exp: its output was changed in place"):
        z.backward()
    assert x.grad is None


def test_a_change_of_a_constant_that_is_needed_is_an_error():
    x, c = leaf(1.0, 2.0), tg.tensor(np.array([3.0, 4.0]))
    y = (x * c).sum()
    c += 1
    with pytest.raises(tg.errors.GraphError, match=r"^multiply: b was changed in place"):
        y.backward()


def test_a_change_after_the_pass_and_before_the_operation_is_none():
    x, c = leaf(1.0, 2.0), tg.tensor(np.array([3.0, 4.0]))
    c += 1
    y = (x * c).sum()
    y.backward()
    c += 1
    close(x.grad, [4, 5])


def test_what_one_view_changes_another_sees():
    x = tg.tensor(np.arange(4.0))
    a, b = x.reshape(2, 2), x[1:3]
    w = leaf(1.0, 1.0)
    y = (w * b).sum()
    a[0, 1] = 50.0
    close(b, [50, 2])
    with pytest.raises(tg.errors.GraphError, match="changed in place"):
        y.backward()


def test_results_share_memory_only_with_their_version():
    x = leaf([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    results = {
        "T": x.T,
        "row": x[0],
        "numpy row": x[np.int64(0)],
        "0-d row": x[np.array(0)],
        "all": x[...],
        "new axis": x[None],
        "steps": x[:, ::2],
        "list": x[[0, 1]],
        "mask": x[np.array([True, True])],
        "reshape": x.reshape(3, 2),
        "flatten": x.flatten(),
        "swapaxes": x.swapaxes(0, 1),
        "moveaxis": x.moveaxis(0, 1),
        "squeeze": x.squeeze(),
        "broadcast_to": x.broadcast_to((2, 2, 3)),
        "flip": x.flip(),
        "roll": x.roll(0),
        "repeat": x.repeat(1, axis=0),
        "tile": tg.tile(x, 1),
        "split": x.split([1])[1],
        "pad": tg.pad(x, pad_width=0),
        "concatenate": tg.concatenate([x]),
        "stack": tg.stack([x]),
        "einsum": tg.einsum("ij->ji", x),
        "einsum same": tg.einsum("ij", x),
        "diagonal": x.diagonal(),
        "copy": x.copy(),
        "astype": tg.astype(x, dtype=np.float64),
        "sum over nothing": x.sum(axis=()),
        "max over nothing": x.max(axis=()),
        "clip": x.clip(),
        "tril": tg.tril(x, k=9),
        "dropout": tg.dropout(x, p=0.0, key=1),
        "abs": abs(x),
        "plus": x + 0,
        "cumsum": x[:, :1].cumsum(1),
        "detach": x.detach(),
    }
    for name, result in results.items():
        if np.shares_memory(result.data, x.data):
            assert result._version is x._version, name
        else:
            assert name not in ("T", "row", "numpy row", "reshape", "steps", "detach"), name
