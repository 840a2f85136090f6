"""Einstein sums: products of operands, summed over the indices that the output does not name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..engine.graph import primitive
from ..errors import DTypeError, ShapeError
from ..typing import Array, TensorLike, Xp
from .diagonals import diagonal
from .linalg import shaped
from .reduction import sum
from .shaping import moveaxis, transpose

__all__ = ["einsum"]


def _einsum_rule(g: Array, operands: list[Any], index: int, subscripts: str) -> Array:
    """Exchange the roles of the output and one operand."""
    inputs, output = subscripts.split("->")
    terms = inputs.split(",")
    target = terms.pop(index)
    others = operands[:index] + operands[index + 1 :]
    return _einsum(g, *others, subscripts=f"{','.join([output, *terms])}->{target}")


@primitive(operands=_einsum_rule)
def _einsum(xp: Xp, *operands: Array, subscripts: str) -> Array:
    """Einstein sum in which each term has distinct letters, each of them found elsewhere too."""
    # As matrix products, where that pays: they are faster, and do not add many terms one by one.
    large = max(getattr(operand, "size", 1) for operand in operands) > 1024  # of numbers, 1
    return xp.einsum(subscripts, *operands, optimize=large or len(operands) > 2)


def einsum(subscripts: str, *operands: TensorLike) -> Array:
    """Sum products of operands over the indices that the output does not name.

    Parameters
    ----------
    subscripts : str
        As in NumPy, with an explicit or implicit output, repeated letters and ellipses.
    *operands : Tensor or array
        One for each term.

    Raises
    ------
    ShapeError
        If terms and operands do not match, or sizes of one letter differ.
    DTypeError
        If `subscripts` is no text, or an operand holds no numbers.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.einsum("ii", tg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    if not isinstance(subscripts, str):
        raise DTypeError("einsum", "subscripts come first, as in einsum('ij,jk', a, b)", got=repr(subscripts))
    operands = shaped("einsum", *operands)
    terms, output = _explicit_terms(subscripts, operands)
    # The primitive's rule holds for terms of distinct letters that occur elsewhere: take the
    # diagonal of what repeats and sum over what stands alone first.
    simple = list(operands)
    sizes: dict[str, int] = {}
    for i, term in enumerate(terms):
        for letter, size in zip(term, operands[i].shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                if 1 not in (sizes[letter], size):
                    raise ShapeError(
                        "einsum",
                        f"sizes of {letter!r} differ",
                        subscripts=subscripts,
                        sizes=(sizes[letter], size),
                    )
                sizes[letter] = max(sizes[letter], size)
        for letter in sorted(set(term)):
            while term.count(letter) > 1:
                first = term.index(letter)
                second = term.index(letter, first + 1)
                if simple[i].shape[first] != simple[i].shape[second]:
                    raise ShapeError(
                        "einsum",
                        f"sizes of {letter!r} differ",
                        subscripts=subscripts,
                        operand=tuple(operands[i].shape),
                    )
                simple[i] = moveaxis(diagonal(simple[i], axis1=first, axis2=second), -1, 0)
                term = letter + term[:first] + term[first + 1 : second] + term[second + 1 :]
        terms[i] = term
    for i, term in enumerate(terms):
        elsewhere = output + "".join(terms[:i] + terms[i + 1 :])
        alone = tuple(axis for axis, letter in enumerate(term) if letter not in elsewhere)
        if alone:
            simple[i] = sum(simple[i], axis=alone)
            terms[i] = "".join(letter for letter in term if letter in elsewhere)
    if len(terms) == 1 and sorted(terms[0]) == sorted(output):
        # NumPy would return a view here, and only a primitive that says so may.
        return transpose(simple[0], axes=tuple(terms[0].index(letter) for letter in output))
    return _einsum(*simple, subscripts=f"{','.join(terms)}->{output}")


def _explicit_terms(subscripts: str, operands: Sequence[Any]) -> tuple[list[str], str]:
    """Spell ellipses and an implicit output out in letters."""
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(operands):
        raise ShapeError(
            "einsum", "there must be one term for each operand", subscripts=subscripts, operands=len(operands)
        )
    unused = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if c not in subscripts]
    longest = ""
    for i, (term, array) in enumerate(zip(terms, operands, strict=True)):
        hidden = array.ndim - len(term.replace("...", ""))
        if hidden < 0 or (hidden and "..." not in term):
            raise ShapeError(
                "einsum",
                f"term {term!r} does not fit its operand",
                subscripts=subscripts,
                operand=tuple(array.shape),
            )
        # Broadcasting aligns at the end, so the last of the spare letters is shared by all.
        letters = "".join(unused[len(unused) - hidden :])
        longest = max(longest, letters, key=len)
        terms[i] = term.replace("...", letters)
    if not arrow:
        joined = "".join(terms)
        output = longest + "".join(
            sorted(c for c in set(joined) if joined.count(c) == 1 and c not in longest)
        )
    return terms, output.replace("...", longest)
