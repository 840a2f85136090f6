"""Exercise: write a custom operation with its rules.

Define the primitive ``y = tanh(x * w)``, where w has an entry for each column of x and is broadcast over the
rows. Write the rule for x and the rule for w: each receives the values that its parameters name, and returns
g times the derivative. `tg.testing.grade` checks whether they are right.

This file contains a correct answer and three wrong ones, and prints the grade of each.
"""

import tinygrad_adam as tg


@tg.primitive(
    x=lambda g, y, w: g * (1 - y**2) * w,
    w=lambda g, y, x: g * (1 - y**2) * x,
)
def right(xp, x, w):
    return xp.tanh(x * w)


@tg.primitive(
    x=lambda g, y: g * (1 - y**2),  # stops at the tanh: the chain goes on to x * w
    w=lambda g, y, x: g * (1 - y**2) * x,
)
def outer_derivative_only(xp, x, w):
    return xp.tanh(x * w)


@tg.primitive(
    x=lambda g, x, w: g * (1 - x**2) * w,  # the derivative of tanh is 1 - tanh^2, not 1 - x^2
    w=lambda g, y, x: g * (1 - y**2) * x,
)
def input_for_output(xp, x, w):
    return xp.tanh(x * w)


@tg.primitive(
    x=lambda g, y, w: g * (1 - y**2) * w,
    w=lambda g, y, x: (g * (1 - y**2) * x)[0],  # takes only one row, but w was used in all of them
)
def first_row_only(xp, x, w):
    return xp.tanh(x * w)


ATTEMPTS = (right, outer_derivative_only, input_for_output, first_row_only)


def wanted(x, w):
    return tg.tanh(x * w)


if __name__ == "__main__":
    for attempt in ATTEMPTS:
        print(tg.testing.grade(attempt, reference=wanted, inputs=[(4, 3), (3,)]), end="\n\n")
