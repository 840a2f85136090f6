"""What `explain` says of a graph, against numbers that are computed otherwise."""

from __future__ import annotations

import gc
import inspect
import math
import re

import numpy as np
import pytest

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import nn, optim
from tinygrad_adam.engine import events as watching
from tinygrad_adam.engine.events import Watcher, watch
from tinygrad_adam.engine.graph import PRIMITIVES
from tinygrad_adam.errors import GraphError
from tinygrad_adam.explain.chain_rule.explanation import Constant, Leaf, Step
from tinygrad_adam.explain.chain_rule.formulas import formula
from tinygrad_adam.explain.chain_rule.traces import measure


def scalars():
    return [tg.tensor(v, dtype=np.float64, requires_grad=True) for v in (2.0, -3.0, 10.0)]


def mlp(dtype=np.float64):
    tg.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)


def batch():
    rng = np.random.default_rng(1)
    return tg.tensor(rng.standard_normal((6, 4))), rng.integers(0, 3, 6)


def step_of(explanation, operation):
    (step,) = [step for step in explanation.steps if step.operation == operation]
    return step


# --- Values, gradients, names ------------------------------------------------------------


def test_scalars_have_the_values_and_gradients_of_calculus():
    a, b, c = scalars()
    d = a * b
    e = d + c
    loss = e.tanh()
    explanation = loss.explain()
    slope = 1 - math.tanh(4) ** 2
    found = [
        (step.name, step.operation, step.value, step.gradient.value, [i.gradient.value for i in step.inputs])
        for step in explanation.steps
    ]
    expected = [
        ("loss", "tanh", math.tanh(4), 1, [slope]),
        ("e", "add", 4, slope, [slope, slope]),
        ("d", "multiply", -6, slope, [slope * -3, slope * 2]),
    ]
    for mine, theirs in zip(found, expected, strict=True):
        assert mine[:2] == theirs[:2]
        np.testing.assert_allclose(np.hstack(mine[2:]), np.hstack(theirs[2:]), rtol=1e-12)
    leaves = {leaf.name: (leaf.value, leaf.gradient.value) for leaf in explanation.leaves}
    assert leaves == {"c": (10, slope), "a": (2, slope * -3), "b": (-3, slope * 2)}
    assert [type(i.source) for i in explanation.steps[1].inputs] == [Step, Leaf]
    assert explanation.steps[1].inputs[0].source is explanation.steps[2]


def test_names_are_those_of_variables_that_a_person_wrote():
    a, _hidden, _ = scalars()
    _result = a * _hidden
    explanation = _result.explain()
    assert explanation.steps[0].name == ""
    assert [leaf.name for leaf in explanation.leaves] == ["a", ""]


def test_a_leaf_used_twice_is_one_leaf_with_the_sum():
    a, b, _ = scalars()
    loss = a * b + a * a
    explanation = loss.explain()
    leaf = {leaf.name: leaf for leaf in explanation.leaves}["a"]
    assert (leaf.uses, leaf.gradient.value) == (3, -3 + 2 * 2)
    assert "a () is used 3 times; what they bring it adds up to sum = 1" in str(explanation)


def test_a_diamond_meets_its_branches_once():
    a, _, _ = scalars()
    b = a * a
    loss = b.exp() + b
    steps = loss.explain().steps
    assert [step.operation for step in steps] == ["add", "exp", "multiply"]
    np.testing.assert_allclose(steps[2].gradient.value, math.exp(4) + 1)


def test_several_outputs_of_one_part_are_explained_each():
    a, b, _ = scalars()
    shared = a * b
    first, second = shared.exp(), shared * shared
    assert [step.operation for step in first.explain().steps] == ["exp", "multiply"]
    assert [step.operation for step in second.explain().steps] == ["multiply", "multiply"]
    np.testing.assert_allclose(first.explain().steps[1].gradient.value, math.exp(-6))
    assert second.explain().steps[1].gradient.value == -12


@pytest.mark.torch
def test_norms_and_bytes_are_those_of_torch_hooks_and_arrays():
    torch = pytest.importorskip("torch")
    model, (x, y) = mlp(), batch()
    with tg.tracing():
        loss = F.cross_entropy(model(x), y)
    explanation = loss.explain()

    theirs = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3)).double()
    theirs.load_state_dict({name: torch.tensor(value) for name, value in model.state_dict().items()})
    norms, value = [], torch.tensor(x.numpy())
    for layer in theirs:
        value = layer(value)
        value.register_hook(lambda g: norms.append(g.norm().item()))
    torch.nn.functional.cross_entropy(value, torch.tensor(y)).backward()
    assert [s.operation for s in explanation.steps] == ["softmax_cross_entropy", "linear", "tanh", "linear"]
    np.testing.assert_allclose([s.gradient.norm for s in explanation.steps], [1, *norms])
    named = dict(theirs.named_parameters())
    assert {leaf.name for leaf in explanation.leaves} == set(named)
    for leaf in explanation.leaves:
        np.testing.assert_allclose(leaf.gradient.norm, named[leaf.name].grad.norm().item())
        assert leaf.gradient.value is None

    # The rules need: of the loss the logits and labels; of a layer its input and, if that has a gradient,
    # the weight; of tanh its output. That is the next layer's input: it counts once.
    hidden, logits, weight = 6 * 5 * 8, 6 * 3 * 8, 3 * 5 * 8
    expected = [logits + y.nbytes, hidden + weight, hidden]
    assert [s.kept_bytes for s in explanation.steps] == [*expected, x.numpy().nbytes]
    assert explanation.kept_bytes == sum(expected) - hidden + x.numpy().nbytes
    assert [s.number for s in explanation.largest(2)] == [2, 3]


