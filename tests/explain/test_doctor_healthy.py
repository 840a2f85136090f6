"""The doctor raises no alarm on fifty random trainings, and finds what is planted into others like them."""

import numpy as np
import pytest
from doctor_networks import Net
from healthy_runs import healthy

import tinygrad_adam as tg
from tinygrad_adam import nn
from tinygrad_adam.nn import functional as F


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(50))
def test_a_random_training_without_a_fault_is_healthy(seed):
    training = healthy(seed)
    doctor = tg.doctor(tell=None)
    losses = training.run(doctor)
    assert np.median(losses[-10:]) < 0.8 * np.median(losses[:3]), training.words
    assert [str(finding) for finding in doctor.findings] == [], training.words


# --- Mistakes in networks that were drawn, not made for them -------------------------------

ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Mish)


def squashed(model, task):
    """ReLU behind the last layer."""
    if task.loss not in (F.cross_entropy, F.binary_cross_entropy_with_logits):
        pytest.skip("its targets may be positive")
    return nn.Sequential(*model, nn.ReLU()), task


def dropped(model, task):
    """Dropout behind the last layer."""
    return nn.Sequential(*model, nn.Dropout(0.4)), task


def hardly_kept(model, task):
    """Dropout of what was to be kept, before the last layer."""
    *layers, last = model
    return nn.Sequential(*layers, nn.Dropout(0.8), last), task


def alike(model, task):
    """Weights that are all the same."""
    for layer in model:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.constant_(layer.weight, 0.05)
            nn.init.constant_(layer.bias, 0)
    return model, task


def unbent(model, task):
    """No activation."""
    bent = (*ACTIVATIONS, nn.LayerNorm, nn.MaxPool2d)
    layers = [layer for layer in model if not isinstance(layer, bent)]
    if task.x.ndim == 4:
        layers[-1] = nn.Linear(model[0].weight.shape[0] * 64, task.outputs)
        layers = [layers[0], nn.Flatten(), layers[-1]]
    return nn.Sequential(*layers), task


def down_the_batch(model, task):
    """A softmax over the examples."""
    if task.loss is not F.cross_entropy:
        pytest.skip("it has no softmax")
    return model, task._replace(loss=lambda z, y: F.nll_loss(F.log_softmax(z, axis=0), y))


def mixed(model, task):
    """A reshape that does not keep the examples apart."""
    width = task.x[0].size
    if width == 1:
        pytest.skip("a single number cannot be mixed")

    def forward(net, x):
        return net.body(x.reshape(width, len(x)).T.reshape(x.shape))

    return Net(forward, body=model), task


PLANTS = {
    "squashed-output": squashed,
    "dropout-on-output": dropped,
    "heavy-dropout": hardly_kept,
    "equal-units": alike,
    "no-activation": unbent,
    "over-the-batch": down_the_batch,
    "examples-mixed": mixed,
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60, 68))
@pytest.mark.parametrize("kind", PLANTS)
def test_a_mistake_in_a_random_training_is_found(kind, seed):
    training = healthy(seed, PLANTS[kind], steps=40)
    doctor = tg.doctor(tell=None)
    training.run(doctor)
    assert kind in {finding.kind for finding in doctor.findings}, training.words
