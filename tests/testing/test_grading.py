"""The grader: right answers pass, and typical wrong ones are told what is wrong with them."""

from __future__ import annotations

import importlib.util
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import errors, optim
from tinygrad_adam.engine.graph import Primitive
from tinygrad_adam.testing import grade
from tinygrad_adam.testing.grading.mistakes import MISTAKES

# --- The exercises -------------------------------------------------------------------------------

FOLDER = Path(__file__).parents[2] / "examples" / "exercises"


def exercise(name):
    specification = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return {getattr(each, "__name__"): each for each in module.ATTEMPTS}, module  # noqa: B009


RULES = {
    "right": (),
    "outer_derivative_only": [("x", "missing factor", "lacks a factor of w.")],
    "input_for_output": [("x", "wrong operand", "uses x where the output y belongs")],
    "first_row_only": [("w", "missing un-broadcast", "keeps the first one only: sum over axis 0")],
}
ADAMS = {
    "right": (),
    "no_bias_correction": [
        ("update", "m not corrected", "m_hat = m / (1 - beta1**t), line 9"),
        ("update", "v not corrected", "v_hat = v / (1 - beta2**t), line 10"),
    ],
    "no_power_of_t": [("update", "no power of t", "with the power t of the step")],
    "eps_inside_the_root": [
        ("update", "eps inside the root", "The paper adds it outside, sqrt(v) + eps"),
        ("update", "default", "by default eps is 1e-07; the paper's is 1e-08. (10E-8, as"),
    ],
}


@pytest.mark.parametrize("name", RULES)
def test_what_is_told_of_each_rule_of_the_exercise(name):
    attempts, module = exercise("rule_of_your_own")
    assert list(attempts) == list(RULES)
    answer = grade(attempts[name], reference=module.wanted, inputs=[(4, 3), (3,)])
    assert_told(answer, RULES[name])


@pytest.mark.parametrize("name", ADAMS)
def test_what_is_told_of_each_adam_of_the_exercise(name):
    attempts, _ = exercise("adam_of_your_own")
    assert list(attempts) == list(ADAMS)
    assert_told(grade(attempts[name], reference="adam"), ADAMS[name])


def assert_told(answer, wanted):
    assert [(f.where, f.kind) for f in answer.findings] == [each[:2] for each in wanted], str(answer)
    assert answer.passed == (not wanted)
    for finding, (_, _, words) in zip(answer.findings, wanted, strict=True):
        assert words in finding.sentence
        assert finding.sentence[:30] in re.sub(r"\s+", " ", str(answer))
    if not wanted:
        assert (answer.mutants > 0, answer.unnoticed) == (True, ())
        assert "it noticed all" in re.sub(r"\s+", " ", str(answer))


# --- Optimizers as functions ---------------------------------------------------------------------

