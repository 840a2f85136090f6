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
        Ours("ours", "fast"),
        Ours("ours (reference)", "reference"),
        PyTorch("torch"),
        PyTorch("torch fused", fused=True),
        PyTorch("torch compile", fused=True, compiled=True),
        JaxOptax(),
        TinygradCpu(),
        MyGrad(),
        HipsAutograd(),
        DeZero(),
        SmallPebble(),
    )
}
"""By name; ours first."""


def installed() -> list[str]:
    """Name the peers that can be measured here."""
    return [
        name
        for name, peer in PEERS.items()
        if all(importlib.util.find_spec(package) is not None for package in peer.packages)
    ]
