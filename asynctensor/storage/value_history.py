"""What a store that has an index of its values, and their history, can say of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from asynctensor.storage.key_range import KeyRange


@dataclass(frozen=True, slots=True)
class ValueChange:
    """The newest of some values, and the commit that wrote it.

    Attributes:
        key: Its key.
        commit: The commit's id.
        time: Its time: seconds since the Unix epoch.
        author: By whom; None if that was not said.
        message: Why; None if that was not said.
    """

    key: str
    commit: str
    time: float
    author: str | None = None
    message: str | None = None


class NamedValue(NamedTuple):
    """A value that was found by its name, and its generation."""

    value: bytes
    generation: bytes


class ValueHistory(ABC):
    """Knows which commit wrote which value that is stored now."""

    @abstractmethod
    async def newest(
        self, keys: KeyRange | Sequence[str], accepts: Callable[[str], bool] | None = None
    ) -> tuple[int, ValueChange | None]:
        """The newest of the values at some keys; of several that one commit wrote, any.

        Args:
            keys: Them, or the range that they lie in.
            accepts: Which keys of the range count; called on worker threads. None: all.

        Returns:
            How many there are, and the newest; None if there are none.

        Raises:
            Error: The store failed, or is damaged.
        """

    @abstractmethod
    async def newest_of_part(
        self, key: str, part: Callable[[bytes | None], object]
    ) -> tuple[int, ValueChange | None]:
        """The newest commit by which a part of a value became another one.

        Args:
            key: The value's key.
            part: Of the value, or of none; compared by ``==``.

        Returns:
            How many of its values were looked at, and the commit; None if none is stored, or the
            part was never another one than that of none.

        Raises:
            Error: The store failed, or is damaged.
        """

    @abstractmethod
    def named(
        self, prefix: str, names: Collection[str]
    ) -> AsyncIterator[tuple[str, Mapping[str, NamedValue | None]]]:
        """The values of some names, whatever directory they are in; all of one state.

        Args:
            prefix: What their keys begin with.
            names: What is behind the last ``/`` of their keys.

        Yields:
            Each directory that has any, as a prefix of keys, in the order of `nearness`; and these
            values by their names. None: it is there, and has to be read by itself, which may fail.

        Raises:
            Error: The store failed, or its index is damaged.
        """


def nearness(directory: str) -> tuple[int, list[str]]:
    """How far a directory is from the root, and its place among those as far."""
    names = directory.split("/")[:-1]
    return len(names), [f"{name}/" for name in names]
