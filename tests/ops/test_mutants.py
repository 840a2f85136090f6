"""The gradient checker proves that it can fail: every wrong rule must be caught by some case.

Each rule, and each function that only rules call, is read as a syntax tree and broken in every
way listed in `mutation.replacements`: a sign, a factor, a term, a constant, an axis, a branch. The broken
code takes the place of the original in its function object, so whatever holds the function runs
it, and the checks of the table must raise. A mutant that computes the same as the original, so
that nothing could catch it, is listed with the reason.
"""

from __future__ import annotations

import ast
import copy
import inspect
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from cases import (
    CASES,
    Case,
    check_first_derivative,
    check_reserved_places,
    check_second_derivative,
    exercised,
    outputs_of,
)
from mutation import Definition, broken, caught, compiled, running

import tinygrad_adam as tg
from tinygrad_adam.engine import backward, graph
from tinygrad_adam.engine.graph import PRIMITIVES as REGISTERED
from tinygrad_adam.kernels import cpu, cuda

# --- What there is to break ------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """A function that gradients depend on, and the primitives whose checks must notice.

    Forward rules that kernels override are targets, too; `kernels` says that the reference set must be in
    use for them to be called.
    """

    name: str
    function: Callable[..., Any]
    tree: ast.Lambda | ast.FunctionDef
    primitives: frozenset[str]
    kernels: str = "fast"


PRIMITIVES = dict(REGISTERED)  # before examples in docstrings, when they run, add theirs
ARRAYS = {"g", "y"} | {name for each in PRIMITIVES.values() for name in each.inputs}
OVERRIDDEN = set(" ".join([*cpu.KERNELS.values(), *cuda.KERNELS.values()]).split())
"""The names of primitives whose forward rule is replaced by a kernel, unless the reference set is in use."""


@cache
def parsed(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(sys.modules[module]))


def names_in(*trees: ast.AST) -> Counter[str]:
    return Counter(n.id for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Name))


def definitions(module: str) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in parsed(module).body if isinstance(node, ast.FunctionDef)}


def rules_of(module: str) -> Iterator[tuple[str, str, Definition]]:
    """Yield (primitive, input, rule) for each rule that the module's source gives."""
    known = definitions(module)
    for node in known.values():
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "primitive":
                for keyword in decorator.keywords:
                    if isinstance(keyword.value, ast.Lambda):
                        yield node.name, str(keyword.arg), keyword.value
                    elif isinstance(keyword.value, ast.Name):
                        yield node.name, str(keyword.arg), known[keyword.value.id]


def called_only_from(module: str, callers: list[Definition]) -> list[ast.FunctionDef]:
    """List the module's plain functions that nothing but `callers`, or one another, mentions."""
    public = getattr(sys.modules[module], "__all__", ())  # these may name themselves, where they refuse
    helpers = [
        node for name, node in definitions(module).items() if not node.decorator_list and name not in public
    ]
    everywhere = names_in(parsed(module))
    while True:
        trees = {id(tree): tree for tree in [*callers, *helpers]}.values()
        inside = names_in(*trees)
        remaining = [node for node in helpers if 0 < inside[node.name] == everywhere[node.name]]
        if remaining == helpers:
            return helpers
        helpers = remaining


def targets() -> list[Target]:
    found: list[Target] = []
    for module in sorted({primitive.__module__ for primitive in PRIMITIVES.values()}):
        users: dict[int, set[str]] = {}
        rules: dict[int, tuple[str, Callable[..., Any], Definition]] = {}
        for name, input_name, tree in rules_of(module):
            function = PRIMITIVES[name].rules[input_name].function
            label = f"{name}.{input_name}" if isinstance(tree, ast.Lambda) else function.__name__
            rules[id(tree)] = (label, function, tree)
            users.setdefault(id(tree), set()).add(name)
        found += [Target(*rule, frozenset(users[key])) for key, rule in rules.items()]
        trees = [tree for _, _, tree in rules.values()]
        known = set(definitions(module))
        for helper in called_only_from(module, trees):
            if id(helper) not in rules:
                primitives = {
                    name
                    for key, (_, _, tree) in rules.items()
                    if helper.name in reachable(tree, module, known)
                    for name in users[key]
                }
                function = getattr(sys.modules[module], helper.name)
                found.append(Target(helper.name, function, helper, frozenset(primitives)))
    rules_only = list(found)
    for name, primitive in PRIMITIVES.items():
        if primitive.name in OVERRIDDEN:
            users_of = {p for t in rules_only if name in names_in(t.tree) for p in t.primitives}
            tree = copy.copy(definitions(primitive.__module__)[name])
            tree.decorator_list = []  # rules of their own
            found.append(
                Target(f"{name}.forward", primitive.forward, tree, frozenset({name} | users_of), "reference")
            )
    return found


