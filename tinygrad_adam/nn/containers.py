"""Modules made of modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSequence
from typing import Any, overload

from ..engine import events
from ..errors import IndexingError
from ..typing import TensorLike
from .activation import ReLU
from .convolution import Conv2d
from .linear import Linear
from .module import Module

__all__ = ["ModuleList", "Sequential"]


class ModuleList(Module, MutableSequence[Module]):
    """List of modules, all of whose parameters belong to it.

    It has all methods of a Python list. Members are named by their positions.

    Parameters
    ----------
    modules : iterable of Module
        The first members.

    Examples
    --------
    >>> from tinygrad_adam import nn
    >>> layers = nn.ModuleList([nn.Linear(2, 3), nn.ReLU()])
    >>> layers[1] = nn.Tanh()
    >>> layers.insert(0, nn.Dropout(0.1))
    >>> layers
    ModuleList(  # 9 parameters
      (0): Dropout(p=0.1)
      (1): Linear(2, 3)  # 9
      (2): Tanh()
    )
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> None:
        """Add a member at the end, named by its position."""
        self.register_module(str(len(self)), module)

    def insert(self, index: int, module: Module) -> None:
        """Add a member before the one at this position; the names of later ones move up."""
        self[index:index] = [module]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> ModuleList: ...
    def __getitem__(self, index: int | slice) -> Module | ModuleList:
        members = self._members(index)[index]
        return self._like(members) if isinstance(members, list) else members

    @overload
    def __setitem__(self, index: int, value: Module) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[Module]) -> None: ...
    def __setitem__(self, index: int | slice, value: Any) -> None:
        if isinstance(index, slice):
            members = self._members(index)
            members[index] = value
            self._replace(members)
        else:
            self._members(index)
            self.register_module(list(self._modules)[index], value)

    def __delitem__(self, index: int | slice) -> None:
        members = self._members(index)
        del members[index]
        self._replace(members)

    def _like(self, members: list[Module]) -> ModuleList:
        """Make a list of this kind, not of a derived class, whose constructor may take other arguments."""
        return ModuleList(members)

    def _members(self, index: int | slice) -> list[Module]:
        """Return all members, or refuse an index that none of them has."""
        members = list(self._modules.values())
        if not isinstance(index, slice) and not -len(members) <= index < len(members):
            raise IndexingError(type(self).__name__, f"it has {len(members)} members", index=index)
        return members

    def _replace(self, members: list[Module]) -> None:
        """Replace all members."""
        checked = ModuleList(members)  # refuses other objects before anything is changed
        for name in list(self._modules):
            delattr(self, name)
        for module in checked:
            self.append(module)


class Sequential(ModuleList):
    """Modules that run one after the other, each on the output of the one before.

    A `Linear` or `Conv2d` and a `ReLU` behind it run as one, in one pass over memory. The numbers are the
    same. If either has a forward hook between them or a ``forward`` of its own, or while a watcher wants the
    values between layers, each runs by itself.

    Parameters
    ----------
    *modules : Module
        In the order in which they run.

    Examples
    --------
    >>> from tinygrad_adam import nn
    >>> nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    Sequential(  # 9 parameters
      (0): Linear(2, 3)  # 9
      (1): ReLU()
    )
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__(modules)

    def _like(self, members: list[Module]) -> ModuleList:
        return Sequential(*members)

    def forward(self, x: TensorLike) -> Any:
        """Run all members, each on the output of the one before; without members, return `x`."""
        members = iter(self._modules.values())
        following = next(members, None)
        while following is not None:
            module, following = following, next(members, None)
            if type(following) is ReLU and not events.apart() and _joins(module, following):
                x = module(x, activation="relu")
                following = next(members, None)
            else:
                x = module(x)
        return x


def _joins(module: Module, relu: ReLU) -> bool:
    """Return whether `module` can apply the ReLU itself, with no hook or method between them."""
    hooks = (module._forward_hooks, relu._forward_pre_hooks, relu._forward_hooks)
    replaced = "forward" in module.__dict__ or "forward" in relu.__dict__
    return type(module) in (Linear, Conv2d) and not any(hooks) and not replaced