ADAM = """
def adam(p, g, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    state.setdefault("t", 0), state.setdefault("m", 0.0), state.setdefault("v", 0.0)
    state["t"] += 1
    state["m"] = beta1 * state["m"] + (1 - beta1) * g
    state["v"] = beta2 * state["v"] + (1 - beta2) * g**2
    m_hat = state["m"] / (1 - beta1 ** state["t"])
    v_hat = state["v"] / (1 - beta2 ** state["t"])
    return p - lr * m_hat / (np.sqrt(v_hat) + eps)
"""
RMSPROP = """
def rmsprop(p, g, state, lr=1e-2, alpha=0.99, eps=1e-8):
    state.setdefault("t", 0), state.setdefault("v", 0.0)
    state["t"] += 1
    state["v"] = alpha * state["v"] + (1 - alpha) * g**2
    return p - lr * g / (np.sqrt(state["v"]) + eps)
"""
ADAGRAD = """
def adagrad(p, g, state, lr=1e-2, eps=1e-10):
    state["s"] = state.get("s", 0.0) + g**2
    return p - lr * g / (np.sqrt(state["s"]) + eps)
"""
SGD = """
def sgd(p, g, state, lr=1e-3, momentum=0.9):
    state["u"] = momentum * state.get("u", 0.0) + g
    return p - lr * state["u"]
"""
RIGHT = {"adam": ADAM, "rmsprop": RMSPROP, "adagrad": ADAGRAD, "sgd": SGD}
WRONG = [  # the reference, what is replaced, by what, the kinds that must be found
    ("adam", '["m"] / (1 - beta1 ** state["t"])', '["m"]', "m not corrected"),
    ("adam", '["v"] / (1 - beta2 ** state["t"])', '["v"]', "v not corrected"),
    ("adam", '** state["t"]', "", "no power of t"),
    ("adam", '["t"] += 1', '["t"] = state["t"] + (1 if state["t"] else 2)', "t ahead"),
    ("adam", '/ (1 - beta1 ** state["t"])|/ (1 - beta2 ** state["t"])',
     '* (1 - beta1 ** state["t"])|* (1 - beta2 ** state["t"])', "correction multiplied"),
    ("adam", "(1 - beta2) * g**2", '(1 - beta2) * state["m"]**2', "v from m"),
    ("adam", "lr * m_hat", "lr * g", "g in place of m_hat"),
    ("adam", "beta1, beta2 = betas", "beta2, beta1 = betas", "betas swapped"),
    ("adam", "(1 - beta1) * g", "g", "m without 1 - beta"),
    ("adam", "(1 - beta2) * g**2", "g**2", "v without 1 - beta"),
    ("adam", 'beta1 * state["m"] + (1 - beta1)', '(1 - beta1) * state["m"] + beta1', "m weights swapped"),
    ("adam", 'beta2 * state["v"] + (1 - beta2)', '(1 - beta2) * state["v"] + beta2', "v weights swapped"),
    ("adam", 'beta2 * state["v"] + (1 - beta2) * g**2', 'state["v"] + g**2', "v sums"),
    ("adam", "+ eps)", '+ eps / np.sqrt(1 - beta2 ** state["t"]))', "eps hat"),
    ("adam", "(np.sqrt(v_hat) + eps)", "np.sqrt(v_hat + eps)", "eps inside the root"),
    ("adam", "(np.sqrt(v_hat) + eps)", "np.sqrt(v_hat)", "no eps"),
    ("adam", "np.sqrt(v_hat)", "v_hat", "no root"),
    ("adam", "g**2", "abs(g)", "g not squared"),
    ("adam", "p - lr", "p + lr", "flipped sign"),
    ("adam", "lr * m_hat", "m_hat", "lr missing"),
    ("adam", "lr * m_hat", "lr * lr * m_hat", "lr twice"),
    ("adam", "lr * m_hat", "2 * lr * m_hat", "constant factor"),
    ("adam", 'state["t"] += 1', "pass", "t begins at 0"),
    ("adam", "return p - lr * m_hat", "p = p - lr * m_hat", "nothing changes"),
    ("adam", "state.setdefault", "store.setdefault", "fails"),
    ("adam", "eps=1e-8", "eps=1e-6", "default"),
    ("adam", "g**2", "g**4", "differs"),
    ("rmsprop", "(1 - alpha) * g**2", "g**2", "v without 1 - beta"),
    ("rmsprop", 'alpha * state["v"] + (1 - alpha)', '(1 - alpha) * state["v"] + alpha', "v weights swapped"),
    ("rmsprop", 'alpha * state["v"] + (1 - alpha) * g**2', 'state["v"] + g**2', "v sums"),
    ("rmsprop", 'np.sqrt(state["v"])', 'np.sqrt(state["v"] / (1 - alpha ** state["t"]))', "v corrected"),
    ("rmsprop", '(np.sqrt(state["v"]) + eps)', 'np.sqrt(state["v"] + eps)', "eps inside the root"),
    ("rmsprop", 'np.sqrt(state["v"])', 'state["v"]', "no root"),
    ("rmsprop", 'state["v"] = alpha * state["v"]', 'state["v"] = 0', "moments not kept"),
    ("adagrad", 'state.get("s", 0.0) + g**2', '0.9 * state.get("s", 0.0) + 0.1 * g**2', "total decays"),
    ("adagrad", '(np.sqrt(state["s"]) + eps)', 'np.sqrt(state["s"] + eps)', "eps inside the root"),
    ("adagrad", 'state.get("s", 0.0) + g**2', "g**2", "moments not kept"),
    ("adagrad", "g**2", "abs(g)", "g not squared"),
    ("sgd", '"u", 0.0) + g', '"u", 0.0) + (1 - momentum) * g', "velocity averaged"),
    ("sgd", "+ g\n    return p - lr *", "+ lr * g\n    return p -", "lr inside the velocity"),
    ("sgd", 'lr * state["u"]', 'lr * (g + momentum * state["u"])', "looks ahead"),
    ("sgd", 'momentum * state.get("u", 0.0) + g', "g", "moments not kept"),
    ("sgd", "p - lr", "p + lr", "flipped sign"),
]  # fmt: skip


