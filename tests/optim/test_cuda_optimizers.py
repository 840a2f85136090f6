"""Optimizers and what stands around them on a GPU, under the strict stand-in for CuPy."""

from __future__ import annotations

import numpy as np
import pytest
import strict_cupy
from on_gpu import GPU, KERNELS
from optim_cases import CLOSED_FORMS, GRADIENTS, LRS, ROWS, THETA

import tinygrad_adam as tg
from tinygrad_adam import errors, nn, optim
from tinygrad_adam.backend.device import asarray, device_of, to_host


@pytest.fixture(autouse=True)
def gpu():
    with strict_cupy.installed():
        tg.device(GPU)  # the small product that shows that it works is read
        yield


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize(("name", "options"), CLOSED_FORMS, ids=str)
def test_closed_forms(name, options, kernels):
    path = ROWS[name].rule(THETA, GRADIENTS, LRS, **options)
    p = nn.Parameter(tg.tensor(np.array([THETA, -THETA]), device=GPU))
    opt = ROWS[name].cls([p], lr=LRS[0], **options)
    found = []
    with strict_cupy.no_host_reads(), tg.use_kernels(kernels):
        for g, lr in zip(GRADIENTS, LRS, strict=True):
            opt.param_groups[0]["lr"] = lr
            p.grad = np.array([3 * g, -3 * g])
            opt.step(grad_scale=3)
            found.append(p.detach().copy())
    assert p.device == GPU
    for value, wanted in zip(found, path, strict=True):
        np.testing.assert_allclose(value.numpy(), [wanted, -wanted], rtol=1e-12)


def gradients_on(device):
    """Make parameters with gradients that are the same on each device."""
    rng = np.random.default_rng(0)
    made = [nn.Parameter(tg.tensor(rng.standard_normal(shape), device=device)) for shape in ((3, 4), (5,))]
    for p in made:
        p.grad = rng.standard_normal(p.shape)
    return made


CHANGES = {
    "norm": lambda params: optim.clip_grad_norm_(params, 0.5),
    "norm only": lambda params: optim.clip_grad_norm_(params, np.inf),
    "value": lambda params: optim.clip_grad_value_(params, 0.3),
    "adaptive": lambda params: optim.clip_grad_adaptive_(params, 0.01),
    "noise": lambda params: optim.add_grad_noise_(params, step=1),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_of_gradients(name):
    found = []
    for device in ("cpu", GPU):
        params = gradients_on(device)
        with strict_cupy.no_host_reads(), tg.fork_rng(0):
            answer = CHANGES[name](params)
        assert answer is None or answer.device == device
        found.append([p.grad.numpy() for p in params] + ([] if answer is None else [answer.numpy()]))
    for here, there in zip(*found, strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-13)


@pytest.mark.parametrize("sparse", [False, True])
def test_sparse_adam(sparse):
    found = []
    for device in ("cpu", GPU):
        with tg.fork_rng(0):
            table = nn.Embedding(6, 3, sparse=sparse).to(device)
        opt = optim.SparseAdam(table.parameters(), lr=0.1)
        for indices in ([0, 2, 2], [2, 5, 1]):
            opt.zero_grad()
            (table(indices) ** 2).sum().backward()
            opt.step()
        assert table.weight.device == device
        found.append(table.weight.detach().numpy())
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_row_sparse_gradients_stay_where_they_are():
    index, values = np.array([2, 0, 2]), np.array([[1.0], [3.0], [5.0]])
    there = tg.RowSparse(asarray(index, device=GPU), asarray(values, device=GPU), (4, 1))
    for g in (there, there.copy(), there.astype("float32"), there + there):
        assert {device_of(g.rows), device_of(g.values), device_of(g.to_dense())} == {GPU}
    assert to_host((there + there).to_dense()).tolist() == [[6], [0], [12], [0]]
    with pytest.raises(errors.IndexingError, match=r"rows must lie in range\(2\)"):
        tg.RowSparse(asarray(index, device=GPU), asarray(values, device=GPU), (2, 1))


@pytest.mark.parametrize("kind", [optim.ExponentialMovingAverage, optim.PolyakAverage])
def test_averages_follow_a_model_that_is_moved(kind):
    found = []
    for path in (["cpu", "cpu", "cpu"], ["cpu", GPU, GPU]):
        with tg.fork_rng(0):
            model = nn.Linear(3, 2)
        average = kind(model)
        for step, device in enumerate(path):
            model.to(device)
            if step == 2:
                model.to("float64")
            with strict_cupy.no_host_reads():
                model.weight.data = model.weight.detach() * (1.0 + step)
                average.update()
        with average.applied():
            assert model.weight.device == path[-1]
            found.append(model.state_dict()["weight"])
        state = average.state_dict()
        assert type(state["weights"]["weight"]) is np.ndarray
        average.load_state_dict(state)
    np.testing.assert_allclose(*found, rtol=1e-6)


@pytest.mark.parametrize("choice", ["skip", "raise"])
def test_gradients_that_are_not_finite_are_looked_at(choice):
    p = nn.Parameter(tg.tensor([1.0, 2.0], device=GPU))
    opt = optim.Adam([p], on_nonfinite=choice)
    p.grad = np.array([1.0, np.inf])
    before = strict_cupy.host_reads()
    if choice == "raise":
        with pytest.raises(errors.NonFiniteError, match="a gradient is not finite"):
            opt.step()
    else:
        opt.step()
        assert opt.skipped == 1
    assert strict_cupy.host_reads() > before
    assert p.tolist() == [1.0, 2.0]
