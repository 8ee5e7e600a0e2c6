"""Making and forgetting branches and tags."""

from __future__ import annotations

from asynctensor.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.branch import now
from asynctensor.kvstores.repo.description import MAIN
from asynctensor.kvstores.repo.refs import Ref, RefEntry
from asynctensor.kvstores.repo.snapshot_id import is_snapshot_id, snapshot_id
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.tail import Version
from asynctensor.runtime.entropy import random_bytes, random_hex

#: How often a name is looked at again because somebody else wrote its log meanwhile.
_ATTEMPTS = 100


class Naming:
    """Branches and tags of one repository.

    Args:
        state: The repository.
    """

    def __init__(self, state: RepositoryState) -> None:
        self._state = state

    async def create_branch(self, name: str, source: str) -> str | None:
        """See `Repository.create_branch`."""
        _check_name(name)
        await self._state.may_write()
        lineage, version = await self._state.find_state(source)
        # The branch whose own the commit is: not one that only shares it.
        lineage = lineage.at(version[0])
        digest = b""
        if version[0]:
            digest = (await self._state.history.durable(lineage, version[0])).digest
        entry = RefEntry(
            random_bytes(16),
            "create",
            random_hex(objects.BRANCH_BYTES),
            version,
            lineage.branch,
            digest,
            now(),
        )
        await self._write("b", name, entry)
        return _id(lineage.branch, version)

    async def create_tag(
        self, name: str, source: str, message: str | None, author: str | None
    ) -> str:
        """See `Repository.create_tag`."""
        _check_name(name)
        await self._state.may_write()
        lineage, version = await self._state.find_state(source)
        if not version[0]:
            raise FailedPrecondition(f"{source!r} has no commit yet that could be tagged")
        at = lineage.at(version[0])
        record = await self._state.history.durable(lineage, version[0])
        entry = RefEntry(
            random_bytes(16),
            "create",
            at.branch,
            version,
            digest=record.digest,
            time=now(),
            message=message,
            author=author,
        )
        await self._write("t", name, entry)
        return snapshot_id(at.branch, version)

    async def _write(self, kind: objects.RefKind, name: str, entry: RefEntry) -> None:
        """Puts an entry that creates a name into its log.

        Raises:
            AlreadyExists: The name means something, or is that of a tag that was deleted.
        """
        if kind == "b":
            await self._state.branch_ref(MAIN)
        for _ in range(_ATTEMPTS):
            known = await self._read(kind, name)
            if any(each.operation == entry.operation for each in known.entries):
                await self._state.refs.confirm(kind, name, known)
                return
            if known.live is not None:
                if kind == "b" and await self._state.is_closed(name, known.live):
                    continue
                what = "branch" if kind == "b" else "tag"
                raise AlreadyExists(f"there is a {what} {name!r} in this repository already")
            if kind == "t" and known.entries:
                raise AlreadyExists(
                    f"tag {name!r} was deleted, and a tag is never made anew: take another name"
                )
            await self._state.refs.append(kind, name, known, entry)
        raise FailedPrecondition(f"the name {name!r} is being written all the time")

    async def _read(self, kind: objects.RefKind, name: str) -> Ref:
        if kind == "b":
            return await self._state.branch_ref(name)
        return await self._state.refs.read("t", name)

    async def delete_branch(self, name: str) -> None:
        """See `Repository.delete_branch`; the log is closed before the name goes (R23)."""
        if name == MAIN:
            raise InvalidArgument(
                f"{MAIN!r} is the branch of whoever names none, and stays; reset() takes it to "
                "another commit"
            )
        await self._state.may_write()
        entry = await self._state.branch_entry(name)
        branch = await self._state.branch_by_id(await self._state.lineage(entry), name)
        await branch.close()
        await self._state.refs.forget("b", name, entry)

    async def delete_tag(self, name: str) -> None:
        """See `Repository.delete_tag`."""
        await self._state.may_write()
        found = (await self._state.refs.read("t", name)).live
        if found is None:
            raise NotFound(f"there is no tag {name!r} in this repository")
        await self._state.refs.forget("t", name, found)

    async def branches(self) -> list[tuple[str, str, str | None]]:
        """Name, id and fork point of each branch."""
        await self._state.branch_ref(MAIN)
        return [
            (name, e.branch, _id(e.origin, e.version) if e.origin else None)
            for name, e in await self._state.refs.names("b")
        ]

    async def tags(self) -> list[tuple[str, str, str | None, str | None]]:
        """Name, commit, message and author of each tag."""
        return [
            (name, snapshot_id(e.branch, e.version), e.message, e.author)
            for name, e in await self._state.refs.names("t")
        ]


def _check_name(name: str) -> None:
    """Refuses what can be no name of a branch or tag.

    Raises:
        InvalidArgument: It cannot.
    """
    objects.quoted(name)
    if is_snapshot_id(name):
        raise InvalidArgument(f"{name!r} is spelled as the id of a commit: take another name")


def _id(branch: str, version: Version) -> str | None:
    """The id of a commit; None of the state before all."""
    return snapshot_id(branch, version) if version[0] else None
