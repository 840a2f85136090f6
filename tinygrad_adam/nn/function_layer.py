"""The base of layers without parameters: one function, and the settings that it is called with."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from .module import Module


class FunctionLayer(Module):
    """A layer that calls one function with its settings.

    A subclass names the function in its class line. The parameters of its constructor are the settings: the
    function takes them by the same names, and the layer has them as attributes.
    """

    _function: ClassVar[Callable[..., Any]]
    _defaults: ClassVar[dict[str, object]]
    """The settings by name; one without a default has a mark of its own."""

    def __init_subclass__(cls, function: Callable[..., Any] | None = None) -> None:
        super().__init_subclass__()
        if function is not None:
            cls._function = staticmethod(function)
            _, *settings = inspect.signature(cls.__init__).parameters.values()
            cls._defaults = {setting.name: setting.default for setting in settings}

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._defaults}
