"""What happens to a commit whose event loop ends in the middle of it."""

from __future__ import annotations

from asyncio import CancelledError

from asynctensor.errors import CommitUnknown


class CommitCut(CancelledError):
    """The loop of a commit ended while the commit may have been on its way.

    Args:
        unknown: What whoever waits for it elsewhere is told.
    """

    def __init__(self, unknown: CommitUnknown) -> None:
        super().__init__()
        self.unknown = unknown
