"""What the history says of one commit."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class CommitChanges:
    """What a commit touched, as its record tells; nothing is read for it.

    Attributes:
        documents: Keys of metadata and other values that it wrote, in order.
        deleted: Such keys that it deleted.
        chunks: What chunk keys begin with (``"image/c/"``) to the number of chunks that it wrote
            or deleted.
        cleared: Ranges of keys that it emptied, as (first key, first key behind; empty: no end).
    """

    documents: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    chunks: Mapping[str, int] = field(default_factory=dict)
    cleared: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """One commit of a repository.

    Attributes:
        id: Names the commit, and the state after it.
        parents: The id of the commit before it; empty for the first one. After a reset, the commit
            that the branch was reset to.
        time: When, in UTC; later than that of every commit before it.
        message: Why; None if that was not said.
        author: By whom; None if that was not said.
        metadata: What else was noted with it.
        kind: ``"commit"``, ``"reset"`` or ``"revert"``.
        changes: What it touched.
    """

    id: str
    parents: tuple[str, ...]
    time: dt.datetime
    message: str | None
    author: str | None
    metadata: Mapping[str, Any]
    kind: str
    changes: CommitChanges

    def __str__(self) -> str:
        when = self.time.isoformat(sep=" ", timespec="seconds")
        who = f" {self.author}" if self.author else ""
        return f"{self.id} {when}{who}: {self.message or '(no message)'}"
