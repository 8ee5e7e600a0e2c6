"""What a kvstore's module is asked to open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from asynctensor.errors import InvalidArgument
from asynctensor.runtime.context import Context
from asynctensor.storage.kvstore import KeyValueStore

#: Opens a kvstore from a spec's JSON (or a URL): the store, and the key prefix in it.
OpenBase: TypeAlias = Callable[[Any], tuple[KeyValueStore, str]]


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """A kvstore's spec, taken apart.

    Attributes:
        driver: Name of the kvstore.
        path: Its ``path`` member.
        options: The other members, but for ``driver`` and ``base``.
        context: Where its resources come from.
        base: The kvstore below (a spec), if this one is an adapter.
        open_base: Opens `base`, or any other spec of a kvstore (a layer, say), in `context`.
    """

    driver: str
    path: str
    options: Mapping[str, Any]
    context: Context
    base: Any
    open_base: OpenBase

    def resource(self, name: str) -> Any:
        """The value of a context resource: as `options` names it, else the context's own.

        Raises:
            InvalidArgument: It is not specified well.
        """
        member = (self.options[name],) if name in self.options else ()
        return self.context.resolve(name, *member).value

    def opened_base(self) -> tuple[KeyValueStore, str]:
        """The kvstore below, and the key prefix in it.

        Raises:
            InvalidArgument: The spec has none, or it is wrong.
        """
        if self.base is None:
            raise InvalidArgument(
                f'kvstore "{self.driver}" stands on another one; say which with "base"'
            )
        return self.open_base(self.base)


class StoreOpener(Protocol):
    """What a kvstore's module offers as ``open_store``."""

    def __call__(self, request: StoreRequest) -> tuple[KeyValueStore, str]:
        """The store that a spec names, and the key prefix of its path in it.

        Nothing is read yet: what a store needs to know of its base, it asks when first used.

        Raises:
            InvalidArgument: A member is wrong.
        """
        ...
