"""What a store that keeps the history of its values can say of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
