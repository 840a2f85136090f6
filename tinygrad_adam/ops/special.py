"""The error function, which NumPy lacks."""

from __future__ import annotations

import math

from ..engine.graph import primitive
from ..typing import Array, Xp

__all__ = ["erf"]

# W. J. Cody, "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969):
# numerator and denominator, highest power first, for |x| <= 0.46875, up to 4, and beyond 4.
_ERF_NUMERATOR = (
    1.85777706184603153e-1,
    3.16112374387056560,
    1.13864154151050156e2,
    3.77485237685302021e2,
    3.20937758913846947e3,
)
_ERF_DENOMINATOR = (
    1.0,
    2.36012909523441209e1,
    2.44024637934444173e2,
    1.28261652607737228e3,
    2.84423683343917062e3,
)
_ERFC_NUMERATOR = (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1,
                   2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3,
                   1.23033935479799725e3)  # fmt: skip
_ERFC_DENOMINATOR = (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2,
                     1.62138957456669019e3, 3.29079923573345963e3, 4.36261909014324716e3,
                     3.43936767414372164e3, 1.23033935480374942e3)  # fmt: skip


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    """Evaluate a polynomial by Horner's scheme, from the coefficient of the highest power down."""
    total = coefficients[0]
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


@primitive(a=lambda xp, g, a: g * (2 / math.sqrt(math.pi)) * xp.exp(-a * a))
def erf(xp: Xp, a: Array) -> Array:
    """Error function, 2/sqrt(pi) times the integral of exp(-t**2) from 0 to `a`, to double precision."""
    size = xp.abs(a)
    small = xp.minimum(size, 0.46875)
    square = small * small
    near = small * _polynomial(_ERF_NUMERATOR, square) / _polynomial(_ERF_DENOMINATOR, square)
    # Beyond 6 the complement is below half a unit in the last place of 1.
    large = xp.clip(size, 0.46875, 6.0)
    complement = (
        xp.exp(-large * large) * _polynomial(_ERFC_NUMERATOR, large) / _polynomial(_ERFC_DENOMINATOR, large)
    )
    value = xp.where(size <= 0.46875, near, 1.0 - complement)
    return xp.where(xp.isnan(a), a, xp.sign(a) * value)
