"""Values of a state that other packages or lists hold, and cannot give as an array."""

import numpy as np
import pytest

from tinygrad_adam import errors, nn, optim


class Foreign:
    """A tensor of another package that NumPy cannot have."""

    def __init__(self, error):
        self.error = error

    def __array__(self, *args, **kwargs):
        raise self.error


UNREADABLE = {
    "of PyTorch's narrow floats": Foreign(TypeError("Got unsupported ScalarType BFloat16")),
    "that requires a gradient": Foreign(RuntimeError("Can't call numpy() on Tensor that requires grad.")),
    "ragged": [[1.0], [2.0, 3.0]],
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_value_that_is_no_array_is_refused_and_nothing_changes(kind):
    layer = nn.Linear(2, 2)
    opt = optim.Adam(layer.named_parameters())
    layer(np.ones((1, 2), np.float32)).sum().backward()
    opt.step()
    average = optim.PolyakAverage(layer)
    average.update()
    moments = opt.state_dict()
    moments["state"]["weight"]["m"] = UNREADABLE[kind]
    weights = average.state_dict()
    weights["weights"]["weight"] = UNREADABLE[kind]
    before = {name: array.tobytes() for name, array in layer.state_dict().items()}
    for part, state in [
        (layer, {"weight": UNREADABLE[kind], "bias": np.zeros(2)}),
        (opt, moments),
        (average, weights),
    ]:
        with pytest.raises(errors.StateError, match=r"cannot be read as an array; .*\.detach\(\)\.float\(\)"):
            part.load_state_dict(state)
    assert {name: array.tobytes() for name, array in layer.state_dict().items()} == before
