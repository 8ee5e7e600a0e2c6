"""Pages: the nodes of a tree, many in one object.

::

    leaf      = [run]                        ; in a frame; `run`, none deleted, with seqs and places
    interior  = [level, run, counts]         ; in a frame
    level     = uint                         ; of the children's level, plus one; leaves are 0
    run       =                              ; key i: none below child i is less, all below child
                                             ; i - 1 are; its value is the page
    counts    = column                       ; entries below each child
    page_ref  = [object, offset, size, crc, count]
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np

from asynctensor.errors import DataLoss
from asynctensor.kvstores.repo import columns, frame, objects
from asynctensor.kvstores.repo.columns import U64
from asynctensor.kvstores.repo.fields import Fields
from asynctensor.kvstores.repo.frame import Kind
from asynctensor.kvstores.repo.objects import SEQ_LIMIT
from asynctensor.kvstores.repo.run import Ref, Run

#: No tree is higher: with two children a page, this is more than any store holds.
MAX_LEVEL = 64
#: The largest page that is believed.
MAX_PAGE = 1 << 26


@dataclass(frozen=True, slots=True)
class PageRef:
    """Where a page is.

    Attributes:
        object: The pack of pages that holds it.
        offset: Where it begins there, in bytes.
        size: Its length in bytes.
        crc: Its crc32c.
        count: How many entries are below it.
    """

    object: str
    offset: int
    size: int
    crc: int
    count: int

    def payload(self) -> list[Any]:
        """What a body holds of it."""
        return [self.object, self.offset, self.size, self.crc, self.count]

    @staticmethod
    def of_payload(fields: Fields) -> PageRef:
        """The reference whose payload is `fields`, checked.

        Raises:
            DataLoss: It is none.
        """
        name = fields.text(0, "object")
        if not 0 < len(name) <= objects.MAX_NAME:
            fields.fail(f"names an object of {len(name)} characters")
        return PageRef(
            name,
            fields.uint(1, "offset", below=SEQ_LIMIT),
            fields.uint(2, "size", below=MAX_PAGE),
            fields.uint(3, "checksum", below=1 << 32),
            fields.uint(4, "count", below=SEQ_LIMIT),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """A page of references.

    Attributes:
        entries: The references; none is deleted.
    """

    entries: Run
    level: int = 0

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def count(self) -> int:
        """How many entries there are."""
        return len(self.entries)

    def part(self, start: int, stop: int) -> Leaf:
        """The entries from `start` up to `stop`."""
        return Leaf(self.entries.part(start, stop))

    def encode(self) -> bytes:
        """The page's bytes."""
        return frame.encode(Kind.LEAF, [self.entries.payload()])


@dataclass(frozen=True, slots=True, eq=False)
class Interior:
    """A page of pages.

    Attributes:
        entries: For each child a key and its page; see the grammar.
        level: That of the children, plus one.
        counts: Entries below each child.
    """

    entries: Run
    level: int
    counts: U64

    @staticmethod
    def of(level: int, space: bytes, children: Iterable[tuple[bytes, PageRef]]) -> Interior:
        """The page of `children`, ascending, each with a key that none below it is less than."""
        rows = list(children)
        refs = [(low, Ref(ref.object, ref.offset, ref.size, ref.crc)) for low, ref in rows]
        counts = np.array([ref.count for _, ref in rows], dtype=np.uint64)
        return Interior(Run.of(space, refs), level, counts)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def count(self) -> int:
        """How many entries are below."""
        return int(self.counts.sum())

    def child(self, index: int) -> PageRef:
        """The page at `index`."""
        ref = self.entries.ref(index)
        assert ref is not None
        return PageRef(ref.object, ref.offset, ref.size, ref.crc, int(self.counts[index]))

    def part(self, start: int, stop: int) -> Interior:
        """The children from `start` up to `stop`."""
        return Interior(self.entries.part(start, stop), self.level, self.counts[start:stop])

    def encode(self) -> bytes:
        """The page's bytes."""
        counts = columns.pack(self.counts)
        return frame.encode(Kind.INTERIOR, [self.level, self.entries.payload(), counts])


Page = Leaf | Interior


def decode_page(data: bytes, ref: PageRef) -> Page:
    """The page whose bytes are `data`, which `ref` refers to.

    Raises:
        DataLoss: `data` is not that page, or is damaged.
        Unimplemented: `data` is in a newer version of the format.
    """
    if len(data) != ref.size or google_crc32c.value(data) != ref.crc:
        raise DataLoss(
            f"the {len(data)} bytes at {ref.offset} are not the page of {ref.size} bytes that is "
            "referred to, or are damaged",
            key=ref.object,
        )
    kind = Kind.INTERIOR if data[4:5] == bytes([Kind.INTERIOR]) else Kind.LEAF
    payload = frame.decode(kind, data, object=ref.object)
    fields = Fields(payload, object=ref.object, where=f"page at {ref.offset}", least=1)
    page = _interior(fields) if kind is Kind.INTERIOR else _leaf(fields)
    if page.count != ref.count:
        fields.fail(f"has {page.count} entries below it, and {ref.count} are expected")
    return page


def _leaf(fields: Fields) -> Leaf:
    entries = Run.of_payload(fields.array(0, "entries", least=3))
    if not len(entries) or entries.deleted.any():
        fields.fail("has no entries, or deleted ones")
    return Leaf(entries)


def _interior(fields: Fields) -> Interior:
    level = fields.uint(0, "level", below=MAX_LEVEL)
    entries = Run.of_payload(fields.array(1, "children", least=3))
    if not level or not len(entries) or entries.deleted.any() or entries.inlined.any():
        fields.fail("has no level, no children, or children that are no pages")
    if int(entries.sizes.max()) >= MAX_PAGE:
        fields.fail(f"has a child of {int(entries.sizes.max())} bytes")
    # Below 2**45 each, 2**16 counts cannot pass 64 bits.
    counts = columns.unpack(fields, 2, "counts", len(entries), below=1 << 45)
    return Interior(entries, level, counts)