def reachable(tree: ast.AST, module: str, known: set[str]) -> set[str]:
    """Name the module's functions that `tree` calls, directly or not."""
    names: set[str] = set()
    new = set(names_in(tree)) & known
    while new - names:
        names |= new
        new = {n for name in new for n in names_in(definitions(module)[name])} & known
    return names


# --- Whether it is noticed ---------------------------------------------------------------------


def is_caught(target: Target, mutant: Definition, at_most: int | None = None) -> bool:
    """Tell whether a check of the table, or one of the first few, raises with the mutant in place."""
    checks = checks_for(target.primitives)
    with running(target.function, compiled(mutant, target.function)), tg.use_kernels(target.kernels):
        return caught(checks if at_most is None else checks[:at_most])


def cost(case: Case) -> tuple[bool, int]:
    """Order cases: the small ones first, but those without elements, which show nothing, last."""
    size = sum(array.size for array in case.arrays())
    return size == 0, size


def check_value(case: Case) -> None:
    """Compare the outputs with NumPy's."""
    wanted = outputs_of(case.expected(*case.arrays()))
    for out, value in zip(outputs_of(case.function(*case.tensors())), wanted, strict=True):
        np.testing.assert_allclose(out.data, value, rtol=1e-12, atol=1e-12)


@cache
def checks_for(primitives: frozenset[str]) -> list[Callable[[], None]]:
    """List the checks of all cases that go through one of the primitives."""
    checks: list[Callable[[], None]] = []
    for case in sorted((case for case in CASES if case.differentiable), key=cost):
        first, second = exercised(case)
        if primitives & first:
            checks += [partial(check_value, case), partial(check_first_derivative, case)]
            checks.append(partial(check_reserved_places, case))
        if primitives & second:
            checks.append(partial(check_second_derivative, case))
    return checks


# --- The test --------------------------------------------------------------------------------

TARGETS = targets()

NO_SLOPE = "the gradient is zero, whatever its sign"
TIE = "a tie is dealt with before this comparison"
ROWS = "the logits of this primitive are always two-dimensional, so axis 1 is axis -1"
FACTOR = "what divides a zero does not matter, as long as it is none itself"
INFINITE = "differs for an infinite gradient only; test_nonfinite.py checks those"
NOT_A_NUMBER = "differs for NaN only; test_nonfinite.py checks it"
POWER = "it is multiplied by b, which is zero wherever this number is used"
SCALAR = "the branch for numbers saves time only; the other one gives the same for them"
CENTERED = "one subtraction centers but for rounding, and equal elements have a test of their own"
TWO_DTYPES = "matters for a base of another dtype, which a test of its own has"
DTYPE = "the engine casts the gradient to the dtype of its input anyway"
ONE_DTYPE = "differs for inputs of two dtypes only; test_windows.py checks those"
SHARED = "x and the gradient have the same images and channels"
UNREAD = "what iterates over the places of a window does not read this size"
CHANNELS = "the reshape that follows splits the channels as well"
ORDER = "the order in memory saves time only"
BEYOND = "differs beside infinities and NaN only; test_selecting.py and test_losses.py check those"
BRANCH = "differs where the other branch is taken only"
KNOWN = "moments that are known save time only"
PRODUCT = "xp.matmul(a, b) if into is Non...e xp.matmul(a, b, out=into)"
LENGTH = "all of these have one length and one backend"

