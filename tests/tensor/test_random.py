"""Random numbers: keys, seeds and states."""

import threading

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import errors
from tinygrad_adam.tensor.random import generator, get_state, random_key, set_state

pytestmark = pytest.mark.versions


def test_manual_seed():
    tg.manual_seed(3)
    first = (tg.rand(3).tolist(), tg.randn(3).tolist(), random_key())
    tg.manual_seed(3)
    assert (tg.rand(3).tolist(), tg.randn(3).tolist(), random_key()) == first
    tg.manual_seed(4)
    assert tg.rand(3).tolist() != first[0]
    tg.manual_seed(np.int64(3))
    assert tg.rand(3).tolist() == first[0]


def test_fork_rng():
    tg.manual_seed(0)
    expected = tg.rand(2).tolist()
    tg.manual_seed(0)
    with tg.fork_rng(1) as own:
        assert generator() is own
        inner = tg.rand(5).tolist()
        tg.manual_seed(9)
        with tg.fork_rng(1):
            assert tg.rand(5).tolist() == inner
    assert tg.rand(2).tolist() == expected


def test_fork_rng_is_not_seen_by_other_threads():
    seen = []
    with tg.fork_rng(1) as own:
        thread = threading.Thread(target=lambda: seen.append(generator() is own))
        thread.start()
        thread.join()
    assert seen == [False]


@pytest.mark.parametrize("seed", [-1, 1.5, "a", None])
def test_wrong_seeds(seed):
    with pytest.raises(errors.OptionError, match=r"^manual_seed: "):
        tg.manual_seed(seed)
    with pytest.raises(errors.OptionError, match=r"^fork_rng: "), tg.fork_rng(seed):
        pass


def test_state_round_trip():
    import json

    tg.manual_seed(5)
    tg.rand(3)
    state = json.loads(json.dumps(get_state()))
    drawn = [tg.rand(4).tolist(), tg.randn(2).tolist(), random_key()]
    set_state(state)
    assert [tg.rand(4).tolist(), tg.randn(2).tolist(), random_key()] == drawn
    for wrong in ({}, {"bit_generator": "MT19937"}, 3):
        with pytest.raises(errors.StateError, match=r"^set_state: "):
            set_state(wrong)


def test_a_state_does_not_move_with_the_generator():
    state = get_state()
    text = repr(state)
    tg.rand(10)
    assert repr(state) == text


def test_dropout_keys():
    x = tg.ones(1000, requires_grad=True)
    first, again, other = (tg.dropout(x, p=0.3, key=key) for key in (7, 7, 8))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
    assert 600 < np.count_nonzero(first.detach().numpy()) < 800
    np.testing.assert_allclose(np.unique(first.detach().numpy()), [0, 1 / 0.7], rtol=1e-6)
    first.sum().backward()
    assert x.grad.tolist() == first.tolist()  # the same mask on the way back
    with tg.fork_rng(0):
        keys = {random_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(isinstance(key, int) and 0 <= key < 2**63 for key in keys)
