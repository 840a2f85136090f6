"""Whatever takes a number of Python takes the same number of NumPy's, and does the same with it."""

from __future__ import annotations

import inspect
import re
from types import SimpleNamespace

import numpy as np
import pytest
import schedule_cases
from layers import LAYERS

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import data, explain, nn, optim, training
from tinygrad_adam.nn import init
from tinygrad_adam.testing.selfcheck.calls import outputs_of
from tinygrad_adam.testing.selfcheck.images import IMAGE_OPERATIONS
from tinygrad_adam.testing.selfcheck.operations import OPERATIONS
from tinygrad_adam.testing.selfcheck.optimizers import OPTIONS

KINDS = {"int64 and float64": (np.int64, np.float64), "int32 and float32": (np.int32, np.float32)}
WIDE, NARROW = KINDS.values()
each_kind = pytest.mark.parametrize("kinds", [WIDE, pytest.param(NARROW, marks=pytest.mark.slow)], ids=KINDS)


def numpy_like(value, kinds):
    """Turn the numbers in a setting, alone or in a tuple, list or dictionary, into NumPy's."""
    integer, real = kinds
    if type(value) is int:
        return integer(value) if abs(value) < 2**31 else np.int64(value)
    if type(value) is float:
        return real(value)
    if type(value) in (tuple, list):
        return type(value)(numpy_like(part, kinds) for part in value)
    if type(value) is dict:
        return {key: numpy_like(part, kinds) for key, part in value.items()}
    return value


def has_number(value):
    if isinstance(value, tuple | list):
        return any(map(has_number, value))
    return type(value) in (int, float)


class NumbersOfNumPy:
    """A namespace whose functions and classes receive NumPy's numbers for Python's."""

    def __init__(self, namespace, kinds):
        self.namespace, self.kinds = namespace, kinds

    def __getattr__(self, name):
        member = getattr(self.namespace, name)
        if not callable(member):
            return member
        return lambda *args, **settings: member(
            *numpy_like(args, self.kinds), **numpy_like(settings, self.kinds)
        )


def assert_same(got, wanted, kinds):
    exact = kinds[1] is np.float64
    for a, b in zip(got, wanted, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0 if exact else 1e-6, atol=0 if exact else 1e-6)


@each_kind
@pytest.mark.parametrize(
    "row",
    # Primitives without a public name get their numbers from the operations that have one.
    [
        row
        for row in OPERATIONS + IMAGE_OPERATIONS
        if any(map(has_number, row.settings.values())) and not row.op.startswith("_")
    ],
    ids=str,
)
def test_operations(row, kinds):
    with np.errstate(all="ignore"):
        wanted = [out.data for out in outputs_of(row.function(*row.tensors(np.float32)))]
        settings = numpy_like(row.settings, kinds)
        got = [out.data for out in outputs_of(row.operation(*row.tensors(np.float32), **settings))]
    assert_same(got, wanted, kinds)


METHODS = {name for name, _ in inspect.getmembers(tg.Tensor, inspect.isfunction) if name in vars(tg)}


@pytest.mark.parametrize(
    "row",
    [
        r
        for r in OPERATIONS
        if r.op in METHODS and len(r.inputs) == 1 and any(map(has_number, r.settings.values()))
    ],
    ids=str,
)
def test_methods(row):
    settings = numpy_like(row.settings, KINDS["int64 and float64"])
    shape = [settings.pop("shape")] if "shape" in settings else []
    axes = [settings.pop("axes")] if "axes" in settings else []
    method = getattr(row.tensors()[0], row.op)
    try:
        inspect.signature(method).bind(*shape, *axes, **settings)
    except TypeError:
        pytest.skip("the method has other parameters")
    got = [out.data for out in outputs_of(method(*shape, *axes, **settings))]
    assert_same(
        got, [out.data for out in outputs_of(row.function(*row.tensors()))], KINDS["int64 and float64"]
    )


