"""The step ledger: what it shows against the papers, against the state that the step left, and its words."""

from __future__ import annotations

import ast
import copy
import inspect
import math
import re
import textwrap
from functools import partial

import numpy as np
import pytest
from mutation import broken, caught, compiled, running
from optim_cases import CLOSED_FORMS, GRADIENTS, KERNELS, LRS, ROWS, THETA, give, parameter

import tinygrad_adam as tg
from tinygrad_adam import errors, nn, optim
from tinygrad_adam.explain.ledger.ledger import lines_of

STEPPED_ALONG = {  # what the effective learning rate multiplies
    "sgd": lambda w: w.get("ahead", w.get("velocity", w["g"])),
    "adagrad": lambda w: w["g"],
    "adadelta": lambda w: w["g"],
    "rmsprop": lambda w: w["g"] if "velocity" not in w else None,
    "adam": lambda w: w.get("m_hat", w["m"]),
    "adamw": lambda w: w.get("m_hat", w["m"]),
    "adamax": lambda w: w["m_hat"],
    "nadam": lambda w: w["m_bar"],
    "radam": lambda w: w["m_hat"],
    "adabound": lambda w: w["m"],
    "amsbound": lambda w: w["m"],
    "adabelief": lambda w: w["m_hat"],
}
NOISE = {  # what the mean is divided by for the signal-to-noise ratio, and the mean
    **dict.fromkeys(("adam", "adamw"), lambda w, t, b: (w.get("m_hat", w["m"]), w["root"])),
    "nadam": lambda w, t, b: (w["m_bar"], math.sqrt(w["v"] / (1 - b[1] ** t))),
    **dict.fromkeys(
        ("radam", "adabound", "amsbound"),
        lambda w, t, b: (
            w["m"] / (1 - b[0] ** t), math.sqrt(w.get("v_max", w["v"]) / (1 - b[1] ** t))
        ),
    ),
}  # fmt: skip


def numbers(ledger):
    return {line.name: float(line.value) for line in ledger.lines}


# --- What it says is what was done ---------------------------------------------------------------


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize(("name", "options"), CLOSED_FORMS, ids=str)
def test_every_step_of_every_optimizer_is_that_of_its_paper(name, options, kernels):
    row = ROWS[name]
    path = row.rule(THETA, GRADIENTS, LRS, **options)
    p = parameter(-THETA, THETA)
    opt = row.cls([("w", p)], lr=LRS[0], **options)
    for t, (g, lr, wanted) in enumerate(zip(GRADIENTS, LRS, path, strict=True), 1):
        before = p.data[1]
        opt.param_groups[0]["lr"] = lr
        give(p, [-3 * g, 3 * g])
        with opt.ledger(), tg.use_kernels(kernels):
            opt.step(grad_scale=3)
        opt.param_groups[0]["lr"] = 77.0  # as a schedule would, after the step
        p.grad = None
        ledger = opt.explain("w", 1)
        shown = numbers(ledger)
        assert (ledger.step, shown["t"], shown["value"], shown["lr"]) == (t, t, before, lr)
        assert ledger["grad"] == 3 * g
        np.testing.assert_allclose(shown["new_value"], wanted, rtol=1e-12)
        np.testing.assert_allclose(shown["new_value"], p.data[1], rtol=1e-14)
        np.testing.assert_allclose(shown["ratio"], abs(shown["update"] / before), rtol=1e-12)
        for moment, value in opt.state_dict()["state"]["w"].items():
            if moment != "step":
                np.testing.assert_allclose(shown[moment], value[1], rtol=1e-14, err_msg=moment)
        assert opt.explain("w", 0)["new_value"] == -shown["new_value"]
        if "snr" in shown:
            mean, root = NOISE[name](shown, t, opt.param_groups[0]["betas"])
            np.testing.assert_allclose(shown["snr"], mean / root, rtol=1e-12)
        along = STEPPED_ALONG.get(name, lambda shown: None)(shown)
        if along is not None:
            np.testing.assert_allclose(shown["effective_lr"] * along, shown["update"], rtol=1e-12)


