"""Words of other packages, and the words here with the same meaning.

One table answers a word wherever it is used: as an attribute of a Tensor, a model or an optimizer, as a
keyword argument, or as a name in one of the package's namespaces. The cheat sheet shows the same table.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from types import FunctionType, ModuleType
from typing import Any, NamedTuple, NoReturn

from .errors import DTypeError, UnknownNameError, near_names


class Word(NamedTuple):
    """A word of another package.

    Attributes
    ----------
    owner : str
        The place of its use: "Tensor", "Module", "Optimizer", "Trainer", a namespace such as "nn", or
        "keyword".
    word : str
        The word, without its owner.
    here : str
        The code to write here, or the reason to write nothing.
    """

    owner: str
    word: str
    here: str


_ROWS: dict[str, dict[str, str]] = {
    "keyword": {
        "dim": "`axis=`, as in NumPy",
        "dims": "`axis=` or `axes=`, as in NumPy",
        "keepdim": "`keepdims=`, as in NumPy",
        "dim0 dim1": "`axis1=` and `axis2=`, as in NumPy",
        "start_dim": "`start_axis=`",
        "correction unbiased": "`ddof=`, as in NumPy: 0 divides by n, 1 by n - 1",
        "learning_rate": "`lr=`",
        "beta1 beta2 beta_1 beta_2": "`betas=(0.9, 0.999)`",
        "epsilon": "`eps=`",
        "decay": "`weight_decay=`, or a schedule for a learning rate that falls",
        "T_max": "`t_max=`",
        "T_0": "`t_0=`",
        "T_mult": "`t_mult=`",
        "last_epoch": "nothing: `load_state_dict` continues a schedule",
        "set_to_none": "nothing: `zero_grad()` always forgets gradients",
        "num_workers": "`prefetch=`: a thread gathers batches ahead",
        "pin_memory persistent_workers": "nothing: batches for a GPU are staged by themselves",
        "sampler batch_sampler collate_fn": "nothing: give the loader a Dataset in the order you want",
        "inplace": "nothing: a layer's output is a new Tensor",
        "foreach fused capturable": "nothing: a step is always one fused call",
        "maximize": "nothing: minimize the negative loss",
        "units": "`out_features=`",
        "filters": "`out_channels=`",
        "rate": "`p=`",
        "from_logits": "nothing: losses take logits, and their names say so",
        "size_average reduce": "`reduction=\"mean\"`, `\"sum\"` or `\"none\"`",
    },
    "Tensor": {
        "view view_as": "`x.reshape(shape)`",
        "unsqueeze": "`x.expand_dims(axis)`, or `x[:, None]`",
        "permute": "`x.transpose(axes)`",
        "t": "`x.T`",
        "clone": "`x.copy()`",
        "contiguous": "nothing: operations take any layout",
        "clamp": "`x.clip(min, max)`",
        "expand expand_as": "`x.broadcast_to(shape)`",
        "float": "`x.astype(numpy.float32)`",
        "double": "`x.astype(numpy.float64)`",
        "long int": "`x.astype(numpy.int64)`",
        "bool": "`x.astype(bool)`",
        "half bfloat16": "nothing: Tensors hold float32 or float64",
        "type": "`x.astype(dtype)`",
        "cpu": "`x.to(\"cpu\")`",
        "cuda": "`x.to(\"cuda\")`",
        "is_cuda": "`x.device`",
        "dim": "`x.ndim`",
        "numel": "`x.size`",
        "grad_fn": "`x.node`; `x.explain()` shows the whole graph",
        "add_ sub_ mul_ div_": "`x += y`, `-=`, `*=`, `/=`",
        "zero_": "`x[...] = 0`",
        "fill_": "`x[...] = value`",
        "copy_ assign": "`x[...] = value`, or `x.data = value`",
        "detach_": "`x.detach()`",
        "add sub mul div": "the operators `+`, `-`, `*`, `/`",
        "pow": "`x ** exponent`",
        "neg": "`-x`",
        "eq ne lt le gt ge": "the comparisons `==`, `!=`, `<`, `<=`, `>`, `>=`",
        "mm bmm matmul": "`x @ y`",
        "amax amin": "`x.max(axis)` and `x.min(axis)`",
        "chunk": "`x.split(parts, axis)`",
        "gather take_along_dim": "`tg.take_along_axis(x, indices, axis)`",
        "index_select": "`x[indices]`",
        "masked_fill": "`tg.where(mask, value, x)`",
        "repeat_interleave": "`x.repeat(repeats, axis)`",
        "tile": "`tg.tile(x, reps)`",
        "movedim": "`x.moveaxis(source, destination)`",
        "asnumpy eval": "`x.numpy()`",
    },
    "tinygrad_adam": {
        "cat concat": "`tg.concatenate(arrays, axis)`",
        "unsqueeze": "`tg.expand_dims(x, axis)`",
        "clamp": "`tg.clip(x, min, max)`",
        "from_numpy as_tensor asarray array": "`tg.tensor(array)`",
        "Variable": "`tg.tensor(value, requires_grad=True)`",
        "pow": "`tg.power(x, exponent)`",
        "mul": "`tg.multiply(x, y)`",
        "div": "`tg.divide(x, y)`",
        "sub": "`tg.subtract(x, y)`",
        "mm bmm": "`tg.matmul(x, y)`",
        "amax amin": "`tg.max(x, axis)` and `tg.min(x, axis)`",
        "atan": "`tg.arctan(x)`",
        "permute": "`tg.transpose(x, axes)`",
        "gather take_along_dim": "`tg.take_along_axis(x, indices, axis)`",
        "chunk": "`tg.split(x, parts, axis)`",
        "repeat_interleave": "`tg.repeat(x, repeats, axis)`",
        "normal": "`tg.randn(*shape)`",
        "seed": "`tg.manual_seed(seed)`",
        "inference_mode stop_gradient": "`with tg.no_grad():`, or `x.detach()`",
        "GradientTape": "nothing: operations are always recorded; call `y.backward()` or `tg.grad(y, x)`",
        "value_and_grad jit compile": "`tg.recorded(function)`: forward and backward without the bookkeeping",
        "save": "`model.save(path)`",
        "load": "`model.load(path)`",
        "float32 float64 int32 int64": "`numpy.{word}`: data types are NumPy's",
        "get_default_device set_default_device": "`tg.device(name)`, a `with` block",
        "utils": "`data.DataLoader`, and `optim.clip_grad_norm_`",
    },
    "nn": {
        "LSTM RNN GRU LSTMCell RNNCell GRUCell": "nothing: write a recurrent layer as an `nn.Module`",
        "Transformer TransformerEncoderLayer MultiheadAttention":
            "nothing: there is no attention; write it with `tg.einsum` and `nn.Softmax`",
        "Conv3d BatchNorm3d MaxPool3d MaxPool1d AvgPool1d": "nothing: images have two axes; see `nn.Conv2d`",
        "ConvTranspose1d ConvTranspose3d": "`nn.ConvTranspose2d`",
        "Dense": "`nn.Linear(in_features, out_features)`",
        "Conv2D": "`nn.Conv2d(in_channels, out_channels, kernel_size)`",
        "MaxPooling2D MaxPool2D": "`nn.MaxPool2d(kernel_size)`",
        "BatchNormalization": "`nn.BatchNorm2d(features)`, or `nn.BatchNorm1d`",
        "BCELoss": "`nn.BCEWithLogitsLoss()`: losses take logits",
        "SmoothL1Loss": "`nn.HuberLoss(delta)`",
        "AdaptiveMaxPool2d": "`nn.AdaptiveAvgPool2d(output_size)`",
        "utils": "`optim.clip_grad_norm_` and `optim.clip_grad_value_`",
        "Identity": "`nn.Sequential()`, which returns its input",
        "Swish": "`nn.SiLU()`",
        "PReLU Hardtanh ReLU6 SELU": "nothing: write it with `tg.where`, or as a `tg.primitive`",
    },
    "nn.functional": {
        "binary_cross_entropy": "`F.binary_cross_entropy_with_logits(logits, target)`: losses take logits",
        "smooth_l1_loss": "`F.huber_loss(input, target, delta)`",
        "one_hot": "nothing: losses take labels, and `F.embedding` takes indices",
        "pad": "`tg.pad(x, pad_width)`, with the widths of the first axis first",
        "normalize": "`x / x.norm(axis=axis, keepdims=True)`",
        "max_pool1d avg_pool1d": "`F.max_pool2d` and `F.avg_pool2d`",
        "scaled_dot_product_attention": "nothing: write it with `tg.einsum` and `F.softmax`",
    },
    "optim": {
        "lr_scheduler": "`optim` itself, as in `optim.StepLR`",
        "LBFGS Adan ASGD Adafactor": "nothing: `optim.OPTIMIZERS` lists the optimizers",
        "RMSProp": "`optim.RMSprop`",
        "AdaGrad": "`optim.Adagrad`",
        "AdaDelta": "`optim.Adadelta`",
        "Nadam": "`optim.NAdam`",
        "swa_utils": "`optim.PolyakAverage` and `optim.ExponentialMovingAverage`",
        "CosineDecay": "`optim.CosineAnnealingLR`",
    },
    "data": {
        "random_split": "`data.split(dataset, fraction)`",
        "Subset": "`data.split(dataset, fraction)`, or a `data.TensorDataset` of the rows that you want",
        "ConcatDataset": "`data.TensorDataset` of joined arrays",
        "transforms": "`data.AugmentedDataset(dataset, transform)`",
    },
    "Module": {
        "fit compile": "`training.Trainer(model, optimizer, loss)`, and its `fit`",
        "predict": "`training.Trainer(...).predict(data)`, or `model(x)`",
        "evaluate": "`training.Trainer(...).evaluate(data)`",
        "cuda": "`model.to(\"cuda\")`",
        "cpu": "`model.to(\"cpu\")`",
        "double": "`model.to(numpy.float64)`",
        "float": "`model.to(numpy.float32)`",
        "half": "nothing: parameters are float32 or float64",
        "trainable_variables trainable_weights": "`model.parameters()`",
        "get_weights": "`model.state_dict()`",
        "set_weights": "`model.load_state_dict(state)`",
        "save_weights": "`model.save(path)`",
        "load_weights": "`model.load(path)`",
        "add_module": "`model.register_module(name, module)`",
        "register_parameter": "`model.name = nn.Parameter(array)`",
        "register_full_backward_hook": "`x.register_hook(hook)` on the output",
    },
    "Optimizer": {
        "minimize": "`loss.backward()`, then `opt.step()`",
        "apply_gradients": "`opt.step()`, which reads each parameter's `.grad`",
        "learning_rate": "`opt.param_groups[0][\"lr\"]`",
    },
    "Trainer": {
        "train": "`trainer.fit(loader, epochs)`",
        "test validate": "`trainer.evaluate(data)`",
    },
}  # fmt: skip

TABLE = [
    Word(owner, word, here.replace("{word}", word))
    for owner, rows in _ROWS.items()
    for words, here in rows.items()
    for word in words.split()
]
"""The rows above, one for each word; ``{word}`` in an answer stands for it."""

_ANSWERS = {(word.owner, word.word): word.here for word in TABLE}


def missing(owner: str, thing: object, name: str) -> AttributeError:
    """Return the error for an attribute that `thing` lacks, with an answer if another package has it.

    Parameters
    ----------
    owner : str
        The owner in the table.
    thing : object
        The Tensor, model or namespace.
    name : str
        The attribute.

    Examples
    --------
    >>> print(missing("Tensor", None, "view"))
    Tensor.view: another package's word; here it is `x.reshape(shape)`
    """
    here = _ANSWERS.get((owner, name))
    if here is not None:
        return UnknownNameError(f"{owner}.{name}", _sentence(here))
    near = near_names(name, vars(thing)) if inspect.ismodule(thing) and not name.startswith("_") else []
    if near:
        return AttributeError(f"module {owner!r} has no attribute {name!r}; did you mean {near[0]!r}?")
    kind = f"module {owner!r}" if inspect.ismodule(thing) else f"{type(thing).__name__!r} object"
    return AttributeError(f"{kind} has no attribute {name!r}", name=name, obj=thing)


class _Answer:
    """A class attribute that raises the answer when it is read; an instance may have its own attribute.

    A ``__getattr__`` would do the same, and make each reading of every other attribute slower.
    """

    def __init__(self, owner: str, word: str) -> None:
        self.owner, self.word = owner, word

    def __get__(self, thing: object, kind: type) -> NoReturn:
        raise missing(self.owner, thing, self.word)


def answer_attributes(owner: str, kind: Any) -> None:
    """Make the instances of a class answer attributes of other packages, and leave these out of `dir`."""
    for word in TABLE:
        if word.owner == owner:
            setattr(kind, word.word, _Answer(owner, word.word))
    listed = kind.__dir__

    def own(self: object) -> list[str]:
        return [
            name for name in listed(self) if type(inspect.getattr_static(self, name, None)) is not _Answer
        ]

    kind.__dir__ = own


def _sentence(here: str) -> str:
    if here.startswith("nothing"):
        return "another package's word; here there is " + here
    return "another package's word; here it is " + here


def answer(operation: str, keywords: Iterable[str], signature: str) -> None:
    """Refuse the first of some unknown keywords, with the word here if another package has it.

    Raises
    ------
    DTypeError
        With the keyword, and the arguments that the operation takes. Without keywords nothing is raised.
    """
    for word in keywords:
        here = _ANSWERS.get(("keyword", word))
        problem = f"there is no keyword {word!r}" if here is None else f"{word}= is {_sentence(here)}"
        raise DTypeError(operation, problem, takes=signature)


def refuse_words(function: Callable[..., object], words: Iterable[str]) -> None:
    """Refuse the keywords that a function gathered in its own ``**words``; see `answer_calls`."""
    answer(function.__name__, words, without_types(inspect.signature(function)))


def without_types(signature: inspect.Signature) -> str:
    """Return a signature with names and defaults only."""
    parameters = [
        p.replace(annotation=inspect.Parameter.empty)
        for p in signature.parameters.values()
        if p.name != "self"
    ]
    return str(inspect.Signature(parameters))


def answer_calls(*things: ModuleType | type) -> None:
    """Make namespaces and classes of this package answer calls with keywords of other packages.

    This covers the functions of a namespace, the constructors of its classes, and the public methods of a
    class. A wrapper answers for most of them. A function on the path of every training step declares
    ``**words: Never`` instead and passes them to `refuse_words`, so that a right call needs no wrapper.
    """
    for thing in things:
        for name, member in list(vars(thing).items()):
            module = getattr(member, "__module__", None) or ""
            if module.partition(".")[0] != __package__ or name.startswith("_") or name == "forward":
                continue
            if inspect.isclass(member) and inspect.ismodule(thing) and "__init__" in vars(member):
                setattr(member, "__init__", _answering(vars(member)["__init__"]))  # noqa: B010
            elif inspect.isfunction(member) and (
                inspect.isclass(thing) or f"{module}.".startswith(f"{thing.__name__}.")
            ):
                if "words" in member.__annotations__:
                    _hide_words(member)
                    continue
                answers = _answering(member)
                if inspect.ismodule(thing):
                    answers.__module__ = thing.__name__  # where pickle finds it, for other processes
                setattr(thing, name, answers)


def _answering(function: FunctionType) -> Callable[..., object]:
    """Make a function refuse arguments that it does not take with an error of the package's own."""

    @functools.wraps(function)
    def call(*args: object, **kwargs: object) -> object:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            # Only the call itself failed if no frame lies below this one.
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
            operation = type(args[0]).__name__ if function.__name__ == "__init__" else function.__name__
            signature = inspect.signature(function)
            shown = without_types(signature)
            problem = str(error).partition("() ")[2]
        except AttributeError as error:
            if error.name not in _OF_ARRAYS or hasattr(error.obj, "shape"):
                raise
            raise DTypeError(
                function.__name__, "takes Tensors or arrays; make one with tg.tensor()", got=repr(error.obj)
            ) from error
        answer(operation, (word for word in kwargs if word not in signature.parameters), shown)
        raise DTypeError(operation, problem, takes=shown)

    return call


_OF_ARRAYS = ("shape", "ndim", "dtype", "size")
"""The attributes that Tensors and arrays have, and that a list in their place lacks."""


def _hide_words(function: FunctionType) -> None:
    """Show a function's signature without its ``**words``, and let it answer for arguments left out."""
    signature = inspect.signature(function)
    shown = [p for p in signature.parameters.values() if p.name != "words"]
    setattr(function, "__signature__", signature.replace(parameters=shown))  # noqa: B010
    required = [p.name for p in shown if p.default is p.empty and p.name != "self"]
    if required:
        left_out = tuple(_LeftOut(function, name) for name in required)
        function.__defaults__ = left_out + (function.__defaults__ or ())


class _LeftOut:
    """Stands for a required argument that was left out: the first look at it raises the refusal."""

    def __init__(self, function: FunctionType, name: str) -> None:
        self._function, self._name = function, name

    def __getattr__(self, attribute: str) -> NoReturn:
        raise DTypeError(
            self._function.__name__,
            f"missing 1 required positional argument: {self._name!r}",
            takes=without_types(inspect.signature(self._function)),
        )
