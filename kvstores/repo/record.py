"""Records: what one slot of a branch's log holds.

::

    record    = [branch, seq, parent, time, [entry ...]]     ; in a frame
    branch    = bin                          ; 6 bytes
    parent    = bin                          ; blake2b, 16 bytes, of the body of the record before
    time      = uint                         ; unix time in microseconds, greater than the parent's
    entry     = [1, bin]                     ; a commit: `commit_entry`
              | [2, txn, digest]             ; abort; digest: nil | bin
              | [3, seq]                     ; floor
              | [4, seq, table]              ; sweep; seq: of the floor, table: `object_table`
              | [5]                          ; closed
              | [uint, ...]                  ; of a later version; who composes records stops here
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

from asynctensor.errors import InvalidArgument
from asynctensor.kvstores.repo import frame, object_table, objects
from asynctensor.kvstores.repo.commit_entry import (
    DIGEST_BYTES,
    CommitEntry,
    branch_bytes,
    counted,
    sized,
)
from asynctensor.kvstores.repo.fields import Fields
from asynctensor.kvstores.repo.frame import Kind
from asynctensor.kvstores.repo.objects import BRANCH_BYTES, SEQ_LIMIT, TXN_BYTES
from asynctensor.kvstores.repo.part_ref import PartRef, Span

__all__ = [
    "NO_PARENT",
    "AbortEntry",
    "ClosedEntry",
    "CommitEntry",
    "Entry",
    "FloorEntry",
    "PartRef",
    "Record",
    "Span",
    "SweepEntry",
    "UnknownEntry",
]

#: The parent of the first record of a repository.
NO_PARENT = bytes(DIGEST_BYTES)
#: Entries of one record; the place of an entry takes two bytes of a generation.
MAX_ENTRIES = 1 << 12


@dataclass(frozen=True, slots=True)
class AbortEntry:
    """The transaction `txn` never happens; `digest`: of its body, if that was seen."""

    txn: bytes
    digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class FloorEntry:
    """Snapshots before `seq` are retained only where a ref or a lease names them."""

    seq: int


@dataclass(frozen=True, slots=True)
class SweepEntry:
    """The refs and leases that hold snapshots below the floor that record `floor` wrote."""

    floor: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClosedEntry:
    """The branch takes no more commits."""


@dataclass(frozen=True, slots=True)
class UnknownEntry:
    """An entry of a later version, of number `kind`: no record may be composed behind it."""

    kind: int


Entry = CommitEntry | AbortEntry | FloorEntry | SweepEntry | ClosedEntry | UnknownEntry


@dataclass(frozen=True)
class Record:
    """What one slot of a log holds.

    Attributes:
        branch: The id of the branch in whose log it stands.
        seq: Its sequence number.
        parent: The `digest` of the record before it, which is the fork's for the first of a branch.
        time: Unix time in microseconds; greater than that of its parent.
        entries: What happened, in this order.
    """

    branch: str
    seq: int
    parent: bytes
    time: int
    entries: tuple[Entry, ...]

    @cached_property
    def encoded(self) -> bytes:
        """The body; a record that was read keeps the bytes that were read.

        Raises:
            InvalidArgument: A field cannot be stored.
            ResourceExhausted: The record is too large.
        """
        if len(self.entries) > MAX_ENTRIES:
            raise InvalidArgument(f"{len(self.entries)} entries are more than a record takes")
        return frame.encode(
            Kind.RECORD,
            [
                branch_bytes(self.branch),
                counted(self.seq, "a sequence number"),
                sized(self.parent, DIGEST_BYTES, "a parent"),
                counted(self.time, "a time"),
                [_packed(entry) for entry in self.entries],
            ],
        )

    def encode(self) -> bytes:
        """The body of the slot; see `encoded`."""
        return self.encoded

    @cached_property
    def digest(self) -> bytes:
        """blake2b of the body in 16 bytes; the next record's `parent`."""
        return blake2b(self.encoded, digest_size=DIGEST_BYTES).digest()

    @staticmethod
    def decode(data: bytes, *, object: str) -> Record:
        """The record whose body is `data`.

        Args:
            data: The whole object.
            object: Its name, for errors.

        Raises:
            DataLoss: `data` is none, or is damaged.
            Unimplemented: `data` is in a newer version of the format.
        """
        payload = frame.decode(Kind.RECORD, data, object=object)
        fields = Fields(payload, object=object, where="record", least=5)
        entries = fields.array(4, "entries")
        if len(entries) > MAX_ENTRIES:
            entries.fail(f"are {len(entries)}, more than {MAX_ENTRIES}")
        record = Record(
            fields.binary(0, "branch", size=BRANCH_BYTES).hex(),
            fields.uint(1, "seq", below=SEQ_LIMIT),
            fields.binary(2, "parent", size=DIGEST_BYTES),
            fields.uint(3, "time", below=1 << 63),
            tuple(map(_unpacked, entries.each("entry", least=1))),
        )
        record.__dict__["encoded"] = data
        return record

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and self.encoded == other.encoded

    def __hash__(self) -> int:
        return hash(self.encoded)


def _packed(entry: Entry) -> list[object]:
    match entry:
        case CommitEntry():
            return [1, entry.encoded]
        case AbortEntry(txn, digest):
            return [2, sized(txn, TXN_BYTES, "a transaction id"), digest]
        case FloorEntry(seq):
            return [3, seq]
        case SweepEntry(floor, names):
            return [4, floor, object_table.pack(sorted(set(map(objects.packed, names))))]
        case ClosedEntry():
            return [5]
        case UnknownEntry(kind):
            raise InvalidArgument(f"an entry of the unknown kind {kind} cannot be written")


def _unpacked(fields: Fields) -> Entry:
    match fields.uint(0, "kind"):
        case 1:
            return CommitEntry.decode(fields.binary(1, "commit"), object=fields.name)
        case 2:
            digest = fields.binary(2, "digest")
            if digest and len(digest) != DIGEST_BYTES:
                fields.fail(f"has a digest of {len(digest)} bytes, not {DIGEST_BYTES}")
            return AbortEntry(fields.binary(1, "transaction id", size=TXN_BYTES), digest or None)
        case 3:
            return FloorEntry(fields.uint(1, "seq", below=SEQ_LIMIT))
        case 4:
            names = tuple(map(objects.spelled, object_table.unpack(fields, 2)))
            return SweepEntry(fields.uint(1, "floor", below=SEQ_LIMIT), names)
        case 5:
            return ClosedEntry()
        case kind:
            return UnknownEntry(kind)
