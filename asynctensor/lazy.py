"""What is loaded when it is first used: functions and objects, by the names of their modules."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True, slots=True)
class Lazy:
    """A function of a module, which is loaded when the function is first called."""

    module: str
    function: str

    def __call__(self, *args: Any) -> Any:
        return getattr(importlib.import_module(self.module), self.function)(*args)


@dataclass(frozen=True, slots=True)
class LazyObject:
    """The one object of a class without parameters, made when it is first asked for."""

    module: str
    cls: str

    def __call__(self) -> Any:
        return _only(self.module, self.cls)


@cache
def _only(module: str, cls: str) -> Any:
    return getattr(importlib.import_module(module), cls)()
