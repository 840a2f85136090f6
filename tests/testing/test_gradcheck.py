"""The gradient checkers: right gradients pass, wrong ones do not, whatever is wrong with them."""

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import errors

CHECKERS = [tg.gradcheck, tg.gradgradcheck]


def leaf(*shape, seed=0):
    return tg.tensor(np.random.default_rng(seed).uniform(0.5, 1.5, shape), requires_grad=True)


@pytest.mark.parametrize("check", CHECKERS)
@pytest.mark.parametrize(
    ("f", "shapes"),
    [
        (tg.exp, [(3,)]),
        (tg.multiply, [(2, 3), (3,)]),
        (tg.matmul, [(2, 3), (3, 4)]),
        (lambda x: (x * x).sum(), [(2, 3)]),
        (lambda x: x**3, [()]),
        (lambda x: x * 2, [(3,)]),  # the first derivative does not depend on x
        (lambda x, y: x + 0 * y, [(3,), (3,)]),
        (lambda x: tg.tensor(np.ones(2)) * x.sum(), [(0, 3)]),
        (lambda x: x.T.reshape(-1)[::-1], [(2, 3)]),
    ],
)
def test_right_gradients_pass(check, f, shapes):
    assert check(f, [leaf(*shape, seed=i) for i, shape in enumerate(shapes)]) is True


@pytest.mark.parametrize("check", CHECKERS)
def test_several_outputs(check):
    x, y = leaf(2, 3), leaf(3, seed=1)
    assert check(lambda a, b: (a * b, tg.sin(a), b.sum()), [x, y])
    assert check(lambda a, b: [a * b], [x, y])


@pytest.mark.parametrize("check", CHECKERS)
def test_an_input_without_influence_has_the_gradient_zero(check):
    assert check(lambda a, b: tg.sin(a), [leaf(2), leaf(3)])


@pytest.mark.parametrize("check", CHECKERS)
def test_what_needs_no_gradient_is_passed_on(check):
    seen = []

    def f(x, constant, index, setting):
        seen.append((constant, index, setting))
        return x[index] * constant * setting

    constant, index = tg.tensor([2.0, 3.0]), np.array([0, 2])
    assert check(f, [leaf(3), constant, index, 5])
    assert all(c is constant and i is index and s == 5 for c, i, s in seen)


@pytest.mark.parametrize("check", CHECKERS)
def test_a_single_tensor_and_an_intermediate_result(check):
    x = leaf(3)
    assert check(tg.tanh, x)
    assert check(tg.tanh, x * 2)


def wrong_exp(factor):
    @tg.primitive(a=lambda g, y: g * y * factor)
    def wrong(xp, a):
        return xp.exp(a)

    return wrong


@pytest.mark.parametrize("factor", [-1, 0, 2, 1 + 1e-4, 1 - 1e-4, float("nan")])
def test_a_wrong_factor_is_caught(factor):
    with pytest.raises(errors.GradcheckError, match=r"^gradcheck: the gradient of input 0 differs"):
        tg.gradcheck(wrong_exp(factor), leaf(5))
    assert tg.gradcheck(wrong_exp(1), leaf(5))


def test_a_transposed_gradient_is_caught():
    @tg.primitive(a=lambda xp, g, a: xp.transpose(2 * g * a))
    def wrong(xp, a):
        return a * a

    with pytest.raises(errors.GradcheckError):
        tg.gradcheck(wrong, leaf(3, 3))


def test_operands_in_the_wrong_order_are_caught():
    @tg.primitive(
        a=lambda xp, g, b: xp.matmul(xp.swapaxes(b, 0, 1), g),
        b=lambda xp, g, a: xp.matmul(xp.swapaxes(a, 0, 1), g),
    )
    def wrong(xp, a, b):
        return xp.matmul(a, b)

    with pytest.raises(errors.GradcheckError, match="input 0"):
        tg.gradcheck(wrong, [leaf(3, 3), leaf(3, 3, seed=1)])


def test_the_wrong_input_of_two_is_named():
    @tg.primitive(a=lambda g, b: g * b, b=lambda g, b: g * b)
    def wrong(xp, a, b):
        return a * b

    a, b = leaf(3), leaf(3, seed=1)
    with pytest.raises(errors.GradcheckError, match="input 1"):
        tg.gradcheck(wrong, [a, b])
    assert tg.gradcheck(wrong, [a, b.detach()])


