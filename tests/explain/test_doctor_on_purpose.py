"""What looks like a mistake in a network and is done on purpose raises no alarm."""

import numpy as np
import pytest
from doctor_networks import Net, bars, columns, dense, rings, waves, words

import tinygrad_adam as tg
from tinygrad_adam import nn, optim
from tinygrad_adam.nn import functional as F

DESIGNS = {}


def design(make):
    """Register a function that returns a model, examples, targets and a loss."""
    DESIGNS[make.__name__] = make
    return make


def flat_bars():
    x, y = bars()
    return x.reshape(len(x), -1), y


def parameter(*shape):
    return nn.Parameter((0.3 * np.random.default_rng(1).standard_normal(shape)).astype(np.float32))


# --- The end of the network --------------------------------------------------------------


@design
def a_tanh_for_targets_of_its_range():
    x, y = rings()
    return dense(2, 24, 1, last=[nn.Tanh()]), x, 2 * (columns(y) > 1) - 1, F.mse_loss


@design
def a_sigmoid_that_draws_pixels():
    x = (flat_bars()[0] > 1).astype(np.float32)
    return dense(36, 16, 6, 16, 36, last=[nn.Sigmoid()]), x, x, F.mse_loss


@design
def a_relu_for_counts():
    x, _ = words()
    net = Net(lambda net, x: net.head(net.table(x).mean(axis=1)), table=nn.Embedding(20, 8),
              head=dense(8, 16, 1, last=[nn.Softplus()]))  # fmt: skip
    return net, x, columns((x < 5).sum(axis=1)), F.mse_loss


@design
def logits_capped_softly():
    return dense(2, 24, 3), *rings(), lambda z, y: F.cross_entropy(10 * F.tanh(z / 10), y)


@design
def logistic_regression_from_zeros():
    model = nn.Linear(36, 2)
    nn.init.constant_(model.weight, 0)
    return model, *flat_bars(), F.cross_entropy


# --- Dropout and normalization -----------------------------------------------------------


@design
def strong_dropout():
    layers = [nn.Linear(2, 64), nn.SiLU(), nn.Dropout(0.7), nn.Linear(64, 3)]
    return nn.Sequential(*layers), *rings(), F.cross_entropy


@design
def noise_on_the_inputs():
    x, _ = flat_bars()
    return nn.Sequential(nn.Dropout(0.3), *dense(36, 24, 36)), x, x, F.mse_loss


@design
def a_batch_norm_by_hand():
    def forward(net, x):
        h = net.first(x)
        h = (h - h.mean(axis=0)) / tg.sqrt(h.var(axis=0) + 1e-5)
        return net.last(F.relu(h))

    return Net(forward, first=nn.Linear(2, 24), last=nn.Linear(24, 3)), *rings(), F.cross_entropy


@design
def features_divided_by_their_norm():
    def forward(net, x):
        h = net.body(x)
        return 5 * net.last(h / tg.norm(h, axis=1, keepdims=True))

    return Net(forward, body=dense(2, 24, 8), last=nn.Linear(8, 3)), *rings(), F.cross_entropy


# --- Affine layers in a row --------------------------------------------------------------


@design
def a_linear_autoencoder():
    x, _ = flat_bars()
    return nn.Sequential(nn.Linear(36, 8), nn.Linear(8, 36)), x, x, F.mse_loss


@design
def a_code_between_two_halves():
    x, _ = flat_bars()
    return nn.Sequential(dense(36, 24, 6), dense(6, 24, 36)), x, x, F.mse_loss


@design
def a_separable_convolution():
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.Conv2d(6, 8, 1), nn.ReLU(),
        nn.Conv2d(8, 8, (3, 1), padding=(1, 0)), nn.Conv2d(8, 8, (1, 3), padding=(0, 1)), nn.ReLU(),
        nn.Flatten(), nn.Linear(128, 2),
    )  # fmt: skip
    return model, *bars(), F.cross_entropy


@design
def a_low_rank_addition():
    """As LoRA: the second factor begins with zeros."""

    def forward(net, x):
        h = F.relu(net.first(x))
        return net.last(F.relu(net.body(h) + h @ net.down @ net.up))

    up = nn.Parameter(np.zeros((2, 24), np.float32))
    parts = {"first": nn.Linear(2, 24), "body": nn.Linear(24, 24), "last": nn.Linear(24, 3)}
    return Net(forward, down=parameter(24, 2), up=up, **parts), *rings(), F.cross_entropy


@design
def attention_on_projected_inputs():
    def forward(net, x):
        h = net.inward(x.reshape(len(x), 6, 6))
        scores = net.query(h) @ net.key(h).transpose(0, 2, 1) * 16**-0.5
        return net.head((h + net.out(F.softmax(scores) @ net.value(h))).mean(axis=1))

    parts = {name: nn.Linear(16, 16) for name in ("query", "key", "value", "out")}
    return Net(forward, inward=nn.Linear(6, 16), head=dense(16, 16, 2), **parts), *bars(), F.cross_entropy


@design
def a_residual_branch_that_begins_with_zeros():
    def forward(net, x):
        h = F.relu(net.first(x))
        return net.head(h + net.out(F.relu(net.body(h))))

    parts = {name: nn.Linear(24, 24) for name in ("body", "out")}
    nn.init.constant_(parts["out"].weight, 0)
    return Net(forward, first=nn.Linear(2, 24), head=dense(24, 24, 3), **parts), *rings(), F.cross_entropy


# --- Examples that meet ------------------------------------------------------------------


@design
def a_contrastive_loss():
    def loss(z, y):
        z = z / tg.norm(z, axis=1, keepdims=True)
        half = len(y) // 2
        return F.cross_entropy(z[:half] @ z[half : 2 * half].T * 5, np.arange(half))

    return dense(2, 24, 8), *rings(), loss


