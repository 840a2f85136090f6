"""`grad`, and gradients of gradients."""

import numpy as np
import pytest
from leaves import close, leaf

import tinygrad_adam as tg

# --- Gradients of gradients --------------------------------------------------------------------


def test_hessian_of_a_quadratic():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((4, 4))
    x = tg.tensor(rng.standard_normal(4), requires_grad=True)
    y = 0.5 * (x @ (tg.tensor(a) @ x))
    g = tg.grad(y, x, create_graph=True)
    symmetric = (a + a.T) / 2
    close(g, symmetric @ x.detach().numpy())
    hessian = [tg.grad(g[i], x, retain_graph=True).numpy() for i in range(4)]
    close(np.stack(hessian), symmetric)


def test_third_derivative_of_the_fourth_power():
    x = leaf(1.5, -2.0)
    y = (x**4).sum()
    first = tg.grad(y, x, create_graph=True)
    second = tg.grad(first.sum(), x, create_graph=True)
    third = tg.grad(second.sum(), x, create_graph=True)
    fourth = tg.grad(third.sum(), x)
    v = x.detach().numpy()
    for got, expected in [(first, 4 * v**3), (second, 12 * v**2), (third, 24 * v), (fourth, 24 + 0 * v)]:
        close(got, expected)


def test_backward_with_create_graph():
    x = leaf(2.0)
    (x**3).backward(create_graph=True)
    assert x.grad.requires_grad
    close(x.grad, [12])
    first, x.grad = x.grad, None
    first.backward()
    close(x.grad, [12])  # 6 x


def test_accumulation_with_and_without_a_graph():
    x = leaf(2.0)
    (x * x).backward()
    (x * x).backward(create_graph=True)
    (x * x).backward()
    close(x.grad, [12])


def test_create_graph_inside_no_grad_records_the_gradient():
    x = leaf(2.0)
    y = x**3
    with tg.no_grad():
        g = tg.grad(y, x, create_graph=True)
    close(tg.grad(g, x), [12])


def test_mixed_partial_derivatives():
    x, y = leaf(2.0), leaf(3.0)
    f = x**2 * y**3
    dx, dy = tg.grad(f, [x, y], create_graph=True)
    close(tg.grad(dx, y, retain_graph=True), [2 * 2 * 3 * 9])
    close(tg.grad(dy, x), [2 * 2 * 3 * 9])


def test_double_backward_goes_through_the_given_gradient():
    x, v = leaf(1.0, 2.0), leaf(5.0, 7.0)
    g = tg.grad(x**3, x, gradient=v, create_graph=True)
    dx, dv = tg.grad(g.sum(), [x, v])
    close(dx, [6 * 1 * 5, 6 * 2 * 7])
    close(dv, [3, 12])


def test_gradients_with_a_graph_do_not_share_memory():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (a + b).sum().backward(create_graph=True)
    with tg.no_grad():
        a.grad *= 0.5  # as clipping does
    close(a.grad, [0.5, 0.5])
    close(b.grad, [1, 1])


def test_change_between_the_first_and_the_second_pass_is_seen():
    x = leaf(1.0, 2.0)
    h = x * 2
    g = tg.grad((h**3).sum(), x, create_graph=True)  # 6 h**2, which keeps h
    with tg.no_grad():
        h += 1
    with pytest.raises(tg.errors.GraphError, match="changed in place"):
        tg.grad(g.sum(), x)


# --- grad --------------------------------------------------------------------------------------


def test_grad_of_leaves_and_intermediate_results():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    h = x * w
    y = (h * h).sum()
    dx, dh, dw = tg.grad(y, [x, h, w])
    close(dx, [2 * 3 * 3, 2 * 8 * 4])
    close(dh, [6, 16])
    close(dw, [2 * 3 * 1, 2 * 8 * 2])
    assert isinstance(tg.grad((x * 2).sum(), x), tg.Tensor)
    assert isinstance(tg.grad((x * 2).sum(), [x]), tuple)
    assert tg.grad((x * 2).sum(), []) == ()


def test_grad_of_the_result_itself_and_of_a_repeated_input():
    x = leaf(2.0)
    y = x * 3
    close(tg.grad(y, y, retain_graph=True), [1])
    first, second = tg.grad(y, [x, x])
    close(first, [3])
    close(second, [3])
    close(tg.grad(x, x), [1])


def test_grad_leaves_every_grad_alone():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    x.grad = np.array([9.0, 9.0])
    h = x * w
    tg.grad((h * h).sum(), [x, h])
    close(x.grad, [9, 9])
    assert w.grad is None
    assert h.grad is None


def test_grad_leaves_a_retained_grad_alone():
    x = leaf(1.0, 2.0)
    h = x * 2
    h.retain_grad()
    tg.grad((h * h).sum(), x)
    assert h.grad is None


def test_grad_results_are_their_own():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    da, db = tg.grad((a + b).sum(), [a, b])
    da[0] = 100.0
    close(db, [1, 1])


def test_grad_of_what_y_does_not_depend_on():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    with pytest.raises(tg.errors.GraphError, match=r"^grad: y does not depend on xs\[1\]\n  shape  \(2,\)"):
        tg.grad((x * x).sum(), [x, w])
    with pytest.raises(tg.errors.GraphError, match="which does not require a gradient"):
        tg.grad((x * x).sum(), tg.tensor([1.0]))
    with pytest.raises(tg.errors.GraphError, match="does not depend"):
        tg.grad(x.sum(), (x * 2))  # made after, not before
    with pytest.raises(tg.errors.GraphError, match=r"^grad: "):
        tg.grad(tg.tensor(1.0), x)


def test_grad_of_something_that_is_no_tensor():
    x = leaf(1.0)
    with pytest.raises(tg.errors.TinygradAdamError, match=r"^grad: "):
        tg.grad(x * 2, np.ones(2))


def test_grad_computes_only_branches_that_lead_to_xs():
    calls = []

    @tg.primitive(a=lambda g, label: calls.append(label) or g)
    def counted(xp, a, *, label):
        return a * 1

    x, w = leaf(1.0), leaf(2.0)
    h = counted(x, label="below")
    y = counted(h, label="x") * counted(w, label="w")
    tg.grad(y, x, retain_graph=True)
    assert calls == ["x", "below"]
    calls.clear()
    tg.grad(y, h, retain_graph=True)
    assert calls == ["x"]
    calls.clear()
    y.backward()
    assert sorted(calls) == ["below", "w", "x"]


def test_grad_frees_the_graph_unless_told():
    x = leaf(1.0)
    y = tg.exp(x) * 2
    tg.grad(y, x, retain_graph=True)
    tg.grad(y, x)
    with pytest.raises(tg.errors.GraphError, match="freed"):
        tg.grad(y, x)
