"""The contract of what can change many keys at once, all or nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from asynctensor.errors import InvalidArgument, Unimplemented
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.partial_value import Merge, Written
from asynctensor.storage.shared_transaction import (
    Isolation,
    Receipt,
    SharedCommit,
    SharedTransaction,
)
from asynctensor.storage.stash import Stash, StoredValue

__all__ = ["Commit", "CommitDomain", "Committed", "Isolation", "at_root"]


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
        shared: The transaction that several processes work on, of which this is the commit, or
            one part.
        written: Which parts of values were written, of a transaction of several processes; what
            is missing was written whole.
        merge: Makes one value of those that several processes have written in part; None: that
            is refused.
        caller_key: Of all commits that bear the same one, one is made; where there is no history,
            such a commit is refused.
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
    shared: SharedCommit | None = None
    written: Mapping[str, Written] = field(default_factory=dict)
    merge: Merge | None = None
    caller_key: str | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit made.

    Attributes:
        generations: The new generation of each key of ``Commit.values``; `UNKNOWN` where an earlier
            commit bore the same caller's key.
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

    @property
    def root(self) -> CommitDomain:
        """What commits in the end, maybe under other names of keys; itself unless it is a view.

        Domains that are equal have the same root, or equal ones.
        """
        return self

    def root_key(self, key: str) -> str | None:
        """The name of a key in `root`; None: nothing can be stored under this key."""
        return key

    def root_ranges(self, ranges: Sequence[KeyRange]) -> Sequence[KeyRange]:
        """What ranges of keys are in `root`."""
        return ranges

    def mark(self) -> object:
        """Names the state that a transaction which begins now reads; see `KeyValueStore.pinned`.

        None where older states are not kept.
        """
        return None

    def stash(self, shared: SharedTransaction | None = None) -> Stash | None:
        """A new stash for one transaction; None where values are stored by the commit only.

        Args:
            shared: The transaction, if several processes work on it.
        """
        return None

    def foresee(self, commit: Commit) -> None:  # noqa: B027 -- most know nothing without asking
        """Refuses a commit of which it is known already that it would conflict.

        Asked before values are worked out, which may be most of the work. The store is asked for
        nothing: what is not refused may conflict all the same.

        Args:
            commit: What was read for the user, and the keys that are to be written; no values.

        Raises:
            Aborted: See `commit`.
        """

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Entered by whoever works a commit out again because others were in the way.

        Where all did so at once, all but one of them would do it in vain, again and again.
        """
        return nullcontext()

    @abstractmethod
    async def commit(self, commit: Commit) -> Committed:
        """Makes every change of `commit`, or none.

        Raises:
            Aborted: A key has another generation than expected; `key` names it. Nothing changed.
            CommitUnknown: The store does not say whether it was made.

        When a cancellation is delivered, the commit has either happened or never will.
        """

    async def share(self, terms: Commit) -> SharedTransaction:
        """Gives a transaction an id of its own, by which other processes can join it.

        Args:
            terms: What is known of it: its mark, what it says of itself, and what was staged.

        Raises:
            Unimplemented: Nothing here can be committed by several processes together.
            Error: The store failed.
        """
        raise Unimplemented("only transactions of a repository can be shared by several processes")

    async def join(self, token: SharedTransaction) -> object:
        """The mark of a shared transaction: the state that it reads.

        Raises:
            Aborted: It was aborted.
            FailedPrecondition: It was committed, or the branch's name means another one now.
            NotFound, Error: The state cannot be read.
        """
        raise Unimplemented("nothing here can be shared by several processes")

    async def resume(self, token: SharedTransaction) -> object:
        """As `join`, for whoever commits it: it may have been committed already.

        Raises:
            Aborted: It was aborted.
            FailedPrecondition, NotFound, Error: See `join`.
        """
        raise Unimplemented("nothing here can be shared by several processes")

    async def write_part(self, commit: Commit, worker: str, attempt: int) -> Receipt:
        """Stores a part of a shared transaction, which nobody sees until that is committed.

        Args:
            commit: The part.
            worker: Who wrote it.
            attempt: At which try.

        Raises:
            Aborted: Something that it rests on is not as in the state that the transaction reads.
            FailedPrecondition: It deletes ranges of keys, which a part cannot.
            Error: The store failed.
        """
        raise Unimplemented("nothing here can be shared by several processes")

    async def parts_of(self, token: SharedTransaction) -> list[Receipt]:
        """The receipts of all parts that are stored, for a commit that lost them.

        Raises:
            Error: The store failed.
        """
        raise Unimplemented("nothing here can be shared by several processes")

    async def abandon(self, token: SharedTransaction) -> bool:
        """Notes for good that a shared transaction is never committed.

        Returns:
            Whether it is so; False if it was committed before.

        Raises:
            CommitUnknown: The store does not say.
            Error: The store failed.
        """
        raise Unimplemented("nothing here can be shared by several processes")


def at_root(commit: Commit, domain: CommitDomain) -> Commit:
    """What `domain` is to commit, under the names of its root.

    Raises:
        InvalidArgument: A key that is written has none there.
    """
    if domain.root is domain:
        return commit
    names = {key: domain.root_key(key) for key in (*commit.expected, *commit.values)}
    missing = next((key for key in commit.values if names[key] is None), None)
    if missing is not None:
        raise InvalidArgument("nothing can be stored under this key", key=missing)
    # Where nothing can be stored, what was found there stays true.
    known = {key: name for key, name in names.items() if name is not None}
    return replace(
        commit,
        expected={name: commit.expected[k] for k, name in known.items() if k in commit.expected},
        values={known[key]: value for key, value in commit.values.items()},
        cleared=domain.root_ranges(commit.cleared),
        read=frozenset(known[key] for key in commit.read if key in known),
        looked_up=frozenset(known[key] for key in commit.looked_up if key in known),
        listed=domain.root_ranges(commit.listed),
        written={known[key]: part for key, part in commit.written.items()},
    )