def function(name, old="", new=""):
    source = textwrap.dedent(RIGHT[name])
    for a, b in zip(old.split("|"), new.split("|"), strict=True):
        assert not a or a in source
        source = source.replace(a, b) if a else source
    space = {"np": np}
    exec(source, space)
    return space[name]


@pytest.mark.parametrize("name", RIGHT)
def test_right_functions_pass(name):
    answer = grade(function(name))
    assert answer.passed, str(answer)
    assert (answer.mutants, answer.unnoticed) == (len(MISTAKES[name][1]) + 5, ())


@pytest.mark.parametrize(("name", "old", "new", "kind"), WRONG, ids=[f"{w[0]}-{w[3]}" for w in WRONG])
def test_wrong_functions_are_told_what_is_wrong(name, old, new, kind):
    answer = grade(function(name, old, new))
    assert answer.kinds == (kind,), str(answer)
    assert len(answer.findings[0].sentence) > 20


def test_all_mistakes_in_adam_are_met_above():
    met = {kind for name, *_, kind in WRONG if name == "adam"}
    assert set(MISTAKES["adam"][1]) - met == {"moments not kept"}


def test_nothing_remembered():
    def adam(p, g, state, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
        t = state["t"] = state.get("t", 0) + 1
        m_hat, v_hat = (1 - beta1) * g / (1 - beta1**t), (1 - beta2) * g**2 / (1 - beta2**t)
        return p - lr * m_hat / (np.sqrt(v_hat) + eps)

    assert grade(adam).kinds == ("moments not kept",)


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ("np.sqrt(v_hat) + eps|p - lr", ("eps inside the root", "flipped sign")),
        ("np.sqrt(v_hat) + eps|lr * m_hat", ("g in place of m_hat", "eps inside the root")),
        ("(1 - beta2) * g**2|(1 - beta1) * g\n", ("v from m", "m without 1 - beta")),
    ],
    ids=["eps and sign", "eps and numerator", "both moments"],
)
def test_two_mistakes_at_once(changes, kinds):
    new = {
        "np.sqrt(v_hat) + eps": "np.sqrt(v_hat + eps)", "p - lr": "p + lr", "lr * m_hat": "lr * g",
        "(1 - beta2) * g**2": '(1 - beta2) * state["m"]**2', "(1 - beta1) * g\n": "g\n",
    }  # fmt: skip
    answer = grade(function("adam", changes, "|".join(new[each] for each in changes.split("|"))))
    assert sorted(answer.kinds) == sorted(kinds), str(answer)


