"""Primitives of one's own, and the messages of wrong calls."""

import functools
import itertools
import re

import numpy as np
import pytest
from leaves import close, leaf

import tinygrad_adam as tg
from tinygrad_adam import errors

# --- Primitives of one's own -------------------------------------------------------------------


def test_a_primitive_of_ones_own():
    @tg.primitive(
        a=lambda g, a, b, power: g * power * a ** (power - 1) * b,
        b=lambda g, a, power: g * a**power,
    )
    def power_times(xp, a, b, *, power=2):
        """Multiply a power."""
        return a**power * b

    x, y = leaf(2.0, 3.0), leaf(5.0)
    power_times(x, y, power=3).sum().backward()
    close(x.grad, [60, 135])
    close(y.grad, [35])  # summed over the broadcast
    close(power_times(x, 2.0).detach(), [8, 18])
    close(power_times(x, 2.0, 3).detach(), [16, 54])  # a setting by position
    assert isinstance(power_times(np.ones(2), 2.0), np.ndarray)
    assert power_times.__name__ == "power_times"
    assert power_times.__doc__ == "Multiply a power."
    assert tg.gradgradcheck(power_times, [x, y])


def test_own_primitives_do_not_enter_the_table_of_the_package():
    from tinygrad_adam.engine.graph import PRIMITIVES

    before = dict(PRIMITIVES)

    @tg.primitive(a=lambda g: g)
    def exp(xp, a):
        return a * 1

    assert before == PRIMITIVES
    assert PRIMITIVES["exp"] is tg.exp


def test_rules_that_ask_for_what_there_is_not():
    with pytest.raises(tg.errors.DTypeError, match=r"^scale: the rule for a asks for unknown names"):

        @tg.primitive(a=lambda g, factor: g * factor)
        def scale(xp, a):
            return a * 2

    with pytest.raises(tg.errors.DTypeError, match=r"^scale: rules for inputs that it does not have"):

        @tg.primitive(b=lambda g: g)
        def scale(xp, a):
            return a * 2


def _named_g(namespace, g):
    return g * 2


def _named_y(namespace, y):
    return y * 2


def _named_xp(namespace, xp):
    return xp * 2


def _named_out(namespace, out):
    return out * 2


@pytest.mark.parametrize("forward", [_named_g, _named_y, _named_xp, _named_out])
def test_an_input_may_not_bear_a_name_that_rules_use(forward):
    with pytest.raises(tg.errors.TinygradAdamError, match=r"^named_\w+: "):
        tg.primitive(**{forward.__name__.removeprefix("_named_"): lambda g: 2 * g})(forward)


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_rule_that_returns_a_wrong_shape(create_graph):
    @tg.primitive(a=lambda g: g, b=lambda xp, g: xp.reshape(xp.concatenate([g, g]), (-1,)))
    def wrong(xp, a, b):
        return a + b

    x = leaf(1.0, 2.0, 3.0)
    with pytest.raises(
        tg.errors.ShapeError, match=r"^wrong: the rule for b must return an array that fits"
    ) as caught:
        wrong(1.0, x).sum().backward(create_graph=create_graph)
    assert re.search(r"returned\s+\(6,\)", str(caught.value))
    assert re.search(r"input\s+\(3,\)", str(caught.value))
    assert x.grad is None


@pytest.mark.parametrize("answer", [0, None, 1.5, "g"])
def test_a_rule_that_returns_no_array(answer):
    @tg.primitive(a=lambda g: answer)
    def odd(xp, a):
        return a * 1

    with pytest.raises(tg.errors.TinygradAdamError, match=r"^odd: .*rule for a"):
        odd(leaf(1.0, 2.0)).sum().backward()


def test_a_rule_that_raises():
    @tg.primitive(a=lambda g: 1 / 0)
    def fail(xp, a):
        return a * 1

    x, w = leaf(1.0), leaf(2.0)
    h = fail(x)
    with pytest.raises(ZeroDivisionError):
        (w * h).backward()
    assert (w.grad, x.grad) == (None, None)
    assert tg.is_grad_enabled()


def test_a_rule_for_some_inputs_only():
    @tg.primitive(a=lambda g, b: g * b)
    def masked(xp, a, b):
        return a * b

    x, m = leaf(1.0, 2.0), leaf(0.0, 1.0)
    masked(x, m).sum().backward()
    close(x.grad, [0, 1])
    assert m.grad is None
    assert not masked(np.ones(2), m).requires_grad


def test_variadic_inputs():
    @tg.primitive(
        first=lambda g, rest: g * len(rest),
        rest=lambda g, rest, index, rest_shape, factor: g * factor * (index + 1) + 0 * rest[index],
    )
    def weighted(xp, first, *rest, factor=1.0):
        return first * len(rest) + factor * sum((i + 1) * r for i, r in enumerate(rest))

    a, b, c = leaf(1.0, 2.0), leaf(3.0), leaf(5.0, 6.0)
    y = weighted(a, b, np.ones(2), c, factor=10.0)
    close(y.detach(), [3 + 30 + 20 + 150, 6 + 30 + 20 + 180])
    y.sum().backward()
    close(a.grad, [3, 3])
    close(b.grad, [20])
    close(c.grad, [30, 30])
    assert tg.gradgradcheck(lambda *xs: weighted(*xs), [a, b, c])


