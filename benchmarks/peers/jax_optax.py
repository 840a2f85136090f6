"""JAX with optax, with the whole step compiled and its buffers donated to the results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..workloads import Workload
from .base import Cannot, Peer, Step


class JaxOptax(Peer):
    """JAX and optax."""

    packages = ("jax", "optax")
    imports = "import jax, optax"

    def __init__(self, name: str, device: str = "cpu") -> None:
        self.name = name
        self.device = device

    def put(self, array: Any) -> Any:
        """Put an array on the device; results computed from it stay there."""
        import jax

        return jax.device_put(array, jax.devices(self.device)[0])

    def train(self, workload: Workload) -> Step:
        import jax
        import optax

        jax.config.update("jax_default_matmul_precision", "highest")  # full float32 on a GPU, like ours
        weights = [tuple(map(self.put, pair)) for pair in workload.weights()]
        inputs, labels = map(self.put, workload.data())
        rule = optax.adam(1e-3)
        state = rule.init(weights)

        def update(weights: Any, state: Any) -> Any:
            def objective(weights: Any) -> Any:
                logits = forward(workload.layers, weights, inputs)
                return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

            loss, gradient = jax.value_and_grad(objective)(weights)
            change, new_state = rule.update(gradient, state)
            return loss, optax.apply_updates(weights, change), new_state

        update = jax.jit(update, donate_argnums=(0, 1))

        def step() -> float:
            nonlocal weights, state
            loss, weights, state = update(weights, state)
            return float(loss)

        return step

    def adam(self, size: int) -> Callable[[], None]:
        import jax
        import optax
        from jax import numpy as jnp

        p, g = self.put(jnp.ones(size, jnp.float32)), self.put(jnp.full(size, 0.1, jnp.float32))
        rule = optax.adam(1e-3)
        state = rule.init(p)

        def update(p: Any, state: Any, g: Any) -> Any:
            change, new_state = rule.update(g, state)
            return optax.apply_updates(p, change), new_state

        update = jax.jit(update, donate_argnums=(0, 1))

        def step() -> None:
            nonlocal p, state
            p, state = update(p, state, g)
            jax.block_until_ready(p)

        return step

    def chain(self, length: int) -> Step:
        raise Cannot("it compiles the chain, with no graph left to walk")


def forward(layers: tuple[Any, ...], weights: Any, x: Any) -> Any:
    """Return the logits."""
    from jax import lax
    from jax import numpy as jnp

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
