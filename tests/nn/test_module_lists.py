"""ModuleList and Sequential against lists of Python, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import errors, nn


def layers(count=5):
    return [nn.Linear(2, 2) for _ in range(count)]


CHANGES = {
    "set": lambda c, new: c.__setitem__(2, new[0]),
    "set from the end": lambda c, new: c.__setitem__(-1, new[0]),
    "set by a NumPy integer": lambda c, new: c.__setitem__(np.int64(1), new[0]),
    "set a slice": lambda c, new: c.__setitem__(slice(1, 3), new),
    "set a slice with steps": lambda c, new: c.__setitem__(slice(0, 4, 2), new[:2]),
    "del": lambda c, new: c.__delitem__(1),
    "del from the end": lambda c, new: c.__delitem__(-5),
    "del a slice": lambda c, new: c.__delitem__(slice(None, None, 2)),
    "insert": lambda c, new: c.insert(2, new[0]),
    "insert far behind": lambda c, new: c.insert(99, new[0]),
    "insert at -1": lambda c, new: c.insert(-1, new[0]),
    "append": lambda c, new: c.append(new[0]),
    "extend": lambda c, new: c.extend(new),
    "pop": lambda c, new: c.pop(),
    "pop the first": lambda c, new: c.pop(0),
    "remove": lambda c, new: c.remove(list(c)[3]),
    "reverse": lambda c, new: c.reverse(),
    "clear": lambda c, new: c.clear(),
    "+=": lambda c, new: c.__iadd__(new),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("make", [nn.ModuleList, lambda members: nn.Sequential(*members)])
def test_they_do_what_lists_do(make, name):
    members, new = layers(), layers(3)
    wanted, ours = list(members), make(members)
    CHANGES[name](wanted, new)
    CHANGES[name](ours, new)
    assert list(ours) == wanted
    assert [number for number, _ in ours.named_children()] == [str(i) for i in range(len(wanted))]
    assert [id(p) for p in ours.parameters()] == [id(p) for layer in wanted for p in layer.parameters()]
    assert [getattr(ours, str(i)) for i in range(len(wanted))] == wanted
    assert not hasattr(ours, str(len(wanted)))
    if isinstance(ours, nn.Sequential):
        x, y = tg.ones(1, 2), tg.ones(1, 2)
        for layer in wanted:
            y = layer(y)
        np.testing.assert_array_equal(ours(x).detach().numpy(), y.detach().numpy())


def test_a_part_is_of_the_same_kind():
    members = layers()
    for whole in (nn.ModuleList(members), nn.Sequential(*members)):
        part = whole[1::2]
        assert type(part) is type(whole)
        assert list(part) == members[1::2]
        assert whole.index(members[3]) == 3
        assert members[2] in whole


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda c: c.__setitem__(5, nn.ReLU()), errors.IndexingError),
        (lambda c: c.__delitem__(-6), errors.IndexingError),
        (lambda c: c[9], errors.IndexingError),
        (lambda c: c.__setitem__(0, None), errors.OptionError),
        (lambda c: c.__setitem__(slice(0, 2), [nn.ReLU(), "relu"]), errors.OptionError),
        (lambda c: c.insert(0, nn.ReLU), errors.OptionError),
        (lambda c: c.append("relu"), errors.OptionError),
    ],
)
def test_wrong_use_changes_nothing(change, error):
    members = layers()
    whole = nn.Sequential(*members)
    with pytest.raises(error):
        change(whole)
    assert list(whole) == members


def test_a_member_with_a_name_keeps_it():
    whole = nn.Sequential(nn.Linear(2, 2))
    whole.head = nn.Linear(2, 3)
    whole[1] = nn.Linear(2, 4)
    assert [name for name, _ in whole.named_children()] == ["0", "head"]
    assert whole(tg.ones(1, 2)).shape == (1, 4)


class Mirrored(nn.Sequential):
    def __init__(self, size):
        super().__init__(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, size))


class Stack(nn.ModuleList):
    def __init__(self, count, *, size):
        super().__init__(nn.Linear(size, size) for _ in range(count))


@pytest.mark.parametrize(("whole", "kind"), [(Mirrored(2), nn.Sequential), (Stack(3, size=2), nn.ModuleList)])
def test_a_slice_of_a_class_of_ones_own_is_a_plain_container(whole, kind):
    part = whole[1:]
    assert type(part) is kind
    assert all(a is b for a, b in zip(part, list(whole)[1:], strict=True))
    del whole[0]
    whole.append(nn.Tanh())
    assert len(whole) == 3


# --- Errors name the layer ---------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.ModuleList([nn.Linear(4, 2)])[0])

    def forward(self, x):
        return self.body(x)


@pytest.mark.parametrize(
    ("model", "shape", "line"),
    [
        (Net(), (2, 4), "  in layer body.2: Linear(4, 2)"),
        (Net(), (2, 5), "  in layer body.0: Linear(4, 3)"),
        (nn.Linear(4, 2), (2, 5), "  in Linear(4, 2)"),
        (nn.Sequential(nn.Conv2d(3, 8, 3)), (1, 2, 5, 5), "  in layer 0: Conv2d(3, 8, kernel_size=3)"),
        (nn.Sequential(nn.ReLU(), nn.LayerNorm(3)), (2, 4), "  in layer 1: LayerNorm((3,))"),
    ],
)
def test_an_error_names_the_layer_that_raised_it(model, shape, line):
    for _ in range(2):  # another call is another error
        with pytest.raises(errors.TinygradAdamError) as caught:
            model(tg.ones(shape))
        assert str(caught.value).splitlines()[-1] == line
        assert str(caught.value).count("\n  in ") == 1
