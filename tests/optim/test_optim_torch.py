"""Optimizers against PyTorch in float64: all options over 1,000 steps; networks, clipping, schedules."""

from __future__ import annotations

import numpy as np
import pytest
from optim_cases import ROWS

import tinygrad_adam as tg
from tinygrad_adam import nn, optim

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")

pytestmark = pytest.mark.torch

STEPS = 1000
IN_NETWORKS = 250  # steps, most of whose time goes into what is differentiated
TOLERANCE = 1e-10


@pytest.fixture(autouse=True, scope="module")
def _float64():
    """PyTorch counts steps, and keeps NAdam's product of momenta, in the default dtype."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(dtype)


PEERS = {name: getattr(torch.optim, row.torch) for name, row in ROWS.items() if row.torch}
RUNS = [
    (name, fixed, options)
    for name, row in ROWS.items()
    for fixed, table in row.torch_runs
    for options in (table,)
]


KINDS = ("fast", "reference", "fast")  # the last is PyTorch, to which it says nothing


class Lockstep:
    """The same parameters and optimizer three times: fast kernels, reference kernels, PyTorch."""

    def __init__(self, name, arrays, groups=None, **options):
        groups = groups or [{"params": range(len(arrays))}]
        self.params, self.optimizers = [], []
        for make, cls in (
            (nn.Parameter, optim.OPTIMIZERS[name]),
            (nn.Parameter, optim.OPTIMIZERS[name]),
            (lambda a: torch.nn.Parameter(torch.tensor(a)), PEERS[name]),
        ):
            params = [make(a) for a in arrays]
            own = [{**group, "params": [params[i] for i in group["params"]]} for group in groups]
            self.params.append(params)
            self.optimizers.append(cls(own, **options))

    def step(self, loss, scale=(1,)):
        """Call ``loss(params, as_tensor, i)`` once for each accumulated gradient, and step."""
        makers = (tg.tensor, tg.tensor, torch.tensor)
        for kernels, as_tensor, params, opt in zip(KINDS, makers, self.params, self.optimizers, strict=True):
            with tg.use_kernels(kernels):
                opt.zero_grad()
                for i in scale:
                    loss(params, as_tensor, i).backward()
                opt.step()

    def check(self):
        fast, reference, theirs = self.params
        for i, (a, b, c) in enumerate(zip(fast, reference, theirs, strict=True)):
            for p in (a, b):
                wanted = c.detach().numpy()
                np.testing.assert_allclose(
                    p.data, wanted, rtol=TOLERANCE, atol=TOLERANCE, err_msg=f"parameter {i}"
                )


def noisy_quadratic(seed=0):
    rng = np.random.default_rng(seed)
    curvature, noise = np.array([0.1, 1.0, 10.0, 0.01, 3.0]), rng.standard_normal((STEPS, 5))

    def loss(t):
        return lambda params, as_tensor, i: (
            as_tensor(curvature) * params[0] ** 2 / 2 + as_tensor(noise[t]) * params[0] * i
        ).sum()

    return [np.array([1.0, -2.0, 3.0, -4.0, 0.5])], loss


def small_mlp(seed=0):
    rng = np.random.default_rng(seed)
    shapes = [(6, 4), (6,), (2, 6), (2,)]
    x, y = rng.standard_normal((64, 4)), rng.standard_normal((64, 2))
    batches = [rng.integers(0, 64, 8) for _ in range(IN_NETWORKS)]

    def loss(t):
        batch = batches[t]

        def run(params, as_tensor, i):
            w1, b1, w2, b2 = params
            hidden = (as_tensor(x[batch]) @ w1.T + b1).tanh()
            return ((hidden @ w2.T + b2 - as_tensor(y[batch])) ** 2).mean() * i

        return run

    return [rng.standard_normal(s) * 0.5 for s in shapes], loss


def test_every_optimizer_that_pytorch_has_is_compared():
    theirs = {name.lower() for name in vars(torch.optim)}
    assert set(PEERS) == set(ROWS) & theirs
    assert {name for name, _, _ in RUNS} == set(PEERS)


@pytest.mark.parametrize(
    ("name", "fixed", "table"),
    [
        pytest.param(*run, id=f"{run[0]}-{run[1]}", marks=() if run[0] == "sgd" else pytest.mark.slow)
        for run in RUNS
    ],
)
def test_all_combinations_of_options(name, fixed, table):
    """Each combination is a group with a parameter of its own, all on one noisy quadratic."""
    rng = np.random.default_rng(0)
    curvature, noise = np.array([0.1, 1.0, 10.0, 0.01, 3.0]), rng.standard_normal((STEPS, 5))
    groups = [{"params": [i], **options} for i, options in enumerate(table)]
    start = np.array([1.0, -2.0, 3.0, -4.0, 0.5])
    run = Lockstep(name, [start] * len(table), groups, lr=ROWS[name].lr, **fixed)
    for t in range(STEPS):
        for kernels, params, opt in zip(KINDS, run.params, run.optimizers, strict=True):
            for p in params:
                gradient = curvature * p.detach().numpy() + noise[t]
                p.grad = torch.from_numpy(gradient) if isinstance(p, torch.Tensor) else gradient
            with tg.use_kernels(kernels):
                opt.step()
        if t < 3 or t % 250 == 0:
            run.check()
    run.check()


@pytest.mark.parametrize("name", PEERS)
def test_trajectories_of_a_network(name):
    fixed, table = ROWS[name].torch_runs[-1]
    arrays, loss = small_mlp()
    run = Lockstep(name, arrays, lr=ROWS[name].lr, **fixed, **table[-1])
    for t in range(IN_NETWORKS):
        run.step(loss(t))
    run.check()


@pytest.mark.parametrize("name", PEERS)
def test_groups_frozen_tied_unused_and_sometimes_used(name):
    """Parameters 0 to 5: tied, plain, frozen, unused, used every third step, used in the second half.

    The learning rate of the first group is lowered on the way, and some gradients are summed over
    two backward passes.
    """
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s) for s in ((4, 4), (4,), (4,), (3,), (4,), (2, 2))]
    members = ([0, 3], [1, 4], [2, 5])
    fixed, table = ROWS[name].torch_runs[-1]
    own = (table[0], table[len(table) // 2 - 1], table[-1])
    groups = [{"params": m, **options} for m, options in zip(members, own, strict=True)]
    run = Lockstep(name, arrays, groups, lr=0.02, **fixed)
    for params in run.params:
        params[2].requires_grad_(False)  # after the optimizers were made
    x = rng.standard_normal((IN_NETWORKS, 4))
    half = IN_NETWORKS // 2

    def loss(t):
        def one(params, as_tensor, i):
            tied, plain, frozen, _, sometimes, late = params
            z = (as_tensor(x[t]) @ tied).tanh() @ tied.T + plain + frozen
            if t % 3 == 0:
                z = z * sometimes
            total = (z**2).mean() * i
            return total + ((late - 1) ** 2).sum() if t >= half else total

        return one

    for t in range(IN_NETWORKS):
        for opt in run.optimizers:
            opt.param_groups[0]["lr"] = 0.05 / (1 + t / 100)
        run.step(loss(t), scale=(1, 0.5) if t % 10 == 0 else (1,))
        if t in (0, 1, 2, 3, half - 1, half, half + 1):
            run.check()
    run.check()
    assert np.array_equal(run.params[0][2].data, arrays[2])
    assert np.array_equal(run.params[0][3].data, arrays[3])
    state = run.optimizers[0].state_dict()["state"]  # numbered in the order of the groups
    assert {key: entry["step"] for key, entry in state.items()} == {"0": 250, "2": 250, "3": 84, "5": 125}


@pytest.mark.parametrize("name", PEERS)
def test_turns_of_two_optimizers(name):
    arrays, loss = small_mlp()
    first = Lockstep(name, arrays, lr=0.01)
    second = Lockstep.__new__(Lockstep)
    second.params = first.params
    second.optimizers = [
        cls(params, lr=0.02, momentum=0.9)
        for cls, params in zip((optim.SGD, optim.SGD, torch.optim.SGD), first.params, strict=True)
    ]
    for t in range(60):
        (first if t // 7 % 2 else second).step(loss(t))
    first.check()


def test_float32_stays_close():
    arrays, loss = noisy_quadratic()
    run = Lockstep("adam", [a.astype(np.float32) for a in arrays], lr=0.01)
    for t in range(200):
        run.step(lambda p, as_tensor, i, t=t: loss(t)(p, lambda a: as_tensor(a.astype(np.float32)), i))
    for ours in run.params[:2]:
        assert ours[0].dtype == np.float32
        np.testing.assert_allclose(ours[0].data, run.params[2][0].detach().numpy(), rtol=1e-3, atol=1e-4)


# --- Clipping ----------------------------------------------------------------------------------


def gradients(seed):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(s) * 10.0 ** rng.integers(-3, 3) for s in ((3, 4), (5,), ())]
    ours, theirs = [], []
    for a in arrays:
        ours.append(nn.Parameter(np.zeros(a.shape)))
        ours[-1].grad = a.copy()
        theirs.append(torch.nn.Parameter(torch.zeros(a.shape, dtype=torch.float64)))
        theirs[-1].grad = torch.tensor(a)
    ours.append(nn.Parameter(np.zeros(2)))
    theirs.append(torch.nn.Parameter(torch.zeros(2, dtype=torch.float64)))
    if seed % 2:
        optim.SGD(ours)  # the gradients are then views
    return ours, theirs


def assert_same_gradients(ours, theirs):
    for p, q in zip(ours, theirs, strict=True):
        if q.grad is None:
            assert p.grad is None
        else:
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("limit", [1e-3, 0.5, 1e6, float("inf")])
def test_clipping(seed, limit):
    ours, theirs = gradients(seed)
    norm = optim.clip_grad_norm_(ours, limit)
    assert norm.item() == pytest.approx(torch.nn.utils.clip_grad_norm_(theirs, limit).item(), rel=1e-14)
    assert_same_gradients(ours, theirs)
    ours, theirs = gradients(seed)
    optim.clip_grad_value_(ours, limit)
    torch.nn.utils.clip_grad_value_(theirs, limit)
    assert_same_gradients(ours, theirs)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_norms_that_are_not_finite(bad):
    ours, theirs = gradients(0)
    ours[0].grad.data[0, 0] = bad
    theirs[0].grad[0, 0] = bad
    with np.errstate(invalid="ignore"):
        norm = optim.clip_grad_norm_(ours, 1.0)
    np.testing.assert_equal(norm.item(), torch.nn.utils.clip_grad_norm_(theirs, 1.0).item())
    assert_same_gradients(ours, theirs)


# --- Schedules ---------------------------------------------------------------------------------

SCHEDULES = {
    "step": (
        lambda opt: optim.StepLR(opt, 17, 0.7),
        lambda opt: torch.optim.lr_scheduler.StepLR(opt, 17, 0.7),
    ),
    "cosine": (
        lambda opt: optim.CosineAnnealingLR(opt, IN_NETWORKS, 0.001),
        lambda opt: torch.optim.lr_scheduler.CosineAnnealingLR(opt, IN_NETWORKS, 0.001),
    ),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_training_with_a_schedule(schedule):
    arrays, loss = small_mlp()
    run = Lockstep("adamw", arrays, lr=0.05)
    ours, theirs = SCHEDULES[schedule]
    schedules = [make(opt) for make, opt in zip((ours, ours, theirs), run.optimizers, strict=True)]
    for t in range(IN_NETWORKS):
        run.step(loss(t))
        for s in schedules:
            s.step()
    run.check()
