"""`Summary`: what an array shows of itself, with what it takes in its store."""

from __future__ import annotations

from dataclasses import dataclass, field

from asynctensor.display.page import Display, Displayed
from asynctensor.display.picture import size_text


@dataclass(frozen=True, slots=True)
class Summary(Displayed):
    """What an array is, and how much of it is stored; ``print``, notebooks and rich show it.

    Attributes:
        page: What the array shows of itself.
        nbytes: Bytes of all elements of the view.
        stored_bytes: Bytes of the stored values that hold some of them, encoded; of shards, all
            that is in them.
        stored_chunks: How many values these are: chunks, or shards.
        complete: Whether the store told the size of each.
    """

    page: Display = field(repr=False)
    nbytes: int
    stored_bytes: int
    stored_chunks: int
    complete: bool = True

    def _display(self) -> Display:
        chunks = f"{self.stored_chunks:,} value{'' if self.stored_chunks == 1 else 's'}"
        size = size_text(self.stored_bytes) if self.complete else "unknown size"
        said = f"{size} in {chunks}"
        if self.complete and self.stored_bytes and self.nbytes:
            said += f", ratio {self.nbytes / self.stored_bytes:,.1f}"
        rows = (*self.page.rows, ("stored", said))
        return Display(self.page.title, self.page.headline, rows, self.page.picture)

    def __str__(self) -> str:
        return self._display().text()
