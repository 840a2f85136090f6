"""The configuration of a run: the declaration of a field is its attribute, its check and its option."""

import dataclasses
import inspect
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, get_args, get_origin

import numpy

from ..backend.device import device
from ..data import DATASETS
from ..errors import OptionError, unknown_name
from ..optim import OPTIMIZERS, SCHEDULES
from ..values import integer, is_number, plain

DEFAULT_EPOCHS = {"digits": 40, "cifar10": 10}


def setting(default: object, about: str, **rules: object) -> Any:
    """Declare a field of `RunConfig`. It takes None if that is its default.

    Parameters
    ----------
    default : object
        Its default.
    about : str
        A text for the documentation and for the help of the command line.
    **rules
        ``unset``, the meaning of None; ``least``, the least value of an integer; ``within``, the domain of a
        number: its description and a function that checks a number; ``known``, the kind of thing that a text
        names and the table of names.
    """
    return field(default=default, metadata={"about": about, **rules})


def _documented(cls: type) -> type:
    """Write the fields into the docstring of their class."""
    lines = [inspect.cleandoc(cls.__doc__ or ""), "", "Attributes", "----------"]
    for each in dataclasses.fields(cls):
        unset = each.metadata.get("unset")
        lines.append(f"{each.name} : {inspect.formatannotation(each.type).replace(' | ', ' or ')}")
        lines.append(f"    {each.metadata['about']}" + (f" None: {unset}." if unset else ""))
    cls.__doc__ = "\n".join(lines)
    return cls


@_documented
@dataclass
class RunConfig:
    """All that determines a run.

    Schedules that end with the run know its length, the greatest learning rate of "one-cycle" is the
    optimizer's, and "constant" changes nothing, unless `schedule_settings` say otherwise. `device` becomes
    the full name of the device that was found.

    Raises
    ------
    OptionError
        If a value has the wrong type or is out of its domain, or a name is not known.
    DeviceError
        If the device cannot be used.
    """

    data: str = setting("digits", "Data set; see the command 'datasets'.", known=("data set", DATASETS))
    model: str = setting(
        "mlp:256,256",
        "mlp:256,128 with the hidden sizes, cnn, cnn:paper, or file.py:function, a function of yours that "
        "takes input_shape and classes and returns a Module.",
    )
    dropout: float = setting(
        0.3, "Share of hidden units dropped in training.", within=("in [0, 1)", lambda share: 0 <= share < 1)
    )
    optimizer: str = setting("adam", f"{', '.join(OPTIMIZERS)}.")
    settings: dict[str, Any] = field(
        default_factory=dict, metadata={"about": "Hyper-parameters of the optimizer."}
    )
    schedule: str = setting(
        "cosine",
        f"How the learning rate changes: {', '.join(SCHEDULES)}.",
        known=("schedule", SCHEDULES),
    )
    schedule_settings: dict[str, Any] = field(
        default_factory=dict, metadata={"about": "Settings of the schedule."}
    )
    schedule_per: str = setting("epoch", "When it changes: epoch or step.")
    epochs: int | None = setting(
        None,
        "Passes over the training images.",
        unset="40 on digits, 5 for a cnn on mnist, else 10",
        least=1,
    )
    batch_size: int = setting(64, "Images a step.", least=1)
    validation: float = setting(
        0.1,
        "Share of the training images held out to choose the best epoch.",
        within=("a share between 0 and 1", lambda share: 0 < share < 1),
    )
    augment: bool | None = setting(
        None, "Shift training images by up to 4 pixels, and mirror them.", unset="on cifar10"
    )
    max_grad_norm: float | None = setting(None, "Scale gradients down to this norm.")
    patience: int | None = setting(None, "Stop after so many epochs without improvement.", least=0)
    seed: int = setting(0, "Fixes weights, shuffles and dropout.", least=0)
    device: str = setting(
        "cpu", "Where to compute: cpu, cuda, cuda:N, or auto, the GPU if there is one to use."
    )

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            if value is not None or each.default is not None:
                setattr(self, each.name, _checked(each, value))
        if self.epochs is None:
            self.epochs = DEFAULT_EPOCHS.get(self.data, 5 if self.model.startswith("cnn") else 10)
        if self.augment is None:
            self.augment = self.data == "cifar10"
        self.device = device(self.device)


def _checked(declared: dataclasses.Field[Any], value: Any) -> Any:
    """Return the value of a field, with Python's numbers, which JSON can hold, in place of NumPy's."""
    name, rules = declared.name, declared.metadata
    kind: Any = get_args(declared.type)[0] if isinstance(declared.type, UnionType) else declared.type
    if kind is int:
        return integer("run", name, value, rules["least"])
    if kind is float and not is_number(value):
        raise OptionError("run", f"{name} must be a finite number", **{name: repr(value)})
    if isinstance(value, dict):
        value = {key: v.tolist() if isinstance(v, numpy.ndarray) else v for key, v in value.items()}
    value = plain(value)
    if kind is not float and not isinstance(value, get_origin(kind) or kind):
        raise OptionError("run", f"{name} is of the wrong type", **{name: repr(value)})
    if "within" in rules:
        domain, holds = rules["within"]
        if not holds(value):
            raise OptionError("run", f"{name} must be {domain}", **{name: value})
    if "known" in rules:
        thing, names = rules["known"]
        if value not in names:
            raise unknown_name("run", thing, value, names)
    return value
