"""Exercise: write Adam from Algorithm 1 of the paper.

Write ``update(p, g, state, lr, beta1, beta2, eps)``. It takes a parameter, its gradient, and a dict that
is empty in the first step and is passed again in the next; it returns the new parameter. `tg.testing.grade`
checks whether the updates equal those of the paper.

This file contains a correct answer and three wrong ones, and prints the grade of each.
"""

import numpy as np

import tinygrad_adam as tg


def right(p, g, state, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return p - lr * m_hat / (np.sqrt(v_hat) + eps)


def no_bias_correction(p, g, state, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    return p - lr * m / (np.sqrt(v) + eps)


def no_power_of_t(p, g, state, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    m_hat = m / (1 - beta1)
    v_hat = v / (1 - beta2)
    return p - lr * m_hat / (np.sqrt(v_hat) + eps)


def eps_inside_the_root(p, g, state, lr=1e-3, beta1=0.9, beta2=0.999, eps=10e-8):  # note that 10e-8 is 1e-7
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return p - lr * m_hat / np.sqrt(v_hat + eps)


ATTEMPTS = (right, no_bias_correction, no_power_of_t, eps_inside_the_root)

if __name__ == "__main__":
    for attempt in ATTEMPTS:
        print(tg.testing.grade(attempt, reference="adam"), end="\n\n")
