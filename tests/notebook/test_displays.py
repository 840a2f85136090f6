"""Every object that shows itself: balanced HTML with the right words, and a plain text without addresses."""

import re

import numpy as np
import pytest
from balanced import Balanced, words_of
from displays import DISPLAYS, explanation, plateau, right_adam, schedule, stepped, trainer

import tinygrad_adam as tg
from tinygrad_adam import data, nn, optim
from tinygrad_adam.engine.viewers import VIEWERS, view
from tinygrad_adam.tensor import random

TRAINED = {"Race", "Comparison", "Trials", "NextStep"}
NAMES = [pytest.param(name, marks=[pytest.mark.slow] if name in TRAINED else []) for name in DISPLAYS]
ADDRESS = re.compile(r"\bat 0x[0-9a-f]+|object at")

SAYS = {
    "Tensor": ["Tensor (3, 4)", "float64", "requires a gradient", "-0.7273", "from -1 to 2, mean 0.5"],
    "Tensor of one number": ["Tensor ()", "made by sum", "6."],
    "Tensor with NaN": ["1 NaN, 1 infinite", "from -2.5 to 1", "nan", "inf"],
    "Tensor, large": ["(2, 50, 100)", "the first of 2 matrices", "⋯", "⋮", "714.1429", "mean 714.2"],
    "Module": ["Sequential", "82 parameters", "training mode", "Linear(2, 16)", "Dropout(p=0.1)", "48", "34"],
    "Module, a convolutional network": ["454,922 parameters", "Conv2d(1, 32", "401,536"],
    "Summary": ["output shape", "0 (Linear)", "(4, 16)", "82 parameters in all"],
    "Explanation": [
        "chain rule through 4 operations",
        "dL/da = g * (1 - y * y)",
        "to leaf w",
        "hidden = (x * w)",
    ],
    "EntryLedger": [
        "Adam, step 3: 0.weight[0, 1]",
        "Kingma & Ba",
        "m_hat_t = m_t / (1 - beta_1^t)",
        "0.0135398",
    ],
    "LayerLedger": [
        "0.weight (16, 2), 32 entries",
        "median",
        "norm of the update",
        "The entries that moved most",
    ],
    "Grade": ["forgetful_adam", "not right yet", "the bias correction of m is missing", "line 9"],
    "Grade, right": ["right_adam", "✓ right", "broken versions; it noticed all"],
    "Doctor": ["watched 3 steps", "softmax-twice", "remedy", "give cross_entropy the logits"],
    "Finding": ["softmax-twice", "step 1", "where", "displays.py", "evidence", "remedy"],
    "Optimizer": [
        "Adam",
        "82 numbers",
        "3 steps taken",
        "(0.9, 0.999)",
        "0.weight, 0.bias, 3.weight, 3.bias",
    ],
    "Schedule": ["SequentialLR", "6 steps taken", "learning rate", "steps of the schedule", "now"],
    "Schedule that watches": ["ReduceLROnPlateau", "values that it watches", "best value so far", "0.9"],
    "Trainer": ["3 epochs, 21 steps", "Sequential, 82 parameters", "cross_entropy", "val_accuracy", "%"],
    "History": ["30 epochs", "10 epochs", "val_loss", "seconds"],
    "DataLoader": [
        "7 of 32 examples",
        "shuffled anew each epoch",
        "2 batches, by a thread",
        "and 195 more examples",
    ],
    "TensorDataset": ["5 examples", "(5, 12)", "float64", "x[7]", "... 12 in all", "0.5254"],
    "ImageDataset": ["6 examples", "batches are augmented", "(6, 3, 16, 16)", "uint8"],
    "ImageData": ["digits", "3,823 examples for training", "10 classes", "CC BY 4.0"],
    "Sweep": ["Learning rate sweep", "falls fastest at", "a decade below the minimum", "mean of 11"],
    "Race": ["Race on ravine", "momentum", "steps to 0.1%", "never"],
    "Comparison": ["mlp:8 on digits", "adam", "sgd", "validation accuracy", "±"],
    "Trials": ["Search", "3 trials", "lr", "validation accuracy", "ok"],
    "NextStep": ["which follows the last checkpoint", "parameters that moved", "1.weight, 1.bias"],
    "Report": ["Self-check of cpu", "1 of 2 checks FAILED", "left out", "add <b>", "12.3 GB/s", "torch"],
}


