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

import tinygrad_adam as tg
from tinygrad_adam.kernels import reference_optim
from tinygrad_adam.optim import adaptive, nadam, radam

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
    for name, function in functions_of(reference_optim):
        # No update depends on all_finite; test_sparse_adam.py breaks the other.
        if name not in ("all_finite", "sparse_adam"):
            users = tuple(user for user, row in ROWS.items() if row.cls.kernel == name)
            yield Target(name, function, users or everyone)
    for module in (adaptive, nadam, radam):
        for name, function in functions_of(module):
            yield Target(name, function, everyone)
    methods = {row.cls._scalars: row.cls.__qualname__ for row in reversed(ROWS.values())}
    for function, name in methods.items():
        users = tuple(user for user, row in ROWS.items() if row.cls._scalars is function)
        yield Target(f"{name}._scalars", function, users)


@cache
def checks_for(users: tuple[str, ...]) -> list[Callable[[], None]]:
    return [partial(check_closed_form, name, options) for name in users for options in ROWS[name].options]


def is_caught(target: Target, mutant: ast.FunctionDef) -> bool:
    """Tell whether a closed form fails with the mutant in place."""
    nadam.momentum_products.cache_clear()
    try:
        with running(target.function, compiled(mutant, target.function)), tg.use_kernels("reference"):
            return caught(checks_for(target.users))
    finally:
        nadam.momentum_products.cache_clear()


TARGETS = {target.name: target for target in targets()}

SAME = "the same number"
END = "the products end where they are too small to matter"
WRAPPED = "only the code of a function is exchanged, not its defaults and decorators"

EQUIVALENT = {
    ("_gradient", "scale != 1: 1 -> 2"): "the branch for 1 saves time only, and no case divides by 1 / 2",
    (
        "_divided",
        "xp: Any, a: Any, second: Any, ... float, eps_root: float=0.0: 0.0 -> 1.0",
    ): WRAPPED,
    ("lion", "_gradient(param, grad, scale, l2): param -> grad"): "the l2 of Lion is 0",
    ("lion", "_gradient(param, grad, scale, l2): param -> m"): "the l2 of Lion is 0",
    (
        "rmsprop",
        "xp.maximum(v - mean * mean, 0) -> v - mean * mean",
    ): "only rounding makes a variance negative; test_optim_rules.py has such gradients",
    ("momentum_products", "tuple(products) -> products"): "a list is only less safe to share",
    ("momentum_products", "maxsize=16: 16 -> 17"): WRAPPED,
    (
        "momentum_products",
        "math.ceil(math.log(1e-17) / math.log(beta1)) if beta1 else 1: 1 -> 2",
    ): "with a beta of 0 all products are 0",
    ("momentum_products", "count + 1 -> count - 1"): END,
    ("momentum_products", "count + 1 -> count"): END,
    ("momentum_products", "count + 1: 1 -> 2"): END,
    ("rectification", "length <= 5.0 -> length < 5.0"): "no length is exactly 5",
    ("AdaBound._scalars", "1.0 / (progress + 1.0) -> 1 / (progress + 1.0)"): SAME,
    ("AdaBound._scalars", "1.0 / progress -> 1 / progress"): SAME,
}
"""Mutants, by target and description, that compute the same as the original, and why."""


def test_every_optimizer_is_broken():
    for row in ROWS.values():
        functions = {target.function for target in TARGETS.values()}
        assert {row.cls._scalars, getattr(reference_optim, row.cls.kernel)} <= functions


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

