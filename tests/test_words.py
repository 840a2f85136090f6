"""Other packages' words are answered wherever they are used, from the table that the cheat sheet shows."""

from __future__ import annotations

import copy
import importlib.util
import inspect
import pickle
import re

import numpy
import pages
import pytest

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import data, errors, nn, optim, training
from tinygrad_adam.words import TABLE

MODEL = nn.Linear(3, 2)
OPT = optim.Adam(MODEL.parameters())
THINGS = {
    "x": tg.ones(2, 3), "tg": tg, "nn": nn, "F": F, "optim": optim, "data": data, "model": MODEL, "opt": OPT,
    "training": training, "trainer": training.Trainer(MODEL, OPT, F.cross_entropy), "numpy": numpy,
}  # fmt: skip
OWNERS = {
    "Tensor": "x", "tinygrad_adam": "tg", "nn": "nn", "nn.functional": "F", "optim": "optim", "data": "data",
    "Module": "model", "Optimizer": "opt", "Trainer": "trainer",
}  # fmt: skip


@pytest.mark.parametrize("owner", ["keyword", *OWNERS])
def test_each_word_is_answered(owner):
    for word in TABLE:
        if word.owner == owner:
            assert_answered(word)


def assert_answered(word):
    if word.owner == "keyword":
        with pytest.raises(errors.DTypeError, match=re.escape(word.here)) as caught:
            tg.sum(tg.ones(2, 3), **{word.word: 1})
        assert word.word in str(caught.value)
        assert "axis=None" in str(caught.value)
    else:
        thing = THINGS[OWNERS[word.owner]]
        assert not hasattr(thing, word.word)
        assert word.word not in dir(thing)
        with pytest.raises(errors.UnknownNameError, match=re.escape(word.here)):
            getattr(thing, word.word)


@pytest.mark.parametrize("owner", ["keyword", *OWNERS])
def test_each_answer_names_things_that_exist(owner):
    answers = " ".join(word.here for word in TABLE if word.owner == owner)
    assert answers
    for name, attribute in re.findall(
        r"\b(x|tg|nn|F|optim|data|model|opt|training|trainer|numpy)\.(\w+)", answers
    ):
        if (name, attribute) != ("model", "name"):
            assert hasattr(THINGS[name], attribute), f"{name}.{attribute}"


def test_answers_hold_stars_of_their_own():
    for word, here in (("pow", "`x ** exponent`"), ("mul", "the operators `+`, `-`, `*`, `/`")):
        with pytest.raises(errors.UnknownNameError, match=re.escape(here)):
            getattr(tg.ones(2), word)
    with pytest.raises(errors.UnknownNameError, match=re.escape("`tg.randn(*shape)`")):
        tg.normal  # noqa: B018
    with pytest.raises(errors.UnknownNameError, match=re.escape("`numpy.float32`")):
        tg.float32  # noqa: B018


X = tg.ones(2, 3)
LABELS = numpy.array([0, 1])
CALLS = {
    "method": (lambda: X.sum(dim=0), "sum: dim= .*`axis=`"),
    "method with a wrong number": (lambda: X.sum(1, 2, 3), "sum: takes from 1 to 3"),
    "primitive": (lambda: F.softmax(X, dim=1), "softmax: dim= .*`axis=`"),
    "composed operation": (lambda: tg.squeeze(X, dim=0), "squeeze: dim= .*`axis=`"),
    "loss": (lambda: F.cross_entropy(X, LABELS, reduce=True), "cross_entropy: reduce= .*reduction"),
    "missing argument": (lambda: F.cross_entropy(X), "cross_entropy: missing 1 required .*'target'"),
    "missing argument of a wrapped loss": (lambda: F.mse_loss(X), "mse_loss: missing 1 required .*'target'"),
    "layer as a function": (lambda: F.linear(X, X, dim=1), "linear: dim= .*`axis=`"),
    "missing weight": (lambda: F.linear(X), "linear: missing 1 required .*'weight'"),
    "list for a Tensor": (lambda: F.linear(X, X, [1.0, 2.0]), "linear: bias must be a Tensor or an array"),
    "step of an optimizer": (lambda: OPT.step(closure=1), "step: there is no keyword 'closure'"),
    "creation": (lambda: tg.zeros(2, dim=1), "zeros: dim="),
    "layer": (lambda: nn.Dropout(rate=0.5), "Dropout: rate= .*`p=`"),
    "layer without settings": (lambda: nn.ReLU(inplace=True), "ReLU: inplace= .*new Tensor"),
    "optimizer": (lambda: optim.Adam(MODEL.parameters(), learning_rate=1), "Adam: learning_rate= .*`lr=`"),
    "method of an optimizer": (lambda: OPT.zero_grad(set_to_none=True), "zero_grad: set_to_none= .*forgets"),
    "schedule": (lambda: optim.CosineAnnealingLR(OPT, T_max=3), "CosineAnnealingLR: T_max= .*`t_max=`"),
    "loader": (lambda: data.DataLoader(data.TensorDataset(X), num_workers=2), "num_workers= .*`prefetch=`"),
    "no word of another package": (lambda: X.mean(axes=1), "mean: there is no keyword 'axes'"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "message"), CALLS.values(), ids=CALLS)
def test_wherever_the_keyword_is_used(call, message):
    with pytest.raises(errors.DTypeError, match=message):
        call()


@pytest.mark.parametrize("function", [F.linear, F.cross_entropy, OPT.step, OPT.zero_grad])
def test_each_step_of_training_runs_without_a_wrapper(function):
    assert not hasattr(function, "__wrapped__")
    assert "words" not in inspect.signature(function).parameters


def test_an_error_inside_a_call_stays_what_it_is():
    class Broken:
        def __getattr__(self, name):
            raise TypeError("inside")

    with pytest.raises(TypeError, match="inside"):
        F.embedding(Broken(), tg.ones(3, 2))


def test_tensors_are_still_probed_copied_and_pickled():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    assert not hasattr(x, "nothing_like_it")
    with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'nothing_like_it'"):
        x.nothing_like_it  # noqa: B018
    for twin in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert twin.tolist() == [1.0, 2.0]
    model = pickle.loads(pickle.dumps(nn.Linear(2, 1)))
    assert pickle.loads(pickle.dumps(training.run_trial)) is training.run_trial  # as worker processes need
    assert not hasattr(copy.deepcopy(model), "cuda")


def test_a_model_may_have_a_member_of_that_name():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.float = nn.Linear(3, 2)

        def fit(self):
            return self.float(tg.ones(1, 3)).shape

    assert Net().fit() == (1, 2)
    assert {"fit", "float"} <= {*dir(Net())}
    assert "predict" not in dir(Net())


def test_the_cheat_sheet_shows_the_table():
    spec = importlib.util.spec_from_file_location("words_page", pages.ROOT / "docs" / "words.py")
    words = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(words)
    assert words.PAGE.read_text("utf-8") == words.page(), "run: python docs/words.py"


@pytest.mark.parametrize("room", [tg, data, nn, F, optim, training], ids=lambda room: room.__name__)
def test_what_answers_calls_can_be_given_to_other_processes(room):
    for name, member in vars(room).items():
        if not name.startswith("_") and (inspect.isfunction(member) or inspect.isclass(member)):
            assert pickle.loads(pickle.dumps(member)) is member
