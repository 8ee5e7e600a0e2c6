"""Making place: deleting everything below a path, but not what is nobody's array."""

from __future__ import annotations

from asynctensor.errors import FailedPrecondition
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import KeyValueStore


async def check_clearing(store: KeyValueStore, prefix: str) -> None:
    """Checks that everything below `prefix` may be deleted at once.

    Raises:
        FailedPrecondition: There is more below it than an array or a group; nothing was deleted.
    """
    precious = await store.precious(prefix)
    if precious is not None:
        raise FailedPrecondition(
            f"everything below this path would be deleted, {precious} among it; give what is "
            "created a path of its own, or delete by hand what is in its way",
            key=prefix,
            operation="delete",
        )


async def clear(store: KeyValueStore, prefix: str) -> None:
    """Deletes everything below `prefix`; not atomic.

    Raises:
        FailedPrecondition: See `check_clearing`.
    """
    await check_clearing(store, prefix)
    await store.delete_range(KeyRange.prefix(prefix))