M_HAT, V_HAT = "m_hat = m / correction1", "v_hat = v / correction2"
MAXIMUM = "xp.maximum(v_max, v_hat if corrected_max else v, out=v_max)"
MISTAKES = {
    "no power of t in the correction": ("bias_correction", "beta**step", "beta"),
    "the correction one step late": ("bias_correction", "beta**step", "beta ** (step + 1)"),
    "beta times t": ("bias_correction", "beta**step", "beta * step"),
    "eps inside the root": (
        "_divided",
        "(xp.sqrt(second + eps_root) + eps)",
        "xp.sqrt(second + eps_root + eps)",
    ),
    "the square of eps inside the root": (
        "_divided",
        "(xp.sqrt(second + eps_root) + eps)",
        "xp.sqrt(second + eps_root + eps**2)",
    ),
    "the greater of root and eps": (
        "_divided",
        "(xp.sqrt(second + eps_root) + eps)",
        "xp.maximum(xp.sqrt(second + eps_root), eps)",
    ),
    "no root": ("_divided", "xp.sqrt(second + eps_root)", "second + eps_root"),
    "the new value weighed with beta": ("_average", "(1 - beta) * value", "beta * value"),
    "the average not of one": ("_average", "mean += (1 - beta) * value", "mean += value"),
    "adam: first correction missing": ("adam", M_HAT, "m_hat = m"),
    "adam: second correction missing": ("adam", V_HAT, "v_hat = v"),
    "adam: corrections exchanged": ("adam", M_HAT, "m_hat = m / correction2"),
    "adam: corrections squared": ("adam", V_HAT, "v_hat = v / correction2**2"),
    "adam: gradient in place of the mean": ("adam", "xp, m_hat, v_hat", "xp, grad, v_hat"),
    "adam: absolute value in place of the square": (
        "adam",
        "_average(v, grad * grad",
        "_average(v, xp.abs(grad)",
    ),
    "adam: square of the mean": ("adam", "_average(v, grad * grad", "_average(v, m * m"),
    "adam: second moment before the decay is added": (
        "adam",
        "_average(v, grad * grad",
        "_average(v, (grad - l2 * param) ** 2",
    ),
    "adam: decay after the step": (
        "adam",
        "param -= lr * _divided(xp, m_hat, v_hat, eps, eps_root)",
        "param /= shrink; param -= lr * _divided(xp, m_hat, v_hat, eps, eps_root); param *= shrink",
    ),
    "adam: amsgrad overwrites the moment": ("adam", "out=v_max)", "out=v_max); v[...] = v_max"),
    "adam: amsgrad with the minimum": ("adam", "xp.maximum", "xp.minimum"),
    "adam: amsgrad always before the correction": ("adam", MAXIMUM, "xp.maximum(v_max, v, out=v_max)"),
    "adam: amsgrad always after the correction": ("adam", MAXIMUM, "xp.maximum(v_max, v_hat, out=v_max)"),
    "adam: eps always outside": ("Adam._scalars", 'place == "hat"', "False"),
    "adam: eps hat corrected without the root": ("Adam._scalars", "math.sqrt(correction2)", "correction2"),
    "adam: eps hat corrected by the first": (
        "Adam._scalars",
        "math.sqrt(correction2)",
        "math.sqrt(correction1)",
    ),
    "adam: decay of beta in the correction": (
        "Adam._scalars",
        "bias_correction(beta1, step)",
        "bias_correction(beta1 * settings['beta1_decay'] ** (step - 1), step)",
    ),
    "adam: learning rate decayed once": (
        "decayed_lr",
        "1.0 + lr_decay * (step - 1)",
        "1.0 + lr_decay * (step > 1)",
    ),
    "coupled decay": ("weight_decay_scalars", 'if settings["decoupled_weight_decay"]', "if False"),
    "decoupled decay always": ("weight_decay_scalars", 'if settings["decoupled_weight_decay"]', "if True"),
    "decoupled decay without lr": ("weight_decay_scalars", "1.0 - lr * settings", "1.0 - settings"),
    "adamax: eps beside the norm": ("adamax", "xp.abs(grad) + eps", "xp.abs(grad)"),
    "adamax: gradient not absolute": ("adamax", "xp.abs(grad)", "grad"),
    "nadam: momentum of the present step for the mean": ("NAdam._scalars", "lr * following", "lr * now"),
    "nadam: product without the next momentum": ("NAdam._scalars", "product * following", "product"),
    "radam: momentum without the correction": ("RAdam._scalars", "lr / bias_correction(beta1, step)", "lr"),
    "radam: threshold of the paper": ("rectification", "length <= 5.0", "length <= 4.0"),
    "adabound: bounds do not follow the learning rate": (
        "AdaBound._scalars",
        'settings["final_lr"] * settings["lr"] / settings["base_lr"]',
        'settings["final_lr"]',
    ),
    "adabound: mean within the bounds": (
        "adabound",
        "xp.clip(_divided(xp, lr, v, eps), lower, upper) * m",
        "xp.clip(_divided(xp, lr, v, eps) * m, lower, upper)",
    ),
    "adabelief: gradient less the mean before": (
        "adabelief",
        "_average(m, grad, beta1)\n    missed = grad - m",
        "missed = grad - m; _average(m, grad, beta1)",
    ),
    "adabelief: eps not kept in the moment": (
        "adabelief",
        "s += eps\n    param -= lr * _divided(xp, m / correction1, s / correction2, eps)",
        "param -= lr * _divided(xp, m / correction1, (s + eps) / correction2, eps)",
    ),
    "lion: mean updated first": (
        "lion",
        "param -= lr *",
        "_average(m, grad, beta2); param -= lr *",
    ),
    "lion: betas exchanged": ("lion", "beta1 * m + (1 - beta1)", "beta2 * m + (1 - beta2)"),
    "sgd: first velocity dampened": ("SGD._scalars", "1.0 if step == 1 else 1.0", "1.0"),
    "sgd: never dampened": ("SGD._scalars", '1.0 - settings["dampening"]', "1.0"),
    "sgd: Nesterov without the gradient": ("sgd", "grad + momentum * velocity if", "momentum * velocity if"),
    "adagrad: average in place of the sum": (
        "adagrad",
        "total += grad * grad",
        "_average(total, grad * grad, 0.9)",
    ),
    "adagrad: start within the root": (
        "adagrad",
        "lr * _divided(xp, grad, total, eps, initial)",
        "lr * _divided(xp, grad, total, eps + initial)",
    ),
    "adadelta: steps before their size is known": (
        "adadelta",
        "xp.sqrt(moved + eps)",
        "xp.sqrt(rho * moved + (1 - rho) * grad * grad + eps)",
    ),
    "rmsprop: centered without the square": ("rmsprop", "mean * mean", "mean"),
    "rmsprop: learning rate within the velocity": (
        "rmsprop",
        "change = velocity\n    param -= lr * change",
        "change = velocity\n    param -= change",
    ),
}


@pytest.mark.parametrize("label", MISTAKES)
def test_mistakes_are_caught(label):
    name, old, new = MISTAKES[label]
    target = TARGETS[name]
    source = textwrap.dedent(inspect.getsource(target.function))
    assert source.count(old) == 1, f"the mistake no longer fits the source: {old}"
    (tree,) = ast.parse(source.replace(old, new)).body
    assert isinstance(tree, ast.FunctionDef)
    assert is_caught(target, tree)
