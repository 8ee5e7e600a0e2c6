"""obstore's stores as kvstores: ``{"driver": "obstore", "url": ...}``, or any that is open."""

from __future__ import annotations

from typing import Any

from asynctensor.integrations.obstore_place import ObstorePlace
from asynctensor.integrations.obstore_store import ObstoreStore
from asynctensor.kvstore import KvStore
from asynctensor.runtime.context import Context
from asynctensor.scheduler.scheduled_store import ScheduledStore
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.transaction.transaction import Transaction


def kvstore(
    store: Any,
    path: str = "",
    *,
    transaction: Transaction | None = None,
    context: Context | None = None,
) -> KvStore:
    """A kvstore over a store of obstore's.

    Its reads are batched, merged and shared like those of our own stores. Pickled, it says where it
    is and not who asks: credentials are found anew, in the environment.

    Args:
        store: ``obstore.store.S3Store`` or another of that module.
        path: The prefix of every key.
        transaction: What reads and writes belong to.
        context: The resources of what is opened in it.

    Raises:
        IncompatibleType: `store` is none of obstore's.
    """
    made: KeyValueStore = ObstoreStore(ObstorePlace(store, given=True))
    if made.capabilities.remote:
        made = ScheduledStore(made)
    known = Context() if context is None else context
    return KvStore(made, path, transaction=transaction, context=known)
