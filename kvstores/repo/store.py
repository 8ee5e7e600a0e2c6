"""``repo``: the keys and values of one state of a repository, as a kvstore."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from asynctensor.errors import Aborted, DataLoss, FailedPrecondition
from asynctensor.kvstores.repo.begun_read import begin_read
from asynctensor.kvstores.repo.commits import RepositoryCommits
from asynctensor.kvstores.repo.damage import LostPage, damaged, lost
from asynctensor.kvstores.repo.face import RepositoryFace
from asynctensor.kvstores.repo.listing import listed, names_below
from asynctensor.kvstores.repo.lookup import lookup, stands_in_log
from asynctensor.kvstores.repo.members import write_url
from asynctensor.kvstores.repo.place import Place
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.kvstores.repo.source import BranchSource, FixedSource, Source, source_of
from asynctensor.kvstores.repo.state import RepositoryState, state_of
from asynctensor.kvstores.repo.value_changes import RepositoryHistory
from asynctensor.runtime.seen_through import seen_through
from asynctensor.runtime.sources import SOURCES
from asynctensor.storage.checksum import crc32c
from asynctensor.storage.commit_domain import Commit
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import (
    DEFAULT_READ,
    Buffer,
    Capabilities,
    Json,
    KeyValueStore,
    ListEntry,
    ReadOptions,
    ReadResult,
    Told,
)


class RepositoryStore(KeyValueStore):
    """What every key holds in one state of a repository.

    A branch follows the newest commit that this process knows, and can be written: outside of a
    transaction, a write is a commit of its own. Any other state never changes.

    Args:
        state: The repository.
        source: The state that is shown.
    """

    driver = "repo"

    def __init__(self, state: RepositoryState, source: Source) -> None:
        self.state = state
        self.source = source
        base = state.place.store.capabilities
        movable = isinstance(source, BranchSource)
        self.capabilities = Capabilities(
            writable=movable and base.writable,
            can_create_if_absent=movable,
            can_compare_and_swap=movable,
            suffix_ranges=True,
            durable=base.durable,
        )

    def __repr__(self) -> str:
        return f"RepositoryStore({self.state.place!r}, {self.source.members!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return _reopened, (self.state.place, self.source.members)

    @property
    def below(self) -> tuple[KeyValueStore, str]:
        """See `KeyValueStore.below`."""
        return self.state.place.store, self.state.place.path

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        """See `KeyValueStore.read`."""
        # Commits may come while it is read, of which the snapshot knows nothing.
        asked = SOURCES.time()
        snapshot = await self.source.snapshot()
        return await snapshot.mended(lambda state: self._read(state, asked, key, options))

    def begin_read(self, key: str, options: ReadOptions, told: Told) -> Callable[[], object] | None:
        """See `KeyValueStore.begin_read`."""
        snapshot = self.source.known()
        if snapshot is None or not self.state.place.store.capabilities.remote:
            return None
        return begin_read(snapshot.standing(), self.state.place, key, options, told)

    async def _read(
        self, snapshot: Snapshot, asked: float, key: str, options: ReadOptions
    ) -> ReadResult:
        found = await snapshot.pages.run(lookup(snapshot.tail, snapshot.count, key))
        if found is None:
            unmet = options.if_equal not in (UNKNOWN, NO_VALUE)
            stamp = TimestampedStorageGeneration(NO_VALUE, asked)
            return ReadResult("unspecified" if unmet else "missing", b"", stamp)
        ref = found[1]
        generation = snapshot.generation(found)
        stamp = TimestampedStorageGeneration(generation, asked)
        if options.if_equal not in (UNKNOWN, generation) or options.if_not_equal == generation:
            return ReadResult("unspecified", b"", stamp)
        start, stop = options.byte_range.resolve(ref.size)
        try:
            return ReadResult("value", await self._value(key, ref, start, stop), stamp)
        except DataLoss as error:
            if stands_in_log(snapshot.tail, found):
                raise LostPage(error.message, key=key) from error
            raise

    async def _value(self, key: str, ref: Ref, start: int, stop: int) -> bytes:
        if ref.inline is not None:
            return ref.inline[start:stop]
        if start == stop:
            return b""
        place = self.state.place
        # Documents lie among the pages.
        data = self.state.pages.warmed(ref.object, ref.offset + start, stop - start)
        if data is None:
            data = await place.get_part(ref.object, ref.offset + start, stop - start)
        if data is None:
            raise lost(key, ref.object)
        if stop - start == ref.size and crc32c(data) != ref.crc:
            raise damaged(key, ref.object)
        return data

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
    ) -> TimestampedStorageGeneration:
        """See `KeyValueStore.write`: a commit of its own, grouped with those beside it.

        Raises:
            FailedPrecondition: The state is not that of a branch.
            CommitUnknown: The store did not say whether it was committed.
        """
        expected = {} if if_equal == UNKNOWN else {key: if_equal}
        data = None if value is None else bytes(value)
        commit = Commit(expected, {key: data})
        try:
            done = await seen_through(self._commits().commit(commit))
        except Aborted:
            if if_equal == UNKNOWN:
                raise
            return TimestampedStorageGeneration.now(UNKNOWN)
        return TimestampedStorageGeneration.now(done.generations[key])

    async def delete_range(self, key_range: KeyRange) -> None:
        """See `KeyValueStore.delete_range`; all of it is one commit."""
        await seen_through(self._commits().commit(Commit(cleared=(key_range,))))

    def list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        """See `KeyValueStore.list`: of one moment, the documents in order, then the chunks."""
        return self._list(key_range)

    async def _list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        snapshot: Snapshot = await self.source.snapshot()
        async for key, (_, ref) in listed(snapshot, key_range):
            yield ListEntry(key, ref.size)

    def list_directory(self, prefix: str) -> AsyncIterator[ListEntry]:
        """See `KeyValueStore.list_directory`."""
        return self._directory(prefix)

    async def _directory(self, prefix: str) -> AsyncIterator[ListEntry]:
        async for name, size in names_below(await self.source.snapshot(), prefix):
            yield ListEntry(name, size)

    def spec_json(self, path: str) -> dict[str, Json]:
        """See `KeyValueStore.spec_json`."""
        place = self.state.place
        spec: dict[str, Json] = {
            "driver": self.driver,
            "base": place.store.spec_json(place.path),
            **self.source.members,
        }
        if path:
            spec["path"] = path
        return spec

    def url(self, path: str) -> str:
        """See `KeyValueStore.url`.

        Raises:
            Unimplemented: The state, or the base, has no URL.
        """
        place = self.state.place
        return f"{place.store.url(place.path)}|{write_url(self.source.members, path)}"

    @property
    def identity(self) -> object:
        """See `KeyValueStore.identity`."""
        return (self.driver, self.state.place.identity, self.source.identity)

    @property
    def blocking(self) -> RepositoryFace | None:
        """See `KeyValueStore.blocking`."""
        # A worker thread must not wait for the I/O loop to find out what the state is.
        if self.state.place.store.blocking is None or self.source.known() is None:
            return None
        return RepositoryFace(self.source, self.state.place)

    @property
    def commit_domain(self) -> RepositoryCommits | None:
        """See `KeyValueStore.commit_domain`."""
        if not isinstance(self.source, BranchSource):
            return None
        return RepositoryCommits(self.state, self.source)

    @property
    def history(self) -> RepositoryHistory:
        """See `KeyValueStore.history`."""
        return RepositoryHistory(self.state, self.source)

    def pinned(self, mark: object) -> KeyValueStore:
        """See `KeyValueStore.pinned`."""
        return RepositoryStore(self.state, mark) if isinstance(mark, FixedSource) else self

    def _commits(self) -> RepositoryCommits:
        domain = self.commit_domain
        if domain is None:
            raise FailedPrecondition(
                f"{self.source.members} of a repository never changes; open a branch to write",
                operation="write",
            )
        return domain


def _reopened(place: Place, members: Mapping[str, Any]) -> RepositoryStore:
    """The store that a pickle is of."""
    state = state_of(place)
    return RepositoryStore(state, source_of(state, members))
