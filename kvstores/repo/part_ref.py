"""What a commit says of its parts.

::

    part_ref  = [object, size, crc, count, spans, worker, attempt]
    spans     = [[space, first, last, count, low, high] ...]   ; the keys of each run
    first, last = bin                                  ; the least and the greatest
    count     = uint                                   ; how many
    low, high = bin                                    ; of a family: the least, and the greatest,
                                                       ; of each coordinate; else absent
    worker    = text                                   ; these two as in the part
    attempt   = uint
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asynctensor.kvstores.repo import key_columns, objects
from asynctensor.kvstores.repo.family import coordinates
from asynctensor.kvstores.repo.fields import Fields, without_trailing_defaults
from asynctensor.kvstores.repo.page import PageRef
from asynctensor.kvstores.repo.run import Run

#: In place of a run's number: only what the part rests on.
READS = -1


@dataclass(frozen=True, slots=True)
class PartPage(PageRef):
    """A run of a part, to be read like a leaf of a tree; unlike one it may hold deleted keys.

    Attributes:
        index: Which run of the part, from 0, or `READS`; the rest is of the whole object.
    """

    index: int


@dataclass(frozen=True, slots=True)
class Span:
    """The keys of one run, in short.

    Attributes:
        space: Of the keys.
        first, last: The least and the greatest key.
        count: How many there are.
        low, high: Of a family, corners of a box of coordinates that holds them all; or empty.
    """

    space: bytes
    first: bytes
    last: bytes
    count: int
    low: bytes = b""
    high: bytes = b""

    @staticmethod
    def of(run: Run) -> Span:
        """The keys of a run that has some."""
        low = high = b""
        if not isinstance(run.keys, list):
            axes = coordinates(run.keys, run.rank)
            low, high = axes.min(0).astype(">u8").tobytes(), axes.max(0).astype(">u8").tobytes()
        return Span(run.space, run.key(0), run.key(len(run) - 1), len(run), low, high)

    def may_hold(self, key: bytes) -> bool:
        """Whether a key of the space may be one of them."""
        if not self.first <= key <= self.last:
            return False
        low, high = self.low, self.high
        return all(
            low[at : at + 8] <= key[at : at + 8] <= high[at : at + 8]
            for at in range(0, len(low), 8)
        )

    def may_share(self, other: Span) -> bool:
        """Whether a key may be one of both."""
        if self.space != other.space or self.first > other.last or other.first > self.last:
            return False
        width = min(len(self.low), len(other.low))
        return all(
            self.low[at : at + 8] <= other.high[at : at + 8]
            and other.low[at : at + 8] <= self.high[at : at + 8]
            for at in range(0, width, 8)
        )

    def payload(self) -> list[Any]:
        """What a body holds of it."""
        fields: list[Any] = [
            self.space,
            self.first,
            self.last,
            self.count,
            self.low or None,
            self.high or None,
        ]
        return without_trailing_defaults(fields)


@dataclass(frozen=True, slots=True)
class PartRef:
    """One part of a commit.

    Attributes:
        object: Its name.
        size: Its length in bytes.
        crc: The crc32c of the whole object.
        count: How many changes it holds.
        spans: The keys of each of its runs.
        worker: Who wrote it.
        attempt: At which try.
    """

    object: str
    size: int
    crc: int
    count: int
    spans: tuple[Span, ...]
    worker: str = ""
    attempt: int = 0

    def pages(self) -> list[PartPage]:
        """Its runs, to be read like pages; in the order of `spans`."""
        return [
            PartPage(self.object, 0, self.size, self.crc, span.count, index)
            for index, span in enumerate(self.spans)
        ]

    @property
    def reads_page(self) -> PartPage:
        """What it rests on, to be read like a page without entries."""
        return PartPage(self.object, 0, self.size, self.crc, 0, READS)

    def payload(self) -> list[Any]:
        """What a commit holds of it."""
        spans = [each.payload() for each in self.spans]
        return [self.object, self.size, self.crc, self.count, spans, self.worker, self.attempt]

    @staticmethod
    def of_payload(fields: Fields) -> PartRef:
        """The reference whose payload is `fields`, checked.

        Raises:
            DataLoss: It is none.
        """
        name = fields.text(0, "object")
        if not 0 < len(name) <= objects.MAX_NAME:
            fields.fail(f"names an object of {len(name)} characters")
        return PartRef(
            name,
            fields.uint(1, "size", below=1 << 63),
            fields.uint(2, "checksum", below=1 << 32),
            fields.uint(3, "count", below=1 << 63),
            tuple(map(_span, fields.array(4, "spans").each("span", least=4))),
            fields.text(5, "worker", default=""),
            fields.uint(6, "attempt", below=1 << 63, default=0),
        )


def _span(fields: Fields) -> Span:
    span = Span(
        key_columns.unpack_space(fields, 0),
        fields.binary(1, "first key"),
        fields.binary(2, "last key"),
        fields.uint(3, "count", below=1 << 63),
        fields.binary(4, "least coordinates"),
        fields.binary(5, "greatest coordinates"),
    )
    if span.low and not len(span.low) == len(span.high) == len(span.first) == len(span.last):
        fields.fail("has keys and corners of different lengths")
    return span
