"""The optimizers' kernels in CUDA: one launch for all parameters, one pass over memory.

Speed is that of memory: a step of Adam reads 4 arrays and writes 3, and computes little. To keep the memory
of an H100 busy, 132 multiprocessors must each wait for some 25 kB at any moment (3.35 TB/s times about 1 us).
A thread here reads 16 bytes of each array at once, 64 bytes for Adam; 400 such threads would do, and
1280 fit, at the 48 registers that each takes. Neighboring threads read neighboring 16 bytes, which are
whole lines of memory; the flat storage aligns parameters so that stretches begin and end at such places.

The scalars are arguments of the launch, which carries them to the GPU's constant memory without a copy of its
own. A CUDA graph would freeze them: a captured step needs learning rate and corrections in an array on
the device. There is no captured step: CuPy refuses its matrix products in a capture. Should there be one,
`_kernel` is the place to read scalars from an array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...typing import Array
from .launching import Source, blocks_for

_PACK = 16
"""Bytes that a thread reads of each array at once, the most that it can."""

_SHARED = (
    rf"""
#define PACK {_PACK}
"""
    + r"""
#define LANES (PACK / (int)sizeof(REAL))
struct alignas(PACK) Pack {
    REAL lane[LANES];
};

__device__ REAL gradient_of(REAL param, REAL grad, REAL scale, REAL l2) {
    grad *= scale;
    return l2 != 0 ? grad + l2 * param : grad;  // 0 times an infinite parameter would be NaN
}

__device__ REAL average(REAL mean, REAL value, REAL beta, REAL rest) { return beta * mean + rest * value; }

__device__ REAL divided(REAL a, REAL second, REAL eps, REAL eps_root) {
    return a / (sqrt(second + eps_root) + eps);
}

