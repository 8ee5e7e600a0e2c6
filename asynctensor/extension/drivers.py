"""`register_driver`: a function that opens arrays becomes a driver of specs and URLs."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from asynctensor.chunked.array_driver import ArrayDriver
from asynctensor.chunked.driver_request import DriverRequest
from asynctensor.chunked.schema_match import check_schema
from asynctensor.chunked.view import View
from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.extension.members import Members
from asynctensor.extension.named_driver import NamedDriver
from asynctensor.kvstore import KvStore
from asynctensor.open_mode import FLAGS, OpenMode
from asynctensor.registry import add_driver
from asynctensor.runtime.guest import Guest
from asynctensor.spec_rules import DriverRules
from asynctensor.tensorstore import TensorStore

F = TypeVar("F", bound=Callable[..., Any])
#: Parameters that are no members of the spec.
_SPECIAL = frozenset({"base", "context", "kvstore", "open_mode", "schema", "transaction"})
#: Members that every spec has.
_COMMON = frozenset({"driver", "dtype", "rank", "transform", "layers", "path", *FLAGS})


class DriverDefinition:
    """A driver that a user registered; what opens its arrays."""

    def __init__(
        self, name: str, scheme: str | None, function: Callable[..., Any], guest: Guest
    ) -> None:
        self.name, self._scheme, self._function, self._guest = name, scheme, function, guest
        self._members = Members.of(function, _SPECIAL)
        if self._members.names & _COMMON:
            names = ", ".join(sorted(self._members.names & _COMMON))
            raise InvalidArgument(f"every spec has a member {names}; rename the parameter")

    def rules(self) -> DriverRules:
        """The rules of its specs."""
        members = self._members
        return DriverRules(
            self.name,
            scheme=self._scheme,
            members=members.names,
            has_kvstore="kvstore" in members.special,
            is_directory=False,
            chunked=False,
            resizable=False,
            has_open_mode="open_mode" in members.special,
            has_base="base" in members.special,
            defaults=tuple(members.defaults.items()),
            spelled_out=members.checked,
        )

    async def __call__(self, request: DriverRequest) -> View:
        """See `DriverOpener`."""
        names = self._members.names
        spec = {k: v for k, v in request.options.items() if k in names}
        arguments = self._members.arguments(spec)
        special = self._members.special
        base = None
        if "kvstore" in special:
            store, path = request.stored()
            arguments["kvstore"] = KvStore(
                store, path, transaction=request.transaction, context=request.context
            )
        if "base" in special:
            if "base" not in request.options:
                raise InvalidArgument(f'driver "{self.name}" stands on an array; say which: "base"')
            base = await request.open_view(request.options["base"])
            arguments["base"] = TensorStore(base.driver, base.transform, request.context, base.mode)
        for name in special & {"context", "schema", "transaction"}:
            arguments[name] = getattr(request, name)
        if "open_mode" in special:
            mode = request.mode
            arguments["open_mode"] = OpenMode(
                open=mode.open,
                create=mode.create,
                delete_existing=mode.delete_existing,
                assume_metadata=mode.assume_metadata,
            )
        opened = await self._guest.call(partial(self._function, **arguments))
        below, guest = self._below(opened, request)
        check_schema(below.schema(), request.schema)
        where = request.stored() if "kvstore" in special else None
        driver = NamedDriver(self.name, below, spec, where, base, guest)
        return View(driver, driver.transform(), below.mode)

    def _below(self, opened: object, request: DriverRequest) -> tuple[View, Guest | None]:
        if isinstance(opened, TensorStore):
            if request.transaction is not None:
                opened = opened.with_transaction(request.transaction)
            return opened._view(), None
        if isinstance(opened, ArrayDriver):
            return View(opened, opened.transform(), opened.access), self._guest
        raise IncompatibleType(
            f'the function of driver "{self.name}" must give a TensorStore, but gave: {opened!r}'
        )


def register_driver(
    name: str,
    *,
    scheme: str | None = None,
    loop: AbstractEventLoop | None = None,
    replace: bool = False,
) -> Callable[[F], F]:
    """Makes a driver known by a name, for specs (``{"driver": name}``) and URLs (``...|scheme:``).

    Decorates a function that opens an array: that gives a `TensorStore` (one of `virtual_chunked`,
    or any other), or an `ArrayDriver`. It is a plain function, which runs on a worker thread, or a
    coroutine function, which runs on `loop`; what it raises arrives as it is.

    Its parameters are the members of the JSON spec: their names, types and defaults (see
    `asynctensor.extension.members`). Some names have a meaning of their own:

    - ``kvstore``: the driver stores arrays; this is where (a `KvStore`);
    - ``base``: the driver is an adapter; this is the array below (a `TensorStore`);
    - ``schema``: what is wanted of the array. The array must satisfy it, whether asked for or not;
    - ``open_mode``: an `OpenMode`, whether to open, create or replace: the flags ``open``,
      ``create``, ``delete_existing`` of `open` and of the spec. Without it the driver opens only,
      and there are no such flags in its specs;
    - ``context``, ``transaction``: those of `open`.

    Args:
        name: Name of the driver.
        scheme: Scheme in URLs; None for none.
        loop: Where a coroutine runs: by default the loop that is running now; without one, a loop
            of the library's own, on another thread.
        replace: Whether a driver that was registered under this name before is replaced.

    Raises:
        AlreadyExists: The name or scheme is taken.
        InvalidArgument: A parameter that no JSON can be, or that every spec has.
        IncompatibleType: `loop` is no event loop.
    """
    guest = Guest(loop)

    def decorate(function: F) -> F:
        if not callable(function):
            raise IncompatibleType(f"register_driver decorates a function, not {function!r}")
        definition = DriverDefinition(name, scheme, function, guest)
        add_driver(definition.rules(), definition, replace=replace)
        return function

    return decorate