def test_a_given_learning_rate_is_used():
    for student in (function("sgd"), optim.SGD):
        answer = grade(student, "sgd", settings={"lr": 0.5})
        assert answer.passed, str(answer)
        assert "lr=0.5" in answer.checked[0]
    seen = []

    def sgd(p, g, state, lr=0.1, momentum=0.0):
        seen.append(lr)
        u = state["u"] = momentum * state.get("u", 0.0) + g
        return p - lr * u

    assert grade(sgd, settings={"lr": 0.5}).passed
    assert set(seen[:8]) == {0.5}


def test_a_function_may_change_the_parameter_in_place_but_not_the_gradient():
    def sgd(p, g, state, lr=0.1, momentum=0.0):
        u = state["u"] = momentum * state.get("u", 0.0) + g
        p -= lr * u

    def greedy(p, g, state, lr=0.1, momentum=0.0):
        g += momentum * state.get("u", 0.0)
        state["u"] = g
        return p - lr * g

    assert grade(sgd).passed
    assert grade(greedy, "sgd").kinds == ("gradient changed",)


def test_state_in_a_global_is_shared():
    memory = {}

    def sgd(p, g, state, lr=0.1, momentum=0.9):
        u = memory.get("u", 0.0)
        memory["u"] = momentum * (u if np.shape(u) == g.shape else 0.0) + g
        if len(memory.setdefault("steps", [])) == 7:
            memory.clear()
            return p - lr * (momentum * u + g)
        memory["steps"].append(1)
        return p - lr * memory["u"]

    assert grade(sgd).kinds == ("shared state",)


def test_what_cannot_be_set_cannot_be_told_apart():
    def adam(p, g, state, lr=1e-3):
        t = state["t"] = state.get("t", 0) + 1
        m = state["m"] = 0.9 * state.get("m", 0) + (1 - 0.9) * g
        v = state["v"] = 0.999 * state.get("v", 0) + (1 - 0.999) * g**2
        return p - lr * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)

    answer = grade(adam)
    assert answer.passed
    assert answer.unnoticed == ()
    answer = grade(lambda p, g, state, lr: p - lr * g, "sgd")
    assert (answer.passed, answer.mutants) == (True, 9)
    assert answer.unnoticed == tuple(MISTAKES["sgd"][1])  # without momentum none of these shows
    assert "all but these, which do not show here: velocity averaged, lr" in str(answer).replace("\n", " ")


def test_errors_and_infinities_are_told():
    def sgd(p, g, state, lr=0.1):
        return p - lr * g / state["count"]

    (finding,) = grade(sgd).findings
    assert (finding.kind, finding.evidence) == ("fails", "KeyError: 'count'")
    assert "begin with moments of zeros" in finding.sentence
    assert grade(lambda p, g, state: p / np.zeros(4), "sgd").kinds == ("not finite",)
    assert grade(lambda p, g, state: [1.0, 2.0], "sgd").kinds == ("fails",)

    def adam(p, g, state, lr=1e-3):
        return p - lr * g / (1 - 0.9**0)

    assert grade(adam).kinds == ("t begins at 0",)


def test_other_references():
    def step(p, g, state, lr=0.1):
        return p - lr * np.sign(g)

    def flipped(p, g, state, lr=0.1):
        return p + lr * np.sign(g)

    assert grade(step, reference=step).passed
    assert grade(flipped, reference=step).kinds == ("flipped sign",)

    def lion(p, g, state, lr=1e-4, betas=(0.9, 0.99)):
        m = state.get("m", 0.0)
        state["m"] = betas[1] * m + (1 - betas[1]) * g
        return p - lr * np.sign(betas[0] * m + (1 - betas[0]) * g)

    assert grade(lion, settings={"betas": (0.3, 0.9)}).passed
    assert grade(lion, reference="adam").kinds == ("differs", "default")


# --- Optimizers as classes -----------------------------------------------------------------------


