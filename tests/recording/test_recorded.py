"""Recorded training passes: the numbers of the engine to the last bit, without running the function again."""

from __future__ import annotations

import copy
import gc
import threading
import tracemalloc
import weakref

import numpy as np
import pytest
from cases import CASES, weighted
from layers import LAYERS, build
from recording import batches_of, counted

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import errors, nn, optim

pytestmark = pytest.mark.products


def train(make, batches, recorded, optimizer=optim.Adam, clip=None):
    """Train a model of `make`; return losses and parameters."""
    with tg.fork_rng(0):
        model, loss_of = make()
        opt = optimizer(model.parameters(), lr=0.01)
        function = counted(lambda x, y: loss_of(model(x), y))
        training_pass = tg.recorded(function)
        losses = []
        for x, y in batches:
            opt.zero_grad()
            if recorded:
                loss = training_pass(x, y)
            else:
                loss = function(x, y)
                loss.backward()
            if clip is not None:
                optim.clip_grad_norm_(model.parameters(), clip)
            opt.step()
            losses.append(loss.item())
    return losses, [p.data.copy() for p in model.parameters()], function.calls


def mlp():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)), F.cross_entropy


def wide():
    return nn.Sequential(nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 3)), F.cross_entropy


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 16, 3, padding=1),
        nn.GroupNorm(4, 16), nn.GELU(), nn.Dropout2d(0.2), nn.Flatten(), nn.Linear(16 * 16, 3),
    ), F.cross_entropy  # fmt: skip