@each_kind
@pytest.mark.parametrize("layer", [x for x in LAYERS if x.name != "Sequential"], ids=str)
def test_layers(layer, kinds):
    def output(namespace):
        rng = np.random.default_rng(0)
        inputs = [tg.tensor(a.astype(np.float32)) for a in layer.inputs(rng)]
        with tg.fork_rng(0):
            return [layer.make(namespace, tg.tensor)(*inputs, *layer.constants(rng)).data]

    assert_same(output(NumbersOfNumPy(nn, kinds)), output(nn), kinds)


@each_kind
@pytest.mark.parametrize("name", schedule_cases.CASES)
def test_schedules(name, kinds, monkeypatch):
    case = schedule_cases.CASES[name]
    wanted = case.build(schedule_cases.two_groups()).preview(50)
    monkeypatch.setattr(schedule_cases, "optim", NumbersOfNumPy(optim, kinds))
    schedule = case.build(schedule_cases.two_groups(optim.SGD))
    got = schedule.preview(50)
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    schedule.step()
    assert "numpy" not in repr(schedule.state_dict()) + repr(schedule.optimizer.param_groups[0]["lr"])


@each_kind
@pytest.mark.parametrize("name", OPTIONS)
def test_optimizers(name, kinds):
    def weights(options):
        p = nn.Parameter([0.5, -1.0, 2.0])
        opt = optim.OPTIMIZERS[name]([p], **options)
        for _ in range(3):
            opt.zero_grad()
            (p * p * p).sum().backward()
            opt.step()
        return [p.numpy() if not p.requires_grad else p.detach().numpy()]

    for options in OPTIONS[name]:
        options = {"lr": 0.125, **options}
        assert_same(weights(numpy_like(options, kinds)), weights(options), (np.int32, np.float32))


X = tg.tensor(np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4))
ROWS = np.linspace(0, 1, 40, dtype=np.float32).reshape(20, 2)
LABELS = np.arange(20) % 2


def parameters():
    p = nn.Parameter([1.0, 2.0])
    p.grad = np.array([3.0, 4.0], np.float32)
    return [p]


def filled(function, *args, **settings):
    weight = nn.Parameter(np.zeros((3, 4), np.float32))
    with tg.fork_rng(0):
        function(weight, *args, **settings)
    return weight.detach()


def drawn(function, *args, **settings):
    with tg.fork_rng(0):
        return function(*args, **settings)


def clipped(function, *args, **settings):
    params = parameters()
    function(params, *args, **settings)
    return params[0].grad


def averaged(**settings):
    model = nn.Linear(2, 1)
    model.weight.data = np.ones((1, 2), np.float32)
    average = optim.ExponentialMovingAverage(model, **settings)
    model.weight.data = np.zeros((1, 2), np.float32)
    average.update()
    with average.applied():
        return model.weight.detach().copy()


def trained(n):
    with tg.fork_rng(0):
        model = nn.Linear(2, 2)
        loader = data.DataLoader(data.TensorDataset(ROWS, LABELS), batch_size=n(8), seed=n(1), shuffle=True)
        trainer = training.Trainer(
            model, optim.SGD(model.parameters(), lr=n(0.125)), nn.CrossEntropyLoss(),
            metrics={"accuracy": training.Accuracy(top=n(1))}, max_grad_norm=n(0.5), accumulate=n(2),
            callbacks=[training.EarlyStopping(patience=n(3), min_delta=n(0.0))],
        )  # fmt: skip
        trainer.fit(loader, n(2), validation=loader)
        return model.weight.detach()


