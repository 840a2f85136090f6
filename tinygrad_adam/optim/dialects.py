"""The Adams of other libraries: which options of `Adam` each stands for, and its published defaults.

All but MLX correct the bias, and all but Blocks have the paper's learning rate. What parts them is
where eps stands, which maximum AMSGrad takes, and whether weight decay is decoupled from the gradient.
Libraries whose Adam has no weight decay or no AMSGrad are given the paper's.
"""

from __future__ import annotations

from typing import Any

_PAPER = {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-8}
_HAT = {**_PAPER, "eps_at": "hat"}

DIALECTS: dict[str, dict[str, Any]] = {
    # Kingma & Ba (2015), Algorithm 1.
    "paper": {**_PAPER},
    # torch.optim.Adam: the paper's; weight decay is added to the gradient.
    "pytorch": {**_PAPER},
    # optax.adam, adamw and amsgrad: the maximum is that of the corrected moment, the decay decoupled.
    "optax": {**_PAPER, "amsgrad_after_correction": True, "decoupled_weight_decay": True},
    # tf.train.AdamOptimizer, whose documentation names the epsilon hat.
    "tensorflow": {**_HAT},
    # keras.optimizers.Adam; the older one has lr_decay, the newer one decoupled weight decay.
    "keras": {**_HAT, "eps": 1e-7, "decoupled_weight_decay": True},
    # chainer.optimizers.Adam, whose decay is decoupled; it is not scaled by lr there.
    "chainer": {**_HAT, "decoupled_weight_decay": True},
    # mxnet.optimizer.Adam, version 1: weight decay is added to the gradient.
    "mxnet": {**_HAT},
    # Caffe's AdamSolver: delta is the epsilon hat, weight decay is added to the gradient.
    "caffe": {**_HAT},
    # lasagne.updates.adam.
    "lasagne": {**_HAT},
    # optim.adam of Torch 7: weight decay is added to the gradient, lr_decay as here.
    "torch7": {**_HAT},
    # blocks.algorithms.Adam: beta_1 decays as in section 4 of the paper.
    "blocks": {**_PAPER, "lr": 0.002, "beta1_decay": 1 - 1e-8},
    # mlx.optimizers.Adam: the moments are not corrected unless asked for; the decay is decoupled.
    "mlx": {**_PAPER, "bias_correction": False, "decoupled_weight_decay": True},
}
"""Settings of `Adam` by the name of a library; `Adam.like` takes them."""
