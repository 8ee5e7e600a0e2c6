"""The contract of what can be staged in a transaction."""

from __future__ import annotations

from abc import ABC, abstractmethod

from asynctensor.errors import Unimplemented
from asynctensor.storage.commit_domain import Commit, CommitDomain
from asynctensor.storage.shared_transaction import SharedTransaction
from asynctensor.storage.stash import Stash


class Participant(ABC):
    """What one transaction has staged in one store."""

    @property
    @abstractmethod
    def commit_domain(self) -> CommitDomain | None:
        """What commits it atomically; None where nothing can."""

    @property
    @abstractmethod
    def description(self) -> str:
        """The store, for messages; without secrets."""

    def begin(self, mark: object, *, part: bool = False) -> None:  # noqa: B027 -- most keep no older states
        """Told, before anything is staged, which state the transaction reads.

        Args:
            mark: What the domain's `CommitDomain.mark` gave; None in isolated mode.
            part: The transaction is a part of a shared one, all of whose parts rest on that state:
                what changes it in part changes that state, not a newer one.
        """

    def given(self) -> Commit:
        """What was staged as far as other processes can be told of it: whole values, and deletes.

        Raises:
            Unimplemented: Nothing of it can be told.
        """
        raise Unimplemented(f"what was staged in {self.description} cannot be shared")

    def read(self) -> Commit:
        """What surely was read for the user, and the keys that were staged, without values."""
        return Commit()

    @abstractmethod
    async def prepare(self, shared: SharedTransaction | None = None) -> Commit:
        """All that was staged, worked out against what is stored now.

        Args:
            shared: The transaction, if several processes work on it.

        Raises:
            Error: It cannot be worked out; nothing was changed.
        """

    def keeps(self, stash: Stash) -> bool:
        """Whether what is in a stash is needed even if the commit is not made: to try again."""
        return False

    @property
    def moved(self) -> bool:
        """Whether something was moved out of memory, and is to be erased."""
        return False

    def held(self) -> int:
        """About how many bytes of what was staged are in memory."""
        return 0

    async def move_out(self, shared: SharedTransaction | None) -> None:  # noqa: B027 -- see below
        """Moves what was staged out of memory, as far as it can be.

        Meanwhile nothing is staged by writes of arrays. Most hold little.

        Args:
            shared: The transaction, if several processes work on it.

        Raises:
            Error: It could not be moved; it is in memory as before.
        """

    async def erase(self, *, stored: bool = False) -> None:  # noqa: B027 -- as above
        """Deletes what was moved out of memory.

        Args:
            stored: What was last prepared is committed, or may be: what it needs stays.
        """

    @abstractmethod
    def is_final(self, key: str) -> bool:
        """Whether a conflict on `key` cannot be solved by preparing again: it was read."""

    @abstractmethod
    async def commit_isolated(self) -> None:
        """Writes each key by itself, atomically per key only (``atomic=False``).

        Raises:
            Error: Some key was not written; others may have been.
        """

    @abstractmethod
    def committed(self) -> None:
        """Told, once, that all that was staged has been written."""

    @abstractmethod
    def discard(self) -> None:
        """Forgets what was staged; nothing of it was or will be written."""