def test_an_array_that_a_broadcast_repeats_counts_once():
    a = tg.tensor(np.ones((1, 3)), requires_grad=True)
    loss = (tg.broadcast_to(a, shape=(100, 3)) * tg.tensor(np.ones((100, 3)), requires_grad=True)).sum()
    kept = {k.name: k.nbytes for k in step_of(loss.explain(), "multiply").kept}
    assert kept == {"a": 24, "b": 2400}


def test_the_pass_leaves_everything_as_it_was():
    model, (x, y) = mlp(np.float32), batch()
    opt = optim.Adam(model.parameters(), lr=0.1)
    hidden = model[1](model[0](x.astype(np.float32)))
    hidden.retain_grad()
    loss = F.cross_entropy(model[2](hidden), y)

    class Log(Watcher):
        heard = 0

        def gradient(self, node, g):
            self.heard += 1

    log = Log()
    with watch(log):
        loss.explain()
    assert log.heard == 0
    assert not watching.watched()
    assert hidden.grad is None
    assert all(p.grad is None for p in model.parameters())
    loss.backward()
    first = [p.grad.numpy().copy() for p in model.parameters()]
    opt.zero_grad()
    F.cross_entropy(model(x.astype(np.float32)), y).backward()
    for once, again in zip(first, model.parameters(), strict=True):
        np.testing.assert_array_equal(once, again.grad.numpy())


def test_gradients_that_are_there_stay():
    a, b, _ = scalars()
    a.grad = tg.tensor(7.0)
    (a * b).explain()
    assert a.grad.item() == 7
    assert b.grad is None


# --- Formulas ----------------------------------------------------------------------------


def test_formulas_are_the_rules_as_written():
    a, b, _ = scalars()
    step = (a / b).explain().steps[0]
    assert [(i.name, i.formula.text) for i in step.inputs] == [("a", "g / b"), ("b", "-g * y / b")]
    assert formula(PRIMITIVES["softmax"].rules["a"].function).text == ("y * (g - sum(g * y, keepdims=True))")
    assert formula(PRIMITIVES["_matmul"].rules["a"].function).text == "g @ b.T"


def test_every_rule_of_the_package_has_a_formula():
    for primitive in PRIMITIVES.values():
        for rule in primitive.rules.values():
            text = formula(rule.function).text
            words = set(re.findall(r"\w+", text))
            assert not words & {"xp", "lambda", "out"}
            # What it names is what the rule names, in whichever of several lambdas of a line it stands.
            assert words >= set(rule.names) & {"g", "y", "target", "b"}, (primitive.name, text)


def test_lambdas_in_one_line_are_told_apart():
    @tg.primitive(a=lambda g, a, b: g * b, b=lambda g, a, b: g * a + 0 * b)  # the same names in both
    def product(xp, a, b):
        return a * b

    texts = [formula(product.rules[name].function).text for name in ("a", "b")]
    assert texts == ["g * b", "g * a + 0 * b"]


def test_a_rule_without_source_is_named():
    scope = {"primitive": tg.primitive, "__name__": "elsewhere"}
    exec("@primitive(a=lambda g, a: g * 2 * a)\ndef sq(xp, a): return a * a", scope)
    x = tg.tensor(3.0, requires_grad=True)
    step = scope["sq"](x).explain().steps[0]
    assert step.inputs[0].formula.text == "<lambda>(g, a)"
    assert step.inputs[0].gradient.value == 6


def test_a_rule_of_several_statements_is_named_with_what_it_says():
    a, b, _ = scalars()
    text = str((a**b).explain())
    assert "dL/da = power_base_rule(g, a, b)" in text
    assert "power_base_rule(g, a, b): Return b * a ** (b - 1); where b is 0 that is 0" in text