def test_variadic_inputs_of_one_name_differ_in_shape_and_need():
    @tg.primitive(
        parts=lambda xp, g, parts_shape, index: xp.broadcast_to(g * (index + 1), parts_shape[index])
    )
    def totals(xp, *parts):
        return sum(xp.sum(p) * (i + 1) for i, p in enumerate(parts))

    for mask in itertools.product([False, True], repeat=3):
        if not any(mask):
            continue
        xs = [
            tg.tensor(np.ones(shape), requires_grad=need)
            for shape, need in zip([(2,), (3, 1), ()], mask, strict=True)
        ]
        totals(*xs).backward()
        for i, (x, need) in enumerate(zip(xs, mask, strict=True)):
            assert (x.grad is not None) == need
            if need:
                close(x.grad, np.full(x.shape, i + 1.0))


def test_no_kernel_overrides_a_primitive_of_the_users():
    @tg.primitive(a=lambda g: 3 * g)
    def erf(xp, a):
        return 3 * a

    for kernels in ("fast", "reference"):
        with tg.use_kernels(kernels):
            close(erf(leaf(0.5, -0.5)).detach(), [1.5, -1.5])
            assert erf(np.array([2.0])) == 6


def test_an_optional_input():
    @tg.primitive(a=lambda g, b: g if b is None else g * b, b=lambda g, a: g * a)
    def maybe(xp, a, b=None):
        return a * 1 if b is None else a * b

    x = leaf(2.0)
    maybe(x).backward()
    close(x.grad, [1])
    maybe(x, leaf(5.0)).backward()
    close(x.grad, [6])


def test_inputs_by_keyword():
    x, w = leaf(2.0), leaf(3.0)
    tg.multiply(x, b=w).backward()
    close(x.grad, [3])
    close(w.grad, [2])
    tg.divide(x, b=2.0).backward()
    close(x.grad, [3.5])
    tg.relu(a=x).backward()
    close(x.grad, [4.5])


@pytest.mark.parametrize(
    "call",
    [
        lambda x: tg.clip(x, min=tg.tensor(0.0)),
        lambda x: np.clip(np.ones(2), x, x),
        lambda x: tg.leaky_relu(x, negative_slope=x),
    ],
)
def test_a_tensor_as_a_setting_is_refused(call):
    with pytest.raises(tg.errors.TinygradAdamError):
        call(leaf(0.0, 0.5))


def test_a_call_with_too_much_or_too_little():
    x = leaf(1.0)
    with pytest.raises(tg.errors.DTypeError, match=r"^exp: takes"):
        tg.exp(x, 1, 2)
    with pytest.raises(tg.errors.DTypeError, match=r"^add: .*missing"):
        tg.add(x)
    with pytest.raises(tg.errors.DTypeError, match=r"^sum: .*axes"):
        tg.sum(x, axes=0)


@pytest.mark.parametrize(
    "forward",
    [lambda xp, a: a.astype(object), lambda xp, a: a * 1j, lambda xp, a: None],
    ids=["object", "complex", "None"],
)
def test_a_result_of_another_kind_is_refused(forward):
    forward.__name__ = "odd"
    odd = tg.primitive(a=lambda g: g)(forward)
    with pytest.raises(tg.errors.TinygradAdamError, match=r"^odd: "):
        odd(leaf(1.0, 2.0))


def test_a_matrix_beside_a_tensor_means_an_array():
    x = tg.tensor(np.ones((2, 2)), requires_grad=True)
    matrix = np.array([[1.0, 2.0], [3.0, 4.0]]).view(np.matrix)
    tg.multiply(x, matrix).sum().backward()
    close(x.grad, np.asarray(matrix))


def test_errors_of_a_forward_rule_name_the_operation_and_its_inputs():
    with pytest.raises(tg.errors.ShapeError) as caught:
        leaf(1.0, 2.0) + leaf(1.0, 2.0, 3.0)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("add: ")
    assert lines[1:] == ["  a  (2,) float64", "  b  (3,) float64"]


# --- Messages ----------------------------------------------------------------------------------


def test_every_error_of_the_engine_has_the_documented_shape():
    x, w = leaf(1.0, 2.0), leaf(1.0, 2.0, 3.0)
    freed = (x * x).sum()
    freed.backward()
    calls = [
        functools.partial(tg.add, x, w),
        freed.backward,
        (x * 2).backward,
        functools.partial((x * 2).backward, np.ones(3)),
        tg.tensor(1.0).backward,
        functools.partial(tg.grad, (x * 2).sum(), w),
        functools.partial(tg.exp, x, 1, 2),
        functools.partial(tg.reshape, x, shape=(3, 3)),
        lambda: x[5],
        lambda: x @ w,
        functools.partial(tg.use_kernels("nope").__enter__),
    ]
    for call in calls:
        with pytest.raises(errors.TinygradAdamError) as caught:
            call()
        first, *rest = str(caught.value).splitlines()
        assert re.match(r"^[a-z_ ]+: \S", first), first
        for line in rest:
            assert re.match(r"^  \w+ +\S", line), line