@pytest.mark.parametrize(("name", "options"), [c for c in CLOSED_FORMS if c[0] in ("adam", "adamw", "sgd")])
def test_with_reference_kernels_the_new_value_is_equal_to_the_last_bit(name, options):
    for dtype in (np.float32, np.float64):
        p = parameter(0.3, -1.1, dtype=dtype)
        opt = ROWS[name].cls([("w", p)], lr=0.01, **options)
        for g in GRADIENTS:
            give(p, [g, g / 3])
            with opt.ledger(), tg.use_kernels("reference"):
                opt.step(grad_scale=7)
            assert [opt.explain("w", i)["new_value"] for i in range(2)] == p.data.tolist()
            assert opt.explain("w", 0).lines[-2].value.dtype == dtype


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", ROWS)
def test_in_float32_too(name, kernels):
    rng = np.random.default_rng(0)
    p = nn.Parameter(rng.standard_normal((3, 4)).astype(np.float32))
    opt = ROWS[name].cls([("w", p)], lr=ROWS[name].lr, **ROWS[name].stateful)
    for _ in range(4):
        give(p, rng.standard_normal((3, 4)))
        with opt.ledger(), tg.use_kernels(kernels):
            opt.step()
    layer = opt.explain("w")
    np.testing.assert_allclose(layer["new_value"], p.data, rtol=2e-6)
    assert layer["new_value"].dtype == np.float32
    for index in [(0, 0), (2, 3), (-1, -4)]:
        assert opt.explain("w", index)["update"] == layer["update"][index]


def by_hand(g, before, t, lr=0.5, beta1=0.5, beta2=0.75, eps=0.25):
    """Algorithm 1, a line a line, in Python floats."""
    m, v = beta1 * before["m"] + (1 - beta1) * g, beta2 * before["v"] + (1 - beta2) * g * g
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    delta = lr * (m_hat / (math.sqrt(v_hat) + eps))
    return {
        "value": before["value"], "t": t, "lr": lr, "g": g, "m": m, "v": v, "m_hat": m_hat, "v_hat": v_hat,
        "root": math.sqrt(v_hat), "effective_lr": lr / (math.sqrt(v_hat) + eps),
        "snr": m_hat / math.sqrt(v_hat), "update": delta, "new_value": before["value"] - delta,
        "ratio": abs(delta) / abs(before["value"]),
    }  # fmt: skip


def test_adam_by_hand():
    p = parameter(2.0)
    opt = optim.Adam([("w", p)], lr=0.5, betas=(0.5, 0.75), eps=0.25)
    before = {"m": 0.0, "v": 0.0, "value": 2.0}
    for t, g in enumerate([4.0, -1.0, 0.5], 1):
        give(p, g)
        with opt.ledger():
            opt.step()
        wanted = by_hand(g, before, t)
        assert numbers(opt.explain("w", 0)) == wanted
        before = {"m": wanted["m"], "v": wanted["v"], "value": wanted["new_value"]}


def test_clipping_is_what_the_optimizer_saw():
    p = parameter(3.0, 4.0)
    opt = optim.SGD([("w", p)], lr=1.0)
    give(p, [30.0, 40.0])
    optim.clip_grad_value_([p], 35.0)
    with opt.ledger():
        opt.step()
    assert [opt.explain("w", i)["g"] for i in range(2)] == [30.0, 35.0]


def test_schedules_change_the_rate_that_is_shown():
    p = parameter(1.0)
    opt = optim.SGD([("w", p)], lr=1.0)
    schedule = optim.ExponentialLR(opt, gamma=0.5)
    for lr in (1.0, 0.5, 0.25):
        give(p, 1.0)
        with opt.ledger():
            opt.step()
        schedule.step()
        assert opt.explain("w", 0)["lr"] == opt.explain("w", 0)["effective_lr"] == lr