EQUIVALENT = {
    ("elu.a", "xp.minimum(a, 0): 0 -> 1"): "the exponential is used only where a is not positive",
    (
        "_leaky_relu_rule",
        "xp.where(a > 0, g, g * negativ...e_slope else relu_vjp(g, a) -> "
        "xp.where(a > 0, g, g * negative_slope)",
    ): BEYOND,
    ("_gelu_rule", "xp.clip(a, -_FAR, _FAR) -> a"): BEYOND,
    ("_gelu_tanh_rule", "xp.clip(a, -_FAR, _FAR) -> a"): BEYOND,
    ("_deviation", "away - mean(away, axis=axis, keepdims=True) -> away"): CENTERED,
    (
        "_deviation",
        "away - mean(away, axis=axis, keepdims=True) -> away + mean(away, axis=axis, keepdims=True)",
    ): CENTERED,
    ("_deviation", "a - mean(a, axis=axis, keepdims=True) -> a"): CENTERED,
    (
        "_deviation",
        "a - mean(a, axis=axis, keepdims=True) -> a + mean(a, axis=axis, keepdims=True)",
    ): CENTERED,
    ("_power_exponent_rule", "xp.zeros_like(y): y -> g"): TWO_DTYPES,
    ("_power_exponent_rule", "xp.zeros_like(y): y -> a"): TWO_DTYPES,
    ("_power_exponent_rule", "xp.zeros_like(y) + a -> a"): TWO_DTYPES,
    ("_power_base_rule", "isinstance(b, int | float): b -> g"): SCALAR,
    ("_power_base_rule", "isinstance(b, int | float): b -> a"): SCALAR,
    ("_power_base_rule", "xp.zeros_like(g): g -> a"): "zeros, which the engine fits to the input",
    ("_power_base_rule", "xp.zeros_like(g): g -> b"): "zeros, which the engine fits to the input",
    ("_power_base_rule", "xp.where((a == 0) * (b == 0), 1, a): 1 -> 2"): POWER,
    ("floor_divide.a", "negated"): NO_SLOPE,
    ("floor_divide.a", "zero"): NO_SLOPE,
    ("floor_divide.b", "negated"): NO_SLOPE,
    ("floor_divide.b", "zero"): NO_SLOPE,
    ("relu_vjp.output", "negated"): NO_SLOPE,
    ("relu_vjp.output", "zero"): NO_SLOPE,
    ("round.a", "negated"): NO_SLOPE,
    ("round.a", "zero"): NO_SLOPE,
    ("sign.a", "negated"): NO_SLOPE,
    ("sign.a", "zero"): NO_SLOPE,
    ("zeros_like.a", "negated"): NO_SLOPE,
    ("zeros_like.a", "zero"): NO_SLOPE,
    ("_gather_rule", "index.size: index -> _moved(index)"): "as many indices",
    ("_gather_rule", "-1: 1 -> 2"): "NumPy takes any negative size for the one to be found",
    ("maximum.a", "a < b -> a <= b"): TIE,
    ("maximum.b", "b < a -> b <= a"): TIE,
    ("minimum.a", "a > b -> a >= b"): TIE,
    ("minimum.b", "b > a -> b >= a"): TIE,
    (
        "_rows",
        "return a if a.ndim == 2 else x....shape[:-1]), a.shape[-1])) -> "
        "return -(a if a.ndim == 2 else...shape[:-1]), a.shape[-1])))",
    ): "both factors of the product are rows, and their signs cancel",
    (
        "_rows",
        "a if a.ndim == 2 else xp.resha....shape[:-1]), a.shape[-1])) -> "
        "xp.reshape(a, (math.prod(a.shape[:-1]), a.shape[-1]))",
    ): "a matrix is reshaped to its own shape",
    ("_vjp_g_rule", "logits.dtype: logits -> g"): DTYPE,
    ("_vjp_g_rule", "logits.dtype: logits -> labels"): DTYPE,
    ("_vjp_g_rule", "logits.shape: logits -> g"): "the gradient has the shape of the logits",
    ("_vjp_logits_rule", "logits.dtype: logits -> g"): DTYPE,
    ("_vjp_logits_rule", "logits.dtype: logits -> g_in"): DTYPE,
    ("_vjp_logits_rule", "logits.dtype: logits -> labels"): DTYPE,
    ("_vjp_logits_rule", "logits.shape: logits -> g"): "the gradient has the shape of the logits",
    ("_vjp_logits_rule", "-1: 1 -> 2"): "NumPy infers any negative size",
    (
        "_vjp_g_rule",
        "xp.where(row == 0, 0, row * (x...axis=1) - g[each, column])) -> "
        "row * (xp.sum(g * softmax(logi... axis=1) - g[each, column])",
    ): BEYOND,
    (
        "_vjp_logits_rule",
        "xp.where(row[:, None] == 0, 0,...p, axis=1, keepdims=True))) -> "
        "scale * p * (g - xp.sum(g * p, axis=1, keepdims=True))",
    ): BEYOND,
    ("_soft_cross_entropy.logits", "-1 -> 1"): ROWS,
    ("_soft_cross_entropy.logits", "-1 -> 1 #2"): ROWS,
    ("_soft_cross_entropy.q", "-1 -> 1"): ROWS,
    ("_nll_rule", "len(column): column -> g"): LENGTH,
    ("_nll_rule", "len(column): column -> row"): LENGTH,
    ("_nll_rule", "(column,): column -> g"): LENGTH,
    ("_nll_rule", "(column,): column -> row"): LENGTH,
    ("_mantissas", "xp.zeros_like(x) -> x"): "of Tensors, exponents are not read",
    **{
        (rule, label): reason
        for rule in ("_std_rule", "_norm_rule")
        for label, reason in [
            ("xp.where(y == 0, 1, y): 1 -> 2", FACTOR),
            ("xp.where(y == 0, 0, g) -> g", INFINITE),
            ("xp.where(y == 0, 0, g): 0 -> 1", FACTOR),
            ("y == 0: y -> g", INFINITE),
            ("y == 0: 0 -> 1", INFINITE),
        ]
    },
    ("_norm_rule", "xp.where(ratio == 0, 1, xp.abs(ratio)): 1 -> 2"): FACTOR,
    ("_extremum_rule", "ties == 0: 0 -> 1"): NOT_A_NUMBER,
    ("_extremum_rule", "xp.where(ties == 0, 1, ties) -> ties"): NOT_A_NUMBER,
    ("_extremum_rule", "xp.where(ties == 0, 1, ties): 1 -> 2"): NOT_A_NUMBER,
    ("_extremum_rule", "xp.where(extremum == extremum, 0, math.nan) -> 0"): NOT_A_NUMBER,
    ("_nll_rule", "xp.where(row == 0, 0, -g) -> -g"): BEYOND,
    ("_nll_rule", "xp.where(row == 0, 0, -g): 0 -> 1"): "it is multiplied by the row, which is 0 there",
    ("_nll_rule", "row == 0: row -> g"): "where g is 0, so is the product",
    ("_kl_div.input", "xp.where(target == 0, 0, -g) -> -g"): BEYOND,
    ("_kl_div.input", "xp.where(target == 0, 0, -g): 0 -> 1"): "it is multiplied by the target, 0 there",
    ("_kl_div.input", "target == 0: target -> g"): "where g is 0, so is the product",
    ("_cumsum_rule", "0 if axis is None else axis -> axis"): "a flat array has one axis: None is 0",
    ("_cumsum_rule", "axis is None: axis -> _moved(axis)"): "a flat array has one axis: None is 0",
    ("_kept", "keepdims or not shape -> not shape"): "what kept its axes is reshaped to its own shape",
    ("_shift", "(by, 0): 0 -> 1"): "what is added at the end is cut off",
    ("_transpose_rule", "len(axes): axes -> _moved(axes)"): "as many axes as before",
    ("_crop", "strict=True: True -> False"): "both have one entry for each axis",
    ("_opposite", "isinstance(shift, tuple | list): shift -> _moved(shift)"): "of the same type as before",
    ("_max_pool2d_vjp.x", "negated"): NO_SLOPE,
    ("_max_pool2d_vjp.x", "zero"): NO_SLOPE,
    ("_max_pool2d_gather.x", "negated"): NO_SLOPE,
    ("_max_pool2d_gather.x", "zero"): NO_SLOPE,
    **{
        (f"{name}.forward", f"xp.ascontiguousarray({cropped}) -> {cropped}"): ORDER
        for name, cropped in [
            ("_conv2d_input", "cropped(x, padding, size)"),
            ("_sum_pool2d_input", "cropped(x, padding, size)"),
            ("_max_pool2d_vjp", "cropped(total, padding, x.shape[2:])"),
        ]
    },
    ("_conv2d_input.forward", "_grouped(gy, 1, groups) -> gy"): CHANNELS,
    (
        "_standardize_vjp.forward",
        "moments or _moments(xp, x, axes) -> _moments(xp, x, axes)",
    ): KNOWN,
    ("_conv2d_input.forward", "xp.result_type(gy, weight): gy -> weight"): ONE_DTYPE,
    ("_conv2d_input.forward", "xp.result_type(gy, weight): weight -> gy"): ONE_DTYPE,
    ("_conv2d_weight.forward", "_grouped(gy, 1, groups) -> gy"): CHANNELS,
    ("_conv2d_weight.forward", "_grouped(x[place], 1, groups) -> x[place]"): CHANNELS,
    ("_conv2d_weight.forward", "xp.result_type(x, gy): x -> gy"): ONE_DTYPE,
    ("_conv2d_weight.forward", "xp.result_type(x, gy): gy -> x"): ONE_DTYPE,
    ("_conv2d_weight.forward", "len(x): x -> gy"): SHARED,
    ("_conv2d_weight.forward", "x.shape: x -> gy"): UNREAD,
    ("_conv2d_weight.forward", "2:: 2 -> 3 #2"): UNREAD,
    ("_conv2d_weight.forward", "-2 -> 2"): "of four axes, the last but one",
    ("_max_pool2d_vjp.forward", "x.shape: x -> a #3"): SHARED,
    ("_max_pool2d_vjp.forward", "a.dtype: a -> x"): ONE_DTYPE,
    ("_max_pool2d_gather.forward", "a.dtype: a -> x"): ONE_DTYPE,
    ("_max_pool2d_gather.forward", "a.shape: a -> x"): UNREAD,
    ("_max_pool2d_gather.forward", "2:: 2 -> 3"): UNREAD,
    (
        "_softmax_cross_entropy_vjp.forward",
        "xp.where(row[:, None] == 0, 0, p * (g_in * row)[:, None]) -> p * (g_in * row)[:, None]",
    ): BEYOND,
    ("_softmax_cross_entropy_vjp.forward", "logits.dtype: logits -> g_in"): DTYPE,
    ("_softmax_cross_entropy_vjp.forward", "logits.dtype: logits -> labels"): DTYPE,
    **{
        ("erf.forward", label): reason
        for label, reason in [
            ("xp.minimum(size, 0.46875) -> size", BRANCH),
            ("xp.minimum(size, 0.46875): 0.46875 -> 1.46875", BRANCH),
            ("size <= 0.46875 -> size < 0.46875", "both approximations hold there"),
            ("xp.clip(size, 0.46875, 6.0) -> size", BRANCH),
            ("xp.clip(size, 0.46875, 6.0): 6.0 -> 7.0", "erf is 1 from 6 on"),
            ("xp.where(xp.isnan(a), a, xp.sign(a) * value) -> xp.sign(a) * value", "NaN makes NaN anyway"),
        ]
    },
    ("dropout.forward", "1.0 / (1.0 - p) -> 1 / (1.0 - p)"): "the same number",
    ("dropout.forward", "xp.uint64(32) -> 32"): "NumPy takes Python's integers, too",
    ("dropout.forward", "xp.uint64(dropout_threshold(p)) -> dropout_threshold(p)"): "likewise",
    (
        "dropout.forward",
        "random_bits(xp, key, a.size) >...int64(dropout_threshold(p)) -> "
        "random_bits(xp, key, a.size) >...int64(dropout_threshold(p)) #2",
    ): "no word of these is just at the threshold; test_cuda_kernels.py has one",
    ("channel_products.forward", "all_but_channels(a): a -> b"): "of one shape",
    ("scale_channels.forward", "-1: 1 -> 2"): "NumPy infers any negative size",
    ("_standardize.forward", "moments or _moments(xp, x, axes) -> _moments(xp, x, axes)"): KNOWN,
    ("_sum_pool2d.forward", "2:: 2 -> 3"): UNREAD,
    ("_matmul.forward", f"{PRODUCT} -> xp.matmul(a, b, out=into)"): "NumPy makes an array for no place",
    ("_matmul.forward", f"{PRODUCT} -> xp.matmul(a, b)"): "the engine puts what is elsewhere into its place",
    ("_softmax_cross_entropy.forward", "logits.dtype: logits -> labels"): DTYPE,
    (
        "_softmax_cross_entropy.forward",
        "require_in_range('cross_entrop...its.shape[1], ignore_index) -> 'cross_entropy'",
    ): "labels out of range are refused; test_losses.py checks it",
    (
        "_softmax_cross_entropy.forward",
        "xp.where(xp.any(row != 0), xp.sum(losses), math.nan) -> xp.sum(losses)",
    ): "differs where nothing counts; test_losses.py checks it",
    (
        "_softmax_cross_entropy.forward",
        "xp.where(row == 0, 0, log_sum ...ange(len(column)), column]): 0 -> 1",
    ): "it is multiplied by the row, which is 0 there",
    (
        "_softmax_cross_entropy.forward",
        "xp.where(row == 0, 0, log_sum ...ange(len(column)), column]) -> "
        "log_sum - shifted[xp.arange(len(column)), column]",
    ): BEYOND,
    **{
        ("_conv2d.forward", f"xp.result_type(x, weight): {old} -> {new}"): ONE_DTYPE
        for old, new in [("x", "weight"), ("x", "bias"), ("weight", "x"), ("weight", "bias")]
    },
    ("_conv2d.forward", "x.shape: x -> weight #2"): UNREAD,
    ("_conv2d.forward", "2:: 2 -> 3 #3"): UNREAD,
    ("_conv2d.forward", "_grouped(x[place], 1, groups) -> x[place]"): CHANNELS,
    ("_mixed.forward", "strict=True: True -> False"): "pairs all of them",
    ("_mixed.forward", "xp.asarray(places) -> places"): "NumPy takes a list, too",
    ("_mixed.forward", "xp.asarray(held) -> held"): "likewise",
    ("_mixed.forward", "-1: 1 -> 2"): "NumPy infers any negative size",
    ("_mixed.forward", "taps[p][k]: k -> _moved(k)"): "the same pairs, the last one first",
}
"""Mutants, by target and description, that compute the same as the original, and why."""


