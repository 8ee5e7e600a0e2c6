"""Where a node is: what `open_group`, `find` and their like take, understood."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.hierarchy.node_path import as_directory
from asynctensor.kvstore import KvStore
from asynctensor.kvstore_spec import KvStoreSpec
from asynctensor.opening import open_store
from asynctensor.public_kvstore_spec import PublicKvStoreSpec
from asynctensor.registry import node_format
from asynctensor.runtime.context import Context
from asynctensor.spec import Spec
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.transaction.transaction import Transaction


class HoldsNodes(Protocol):
    """What a `Repository` is here: it has a kvstore, of the newest state of its main branch."""

    def kvstore(self) -> KvStore:
        """The kvstore."""
        ...


@dataclass(frozen=True, slots=True)
class Location:
    """A directory of a store, and what is known of the node there.

    Attributes:
        store: The store, outside of any transaction.
        prefix: Empty, or ending in ``/``.
        driver: The driver of the format that is named; None: to be found out.
        context: Resources to use.
        transaction: What reads and writes belong to.
    """

    store: KeyValueStore
    prefix: str
    driver: str | None
    context: Context
    transaction: Transaction | None = None


def locate(
    where: Any, context: Context, driver: str | None = None, transaction: Transaction | None = None
) -> Location:
    """The location that `where` names.

    Args:
        where: A path of the local file system; a URL, perhaps with a format; a `KvStore`, its
            spec or JSON; a `Spec` or its JSON; a `Repository`.
        context: Resources to use.
        driver: The format that is named beside it.
        transaction: The transaction that is named beside it.

    Raises:
        InvalidArgument: It is none, or names two formats, or part of an array.
        IncompatibleType: It is of another type.
    """
    held = getattr(where, "kvstore", None)
    if callable(held):
        where = held()
    if isinstance(where, KvStore):
        bound = where.context if isinstance(where.context, Context) else context
        own = where.transaction if transaction is None else transaction
        return Location(where.store, as_directory(where.key_prefix), driver, bound, own)
    kvstore, named = _kvstore(where)
    if driver is not None and named not in (None, driver):
        raise InvalidArgument(f"driver={driver!r} contradicts the spec's {named!r}")
    if "context" in kvstore.options:
        context = Context(kvstore.options["context"], context)
    store, path = open_store(kvstore, context)
    return Location(store, as_directory(path), named or driver, context, transaction)


def _kvstore(where: Any) -> tuple[KvStoreSpec, str | None]:
    if isinstance(where, os.PathLike):
        path = os.path.abspath(os.fspath(where))  # noqa: PTH100 -- links stay as they are
        return KvStoreSpec.of("file", path + "/"), None
    if isinstance(where, PublicKvStoreSpec):
        return where.value.as_directory(), None
    if isinstance(where, Mapping) and "kvstore" not in where:
        return KvStoreSpec(where).as_directory(), None
    if not isinstance(where, (str, Mapping, Spec)):
        raise IncompatibleType(
            f"expected a path, a URL, a kvstore, a spec or a repository, not {type(where).__name__}"
        )
    spec = where if isinstance(where, Spec) else Spec(where)
    kvstore = spec.state.kvstore
    if kvstore is None or spec.state.transform is not None:
        raise InvalidArgument(f"this says of no node where it is: {where!r}")
    driver = None if spec.driver == "auto" else node_format(spec.driver).driver
    return kvstore.as_directory(), driver