def test_a_wrong_element_among_many_is_caught():
    mask = np.ones((10, 10))
    mask[3, 4] = 0

    @tg.primitive(a=lambda g: g * mask)
    def wrong(xp, a):
        return a * 1

    with pytest.raises(errors.GradcheckError):
        tg.gradcheck(wrong, leaf(10, 10))


def test_a_wrong_axis_is_caught():
    @tg.primitive(a=lambda xp, g: xp.flip(xp.cumsum(xp.flip(g, axis=0), axis=0), axis=0))
    def wrong(xp, a):
        return xp.cumsum(a, axis=1)

    with pytest.raises(errors.GradcheckError):
        tg.gradcheck(wrong, leaf(3, 3))


def test_the_wrong_one_of_several_outputs_is_caught():
    with pytest.raises(errors.GradcheckError):
        tg.gradcheck(lambda x: (tg.sin(x), wrong_exp(1 + 1e-4)(x), x.sum()), leaf(3))


def test_a_gradient_that_was_forgotten_is_caught():
    with pytest.raises(errors.GradcheckError):
        tg.gradcheck(lambda x: x * x.detach(), leaf(3))
    with pytest.raises(errors.GradcheckError):
        tg.gradcheck(lambda x: x.detach() * 3, leaf(3))


def test_a_wrong_second_derivative_is_caught():
    @tg.primitive(a=lambda g, a: g * 2 * a.detach() if isinstance(a, tg.Tensor) else g * 2 * a)
    def square(xp, a):
        return a * a

    x = leaf(3)
    assert tg.gradcheck(square, x)  # right at first order
    with pytest.raises(errors.GradcheckError):
        tg.gradgradcheck(square, x)


@pytest.mark.parametrize("check", CHECKERS)
def test_float32_is_refused(check):
    x32 = tg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(errors.DTypeError, match=r"^grad(grad)?check: .*float64.*\n  inputs\[1\]  float32"):
        check(tg.multiply, [leaf(2), x32])
    assert check(tg.multiply, [leaf(2), x32.detach()])


@pytest.mark.parametrize("check", CHECKERS)
def test_there_must_be_something_to_check(check):
    for inputs in ([], [leaf(2).detach()]):
        with pytest.raises(errors.DTypeError):
            check(lambda *xs: xs[0] if xs else tg.tensor(1.0), inputs)


@pytest.mark.parametrize("check", CHECKERS)
def test_inputs_are_left_as_they_are(check):
    x, constant = leaf(3), tg.tensor(np.ones(3))
    x.grad = np.array([7.0, 8.0, 9.0])
    before, seen = x.detach().numpy().copy(), []
    x.register_hook(seen.append)
    check(lambda a, b: a * a * b, [x, constant])
    np.testing.assert_array_equal(x.detach().numpy(), before)
    np.testing.assert_array_equal(x.grad.numpy(), [7, 8, 9])
    assert x.requires_grad
    assert seen == []


@pytest.mark.parametrize("check", CHECKERS)
def test_memory_layouts(check):
    for array in (
        np.asfortranarray(np.random.default_rng(0).random((3, 4))),
        np.random.default_rng(0).random((4, 3)).T[::-1],
    ):
        assert check(lambda x: x * x * x, tg.tensor(array, requires_grad=True))


def test_the_message_shows_both_gradients():
    with pytest.raises(errors.GradcheckError) as caught:
        tg.gradcheck(wrong_exp(-1), leaf(2))
    names = [line.split()[0] for line in str(caught.value).splitlines()[1:]]
    assert names == ["shape", "analytical", "numerical", "difference"]
    assert isinstance(caught.value, AssertionError)


def test_tolerances():
    assert tg.gradcheck(wrong_exp(1 + 1e-4), leaf(5), rtol=1e-2)
    assert tg.gradcheck(wrong_exp(1 + 1e-4), leaf(5), rtol=0, atol=1.0)
    with pytest.raises(errors.GradcheckError):
        tg.gradcheck(wrong_exp(1 + 1e-4), leaf(5), rtol=0, atol=1e-6)


def test_seeds_change_the_directions():
    seen = []
    for seed in (0, 0, 1):
        values = []
        tg.gradcheck(lambda x, values=values: values.append(x.detach().numpy()) or x * x, leaf(3), seed=seed)
        seen.append(values[-1].tolist())
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize("check", CHECKERS)
def test_inside_no_grad(check):
    with tg.no_grad():
        assert check(tg.sin, leaf(3))
        assert not tg.is_grad_enabled()