# --- The texts are the numbers -------------------------------------------------------------------


def evaluated(text):
    """Compute what a formula says, in Python."""
    text = re.sub(r"\|([^|]*)\|", r"abs(\1)", text.replace("^", "**"))
    clip = lambda a, low, high: min(max(a, low), high)  # noqa: E731
    sign = lambda a: (a > 0) - (a < 0)  # noqa: E731
    return eval(text, {"sqrt": math.sqrt, "max": max, "abs": abs, "clip": clip, "sign": sign})


@pytest.mark.parametrize(("name", "options"), CLOSED_FORMS, ids=str)
def test_the_numbers_put_in_give_the_value(name, options):
    p = parameter(THETA)
    opt = ROWS[name].cls([("w", p)], lr=0.1, **options)
    for g in (4.0, -2.0, -0.75):
        give(p, g)
        with opt.ledger():
            opt.step(grad_scale=2)
    checked = 0
    for line in opt.explain("w", 0).lines:
        if line.numbers:  # six digits each
            assert evaluated(line.numbers) == pytest.approx(float(line.value), rel=1e-3), line
            checked += 1
        assert bool(line.formula) or not line.numbers
    assert checked >= 3


def test_an_entry_as_text():
    p = parameter(2.0)
    opt = optim.AdamW([("fc.weight", p)], lr=0.5, betas=(0.5, 0.75), eps=0.25, weight_decay=0.125)
    for g in (4.0, -1.0):
        give(p, g)
        with opt.ledger():
            opt.step()
    text = str(opt.explain("fc.weight", 0))
    assert text.startswith(
        "AdamW, step 2: fc.weight[0]\nAlgorithm 1 of Kingma & Ba (2015); lines are counted from m_0 = 0\n"
    )
    assert (
        """
 7  first moment: mean of gradients
    m_t = beta_1 * m_{t-1} + (1 - beta_1) * g_t
        = 0.5 * 2 + (1 - 0.5) * (-1)
        = 0.5

 8  second moment: mean of squared gradients
    v_t = beta_2 * v_{t-1} + (1 - beta_2) * g_t^2
        = 0.75 * 4 + (1 - 0.75) * (-1)^2
        = 3.25

 9  first moment, its bias corrected
    m_hat_t = m_t / (1 - beta_1^t)
            = 0.5 / (1 - 0.5^2)
            = 0.666667
"""
        in text
    )
    assert [source.strip() for source in re.findall(r"\n([ \d]\d) ", text)] == [*"56789", "10", "11", "11"]
    assert "theta_t = theta'_{t-1} - delta_t" in text
    html = opt.explain("fc.weight", 0)._repr_html_()
    assert html.count("<tr>") == 1 + len(opt.explain("fc.weight", 0).lines)
    assert "Kingma &amp; Ba" in html


DIALECT_LINES = [
    ({"eps_at": "hat"}, "eps_t = eps / sqrt(1 - beta_2^t)"),
    ({"eps_at": "inside"}, "root_t = sqrt(v_hat_t + eps)"),
    ({"eps_at": "outside"}, "rate_t = alpha / (root_t + eps)"),
    ({"amsgrad": True}, "v_hat_t = v_max_t / (1 - beta_2^t)"),
    ({"amsgrad": True, "amsgrad_after_correction": True}, "v_max_t = max(v_max_{t-1}, v_hat_t)"),
    ({"bias_correction": False}, "root_t = sqrt(v_t)"),
    ({"lr_decay": 0.5}, "alpha_t = alpha / (1 + lr_decay * (t - 1))"),
    ({"beta1_decay": 0.5}, "beta_{1,t} = beta_1 * beta1_decay^(t - 1)"),
    ({"weight_decay": 0.5}, "g_t = grad + weight_decay * theta_{t-1}"),
    ({"weight_decay": 0.5, "decoupled_weight_decay": True}, "theta'_{t-1} = theta_{t-1} * (1 - alpha"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "line"), DIALECT_LINES, ids=str)
