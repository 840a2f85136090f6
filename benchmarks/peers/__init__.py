"""The frameworks that are measured, one file each, written as their own users would write them."""

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
"""Those on the CPU by name; ours first."""
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
"""Those on a GPU."""
ON = {"cpu": PEERS, "cuda": GPU_PEERS}


def installed(device: str = "cpu") -> list[str]:
    """Name the peers of a device that can be measured here."""
    return [
        name
        for name, peer in ON[device].items()
        if all(importlib.util.find_spec(package) is not None for package in peer.packages)
    ]
