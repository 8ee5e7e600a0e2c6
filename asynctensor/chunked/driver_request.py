"""What a driver is asked to open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

from asynctensor.chunked.array_driver import ArrayDriver
from asynctensor.chunked.view import View
from asynctensor.errors import InvalidArgument
from asynctensor.index_space.transform import IndexTransform
from asynctensor.runtime.context import Context
from asynctensor.schema.schema import Schema
from asynctensor.schema.schema_transform import transformed
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

    def with_schema(self, schema: Schema) -> SpecBelow:
        """The same with constraints, in the indices of the spec.

        Raises:
            InvalidArgument: They contradict what it says already.
        """
        ...

    def effective_transform(self) -> IndexTransform | None:
        """From the indices of the spec to those of the stored array; None if that is not known."""
        ...

    def without_context(self) -> SpecBelow:
        """The same without the resources that it names or is bound to."""
        ...

    def to_json(self, include_defaults: bool = False) -> dict[str, Any]:
        """Its JSON."""
        ...


def schema_of(spec: SpecBelow) -> Schema:
    """All that is known of a base or a layer without opening it, in its own indices."""
    schema, transform = spec.effective_schema(), spec.effective_transform()
    if transform is None:
        return schema
    state = transformed(schema.state, transform)
    return Schema.from_state(replace(state, domain=transform.domain))


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

    def base(self) -> SpecBelow:
        """The ``base`` member.

        Raises:
            InvalidArgument: It is missing.
        """
        return base_of(self.options)


def base_of(options: Mapping[str, Any]) -> SpecBelow:
    """The ``base`` member of an adapter's spec.

    Raises:
        InvalidArgument: It is missing.
    """
    base: SpecBelow | None = options.get("base")
    if base is None:
        raise InvalidArgument(
            'Error parsing object member "base": Expected object, but member is missing'
        )
    return base


class DriverOpener(Protocol):
    """What a driver's module offers as ``open_driver``."""

    async def __call__(self, request: DriverRequest) -> ArrayDriver | View:
        """Opens or creates what a spec names.

        Returns:
            The driver; an adapter whose base is a view gives a view itself.

        Raises:
            Error: As `asynctensor.open` documents.

        A cancelled call leaves nothing half done.
        """
        ...