class Tied(nn.Module):
    """Uses one weight twice, and another three times."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(6, 6)
        self.scale = nn.Parameter(tg.full((6,), 0.5))

    def forward(self, x):
        x = self.inner(x) * self.scale + x
        return self.inner(x.tanh()) * self.scale + self.scale


def tied():
    return Tied(), lambda output, labels: F.mse_loss(output, F.softmax(output.detach() * 2.0))


NETWORKS = [(mlp, (8, 6)), (wide, (70, 300)), (cnn, (4, 1, 8, 8)), (tied, (8, 6))]


@pytest.mark.parametrize("kernels", ["fast", "reference"])
@pytest.mark.parametrize(("make", "shape"), NETWORKS)
def test_training_gives_the_numbers_of_the_engine_and_runs_the_function_twice(make, shape, kernels):
    with tg.use_kernels(kernels):
        losses, parameters, calls = train(make, batches_of(shape, 3), recorded=False, clip=1.0)
        again, replayed, twice = train(make, batches_of(shape, 3), recorded=True, clip=1.0)
    assert (calls, twice) == (6, 2)
    assert again == losses
    for got, wanted in zip(replayed, parameters, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_each_size_of_batch_is_recorded():
    batches = [
        b for pair in zip(batches_of((8, 6), 3), batches_of((5, 6), 3, seed=2), strict=True) for b in pair
    ]
    losses, _, _ = train(mlp, batches, recorded=False)
    again, _, calls = train(mlp, batches, recorded=True)
    assert again == losses
    assert calls == 4


def dense(g):
    return g.to_dense() if isinstance(g, tg.RowSparse) else g.data.copy()


def require_alike(leaves, function):
    """Compare a recorded pass with the engine, on leaves that change from call to call."""
    training_pass = tg.recorded(counting := counted(function))
    for i in range(4):
        for leaf in leaves:
            leaf.grad = None
            leaf.data = leaf.data * (1 - i / 100)
        with tg.fork_rng(i):
            got = [training_pass().item(), tg.rand(1).item()]
        got += [None if leaf.grad is None else dense(leaf.grad) for leaf in leaves]
        for leaf in leaves:
            leaf.grad = None
        with tg.fork_rng(i):
            loss = function()
            wanted = [loss.item(), tg.rand(1).item()]
        loss.backward()
        wanted += [None if leaf.grad is None else dense(leaf.grad) for leaf in leaves]
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(a, b)
    assert counting.calls == 2


@pytest.mark.parametrize("case", [c for c in CASES if c.differentiable], ids=str)
def test_every_operation(case):
    leaves = case.tensors()
    with np.errstate(divide="ignore", invalid="ignore"):  # where there is no gradient, both have none
        require_alike(leaves, lambda: weighted(case.function(*leaves)))


def state_of(module):
    return {name: value.data.copy() for name, value in module.named_buffers()}


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if layer.name != "SparseLinear"], ids=str)
def test_every_layer_on_inputs_that_change(layer):
    rng = np.random.default_rng(4)
    batches = [[tg.tensor(array) for array in (*layer.inputs(rng), *layer.constants(rng))] for _ in range(5)]
    found = []
    for recorded in (False, True):
        module = build(layer)
        anchor = nn.Parameter(tg.ones(1, dtype=np.float64))  # losses have no parameters
        function = counted(lambda *args, m=module, p=anchor: weighted(m(*args)) * p.sum())
        training_pass = tg.recorded(function)
        values = []
        with tg.fork_rng(5):
            for batch in batches:
                module.zero_grad()
                anchor.grad = None
                if recorded:
                    loss = training_pass(*batch)
                else:
                    loss = function(*batch)
                    loss.backward()
                values += [loss.item(), *[dense(p.grad) for p in (anchor, *module.parameters())]]
        found.append((values, state_of(module)))
        assert function.calls == (2 if recorded else 5)
    (values, state), (again, state_again) = found
    for a, b in zip(again, values, strict=True):
        np.testing.assert_array_equal(a, b)
    for name, buffer in state.items():
        np.testing.assert_array_equal(state_again[name], buffer)


def test_an_index_out_of_range_is_refused_in_a_replay_too():
    table = nn.Embedding(4, 2)
    training_pass = tg.recorded(lambda i, y: F.cross_entropy(table(i), y))
    for _ in range(3):
        training_pass(tg.tensor([0, 3]), tg.tensor([0, 1]))
    with pytest.raises(errors.IndexingError, match="range\\(4\\)"):
        training_pass(tg.tensor([0, 4]), tg.tensor([0, 1]))
    with pytest.raises(errors.IndexingError, match="range\\(2\\)"):
        training_pass(tg.tensor([0, 3]), tg.tensor([0, 2]))


def test_errors_in_a_replay_name_the_operation():
    weight = nn.Parameter([1.0, 2.0])
    training_pass = tg.recorded(lambda i: (weight[i] * 2.0).sum())
    for _ in range(3):
        training_pass(tg.tensor([0, 1]))
    with pytest.raises(errors.IndexingError, match="gather: index 7 is out of bounds"):
        training_pass(tg.tensor([0, 7]))


# --- What may change ---------------------------------------------------------------------------


def net_and_pass(*layers):
    net = nn.Sequential(*layers)
    function = counted(lambda x: (net(x) ** 2).sum())
    return net, function, tg.recorded(function)


def test_a_change_of_mode_is_recorded_anew():
    net, function, training_pass = net_and_pass(nn.Linear(3, 4), nn.Dropout(0.5))
    x = tg.ones(2, 3)
    for _ in range(4):
        training_pass(x)
    net.eval()
    for _ in range(4):
        assert training_pass(x).item() == (net(x) ** 2).sum().item()
    assert function.calls == 4


def test_a_frozen_parameter_gets_no_gradient_any_more():
    net, _, training_pass = net_and_pass(nn.Linear(3, 4))
    for _ in range(4):
        training_pass(tg.ones(2, 3))
    net.zero_grad()
    net[0].bias.requires_grad_(False)
    for _ in range(4):
        training_pass(tg.ones(2, 3))
    assert net[0].bias.grad is None
    assert net[0].weight.grad is not None


def test_parameters_may_be_moved_assigned_and_cast():
    net, function, training_pass = net_and_pass(nn.Linear(3, 4))
    x = tg.ones(2, 3)
    for _ in range(3):
        training_pass(x)
    optim.Adam(net.parameters())  # lays them out anew
    net[0].weight.data = np.full((4, 3), 2.0)
    assert training_pass(x).item() == (net(x) ** 2).sum().item()
    net.to("float64")
    assert training_pass(x).dtype == np.float64
    assert function.calls == 3


def test_a_gradient_that_is_there_is_added_to():
    net, _, training_pass = net_and_pass(nn.Linear(3, 4))
    for _ in range(2):
        training_pass(tg.ones(2, 3))
    net.zero_grad()
    training_pass(tg.ones(2, 3))
    once = net[0].weight.grad.data.copy()
    training_pass(tg.ones(2, 3))
    np.testing.assert_array_equal(net[0].weight.grad.data, 2 * once)


def test_hooks_of_parameters_run_each_time():
    net, _, training_pass = net_and_pass(nn.Linear(3, 4))
    seen = []
    net[0].bias.register_hook(lambda g: seen.append(g.shape) or g * 0.0)
    for _ in range(4):
        net.zero_grad()
        training_pass(tg.ones(2, 3))
        np.testing.assert_array_equal(net[0].bias.grad.data, np.zeros(4))
    assert seen == [(4,)] * 4


def test_what_comes_with_the_loss():
    net = nn.Linear(3, 2)
    training_pass = tg.recorded(lambda x: ((output := net(x)).sum(), output, output.argmax(axis=1)))
    for _ in range(4):
        x = tg.randn(5, 3)
        loss, output, classes = training_pass(x)
        np.testing.assert_array_equal(output.numpy(), net(x).detach().numpy())
        np.testing.assert_array_equal(classes.numpy(), output.numpy().argmax(1))
        assert loss.item() == output.sum().item()
        assert not loss.requires_grad
        assert not output.requires_grad


def test_tensors_from_outside_are_read_anew_and_those_made_inside_are_not_made_again():
    weight, scale = nn.Parameter([1.0, 2.0]), tg.tensor(3.0)
    function = counted(lambda x: (x * weight * scale + tg.ones(2)).sum())
    training_pass = tg.recorded(function)
    for _ in range(3):
        assert training_pass(tg.tensor([1.0, 1.0])).item() == 11.0
    scale.data = 1.0
    weight.data = [5.0, 5.0]
    assert training_pass(tg.tensor([1.0, 2.0])).item() == 17.0
    assert function.calls == 2


def test_a_tensor_that_is_argument_and_closed_over_is_not_mixed_up():
    first, weight = tg.tensor([1.0, 2.0]), nn.Parameter([1.0, 1.0])
    training_pass = tg.recorded(lambda x, y: (x * weight + first * y).sum())
    for _ in range(3):
        assert training_pass(first, first).item() == 8.0
    assert training_pass(tg.tensor([0.0, 0.0]), tg.tensor([10.0, 0.0])).item() == 10.0


def test_a_target_network_is_followed():
    net, target = nn.Linear(2, 2), nn.Linear(2, 2)
    training_pass = tg.recorded(lambda x: F.mse_loss(net(x), target(x).detach()))
    x = tg.ones(3, 2)
    for _ in range(3):
        training_pass(x)
    target.weight.data = np.zeros((2, 2))
    assert training_pass(x).item() == F.mse_loss(net(x), target(x)).item()
    assert target.weight.grad is None


def test_the_mode_of_a_module_that_is_only_named():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter([1.0, 2.0])

        def loss(self, x):
            return F.dropout(x * self.weight, 0.5, self.training).sum()

    for wrapped in (lambda net: net.loss, lambda net: lambda x: net.loss(x)):
        net = Net()
        training_pass = tg.recorded(wrapped(net))
        for _ in range(3):
            training_pass(tg.ones(2))
        net.eval()
        for _ in range(3):
            assert training_pass(tg.ones(2)).item() == 3.0


def test_a_head_that_is_replaced():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(2, 1)

        def forward(self, x):
            return self.head(x).sum()

    net = Net()
    training_pass = tg.recorded(lambda x: net(x))
    for _ in range(3):
        training_pass(tg.ones(3, 2))
    before, net.head = net.head, nn.Linear(2, 1)
    before.zero_grad()
    for _ in range(3):
        assert training_pass(tg.ones(3, 2)).item() == net(tg.ones(3, 2)).item()
    assert before.weight.grad is None
    np.testing.assert_array_equal(net.head.weight.grad.data, [[9.0, 9.0]])


def test_a_number_of_a_tensor_from_outside():
    weight, scale = nn.Parameter([1.0, 2.0]), tg.tensor(2.0)
    function = counted(lambda x: (x * weight).sum() * scale.item())
    training_pass = tg.recorded(function)
    for value in (2.0, 3.0):
        scale.data = value
        for _ in range(4):
            assert training_pass(tg.ones(2)).item() == 3 * value
    assert function.calls == 4


def test_an_array_whose_memory_an_argument_shares():
    weight, base = nn.Parameter([1.0, 2.0]), np.ones(2, np.float32)
    training_pass = tg.recorded(lambda x: (x * weight * base).sum())
    for _ in range(3):
        assert training_pass(tg.Tensor(base)).item() == 3.0
    assert training_pass(tg.tensor([2.0, 2.0])).item() == 6.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_of_classes_may_be_changed_in_place(dtype):
    weight, classes = nn.Parameter(np.eye(3, dtype=np.float32)), np.ones(3, dtype)
    function = counted(lambda x, y: F.cross_entropy(x @ weight, y, weight=classes))
    training_pass = tg.recorded(function)
    x, y = tg.randn(4, 3), tg.tensor([0, 1, 2, 2])
    for _ in range(3):
        training_pass(x, y)
    classes[...] = [1.0, 2.0, 3.0]
    assert training_pass(x, y).item() == function(x, y).item()
    assert function.calls == 3


def test_leaves_do_not_share_the_memory_of_their_gradients():
    a, b = nn.Parameter([1.0, 2.0]), nn.Parameter([3.0, 4.0])
    training_pass = tg.recorded(lambda x: (((a + b) + a) * x).sum())
    for _ in range(4):
        a.grad = b.grad = None
        training_pass(tg.tensor([5.0, 7.0]))
        np.testing.assert_array_equal(a.grad.data, [10.0, 14.0])
        np.testing.assert_array_equal(b.grad.data, [5.0, 7.0])
        assert not np.shares_memory(a.grad.data, b.grad.data)
    training_pass = tg.recorded(lambda x: ((a + b) * x).sum())
    for _ in range(4):
        a.grad = b.grad = None
        training_pass(tg.tensor([5.0, 7.0]))
        assert not np.shares_memory(a.grad.data, b.grad.data)


def test_gradients_have_the_dtype_of_their_leaf_and_losses_are_arrays():
    weight = nn.Parameter([1.0, 2.0])
    training_pass = tg.recorded(lambda x: (x * weight).sum())
    for _ in range(4):
        weight.grad = None
        loss = training_pass(tg.tensor([0.1, 0.2], dtype=np.float64))
        assert weight.grad.dtype == np.float32
        assert type(loss.data) is np.ndarray
        assert loss.dtype == np.float64


def test_gradients_of_gradients_inside():
    weight = nn.Parameter([1.0, 2.0])

    def penalized(x):
        (slope,) = [tg.grad((weight**3 * x).sum().tanh(), weight, create_graph=True)]
        return (slope**2).sum() + (weight * x).sum()

    training_pass = tg.recorded(penalized)
    for i in range(4):
        x = tg.tensor([0.1 * i, 0.05])
        weight.grad = None
        loss = training_pass(x)
        got = weight.grad.data.copy()
        weight.grad = None
        again = penalized(x)
        again.backward()
        assert loss.item() == again.item()
        np.testing.assert_array_equal(got, weight.grad.data)
        weight.data = weight.data * 0.9


def test_lists_are_operands_as_ever():
    weight = nn.Parameter([1.0, 2.0])
    training_pass = tg.recorded(lambda x: (x * weight * [1.5, 2.1]).sum())
    values = [training_pass(tg.ones(2)) for _ in range(4)]
    assert {value.dtype.name for value in values} == {"float32"}
    assert len({value.item() for value in values}) == 1


def test_a_parameter_that_is_returned():
    weight, other = nn.Parameter([1.0, 2.0]), nn.Parameter([5.0])
    training_pass = tg.recorded(lambda x: ((x * weight).sum(), other))
    for i in range(4):
        other.data = [float(i)]
        assert training_pass(tg.ones(2))[1].item() == i


def test_a_copy_learns_for_itself():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter([1.0, 2.0])
            self.training_pass = tg.recorded(self.loss)

        def loss(self, x):
            return (x * self.weight).sum()

    net = Net()
    for _ in range(3):
        net.training_pass(tg.ones(2))
    twin = copy.deepcopy(net)
    twin.weight.data = [0.0, 0.0]
    for _ in range(3):
        assert twin.training_pass(tg.ones(2)).item() == 0.0
        assert net.training_pass(tg.ones(2)).item() == 3.0


def test_no_grad_inside():
    net = nn.Linear(2, 2)

    def function(x):
        with tg.no_grad():
            wanted = net(x).tanh()
        return F.mse_loss(net(x), wanted)

    training_pass = tg.recorded(function)
    for _ in range(4):
        net.zero_grad()
        x = tg.randn(3, 2)
        loss = training_pass(x)
        got = net.weight.grad.data.copy()
        net.zero_grad()
        again = function(x)
        again.backward()
        assert loss.item() == again.item()
        np.testing.assert_array_equal(got, net.weight.grad.data)


@pytest.mark.parametrize("use", [tg.use_kernels, tg.default_dtype])
def test_another_choice_is_recorded_apart(use):
    _, function, training_pass = net_and_pass(nn.Linear(3, 4))
    for choice in ("fast", "reference") if use is tg.use_kernels else ("float32", "float64"):
        with use(choice):
            for _ in range(3):
                training_pass(tg.ones(2, 3, dtype="float32"))
    assert function.calls == 4


def test_who_watches_sees_the_function_run():
    net, function, training_pass = net_and_pass(nn.Linear(3, 4))
    x = tg.ones(2, 3)
    for _ in range(4):
        net.zero_grad()
        training_pass(x)
    replayed = net[0].weight.grad.data.copy()
    with tg.tracing(), tg.doctor():
        net.zero_grad()
        training_pass(x)
    assert function.calls == 3
    np.testing.assert_array_equal(net[0].weight.grad.data, replayed)


def test_a_network_that_is_joined_stays_joined_while_it_is_recorded():
    _, _, training_pass = net_and_pass(nn.Linear(3, 4), nn.ReLU())
    for _ in range(2):
        training_pass(tg.ones(2, 3))
    (program,) = training_pass._programs.values()
    assert program.recording.calls[0].name == "linear_relu"


def test_threads_replay_at_once():
    net, _, training_pass = net_and_pass(nn.Linear(30, 40), nn.Tanh())
    batches = [tg.randn(20, 30) for _ in range(4)]
    values = [(net(x) ** 2).sum().item() for x in batches]
    found = [[] for _ in batches]
    for _ in range(2):
        training_pass(batches[0])

    def work(i):
        for _ in range(50):
            net.zero_grad()
            found[i].append(training_pass(batches[i]).item())

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[value] * 50 for value in values]


def test_a_replay_keeps_nothing():
    _, _, training_pass = net_and_pass(nn.Linear(3, 4), nn.Tanh())
    for _ in range(3):
        training_pass(tg.ones(2, 3))
    x = tg.ones(2, 3)
    data = weakref.ref(x.data)
    training_pass(x)
    del x
    gc.collect()
    assert data() is None
    (program,) = training_pass._programs.values()
    assert not [a for a in program.registers if isinstance(a, np.ndarray)]


def test_a_replay_lets_go_of_what_nobody_needs_any_more():
    weight, x = nn.Parameter(tg.ones(1)), tg.ones(100_000)

    def function(x):
        for _ in range(20):
            x = x + weight
        return x.sum()

    training_pass = tg.recorded(function)
    for _ in range(3):
        training_pass(x)
    tracemalloc.start()
    training_pass(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * x.data.nbytes
