"""SparseAdam: Adam on the rows that have a gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from ..backend.device import backend_of
from ..engine.graph import Variable
from ..engine.rowsparse import RowSparse
from ..typing import Array, Xp
from .domains import Betas, NotNegative
from .flat import FlatStorage
from .lines import StepLines
from .optimizer import Optimizer, Scalars
from .quantity import sqrt
from .settings import Group


class RowStorage(FlatStorage):
    """Values and moments as in `FlatStorage`, but no place for gradients, of which most rows are zero."""

    def _bind_gradients(self) -> None:
        for p in self.params:
            p._grad_buffer = None

    def gather(self) -> Any:
        """Bring values into place, and leave gradients where they are."""
        self.follow()

    def first_not_finite(self, all_finite: Callable[[Array], bool]) -> Any:
        """Return the first parameter whose gradient is not finite, or None."""
        for p in self.params:
            if p._grad is not None and not all_finite(_rows(p)[1].reshape(-1)):
                return p
        return None


class SparseAdam(Optimizer):
    r"""Adam on the rows that have a gradient, at a cost that follows their number.

    For gradients that are `RowSparse`: those of ``Embedding(sparse=True)`` and `SparseLinear`. For
    each row i that is stored in the gradient :math:`g_t` of step t, element by element::

        m[i] = beta_1 * m[i] + (1 - beta_1) * g_t[i]
        v[i] = beta_2 * v[i] + (1 - beta_2) * g_t[i]^2
        alpha_t = alpha * sqrt(1 - beta_2^t) / (1 - beta_1^t)
        theta[i] = theta[i] - alpha_t * m[i] / (sqrt(v[i]) + epsilon)

    **How it differs from Adam.** Other rows are left as they are, moments and all. To `Adam` their
    gradient is 0: their moments decay, and they move on by what is left of m. So after a single touch
    `Adam` moves a row about ``1 / (1 - beta_1)`` times as far in the end, which is 10 times with the
    default betas; and here m and v are averages over the steps that touched the row, not over time. What
    is alike: t counts all steps of the parameter, not those that touched the row. Eps stands as in
    ``Adam(eps_at="hat")``.

    It makes no difference where every step touches every row, and little where most steps do. With a beta_1
    of 0 a row that is not touched does not move in `Adam` either, and only v differs.

    Parameters
    ----------
    params : iterable
        Parameters, pairs of name and Parameter, or groups; see `Optimizer`. A dense gradient, as of a
        bias, touches every row: this is then ``Adam(eps_at="hat")``, but one call for each parameter.
    lr : float
        Step size.
    betas : tuple of float
        Decay rates of the two moments, each in [0, 1).
    eps : float
        Added to the root of the second moment, before its correction.
    on_nonfinite : {"ignore", "skip", "raise"}
        What to do about gradients that are not finite; see `Optimizer`.

    Raises
    ------
    OptionError
        If a hyper-parameter is out of its domain.

    Notes
    -----
    This is ``torch.optim.SparseAdam``, but that PyTorch's refuses dense gradients; it is also known as
    lazy Adam. The memory is two numbers for each parameter, and none for the gradients of rows that have
    none. There is no weight decay, which would touch every row.

    References
    ----------
    D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015,
    arXiv:1412.6980.

    Examples
    --------
    The row that is not looked up stays, though a momentum is left from the first step:

    >>> import tinygrad_adam as tg
    >>> table = tg.nn.Embedding(3, 2, sparse=True)
    >>> table.weight.data = tg.zeros(3, 2)
    >>> opt = tg.optim.SparseAdam(table.parameters(), lr=0.5)
    >>> for indices in ([0, 2], [2]):
    ...     opt.zero_grad()
    ...     table(indices).sum().backward()
    ...     opt.step()
    >>> table.weight.detach().numpy().round(3)
    array([[-0.5, -0.5],
           [ 0. ,  0. ],
           [-1. , -1. ]], dtype=float32)
    """

    kernel = "sparse_adam"
    storage = RowStorage

    def __init__(
        self,
        params: Iterable[Any],
        lr: NotNegative = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: NotNegative = 1e-8,
        *,
        on_nonfinite: str = "ignore",
    ) -> None:
        super().__init__(params, locals(), on_nonfinite)

    def scalars(self, group: Group, t: int) -> Scalars:  # noqa: D102
        beta1, beta2 = group["betas"]
        correction1, correction2 = 1.0 - beta1**t, 1.0 - beta2**t
        return {
            "lr": group["lr"],
            "beta1": beta1,
            "beta2": beta2,
            # m_hat / (sqrt(v_hat) + eps / c) is m_hat * c / (sqrt(v) + eps)
            "eps": group["eps"] / math.sqrt(correction2),
            "correction1": correction1,
            "correction2": correction2,
        }

    @staticmethod
    def update(
        xp: Xp, table: Array, rows: Array, grad: Array, m: Array, v: Array, *,
        scale: float, lr: float, beta1: float, beta2: float, eps: float,
        correction1: float, correction2: float,
    ) -> None:  # fmt: skip
        """Change k rows of a table, shape (n, width), and of its moments; `grad` has shape (k, width)."""
        grad = scale * grad
        m_rows = m[rows] = beta1 * m[rows] + (1 - beta1) * grad
        v_rows = v[rows] = beta2 * v[rows] + (1 - beta2) * (grad * grad)
        table[rows] -= lr * ((m_rows / correction1) / (xp.sqrt(v_rows / correction2) + eps))

    @staticmethod
    def lines(w: StepLines) -> None:
        """Algorithm 1 of Kingma & Ba (2015), with its epsilon hat."""
        theta, t, alpha, g = w.begin("5", "6")
        beta1, beta2 = w.betas()
        m, v = w.moments(g, beta1, beta2, "7", "8")
        m_hat, v_hat = w.corrected("m", m, beta1, t, "9"), w.corrected("v", v, beta2, t, "10")
        root = w.root(v_hat)
        eps = w.let(
            "eps_scaled", "eps_t", w.setting("eps") / sqrt(1 - beta2**t), "eps hat, in terms of v_hat"
        )
        w.rate(alpha / (root + eps))
        w.signal(m_hat, root)
        w.end(theta, alpha * (m_hat / (root + eps)), "11")

    def _change(self, storage: FlatStorage, group: Group, update: Callable[..., None], scale: float) -> bool:
        stepped = False
        places = zip(*(storage.views(storage.moment(name)) for name in self.moment_names), strict=True)
        for i, (p, moments) in enumerate(zip(storage.params, places, strict=True)):
            if p._grad is None:
                continue
            stepped = True
            p._written()
            storage.steps[i] += 1
            rows, grad, shape = _rows(p)
            table, m, v = (whole.reshape(shape) for whole in (p._data, *moments))
            update(table, rows, grad, m, v, scale=scale, **self.scalars(group, storage.steps[i]))
        return stepped


def _rows(p: Any) -> tuple[Array, Array, tuple[int, int]]:
    """Return the rows that have a gradient, their gradients as a matrix, and the shape of the table.

    A dense gradient is that of a table with one long row.
    """
    g = p._grad
    if isinstance(g, RowSparse):
        width = math.prod(g.shape[1:])
        return g.rows, g.values.reshape(len(g.rows), width), (g.shape[0], width)
    if isinstance(g, Variable):  # it carries a graph
        g = g._data
    return backend_of((g,)).xp.zeros(1, "int64"), g.reshape(1, p.size), (1, p.size)