@design
def a_contrastive_loss_on_all_pairs():
    def loss(z, y):
        alike = F.log_softmax(z @ z.T - 1e3 * np.eye(len(y), dtype=np.float32), axis=1)
        same = (y[:, None] == y) / (y[:, None] == y).sum(axis=1, keepdims=True)
        return -(alike * same.astype(np.float32)).sum(axis=1).mean() * 0.1

    return dense(2, 24, 8), *rings(), loss


@design
def a_bag_with_one_answer():
    def forward(net, x):
        h = F.tanh(net.body(x))
        return (F.softmax(net.weigh(h), axis=0) * h).sum(axis=0, keepdims=True)

    def loss(h, y):
        return F.mse_loss(h[:, :1], np.full((1, 1), (y == y[0]).mean(), np.float32))

    return Net(forward, body=dense(2, 24, 8), weigh=nn.Linear(8, 1)), *rings(), loss


@design
def examples_in_columns():
    def forward(net, x):
        h = F.tanh(net.first @ x.T + net.shift)
        return F.softmax(net.last @ h, axis=0)

    def loss(p, y):
        return -tg.log(p[y, np.arange(len(y))]).mean()

    parts = {"first": parameter(24, 2), "shift": parameter(24, 1), "last": parameter(3, 24)}
    return Net(forward, **parts), *rings(), loss


@design
def a_graph_of_examples():
    def forward(net, x):
        points = x.numpy()
        near = (((points[:, None] - points) ** 2).sum(axis=2) < 0.3).astype(np.float32)
        near /= near.sum(axis=1, keepdims=True)
        return net.last(tg.tensor(near) @ F.relu(net.first(x)))

    return Net(forward, first=nn.Linear(2, 24), last=nn.Linear(24, 3)), *rings(), F.cross_entropy


@design
def rows_of_pixels_as_a_sequence():
    """Seen as examples, and then as steps of a sequence."""

    def forward(net, x):
        h = F.relu(net.first(x)).reshape(5, 5, 24).transpose(0, 2, 1)
        h = F.relu(net.along(h)).transpose(0, 2, 1)
        return net.last(h.reshape(25, 24))

    parts = {"first": nn.Linear(2, 24), "along": nn.Conv1d(24, 24, 3, padding=1), "last": nn.Linear(24, 3)}
    return Net(forward, **parts), *rings(), F.cross_entropy


@design
def steps_before_examples():
    """Time comes first, and attention runs over it."""

    def forward(net, x):
        h = net.table(x).transpose(1, 0, 2)
        h = F.tanh(net.body(h))
        return net.head((F.softmax(net.weigh(h), axis=0) * h).sum(axis=0))

    parts = {"table": nn.Embedding(20, 8), "body": nn.Linear(8, 16), "weigh": nn.Linear(16, 1)}
    return Net(forward, head=nn.Linear(16, 2), **parts), *words(), F.cross_entropy


@design
def heads_of_attention():
    def forward(net, x):
        def heads(h):
            return h.reshape(len(x), 6, 2, 8).transpose(0, 2, 1, 3)

        h = net.table(x)
        q, k, v = (heads(part(h)) for part in (net.query, net.key, net.value))
        h = F.softmax(q @ k.transpose(0, 1, 3, 2) * 8**-0.5) @ v
        return net.head(h.transpose(0, 2, 1, 3).reshape(len(x), 6 * 16))

    parts = {name: nn.Linear(16, 16) for name in ("query", "key", "value")}
    return Net(forward, table=nn.Embedding(20, 16), head=dense(96, 16, 2), **parts), *words(), F.cross_entropy


# --- Layers shared and hidden ------------------------------------------------------------


@design
def a_cell_used_at_every_step():
    def forward(net, x):
        h = tg.zeros(len(x), 16)
        for t in range(6):
            h = F.tanh(net.inward(net.table(x[:, t])) + net.again(h))
        return net.head(h)

    parts = {"table": nn.Embedding(20, 8), "inward": nn.Linear(8, 16), "again": nn.Linear(16, 16)}
    return Net(forward, head=nn.Linear(16, 2), **parts), *words(), F.cross_entropy


@design
def a_teacher_out_of_sight():
    """In a list, so that its weights are no parameters of the pupil."""

    def forward(net, x):
        with tg.no_grad():
            told = net.teacher[0](x)
        return net.body(x) - 0.1 * told

    return Net(forward, body=dense(2, 24, 3), teacher=[dense(2, 8, 3)]), *rings(), F.cross_entropy


@design
def a_frozen_layer_in_a_list():
    features = dense(3, 24, 24).requires_grad_(False)
    return (
        Net(lambda net, x: net.head(F.relu(net.kept[0](x))), kept=[features], head=dense(24, 16, 1)),
        *waves(),
        F.mse_loss,
    )


@design
def random_weights_drawn_for_noise():
    def forward(net, x):
        return net.body(x + 0.01 * tg.randn(*x.shape))

    return Net(forward, body=dense(3, 24, 1)), *waves(), F.mse_loss


@pytest.mark.parametrize("name", DESIGNS)
def test_a_design_raises_no_alarm(name):
    tg.manual_seed(1)
    model, x, y, loss_of = DESIGNS[name]()
    opt, order = optim.Adam(list(model.parameters()), lr=3e-3), np.random.default_rng(2)
    with tg.doctor(tell=None) as doctor:
        for _ in range(24):
            rows = order.choice(len(x), 25, replace=False)
            opt.zero_grad()
            loss_of(model(tg.tensor(x[rows])), y[rows]).backward()
            opt.step()
    assert [str(finding) for finding in doctor.findings] == []
