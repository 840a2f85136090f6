"""Module: a tree of parameters, buffers and other modules, with a forward method."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy

from ..backend.convert import known_dtype
from ..backend.device import asarray, to_host
from ..engine import events
from ..engine.graph import look_at
from ..engine.viewers import view
from ..errors import DTypeError, OptionError, TinygradAdamError
from ..tensor.tensor import Tensor, add_hook
from ..typing import DType
from .parameter import Parameter
from .state import Unmatched, load_state


class Module:
    """Base of all layers and models.

    Assign Parameters, Tensors registered as buffers, and other Modules to attributes in
    ``__init__`` and compute in ``forward``.

    Attributes
    ----------
    training : bool
        Whether layers such as Dropout behave as in training; see `train` and `eval`.

    Examples
    --------
    >>> from tinygrad_adam import nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden = nn.Linear(4, 8)
    ...         self.out = nn.Linear(8, 2)
    ...     def forward(self, x):
    ...         return self.out(self.hidden(x).relu())
    >>> Net()
    Net(  # 58 parameters
      (hidden): Linear(4, 8)  # 40
      (out): Linear(8, 2)  # 18
    )
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Any]
    _forward_hooks: dict[int, Callable[..., Any]]
    _forward_pre_hooks: dict[int, Callable[..., Any]]
    _replaced = 0
    """The number of times that a parameter, buffer or child was set or taken away."""

    def __init__(self) -> None:
        # Straight into __dict__: __setattr__ below needs these to exist.
        self.__dict__.update(
            _parameters={}, _buffers={}, _modules={}, _forward_hooks={}, _forward_pre_hooks={}, training=True
        )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; every Module defines its own."""
        raise NotImplementedError(f"{type(self).__name__} has no forward method")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output, with the hooks before and after."""
        events.tell(("module_begins", self, args))
        output = None
        try:
            for pre_hook in list(self._forward_pre_hooks.values()):
                answer = pre_hook(self, args)
                if answer is not None:
                    args = answer if isinstance(answer, tuple) else (answer,)
            output = self.forward(*args, **kwargs)
            for hook in list(self._forward_hooks.values()):
                answer = hook(self, args, output)
                if answer is not None:
                    output = answer
        except TinygradAdamError as error:
            self._locate(error)
            raise
        finally:
            events.tell(("module_ends", self, output))
        return output

    def _locate(self, error: TinygradAdamError) -> None:
        """Add the layer that raised an error, with its path in this module, to the message."""
        head = f"{type(self).__name__}({self.extra_repr()})"
        number, head, message = error.__dict__.setdefault("_raised_in", (id(self), head, str(error)))
        path = next((name for name, module in self.named_modules() if id(module) == number), "")
        error.args = (f"{message}\n  in {f'layer {path}: ' if path else ''}{head}",)

    # --- Registration --------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if "_parameters" not in self.__dict__:
            raise OptionError(
                type(self).__name__, "call super().__init__() before assigning attributes", attribute=name
            )
        registries = {Parameter: self._parameters, Module: self._modules, Tensor: self._buffers}
        for kind, registry in registries.items():
            if isinstance(value, kind) and (kind is not Tensor or name in registry):
                for other in registries.values():
                    if other is not registry:  # a replacement keeps its place in the order
                        other.pop(name, None)
                self._register(registry, name, value)
                break
            if name in registry:
                if value is not None:
                    raise OptionError(
                        type(self).__name__,
                        f"attribute {name!r} is registered; it takes a {kind.__name__} or None",
                        value=type(value).__name__,
                    )
                self._register(registry, name, None)
        object.__setattr__(self, name, value)

    def _register(self, registry: dict[str, Any], name: str, value: object) -> None:
        registry[name] = value
        self.__dict__["_replaced"] = self._replaced + 1

    def __delattr__(self, name: str) -> None:
        for registry in (self._parameters, self._buffers, self._modules):
            registry.pop(name, None)
        self.__dict__["_replaced"] = self._replaced + 1
        object.__delattr__(self, name)

    def register_buffer(self, name: str, value: Tensor | None) -> None:
        """Register a Tensor that is saved and moved with the module, but not trained."""
        if value is not None and not isinstance(value, Tensor):
            raise OptionError(
                type(self).__name__, "a buffer is a Tensor or None", name=name, value=type(value).__name__
            )
        self._register(self._buffers, name, value)
        object.__setattr__(self, name, value)

    def register_module(self, name: str, module: Module) -> None:
        """Register a child under a name that need not be an identifier."""
        if not isinstance(module, Module):
            hint = ""
            if isinstance(module, type):
                hint = f"; write {module.__name__}() for one"
            elif isinstance(module, list | tuple):
                hint = "; unpack a list of them, as in Sequential(*layers)"
            raise OptionError(
                type(self).__name__, f"only Modules can be children{hint}",
                name=name, value=type(module).__name__,
            )  # fmt: skip
        setattr(self, name, module)

    # --- Walking the tree ----------------------------------------------------------------

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield this module and all below it with their dotted names, each once."""
        yield from self._named_modules(prefix, set())

    def _named_modules(self, prefix: str, seen: set[int] | None) -> Iterator[tuple[str, Module]]:
        if seen is not None:
            if id(self) in seen:
                return
            seen.add(id(self))
        yield prefix, self
        for name, child in self.named_children():
            yield from child._named_modules(f"{prefix}.{name}" if prefix else name, seen)

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the modules directly below this one with their names."""
        return ((name, child) for name, child in self._modules.items() if child is not None)

    def children(self) -> Iterator[Module]:
        """Yield the modules directly below this one."""
        return (child for _, child in self.named_children())

    def _entries(self, registry: str, unique: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for prefix, module in self._named_modules("", set() if unique else None):
            for name, value in getattr(module, registry).items():
                if value is None or (unique and id(value) in seen):
                    continue
                seen.add(id(value))
                yield (f"{prefix}.{name}" if prefix else name), value

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield all parameters with their dotted names; a shared one once, under its first name."""
        return self._entries("_parameters", unique=True)

    def parameters(self) -> Iterator[Parameter]:
        """Yield all parameters, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """Yield all buffers with their dotted names."""
        return self._entries("_buffers", unique=True)

    def buffers(self) -> Iterator[Tensor]:
        """Yield all buffers."""
        return (buffer for _, buffer in self.named_buffers())

    def apply(self, function: Callable[[Module], object]) -> Self:
        """Call `function` with every module, children first, and return this module."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    # --- Mode, gradients, place ----------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Put this module and all below it into training mode, and return it.

        Each module calls this method of its children, so a child may override it.
        """
        self.__dict__["training"] = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """Put this module and all below it into evaluation mode, and return it."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze or unfreeze all parameters, and return this module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def to(self, target: DType) -> Self:
        """Move all parameters and buffers to a device, or cast the floats among them to a dtype.

        The parameters stay the same objects; an optimizer that holds them follows at its next step.

        Parameters
        ----------
        target : str or dtype
            ``"cpu"``, ``"cuda"``, ``"cuda:N"``, or float32 or float64.

        Returns
        -------
        Module
            This module.

        Raises
        ------
        DTypeError
            If the dtype is neither float32 nor float64.
        """
        dtype, device = None, target
        if not isinstance(target, str) or target.startswith(("float", "int", "uint", "bool")):
            dtype, device = known_dtype("Module.to", target), None
            if dtype not in (numpy.float32, numpy.float64):
                raise DTypeError("Module.to", "parameters are float32 or float64", dtype=target)
        for entry in itertools.chain(self.parameters(), self.buffers()):
            wanted = dtype if entry.dtype.kind == "f" else None
            moved = asarray(entry._data, wanted, device or entry.device, "Module.to")
            if moved is not entry._data:
                entry._data, entry._grad, entry._grad_buffer = moved, None, None
                entry._written()
        return self

    # --- Hooks ---------------------------------------------------------------------------

    def register_forward_hook(
        self, hook: Callable[[Module, tuple[Any, ...], Any], Any]
    ) -> Callable[[], None]:
        """Call ``hook(module, args, output)`` after every forward; an answer replaces the output.

        Returns
        -------
        callable
            Call it to remove the hook.
        """
        return add_hook(self._forward_hooks, hook)

    def register_forward_pre_hook(self, hook: Callable[[Module, tuple[Any, ...]], Any]) -> Callable[[], None]:
        """Call ``hook(module, args)`` before every forward; an answer replaces the arguments.

        Returns
        -------
        callable
            Call it to remove the hook.
        """
        return add_hook(self._forward_pre_hooks, hook)

    # --- State ---------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return copies of all parameters and buffers as NumPy arrays, by dotted name.

        The names and layouts are PyTorch's. A shared parameter appears under each of its names.
        """
        entries = itertools.chain(self._entries("_parameters", False), self._entries("_buffers", False))
        return {name: to_host(look_at(value, "state_dict")).copy() for name, value in entries}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> Unmatched:
        """Copy values into the parameters and buffers; nothing is changed if something does not fit.

        Parameters
        ----------
        state : dict of str to array or Tensor
            As `state_dict` returns it.
        strict : bool
            Whether missing and unexpected names are errors. If not, they are returned; but a state of
            which no name fits always is an error.

        Returns
        -------
        Unmatched
            The names that the state lacks, ``missing_keys``, and those that this module lacks,
            ``unexpected_keys``; both are empty with `strict`.

        Raises
        ------
        StateError
            With a list of the names that are missing or unexpected, of the values that do not fit (another
            shape, no real numbers, numbers that the dtype here does not hold), and of names that are one
            Tensor here but have different values.
        """
        entries = itertools.chain(self._entries("_parameters", False), self._entries("_buffers", False))
        return load_state(type(self).__name__, dict(entries), state, strict)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the `state_dict` to a safetensors file, which PyTorch can load, or to a ``.npz`` of NumPy.

        Parameters
        ----------
        path : path
            Where to write. The ending ``.npz`` makes an archive for `numpy.load`, any other a safetensors
            file; endings of other formats (``.pt``, ``.onnx``, ``.h5``, ...) are refused.

        Raises
        ------
        CheckpointError
            If the ending belongs to another format, or the file cannot be written; an old one stays as it
            was.
        """
        from ..files.arrays import save_tensors  # imports safetensors

        save_tensors(path, self.state_dict())

    def load(self, path: str | os.PathLike[str], strict: bool = True) -> Self:
        """Read parameters and buffers from a safetensors file or a ``.npz``, and return this module.

        See `load_state_dict`, which returns the names that do not match.

        Raises
        ------
        CheckpointError
            If the file is damaged or of another format.
        StateError
            If its contents do not fit.
        """
        from ..files.arrays import load_tensors

        self.load_state_dict(load_tensors(path)[0], strict)
        return self

    # --- Showing -------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """Return the settings that the representation shows in parentheses; a layer defines its own."""
        return ""

    def parameter_count(self) -> int:
        """Return the sum of the sizes of all parameters, frozen ones included and shared ones once."""
        return sum(parameter.size for parameter in self.parameters())

    def __repr__(self) -> str:
        return view("Module.__repr__")(self)

    def _repr_html_(self) -> str | None:
        return view("Module._repr_html_")(self)

    def summary(self, *inputs: Any) -> str:
        """Return a table of the modules: output shape and parameters, for one forward pass.

        Parameters
        ----------
        *inputs : Tensor
            An example to run the model on, in evaluation mode and without recording.

        Returns
        -------
        str
            One line a module that has no children, and the total.
        """
        return view("Module.summary")(self, inputs)