def test_a_broadcast_input_is_said_to_be_summed():
    x = tg.tensor(np.ones((4, 3)), requires_grad=True)
    bias = tg.tensor(np.ones(3), requires_grad=True)
    step = (x + bias).sum().explain().steps[1]
    assert [i.summed for i in step.inputs] == [False, True]
    np.testing.assert_allclose([i.gradient.norm for i in step.inputs], [math.sqrt(12), math.sqrt(3 * 16)])


def test_an_activation_inside_a_layer_says_what_it_does_to_g():
    model, (x, _) = nn.Sequential(nn.Linear(4, 5), nn.ReLU()), batch()
    step = step_of(model(x.astype(np.float32)).sum().explain(), "linear_relu")
    assert step.first.text == "relu_vjp(g, y)"
    assert "g becomes relu_vjp(g, y)" in str(model(x.astype(np.float32)).sum().explain())


# --- Tracing -----------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(4, 5)
        self.out = nn.Linear(5, 3)

    def forward(self, x):
        h = self.hidden(x).tanh()
        return self.out(h)


def test_source_lines_and_modules_are_those_that_called():
    net, (x, y) = Net(), batch()
    with tg.tracing():
        loss = F.cross_entropy(net(x.astype(np.float32)), y)
    _, start = inspect.getsourcelines(Net.forward)
    here, first = inspect.getsourcelines(test_source_lines_and_modules_are_those_that_called)
    loss_line = first + next(n for n, text in enumerate(here) if "cross_entropy" in text)
    steps = loss.explain().steps
    assert [(s.line.number, s.line.function) for s in steps] == [
        (loss_line, "test_source_lines_and_modules_are_those_that_called"),
        (start + 2, "forward"),
        (start + 1, "forward"),
        (start + 1, "forward"),
    ]
    assert {s.line.file for s in steps} == {__file__}
    assert steps[1].line.text == "return self.out(h)"
    assert [s.call and (s.call.path, s.call.kind) for s in steps] == [
        None, ("out", "Linear"), ("", "Net"), ("hidden", "Linear"),
    ]  # fmt: skip
    call = steps[1].call
    assert (call.inputs, call.output, call.within.kind) == ([(6, 5)], (6, 3), "Net")
    assert [(name, p.shape) for name, p in call.parameters] == [("weight", (3, 5)), ("bias", (3,))]
    assert {leaf.name for leaf in loss.explain().leaves} == {
        "hidden.weight", "hidden.bias", "out.weight", "out.bias",
    }  # fmt: skip


def test_data_without_a_gradient_are_inputs_too():
    net, (x, y) = Net(), batch()
    x = x.astype(np.float32)
    with tg.tracing():
        loss = F.cross_entropy(net(x), y)
    steps = loss.explain().steps
    first, last = steps[-1].inputs[0], steps[0].inputs[1]
    assert isinstance(first.source, Constant)
    assert (first.name, first.shape, first.formula, first.source.variable()) == ("x", (6, 4), None, x)
    assert (last.name, last.shape) == ("labels", (6,))


@pytest.mark.parametrize("traced", [False, True])
def test_inputs_of_an_operation_that_takes_any_number(traced):
    a = tg.tensor(np.ones((2, 3)), requires_grad=True)
    b, c = tg.tensor(np.full((3, 4), 2.0)), tg.tensor(np.full((4, 2), 3.0), requires_grad=True)

    def loss():
        return tg.einsum("ij,jk,ki->", a, b, c)

    if traced:
        with tg.tracing():
            result = loss()
    else:
        result = loss()
    inputs = {i.name: i for step in result.explain().steps for i in step.inputs if "operands" in i.name}
    assert set(inputs) == {"operands[0]", "operands[2]"} | ({"operands[1]"} if traced else set())
    # Every entry of a meets 4 products of 2 and 3, every one of c 3 of 1 and 2.
    np.testing.assert_allclose(inputs["operands[0]"].gradient.norm, 4 * 6 * math.sqrt(6))
    np.testing.assert_allclose(inputs["operands[2]"].gradient.norm, 3 * 2 * math.sqrt(8))


def test_numbers_and_lists_are_inputs_with_a_shape():
    a = tg.tensor(np.ones(3), requires_grad=True)
    with tg.tracing():
        loss = (a * [1.0, 2.0, 3.0] + 4.0).sum()
    _, add, multiply = loss.explain().steps
    assert (multiply.inputs[1].shape, add.inputs[1].shape, add.inputs[1].source.value) == ((3,), (), 4.0)


def test_row_sparse_gradients_have_the_norm_of_the_dense_ones():
    tables = [nn.Embedding(5, 2, sparse=sparse) for sparse in (False, True)]
    tables[1].weight.data = tables[0].weight.data
    (dense,), (sparse,) = ((t(np.array([1, 1, 3])) ** 2).sum().explain().leaves for t in tables)
    assert dense.gradient.norm == pytest.approx(sparse.gradient.norm) != 0
    with tg.tracing():
        loss = (tables[1](np.array([1, 1, 3])) ** 2).sum()
        loss.backward()
    (traced,) = loss.explain().leaves
    assert traced.gradient.norm == pytest.approx(dense.gradient.norm)