__device__ REAL greater(REAL a, REAL b) { return a > b || a != a ? a : b; }  // NaN stays visible
"""
)

_KERNEL = r"""
extern "C" __global__ void {name}({parameters}, INDEX n) {{
    {once}
    auto update = [&]({elements}) {{{update}}};
    // Whole packs; then what is left of the length, or all if an array does not begin where a pack can.
    const INDEX packs = ({addresses}) % sizeof(Pack) ? 0 : n / LANES;
    EACH(i, packs) {{
        {load}
        #pragma unroll
        for (int k = 0; k < LANES; ++k) update({lanes});
        {store}
    }}
    REAL absent = 0;
    EACH(j, n - packs * LANES) {{
        const INDEX i = packs * LANES + j;
        update({singles});
    }}
}}
"""

_OPTIONAL = ("velocity", "mean", "v_max")
"""Arrays that may be absent: a rule asks for `with_velocity` and so on."""
_SWITCHES = ("adaptive", "corrected_max", "nesterov")
"""Scalars that are truth values."""


def _kernel(name: str, arrays: list[str], scalars: list[str], once: str, update: str) -> str:
    """Write the kernel that applies a rule to each element of flat arrays.

    Parameters
    ----------
    name : str
        The name of the kernel.
    arrays, scalars : list of str
        The parameters of the optimizer's `update`; the arrays' elements have their names.
    once : str
        The lines that are computed from the scalars alone, in double precision.
    update : str
        The rule: it changes one element of each array but ``grad``.
    """
    optional = [a for a in arrays if a in _OPTIONAL]
    declared = [f"{'const ' * (a == 'grad')}REAL* __restrict__ {a}_array" for a in arrays]
    declared += [f"INDEX {s}" if s in _SWITCHES else f"double {s}_" for s in scalars]
    casts = [f"const REAL {s} = {s}_;" for s in scalars if s not in _SWITCHES]
    casts += [f"const bool with_{a} = {a}_array;" for a in optional]

    def pack(a: str) -> str:
        read = f"(({'const ' * (a == 'grad')}Pack*){a}_array)[i]"
        return f"Pack {a} = with_{a} ? {read} : Pack();" if a in optional else f"Pack {a} = {read};"

    def single(a: str) -> str:
        return f"with_{a} ? {a}_array[i] : absent" if a in optional else f"{a}_array[i]"

    def stored(a: str) -> str:
        return f"{f'if (with_{a}) ' * (a in optional)}((Pack*){a}_array)[i] = {a};"

    return _KERNEL.format(
        name=name,
        parameters=", ".join(declared),
        once="\n    ".join([*casts, once]),
        elements=", ".join("REAL grad" if a == "grad" else f"REAL& {a}" for a in arrays),
        update=update,
        addresses=" | ".join(f"(size_t){a}_array" for a in arrays),
        load="\n        ".join(pack(a) for a in arrays),
        lanes=", ".join(f"{a}.lane[k]" for a in arrays),
        store="\n        ".join(stored(a) for a in arrays if a != "grad"),
        singles=", ".join(single(a) for a in arrays),
    )


_RULES = [
    # --- Without a second moment -----------------------------------------------------------------
    (
        "sgd",
        "param grad velocity",
        "scale l2 lr momentum undamped nesterov",
        "",
        """
        REAL gradient = gradient_of(param, grad, scale, l2);
        if (with_velocity) {
            velocity = momentum * velocity + undamped * gradient;
            gradient = nesterov ? gradient + momentum * velocity : velocity;
        }
        param -= lr * gradient;
        """,
    ),
    (
        "lion",
        "param grad m",
        "scale shrink lr beta1 beta2",
        "const REAL rest1 = 1 - beta1_, rest2 = 1 - beta2_;",
        """
        const REAL gradient = scale * grad;
        const REAL blend = average(m, gradient, beta1, rest1);
        m = average(m, gradient, beta2, rest2);
        param = param * shrink - (blend > 0 ? lr : blend < 0 ? -lr : lr * blend);  // NaN stays NaN
        """,
    ),
    # --- Sums and averages of squares ------------------------------------------------------------
    (
        "adagrad",
        "param grad total",
        "scale l2 lr eps initial",
        "",
        """
        const REAL gradient = gradient_of(param, grad, scale, l2);
        total += gradient * gradient;
        param -= lr * divided(gradient, total, eps, initial);
        """,
    ),
    (
        "adadelta",
        "param grad v moved",
        "scale l2 lr rho eps",
        "const REAL rest = 1 - rho_;",
        """
        const REAL gradient = gradient_of(param, grad, scale, l2);
        v = average(v, gradient * gradient, rho, rest);
        const REAL change = sqrt(moved + eps) * divided(gradient, v, 0, eps);
        moved = average(moved, change * change, rho, rest);
        param -= lr * change;
        """,
    ),
    (
        "rmsprop",
        "param grad v mean velocity",
        "scale l2 lr alpha eps momentum",
        "const REAL rest = 1 - alpha_;",
        """
        const REAL gradient = gradient_of(param, grad, scale, l2);
        v = average(v, gradient * gradient, alpha, rest);
        REAL second = v;
        if (with_mean) {
            mean = average(mean, gradient, alpha, rest);
            second = greater(second - mean * mean, 0);  // rounding can make it negative
        }
        REAL change = divided(gradient, second, eps, 0);
        if (with_velocity) change = velocity = momentum * velocity + change;
        param -= lr * change;
        """,
    ),
    # --- Adam and its relatives ------------------------------------------------------------------
    (
        "adam",
        "param grad m v v_max",
        "scale l2 shrink lr beta1 beta2 eps eps_root correction1 correction2 corrected_max",
        "const REAL rest1 = 1 - beta1_, rest2 = 1 - beta2_;\n"
        "    const REAL to_m_hat = 1 / correction1_, to_v_hat = 1 / correction2_;\n"
        "    const REAL before = corrected_max ? to_v_hat : 1, after = corrected_max ? 1 : to_v_hat;",
        """
        const REAL gradient = gradient_of(param, grad, scale, l2);
        m = average(m, gradient, beta1, rest1);
        v = average(v, gradient * gradient, beta2, rest2);
        REAL v_hat = v * to_v_hat;
        if (with_v_max) {
            v_max = greater(v * before, v_max);
            v_hat = v_max * after;
        }
        param = param * shrink - lr * divided(m * to_m_hat, v_hat, eps, eps_root);
        """,
    ),
    (
        "adamax",
        "param grad m u",
        "scale l2 lr beta1 beta2 eps correction1",
        "const REAL rest1 = 1 - beta1_, to_m_hat = 1 / correction1_;",
        """
        const REAL gradient = gradient_of(param, grad, scale, l2);
        m = average(m, gradient, beta1, rest1);
        u = greater(beta2 * u, fabs(gradient) + eps);
        param -= lr * (m * to_m_hat) / u;
        """,
    ),
    (
        "nadam",
        "param grad m v",
        "scale l2 shrink lr_grad lr_mean beta1 beta2 eps correction2",
        "const REAL rest1 = 1 - beta1_, rest2 = 1 - beta2_, to_v_hat = 1 / correction2_;",
        """
        const REAL gradient = gradient_of(param, grad, scale, l2);
        m = average(m, gradient, beta1, rest1);
        v = average(v, gradient * gradient, beta2, rest2);
        param = param * shrink - divided(lr_grad * gradient + lr_mean * m, v * to_v_hat, eps, 0);
        """,
    ),
    (
        "radam",
        "param grad m v",
        "scale l2 shrink lr beta1 beta2 eps adaptive",
        "const REAL rest1 = 1 - beta1_, rest2 = 1 - beta2_;",
        """
        const REAL gradient = gradient_of(param, grad, scale, l2);
        m = average(m, gradient, beta1, rest1);
        v = average(v, gradient * gradient, beta2, rest2);
        param = param * shrink - lr * (adaptive ? divided(m, v, eps, 0) : m);
        """,
    ),
    (
        "adabound",
        "param grad m v v_max",
        "scale l2 lr beta1 beta2 eps lower upper",
        "const REAL rest1 = 1 - beta1_, rest2 = 1 - beta2_;",
        """
        const REAL gradient = gradient_of(param, grad, scale, l2);
        m = average(m, gradient, beta1, rest1);
        v = average(v, gradient * gradient, beta2, rest2);
        if (with_v_max) v_max = greater(v, v_max);
        const REAL rate = divided(lr, with_v_max ? v_max : v, eps, 0);
        param -= (rate < lower ? lower : rate > upper ? upper : rate) * m;
        """,
    ),
    (
        "adabelief",
        "param grad m s",
        "scale l2 shrink lr beta1 beta2 eps correction1 correction2",
        "const REAL rest1 = 1 - beta1_, rest2 = 1 - beta2_;\n"
        "    const REAL to_m_hat = 1 / correction1_, to_s_hat = 1 / correction2_;",
        """
        const REAL gradient = gradient_of(param, grad, scale, l2);
        m = average(m, gradient, beta1, rest1);
        const REAL missed = gradient - m;
        s = average(s, missed * missed, beta2, rest2) + eps;
        param = param * shrink - lr * divided(m * to_m_hat, s * to_s_hat, eps, 0);
        """,
    ),
]

_OTHERS = r"""
// Some rows of a table and of its moments, each of which occurs once; grad has just these rows.
extern "C" __global__ void sparse_adam(
    REAL* table, const long long* rows, const REAL* grad, REAL* m, REAL* v,
    double scale, double lr_, double beta1_, double beta2_, double eps_,
    double correction1, double correction2, INDEX count, INDEX width
) {
    const REAL lr = lr_, beta1 = beta1_, beta2 = beta2_, eps = eps_;
    const REAL rest1 = 1 - beta1_, rest2 = 1 - beta2_;
    const REAL to_m_hat = 1 / correction1, to_v_hat = 1 / correction2;
    EACH(i, count * width) {
        const long long place = rows[i / width] * width + i % width;
        const REAL gradient = gradient_of(0, grad[i], scale, 0);
        m[place] = average(m[place], gradient, beta1, rest1);
        v[place] = average(v[place], gradient * gradient, beta2, rest2);
        table[place] -= lr * divided(m[place] * to_m_hat, v[place] * to_v_hat, eps, 0);
    }
}