class Momentum(optim.Optimizer):
    kernel = "none"

    def __init__(self, params, lr=0.1, momentum=0.9):
        super().__init__(params, {"lr": lr, "momentum": momentum})
        self.memory = {}

    def _validate(self, settings):
        pass

    def key(self, p):
        return id(p)

    def lr(self, group):
        return group["lr"]

    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                u = group["momentum"] * self.memory.get(self.key(p), 0.0) + p.grad.numpy()
                self.memory[self.key(p)] = u
                p.data = p.detach().numpy() - self.lr(group) * u


def test_classes():
    class Shared(Momentum):
        def key(self, p):
            return p.size and "one for all"

    class Once(Momentum):
        def lr(self, group):
            return self.__dict__.setdefault("first", group["lr"])

    assert grade(Momentum, reference="sgd").passed
    assert grade(Momentum, reference=optim.SGD).passed
    assert grade(optim.Adam).passed
    assert grade(Shared, "sgd").kinds == ("shared state",)
    assert grade(Once, "sgd").kinds == ("lr read once",)


# --- Primitives ----------------------------------------------------------------------------------


def made(forward, **rules):
    return Primitive(forward, rules, False)


def times(xp, a, b):
    return a * b


def row_sums(xp, a, *, axis=1):
    return xp.sum(a, axis=axis)


def tanh(xp, a):
    return xp.tanh(a)


def square(xp, a):
    return a * a


def shifted(xp, a, b):
    return a * b + a


def product(xp, a, b):
    return xp.matmul(a, b)


PRIMITIVES = [  # a primitive, settings, and for each input the kind of what is found
    (made(times, a=lambda g, b: g * b, b=lambda g, a: g * a), {}, {}),
    (made(times, a=lambda g, b: -g * b, b=lambda g, a: g * a), {}, {"a": "flipped sign"}),
    (made(times, a=lambda g, b: 2 * g * b, b=lambda g, a: 0.5 * g * a), {},
     {"a": "constant factor", "b": "constant factor"}),
    (made(times, a=lambda g, b: b, b=lambda g, a: g * g * a), {}, {"a": "missing g", "b": "g twice"}),
    (made(times, a=lambda g, a: g * a, b=lambda g, b: g * b), {}, {"a": "another input's rule",
     "b": "another input's rule"}),
    (made(times, a=lambda g: g, b=lambda g, a, b: g * a * b), {},
     {"a": "missing factor", "b": "superfluous factor"}),
    (made(times, a=lambda g, b: 0 * g * b), {}, {"a": "zero", "b": "no rule"}),
    (made(times, a=lambda g, b: g * b, b=lambda g, a: (g * a)[-1]), {}, {"b": "missing un-broadcast"}),
    (made(times, a=lambda g, b: g * b, b=lambda g, a: (g * a).reshape(-1)), {}, {"b": "wrong shape"}),
    (made(times, a=lambda g, b: g * b, b=lambda g, a: g * a.nothing), {}, {"b": "fails"}),
    (made(tanh, a=lambda g, a: g * (1 - a * a)), {}, {"a": "wrong operand"}),
    (made(square, a=lambda g, a: g * a), {}, {"a": "constant factor"}),
    (made(square, a=lambda g, a: g * a**4), {}, {"a": "differs"}),
    (made(shifted, a=lambda g, b: g * b, b=lambda g, a: g * a), {}, {"a": "missing term"}),
    (made(row_sums, a=lambda g, a_shape, xp: xp.broadcast_to(g[:, None], a_shape)), {"axis": 1}, {}),
    (made(row_sums, a=lambda g, a_shape, xp: xp.broadcast_to(g[None, :], a_shape)), {"axis": 1},
     {"a": "wrong axis"}),
    (made(row_sums, a=lambda g, a_shape, xp: xp.broadcast_to(g[:, None] / a_shape[1], a_shape)), {"axis": 1},
     {"a": "constant factor"}),
    (made(product, a=lambda g, b, xp: xp.matmul(g, b.T), b=lambda g, a, xp: xp.matmul(a.T, g)), {}, {}),
    (made(product, a=lambda g, b, xp: xp.matmul(b.T, g), b=lambda g, a, xp: xp.matmul(g.T, a)), {},
     {"a": "differs", "b": "wrong axis"}),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(PRIMITIVES)))
