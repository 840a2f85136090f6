"""A cell runs as in Jupyter; a mistake in it becomes a sentence, with its line."""

import pytest

from tinygrad_adam.course.cells import new_namespace, run_cell


@pytest.fixture
def run(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    namespace = new_namespace()
    return lambda source, seconds=10: run_cell(source, "exercise 7.1", namespace, seconds)


CALL = 'course.grade("7.1", update)'
MISTAKES = [
    ("", "empty", "the cell is empty"),
    ("\n  \n", "empty", "the cell is empty"),
    (CALL, "empty", "the cell is empty"),
    ("# def update(p):\n#     return p", "commented out", "all lines of the cell are comments"),
    (f"# update = 1\n\n{CALL}", "commented out", "all lines of the cell are comments"),
    ("x = 1\ndef f(:\n    pass", "syntax", "line 2 is not Python (invalid syntax): def f(:"),
    ("x = (1", "syntax", "line 1 is not Python ('(' was never closed): x = (1"),
    ("\nreturn 3", "syntax", "line 2 is not Python ('return' outside function): return 3"),
    ("await f()", "syntax", "line 1 is not Python ('await' outside function): await f()"),
    ("x = 1\ny = z", "raises", "the cell raises NameError in line 2: name 'z' is not defined"),
    ("def f():\n    1 / 0\n\nf()", "raises", "the cell raises ZeroDivisionError in line 2: division by zero"),
    ("import sys\nsys.exit()", "raises", "the cell ends Python with exit() in line 2; take that out"),
    ("raise KeyboardInterrupt", "raises", "the cell raises KeyboardInterrupt in line 1"),
    ("raise ValueError('a\\nb' + 'c' * 999)", "raises", None),
    ("def f(n):\n    return f(n)\nf(1)", "raises", None),
    ("class E(Exception):\n    __str__ = None\nraise E", "raises", "the cell raises E in line 3"),
]


@pytest.mark.parametrize(("source", "kind", "sentence"), MISTAKES)
def test_a_mistake_in_a_cell_is_a_sentence(run, source, kind, sentence):
    result = run(source)
    assert result.kind == kind
    assert result.sentence == sentence or sentence is None
    assert "\n" not in result.sentence
    assert len(result.sentence) < 400


@pytest.mark.parametrize("source", ["x = \0", "(" * 5000 + ")" * 5000])
def test_text_that_no_parser_takes_is_a_syntax_error(run, source):
    assert run(source).kind == "syntax"


@pytest.mark.parametrize(
    "source",
    [
        "%matplotlib inline\nx = 1",
        "!pip install numpy\nx = 1",
        "if True:\n    %time pass\nx = 1",
        "?print\nx = 1",
        "print?\nx = 1",
        "%%time\nx = 1",
        "\n%%time\nx = 1",
        "display(3)\nx = 1",
        "x = 1\nx",
    ],
)
def test_what_only_jupyter_understands_is_left_out(run, source):
    result = run(source)
    assert (result.kind, result.defined) == ("", {"x"})


def test_a_percent_sign_within_a_text_is_no_magic(run):
    run('x = """\n%d\n""" % 3')
    assert run("assert x == '\\n3\\n'").kind == ""


def test_a_cell_of_another_language_is_left_out(run):
    assert run("%%bash\nrm -r /").defined == frozenset()


def test_lines_keep_their_numbers_beside_magics(run):
    assert "in line 3" in run("%matplotlib inline\nx = 1\n1 / 0").sentence
    assert "in line 2" in run("%%time\n1 / 0").sentence


def test_only_names_that_the_cell_binds_count(run):
    run("def update():\n    pass\nsteps = 3")
    assert run("steps\nupdate").defined == frozenset()
    assert run("steps = 3").defined == {"steps"}  # the same object
    assert run("1 / 0\nsteps = 3").defined == frozenset()
    assert run("def update():\n    pass\n1 / 0").defined == {"update"}
    assert run("def f():\n    inner = 1\nf()").defined == {"f"}


def test_an_endless_loop_ends_with_its_line(run):
    result = run("x = 1\nwhile True:\n    x += 1", 0.2)
    assert result.kind == "too long"
    assert result.sentence.startswith("the cell runs longer than 0.2 seconds in line ")
    assert result.sentence.endswith("is there a loop that never ends?")


def test_except_exception_does_not_hide_the_time(run):
    loop = "while True:\n    try:\n        while True: pass\n    except Exception: pass"
    assert run(loop, 0.2).kind == "too long"


def test_an_error_that_never_finishes_its_message_ends(run):
    source = "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E"
    assert run(source, 0.2).kind == "too long"
