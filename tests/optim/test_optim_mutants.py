"""The closed forms of the optimizers prove that they can fail: every wrong update must be caught.

Every reference kernel, and every function that computes its scalars, is broken in all the ways of
`mutation`, and in those that people get wrong. A mutant that computes the same as the original is listed
with the reason.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import pytest
from mutation import broken, caught, compiled, running
from optim_cases import ROWS, check_closed_form
from optim_kernels import UPDATES

import tinygrad_adam as tg
from tinygrad_adam.optim import nadam, radam

ARRAYS = {
    "param",
    "grad",
    *(name for row in ROWS.values() for name in row.cls.moment_names),
    "value",
    "a",
    "second",
}


@dataclass(frozen=True)
class Target:
    """A function that updates depend on, and the optimizers whose closed forms must notice."""

    name: str
    function: Callable[..., Any]
    users: tuple[str, ...]

    @property
    def tree(self) -> ast.FunctionDef:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(self.function))).body
        assert isinstance(tree, ast.FunctionDef)
        return tree


def functions_of(module: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield what a module defines itself, without what its functions are wrapped in."""
    for name, value in vars(module).items():
        function = inspect.unwrap(value) if callable(value) else None
        if inspect.isfunction(function) and function.__module__ == module.__name__:
            yield name, function


def targets() -> Iterator[Target]:
    everyone = tuple(ROWS)
    for name, update in UPDATES.items():
        if name != "sparse_adam":  # which test_sparse_adam.py breaks
            yield Target(name, update, tuple(user for user, row in ROWS.items() if row.cls.update is update))
    for module in (nadam, radam):
        for name, function in functions_of(module):
            yield Target(name, function, everyone)
    methods = {row.cls.scalars: row.cls.__qualname__ for row in reversed(ROWS.values())}
    for function, name in methods.items():
        users = tuple(user for user, row in ROWS.items() if row.cls.scalars is function)
        yield Target(f"{name}.scalars", function, users)


@cache
def checks_for(users: tuple[str, ...]) -> list[Callable[[], None]]:
    return [partial(check_closed_form, name, options) for name in users for options in ROWS[name].options]


def is_caught(target: Target, mutant: ast.FunctionDef) -> bool:
    """Tell whether a closed form fails with the mutant in place."""
    nadam._products.cache_clear()
    try:
        with running(target.function, compiled(mutant, target.function)), tg.use_kernels("reference"):
            return caught(checks_for(target.users))
    finally:
        nadam._products.cache_clear()


TARGETS = {target.name: target for target in targets()}

SAME = "the same number"
END = "the products end where they are too small to matter"
WRAPPED = "only the code of a function is exchanged, not its defaults and decorators"

COUPLED = "scale * grad + l2 * param if l2 else scale * grad -> scale * grad + l2 * param"
EQUIVALENT = {
    **{
        (name, COUPLED): "0 times a finite parameter adds nothing; test_optim_rules.py has an infinite one"
        for name in TARGETS
        if "l2 * param if l2" in inspect.getsource(TARGETS[name].function)
    },
    **{
        ("rprop", label): "only the signs count"
        for label in ("scale * grad -> grad", "xp.sign(grad) -> grad", "xp.sign(last) -> last")
    },
    ("lion", "scale * grad -> grad"): "a scale that stays does not change the sign of the blend",
    ("rmsprop", "alpha * mean + (1 - alpha) * grad -> alpha * mean - (1 - alpha) * grad"): (
        "only the square of the mean is used"
    ),
    (
        "rmsprop",
        "xp.maximum(v - mean * mean, 0) -> v - mean * mean",
    ): "only rounding makes a variance negative; test_optim_rules.py has such gradients",
    ("_products", "tuple(products) -> products"): "a list is only less safe to share",
    ("_products", "maxsize=16: 16 -> 17"): WRAPPED,
    (
        "_products",
        "math.ceil(math.log(1e-17) / math.log(beta1)) if beta1 else 1: 1 -> 2",
    ): "with a beta of 0 all products are 0",
    ("_products", "count + 1 -> count - 1"): END,
    ("_products", "count + 1 -> count"): END,
    ("_products", "count + 1: 1 -> 2"): END,
    ("rectification", "length <= 5.0 -> length < 5.0"): "no length is exactly 5",
    ("AdaBound.scalars", "1.0 / (progress + 1.0) -> 1 / (progress + 1.0)"): SAME,
    ("AdaBound.scalars", "1.0 / progress -> 1 / progress"): SAME,
}
"""Mutants, by target and description, that compute the same as the original, and why."""


