"""Each optimizer's step as lines of a ledger, written as its paper and its docstring are.

Lines of Kingma & Ba's algorithms are counted from ``m_0 = 0``, as they stand below "Require": t is
line 5 of Algorithm 1, g 6, m 7, v 8, m_hat 9, v_hat 10 and theta 11.
"""

from __future__ import annotations

from collections.abc import Callable

from ...optim.lines import StepLines
from ...optim.nadam import momentum, momentum_products
from ...optim.quantity import absolute, clip, maximum, sign, sqrt, square
from ...optim.radam import rectification


def adam(w: StepLines) -> None:
    """Algorithm 1 of Kingma & Ba (2015)."""
    s = w.settings
    theta, t, alpha, g = w.begin("5", "6")
    beta1, beta2 = w.betas()
    beta1_t = beta1
    if s["beta1_decay"] != 1:
        decayed = beta1 * w.setting("beta1_decay") ** (t - 1)
        beta1_t = w.let("beta1_t", "beta_{1,t}", decayed, "first beta of this step, section 4")
    m, v = w.moments(g, beta1_t, beta2, "7", "8")
    corrected = s["bias_correction"]
    m_hat = w.corrected("m", m, beta1, t, "9") if corrected else m
    v_hat = v
    if s["amsgrad"] and not s["amsgrad_after_correction"]:
        v_hat = w.let(
            "v_max", "v_max_t", maximum(w.before("v_max", "v_max"), v), "greatest v so far: AMSGrad"
        )
    if corrected:
        v_hat = w.corrected("v", v_hat, beta2, t, "10")
    if s["amsgrad"] and s["amsgrad_after_correction"]:
        greatest = maximum(w.before("v_max", "v_max"), v_hat)
        v_hat = w.let("v_max", "v_max_t", greatest, "greatest v_hat so far: AMSGrad")
    eps = w.setting("eps")
    root = w.root(v_hat + eps if s["eps_at"] == "inside" else v_hat)
    divisor = root if s["eps_at"] == "inside" else root + eps
    if s["eps_at"] == "hat" and corrected:
        # Outside the root of v: m_hat * c / (sqrt(v) + eps), with c the root of the correction.
        scaled = w.let("eps_scaled", "eps_t", eps / sqrt(1 - beta2**t), "eps hat, in terms of v_hat")
        divisor = root + scaled
    w.rate(alpha / divisor)
    w.signal(m_hat, root)
    left = w.decayed(theta, alpha)
    w.end(theta, alpha * (m_hat / divisor), "11", left)


def sparse_adam(w: StepLines) -> None:
    """Algorithm 1 of Kingma & Ba (2015), with its epsilon hat."""
    theta, t, alpha, g = w.begin("5", "6")
    beta1, beta2 = w.betas()
    m, v = w.moments(g, beta1, beta2, "7", "8")
    m_hat, v_hat = w.corrected("m", m, beta1, t, "9"), w.corrected("v", v, beta2, t, "10")
    root = w.root(v_hat)
    eps = w.let("eps_scaled", "eps_t", w.setting("eps") / sqrt(1 - beta2**t), "eps hat, in terms of v_hat")
    w.rate(alpha / (root + eps))
    w.signal(m_hat, root)
    w.end(theta, alpha * (m_hat / (root + eps)), "11")


def adamax(w: StepLines) -> None:
    """Algorithm 2 of Kingma & Ba (2015), with eps as in PyTorch."""
    theta, t, alpha, g = w.begin("5", "6")
    beta1, beta2 = w.betas()
    mean = w.average(w.before("m", "m"), g, beta1)
    m = w.let("m", "m_t", mean, "first moment: mean of gradients", "7")
    largest = maximum(beta2 * w.before("u", "u"), absolute(g) + w.setting("eps"))
    u = w.let("u", "u_t", largest, "weighted infinity norm of the gradients", "8")
    m_hat = w.corrected("m", m, beta1, t)
    w.rate(alpha / u)
    w.end(theta, alpha * m_hat / u, "9")


