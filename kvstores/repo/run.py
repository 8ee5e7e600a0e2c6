"""Runs: what a record changes in one space, what a leaf page refers to; sorted, in columns.

::

    run     = [space, keys, crcs, where, objects, offsets, sizes, inline, seqs, places]
    space   = bin                    ; empty, NUL, or the 8-byte id of a family
    keys    = strings of n           ; of a space of strings (`columns`), ascending
            | [column of n ...]      ; of a family: one column for each coordinate
    crcs    = bin                    ; n crc32c of values, 4 bytes each; n is taken from here
    where   = column of n            ; 0: deleted; 1: the value is in inline; k + 2: object k
    objects = table                  ; `object_table`
    offsets, sizes = column of n     ; of the value in its object, in bytes; inline: 0 and its size
    inline  = bin                    ; the inline values, one after the other
    seqs, places = column of n       ; the version that wrote each; absent where the container says
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from asynctensor.errors import InvalidArgument
from asynctensor.kvstores.repo import columns, key_columns, object_table, objects
from asynctensor.kvstores.repo.columns import U64
from asynctensor.kvstores.repo.family import Keys
from asynctensor.kvstores.repo.fields import Fields, without_trailing_defaults
from asynctensor.kvstores.repo.objects import SEQ_LIMIT
from asynctensor.kvstores.repo.ref import Ref, Version

__all__ = ["DELETED", "Ref", "Run", "Version"]

U32 = NDArray[np.uint32]

#: In `Run.of_columns`, the object index of a deleted key.
DELETED = 0xFFFFFFFF
#: Values of the column `where`; objects follow.
_GONE, _INLINE, FIRST_OBJECT = 0, 1, 2
_SIZE_LIMIT = 1 << 63


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Sorted changes of, or references to, distinct keys of one space; immutable.

    Attributes:
        space: `DOCUMENTS`, `CATALOG`, or the id of a family.
        keys: Ascending; an array of fixed-width byte strings for a family (whose elements lose
            trailing NULs: `key` gives them whole), else a list.
        names: Short forms (`objects.packed`) of the objects referred to, perhaps of more.
        inline: Where inline values are kept; their offsets point into it.
    """

    space: bytes
    keys: list[bytes] | Keys
    names: tuple[bytes, ...] = ()
    where: U32 = field(default_factory=lambda: np.zeros(0, np.uint32))
    offsets: U64 = field(default_factory=lambda: np.zeros(0, np.uint64))
    sizes: U64 = field(default_factory=lambda: np.zeros(0, np.uint64))
    crcs: U32 = field(default_factory=lambda: np.zeros(0, np.uint32))
    seqs: U64 = field(default_factory=lambda: np.zeros(0, np.uint64))
    places: U64 = field(default_factory=lambda: np.zeros(0, np.uint64))
    inline: bytes = b""

    @staticmethod
    def of(space: bytes, items: Iterable[tuple[bytes, Ref | None]]) -> Run:
        """A small run of `items`, in any order; None deletes a key.

        Raises:
            InvalidArgument: A key is given twice, or has another length than its family's.
        """
        rows = sorted(items, key=lambda item: item[0])
        keys = [key for key, _ in rows]
        refs = [ref for _, ref in rows]
        if any(one == other for one, other in pairwise(keys)):
            raise InvalidArgument("a key stands twice in one run")
        names: dict[bytes, int] = {}
        where, offsets, inline = [], [], bytearray()
        for ref in refs:
            if ref is None:
                where.append(_GONE)
                offsets.append(0)
            elif ref.inline is not None:
                where.append(_INLINE)
                offsets.append(len(inline))
                inline += ref.inline
            else:
                where.append(
                    FIRST_OBJECT + names.setdefault(objects.packed(ref.object), len(names))
                )
                offsets.append(ref.offset)
        return Run(
            space,
            key_columns.of(space, keys),
            tuple(names),
            np.array(where, np.uint32),
            np.array(offsets, np.uint64),
            np.array([ref.size if ref else 0 for ref in refs], np.uint64),
            np.array([ref.crc if ref else 0 for ref in refs], np.uint32),
            np.array([ref.version[0] if ref else 0 for ref in refs], np.uint64),
            np.array([ref.version[1] if ref else 0 for ref in refs], np.uint64),
            bytes(inline),
        )

    @staticmethod
    def of_columns(
        space: bytes,
        keys: Keys | Sequence[bytes],
        object_names: Sequence[str],
        object_index: NDArray[np.integer],
        offsets: NDArray[np.integer],
        sizes: NDArray[np.integer],
        crcs: NDArray[np.integer],
        versions: tuple[NDArray[np.integer], NDArray[np.integer]] | None = None,
    ) -> Run:
        """A run of many references, all in objects; sorts by itself.

        Args:
            space: Of the keys.
            keys: As in the attribute, in any order.
            object_names: The objects referred to, each once.
            object_index: For each key the number of its object in `object_names`, or `DELETED`.
            offsets: For each key where its value begins.
            sizes: For each key how long its value is.
            crcs: For each key the crc32c of its value.
            versions: For each key the seq and the place that wrote it.

        Raises:
            InvalidArgument: A key is given twice.
        """
        index = np.asarray(object_index, dtype=np.uint32)
        # DELETED + 2 wraps to 1.
        where = np.where(index == DELETED, np.uint32(_GONE), index + np.uint32(FIRST_OBJECT))
        zeros = np.zeros(len(index), np.uint64)
        seqs, places = versions if versions is not None else (zeros, zeros)
        run = Run(
            space,
            keys if isinstance(keys, np.ndarray) else list(keys),
            tuple(map(objects.packed, object_names)),
            where,
            np.asarray(offsets, dtype=np.uint64),
            np.asarray(sizes, dtype=np.uint64),
            np.asarray(crcs, dtype=np.uint32),
            np.asarray(seqs, dtype=np.uint64),
            np.asarray(places, dtype=np.uint64),
        )
        if not key_columns.ascending(run.keys):
            run = run.take(key_columns.order(run.keys))
            if not key_columns.ascending(run.keys):
                raise InvalidArgument("a key stands twice in one run")
        return run

    def __len__(self) -> int:
        return len(self.where)

    def __repr__(self) -> str:
        return f"<Run of {len(self)} in {self.space.hex() or 'documents'}>"

    def find(self, key: bytes) -> int:
        """The position of `key`, or -1."""
        at = key_columns.position(self.keys, key)
        return at if at < len(self) and self.key(at) == key else -1

    def key(self, index: int) -> bytes:
        """The key at `index`."""
        return key_columns.at(self.keys, index)

    def ref(self, index: int) -> Ref | None:
        """The reference at `index`; None where the key is deleted."""
        where = int(self.where[index])
        if where == _GONE:
            return None
        offset, size = int(self.offsets[index]), int(self.sizes[index])
        version = (int(self.seqs[index]), int(self.places[index]))
        crc = int(self.crcs[index])
        if where == _INLINE:
            return Ref("", 0, size, crc, self.inline[offset : offset + size], version)
        return Ref(
            objects.spelled(self.names[where - FIRST_OBJECT]), offset, size, crc, None, version
        )

    def items(self) -> Iterator[tuple[bytes, Ref | None]]:
        """Every key and its reference, ascending."""
        return ((self.key(index), self.ref(index)) for index in range(len(self)))

    def between(self, first: bytes, last: bytes | None) -> tuple[int, int]:
        """Start and stop of the keys ``first <= key < last``; None is above all."""
        start = key_columns.position(self.keys, first)
        return start, len(self) if last is None else max(
            start, key_columns.position(self.keys, last)
        )

    def part(self, start: int, stop: int) -> Run:
        """The rows from `start` up to `stop`, without copying them."""
        return self._rows(slice(start, stop))

    def take(self, indices: NDArray[np.integer] | NDArray[np.bool_]) -> Run:
        """The rows at `indices`, or where the mask `indices` is true, in that order."""
        return self._rows(indices)

    def _rows(self, rows: slice | NDArray[np.integer] | NDArray[np.bool_]) -> Run:
        keys: Any = self.keys
        if isinstance(keys, np.ndarray) or isinstance(rows, slice):
            picked = keys[rows]
        else:
            chosen = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
            picked = [keys[index] for index in chosen.tolist()]
        return Run(
            self.space,
            cast("list[bytes] | Keys", picked),
            self.names,
            self.where[rows],
            self.offsets[rows],
            self.sizes[rows],
            self.crcs[rows],
            self.seqs[rows],
            self.places[rows],
            self.inline,
        )

    def stamped(self, version: Version) -> Run:
        """The same with `version` for each row that bears none."""
        none = (self.seqs == 0) & (self.places == 0)
        seqs = np.where(none, np.uint64(version[0]), self.seqs)
        return replace(self, seqs=seqs, places=np.where(none, np.uint64(version[1]), self.places))

    @property
    def deleted(self) -> NDArray[np.bool_]:
        """Which rows delete their key."""
        return cast("NDArray[np.bool_]", self.where == _GONE)

    @property
    def inlined(self) -> NDArray[np.bool_]:
        """Which rows are values by themselves."""
        return cast("NDArray[np.bool_]", self.where == _INLINE)

    @property
    def rank(self) -> int:
        """Number of coordinates of a key of a family; 0 in a space of strings."""
        return 0 if isinstance(self.keys, list) else self.keys.dtype.itemsize // 8

    def objects(self) -> list[str]:
        """The names of the objects that a row refers to, in no particular order."""
        used = np.unique(self.where)
        return [
            objects.spelled(self.names[index - FIRST_OBJECT])
            for index in used.tolist()
            if index >= FIRST_OBJECT
        ]

    def payload(self) -> list[object]:
        """What a body holds of this run."""
        used, where = np.unique(self.where, return_inverse=True)
        names = [
            self.names[index - FIRST_OBJECT] for index in used.tolist() if index >= FIRST_OBJECT
        ]
        order = object_table.ordered(names)
        numbers = used.copy()
        first = len(used) - len(names)
        numbers[first:][order] = np.arange(FIRST_OBJECT, FIRST_OBJECT + len(names))
        inlined = self.inlined
        offsets, inline = self.offsets, b""
        if inlined.any():
            starts, sizes = offsets[inlined].tolist(), self.sizes[inlined].tolist()
            inline = b"".join(
                [self.inline[at : at + size] for at, size in zip(starts, sizes, strict=True)]
            )
            offsets = np.where(inlined, np.uint64(0), offsets)
        seqs, places = columns.pack(self.seqs), columns.pack(self.places)
        fields: list[object] = [
            self.space,
            key_columns.pack(self.keys),
            self.crcs.astype("<u4").tobytes(),
            columns.pack(numbers[where]),
            object_table.pack([names[position] for position in order]),
            columns.pack(offsets) or None,
            columns.pack(self.sizes) or None,
            inline or None,
            seqs or None,
            places or None,
        ]
        return without_trailing_defaults(fields)

    @staticmethod
    def of_payload(fields: Fields) -> Run:
        """The run whose payload is `fields`, checked.

        Raises:
            DataLoss: It is none.
        """
        space = key_columns.unpack_space(fields, 0)
        crcs = fields.binary(2, "checksums")
        count, rest = divmod(len(crcs), 4)
        if rest:
            fields.fail(f"has {len(crcs)} bytes of checksums, 4 for each")
        names = object_table.unpack(fields, 4)
        where = columns.unpack(
            fields, 3, "places of values", count, below=FIRST_OBJECT + len(names)
        )
        offsets = columns.unpack(fields, 5, "offsets", count, below=_SIZE_LIMIT)
        sizes = columns.unpack(fields, 6, "sizes", count, below=_SIZE_LIMIT)
        inline = fields.binary(7, "inline values")
        return Run(
            space,
            key_columns.unpack(fields, 1, space, count),
            names,
            where.astype(np.uint32),
            _with_inline_offsets(fields, where == _INLINE, offsets, sizes, len(inline)),
            sizes,
            np.frombuffer(crcs, dtype="<u4").astype(np.uint32, copy=False),
            columns.unpack(fields, 8, "sequence numbers", count, below=SEQ_LIMIT),
            columns.unpack(fields, 9, "places", count, below=1 << 16),
            inline,
        )


def _with_inline_offsets(
    fields: Fields, inlined: NDArray[np.bool_], offsets: U64, sizes: U64, there: int
) -> U64:
    if not inlined.any():
        if there:
            fields.fail(f"has {there} bytes of inline values, and no row for them")
        return offsets
    lengths = sizes[inlined]
    ends = np.cumsum(lengths)
    if int(lengths.max()) > there or int(ends[-1]) != there:
        fields.fail(f"has {there} bytes of inline values, and rows for {int(ends[-1])}")
    offsets[inlined] = ends - lengths
    return offsets