def test_dialects_have_lines_of_their_own(options, line):
    p = parameter(1.0)
    opt = optim.Adam([("w", p)], **options)
    give(p, 1.0)
    with opt.ledger():
        opt.step()
    assert line in str(opt.explain("w", 0))


@pytest.mark.parametrize(
    ("options", "sources"),
    [
        ({}, [""]),
        ({"momentum": 0.5}, ["eq. 1", "eq. 2"]),
        ({"momentum": 0.5, "nesterov": True}, ["eq. 3", "eq. 4"]),
    ],
    ids=str,
)
def test_the_equations_of_momentum(options, sources):
    p = parameter(1.0)
    opt = optim.SGD([("w", p)], **options)
    give(p, 1.0)
    with opt.ledger():
        opt.step()
    lines = opt.explain("w", 0).lines
    named = {line.name: line.source for line in lines if line.name in ("velocity", "ahead", "new_value")}
    assert list(dict.fromkeys(named.values())) == sources


# --- Mutants -------------------------------------------------------------------------------------

SAME = "the numerator was 1 before"
ZERO = "nothing is added, or multiplied by 1"
EQUIVALENT = {
    ("adagrad", "s + initial if initial.value else s -> s + initial"): ZERO,
    ("adam", "s['beta1_decay'] != 1: 1 -> 2"): ZERO,
    ("adabound", "1 / (progress + 1) -> 1 / (progress + 1)"): SAME,
    ("adabound", "1 / progress -> 1 / progress"): SAME,
    (
        "sgd",
        "(1 - w.setting('dampening')) * g if s['dampening'] else g -> (1 - w.setting('dampening')) * g",
    ): ZERO,
    ("rmsprop", "maximum(v - square(a), 0) -> v - square(a)"): "only rounding makes a variance negative",
}
"""Mutants, by algorithm and description, that show the same numbers, and why."""


KINDS = {row.cls.kernel: row.cls for row in ROWS.values()}


def told_apart(kernel):
    for name, options in CLOSED_FORMS:
        if ROWS[name].cls.kernel == kernel:
            yield name, options


@pytest.mark.parametrize(
    "kernel",
    [
        pytest.param(kernel, marks=() if kernel in ("sgd", "lion") else pytest.mark.slow)
        for kernel in KINDS
        if kernel != "sparse_adam"
    ],
)
def test_wrong_lines_are_noticed(kernel):
    function = lines_of(KINDS[kernel])
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    every_step = partial(test_every_step_of_every_optimizer_is_that_of_its_paper, kernels="reference")
    checks = [
        partial(check, name, options)
        for name, options in told_apart(kernel)
        for check in (every_step, test_the_numbers_put_in_give_the_value)
    ]
    survivors = set()
    for label, mutant in broken(tree, set()):
        with running(function, compiled(mutant, function)):
            if not caught(checks):
                survivors.add((kernel, label))
    # Names of equations are no numbers: the test of momentum's is above.
    assert {each for each in survivors if "'eq." not in each[1]} == {e for e in EQUIVALENT if e[0] == kernel}


# --- A whole parameter ---------------------------------------------------------------------------


def stepped(cls=optim.Adam, **options):
    rng = np.random.default_rng(3)
    params = {"fc1.weight": (4, 5), "fc1.bias": (4,), "scale": ()}
    params = {name: nn.Parameter(rng.standard_normal(shape)) for name, shape in params.items()}
    opt = cls(params.items(), **{"lr": 0.01, **options})
    with opt.ledger():
        for _ in range(3):
            for p in params.values():
                give(p, rng.standard_normal(p.shape))
            opt.step()
    return opt, params


