"""Modules made of modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, overload

from .. import watching
from ..errors import IndexingError
from .activation import ReLU
from .convolution import Conv2d
from .linear import Linear
from .module import Module


class ModuleList(Module):
    """List of modules, whose parameters are those of the whole.

    Parameters
    ----------
    modules : iterable of Module
        The first members.
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> None:
        """Add a member at the end, named by its number."""
        self.register_module(str(len(self)), module)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> ModuleList: ...
    def __getitem__(self, index: int | slice) -> Module | ModuleList:
        members = list(self._modules.values())
        if isinstance(index, slice):
            return ModuleList(members[index])
        try:
            return members[index]
        except IndexError as error:
            raise IndexingError(type(self).__name__, f"it has {len(self)} members", index=index) from error


class Sequential(ModuleList):
    """Modules that run one after the other, each on the output of the one before.

    A `Linear` or `Conv2d` with a `ReLU` behind it does both in one pass over memory. The numbers are the
    same; with a forward hook or a ``forward`` of its own on either, or while anyone watches, each runs by
    itself.

    Parameters
    ----------
    *modules : Module
        In order.

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

    def forward(self, x: Any) -> Any:
        """Run all members."""
        members = iter(self._modules.values())
        following = next(members, None)
        while following is not None:
            module, following = following, next(members, None)
            if type(following) is ReLU and not watching.apart() and _joins(module, following):
                x = module(x, activation="relu")
                following = next(members, None)
            else:
                x = module(x)
        return x


def _joins(module: Module, relu: ReLU) -> bool:
    """Tell whether `module` can apply the ReLU itself without anybody missing what lies between."""
    hooks = (module._forward_hooks, relu._forward_pre_hooks, relu._forward_hooks)
    replaced = "forward" in module.__dict__ or "forward" in relu.__dict__
    return type(module) in (Linear, Conv2d) and not any(hooks) and not replaced
