"""The commits of a branch, one after the other."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Iterator

from asynctensor.kvstores.repo.commit_walk import CommitWalk, WalkedCommit
from asynctensor.kvstores.repo.family import DOCUMENTS
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.repository.commit_info import CommitChanges, CommitInfo
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.listing import Listing

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
#: In microseconds, the last time that `datetime` can tell; a clock that is far off may be later.
_LAST = (dt.datetime.max.replace(tzinfo=dt.UTC) - _EPOCH) // dt.timedelta(microseconds=1)


class CommitLog(Listing[CommitInfo]):
    """Commits from a state backwards; each iteration, and each ``await``, begins anew.

    Args:
        state: The repository.
        source: A branch, a tag, or the id of a commit.
        limit: How many at most.
    """

    __slots__ = ("_limit", "_source", "_state")

    def __init__(self, state: RepositoryState, source: str, limit: int | None) -> None:
        super().__init__(self._walked)
        self._state, self._source, self._limit = state, source, limit

    async def _walked(self) -> AsyncIterator[CommitInfo]:
        walk = CommitWalk(self._state, self._source)
        left = self._limit
        while left is None or left > 0:
            some = await walk.more()
            if not some:
                return
            for each in some[:left]:
                yield info_of(each)
            left = None if left is None else left - len(some)

    def __iter__(self) -> Iterator[CommitInfo]:
        walk = CommitWalk(self._state, self._source)
        left = self._limit
        while left is None or left > 0:
            some = start(walk.more).result()
            if not some:
                return
            for each in some[:left]:
                yield info_of(each)
            left = None if left is None else left - len(some)


def info_of(found: WalkedCommit) -> CommitInfo:
    """What users are told of a commit."""
    entry = found.entry
    return CommitInfo(
        id=found.id,
        parents=found.parents,
        time=_EPOCH + dt.timedelta(microseconds=min(found.time, _LAST)),
        message=entry.message,
        author=entry.author,
        metadata=dict(entry.metadata),
        kind=entry.kind,
        changes=_changes(found),
    )


def _changes(walked: WalkedCommit) -> CommitChanges:
    entry = walked.entry
    documents: list[str] = []
    deleted: list[str] = []
    chunks: dict[str, int] = {}
    families = {family.id: family for family in entry.families}
    for part in entry.parts:
        for span in part.spans:
            if span.space != DOCUMENTS:
                prefix = families[span.space].prefix
                chunks[prefix] = chunks.get(prefix, 0) + span.count
    for run in (*entry.runs, *walked.documents):
        if run.space == DOCUMENTS:
            for key, ref in run.items():
                (deleted if ref is None else documents).append(key.decode("utf-8", "surrogatepass"))
        else:
            prefix = families[run.space].prefix
            chunks[prefix] = chunks.get(prefix, 0) + len(run)
    cleared = tuple((each.inclusive_min, each.exclusive_max) for each in entry.cleared)
    return CommitChanges(tuple(documents), tuple(deleted), dict(sorted(chunks.items())), cleared)
