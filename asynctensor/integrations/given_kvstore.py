"""The kvstore that a user of another library gives: as object, spec, URL or path, at some state."""

from __future__ import annotations

import datetime as dt
import os
from typing import Any, TypedDict, cast

from asynctensor.errors import InvalidArgument
from asynctensor.kvstore import KvStore
from asynctensor.kvstore_spec import KvStoreSpec
from asynctensor.opening import open_store
from asynctensor.public_kvstore_spec import kvstore_value
from asynctensor.repository.repository import Repository, time_text
from asynctensor.runtime.context import Context
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.transaction import Transaction


class State(TypedDict, total=False):
    """Which state of a repository is meant; see `Repository.kvstore`.

    Attributes:
        branch: A branch.
        tag: A tag.
        snapshot: The state after the commit of this id.
        as_of: The state of ``main`` at a time: a `datetime` with a time zone, or text of RFC 3339.
    """

    branch: str | None
    tag: str | None
    snapshot: str | None
    as_of: str | dt.datetime | None


def given_kvstore(
    given: Any,
    *,
    context: Context | None = None,
    transaction: Transaction | None = None,
    state: State | None = None,
) -> KvStore:
    """Opens a folder of keys, without waiting for anything.

    Args:
        given: A `KvStore`, `Repository`, `KvStore.Spec` or its JSON, a URL, or a path of the local
            file system.
        context: Resources to use, where it is not open yet.
        transaction: What reads and writes belong to; by default as the `KvStore` says.
        state: Of a repository: `given` is one, lies in one, or is the folder that holds one.

    Returns:
        The kvstore; its path is empty or ends in ``/``.

    Raises:
        InvalidArgument: `given` is nothing of that; a state is asked of what has none; or it is
            a time without zone.
    """
    chosen = {name: each for name, each in (state or {}).items() if each is not None}
    if isinstance(given, Repository):
        return given.kvstore(transaction=transaction, **cast("State", chosen))
    if isinstance(given, KvStore):
        if chosen:
            raise InvalidArgument(
                f"{', '.join(chosen)} cannot be asked of a KvStore, which is open at some state: "
                "give the Repository, or repo.kvstore(path, tag=...)"
            )
        found = given if transaction is None else given.with_transaction(transaction)
    else:
        known = Context() if context is None else context
        bound = _at_state(_spec_of(given), chosen).as_directory().bound(known)
        store, path = open_store(bound, known)
        found = KvStore(store, path, transaction=transaction, context=known, opened=bound)
    path = found.key_prefix
    return found + "/" if path and not path.endswith("/") else found


def _is_path(given: Any) -> bool:
    if isinstance(given, str):
        # A URL has a scheme.
        return bool(given) and ":" not in given and "|" not in given
    return isinstance(given, os.PathLike)


def _spec_of(given: Any) -> KvStoreSpec:
    if _is_path(given):
        path = os.path.abspath(os.fspath(given))  # noqa: PTH100 -- links stay as they are
        return KvStoreSpec.of("file", path)
    return kvstore_value(given)


def _at_state(spec: KvStoreSpec, state: dict[str, Any]) -> KvStoreSpec:
    if not state:
        return spec
    texts = {k: time_text(v) if k == "as_of" else v for k, v in state.items()}
    if spec.driver == "repo":
        return KvStoreSpec({"driver": "repo", "path": spec.path, "base": spec.base, **texts})
    return KvStoreSpec({"driver": "repo", "base": spec.as_directory(), **texts})


def target_of(kvstore: KvStore) -> KeyValueStore:
    """The store that reads and writes of `kvstore` go to: what its transaction shows of it."""
    transaction = kvstore.transaction
    return kvstore.store if transaction is None else StagedStore(kvstore.store, transaction)
