"""Names of branches and tags. Each name has a small log of its own, and never a mutable object.

Entry k of a name's log is created if absent, after all before it were read. The last entry says
what the name means: what it was created for, or, if it is a tombstone, nothing (R22).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from asynctensor.errors import DataLoss, Error, Unavailable
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.fields import Fields, check_text, without_trailing_defaults
from asynctensor.kvstores.repo.frame import Kind, decode, encode
from asynctensor.kvstores.repo.objects import RefKind
from asynctensor.kvstores.repo.place import Created, Place
from asynctensor.kvstores.repo.tail import Version
from asynctensor.runtime.clock import SYSTEM_CLOCK
from asynctensor.runtime.entropy import random_bytes, uniform

#: Attempts at one entry whose outcome the store does not tell. Seconds of the first pause between.
_ATTEMPTS = 5
_PAUSE = 0.01
_ACTIONS: tuple[Literal["create", "delete"], ...] = ("create", "delete")


@dataclass(frozen=True, slots=True)
class RefEntry:
    """One entry in the log of a name.

    Attributes:
        operation: 16 random bytes by which whoever wrote it finds it again.
        action: What it does to the name.
        branch: Of a branch: its id. Of a tag: the branch of the tagged commit.
        version: Of a branch: the commit it was forked at, ``(0, 0)``: none. Of a tag: the commit.
        origin: Of a branch that was forked: the id of the branch that the commit is of.
        digest: Of the record of `version`; empty if there is none.
        time: Microseconds since the Unix epoch.
        message: Why.
        author: By whom.
    """

    operation: bytes
    action: Literal["create", "delete"]
    branch: str
    version: Version = (0, 0)
    origin: str = ""
    digest: bytes = b""
    time: int = 0
    message: str | None = None
    author: str | None = None

    def encode(self) -> bytes:
        """The body of the object that holds it.

        Raises:
            InvalidArgument: A field cannot be stored.
        """
        check_text(message=self.message, author=self.author)
        return encode(
            Kind.REF,
            without_trailing_defaults(
                [
                    self.operation,
                    _ACTIONS.index(self.action),
                    self.branch,
                    *self.version,
                    self.origin,
                    self.digest,
                    self.time,
                    self.message,
                    self.author,
                ]
            ),
        )

    @staticmethod
    def decode(data: bytes, *, object: str) -> RefEntry:
        """The entry in the body of `object`.

        Raises:
            DataLoss: It is damaged.
            Unimplemented: It is in a newer version of the format.
        """
        fields = Fields(decode(Kind.REF, data, object=object), object=object, where="the entry")
        return RefEntry(
            fields.binary(0, "operation", size=16),
            _ACTIONS[fields.uint(1, "action", below=len(_ACTIONS))],
            fields.text(2, "branch"),
            (
                fields.uint(3, "record", below=objects.SEQ_LIMIT),
                fields.uint(4, "place", below=2**16),
            ),
            fields.text(5, "origin"),
            fields.binary(6, "digest"),
            fields.uint(7, "time"),
            fields.text_or_none(8, "message"),
            fields.text_or_none(9, "author"),
        )


@dataclass(frozen=True, slots=True)
class Ref:
    """What a name's log says.

    Attributes:
        entries: All entries, oldest first.
    """

    entries: tuple[RefEntry, ...]

    @property
    def live(self) -> RefEntry | None:
        """What the name means now; None if it means nothing."""
        last = self.entries[-1] if self.entries else None
        return last if last is not None and last.action == "create" else None


class Refs:
    """The names of one repository.

    Args:
        place: Where the repository is.
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    async def read(self, kind: RefKind, name: str) -> Ref:
        """The log of a name.

        Raises:
            DataLoss: An entry is damaged.
            Error: The store failed.
        """
        entries: list[RefEntry] = []
        while True:
            k = len(entries)
            found = await asyncio.gather(*(self._entry(kind, name, k + i) for i in range(2)))
            for entry in found:
                if entry is None:
                    return Ref(tuple(entries))
                entries.append(entry)

    async def _entry(self, kind: RefKind, name: str, k: int) -> RefEntry | None:
        key = objects.ref_entry(kind, name, k)
        body = await self._place.get(key)
        return None if body is None else RefEntry.decode(body, object=key)

    async def append(self, kind: RefKind, name: str, known: Ref, entry: RefEntry) -> Ref:
        """Adds an entry behind those that are known, unless somebody else did.

        Returns:
            The log then; whether `entry` is in it tells who was first.

        Raises:
            Unavailable: The store does not say; it may still appear.
            Error: The store failed, and nothing was added.
        """
        await self.confirm(kind, name, known)
        key = objects.ref_entry(kind, name, len(known.entries))
        body = entry.encode()
        undecided = False
        for attempt in range(_ATTEMPTS):
            try:
                outcome = await self._place.create(key, body)
                if outcome is Created.CREATED:
                    return Ref((*known.entries, entry))
                # Also where it is taken: an attempt that the store made for us may have been
                # the one.
                undecided = True
                settled = outcome is Created.TAKEN or not self._place.may_forget
                if settled and await self._entry(kind, name, len(known.entries)) is not None:
                    return await self.read(kind, name)
            except DataLoss:
                raise
            except Error as error:
                if not undecided:
                    raise
                raise _undecided(key) from error
            await asyncio.sleep(_PAUSE * 2**attempt * uniform(0.5, 1.0))
        raise _undecided(key)

    async def confirm(self, kind: RefKind, name: str, known: Ref) -> None:
        """Returns when what a name means survives a crash; see `Place.confirm`.

        All entries of a name are in one directory: the last one stands for those before it.

        Raises:
            Unavailable: It may not.
            Error: The store failed.
        """
        if known.entries:
            last = len(known.entries) - 1
            key = objects.ref_entry(kind, name, last)
            await self._place.confirm(key, known.entries[last].encode())

    async def forget(self, kind: RefKind, name: str, expected: RefEntry) -> None:
        """Writes the tombstone of a name, if it still means what `expected` gave it.

        Raises:
            Unavailable: The store does not say whether it is written.
            Error: The store failed.
        """
        tombstone = RefEntry(
            random_bytes(16), "delete", expected.branch, time=int(SYSTEM_CLOCK.time() * 1e6)
        )
        while True:
            known = await self.read(kind, name)
            if known.live is None or known.live.operation != expected.operation:
                await self.confirm(kind, name, known)
                return
            await self.append(kind, name, known, tombstone)

    async def names(self, kind: RefKind) -> list[tuple[str, RefEntry]]:
        """The names that mean something, in order, and what they mean.

        Raises:
            DataLoss: An entry is damaged.
            Error: The store failed.
        """
        seen: set[str] = set()
        async for entry in self._place.names(objects.refs_prefix(kind)):
            found = objects.ref_of(entry.key)
            if found is not None:
                seen.add(found[0])
        names = sorted(seen)
        logs = await asyncio.gather(*(self.read(kind, name) for name in names))
        return [
            (name, log.live) for name, log in zip(names, logs, strict=True) if log.live is not None
        ]


def _undecided(key: str) -> Unavailable:
    return Unavailable("the store does not say whether the name was written", key=key)