REST = {
    "tg.zeros": lambda n: tg.zeros(n(2), n(3)),
    "tg.ones": lambda n: tg.ones((n(2), n(3))),
    "tg.full": lambda n: tg.full((n(2), n(3)), n(0.5)),
    "tg.eye": lambda n: tg.eye(n(3)),
    "tg.arange": lambda n: tg.arange(n(1), n(7), n(2)),
    "tg.rand": lambda n: drawn(tg.rand, n(2), n(3)),
    "tg.randn": lambda n: drawn(tg.randn, n(2), n(3)),
    "tg.manual_seed": lambda n: (tg.manual_seed(n(3)), tg.rand(2))[1],
    "tg.set_num_threads": lambda n: tg.set_num_threads(n(int(tg.get_num_threads()))),
    "tg.gradcheck": lambda n: tg.gradcheck(
        tg.square,
        tg.ones(2, dtype=np.float64, requires_grad=True),
        eps=n(1e-6),
        atol=n(1e-6),
        rtol=n(1e-6),
        seed=n(1),
    ),
    "tg.gradgradcheck": lambda n: tg.gradgradcheck(
        tg.square, tg.ones(2, dtype=np.float64, requires_grad=True), eps=n(1e-6), seed=n(1)
    ),
    "F.dropout": lambda n: drawn(F.dropout, X, p=n(0.5)),
    "F.dropout2d": lambda n: drawn(F.dropout2d, X, p=n(0.5)),
    "F.layer_norm": lambda n: F.layer_norm(X, n(4), eps=n(0.125)),
    "init.constant_": lambda n: filled(init.constant_, n(0.5)),
    "init.fan_in_uniform_": lambda n: filled(init.fan_in_uniform_, n(4)),
    "init.kaiming_normal_": lambda n: filled(init.kaiming_normal_, a=n(0.5)),
    "init.kaiming_uniform_": lambda n: filled(init.kaiming_uniform_, a=n(0.5)),
    "init.normal_": lambda n: filled(init.normal_, n(0.5), n(2.0)),
    "init.orthogonal_": lambda n: filled(init.orthogonal_, gain=n(0.5)),
    "init.trunc_normal_": lambda n: filled(init.trunc_normal_, n(0.5), n(2.0), n(-1.0), n(1.0)),
    "init.uniform_": lambda n: filled(init.uniform_, n(-1.0), n(1.0)),
    "init.xavier_normal_": lambda n: filled(init.xavier_normal_, gain=n(0.5)),
    "init.xavier_uniform_": lambda n: filled(init.xavier_uniform_, gain=n(0.5)),
    "init.calculate_gain": lambda n: np.float64(init.calculate_gain("leaky_relu", n(0.5))),
    "optim.SparseAdam": lambda n: optim.SparseAdam(
        parameters(), lr=n(0.5), betas=(n(0.5), n(0.75)), eps=n(0.5)
    ),
    "optim.add_grad_noise_": lambda n: drawn(clipped, optim.add_grad_noise_, n(3), eta=n(0.5), gamma=n(0.5)),
    "optim.clip_grad_norm_": lambda n: clipped(optim.clip_grad_norm_, n(0.5)),
    "optim.clip_grad_value_": lambda n: clipped(optim.clip_grad_value_, n(0.5)),
    "optim.clip_grad_adaptive_": lambda n: clipped(optim.clip_grad_adaptive_, n(0.125), eps=n(0.5)),
    "optim.ExponentialMovingAverage": lambda n: averaged(decay=n(0.5)),
    "optim.compare_dialects": lambda n: (
        optim.compare_dialects(lambda w: (w * w).sum(), [1.0, 2.0], steps=n(3), tolerance=n(1e-6)) and None
    ),
    "optim.ReduceLROnPlateau": lambda n: (
        optim.ReduceLROnPlateau(
            optim.SGD(parameters(), lr=0.5),
            factor=n(0.5),
            patience=n(1),
            threshold=n(0.0),
            cooldown=n(1),
            min_lr=n(0.0),
        )
        and None
    ),
    "data.blobs": lambda n: data.blobs(n(6), classes=n(3), spread=n(0.5), seed=n(1))[0],
    "data.moons": lambda n: data.moons(n(6), noise=n(0.5), seed=n(1))[0],
    "data.spirals": lambda n: data.spirals(n(6), classes=n(3), noise=n(0.5), seed=n(1))[0],
    "data.split": lambda n: data.split(data.TensorDataset(ROWS), n(0.5), seed=n(1))[0][0][0],
    "data.random_crop": lambda n: data.random_crop(n(1))(
        np.random.default_rng(0), np.ones((2, 1, 4, 4), np.float32)
    ),
    "data.ImageDataset": lambda n: data.ImageDataset(
        np.ones((2, 4, 4), np.uint8), np.zeros(2, np.int64), scale=n(2.0)
    )[0][0],
    "data.DataLoader": trained,
    "training.Trainer": trained,
    "training.Accuracy": trained,
    "training.EarlyStopping": trained,
    "training.mlp": lambda n: drawn(training.mlp, (n(2),), n(3), (n(4),), n(0.5))[0],
    "training.cnn": lambda n: drawn(training.cnn, (n(1), n(8), n(8)), n(3), n(0.5)) and None,
    "training.build_model": lambda n: drawn(training.build_model, "mlp", (n(2),), n(3), n(0.5)) and None,
    "training.lr_find": lambda n: drawn(lr_find, n),
    "explain.race": lambda n: explain.race("beale", ["sgd"], steps=n(3), lr=n(0.01), seed=n(1)) and None,
}


