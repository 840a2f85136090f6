"""Plain text for people: numbers with their nouns, and tables."""

from __future__ import annotations

from collections.abc import Sequence


def counted(count: int, noun: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> counted(1, "epoch"), counted(2000, "epoch")
    ('1 epoch', '2,000 epochs')
    """
    return f"{count:,} {noun}{'s' * (count != 1)}"


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Return lines whose columns stand below each other: the first `left` flush left, the others right.

    Examples
    --------
    >>> aligned([["weight", "12"], ["bias", "3"]])
    ['weight  12', 'bias     3']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
