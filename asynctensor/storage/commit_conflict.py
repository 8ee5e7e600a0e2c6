"""`CommitConflict`: what of one array, or of other keys, was changed under a transaction."""

from __future__ import annotations

from dataclasses import dataclass

#: A box of grid cells: for each dimension the first cell, and the one behind the last.
Box = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class CommitConflict:
    """What one commit changed of one array, or of one other key.

    Attributes:
        path: The array (``"image/"``), or the key itself; of a listing, what its range begins with.
        keys: The keys that were changed; empty for a listing.
        boxes: The chunks that these are, as boxes of grid cells, each a pair (first, behind the
            last) for every dimension; empty for what is no chunk.
        read: Whether the transaction had read it; else it only rested on it.
        commit_id: The commit that changed it.
        message: That commit's.
        author: That commit's.
    """

    path: str
    keys: tuple[str, ...]
    boxes: tuple[Box, ...]
    read: bool
    commit_id: str
    message: str | None
    author: str | None

    @property
    def key(self) -> str:
        """The first key; of a listing, what its range begins with."""
        return self.keys[0] if self.keys else self.path

    def __str__(self) -> str:
        what = repr(self.path)
        if self.boxes:
            spelled = [", ".join(f"{low}:{high}" for low, high in box) for box in self.boxes[:3]]
            more = ", ..." if len(self.boxes) > 3 else ""
            what = f"chunks {', '.join(f'[{each}]' for each in spelled)}{more} of {what}"
        elif not self.keys:
            what = f"what is listed below {what}"
        who = f" by {self.author}" if self.author else ""
        why = f" ({self.message!r})" if self.message else ""
        return f"{what} in commit {self.commit_id}{who}{why}"
