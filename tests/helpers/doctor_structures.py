"""Mistakes in the structure of networks, planted as in `doctor_networks`."""

from __future__ import annotations

import numpy as np
from doctor_networks import (
    Mistakes,
    Net,
    bars,
    columns,
    dense,
    logistic,
    pixels,
    reading,
    rings,
    waves,
    words,
)

import tinygrad_adam as tg
from tinygrad_adam import nn
from tinygrad_adam.nn import functional as F

PLANTED = Mistakes()
mistake = PLANTED.mistake

# --- Dropout on the outputs --------------------------------------------------------------


@mistake("dropout-on-output", "30% of the answers are 0", "dropout with p=0.3", "before cross_entropy")
def dropout_behind_rings(faulty):
    return dense(2, 24, 24, 3, last=[nn.Dropout(0.3)] * faulty), *rings(), F.cross_entropy


@mistake("dropout-on-output", "50% of the answers are 0", "before binary_cross_entropy_with_logits")
def dropout_behind_bars(faulty):
    return pixels(*[nn.Dropout(0.5)] * faulty, outputs=1), *bars(), logistic


@mistake("dropout-on-output", "(25, 1)", "before squared_error")
def dropout_behind_waves(faulty):
    return dense(3, 24, 24, 1, last=[nn.Dropout(0.5)] * faulty), *waves(), F.mse_loss


# --- A softmax over one class ------------------------------------------------------------

NOTHING = ("learning-rate-low", "small-updates", "constant-output", "constant-labels", "dead-relu")


@mistake("softmax-of-one", "one class (25, 1)", "binary_cross_entropy_with_logits", others=NOTHING)
def cross_entropy_of_one_output(faulty):
    def loss(z, y):
        return F.cross_entropy(z, np.zeros(len(y), int)) if faulty else logistic(z, y)

    return pixels(outputs=1), *bars(), loss


@mistake("softmax-of-one", "one class (25, 1)", "its probability is 1", others=NOTHING)
def softmax_of_one_word(faulty):
    """One minus the squared error cannot fall either."""
    last = [nn.Softmax()] if faulty else [nn.Sigmoid()]

    def loss(p, y):
        return F.mse_loss(p, columns(y))

    return reading(*last, outputs=1), *words(), loss


@mistake("softmax-of-one", "one class (25, 1)", others=NOTHING)
def log_softmax_of_one_ring(faulty):
    def loss(z, y):
        return F.nll_loss(F.log_softmax(z), np.zeros(len(y), int)) if faulty else logistic(z, y)

    return dense(2, 24, 24, 1), rings()[0], rings()[1] > 1, loss


# --- Layers that the model does not know -------------------------------------------------


@mistake("unregistered-layer", "Net.layers keeps layers in a plain list", "nn.ModuleList", "net.layers[")
def layers_in_a_list(faulty):
    def forward(net, x):
        h = F.silu(net.layers[0](x))
        return net.head(F.silu(net.layers[1](h)))

    layers = [nn.Linear(2, 24), nn.Linear(24, 24)]
    return (
        Net(forward, layers=layers if faulty else nn.ModuleList(layers), head=nn.Linear(24, 3)),
        *rings(),
        F.cross_entropy,
    )


@mistake("unregistered-layer", "Net.parts keeps layers in a plain dict")
def layers_in_a_dict(faulty):
    def forward(net, x):
        return net.head(F.relu(net.parts["see"](x)).reshape(len(x), -1))

    net = Net(forward, parts={"see": nn.Conv2d(1, 6, 3)}, head=nn.Linear(96, 2))
    if not faulty:
        net.see = net.parts["see"]
    return net, *bars(), F.cross_entropy


@mistake("unregistered-layer", "Net.bodies keeps layers in a plain tuple")
def layers_in_a_tuple(faulty):
    def forward(net, x):
        h = net.table(x)
        return net.head(sum(body(h[:, i]) for i, body in enumerate(net.bodies)))

    bodies = tuple(dense(8, 12, 12) for _ in range(6))
    kept = bodies if faulty else nn.ModuleList(bodies)
    return (
        Net(forward, table=nn.Embedding(20, 8), bodies=kept, head=nn.Linear(12, 2)),
        *words(),
        F.cross_entropy,
    )


def _weights(faulty, *shape):
    """Return weights as students make them, or a Parameter."""
    values = 0.5 * tg.randn(*shape)
    return tg.tensor(values.numpy(), requires_grad=True) if faulty else nn.Parameter(values.numpy())


@mistake(
    "not-a-parameter", "Net.first (2, 24) is a Tensor that wants a gradient", "nn.Parameter", "x @ net.first"
)
def rings_by_a_tensor(faulty):
    def forward(net, x):
        return net.head(F.silu(x @ net.first))

    return Net(forward, first=_weights(faulty, 2, 24), head=dense(24, 24, 3)), *rings(), F.cross_entropy


@mistake("not-a-parameter", "Net.scale (6, 1, 1)")
def channels_scaled_by_a_tensor(faulty):
    def forward(net, x):
        return net.head(F.relu(net.conv(x) * net.scale).reshape(len(x), -1))

    parts = {"conv": nn.Conv2d(1, 6, 3), "scale": _weights(faulty, 6, 1, 1), "head": nn.Linear(96, 2)}
    return Net(forward, **parts), *bars(), F.cross_entropy