def lr_find(n):
    model = nn.Linear(2, 2)
    loader = data.DataLoader(data.TensorDataset(ROWS, LABELS), batch_size=8)
    trainer = training.Trainer(model, optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss())
    return training.lr_find(trainer, loader, low=n(1e-4), high=n(1.0), steps=n(40)) and None


@each_kind
@pytest.mark.parametrize("name", REST)
def test_everything_else(name, kinds):
    got, wanted = REST[name](lambda value: numpy_like(value, kinds)), REST[name](lambda value: value)
    arrays = [np.asarray(out.data if isinstance(out, tg.Tensor) else out)
              for out in (got, wanted) if isinstance(out, tg.Tensor | np.ndarray | np.number)]  # fmt: skip
    if arrays:
        assert_same(arrays[:1], arrays[1:], kinds)


ELSEWHERE = {
    "records that are returned": "DatasetInfo DialectComparison Grade History ImageData Memory NextStep "
    "Outcome Race Result RowSparse Surface Tensor Trial",
    "values of the command line, read from text": "Range RunConfig Search compare process_pool parse_space",
    "private helpers that functional.py imports": "add_rows",
    "their numbers go to explain.race": "around descend of_run through tune_lr save_race",
    "its number is a function's result": "LambdaLR",
    "grades with seeds of fork_rng": "grade fork_rng",
}


def test_no_function_with_a_number_is_left_out():
    number = re.compile(r"\b(int|float|Pair|Axis|PadWidth)\b")
    tables = {row.op for row in OPERATIONS + IMAGE_OPERATIONS} | {layer.name for layer in LAYERS}
    tables |= {cls.__name__ for cls in optim.OPTIMIZERS.values()} | {"AMSBound", "AdamW"}
    tables |= {name.split()[0].strip(",") for name in schedule_cases.CASES}
    known = tables | {name.split(".")[1] for name in REST} | set(" ".join(ELSEWHERE.values()).split())
    missing = []
    for namespace in (tg, F, nn, init, optim, data, training, explain):
        for name, member in vars(namespace).items():
            ours = (getattr(member, "__module__", None) or "").startswith("tinygrad_adam")
            if name.startswith("_") or not callable(member) or not ours or name in known:
                continue
            if inspect.isclass(member) and issubclass(member, tg.Primitive):
                continue
            parameters = inspect.signature(member).parameters.values()
            if any(number.search(str(parameter.annotation)) for parameter in parameters):
                missing.append(f"{namespace.__name__}.{name}")
    assert missing == []


def test_a_number_that_is_none_is_still_refused():
    """So the conversions above mean something: truth values and strings are no numbers."""
    space = SimpleNamespace(wrong=[True, "3", 2.5])
    for value in space.wrong:
        with pytest.raises(tg.errors.TinygradAdamError):
            nn.Linear(3, 2)(tg.ones(1, 3)).repeat(value, 0)
        with pytest.raises(tg.errors.TinygradAdamError):
            optim.StepLR(optim.SGD(parameters(), lr=0.1), value)