// Sets a flag if an element is NaN or infinite. Whoever finds one writes the same 1.
extern "C" __global__ void find_not_finite(const REAL* flat, INDEX n, int* found) {
    EACH(i, n) {
        if (!(flat[i] - flat[i] == 0)) *found = 1;  // infinity less infinity is NaN
    }
}
"""


def _launcher(name: str, scalars: list[str]) -> Callable[..., None]:
    """Return the function that launches a kernel, to be called as the `update` of its optimizer."""

    def call(*arrays: Array, **given: float) -> None:
        first = arrays[0]
        passed = [int(given[s]) if s in _SWITCHES else float(given[s]) for s in scalars]  # lr=1 is an int
        blocks = blocks_for(-(-first.size * first.itemsize // _PACK))
        SOURCE.launch(name, first.dtype, (*arrays, *passed, first.size), blocks)

    return call


_PARTS = [(name, arrays.split(), scalars.split(), once, rule) for name, arrays, scalars, once, rule in _RULES]
SOURCE = Source(_SHARED + "".join(_kernel(*parts) for parts in _PARTS) + _OTHERS)
LAUNCHERS = {name: _launcher(name, scalars) for name, _, scalars, _, _ in _PARTS}
"""By optimizer, the function that takes a step."""
globals().update(LAUNCHERS)


def sparse_adam(
    table: Any,
    rows: Any,
    grad: Any,
    m: Any,
    v: Any,
    *,
    scale: float,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    correction1: float,
    correction2: float,
) -> None:
    """Take a step of SparseAdam; each row occurs once, so threads share none."""
    import cupy

    count, width = grad.shape
    arrays = table, rows, cupy.ascontiguousarray(grad), m, v
    scalars = map(float, (scale, lr, beta1, beta2, eps, correction1, correction2))
    SOURCE.launch("sparse_adam", table.dtype, (*arrays, *scalars, count, width), blocks_for(count * width))


def all_finite(flat: Any) -> bool:
    """Return whether no element is NaN or infinite.

    The answer is wanted on the host, so this waits for the GPU; a step asks only with ``on_nonfinite``.
    """
    import cupy

    found = cupy.zeros((), cupy.int32)
    SOURCE.launch("find_not_finite", flat.dtype, (flat, flat.size, found), blocks_for(flat.size))
    return not found.item()