def test_second_derivatives_have_a_graph_to_explain():
    (a, _, _) = scalars()
    slope = tg.grad(a**3, a, create_graph=True)
    (leaf,) = slope.explain().leaves
    assert leaf.gradient.value == pytest.approx(12)


def test_without_tracing_the_text_says_how_to_get_lines():
    a, b, _ = scalars()
    assert "with tg.tracing():" in str((a * b).explain())
    with tg.tracing():
        traced = a * b
    assert "with tg.tracing():" not in str(traced.explain())


def test_a_traced_graph_is_explained_after_it_was_freed():
    net, (x, y) = Net(), batch()
    x = x.astype(np.float32)
    with tg.tracing():
        loss = F.cross_entropy(net(x), y)
        before = loss.explain()
        loss.backward()
    after = loss.explain()
    assert "freed" in after.notes[0]
    assert not before.notes

    def essence(explanation):
        return [
            (s.operation, s.line, s.value, s.gradient, s.kept_bytes, [(i.name, i.gradient) for i in s.inputs])
            for s in explanation.steps
        ]

    assert essence(after) == essence(before)
    assert after.kept_bytes == before.kept_bytes > 0
    assert [leaf.gradient for leaf in after.leaves] == [leaf.gradient for leaf in before.leaves]


def test_a_graph_freed_outside_the_block_has_no_gradients():
    a, b, _ = scalars()
    with tg.tracing():
        loss = a * b
    loss.backward()
    step = loss.explain().steps[0]
    assert (step.gradient, step.value) == (None, -6)


def test_records_go_with_the_graph():
    from tinygrad_adam.explain.chain_rule.traces import _traces as _records

    gc.collect()
    before = len(_records)
    a, b, _ = scalars()
    with tg.tracing():
        loss = a * b
    assert len(_records) == before + 1
    del loss
    gc.collect()
    assert len(_records) == before


def test_tracing_changes_no_number():
    model, (x, y) = mlp(), batch()
    plain = F.cross_entropy(model(x), y)
    with tg.tracing():
        traced = F.cross_entropy(model(x), y)
    assert plain.item() == traced.item()


# --- Wrong input, large graphs -----------------------------------------------------------


def test_a_tensor_without_a_graph_is_refused():
    a, b, _ = scalars()
    with pytest.raises(GraphError, match="no graph: it is a leaf"):
        a.explain()
    with tg.no_grad():
        c = a * b
    with pytest.raises(GraphError, match=r"outside no_grad\(\)"):
        c.explain()


def test_a_freed_graph_is_refused_with_the_remedies():
    a, b, _ = scalars()
    loss = (a * b).exp()
    loss.backward()
    with pytest.raises(GraphError, match=r"freed[\s\S]*at exp[\s\S]*retain_graph=True[\s\S]*tracing"):
        loss.explain()
    c = a * b
    c.exp().backward()
    with pytest.raises(GraphError, match="at multiply"):
        (c + a).explain()


def test_a_result_that_is_no_scalar_needs_a_gradient_for_norms():
    x = tg.tensor(np.ones((2, 3)), requires_grad=True)
    y = x * 2.0
    explanation = y.explain()
    assert explanation.steps[0].gradient is None
    assert "pass gradient=" in str(explanation)
    step = y.explain(gradient=np.full((2, 3), 3.0)).steps[0]
    np.testing.assert_allclose(
        [step.gradient.norm, step.inputs[0].gradient.norm], [math.sqrt(54), math.sqrt(216)]
    )


def test_an_array_changed_in_place_leaves_the_structure():
    a, b, _ = scalars()
    loss = a * b
    with tg.no_grad():
        b += 1
    explanation = loss.explain()
    assert explanation.steps[0].operation == "multiply"
    assert explanation.steps[0].gradient is None
    assert "changed in place" in str(explanation)


@pytest.mark.slow
def test_a_chain_of_20000_operations():
    x = tg.tensor(1.0, requires_grad=True)
    with tg.tracing():
        y = x
        for _ in range(20_000):
            y = y + 1.0
    explanation = y.explain()
    assert len(explanation.steps) == 20_000
    assert {step.gradient.value for step in explanation.steps} == {1.0}
    text = str(explanation)
    assert "19,940 operations between are not shown" in text
    assert len(text) < 12_000


def test_gradients_whose_squares_overflow_are_measured_without_a_warning():
    with np.errstate(all="raise"):
        assert measure(np.full(100, 1e25, np.float32)).norm == pytest.approx(1e26)
        assert measure(np.full(100, 1e-25, np.float32)).norm == pytest.approx(1e-24)
        assert measure(np.zeros(3, np.float32)).norm == 0
