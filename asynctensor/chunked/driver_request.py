"""What a driver is asked to open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from asynctensor.chunked.array_driver import ArrayDriver
from asynctensor.chunked.view import View
from asynctensor.errors import InvalidArgument
from asynctensor.index_space.transform import IndexTransform
from asynctensor.runtime.context import Context
from asynctensor.schema.schema import Schema
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.transaction.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Mode:
    """A checked `OpenMode`; `assume_cached_metadata` is `assume_metadata` here."""

    open: bool = True
    create: bool = False
    delete_existing: bool = False
    assume_metadata: bool = False


class SpecBelow(Protocol):
    """The spec of a base or a layer, as far as an adapter may know it without opening it."""

    def effective_schema(self) -> Schema:
        """All that is known of the stored array."""
        ...

    def effective_transform(self) -> IndexTransform | None:
        """From the indices of the spec to those of the stored array; None if that is not known."""
        ...

    def to_json(self, include_defaults: bool = False) -> dict[str, Any]:
        """Its JSON."""
        ...


#: Opens a base or a layer: a `SpecBelow` from the request, or any spec's JSON.
OpenView: TypeAlias = Callable[[Any], Awaitable[View]]


@dataclass(frozen=True, slots=True)
class DriverRequest:
    """A spec, taken apart for the driver that it names.

    Attributes:
        driver: Name of the driver.
        options: All members that are not below. Of an adapter, ``base`` is a `SpecBelow`, and
            ``layers`` a tuple of them.
        open_view: Opens them, with this request's context, access and transaction.
        context: Where resources come from.
        schema: Constraints, in the indices of the array.
        mode: How to open it.
        access: ``"r"``, ``"w"`` or ``"rw"``: what it will be used for.
        transaction: What opening, reads and writes belong to.
        store: Where it is stored, if the driver uses a kvstore.
        path: The key prefix in `store`.
    """

    driver: str
    options: Mapping[str, Any]
    open_view: OpenView
    context: Context
    schema: Schema = field(default_factory=Schema)
    mode: Mode = Mode()
    access: str = "rw"
    transaction: Transaction | None = None
    store: KeyValueStore | None = None
    path: str = ""

    def resource(self, name: str) -> Any:
        """The value of a context resource: as `options` names it, else the context's own.

        Raises:
            InvalidArgument: It is not specified well.
        """
        member = (self.options[name],) if name in self.options else ()
        return self.context.resolve(name, *member).value

    def stored(self) -> tuple[KeyValueStore, str]:
        """Where it is stored.

        Raises:
            InvalidArgument: The spec does not say.
        """
        if self.store is None:
            raise InvalidArgument('the spec has no "kvstore"; say where the array is')
        return self.store, self.path


class DriverOpener(Protocol):
    """What a driver's module offers as ``open_driver``."""

    async def __call__(self, request: DriverRequest) -> ArrayDriver:
        """Opens or creates what a spec names.

        Raises:
            Error: As `asynctensor.open` documents.

        A cancelled call leaves nothing half done.
        """
        ...
