"""The contract of what can change many keys at once, all or nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything that one commit rests on and changes.

    Attributes:
        expected: Key to the generation that it must still have (`NO_VALUE`: none).
        values: Key to its new value; None deletes it.
    """

    expected: Mapping[str, bytes] = field(default_factory=dict)
    values: Mapping[str, bytes | None] = field(default_factory=dict)


class CommitDomain(ABC):
    """Commits many keys of one store at once."""

    @property
    @abstractmethod
    def identity(self) -> object:
        """Hashable; equal exactly for what can take part in one commit together."""

    @abstractmethod
    async def commit(self, commit: Commit) -> Mapping[str, bytes]:
        """Makes every change of `commit`, or none.

        Returns:
            The new generation of each key of ``commit.values``.

        Raises:
            Aborted: A key has another generation than expected; `key` names it. Nothing changed.

        When a cancellation is delivered, the commit has either happened or never will.
        """