@pytest.mark.parametrize("name", NAMES)
def test_a_display_is_balanced_html_that_says_what_matters(name):
    shown = Balanced(DISPLAYS[name]()._repr_html_())
    for words in SAYS[name]:
        assert words in shown.text
    assert not ADDRESS.search(shown.text)
    assert shown.tags[0] == ("div", {"class": "tga"})


@pytest.mark.parametrize("name", NAMES)
def test_the_plain_text_has_no_address_and_is_no_dump_of_fields(name):
    text = repr(DISPLAYS[name]())
    assert not ADDRESS.search(text)
    assert "array([" not in text
    assert len(text) < 4000


@pytest.mark.parametrize("name", NAMES)
def test_a_display_samples_no_random_number_and_is_the_same_again(name):
    thing = DISPLAYS[name]()
    before = str(random.get_state())
    first = thing._repr_html_()
    assert thing._repr_html_() == first
    assert str(random.get_state()) == before


def test_each_class_that_shows_itself_is_displayed():
    kinds = {kind.removesuffix("._repr_html_") for kind in VIEWERS if kind.endswith("_repr_html_")}
    assert kinds == {name.partition(",")[0].partition(" ")[0] for name in DISPLAYS} - {"ImageDataset"}
    assert all(callable(view(name)) for name in VIEWERS)


# --- Tensors ---------------------------------------------------------------------------------


def test_small_tensors_have_all_their_numbers_and_large_ones_their_ends():
    few = Balanced(tg.arange(30.0).reshape(10, 3)._repr_html_())
    assert few.rows() == 11
    assert "29." in few.text
    assert "⋮" not in few.text
    many = Balanced(tg.arange(33.0).reshape(11, 3)._repr_html_())
    assert many.rows() == 8  # headings, three, dots, three
    assert {"⋮", "32."} <= set(many.words)
    assert "16." not in many.words


def test_numbers_are_written_in_equal_digits_and_in_powers_where_they_differ_much():
    assert "0.5000" in words_of(tg.tensor([[0.5, 1 / 3]]))
    assert "1.25e-09 2.50e+00" in words_of(tg.tensor(np.array([1.25e-9, 2.5])))
    assert "True" in words_of(tg.tensor(np.array([True, False])))
    assert "9007199254740993" in words_of(tg.tensor(np.array([2**53 + 1])))


def test_a_parameter_says_that_it_has_a_gradient():
    weight = nn.Parameter(np.ones(2))
    assert "requires a gradient from 1 to 1" in words_of(weight)
    (weight * 2).sum().backward()
    assert words_of(weight).startswith("Parameter (2,) · float64 · requires a gradient, has one")


# --- Modules ---------------------------------------------------------------------------------


def test_nested_layers_are_indented_and_modes_and_frozen_weights_are_named():
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5)), nn.Linear(3, 1))
    model[0][1].eval()
    model[1].requires_grad_(False)
    shown = words_of(model)
    assert "13 parameters · 4 of them frozen · training mode" in shown
    assert "\u00a0\u00a0\u00a0\u00a01" in Balanced(model._repr_html_()).words
    assert "Dropout(p=0.5) · evaluation mode" in shown


# --- Optimizers and schedules ----------------------------------------------------------------


def test_groups_stand_side_by_side():
    groups = [{"params": nn.Linear(2, 2).parameters(), "lr": 0.5}, {"params": [nn.Parameter([1.0])]}]
    shown = words_of(optim.SGD(groups, lr=0.25))
    assert "group 0 group 1 lr 0.5 0.25" in shown
    assert "7 numbers · 0 steps taken" in shown


def test_a_schedule_stays_as_it_is_while_its_curve_is_drawn():
    made = schedule()
    before, rates = made.state_dict(), made.last_lrs
    path = re.search(r'd="(M[^"]*L[^"]*)" stroke-width="2"', made._repr_html_())[1]
    assert path.count("L") == 50  # each count to the end of the warm-up and the cosine
    assert (made.state_dict(), made.last_lrs) == (before, rates)


CURVES = {
    "one-cycle": (lambda opt: optim.OneCycleLR(opt, 1.0, total_steps=60), 60),
    "step": (lambda opt: optim.StepLR(opt, step_size=7), 35),
    "multi-step": (lambda opt: optim.MultiStepLR(opt, [10, 40]), 51),
    "exponential": (lambda opt: optim.ExponentialLR(opt, 0.9), 100),
    "restarts": (lambda opt: optim.CosineAnnealingWarmRestarts(opt, t_0=10), 30),
    "chained": (lambda opt: optim.ChainedScheduler([optim.CosineAnnealingLR(opt, 20)]), 20),
    "constant": (lambda opt: optim.ConstantLR(opt, total_iters=8), 10),
}


