"""The doctor finds each mistake in three networks and two loops, and nothing in the network that lacks it."""

import doctor_networks
import doctor_structures
import numpy as np
import pytest
from doctor_networks import LOOPS

import tinygrad_adam as tg

PLANTED = doctor_networks.PLANTED | doctor_structures.PLANTED


def watched(name, loop, faulty):
    tg.manual_seed(5)
    doctor = tg.doctor(tell=None)
    losses = LOOPS[loop](doctor, *PLANTED[name].learn(faulty))
    return doctor, losses


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", PLANTED)
def test_a_mistake_in_a_network_is_found(name, loop):
    doctor, _ = watched(name, loop, True)
    kind, others, words, _ = PLANTED[name]
    found = [finding for finding in doctor.findings if finding.kind == kind]
    assert found, [str(finding) for finding in doctor.findings]
    assert {finding.kind for finding in doctor.findings} <= {kind, *others}
    text = " ".join(" ".join(finding.to_text().split()) for finding in found)
    for part in words:
        assert part in text
    assert ".py:" in found[0].where or "of the Trainer" in found[0].where


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", PLANTED)
def test_without_it_nothing_is_found_and_the_network_learns(name, loop):
    doctor, losses = watched(name, loop, False)
    assert [str(finding) for finding in doctor.findings] == []
    assert np.median(losses[-20:]) < 0.7 * np.median(losses[:5])


def test_each_mistake_stands_in_three_networks():
    kinds = [planted.kind for planted in PLANTED.values()]
    assert len(set(kinds)) >= 13
    assert all(kinds.count(kind) >= 3 for kind in kinds)
