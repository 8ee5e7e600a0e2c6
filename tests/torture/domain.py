"""What is tortured: anything in which several keys are read and changed in one transaction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from asynctensor.testing.store_faults import UnreliableStore


class Session(ABC):
    """One transaction of one client."""

    @abstractmethod
    async def read(self, key: str) -> bytes | None:
        """What it sees at `key`, its own writes included."""

    @abstractmethod
    async def write(self, key: str, value: bytes) -> None:
        """Changes a key."""

    @abstractmethod
    async def commit(self) -> None:
        """Ends it.

        Raises:
            Aborted: Nothing was changed, and nothing ever will be.
            Unavailable: It may have been done, and may be done later.
        """

    @abstractmethod
    async def abort(self) -> None:
        """Gives it up before its commit was started."""


class Domain(ABC):
    """One world's store, as its clients use it."""

    name: ClassVar[str]
    #: Which faults it promises to bear, by the names of `fault_presets.PRESETS`.
    bears: ClassVar[Sequence[str]]
    #: Whether who begins after another has ended comes after it.
    realtime: ClassVar[bool] = True

    @abstractmethod
    async def create(self, store: UnreliableStore) -> None:
        """Makes what it needs; nothing fails meanwhile."""

    @abstractmethod
    async def begin(self, client: int) -> Session:
        """A transaction.

        Args:
            client: Whose; each client counts as a process of its own.
        """

    async def verify(self) -> Sequence[str]:
        """What else must hold when all has ended: what is wrong, in words."""
        return ()
