"""Checkpoints: the trees of one snapshot, so that the log need not be read from its beginning.

::

    checkpoint  = [branch, seq, digest, time, documents, catalog, caller_keys, previous, created]
    branch      = bin                        ; 6 bytes: in whose log record seq stands
    digest      = bin                        ; of record seq: `record`
    time        = uint                       ; of record seq
    documents, catalog = nil | page_ref      ; roots of the trees; nil: empty
    caller_keys = nil | page_ref             ; root of the tree of callers' keys; nil: none
    previous    = nil | uint                 ; seq of the checkpoint that was folded into this one
    created     = uint                       ; unix time in microseconds

A value of the catalog is msgpack: a page_ref, or an empty array for a family without keys.
"""

from __future__ import annotations

from dataclasses import dataclass

from asynctensor.kvstores.repo import frame
from asynctensor.kvstores.repo.commit_entry import DIGEST_BYTES, branch_bytes, counted, sized
from asynctensor.kvstores.repo.fields import Fields
from asynctensor.kvstores.repo.frame import Kind
from asynctensor.kvstores.repo.objects import BRANCH_BYTES, SEQ_LIMIT
from asynctensor.kvstores.repo.page import PageRef


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The trees of the snapshot that record `seq` made.

    Attributes:
        branch: The id of the branch in whose log the record stands.
        seq: Its sequence number.
        digest: Its digest.
        time: Its time, in microseconds.
        documents: The root of the tree of `DOCUMENTS`; None if it is empty.
        catalog: The root of the tree of `CATALOG`.
        caller_keys: The root of the tree of `CALLER_KEYS`.
        previous: The sequence number of the checkpoint that this one was made from.
        created: Unix time of its making, in microseconds.
    """

    branch: str
    seq: int
    digest: bytes
    time: int
    documents: PageRef | None = None
    catalog: PageRef | None = None
    caller_keys: PageRef | None = None
    previous: int | None = None
    created: int = 0

    def encode(self) -> bytes:
        """The body of the checkpoint's object.

        Raises:
            InvalidArgument: A field cannot be stored.
        """
        return frame.encode(
            Kind.CHECKPOINT,
            [
                branch_bytes(self.branch),
                counted(self.seq, "a sequence number"),
                sized(self.digest, DIGEST_BYTES, "a digest"),
                counted(self.time, "a time"),
                self.documents.payload() if self.documents else None,
                self.catalog.payload() if self.catalog else None,
                self.caller_keys.payload() if self.caller_keys else None,
                self.previous,
                self.created,
            ],
        )

    @staticmethod
    def decode(data: bytes, *, object: str) -> Checkpoint:
        """The checkpoint whose body is `data`.

        Raises:
            DataLoss: `data` is none, or is damaged.
            Unimplemented: `data` is in a newer version of the format.
        """
        payload = frame.decode(Kind.CHECKPOINT, data, object=object)
        fields = Fields(payload, object=object, where="checkpoint", least=6)
        return Checkpoint(
            fields.binary(0, "branch", size=BRANCH_BYTES).hex(),
            fields.uint(1, "seq", below=SEQ_LIMIT),
            fields.binary(2, "digest", size=DIGEST_BYTES),
            fields.uint(3, "time", below=1 << 63),
            _root(fields, 4, "documents"),
            _root(fields, 5, "catalog"),
            _root(fields, 6, "callers' keys"),
            None if fields.get(7) is None else fields.uint(7, "previous", below=SEQ_LIMIT),
            fields.uint(8, "creation time", below=1 << 63, default=0),
        )


def pack_root(root: PageRef | None) -> bytes:
    """The value in the catalog of a family whose tree has `root`."""
    return frame.packed(root.payload() if root else [])


def unpack_root(value: bytes, *, object: str) -> PageRef | None:
    """The root in the value of a family in the catalog, which the tree in `object` holds.

    Raises:
        DataLoss: `value` is none.
    """
    fields = Fields(frame.unpacked(value, object=object), object=object, where="root of a family")
    return PageRef.of_payload(fields) if len(fields) else None


def _root(fields: Fields, index: int, what: str) -> PageRef | None:
    if fields.get(index) is None:
        return None
    return PageRef.of_payload(fields.array(index, what, least=5))
