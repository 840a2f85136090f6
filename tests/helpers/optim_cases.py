"""One row for each optimizer: its rule in plain Python, its options, its counterpart in PyTorch.

The rules are transcriptions of the papers for one element, in Python floats, written independently
of the package. Each takes the start, the gradients and the learning rate of each step, and returns the path.
"""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import nn, optim
from tinygrad_adam.testing.selfcheck.optimizers import OPTIONS

HAS_NUMBA = importlib.util.find_spec("numba") is not None
needs_numba = pytest.mark.skipif(not HAS_NUMBA, reason="Numba is not installed: there are no fast kernels")
KERNELS = ["reference", pytest.param("fast", marks=needs_numba)]


def parameter(*values, dtype=np.float64):
    return nn.Parameter(np.array(values, dtype))


def give(p, gradient):
    p.grad = np.broadcast_to(np.asarray(gradient, p.dtype), p.shape).copy()


def take_steps(opt, p, gradients):
    for g in gradients:
        give(p, g)
        opt.step()


# --- The rules, transcribed --------------------------------------------------------------------


def sgd(theta, gradients, lrs, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
    """PyTorch's form of Polyak's and Nesterov's momentum."""
    u, path = None, []
    for g, lr in zip(gradients, lrs, strict=True):
        g = g + weight_decay * theta
        u = g if u is None else momentum * u + (1 - dampening) * g
        theta = theta - lr * (g + momentum * u if nesterov else u if momentum else g)
        path.append(theta)
    return path


def adagrad(
    theta, gradients, lrs, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.0, eps=1e-10
):  # fmt: skip
    """Duchi et al., the diagonal case."""
    total, path = initial_accumulator_value, []
    for t, (g, lr) in enumerate(zip(gradients, lrs, strict=True)):
        g = g + weight_decay * theta
        total += g**2
        theta = theta - lr / (1 + t * lr_decay) * g / (math.sqrt(total) + eps)
        path.append(theta)
    return path


def adadelta(theta, gradients, lrs, rho=0.9, eps=1e-6, weight_decay=0.0):
    """Zeiler, Algorithm 1."""
    mean_g2 = mean_dx2 = 0.0
    path = []
    for g, lr in zip(gradients, lrs, strict=True):
        g = g + weight_decay * theta
        mean_g2 = rho * mean_g2 + (1 - rho) * g**2
        dx = -math.sqrt(mean_dx2 + eps) / math.sqrt(mean_g2 + eps) * g
        mean_dx2 = rho * mean_dx2 + (1 - rho) * dx**2
        theta = theta + lr * dx
        path.append(theta)
    return path


def rprop(theta, gradients, lrs, etas=(0.5, 1.2), step_sizes=(1e-6, 50.0), weight_decay=0.0):
    """Riedmiller & Braun, without undoing a step, as in PyTorch."""
    last, size, path = 0.0, lrs[0], []
    for g in gradients:
        g = g + weight_decay * theta
        if g * last > 0:
            size = min(size * etas[1], step_sizes[1])
        elif g * last < 0:
            size = max(size * etas[0], step_sizes[0])
            g = 0.0
        else:
            size = min(max(size, step_sizes[0]), step_sizes[1])
        theta = theta - size * ((g > 0) - (g < 0))
        last = g
        path.append(theta)
    return path


def rmsprop(
    theta, gradients, lrs, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False
):  # fmt: skip
    """Hinton's lecture; Graves, equations 38 to 41, in PyTorch's form."""
    n = mean = u = 0.0
    path = []
    for g, lr in zip(gradients, lrs, strict=True):
        g = g + weight_decay * theta
        n = alpha * n + (1 - alpha) * g**2
        mean = alpha * mean + (1 - alpha) * g
        spread = n - mean**2 if centered else n
        u = momentum * u + g / (math.sqrt(spread) + eps)
        theta = theta - lr * u
        path.append(theta)
    return path


def adam(
    theta, gradients, lrs, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad=False,
    decoupled_weight_decay=False, eps_at="outside", amsgrad_after_correction=False, bias_correction=True,
    lr_decay=0.0, beta1_decay=1.0,
):  # fmt: skip
    """Kingma & Ba, Algorithm 1 and section 2; Reddi et al.; Loshchilov & Hutter."""
    m = v = v_max = 0.0
    path = []
    for t, (g, lr) in enumerate(zip(gradients, lrs, strict=True), 1):
        lr = lr / (1 + lr_decay * (t - 1))
        if decoupled_weight_decay:
            theta = theta - lr * weight_decay * theta
        else:
            g = g + weight_decay * theta
        beta = betas[0] * beta1_decay ** (t - 1)
        m = beta * m + (1 - beta) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        c1, c2 = (1 - betas[0] ** t, 1 - betas[1] ** t) if bias_correction else (1, 1)
        if amsgrad and amsgrad_after_correction:
            v_max = max(v_max, v / c2)
            v_hat = v_max
        elif amsgrad:
            v_max = max(v_max, v)
            v_hat = v_max / c2
        else:
            v_hat = v / c2
        if eps_at == "outside":
            step = lr * (m / c1) / (math.sqrt(v_hat) + eps)
        elif eps_at == "hat":
            step = lr * math.sqrt(c2) / c1 * m / (math.sqrt(v_hat * c2) + eps)
        else:
            step = lr * (m / c1) / math.sqrt(v_hat + eps)
        theta = theta - step
        path.append(theta)
    return path


def adamw(theta, gradients, lrs, weight_decay=0.01, decoupled_weight_decay=True, **options):
    return adam(theta, gradients, lrs, weight_decay=weight_decay,
                decoupled_weight_decay=decoupled_weight_decay, **options)  # fmt: skip


def adamax(theta, gradients, lrs, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    """Kingma & Ba, Algorithm 2, with PyTorch's eps."""
    m = u = 0.0
    path = []
    for t, (g, lr) in enumerate(zip(gradients, lrs, strict=True), 1):
        g = g + weight_decay * theta
        m = betas[0] * m + (1 - betas[0]) * g
        u = max(betas[1] * u, abs(g) + eps)
        theta = theta - lr / (1 - betas[0] ** t) * m / u
        path.append(theta)
    return path


def nadam(
    theta, gradients, lrs, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, momentum_decay=0.004,
    decoupled_weight_decay=False,
):  # fmt: skip
    """Dozat, Algorithm 2, with the schedule of section 3."""
    m = v = 0.0
    product, path = 1.0, []
    for t, (g, lr) in enumerate(zip(gradients, lrs, strict=True), 1):
        if decoupled_weight_decay:
            theta = theta - lr * weight_decay * theta
        else:
            g = g + weight_decay * theta
        mu = betas[0] * (1 - 0.5 * 0.96 ** (t * momentum_decay))
        mu_next = betas[0] * (1 - 0.5 * 0.96 ** ((t + 1) * momentum_decay))
        product *= mu
        g_hat = g / (1 - product)
        m = betas[0] * m + (1 - betas[0]) * g
        m_hat = m / (1 - product * mu_next)
        v = betas[1] * v + (1 - betas[1]) * g**2
        v_hat = v / (1 - betas[1] ** t)
        m_bar = (1 - mu) * g_hat + mu_next * m_hat
        theta = theta - lr * m_bar / (math.sqrt(v_hat) + eps)
        path.append(theta)
    return path


def radam(
    theta, gradients, lrs, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled_weight_decay=False
):  # fmt: skip
    """Liu et al., Algorithm 2, with the threshold and the eps of the authors' code."""
    m = v = 0.0
    rho_inf, path = 2 / (1 - betas[1]) - 1, []
    for t, (g, lr) in enumerate(zip(gradients, lrs, strict=True), 1):
        if decoupled_weight_decay:
            theta = theta - lr * weight_decay * theta
        else:
            g = g + weight_decay * theta
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        m_hat = m / (1 - betas[0] ** t)
        rho = rho_inf - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
        if rho > 5:
            adaptive = math.sqrt(1 - betas[1] ** t) / (math.sqrt(v) + eps)
            r = math.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
            theta = theta - lr * r * m_hat * adaptive
        else:
            theta = theta - lr * m_hat
        path.append(theta)
    return path


def adabound(
    theta, gradients, lrs, betas=(0.9, 0.999), final_lr=0.1, gamma=1e-3, eps=1e-8, weight_decay=0.0,
    base_lr=None, amsbound=False,
):  # fmt: skip
    """Luo et al., Algorithms 2 and 3, with the bounds and the corrections of the authors' code."""
    m = v = v_max = 0.0
    path = []
    for t, (g, lr) in enumerate(zip(gradients, lrs, strict=True), 1):
        g = g + weight_decay * theta
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        v_max = max(v, v_max)
        rate = lr * math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
        rate /= math.sqrt(v_max if amsbound else v) + eps
        final = final_lr * lr / (base_lr or lrs[0])
        rate = max(rate, final * (1 - 1 / (gamma * t + 1)))
        rate = min(rate, final * (1 + 1 / (gamma * t)))
        theta = theta - rate * m
        path.append(theta)
    return path


def amsbound(theta, gradients, lrs, **options):
    return adabound(theta, gradients, lrs, amsbound=True, **options)


def adabelief(
    theta, gradients, lrs, betas=(0.9, 0.999), eps=1e-16, weight_decay=0.0, decoupled_weight_decay=False
):  # fmt: skip
    """Zhuang et al., Algorithm 2."""
    m = s = 0.0
    path = []
    for t, (g, lr) in enumerate(zip(gradients, lrs, strict=True), 1):
        if decoupled_weight_decay:
            theta = theta - lr * weight_decay * theta
        else:
            g = g + weight_decay * theta
        m = betas[0] * m + (1 - betas[0]) * g
        s = betas[1] * s + (1 - betas[1]) * (g - m) ** 2 + eps
        m_hat, s_hat = m / (1 - betas[0] ** t), s / (1 - betas[1] ** t)
        theta = theta - lr * m_hat / (math.sqrt(s_hat) + eps)
        path.append(theta)
    return path


def lion(theta, gradients, lrs, betas=(0.9, 0.99), weight_decay=0.0):
    """Chen et al., Algorithm 2."""
    m, path = 0.0, []
    for g, lr in zip(gradients, lrs, strict=True):
        c = betas[0] * m + (1 - betas[0]) * g
        theta = theta - lr * ((c > 0) - (c < 0) + weight_decay * theta)
        m = betas[1] * m + (1 - betas[1]) * g
        path.append(theta)
    return path


# --- The table ---------------------------------------------------------------------------------


def combinations(**choices: tuple[Any, ...]) -> list[dict[str, Any]]:
    """List every combination of the choices."""
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


NOT_NUMBERS = (-0.5, math.nan, math.inf, "x", None, True)
NOT_BETAS = ((1.0, 0.9), (0.9, 1.0), (-0.1, 0.9), (0.9,), 0.9, (0.9, math.nan), ("a", 0.9), None)
NOT_SWITCHES = ("False", None, 1)


@dataclass(frozen=True)
class Row:
    """Test data for an optimizer.

    Attributes
    ----------
    cls : type
        The optimizer.
    rule : callable
        Its transcription.
    options : list of dict
        Options for the closed-form checks; together they must catch every mutant.
    stateful : dict
        Options with which it keeps every possible moment.
    refused : dict of str to tuple
        For each hyper-parameter, values that are rejected regardless of the others.
    refused_together : list of (dict, str)
        Options that are rejected only in combination, and the one that the error names.
    torch : str or None
        Its name in ``torch.optim``.
    torch_runs : list of (dict, list of dict)
        Options of the constructor, and of one group each, for the comparison with PyTorch.
    lr : float
        A suitable learning rate.
    """

    cls: type[optim.Optimizer]
    rule: Callable[..., list[float]]
    options: list[dict[str, Any]]
    refused: dict[str, tuple[Any, ...]]
    stateful: dict[str, Any] = field(default_factory=dict)
    refused_together: list[tuple[dict[str, Any], str]] = field(default_factory=list)
    torch: str | None = None
    torch_runs: list[tuple[dict[str, Any], list[dict[str, Any]]]] = field(default_factory=list)
    lr: float = 0.01


FAMILY_REFUSED = {
    "lr": NOT_NUMBERS,
    "betas": NOT_BETAS,
    "eps": NOT_NUMBERS,
    "weight_decay": NOT_NUMBERS,
}
ADAM_REFUSED = {
    **FAMILY_REFUSED,
    "amsgrad": NOT_SWITCHES,
    "decoupled_weight_decay": NOT_SWITCHES,
    "eps_at": ("between", None, 1),
    "amsgrad_after_correction": NOT_SWITCHES,
    "bias_correction": NOT_SWITCHES,
    "lr_decay": NOT_NUMBERS,
    "beta1_decay": (*NOT_NUMBERS, 1.5),
}
BOUND_REFUSED = {
    **FAMILY_REFUSED,
    "final_lr": NOT_NUMBERS,
    "gamma": (*NOT_NUMBERS, 0.0),
    "base_lr": tuple(value for value in (*NOT_NUMBERS, 0.0) if value is not None),
}
TORCH_FAMILY = combinations(weight_decay=(0.0, 0.1), eps=(1e-8, 0.1), betas=((0.9, 0.999), (0.5, 0.9)))
TORCH_DECOUPLED = [
    {**options, "decoupled_weight_decay": switch} for options in TORCH_FAMILY for switch in (False, True)
]

ROWS = {
    "sgd": Row(
        optim.SGD,
        sgd,
        OPTIONS["sgd"],
        {
            "lr": NOT_NUMBERS,
            "momentum": (*NOT_NUMBERS, 1.0),
            "dampening": (*NOT_NUMBERS, 1.5),
            "weight_decay": NOT_NUMBERS,
            "nesterov": (*NOT_SWITCHES, True),
        },
        {"momentum": 0.9, "nesterov": True},
        [({"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "nesterov")],
        "SGD",
        [
            (
                {},
                [
                    *combinations(momentum=(0.0, 0.5, 0.9), dampening=(0.0, 0.5), weight_decay=(0.0, 0.1)),
                    *combinations(momentum=(0.5, 0.9), nesterov=(True,), weight_decay=(0.0, 0.1)),
                ],
            )
        ],
    ),
    "adagrad": Row(
        optim.Adagrad,
        adagrad,
        OPTIONS["adagrad"],
        dict.fromkeys(("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"), NOT_NUMBERS),
        torch="Adagrad",
        torch_runs=[
            (
                {"initial_accumulator_value": start},
                combinations(lr_decay=(0.0, 0.01), weight_decay=(0.0, 0.1), eps=(1e-10, 0.1)),
            )
            for start in (0.0, 0.1)
        ],
        lr=0.1,
    ),
    "adadelta": Row(
        optim.Adadelta,
        adadelta,
        OPTIONS["adadelta"],
        {
            "lr": NOT_NUMBERS,
            "rho": (*NOT_NUMBERS, 1.0),
            "eps": (*NOT_NUMBERS, 0.0),
            "weight_decay": NOT_NUMBERS,
        },
        torch="Adadelta",
        torch_runs=[({}, combinations(rho=(0.9, 0.5), eps=(1e-6, 0.1), weight_decay=(0.0, 0.1)))],
        lr=1.0,
    ),
    "rmsprop": Row(
        optim.RMSprop,
        rmsprop,
        OPTIONS["rmsprop"],
        {
            "lr": NOT_NUMBERS,
            "alpha": (*NOT_NUMBERS, 1.0),
            "eps": NOT_NUMBERS,
            "weight_decay": NOT_NUMBERS,
            "momentum": (*NOT_NUMBERS, 1.0),
            "centered": NOT_SWITCHES,
        },
        {"momentum": 0.9, "centered": True},
        [({"centered": True, "eps": 0.0}, "eps")],
        "RMSprop",
        [
            (
                {},
                combinations(
                    alpha=(0.99, 0.5),
                    eps=(1e-8, 0.1),
                    weight_decay=(0.0, 0.1),
                    momentum=(0.0, 0.9),
                    centered=(False, True),
                ),
            )
        ],
    ),
    "rprop": Row(
        optim.Rprop,
        rprop,
        [{}, {"etas": (0.3, 2.0), "weight_decay": 2.0}, {"etas": (0.9, 1.5), "step_sizes": (0.05, 0.06)}],
        {
            "lr": NOT_NUMBERS,
            "etas": ((1.0, 2.0), (0.0, 2.0), (0.5, 1.0), (0.5,), 0.5, None),
            "step_sizes": ((1.0, 0.5), (-1.0, 1.0), (1.0,), 1.0, None),
            "weight_decay": NOT_NUMBERS,
        },
        torch="Rprop",
        torch_runs=[
            ({}, combinations(etas=((0.5, 1.2), (0.8, 3.0)), step_sizes=((1e-6, 50.0), (0.01, 0.1))))
        ],
    ),
    "adam": Row(
        optim.Adam,
        adam,
        OPTIONS["adam"],
        ADAM_REFUSED,
        {"amsgrad": True},
        torch="Adam",
        torch_runs=[
            ({}, [{**options, "amsgrad": switch} for options in TORCH_DECOUPLED for switch in (False, True)])
        ],
    ),
    "adamw": Row(
        optim.AdamW,
        adamw,
        OPTIONS["adamw"],
        ADAM_REFUSED,
        {"amsgrad": True},
        torch="AdamW",
        torch_runs=[
            ({}, [{**options, "amsgrad": switch} for options in TORCH_FAMILY for switch in (False, True)])
        ],
    ),
    "adamax": Row(
        optim.Adamax,
        adamax,
        OPTIONS["adamax"],
        FAMILY_REFUSED,
        torch="Adamax",
        torch_runs=[({}, TORCH_FAMILY)],
    ),
    "nadam": Row(
        optim.NAdam,
        nadam,
        OPTIONS["nadam"],
        {**FAMILY_REFUSED, "momentum_decay": NOT_NUMBERS, "decoupled_weight_decay": NOT_SWITCHES},
        torch="NAdam",
        torch_runs=[
            ({}, [{**options, "momentum_decay": d} for options in TORCH_DECOUPLED for d in (4e-3, 0.1)])
        ],
    ),
    "radam": Row(
        optim.RAdam,
        radam,
        OPTIONS["radam"],
        {**FAMILY_REFUSED, "decoupled_weight_decay": NOT_SWITCHES},
        torch="RAdam",
        torch_runs=[({}, TORCH_DECOUPLED)],
    ),
    "adabound": Row(optim.AdaBound, adabound, OPTIONS["adabound"], BOUND_REFUSED),
    "amsbound": Row(optim.AMSBound, amsbound, OPTIONS["amsbound"], BOUND_REFUSED),
    "adabelief": Row(
        optim.AdaBelief,
        adabelief,
        OPTIONS["adabelief"],
        {**FAMILY_REFUSED, "eps": (*NOT_NUMBERS, 0.0), "decoupled_weight_decay": NOT_SWITCHES},
    ),
    "lion": Row(
        optim.Lion,
        lion,
        OPTIONS["lion"],
        {"lr": NOT_NUMBERS, "betas": NOT_BETAS, "weight_decay": NOT_NUMBERS},
    ),
}

# Gradients that shrink and then grow show whether there is a maximum, and whether it is taken before or
# after the correction; a large eps shows where it is added.
GRADIENTS = [4.0, -2.0, 1.0, 0.5, 0.25, -0.125, 4.5, 1.0]
LRS = [0.1, 0.1, 0.05, 0.05, 0.2, 0.02, 0.1, 0.05]
THETA = 1.5

CLOSED_FORMS = [(name, options) for name, row in ROWS.items() for options in row.options]


def check_closed_form(name, options):
    row = ROWS[name]
    path = row.rule(THETA, GRADIENTS, LRS, **options)
    p = parameter(THETA, -THETA)  # two elements: the second must mirror the first
    opt = row.cls([p], lr=LRS[0], **options)
    for g, lr, wanted in zip(GRADIENTS, LRS, path, strict=True):
        opt.param_groups[0]["lr"] = lr
        # A sum that is too large by a factor of 3, which grad_scale divides out.
        give(p, [3 * g, -3 * g])
        opt.step(grad_scale=3)
        np.testing.assert_allclose(p.data, [wanted, -wanted], rtol=1e-12)


def exported_optimizers() -> Iterator[type[optim.Optimizer]]:
    for value in vars(optim).values():
        if inspect.isclass(value) and issubclass(value, optim.Optimizer) and value is not optim.Optimizer:
            yield value


# --- A model to train ----------------------------------------------------------------------------


def model_and_optimizer(cls=optim.Adam, dtype=np.float64, **options):
    with tg.default_dtype(dtype), tg.fork_rng(0):
        model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    return model, cls(model.named_parameters(), **{"lr": 0.05, **options})


def train(model, opt, steps=3, seed=0):
    rng = np.random.default_rng(seed)
    dtype = next(model.parameters()).dtype
    for _ in range(steps):
        loss = (model(tg.tensor(rng.standard_normal((4, 3)).astype(dtype))) ** 2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()


def values(model):
    return {name: p.data.copy() for name, p in model.named_parameters()}


def assert_same(left, right, **tolerance):
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_allclose(
            left[name], right[name], err_msg=name, **{"rtol": 0, "atol": 0, **tolerance}
        )


def moments_of(opt):
    return {
        f"{name}.{key}": value
        for name, entry in opt.state_dict()["state"].items()
        for key, value in entry.items()
    }
