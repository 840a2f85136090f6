"""Objects that could break a display: huge, empty, not finite, circular, raising, on a GPU, with markup."""

import tracemalloc

import numpy as np
import pytest
import strict_cupy
from balanced import Balanced, words_of
from on_gpu import GPU

import tinygrad_adam as tg
from tinygrad_adam import data, explain, nn, optim, training
from tinygrad_adam.explain.doctor.finding import Finding
from tinygrad_adam.testing.grading.report import Finding as Mistake
from tinygrad_adam.testing.grading.report import Grade
from tinygrad_adam.training.many.comparison import Comparison, Entry, Result
from tinygrad_adam.training.many.lr_finder import Sweep
from tinygrad_adam.training.many.search import Trial, Trials

MARKUP = "<script>alert('&')</script>"


def raising(*_):
    raise ValueError(MARKUP)


# --- Tensors ---------------------------------------------------------------------------------

ARRAYS = [
    np.array(3.0), np.array(np.nan), np.zeros(0), np.zeros((0, 3)), np.zeros((3, 0)), np.zeros((2, 0, 3)),
    np.full((3, 3), np.nan), np.full(3, -np.inf), np.array([1e300, -1e-300, 0.0]), np.array([5e-324, 1.0]),
    np.zeros((1, 1, 1, 1, 1)), np.ones((2, 3), np.float32)[::-1], np.array([True]), np.array([2**63 - 1]),
    np.zeros((12, 12), np.uint8), np.ones((1, 1)),
]  # fmt: skip


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype} {array.shape}")
def test_any_array_is_shown(array):
    tensor = tg.tensor(array)
    assert str(tensor.shape) in words_of(tensor)
    assert repr(tensor)


@pytest.mark.parametrize("shape", [(10**8,), (10**4, 10**4), (10, 10**7), (10**7, 10), (100, 10**3, 10**3)])
def test_a_tensor_of_a_hundred_million_elements_is_not_copied(shape):
    huge = tg.Tensor(np.lib.stride_tricks.as_strided(np.ones(1, np.float32), shape, [0] * len(shape)))
    tracemalloc.start()
    try:
        html = huge._repr_html_()
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()
    assert str(shape) in html
    assert len(html) < 20_000


def test_only_the_shown_elements_of_a_gpu_are_brought_to_the_host(monkeypatch):
    with strict_cupy.installed() as cupy:
        tensor = tg.tensor(np.arange(1e6).reshape(1000, 1000), device=GPU)
        brought = []
        get = cupy.ndarray.get

        def counted(self, *args, **settings):
            brought.append(self.size)
            return get(self, *args, **settings)

        monkeypatch.setattr(cupy.ndarray, "get", counted)
        shown = words_of(tensor)
        assert sum(brought) == 7 * 7
        assert GPU in shown
        assert "999999." in shown


# --- Modules ---------------------------------------------------------------------------------


def test_a_module_that_holds_itself_is_shown_once():
    model = nn.Sequential(nn.Linear(2, 2))
    model.register_module("again", model)
    assert "the module around it" in words_of(model)
    assert Balanced(model._repr_html_()).rows() == 3  # headings and two layers
    assert repr(model).splitlines()[1:] == [
        "  (0): Linear(2, 2)  # 6",
        "  (again): Sequential(...)  # 6",
        ")",
    ]


def test_a_module_of_many_layers_is_cut():
    model = nn.Sequential(*[nn.Linear(1, 1) for _ in range(500)])
    shown = Balanced(model._repr_html_())
    assert shown.rows() == 62
    assert "... 440 layers between" in shown.text


def test_a_layer_whose_extra_repr_raises_is_named():
    class Odd(nn.Module):
        extra_repr = raising

    class Bare(nn.Module):
        pass

    assert "Odd(its extra_repr raises ValueError)" in words_of(nn.Sequential(Odd()))
    assert words_of(Bare()) == "Bare() · 0 parameters · training mode"


# --- Data ------------------------------------------------------------------------------------


def test_empty_and_odd_data_sets_are_shown():
    assert "no examples" in words_of(data.TensorDataset(np.zeros((0, 3))))
    assert "array (2, 2, 2)" in words_of(data.TensorDataset(np.zeros((4, 2, 2, 2)), np.zeros((4, 0))))
    assert "nan" in words_of(data.TensorDataset(np.full((2, 2), np.nan)))
    assert "img" in dict(Balanced(data.TensorDataset(np.full((2, 8, 8), np.nan))._repr_html_()).tags)
    one = data.TensorDataset(np.zeros((1, 8, 8)), np.zeros((1, 5)))
    assert "1 example" in words_of(one)


def test_a_transform_of_the_users_is_not_called():
    dataset = data.TensorDataset(np.zeros((3, 2)), transform=raising, augment=raising)
    assert "batches are augmented by raising · batches are transformed by raising" in words_of(dataset)


class Unindexed:
    """A data set of which nothing may be read."""

    def __len__(self):
        return 7

    __getitem__ = raising


def test_a_loader_of_a_data_set_of_the_users_reads_nothing():
    shown = words_of(data.DataLoader(Unindexed(), batch_size=3, prefetch=2))
    assert "3 of 3 examples" in shown
    assert "Unindexed · 7 examples" in shown