@mistake("not-a-parameter", "Net.places (6, 8)")
def places_of_words_by_a_tensor(faulty):
    def forward(net, x):
        return net.head((net.table(x) + net.places).reshape(len(x), -1))

    parts = {"table": nn.Embedding(20, 8), "places": _weights(faulty, 6, 8), "head": dense(48, 16, 2)}
    return Net(forward, **parts), *words(), F.cross_entropy


# --- Layers made anew, or listed twice ---------------------------------------------------


@mistake("layer-made-anew", "new ones in every step", "nn.Linear(2, 24)(x)", "in __init__")
def rings_through_new_layers(faulty):
    def forward(net, x):
        h = nn.Linear(2, 24)(x) if faulty else net.first(x)
        return net.head(F.silu(h))

    layers = {} if faulty else {"first": nn.Linear(2, 24)}
    return Net(forward, head=dense(24, 24, 3), **layers), *rings(), F.cross_entropy


@mistake("layer-made-anew", "(6, 1, 3, 3) are new ones")
def bars_through_a_new_convolution(faulty):
    def forward(net, x):
        conv = nn.Conv2d(1, 6, 3) if faulty else net.conv
        return net.head(F.relu(conv(x)).reshape(len(x), -1))

    layers = {} if faulty else {"conv": nn.Conv2d(1, 6, 3)}
    return Net(forward, head=nn.Linear(96, 2), **layers), *bars(), F.cross_entropy


@mistake("layer-made-anew", "are new ones in every step", others=["not-in-optimizer", "no-gradient"])
def words_through_an_assigned_layer(faulty):
    def forward(net, x):
        h = net.table(x).reshape(len(x), -1)
        if faulty:
            net.body = nn.Linear(48, 16)
        return net.head(F.relu(net.body(h)))

    parts = {"table": nn.Embedding(20, 8), "body": nn.Linear(48, 16), "head": nn.Linear(16, 2)}
    return Net(forward, **parts), *words(), F.cross_entropy


@mistake("layer-repeated", "Sequential lists 4 layers with weights (Linear), but only 3", "for _ in range(3)")
def rings_through_one_layer_twice(faulty):
    pair = [nn.Linear(24, 24), nn.SiLU()]
    again = pair if faulty else [nn.Linear(24, 24), nn.SiLU()]
    return (
        nn.Sequential(nn.Linear(2, 24), nn.SiLU(), *pair, *again, nn.Linear(24, 3)),
        *rings(),
        F.cross_entropy,
    )


@mistake("layer-repeated", "ModuleList 'blocks' lists 3 layers with weights (Conv2d), but only 1 of them is")
def one_convolution_three_times(faulty):
    def forward(net, x):
        h = F.relu(net.stem(x))
        for block in net.blocks:
            h = F.relu(block(h)) + h
        return net.head(h.mean(axis=(2, 3)))

    blocks = (
        [nn.Conv2d(6, 6, 3, padding=1)] * 3 if faulty else [nn.Conv2d(6, 6, 3, padding=1) for _ in range(3)]
    )
    parts = {"stem": nn.Conv2d(1, 6, 3), "blocks": nn.ModuleList(blocks), "head": nn.Linear(6, 2)}
    return Net(forward, **parts), *bars(), F.cross_entropy


@mistake("layer-repeated", "Sequential 'body' lists 3 layers with weights", "(BatchNorm1d, Linear)")
def one_norm_for_two_layers(faulty):
    norm = nn.BatchNorm1d(16)
    body = nn.Sequential(norm, nn.Linear(16, 16), norm if faulty else nn.BatchNorm1d(16), nn.ReLU())

    def forward(net, x):
        return net.head(net.body(net.table(x).mean(axis=1)))

    return (
        Net(forward, table=nn.Embedding(20, 16), body=body, head=nn.Linear(16, 2)),
        *words(),
        F.cross_entropy,
    )


# --- Normalizations over two numbers -----------------------------------------------------


@mistake("tiny-norm", "has 2 numbers to normalize", "over the batch", "LayerNorm")
def batches_of_two(faulty):
    layers = [nn.Linear(2, 24), nn.BatchNorm1d(24), nn.SiLU(), nn.Linear(24, 3)]
    return nn.Sequential(*layers), *rings(), F.cross_entropy, 2 if faulty else 25


@mistake(
    "tiny-norm",
    "(25, 2) over the features has 2 numbers",
    "as -1 and 1",
    others=["constant-output", "vanishing-gradient"],
)
def waves_normalized_by_two(faulty):
    width = 2 if faulty else 24
    layers = [nn.Linear(3, width), nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, 1)]
    return nn.Sequential(*layers), *waves(), F.mse_loss


@mistake(
    "tiny-norm",
    "has 1 number to normalize",
    "each becomes 0",
    others=[*NOTHING, "no-gradient", "vanishing-gradient"],
)
def words_in_groups_of_one(faulty):
    def forward(net, x):
        return net.head(F.relu(net.norm(net.body(net.table(x).mean(axis=1)))))

    parts = {
        "table": nn.Embedding(20, 8),
        "body": nn.Linear(8, 12),
        "norm": nn.GroupNorm(12 if faulty else 2, 12),
    }
    return Net(forward, **parts, head=nn.Linear(12, 2)), *words(), F.cross_entropy
