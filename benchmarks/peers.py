"""The frameworks measured: each turns a workload into a function that takes one training step."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from .workloads import Workload

Step = Callable[[], float]
THREADS = 2
_HELD = contextlib.ExitStack()  # what holds for the life of this process


def network(nn: Any, workload: Workload) -> Any:
    """Build the network from the layers of `nn`, ours or PyTorch's: they have the same names."""
    layers = []
    for kind, *sizes in workload.layers:
        if kind == "linear":
            layers.append(nn.Linear(*sizes))
        elif kind == "conv":
            layers.append(nn.Conv2d(*sizes[:3], padding=sizes[3]))
        elif kind == "pool":
            layers.append(nn.MaxPool2d(*sizes))
        else:
            layers.append(nn.ReLU() if kind == "relu" else nn.Flatten())
    return nn.Sequential(*layers)


def ours(kernels: str) -> tuple[Callable[[Workload], Step], Callable[[int], Callable[[], None]]]:
    """Measure tinygrad_adam with a kernel set."""
    import tinygrad_adam as tg
    from tinygrad_adam import nn, optim
    from tinygrad_adam.nn import functional as F

    _HELD.enter_context(tg.use_kernels(kernels))

    def train(workload: Workload) -> Step:
        model = network(nn, workload)
        for p, value in zip(
            model.parameters(), (a for pair in workload.weights() for a in pair), strict=True
        ):
            p.data = value
        inputs, labels = workload.data()
        x = tg.tensor(inputs)
        optimizer = optim.Adam(model.parameters())

        def step() -> float:
            loss = F.cross_entropy(model(x), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return float(loss.item())

        return step

    def adam(size: int) -> Callable[[], None]:
        p = nn.Parameter(np.ones(size, np.float32))
        optimizer = optim.Adam([p])
        p.grad = np.full(size, 0.1, np.float32)
        return optimizer.step

    return train, adam


def torch_(fused: bool, compiled: bool) -> tuple[Any, Any]:
    """Measure PyTorch on the CPU."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.set_num_threads(THREADS)

    def train(workload: Workload) -> Step:
        model = network(nn, workload)
        with torch.no_grad():
            for p, value in zip(
                model.parameters(), (a for pair in workload.weights() for a in pair), strict=True
            ):
                p.copy_(torch.from_numpy(value))
        inputs, labels = workload.data()
        x, y = torch.from_numpy(inputs), torch.from_numpy(labels)
        optimizer = torch.optim.Adam(model.parameters(), fused=fused)
        forward = torch.compile(model) if compiled else model

        def step() -> float:
            loss = F.cross_entropy(forward(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return float(loss.item())

        return step

    def adam(size: int) -> Callable[[], None]:
        p = torch.nn.Parameter(torch.ones(size))
        p.grad = torch.full((size,), 0.1)
        return torch.optim.Adam([p], fused=fused).step

    return train, adam


def jax_() -> tuple[Any, Any]:
    """Measure JAX with optax, the whole step compiled."""
    import jax
    import optax
    from jax import lax
    from jax import numpy as jnp

    def apply(layers: tuple[Any, ...], weights: Any, x: Any) -> Any:
        rest = iter(weights)
        for kind, *sizes in layers:
            if kind == "linear":
                w, b = next(rest)
                x = x @ w.T + b
            elif kind == "conv":
                w, b = next(rest)
                x = lax.conv(x, w, (1, 1), "SAME") + b[:, None, None]
            elif kind == "pool":
                kernel, stride, pad = sizes
                x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, kernel, kernel), (1, 1, stride, stride),
                                      ((0, 0), (0, 0), (pad, pad), (pad, pad)))  # fmt: skip
            elif kind == "relu":
                x = jnp.maximum(x, 0)
            else:
                x = x.reshape(len(x), -1)
        return x

    def train(workload: Workload) -> Step:
        weights = [tuple(map(jnp.asarray, pair)) for pair in workload.weights()]
        inputs, labels = map(jnp.asarray, workload.data())
        rule = optax.adam(1e-3)
        state = rule.init(weights)

        @jax.jit
        def update(weights: Any, state: Any) -> Any:
            def objective(weights: Any) -> Any:
                logits = apply(workload.layers, weights, inputs)
                return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

            loss, gradient = jax.value_and_grad(objective)(weights)
            change, new_state = rule.update(gradient, state)
            return loss, optax.apply_updates(weights, change), new_state

        def step() -> float:
            nonlocal weights, state
            loss, weights, state = update(weights, state)
            return float(loss)

        return step

    return train, None


PEERS: dict[str, tuple[str, Callable[[], Any]]] = {
    "ours": ("tinygrad_adam", lambda: ours("fast")),
    "ours (reference)": ("tinygrad_adam", lambda: ours("reference")),
    "torch": ("torch", lambda: torch_(fused=False, compiled=False)),
    "torch fused": ("torch", lambda: torch_(fused=True, compiled=False)),
    "torch compile": ("torch", lambda: torch_(fused=True, compiled=True)),
    "jax + optax": ("optax", jax_),
}
"""For each peer, the package that it needs and what makes (training step, Adam step) of it."""


def installed() -> list[str]:
    """Name the peers that can be measured here."""
    return [name for name, (package, _) in PEERS.items() if importlib.util.find_spec(package) is not None]


def limit_threads() -> None:
    """Hold every library to the same number of threads; before any of them is imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(THREADS)