def test_a_layer():
    opt, params = stepped()
    layer = opt.explain("fc1.weight")
    moments = opt.state_dict()["state"]["fc1.weight"]
    rates = 0.01 / (np.sqrt(moments["v"] / (1 - 0.999**3)) + 1e-8)
    np.testing.assert_allclose(layer["effective_lr"], rates, rtol=1e-12)
    snr = np.abs(moments["m"] / (1 - 0.9**3) / np.sqrt(moments["v"] / (1 - 0.999**3)))
    assert layer.distribution("snr")["median"] == pytest.approx(np.quantile(snr, 0.5, method="nearest"))
    assert layer.distribution("effective_lr")["least"] == pytest.approx(rates.min())
    update = rates * moments["m"] / (1 - 0.9**3)
    assert layer.update_norm == pytest.approx(np.sqrt((update**2).sum()))
    old = params["fc1.weight"].data + update
    assert layer.norm_ratio == pytest.approx(np.sqrt((update**2).sum() / (old**2).sum()))
    first, second = layer.movers(2)
    assert abs(update).max() == pytest.approx(abs(first.update)) == pytest.approx(abs(update[first.index]))
    assert np.sort(abs(update), axis=None)[-2] == pytest.approx(abs(second.update))
    assert (first.value, first.effective_lr) == pytest.approx((old[first.index], rates[first.index]))
    text = str(layer)
    assert "Adam, step 3: fc1.weight (4, 5), 20 entries" in text
    assert re.search(r"\neffective learning rate +\d", text)
    assert str(list(first.index)) in text
    assert layer._repr_html_().count("<table") == 2  # distributions, and the entries that moved most


@pytest.mark.parametrize("name", ROWS)
def test_a_layer_of_every_optimizer(name):
    opt, params = stepped(ROWS[name].cls, **ROWS[name].stateful)
    for parameter_name, p in params.items():
        layer = opt.explain(parameter_name)
        np.testing.assert_allclose(layer["new_value"], p.data, rtol=1e-13)
        assert str(layer).count("\n") > 8


def test_rows_of_a_sparse_gradient():
    tg.manual_seed(0)
    table = nn.Embedding(6, 2, sparse=True)
    opt = optim.SparseAdam([("table", table.weight)], lr=0.5)
    with opt.ledger():
        for indices in ([1, 4], [4, 2]):
            opt.zero_grad()
            table(indices).sum().backward()
            opt.step()
    ledger = opt.explain("table", (4, 1))
    assert ledger["new_value"] == pytest.approx(table.weight.data[4, 1], rel=1e-6)
    assert ledger["m"] == pytest.approx(0.19)
    layer = opt.explain("table")
    np.testing.assert_allclose(layer["new_value"], table.weight.data[[2, 4]], rtol=1e-6, atol=1e-7)
    assert {mover.index[0] for mover in layer.movers()} == {2, 4}
    assert "in 2 of 6 rows" in str(layer)
    with pytest.raises(errors.StateError, match="no gradient touched this row"):
        opt.explain("table", (1, 0))


# --- Watching ------------------------------------------------------------------------------------


def test_the_last_recorded_step_is_kept_and_later_ones_are_counted():
    opt, params = stepped()
    before = numbers(opt.explain("fc1.bias", 2))
    other = optim.SGD([parameter(1.0)])
    give(other.param_groups[0]["params"][0], 1.0)
    with opt.ledger():
        pass
    assert opt._recorded == {}  # an empty block has recorded nothing
    opt, params = stepped()
    for p in params.values():
        give(p, np.ones(p.shape))
    with tg.optim.Optimizer.ledger(other):
        opt.step()
        other.step()
    assert numbers(opt.explain("fc1.bias", 2)) == before
    assert "Steps since then, not recorded: 1" in str(opt.explain("fc1.bias", 2))
    assert list(other._recorded) == ["0"]


