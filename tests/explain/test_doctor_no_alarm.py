"""The doctor changes no training, and raises no alarm on healthy ones that resemble a fault."""

import contextlib

import numpy as np
import pytest
from elsewhere import blobs, own_loop
from healthy_lessons import HEALTHY

import tinygrad_adam as tg


@pytest.mark.parametrize("name", HEALTHY)
def test_an_odd_training_is_healthy(name):
    doctor = tg.doctor(tell=None)
    with np.errstate(all="raise", under="ignore"):
        HEALTHY[name](doctor)
    assert doctor.step >= 20
    assert [str(finding) for finding in doctor.findings] == []


def test_it_changes_no_loss_though_it_hashes_compares_and_fits():
    """The labels are permuted, so that every check of data has its turn."""

    def losses(context):
        run = blobs()
        run = run.with_(y=np.random.default_rng(1).permutation(run.y), epochs=4)
        own_loop(run, context)
        return run.losses

    doctor = tg.doctor(tell=None)
    assert losses(doctor) == losses(contextlib.nullcontext())
    assert [finding.kind for finding in doctor.findings] == ["labels-unrelated"]
