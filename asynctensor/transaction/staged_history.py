"""What a store's index says of many values, as one transaction sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from asynctensor.storage.generation import NO_VALUE
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.value_history import NamedValue, ValueChange, ValueHistory, nearness

if TYPE_CHECKING:
    from asynctensor.transaction.staged_store import StagedStore


class StagedHistory(ValueHistory):
    """The history of what is stored, and over its index what the transaction has staged.

    Args:
        base: The history of the state that the transaction reads.
        store: The store as the transaction sees it.
    """

    def __init__(self, base: ValueHistory, store: StagedStore) -> None:
        self._base, self._store = base, store

    async def newest(
        self, keys: KeyRange | Sequence[str], accepts: Callable[[str], bool] | None = None
    ) -> tuple[int, ValueChange | None]:
        """See `ValueHistory.newest`: of what is stored; what is staged was not committed yet."""
        return await self._base.newest(keys, accepts)

    async def newest_of_part(
        self, key: str, part: Callable[[bytes | None], object]
    ) -> tuple[int, ValueChange | None]:
        """See `ValueHistory.newest_of_part`; as `newest`."""
        return await self._base.newest_of_part(key, part)

    async def named(
        self, prefix: str, names: Collection[str]
    ) -> AsyncIterator[tuple[str, Mapping[str, NamedValue | None]]]:
        """See `ValueHistory.named`.

        The commit rests on what is given; and on there being no more below the prefix, once more
        is asked for than what is directly there.
        """
        async for directory, stored, staged in self._joined(prefix, names):
            found = await self._over(directory, stored, staged)
            if directory == prefix:
                for name in set(names) - stored.keys() - staged:
                    self._store.observe(directory + name, NO_VALUE)
                if found:
                    yield directory, found
                self._store.observe_listing(KeyRange.prefix(prefix))
            elif found:
                yield directory, found

    async def _joined(
        self, prefix: str, names: Collection[str]
    ) -> AsyncIterator[tuple[str, Mapping[str, NamedValue | None], set[str]]]:
        """Directories in which something is stored or staged: the values, and the names."""
        staged = self._store.staged_names(prefix, names)
        waiting = sorted({*staged, prefix}, key=nearness, reverse=True)
        async for directory, stored in self._base.named(prefix, names):
            while waiting and nearness(waiting[-1]) < nearness(directory):
                at = waiting.pop()
                yield at, {}, staged.get(at, set())
            if waiting and waiting[-1] == directory:
                waiting.pop()
            yield directory, stored, staged.get(directory, set())
        while waiting:
            at = waiting.pop()
            yield at, {}, staged.get(at, set())

    async def _over(
        self, directory: str, stored: Mapping[str, NamedValue | None], staged: Collection[str]
    ) -> dict[str, NamedValue | None]:
        """The values of one directory: what is staged, and of the others what is left."""
        found: dict[str, NamedValue | None] = {}
        for name, each in stored.items():
            key = directory + name
            if name in staged or self._store.covered(key):
                continue
            if each is not None:
                self._store.observe(key, each.generation)
            found[name] = each
        for name in staged:
            result = await self._store.read(directory + name)
            if result.state == "value":
                found[name] = NamedValue(bytes(result.value), result.stamp.generation)
        return found
