"""Averages of the weights over the steps, which often predict better than the last ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..backend.device import asarray, device_of, on_device_of, to_device, to_host
from ..backend.scopes import scope
from ..engine.graph import look_at
from ..errors import OptionError, StateError
from ..nn import Module
from ..nn.state import misfit, require_state, saved_array
from ..values import is_integer, is_number
from .settings import Settled


class WeightAverage(Settled):
    r"""Base of the averages: each `update` moves the average towards the weights by a share.

    A subclass gives the share of the newest weights, :math:`w_t` with t from 1:

    .. math::
        \bar\theta_t = \bar\theta_{t-1} + w_t (\theta_t - \bar\theta_{t-1}), \qquad w_1 = 1.

    Parameters
    ----------
    model : Module
        Its parameters, as they are registered now, are averaged. Its buffers are left alone: when the model
        computes with averaged weights, its BatchNorm layers use the running statistics of the last ones.

    Attributes
    ----------
    count : int
        How many weights the average is made of.

    Raises
    ------
    OptionError
        If the model has no parameters.
    """

    def __init__(self, model: Module) -> None:
        self._name = type(self).__name__
        named = dict(model.named_parameters())
        if not named:
            raise OptionError(
                self._name, "the model has no parameters to average", model=type(model).__name__
            )
        self._parameters = named
        self._averages: dict[str, Any] = {}
        self._applied = False
        self.count = 0

    def weight(self, count: int) -> float:
        """Return the share of the newest weights when there are `count` of them."""
        raise NotImplementedError

    def update(self) -> None:
        """Take in the weights as they are now; call it after ``optimizer.step()``.

        Raises
        ------
        OptionError
            Inside `applied`, where the model holds the average.
        """
        if self._applied:
            raise OptionError(
                f"{self._name}.update", "the model holds the average; leave the `with applied()` block first"
            )
        self.count += 1
        share = self.weight(self.count)
        for name, p in self._parameters.items():
            average = self._averages.get(name)
            value = look_at(p, f"{self._name}.update")
            with on_device_of(value, f"{self._name}.update"):
                if average is None:
                    self._averages[name] = value.copy()
                    continue
                average = self._averages[name] = _beside(average, value)
                average += share * (value - average)

    def copy_to_model(self) -> None:
        """Make the average the model's weights, for good; see `applied` for a while.

        Raises
        ------
        OptionError
            If there is no average yet.
        """
        if self.count == 0:
            raise OptionError(self._name, "there is no average yet; call update() after optimizer.step()")
        for name, p in self._parameters.items():
            p.data = self._averages[name]

    @scope
    def applied(self) -> Iterator[None]:
        """Make the average the model's weights inside a ``with`` block.

        After it, also after an error, they are bit for bit what they were.

        Raises
        ------
        OptionError
            If there is no average yet, or inside another such block.
        """
        if self._applied:
            raise OptionError(f"{self._name}.applied", "the model holds the average already")
        before = {name: p.detach().copy()._data for name, p in self._parameters.items()}
        self._applied = True
        try:
            self.copy_to_model()
            yield
        finally:
            self._applied = False
            for name, p in self._parameters.items():
                p.data = before[name]

    # --- State ---------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs.

        Returns
        -------
        dict
            ``"average"``: the class's name; ``"count"``; ``"weights"``: for each parameter its average so far
            as a NumPy array, by name. They can be loaded into a model of the same kind.
        """
        weights = {name: to_host(average).copy() for name, average in self._averages.items()}
        return {"average": self._name, "count": self.count, "weights": weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state that `state_dict` returned; nothing is changed if something does not fit.

        Raises
        ------
        StateError
            If it is of another kind of average, or of a model with other parameters.
        """
        require_state(self._name, state, "average")
        if state["average"] != self._name:
            raise StateError(self._name, "the state is of another average", saved=state["average"])
        require_state(self._name, state, "count", "weights")
        require_state(self._name, state["weights"])
        if not is_integer(state["count"], 0):
            raise StateError(self._name, "count must be a number of updates", count=repr(state["count"]))
        count = int(state["count"])
        weights = {name: saved_array(value, self._name) for name, value in state["weights"].items()}
        here = {name: p.shape for name, p in self._parameters.items()} if count else {}
        there = {name: value.shape for name, value in weights.items()}
        if here != there:
            differing = sorted(name for name in {*here, *there} if here.get(name) != there.get(name))
            raise StateError(
                self._name,
                "the averages are of a model with other parameters",
                names=", ".join(differing),
                here=[here.get(name) for name in differing],
                there=[there.get(name) for name in differing],
            )
        problems = {name: misfit(value, self._parameters[name].dtype) for name, value in weights.items()}
        unfit = {name: problem for name, problem in problems.items() if problem}
        if unfit:
            raise StateError(self._name, "averages do not fit", **unfit)
        self.count = count
        self._averages = {
            name: asarray(value.copy(), dtype=p.dtype, device=p.device)
            for name, p in self._parameters.items()
            if (value := weights.get(name)) is not None
        }

    def __repr__(self) -> str:
        size = sum(p.size for p in self._parameters.values())
        return f"{self._name}({size:,} numbers, {self.count:,} updates)"


class ExponentialMovingAverage(WeightAverage):
    r"""The exponential moving average of the weights, with the paper's bias correction.

    Section 7.2 of the Adam paper begins with zeros, keeps

    .. math::
        \bar\theta_t = \beta \bar\theta_{t-1} + (1 - \beta) \theta_t

    and divides it by :math:`1 - \beta^t`. What this class keeps is that quotient. It begins as the first
    weights, moves towards the newest by :math:`w_t = (1 - \beta) / (1 - \beta^t)`, and is in the long run
    about the mean of the last :math:`1 / (1 - \beta)`.

    Parameters
    ----------
    model : Module
        Its parameters are averaged, its buffers left alone; see `WeightAverage`.
    decay : float
        :math:`\beta`, in [0, 1): the share of the old that each update keeps in the long run.

    Raises
    ------
    OptionError
        If `decay` is not in [0, 1), or the model has no parameters.

    Notes
    -----
    PyTorch's ``get_ema_multi_avg_fn`` does not correct: there the first weights keep the share
    :math:`\beta^{t-1}`.

    References
    ----------
    D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015,
    arXiv:1412.6980, section 7.2.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> model = tg.nn.Linear(1, 1, bias=False)
    >>> average = tg.optim.ExponentialMovingAverage(model, decay=0.5)
    >>> for value in (1.0, 4.0):
    ...     model.weight.data = [[value]]
    ...     average.update()
    >>> with average.applied():
    ...     model.weight.item()  # (0.5 * 1 + 4) / 1.5
    3.0
    >>> model.weight.item()
    4.0
    """

    def __init__(self, model: Module, decay: float = 0.999) -> None:
        if not is_number(decay) or not 0 <= decay < 1:
            raise OptionError("ExponentialMovingAverage", "decay must be in [0, 1)", decay=decay)
        super().__init__(model)
        self.decay = decay

    def weight(self, count: int) -> float:  # noqa: D102
        return (1 - self.decay) / (1 - self.decay**count)


class PolyakAverage(WeightAverage):
    r"""The mean of the weights of all steps: Polyak-Ruppert averaging.

    :math:`\bar\theta_t = \frac{1}{t} \sum_{k=1}^{t} \theta_k`. The first update may come late in training, as
    the weights of the first steps are not worth remembering.

    Parameters
    ----------
    model : Module
        Its parameters are averaged, its buffers left alone; see `WeightAverage`.

    Raises
    ------
    OptionError
        If the model has no parameters.

    References
    ----------
    B. T. Polyak and A. B. Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM
    Journal on Control and Optimization 30(4), 1992. D. Ruppert, "Efficient Estimations from a Slowly
    Convergent Robbins-Monro Process", technical report, Cornell University, 1988.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> model = tg.nn.Linear(1, 1, bias=False)
    >>> average = tg.optim.PolyakAverage(model)
    >>> for value in (1.0, 4.0, 10.0):
    ...     model.weight.data = [[value]]
    ...     average.update()
    >>> average.copy_to_model()
    >>> model.weight.item()
    5.0
    """

    def weight(self, count: int) -> float:  # noqa: D102
        return 1 / count


def _beside(average: Any, values: Any) -> Any:
    """Bring an array to the device and dtype of another one, if it is not there already."""
    return to_device(average, device_of(values)).astype(values.dtype, copy=False)
