"""What a transaction does to one value, and what it relies upon of one."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from asynctensor.errors import Aborted
from asynctensor.storage.kvstore import Buffer
from asynctensor.storage.partial_value import Written
from asynctensor.storage.stash import Stash, StoredValue

#: Bytes of whole values that are worth being moved out of memory.
_LARGE = 64 * 1024


class StagedValue(ABC):
    """What a transaction does to one value."""

    __slots__ = ()

    #: Whether the commit works it out before the others, which may follow from it.
    leads: bool = False

    @property
    @abstractmethod
    def needs_current(self) -> bool:
        """Whether the outcome depends on what is stored."""

    def committed(self) -> None:  # noqa: B027 -- most need not know
        """Told that the new value has been stored."""

    async def settled(self, value: bytes | None) -> None:  # noqa: B027 -- as above
        """Told what it is about to be committed as, if it leads; perhaps several times.

        Raises:
            Aborted: Something else that is staged cannot follow.
        """

    @property
    def nbytes(self) -> int:
        """About how many bytes the new value takes while it is worked out."""
        return 0

    @property
    def held(self) -> int:
        """About how many bytes of it are in memory, that could be elsewhere."""
        return 0

    @classmethod
    async def moved_out(
        cls, staged: Mapping[str, Any], stash: Stash, scratch: Stash
    ) -> Mapping[str, StagedValue]:
        """Moves several of this class out of memory.

        Args:
            staged: They, by key.
            stash: Where to, if it is as the commit will have it.
            scratch: Where to, if not: that is deleted in the end.

        Returns:
            What takes the place of those that were moved: perhaps they themselves.
        """
        return {}

    def stored(self, stash: Stash | None) -> StoredValue | None:
        """All of the new value, if it is in `stash` already."""
        return None

    def written(self) -> Written | None:
        """Which part of the value it is that was written; None: all, or it cannot be told."""
        return None

    @abstractmethod
    async def value(self, current: bytes | None) -> bytes | None:
        """The new value, given what is stored (None: nothing); None deletes the key.

        Raises:
            Aborted: It cannot be made of what is stored.
        """

    @classmethod
    async def values(
        cls, staged: Sequence[Any], currents: Sequence[bytes | None]
    ) -> Sequence[Buffer | None]:
        """`value` of several of this class, for less than they cost one by one.

        What it gives may be views of memory that is never written again.
        """
        values: Sequence[StagedValue] = staged
        pairs = zip(values, currents, strict=True)
        return await asyncio.gather(*(each.value(current) for each, current in pairs))


class StashedValue(StagedValue):
    """A whole value that was moved out of memory.

    Args:
        key: Its key.
        stash: Where it is.
        value: What it is there.
    """

    def __init__(self, key: str, stash: Stash, value: StoredValue) -> None:
        self._key, self._stash, self._value = key, stash, value

    @property
    def needs_current(self) -> bool:
        """It does not."""
        return False

    async def value(self, current: bytes | None) -> bytes | None:
        """The value that was staged."""
        return await self._stash.read(self._key, self._value)

    @property
    def nbytes(self) -> int:
        """See `StagedValue.nbytes`."""
        return self._value.size

    def stored(self, stash: Stash | None) -> StoredValue | None:
        """See `StagedValue.stored`."""
        return self._value if stash is self._stash else None


class WholeValue(StagedValue):
    """A value, or a delete, whatever was there before."""

    def __init__(self, data: bytes | None) -> None:
        self.outcome = data

    @property
    def needs_current(self) -> bool:
        """It does not."""
        return False

    async def value(self, current: bytes | None) -> bytes | None:
        """The value that was staged."""
        return self.outcome

    @property
    def nbytes(self) -> int:
        """See `StagedValue.nbytes`."""
        return len(self.outcome or b"")

    @property
    def held(self) -> int:
        """See `StagedValue.held`; small values, such as documents, stay where they are."""
        return self.nbytes if self.nbytes >= _LARGE else 0

    @classmethod
    async def moved_out(
        cls, staged: Mapping[str, Any], stash: Stash, scratch: Stash
    ) -> Mapping[str, StagedValue]:
        """See `StagedValue.moved_out`."""
        found = await stash.store({key: each.outcome for key, each in staged.items()})
        return {key: StashedValue(key, stash, value) for key, value in found.items()}

    @classmethod
    async def values(
        cls, staged: Sequence[Any], currents: Sequence[bytes | None]
    ) -> Sequence[Buffer | None]:
        """See `StagedValue.values`."""
        return [each.outcome for each in staged]


#: (as it was first read, as the transaction leaves it, as it is stored now, and what was appended
#: to dimensions) to what is to be stored; see `asynctensor.chunked.document_merge`. Raises
#: `Conflicting`.
Merge: TypeAlias = Callable[
    [bytes | None, bytes | None, bytes | None, dict[int, int]], "bytes | None"
]


class Conflicting(Exception):
    """Versions that cannot be merged.

    Attributes:
        members: The members of the document that both sides changed; empty: all of it.
    """

    def __init__(self, members: tuple[str, ...]) -> None:
        super().__init__(", ".join(members))
        self.members = members


class StagedDocument(StagedValue):
    """A change of a document that is merged with what others change.

    Attributes:
        key: Its key.
        base: The document as the transaction found it; None: there was none.
        ours: The document as the transaction leaves it; None: deleted.
        merge: How its versions become one.
        appended: Elements that were appended to dimensions which nothing else has changed.
        followers: Told of the document before the values that follow from it are worked out.
    """

    leads = True

    def __init__(self, key: str, base: bytes | None, ours: bytes | None, merge: Merge) -> None:
        self.key, self.base, self.ours, self.merge = key, base, ours, merge
        self.appended: dict[int, int] = {}
        self.followers: list[Callable[[bytes | None], Awaitable[None]]] = []

    @property
    def outcome(self) -> bytes | None:
        """The document as the transaction sees it."""
        return self.ours

    @property
    def needs_current(self) -> bool:
        """It does: others may have changed other members."""
        return True

    async def value(self, current: bytes | None) -> bytes | None:
        """The merged document; see `StagedValue.value`."""
        try:
            return self.merge(self.base, self.ours, current, self.appended)
        except Conflicting as error:
            raise changed_meanwhile(self.key, error.members) from None

    async def settled(self, value: bytes | None) -> None:
        """See `StagedValue.settled`."""
        for follower in list(self.followers):
            await follower(value)


class Reliance(ABC):
    """Something that a transaction relies upon of a document, less than all of it.

    Attributes:
        generation: The document's generation when it was relied upon.
    """

    def __init__(self, generation: bytes) -> None:
        self.generation = generation

    @abstractmethod
    def broken(
        self, stored: bytes | None, outcome: bytes | None, reads: bool
    ) -> tuple[str, ...] | None:
        """The members that are not as relied upon; None if all are.

        Args:
            stored: The document that is stored now (None: there is none).
            outcome: What the transaction makes of it.
            reads: Whether what the user was shown counts too, not only what the transaction's
                writes need.
        """


def changed_meanwhile(key: str, members: tuple[str, ...]) -> Aborted:
    """Somebody else changed members of a document (empty: all of it) that mattered."""
    what = ", ".join(members) or "all"
    error = Aborted(
        f"somebody else changed {what} of this document meanwhile; run the transaction again",
        key=key,
        operation="commit",
    )
    error.final = True
    error.members = members
    return error