def test_every_optimizer_is_broken():
    for row in ROWS.values():
        functions = {target.function for target in TARGETS.values()}
        assert {row.cls.scalars, row.cls.update} <= functions


@pytest.mark.parametrize("name", TARGETS)
def test_some_wrong_updates_are_caught(name):
    target = TARGETS[name]
    mutants = [each for each in broken(target.tree, ARRAYS) if (name, each[0]) not in EQUIVALENT]
    for label, mutant in mutants[:: max(1, len(mutants) // 2)]:  # the first and one or two more
        assert is_caught(target, mutant), label


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_wrong_updates_are_caught(name):
    target = TARGETS[name]
    assert not is_caught(target, target.tree)
    survivors = {label for label, mutant in broken(target.tree, ARRAYS) if not is_caught(target, mutant)}
    assert survivors == {label for where, label in EQUIVALENT if where == name}


# --- What people get wrong -----------------------------------------------------------------------

CORRECTIONS = "1.0 - beta1**t, 1.0 - beta2**t"
M, M_HAT = "m[...] = beta1 * m + (1 - beta1) * grad", "m_hat = m / correction1"
V, V_HAT = "v[...] = beta2 * v + (1 - beta2) * (grad * grad)", "v_hat = v / correction2"
DIVISOR = "(xp.sqrt(v_hat + eps_root) + eps)"
MAXIMUM = "xp.maximum(v_max, v_hat if corrected_max else v, out=v_max)"
STEP = f"param -= lr * (m_hat / {DIVISOR})"
MISTAKES = {
    "adam: no power of t in the correction": ("Adam.scalars", CORRECTIONS, "1.0 - beta1, 1.0 - beta2"),
    "adam: the corrections one step late": (
        "Adam.scalars", CORRECTIONS, "1.0 - beta1 ** (t + 1), 1.0 - beta2 ** (t + 1)",
    ),
    "adam: beta times t": ("Adam.scalars", CORRECTIONS, "1.0 - beta1 * t, 1.0 - beta2 * t"),
    "adam: eps inside the root": ("adam", DIVISOR, "xp.sqrt(v_hat + eps_root + eps)"),
    "adam: the square of eps inside the root": ("adam", DIVISOR, "xp.sqrt(v_hat + eps_root + eps**2)"),
    "adam: the greater of root and eps": ("adam", DIVISOR, "xp.maximum(xp.sqrt(v_hat + eps_root), eps)"),
    "adam: no root": ("adam", "xp.sqrt(v_hat + eps_root)", "(v_hat + eps_root)"),
    "adam: the new value weighed with beta": ("adam", "(1 - beta1) * grad", "beta1 * grad"),
    "adam: the average not of one": ("adam", "(1 - beta2) * (grad * grad)", "grad * grad"),
    "adam: first correction missing": ("adam", M_HAT, "m_hat = m"),
    "adam: second correction missing": ("adam", V_HAT, "v_hat = v"),
    "adam: corrections exchanged": ("adam", M_HAT, "m_hat = m / correction2"),
    "adam: corrections squared": ("adam", V_HAT, "v_hat = v / correction2**2"),
    "adam: gradient in place of the mean": ("adam", "(m_hat / (", "(grad / ("),
    "adam: absolute value in place of the square": ("adam", "(grad * grad)", "xp.abs(grad)"),
    "adam: square of the mean": ("adam", "(grad * grad)", "(m * m)"),
    "adam: second moment before the decay is added": ("adam", "(grad * grad)", "(grad - l2 * param) ** 2"),
    "adam: decay after the step": ("adam", STEP, f"param /= shrink; {STEP}; param *= shrink"),
    "adam: amsgrad overwrites the moment": ("adam", "out=v_max)", "out=v_max); v[...] = v_max"),
    "adam: amsgrad with the minimum": ("adam", "xp.maximum", "xp.minimum"),
    "adam: amsgrad always before the correction": ("adam", MAXIMUM, "xp.maximum(v_max, v, out=v_max)"),
    "adam: amsgrad always after the correction": ("adam", MAXIMUM, "xp.maximum(v_max, v_hat, out=v_max)"),
    "adam: eps always outside": ("Adam.scalars", 'place == "hat"', "False"),
    "adam: eps hat corrected without the root": ("Adam.scalars", "math.sqrt(correction2)", "correction2"),
    "adam: eps hat corrected by the first": (
        "Adam.scalars", "math.sqrt(correction2)", "math.sqrt(correction1)",
    ),
    "adam: decay of beta in the correction": (
        "Adam.scalars", "1.0 - beta1**t", '1.0 - (beta1 * group["beta1_decay"] ** (t - 1)) ** t',
    ),
    "adam: learning rate decayed once": (
        "Adam.scalars", '1.0 + group["lr_decay"] * (t - 1)', '1.0 + group["lr_decay"] * (t > 1)',
    ),
    "adam: coupled decay": ("Adam.scalars", "1.0 - lr * decay if decoupled", "1.0 - lr * decay if False"),
    "adam: decoupled decay always": ("Adam.scalars", "0.0 if decoupled", "0.0 if True"),
    "adam: decoupled decay without lr": ("Adam.scalars", "1.0 - lr * decay", "1.0 - decay"),
    "adamax: eps beside the norm": ("adamax", "xp.abs(grad) + eps", "xp.abs(grad)"),
    "adamax: gradient not absolute": ("adamax", "xp.abs(grad)", "grad"),
    "nadam: momentum of the present step for the mean": ("NAdam.scalars", "lr * following", "lr * now"),
    "nadam: product without the next momentum": ("NAdam.scalars", "product * following", "product"),
    "radam: momentum without the correction": ("RAdam.scalars", "lr / (1.0 - beta1**t)", "lr"),
    "radam: threshold of the paper": ("rectification", "length <= 5.0", "length <= 4.0"),
    "adabound: bounds do not follow the learning rate": (
        "AdaBound.scalars", 'group["final_lr"] * lr / group["base_lr"]', 'group["final_lr"]',
    ),
    "adabound: mean within the bounds": (
        "adabound",
        "xp.clip(lr / (xp.sqrt(v) + eps), lower, upper) * m",
        "xp.clip(lr / (xp.sqrt(v) + eps) * m, lower, upper)",
    ),
    "adabelief: gradient less the mean before": (
        "adabelief", f"{M}\n    missed = grad - m", f"missed = grad - m; {M}",
    ),
    "adabelief: eps not kept in the moment": (
        "adabelief",
        "(missed * missed) + eps\n    param -= lr * ((m / correction1) / (xp.sqrt(s / correction2) + eps))",
        "(missed * missed)\n    param -= lr * ((m / correction1) / (xp.sqrt((s + eps) / correction2) + eps))",
    ),
    "lion: mean updated first": (
        "lion", "param -= lr *", "m[...] = beta2 * m + (1 - beta2) * grad; param -= lr *",
    ),
    "lion: betas exchanged": ("lion", "beta1 * m + (1 - beta1)", "beta2 * m + (1 - beta2)"),
    "sgd: first velocity dampened": ("SGD.scalars", "1.0 if t == 1 else 1.0", "1.0"),
    "sgd: never dampened": ("SGD.scalars", '1.0 - group["dampening"]', "1.0"),
    "sgd: Nesterov without the gradient": ("sgd", "grad + momentum * velocity if", "momentum * velocity if"),
    "adagrad: average in place of the sum": (
        "adagrad", "total += grad * grad", "total[...] = 0.9 * total + 0.1 * grad * grad",
    ),
    "adagrad: start within the root": (
        "adagrad", "(xp.sqrt(total + initial) + eps)", "(xp.sqrt(total) + eps + initial)",
    ),
    "adadelta: steps before their size is known": (
        "adadelta", "xp.sqrt(moved + eps)", "xp.sqrt(rho * moved + (1 - rho) * grad * grad + eps)",
    ),
    "rmsprop: centered without the square": ("rmsprop", "mean * mean", "mean"),
    "rmsprop: learning rate within the velocity": (
        "rmsprop", "change = velocity\n    param -= lr * change", "change = velocity\n    param -= change",
    ),
}  # fmt: skip


@pytest.mark.parametrize("label", MISTAKES)
def test_mistakes_are_caught(label):
    name, old, new = MISTAKES[label]
    target = TARGETS[name]
    source = textwrap.dedent(inspect.getsource(target.function))
    assert source.count(old) == 1, f"the mistake no longer fits the source: {old}"
    (tree,) = ast.parse(source.replace(old, new)).body
    assert isinstance(tree, ast.FunctionDef)
    assert is_caught(target, tree)
