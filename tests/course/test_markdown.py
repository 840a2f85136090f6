"""The text of a chapter becomes Markdown: each construct comes out right, and an unknown one is refused."""

import pytest

pytest.importorskip("docutils")

from tinygrad_adam.course.markdown import markdown
from tinygrad_adam.errors import DataError


@pytest.mark.parametrize(
    ("rst", "wanted"),
    [
        ("Title\n=====\n\nText", "## Title\n\nText"),
        ("Title\n=====\n\nInner\n-----\nText", "## Title\n\n### Inner\n\nText"),
        ("Text\nand more.\n\nTitle\n-----\nText", "Text and more.\n\n## Title\n\nText"),
        ("``w**2`` and ``a`b``", "`w**2` and ``a`b``"),
        ("*one* **two** `three`", "*one* **two** `three`"),
        ("2 * 3 * 4 < 5, a_b, $6", r"2 \* 3 \* 4 \< 5, a\_b, \$6"),
        ("# no heading", r"\# no heading"),
        ("`here <https://a.org/b_c>`_", "[here](https://a.org/b_c)"),
        (":math:`x^2`", "$x^2$"),
        (".. math:: x_1", "$$\nx_1\n$$"),
        ("Text:\n\n    ``v = 1``\n\n    ``w = 2``", "Text:\n\n> `v = 1`\n>\n> `w = 2`"),
        ("::\n\n   a\n     b", "```\na\n  b\n```"),
        (".. code-block:: python\n\n   x = 1", "```python\nx = 1\n```"),
        ("- one\n- two\n  lines", "- one\n- two lines"),
        ("1. one\n\n   more\n2. two", "1. one\n\n   more\n2. two"),
    ],
)
def test_a_construct(rst, wanted):
    assert markdown(rst, level=2) == wanted


def test_a_table_keeps_code_with_bars_and_stars():
    rst = """
====  ================
name  code
====  ================
or    ``a | b ** *c``
both  a | *b*
====  ================
"""
    rows = ["| name | code |", "| --- | --- |", r"| or | `a \| b ** *c` |", r"| both | a \| *b* |"]
    assert markdown(rst) == "\n".join(rows)


def test_a_table_without_a_heading_gets_an_empty_one():
    assert markdown("=  ==\na  b\nc  d\n=  ==") == "|  |  |\n| --- | --- |\n| a | b |\n| c | d |"


@pytest.mark.parametrize(
    "rst",
    [
        "=  =\na  b\nc dd\n=  =",
        "``no end",
        ":doc:`gradients`",
        "Title\n=====\n\nInner\n-----\n\nNext\n~~~~~\n\nUp\n!!!!!\n\n.. note:: unknown here",
        "[1]_ has no footnote",
    ],
)
def test_a_mistake_or_an_unknown_construct_is_refused_with_its_text(rst):
    with pytest.raises(DataError, match="construct") as refused:
        markdown(rst)
    assert refused.value.args[0].count("\n") >= 2