def test_every_rule_is_a_target():
    broken_functions = {target.function for target in TARGETS}
    for name, primitive in PRIMITIVES.items():
        for input_name, rule in primitive.rules.items():
            assert rule.function in broken_functions, (name, input_name)


@pytest.mark.parametrize("target", TARGETS[::3], ids=lambda target: target.name)
def test_some_wrong_rules_are_caught(target):
    mutants = [each for each in broken(target.tree, ARRAYS) if (target.name, each[0]) not in EQUIVALENT]
    for label, mutant in mutants[:: max(1, len(mutants) // 2)]:  # the first and one or two more
        assert is_caught(target, mutant), label


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_wrong_rules_are_caught(target):
    assert not is_caught(target, target.tree, at_most=6)
    survivors = {label for label, mutant in broken(target.tree, ARRAYS) if not is_caught(target, mutant)}
    assert survivors == {label for name, label in EQUIVALENT if name == target.name}


# --- The engine ------------------------------------------------------------------------------


def check_engine() -> None:
    """Check what the engine adds to the rules: sums, order, casts, and refusals."""

    def leaf(*values: float, dtype: Any = np.float64) -> tg.Tensor:
        return tg.tensor(np.array(values), dtype=dtype, requires_grad=True)

    column = tg.tensor(np.ones((3, 1)), requires_grad=True)
    tg.gradcheck(lambda a, b: a * b, [column, leaf(1, 2, 3, 4)])

    x = leaf(1, 2)
    (x + x + x).sum().backward()
    assert x.grad.tolist() == [3, 3]
    h = x * 2
    (h + h + h + x).sum().backward()
    assert x.grad.tolist() == [10, 10]
    x._grad_buffer = np.zeros(2)
    x.grad = None
    for _ in range(2):
        (x * 3 + x * x).sum().backward()
    assert x.grad.tolist() == [10, 14]
    assert x.grad.data is x._grad_buffer

    x = leaf(1, 2)
    for _ in range(2):
        (x * x * x).sum().backward(create_graph=True)
    assert x.grad.tolist() == [6, 24]
    assert tg.grad(x.grad.sum(), x).tolist() == [12, 24]

    x = leaf(3)
    early = x * 2
    late = early * early
    (late * early + early).sum().backward()  # 8 x^3 + 2 x
    assert x.grad.tolist() == [24 * 9 + 2]

    x = leaf(1, 2, dtype=np.float32)
    (x * np.ones(2)).sum().backward()
    assert x.grad.dtype == np.float32

    x, factor = leaf(1, 2), tg.tensor(np.ones(2))
    y = (x * factor).sum()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(tg.errors.GraphError, match="freed"):
        y.backward()
    y = (x * factor).sum()
    factor += 1
    with pytest.raises(tg.errors.GraphError, match="changed in place"):
        y.backward()


ENGINE = (backward, graph)
ENGINE_MUTANTS = {
    "a broadcast gradient is cut to shape, not summed": (
        "added = sums.total(xp, g, axes)",
        "added = g[tuple(slice(1) if i in axes else slice(None) for i in range(g.ndim))]",
    ),
    "versions are not compared": ("version[0] != kept", "False"),
    "the second share overwrites the first": ("= sum_so_far + share", "= share"),
    "the third share overwrites the sum": ("sum_so_far += share", "sum_so_far = share"),
    "the second pass overwrites the first": ("before += g", "before[...] = g"),
    "the second pass with a graph overwrites the first": ("provided.ops.add(before, g)", "g"),
    "nodes are visited in the order of their making": ("reverse=True", "reverse=False"),
    "the gradient keeps the dtype of the output": ("share.astype(like.dtype)", "share"),
    "the graph is not freed": ("node.free()", "pass"),
}


def test_the_engine_passes_its_check():
    check_engine()


@pytest.mark.parametrize("old", [old for old, _ in ENGINE_MUTANTS.values()])
def test_engine_mutants_change_what_the_engine_runs(old):
    assert len(functions_with(old)) == 1


@pytest.mark.parametrize(("old", "new"), ENGINE_MUTANTS.values(), ids=ENGINE_MUTANTS)
def test_a_wrong_engine_is_caught(old, new):
    (function,) = functions_with(old)
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)).replace(old, new)).body[0]
    with running(function, compiled(tree, function)):
        assert fails(check_engine)


def fails(check: Callable[[], None]) -> bool:
    try:
        check()
    except (Exception, pytest.fail.Exception):
        return True
    return False


def functions_with(text: str) -> list[Any]:
    """List the engine's functions and methods whose source contains `text`."""
    spaces = [
        *ENGINE,
        *(each for module in ENGINE for each in vars(module).values() if inspect.isclass(each)),
    ]
    functions = [f for space in spaces for f in vars(space).values() if inspect.isfunction(f)]
    own = {f for f in functions if f.__module__ in {module.__name__ for module in ENGINE}}
    return [f for f in own if text in inspect.getsource(f)]
