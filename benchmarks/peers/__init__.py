"""The measured frameworks, one file each, written as their own users would write them."""

from __future__ import annotations

import importlib.util

from .base import THREADS, Cannot, Peer
from .de_zero import DeZero
from .hips_autograd import HipsAutograd
from .jax_optax import JaxOptax
from .my_grad import MyGrad
from .ours import Ours
from .pytorch import PyTorch
from .small_pebble import SmallPebble
from .tinygrad_cpu import TinygradCpu

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Ours("ours"),
        Ours("ours (recorded)", recorded=True),
        Ours("ours (reference)", kernels="reference"),
        PyTorch("torch"),
        PyTorch("torch fused", fused=True),
        PyTorch("torch compile", fused=True, compiled=True),
        JaxOptax("jax + optax"),
        TinygradCpu(),
        MyGrad(),
        HipsAutograd(),
        DeZero(),
        SmallPebble(),
    )
}
"""The peers on the CPU by name, ours first."""
GPU_PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Ours("ours", device="cuda"),
        Ours("ours (recorded)", device="cuda", recorded=True),
        PyTorch("torch", device="cuda"),
        PyTorch("torch fused", fused=True, device="cuda"),
        PyTorch("torch graph", fused=True, graph=True, device="cuda"),
        JaxOptax("jax + optax", device="cuda"),
    )
}
"""The peers on a GPU by name, ours first."""
ON = {"cpu": PEERS, "cuda": GPU_PEERS}


def installed(device: str = "cpu") -> list[str]:
    """Return the names of a device's peers that are installed."""
    return [
        name
        for name, peer in ON[device].items()
        if all(importlib.util.find_spec(package) is not None for package in peer.packages)
    ]