def test_a_loader_whose_data_set_has_no_length_falls_back_to_its_text():
    class Endless(Unindexed):
        __len__ = raising

    loader = data.DataLoader(Endless())
    assert loader._repr_html_() is None
    assert repr(loader) == "DataLoader(Endless, batch_size=32, shuffle=False, seed=0)"


# --- Schedules and trainings -----------------------------------------------------------------


def optimizer():
    return optim.SGD([nn.Parameter([1.0])], lr=0.1)


def test_a_schedule_of_the_users_that_ends_in_an_error_is_drawn_as_far_as_it_goes():
    class Listed(optim.Schedule):
        def factor(self, count):
            return [1.0, 0.5, 0.25][count]

    html = Listed(optimizer())._repr_html_()
    assert '<path d="M' in html
    assert "learning rate 0.1" in Balanced(html).text


@pytest.mark.parametrize("factor", [0.0, 1.0, 1e-300])
def test_a_schedule_that_is_flat_is_drawn(factor):
    assert "steps of the schedule" in words_of(optim.LambdaLR(optimizer(), lambda count: factor))


def test_a_schedule_of_many_steps_is_drawn_from_few():
    made = optim.OneCycleLR(optimizer(), 1.0, total_steps=10**9, cycle_momentum=False)
    assert len(made._repr_html_()) < 20_000


def test_a_history_without_epochs_and_one_of_odd_values_are_shown():
    assert "no epoch is complete yet" in words_of(training.History())
    rows = [{"epoch": 1, "loss": float("nan")}, {"epoch": 2, "loss": float("inf"), MARKUP: 1.0}]
    shown = words_of(training.History([*rows, {"epoch": 3, "note": MARKUP, "accuracy": 1.5}]))
    assert "nan" in shown
    assert "inf" in shown
    assert MARKUP in shown
    assert words_of(training.History([{"loss": 0.5}] * 30)).count("0.5") == 20


def test_a_trainer_of_odd_parts_is_shown():
    class Loss:
        __repr__ = raising

        def __call__(self, output, target):
            return ((output - target) ** 2).mean()

    model = nn.Linear(1, 1)
    made = training.Trainer(
        model, optim.SGD(model.parameters(), lr=0.1), Loss(), callbacks=[training.Callback()]
    )
    assert "loss Loss" in words_of(made)
    made.loss = lambda output, target: None
    assert "loss <lambda>" in words_of(made)


def test_a_sweep_that_never_falls_has_nothing_to_suggest():
    rising = Sweep(np.geomspace(1e-6, 1, 40), np.linspace(1, 3, 40), diverged=False)
    assert "nothing to suggest" in words_of(rising)
    assert "never falls" in repr(rising)


def test_comparisons_and_searches_in_which_nothing_ended_well_are_shown():
    config = training.RunConfig(model="mlp:8", epochs=1)
    failed = Result(Entry.parse("adam"), {0: training.Outcome("failed", error=MARKUP)})
    assert "1 of 1 failed" in words_of(Comparison(config, [failed]))
    search = training.Search(config, {"lr": [0.1, 1.0]})
    assert "failed" in words_of(Trials(search, [Trial(0, {"lr": 0.1}, "failed", error=MARKUP)]))
    assert "0 trials" in words_of(Trials(search, []))


@pytest.mark.slow
def test_a_race_that_cannot_be_drawn_keeps_its_table():
    def hill(x, y):
        return -(x**2) * 1e200 - y**2

    surface = explain.Surface(MARKUP, "", hill, ((0.0, 0.0),), 0.0, (1.0, 1.0), (-2, 2, -2, 2), "")
    result = explain.race(surface, ["sgd:lr=1e200"], steps=3)
    shown = words_of(result)
    assert f"Race on {MARKUP} · 3 steps optimizer" in shown
    assert "diverged: not finite" in shown


# --- Markup ----------------------------------------------------------------------------------


class Named(nn.Module):
    def extra_repr(self):
        return MARKUP


FINDING = Finding(*[MARKUP] * 5)
WITH_MARKUP = {
    "module": nn.Sequential(Named()),
    "grade": Grade(MARKUP, (Mistake(MARKUP, MARKUP, MARKUP, MARKUP),), (MARKUP,), 2, (MARKUP,)),
    "finding": FINDING,
    "history": training.History([{MARKUP: 1.0}]),
    "optimizer": optim.SGD([(MARKUP, nn.Parameter([1.0]))], lr=0.1),
    "images": data.datasets.images.ImageData(
        MARKUP, np.zeros((1, 8, 8), np.uint8), np.zeros(1, np.uint8), np.zeros((1, 8, 8), np.uint8),
        np.zeros(1, np.uint8), (MARKUP,), 16.0, MARKUP, MARKUP,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WITH_MARKUP)
def test_markup_of_the_users_is_text(name):
    html = WITH_MARKUP[name]._repr_html_()
    assert "<script" not in html
    assert MARKUP in Balanced(html).text


def test_a_class_of_the_users_whose_parts_raise_falls_back_to_the_text():
    class Odd(nn.Module):
        def parameter_count(self):
            raise ValueError

    assert nn.Sequential(Odd())._repr_html_() is None
