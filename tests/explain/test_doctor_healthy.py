"""The doctor raises no alarm on fifty random trainings that have no fault."""

import numpy as np
import pytest
from healthy_runs import healthy

import tinygrad_adam as tg


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(50))
def test_a_random_training_without_a_fault_is_healthy(seed):
    training = healthy(seed)
    with np.errstate(all="raise", under="ignore"):
        doctor = tg.doctor(tell=None)
        losses = training.run(doctor)
    assert np.median(losses[-10:]) < 0.8 * np.median(losses[:3]), training.words
    assert [str(finding) for finding in doctor.findings] == [], training.words
