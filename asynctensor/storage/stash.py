"""The contract of what stores the values of a transaction ahead of its commit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TypeAlias

#: As `kvstore.Buffer`, which is on a higher floor.
Bytes: TypeAlias = bytes | bytearray | memoryview


class StoredValue:
    """A value that a `Stash` has stored: in a `Commit` it stands for its bytes.

    Attributes:
        size: Number of bytes.
    """

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = size


class Stash(ABC):
    """Where values of one transaction lie until a commit names them.

    Nobody sees them before that. What no commit names is rubbish in the store, under names that
    tell whose it is; only `discard` deletes it.
    """

    @abstractmethod
    async def store(self, values: Mapping[str, Bytes]) -> Mapping[str, StoredValue]:
        """Stores values, by the keys that they are for.

        Returns:
            Those that are stored. Others are better handed to the commit as they are.

        Raises:
            Error: The store failed. A cancelled call may leave rubbish behind.
        """

    @abstractmethod
    async def discard(self) -> None:
        """Deletes what was stored: surely no commit names it, nor ever will.

        What cannot be deleted now stays as rubbish; no error is raised.
        """

    @abstractmethod
    async def read(self, key: str, value: StoredValue) -> bytes:
        """A value that this stash has stored.

        Raises:
            DataLoss: It is gone, or damaged.
            Error: The store failed.
        """


def plain(values: Mapping[str, bytes | StoredValue | None]) -> dict[str, bytes | None]:
    """The values of a commit for a store that has no stash, so that all are bytes."""
    found: dict[str, bytes | None] = {}
    for key, value in values.items():
        assert not isinstance(value, StoredValue), "only those of a stash are stored ahead"
        found[key] = value
    return found