def test_primitives(number):
    student, settings, kinds = PRIMITIVES[number]
    answer = grade(student, settings=settings)
    assert {finding.where: finding.kind for finding in answer.findings} == kinds, str(answer)
    if not kinds:
        assert (answer.mutants >= 5, answer.unnoticed) == (True, ())
    assert all(finding.where in str(answer) for finding in answer.findings)


FACTORS = [  # of the rule for a in a * b on shapes (4, 3), (3,); what is said of it
    (lambda g, b: 2 * g * b, "gives 2 times the derivative everywhere: a factor of 1/2 is missing.", ""),
    (lambda g, b: g * b / 2, "gives 0.5 times the derivative everywhere: a factor of 2 is missing.", ""),
    (lambda g, b: -2 * g * b, "gives -2 times the derivative everywhere: a factor of 1/-2 is missing.", ""),
    (lambda g, b: g * b / 12, "a factor of 12 is missing.", "did you take a mean where a sum belongs?"),
    (lambda g, b: g * b / 4, "a factor of 4 is missing.", "did you take a mean where a sum belongs?"),
    (lambda g, b: g * b * 3, "a factor of 1/3 is missing.", "did you sum where a mean belongs?"),
]


@pytest.mark.parametrize("number", range(len(FACTORS)))
def test_constant_factors_and_where_they_may_come_from(number):
    rule, said, asked = FACTORS[number]
    student = made(times, a=rule, b=lambda g, a: g * a)
    (finding,) = grade(student, inputs=[(4, 3), (3,)]).findings
    assert finding.kind == "constant factor"
    assert said in finding.sentence
    assert finding.sentence.endswith(asked or said)


@pytest.mark.parametrize(
    ("rule", "shape", "words"),
    [
        (lambda g, a: (g * a)[0], (3,), "keeps the first one only: sum over axis 0"),
        (lambda g, a: (g * a)[-1], (3,), "keeps the last one only: sum over axis 0"),
        (lambda g, a: (g * a)[:, :1], (4, 1), "keeps the first one only: sum over axis 1"),
        (lambda g, a: (g * a)[-1, -1], (), "keeps the last one only: sum over axis 0, 1"),
    ],
    ids=["first row", "last row", "first column", "last element"],
)
def test_parts_of_a_broadcast_gradient(rule, shape, words):
    student = made(times, a=lambda g, b: g * b, b=rule)
    (finding,) = grade(student, inputs=[(4, 3), shape]).findings
    assert (finding.where, finding.kind) == ("b", "missing un-broadcast")
    assert words in finding.sentence
    assert f"b of shape {shape} was spread to (4, 3)" in finding.sentence


def test_a_rule_of_an_input_that_is_larger_than_the_output():
    @tg.primitive(x=lambda g, xp, x_shape: xp.tile(g, 2) / 2)
    def means_of_pairs(xp, x):
        return x.reshape(-1, 2).mean(axis=1)

    assert grade(means_of_pairs, inputs=[(6,)]).kinds == ("wrong order",)


def test_a_rule_without_g_where_the_output_is_one_number():
    @tg.primitive(x=lambda x, y, xp: xp.exp(x - y))
    def logsumexp(xp, x):
        return xp.log(xp.sum(xp.exp(x)))

    assert grade(logsumexp).kinds == ("missing g",)


def test_right_numbers_in_wrong_places():
    student = made(lambda xp, a: a[::-1], a=lambda g: g)
    assert grade(student, inputs=[(4,)]).kinds == ("wrong order",)
    student = made(lambda xp, a: xp.transpose(a), a=lambda g: g)
    assert grade(student, inputs=[(3, 3)]).kinds == ("wrong axis",)
    student = made(lambda xp, a: a * 3.5, a=lambda g: g * 2.5)  # one number is no order
    assert grade(student, inputs=[(1,)]).kinds == ("constant factor",)