def nadam(w: StepLines) -> None:
    """Algorithm 2 of Dozat (2016)."""
    s = w.settings
    theta, t, alpha, g = w.begin()
    beta1, beta2 = w.betas()
    beta, decay, number = s["betas"][0], s["momentum_decay"], w.step.number
    mu = w.given("mu", "mu_t", momentum(beta, decay, number), "momentum of this step, section 3")
    mu_next = w.given("mu_next", "mu_{t+1}", momentum(beta, decay, number + 1), "momentum of the next step")
    products = momentum_products(beta, decay)
    product = products[number] if number < len(products) else 0.0
    P = w.given("product", "P_t", product, "product of the momenta of steps 1 to t")
    m, v = w.moments(g, beta1, beta2)
    ahead = mu_next / (1 - P * mu_next) * m + (1 - mu) / (1 - P) * g
    m_bar = w.let("m_bar", "m_bar_t", ahead, "first moment, corrected, looked ahead with")
    v_hat = w.corrected("v", v, beta2, t)
    root = w.root(v_hat)
    divisor = root + w.setting("eps")
    w.rate(alpha / divisor)
    w.signal(m_bar, root)
    left = w.decayed(theta, alpha)
    w.end(theta, alpha * (m_bar / divisor), "", left)


def radam(w: StepLines) -> None:
    """Algorithm 2 of Liu et al. (2020)."""
    theta, t, alpha, g = w.begin()
    beta1, beta2 = w.betas()
    m, v = w.moments(g, beta1, beta2)
    m_hat = w.corrected("m", m, beta1, t)
    factor = rectification(w.settings["betas"][1], w.step.number)
    left = w.decayed(theta, alpha)
    if factor is None:
        w.rate(alpha, "effective learning rate, until v has seen enough gradients")
        w.end(theta, alpha * m_hat, "", left)
        return
    r = w.given("rectification", "r_t", factor, "rectification: how sure v is")
    v_hat = w.corrected("v", v, beta2, t)
    root = w.root(v)
    rate = alpha * r * sqrt(1 - beta2**t) / (root + w.setting("eps"))
    w.rate(rate)
    w.signal(m_hat, sqrt(v_hat))
    w.end(theta, alpha * r * sqrt(1 - beta2**t) * (m_hat / (root + w.setting("eps"))), "", left)


def adabound(w: StepLines) -> None:
    """Algorithms 2 and 3 of Luo et al. (2019)."""
    theta, t, alpha, g = w.begin()
    beta1, beta2 = w.betas()
    m, v = w.moments(g, beta1, beta2)
    final = w.setting("final_lr") * alpha / w.setting("base_lr")
    final = w.let("final_lr", "final_t", final, "where the bounds meet")
    progress = w.setting("gamma") * t
    low = w.let("lower", "lower_t", final * (1 - 1 / (progress + 1)), "lower bound")
    high = w.let("upper", "upper_t", final * (1 + 1 / progress), "upper bound")
    if "v_max" in w.step.moments:
        v = w.let("v_max", "v_max_t", maximum(w.before("v_max", "v_max"), v), "greatest v so far")
    root = w.root(v)
    free = alpha * sqrt(1 - beta2**t) / (1 - beta1**t) / (root + w.setting("eps"))
    free = w.let("free_rate", "free_t", free, "rate of Adam, without bounds")
    rate = w.let("effective_lr", "rate_t", clip(free, low, high), "effective learning rate of this entry")
    w.signal(m / (1 - beta1**t), sqrt(v / (1 - beta2**t)))
    w.end(theta, rate * m)


def adabelief(w: StepLines) -> None:
    """Algorithm 2 of Zhuang et al. (2020)."""
    theta, t, alpha, g = w.begin()
    beta1, beta2 = w.betas()
    eps = w.setting("eps")
    mean = w.average(w.before("m", "m"), g, beta1)
    m = w.let("m", "m_t", mean, "first moment: mean of gradients")
    missed = w.let("missed", "e_t", g - m, "by how much the mean missed the gradient")
    spread = w.average(w.before("s", "s"), square(missed), beta2) + eps
    s = w.let("s", "s_t", spread, "mean of the squares of that")
    m_hat = w.corrected("m", m, beta1, t)
    s_hat = w.let("s_hat", "s_hat_t", s / (1 - beta2**t), "the same, its bias corrected")
    root = w.root(s_hat)
    w.rate(alpha / (root + eps))
    left = w.decayed(theta, alpha)
    w.end(theta, alpha * (m_hat / (root + eps)), "", left)