@pytest.mark.parametrize("name", CURVES)
def test_a_curve_reaches_to_where_the_schedule_ends(name):
    make, last = CURVES[name]
    html = make(optim.SGD([nn.Parameter([1.0])], lr=0.1, momentum=0.9))._repr_html_()
    path = re.search(r'd="(M[^"]*L[^"]*)" stroke-width="2"', html)[1]
    assert path.count("L") == last


def test_a_schedule_that_watches_a_quantity_says_so_and_draws_nothing():
    html = plateau()._repr_html_()
    assert "<svg" not in html
    assert "1; 1 are allowed" in Balanced(html).text


# --- Data ------------------------------------------------------------------------------------


def pictures(thing):
    return [attributes for tag, attributes in Balanced(thing._repr_html_()).tags if tag == "img"]


@pytest.mark.parametrize(
    ("array", "count"),
    [
        (np.zeros((3, 1, 8, 8)), 3),
        (np.zeros((3, 3, 8, 9)), 3),
        (np.zeros((3, 8, 8)), 3),
        (np.zeros((3, 8, 20), np.uint8), 3),
        (np.zeros((30, 3, 8, 8)), 10),
        (np.zeros((3, 8, 20)), 0),  # as likely a time series
        (np.zeros((3, 4, 8, 8)), 0),
        (np.zeros((3, 2, 2)), 0),
        (np.zeros((3, 64)), 0),
        (np.zeros((3, 1, 4096, 8)), 0),
    ],
)
def test_arrays_that_look_like_images_are_shown_as_pictures(array, count):
    assert len(pictures(data.TensorDataset(array, np.arange(len(array))))) == count


def test_a_picture_has_the_pixels_of_its_array():
    import base64
    import zlib

    image = np.array([[0, 128], [255, 64]], np.uint8).repeat(2, 0).repeat(2, 1)
    (attributes,) = pictures(data.TensorDataset(image[None]))
    png = base64.b64decode(attributes["src"].partition("base64,")[2])
    start = png.index(b"IDAT") + 4
    rows = np.frombuffer(zlib.decompressobj().decompress(png[start:]), np.uint8).reshape(4, 5)
    np.testing.assert_array_equal(rows[:, 1:], image)
    assert (attributes["width"], attributes["height"]) == ("64", "64")


def test_a_loader_is_not_iterated_and_stays_where_it_is():
    loader = data.DataLoader(data.TensorDataset(np.arange(6)), batch_size=2, shuffle=True)
    next(iter(loader))
    before = loader.state_dict()
    assert "epoch 0, 1 batches handed out" in words_of(loader)
    assert loader.state_dict() == before


# --- Explanations ----------------------------------------------------------------------------


def test_a_long_explanation_shows_its_ends():
    x = tg.tensor(1.0, requires_grad=True)
    for _ in range(200):
        x = x * 1.01
    shown = words_of(x.explain())
    assert "... 140 operations between" in shown
    assert len(x.explain()._repr_html_()) < 100_000


def test_the_explanation_prints_as_it_is_represented():
    made = explanation()
    assert repr(made) == str(made)
    assert repr(made.steps[0]) in str(made)


def test_the_ledger_of_a_layer_has_a_table_whose_columns_line_up():
    shown = Balanced(stepped().explain("0.weight")._repr_html_())
    cells = [tag for tag, _ in shown.tags if tag in ("th", "td")]
    assert len(cells) == 6 * 5 + 4 * 6  # headings and four quantities; headings and five entries


# --- Trainings -------------------------------------------------------------------------------


def test_a_trainer_before_its_first_epoch_says_so():
    shown = words_of(trainer(max_grad_norm=1.0, accumulate=2))
    assert "Trainer · 0 epochs, 0 steps" in shown
    assert shown.endswith("scaled down to a norm of 1 step of 2 batches no epoch is complete yet")


def test_a_right_grade_and_a_wrong_one_differ_in_sign_word_and_color():
    right, wrong = (
        tg.testing.grade(f, reference="adam")._repr_html_() for f in (right_adam, lambda p, g, s: p)
    )
    assert 'class="tga-green">✓ right' in right
    assert 'class="tga-red">✗ not right yet' in wrong