def test_the_ledger_changes_no_number():
    paths = []
    for watched in (False, True):
        p = parameter(1.0, 2.0)
        opt = optim.Adam([("w", p)], amsgrad=True)
        for g in GRADIENTS:
            give(p, g)
            if watched:
                with opt.ledger():
                    opt.step()
                opt.explain("w", 0)
            else:
                opt.step()
        paths.append(p.data.tolist())
    assert paths[0] == paths[1]


def test_memory_is_taken_once():
    opt, params = stepped()
    with opt.ledger():
        places = []
        for _ in range(2):
            for p in params.values():
                give(p, np.ones(p.shape))
            opt.step()
            places.append([id(r.value) for r in opt._recorded.values()])
    assert places[0] == places[1]


def test_copies_of_an_optimizer_keep_their_ledger():
    opt, _ = stepped()
    assert str(copy.deepcopy(opt).explain("fc1.bias")) == str(opt.explain("fc1.bias"))


# --- Wrong use -----------------------------------------------------------------------------------


def test_names_that_are_not_known_list_those_that_are():
    opt, _ = stepped()
    with pytest.raises(
        errors.OptionError, match=r"did you mean 'fc1.weight'\?\n  known  fc1.weight \(4, 5\), .*scale \(\)"
    ):
        opt.explain("fc1.weigth", (0, 0))
    unnamed = optim.Adam([parameter(1.0)])
    with pytest.raises(errors.OptionError, match=r"model.named_parameters\(\)\n  known  0 \(1,\)"):
        unnamed.explain("fc1.weight")
    many = optim.Adam([(f"w{i}", parameter(1.0)) for i in range(25)])
    with pytest.raises(errors.OptionError, match="and 5 more"):
        many.explain("nothing like it")


@pytest.mark.parametrize(
    "index", [(4, 0), (0, 5), (-5, 0), (0,), (0, 0, 0), 3, (), (0.0, 1), "ab", (None, 1)]
)
def test_indices_that_name_no_entry(index):
    opt, _ = stepped()
    with pytest.raises(errors.IndexingError, match=r"Adam.explain: [\s\S]*fc1.weight[\s\S]*index"):
        opt.explain("fc1.weight", index)


def test_before_the_first_step():
    p = parameter(1.0)
    opt = optim.Adam([("w", p)])
    with pytest.raises(errors.StateError, match="has not taken a step yet"):
        opt.explain("w", 0)
    give(p, 1.0)
    opt.step()
    with pytest.raises(errors.StateError, match=r"no step of the parameter was recorded; [\s\S]*steps +1"):
        opt.explain("w")


def test_a_parameter_without_a_gradient_has_no_step():
    a, b = parameter(1.0), parameter(2.0)
    opt = optim.Adam([("a", a), ("b", b)])
    give(a, 1.0)
    with opt.ledger():
        opt.step()
    assert opt.explain("a", 0).step == 1
    with pytest.raises(errors.StateError, match="has not taken a step yet"):
        opt.explain("b", 0)


def test_an_optimizer_of_ones_own_is_refused_by_name():
    class Mine(optim.SGD):
        @staticmethod
        def update(xp, param, grad, *, lr, **scalars):
            param -= lr * grad

    with pytest.raises(errors.OptionError, match=r"Mine\.explain: this optimizer has no ledger"):
        Mine([("w", parameter(1.0))]).explain("w")


def test_quantities_that_a_ledger_has_not():
    opt, _ = stepped(optim.SGD)
    with pytest.raises(errors.OptionError, match="unknown quantity 'm_hat'"):
        opt.explain("scale", ())["m_hat"]
    with pytest.raises(errors.OptionError, match="unknown quantity 'snr'"):
        opt.explain("scale")["snr"]


def test_zeros_are_shown_as_they_are():
    p = parameter(0.0)
    opt = optim.Adam([("w", p)], eps=0.0)
    give(p, 0.0)
    with opt.ledger(), np.errstate(all="ignore"):
        opt.step()
    assert math.isnan(opt.explain("w", 0)["snr"])
    assert "nan" in str(opt.explain("w"))