def test_the_forward_rule_comes_first():
    student = made(lambda xp, a, b: a - b, a=lambda g: g, b=lambda g: -g)
    assert grade(student, "subtract").passed
    (finding,) = grade(student, "add").findings
    assert (finding.where, finding.kind) == ("forward", "wrong output")
    student = made(lambda xp, a, b: -(a + b), a=lambda g: -g, b=lambda g: -g)
    assert grade(student, "add").kinds == ("flipped sign",)
    assert grade(student, lambda a, b: a.sum() + b.sum()).kinds == ("wrong shape",)


def test_what_has_no_slope_here_is_not_called_right():
    student = made(lambda xp, a: xp.maximum(a, 0), a=lambda g, a: g * 7)
    answer = grade(student, inputs=[np.array([-1.0, -2.0])])
    assert answer.kinds == ("not zero",)
    student = made(lambda xp, a: xp.maximum(a, 0), a=lambda g, a: g * (a > 0))
    answer = grade(student, inputs=[np.array([-1.0, -2.0])])
    assert (answer.kinds, answer.mutants) == (("not tested",), 0)
    assert grade(student, "relu").passed


@pytest.mark.parametrize(
    "name",
    ["exp", "log", "sqrt", "sin", "tanh", "sigmoid", "multiply", "divide", "subtract", "maximum"],
)
def test_no_false_alarm_on_operations_of_the_package(name):
    answer = grade(getattr(tg, name), reference=name)
    assert answer.passed, str(answer)
    assert (answer.mutants > 0, answer.unnoticed) == (True, ())


def test_integers_among_the_inputs_are_not_differentiated():
    student = made(
        lambda xp, a, i: xp.take(a, i), a=lambda g, a_shape, i: np.bincount(i, g, a_shape[0])
    )  # fmt: skip
    answer = grade(student, inputs=[np.linspace(0.0, 1.0, 4), np.array([2, 0, 2])])
    assert answer.passed, str(answer)


# --- Wrong use -----------------------------------------------------------------------------------


def test_what_cannot_be_graded():
    with pytest.raises(errors.DTypeError, match=r"give a primitive .*\n  got  3"):
        grade(3)
    with pytest.raises(errors.OptionError, match="say which optimizer mine shall be, as in reference='adam'"):
        grade(made_up())
    with pytest.raises(errors.OptionError, match="unknown reference 'adm'; did you mean 'adam'"):
        grade(made_up(), "adm")
    with pytest.raises(errors.OptionError, match="unknown reference 'mul'; did you mean"):
        grade(made(times), "mul")
    with pytest.raises(errors.OptionError, match="mine does not take these settings"):
        grade(made_up(), "sgd", settings={"nesterov": True})
    with pytest.raises(errors.OptionError, match=r"or keep it in state\n  asks  t$"):
        grade(lambda p, g, state, t, lr: p, "sgd")
    with pytest.raises(errors.DTypeError, match=r"takes p, g and state, [\s\S]*<lambda>\(p, g\)"):
        grade(lambda p, g: p, "sgd")
    with pytest.raises(errors.OptionError, match=r"does not take these inputs: the output holds no floats"):
        grade(made(lambda xp, a: xp.argmax(a), a=lambda g: g), inputs=[(3,)])
    with pytest.raises(errors.DTypeError, match="takes no inputs"):
        grade(made_up(), "sgd", inputs=[(3,)])
    with pytest.raises(errors.OptionError, match="does not take these inputs"):
        grade(made(product), inputs=[(2, 3), (2, 3)])
    with pytest.raises(errors.OptionError, match=r"fails on inputs of shape \(3, 3\)"):
        grade(made(lambda xp, a: xp.reshape(a, (4, 4)), a=lambda g: g))


def made_up():
    def mine(p, g, state, lr=0.1):
        return p - lr * g

    return mine
