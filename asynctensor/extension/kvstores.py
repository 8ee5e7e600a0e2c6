"""`register_kvstore`: a user's store becomes a kvstore of specs and URLs."""

from __future__ import annotations

import itertools
from asyncio import AbstractEventLoop
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar, overload

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.extension.guest_store import GuestStore, OpenStores
from asynctensor.extension.members import Members
from asynctensor.extension.store_functions import capabilities_of
from asynctensor.kvstore import KvStore
from asynctensor.registry import add_kvstore
from asynctensor.runtime.guest import Guest
from asynctensor.schema.json_value import dump
from asynctensor.spec_rules import KvStoreForm, KvStoreRules
from asynctensor.storage.kvstore import Capabilities, KeyValueStore
from asynctensor.storage.store_request import StoreRequest

C = TypeVar("C", bound=type)
_OPEN = OpenStores()
_REGISTRATIONS = itertools.count(1)
#: Parameters that are no members of the spec.
_SPECIAL = frozenset({"base"})
#: Members that every kvstore's spec may have.
_COMMON = frozenset({"driver", "path", "context"})


class StoreDefinition:
    """A kvstore that a user registered; what opens its stores."""

    def __init__(
        self,
        name: str,
        scheme: str | None,
        make: Callable[..., Any],
        capabilities: Capabilities,
        guest: Guest,
    ) -> None:
        self.name, self._scheme, self._make = name, scheme, make
        self._capabilities, self._guest = capabilities, guest
        self._registration = next(_REGISTRATIONS)
        self._members = Members.of(make, _SPECIAL)
        if self._members.names & _COMMON:
            names = ", ".join(sorted(self._members.names & _COMMON))
            raise InvalidArgument(f"every kvstore has a member {names}; rename the parameter")

    def rules(self) -> KvStoreRules:
        """The rules of its specs."""
        members = self._members
        return KvStoreRules(
            self.name,
            scheme=self._scheme,
            members=members.names,
            adapter="base" in members.special,
            defaults=tuple(members.defaults.items()),
            check=self._check,
        )

    def _check(self, options: dict[str, Any], form: KvStoreForm) -> dict[str, Any]:
        del form
        context = {k: v for k, v in options.items() if k == "context"}
        own = {k: v for k, v in options.items() if k != "context"}
        return self._members.arguments(own) | context

    def __call__(self, request: StoreRequest) -> tuple[KeyValueStore, str]:
        """See `StoreOpener`."""
        options = {k: v for k, v in request.options.items() if k != "context"}
        arguments = self._members.arguments(options)
        below = request.opened_base() if "base" in self._members.special else None
        if below is not None:
            arguments["base"] = KvStore(*below, context=request.context)

        def made() -> GuestStore:
            make = partial(self._make, **arguments)
            return GuestStore(
                self.name,
                self._scheme,
                make,
                options,
                self._capabilities,
                self._guest,
                self._registration,
                below,
            )

        where = None if below is None else (below[0].identity, below[1])
        return _OPEN.shared((self._registration, dump(options), where), made), request.path


@overload
def register_kvstore(
    name: str,
    *,
    scheme: str | None = None,
    loop: AbstractEventLoop | None = None,
    replace: bool = False,
) -> Callable[[C], C]: ...
@overload
def register_kvstore(
    name: str,
    *,
    scheme: str | None = None,
    loop: AbstractEventLoop | None = None,
    replace: bool = False,
    read: Callable[..., Any],
    write: Callable[..., Any] | None = None,
    list: Callable[..., Any] | None = None,
) -> None: ...
def register_kvstore(
    name: str,
    *,
    scheme: str | None = None,
    loop: AbstractEventLoop | None = None,
    replace: bool = False,
    read: Callable[..., Any] | None = None,
    write: Callable[..., Any] | None = None,
    list: Callable[..., Any] | None = None,  # noqa: A002 -- the contract's name
) -> Callable[[C], C] | None:
    """Makes a store known by a name, for specs (``{"driver": name}``) and URLs (``scheme://path``).

    As a decorator of a class, or with the functions themselves. The class is one of:

    - a class with the functions below as methods. What its constructor takes are the members of
      the JSON spec: their names, types and defaults are those of its parameters (see
      `asynctensor.extension.members`);
    - a subclass of `KeyValueStore`, which keeps the whole contract.

    With a parameter ``base`` the store is an adapter, which stands on another one: that is given as
    a `KvStore`. In specs it is the member ``base``, in URLs what stands before: ``file:///a|name:``.

    Each function is a plain one, which runs on a worker thread, or a coroutine function, which runs
    on `loop`. None runs on the library's I/O loop, and what they raise arrives as it is.

    - ``read(key)`` gives the value as bytes, None if there is none, or ``(value, generation)``.
      Without a generation, equal bytes are one. With a parameter ``byte_range`` (a `ByteRange`) it
      gives just that part, and always a generation.
    - ``write(key, value)`` replaces a value, None deletes it. It may return the new generation,
      `NO_VALUE` after a delete.
      With a parameter ``if_equal`` the store can do conditional writes: if that is not empty, and
      not the generation of the value now (`NO_VALUE`: there is none), it changes nothing and
      returns None, else the new generation. Only such stores are safe with writers in several
      processes.
    - ``list(prefix)`` gives the keys that begin with `prefix`, or pairs ``(key, size)``: a
      generator of either kind, or a collection.

    What is missing, the store cannot do. One object is made per set of members, when it is first
    needed, and shared as long as a store of these members is open.

    Args:
        name: Name of the kvstore.
        scheme: Scheme in URLs; None for none.
        loop: Where coroutines run: by default the loop that is running now; without one, a loop
            of the library's own, on another thread.
        replace: Whether a store that was registered under this name before is replaced; those that
            are open are not.
        read: See above.
        write: See above.
        list: See above.

    Raises:
        AlreadyExists: The name or scheme is taken.
        InvalidArgument: The class has none of the functions, or a parameter that no JSON can be.
        IncompatibleType: `loop` is no event loop.
    """
    guest = Guest(loop)

    def register(made: Any, functions: object) -> None:
        capabilities = capabilities_of(functions)
        if not any((capabilities.readable, capabilities.writable, capabilities.listable)):
            raise InvalidArgument(f"{made!r} has no function read, write or list")
        definition = StoreDefinition(name, scheme, made, capabilities, guest)
        add_kvstore(definition.rules(), definition, replace=replace)

    if read is not None or write is not None or list is not None:
        functions = SimpleNamespace(read=read, write=write, list=list)
        register(lambda: functions, functions)
        return None

    def decorate(cls: C) -> C:
        if not isinstance(cls, type):
            raise IncompatibleType(f"register_kvstore decorates a class, not {cls!r}")
        register(cls, cls)
        return cls

    return decorate
