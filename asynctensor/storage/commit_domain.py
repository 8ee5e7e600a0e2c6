"""The contract of what can change many keys at once, all or nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.stash import Stash, StoredValue

#: What a commit validates: all that was read; what was read of the keys that it writes; nothing
#: but what it must (values that it changes in part, and conditions of writes).
Isolation: TypeAlias = Literal["serializable", "snapshot", "blind"]


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything that one commit rests on and changes.

    Attributes:
        expected: Key to the generation that it must still have (`NO_VALUE`: none).
        values: Key to its new value; None deletes it. Values that `stash` has stored stand for
            their bytes.
        cleared: Ranges of keys that are deleted, before `values` are written.
        read: Those of the keys of `expected` that were read for the user.
        looked_up: Those of the keys of `expected` whose generation is that of the state which
            `mark` names, or of a later one, so that nobody needs to look again.
        listed: Ranges of keys that were listed for the user.
        isolation: What of these is validated.
        mark: What `CommitDomain.mark` gave when the transaction began.
        message: Why; kept where there is a history.
        author: By whom.
        metadata: What else to note, as JSON.
        stash: What stored values ahead; from `CommitDomain.stash`, for this transaction alone.
    """

    expected: Mapping[str, bytes] = field(default_factory=dict)
    values: Mapping[str, bytes | StoredValue | None] = field(default_factory=dict)
    cleared: Sequence[KeyRange] = ()
    read: frozenset[str] = frozenset()
    looked_up: frozenset[str] = frozenset()
    listed: Sequence[KeyRange] = ()
    isolation: Isolation = "serializable"
    mark: object = None
    message: str | None = None
    author: str | None = None
    metadata: Mapping[str, Any] | None = None
    stash: Stash | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit made.

    Attributes:
        generations: The new generation of each key of ``Commit.values``.
        commit_id: Names the commit in the history; None where there is none.
    """

    generations: Mapping[str, bytes]
    commit_id: str | None = None


class CommitDomain(ABC):
    """Commits many keys of one store at once."""

    @property
    @abstractmethod
    def identity(self) -> object:
        """Hashable; equal exactly for what can take part in one commit together."""

    def mark(self) -> object:
        """Names the state that a transaction which begins now reads; see `KeyValueStore.pinned`.

        None where older states are not kept.
        """
        return None

    def stash(self) -> Stash | None:
        """A new stash for one transaction; None where values are stored by the commit only."""
        return None

    @abstractmethod
    async def commit(self, commit: Commit) -> Committed:
        """Makes every change of `commit`, or none.

        Raises:
            Aborted: A key has another generation than expected; `key` names it. Nothing changed.
            CommitUnknown: The store does not say whether it was made.

        When a cancellation is delivered, the commit has either happened or never will.
        """
