"""What a commit says of its parts.

::

    part_ref  = [object, size, crc, count, spans, worker, attempt]
    spans     = [[space, first, last, count] ...]      ; the keys of each run: bin, bin, uint
    worker    = text                                   ; these two as in the part
    attempt   = uint
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asynctensor.kvstores.repo import key_columns, objects
from asynctensor.kvstores.repo.fields import Fields


@dataclass(frozen=True, slots=True)
class Span:
    """The keys of one run, in short.

    Attributes:
        space: Of the keys.
        first, last: The least and the greatest key.
        count: How many there are.
    """

    space: bytes
    first: bytes
    last: bytes
    count: int


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

    def payload(self) -> list[Any]:
        """What a commit holds of it."""
        spans = [[each.space, each.first, each.last, each.count] for each in self.spans]
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
    return Span(
        key_columns.unpack_space(fields, 0),
        fields.binary(1, "first key"),
        fields.binary(2, "last key"),
        fields.uint(3, "count", below=1 << 63),
    )