def lion(w: StepLines) -> None:
    """Algorithm 2 of Chen et al. (2023)."""
    theta, _, lr, g = w.begin(lr="lr", decoupled=True)
    beta1, beta2 = w.betas()
    m = w.before("m", "m")
    c = w.let("c", "c_t", w.average(m, g, beta1), "blend of mean and gradient")
    left = w.decayed(theta, lr)
    w.end(theta, lr * sign(c), "", left)
    w.let("m", "m_t", w.average(m, g, beta2), "mean of gradients, for the next step")


def sgd(w: StepLines) -> None:
    """Momentum as Sutskever et al. (2013) write it, in PyTorch's form."""
    s = w.settings
    theta, _, lr, g = w.begin(lr="lr")
    along = g
    if s["momentum"]:
        source = "eq. 3" if s["nesterov"] else "eq. 1"
        rest, new = w.setting("momentum"), g
        if w.step.number > 1:
            share = (1 - w.setting("dampening")) * g if s["dampening"] else g
            new = rest * w.before("velocity", "u") + share
        along = w.let("velocity", "u_t", new, "velocity", source)
        if s["nesterov"]:
            along = w.let("ahead", "d_t", g + rest * along, "velocity, looked ahead with", source)
    w.let("effective_lr", "rate_t", lr, "effective learning rate, of every entry")
    w.end(theta, lr * along, "eq. 4" if s["nesterov"] else "eq. 2" if s["momentum"] else "")


def adagrad(w: StepLines) -> None:
    """Equation 1 of Duchi et al. (2011), the diagonal case."""
    theta, _, alpha, g = w.begin()
    s = w.let("total", "s_t", w.before("total", "s") + square(g), "sum of squared gradients")
    initial = w.setting("initial_accumulator_value", "initial")
    root = w.root(s + initial if initial.value else s)
    divisor = root + w.setting("eps")
    w.rate(alpha / divisor)
    w.end(theta, alpha * (g / divisor), "eq. 1")


def adadelta(w: StepLines) -> None:
    """Algorithm 1 of Zeiler (2012)."""
    theta, _, lr, g = w.begin(lr="lr")
    rho, eps = w.setting("rho"), w.setting("eps")
    moved = w.before("moved", "E[dx^2]")
    mean = w.average(w.before("v", "E[g^2]"), square(g), rho)
    v = w.let("v", "E[g^2]_t", mean, "mean of squared gradients", "eq. 8")
    rms_g = w.let("rms_g", "RMS[g]_t", sqrt(v + eps), "their root", "eq. 9")
    rms_dx = w.let("rms_dx", "RMS[dx]_{t-1}", sqrt(moved + eps), "root mean square of past steps", "eq. 9")
    dx = w.let("dx", "dx_t", rms_dx * (g / rms_g), "step before lr", "eq. 14")
    w.let("moved", "E[dx^2]_t", w.average(moved, square(dx), rho), "mean of squared steps")
    w.rate(lr * (rms_dx / rms_g))
    w.end(theta, lr * dx)


def rmsprop(w: StepLines) -> None:
    """Hinton's lecture 6.5, slide 29; equations 38 to 41 of Graves (2013)."""
    s = w.settings
    theta, _, lr, g = w.begin(lr="lr")
    decay = w.setting("alpha")
    mean = w.average(w.before("v", "v"), square(g), decay)
    v = w.let("v", "v_t", mean, "mean of squared gradients", "eq. 38")
    if s["centered"]:
        a = w.let("mean", "a_t", w.average(w.before("mean", "a"), g, decay), "mean of gradients", "eq. 39")
        v = w.let("variance", "var_t", maximum(v - square(a), 0), "their variance")
    root = w.root(v)
    divisor = root + w.setting("eps")
    w.rate(lr / divisor)
    d = w.let("scaled", "d_t", g / divisor, "gradient over its root mean square")
    if s["momentum"]:
        velocity = w.setting("momentum") * w.before("velocity", "u") + d
        d = w.let("velocity", "u_t", velocity, "velocity", "eq. 40")
    w.end(theta, lr * d, "eq. 41")


ALGORITHMS: dict[str, Callable[[StepLines], None]] = {
    f.__name__: f
    for f in (
        adam, sparse_adam, adamax, nadam, radam, adabound, adabelief, lion, sgd, adagrad, adadelta, rmsprop
    )
}  # fmt: skip
"""The lines of the optimizers that do not declare them, by the name of their kernel."""
