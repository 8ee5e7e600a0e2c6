"""Parts: runs of one transaction that a worker wrote in an object of their own.

::

    part      = [branch, txn, worker, attempt, families, runs, reads, written, of]  ; in a frame
    branch    = bin                          ; 6 bytes
    txn       = bin                          ; 16 bytes
    worker    = text                         ; who wrote it
    attempt   = uint                         ; at which try of its task
    families  = [text ...]                   ; keys in the catalog, of the runs
    runs      = [run ...]                    ; `run`; one for each space; no seqs, no places
    reads     = nil | [cleared, [[space, count, keys] ...]]     ; as in an intent (`commit_entry`)
    written   = nil | [[form, runs] ...] ; keys of which only a part was written; the inline values
                                         ; of these runs tell which, and `form` tells of what
    form      = bin                      ; these two as `Written` has them: opaque here
    of        = nil | text               ; the part that this one is, but for some of its keys
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import google_crc32c
import numpy as np

from asynctensor.errors import DataLoss
from asynctensor.kvstores.repo import frame
from asynctensor.kvstores.repo.commit_entry import (
    branch_bytes,
    counted,
    sized,
    unpack_families,
    unpack_runs,
)
from asynctensor.kvstores.repo.family import DOCUMENTS, Family
from asynctensor.kvstores.repo.fields import Fields, without_trailing_defaults
from asynctensor.kvstores.repo.frame import Kind
from asynctensor.kvstores.repo.objects import BRANCH_BYTES, TXN_BYTES
from asynctensor.kvstores.repo.page import Leaf
from asynctensor.kvstores.repo.part_ref import READS, PartPage, PartRef, Span
from asynctensor.kvstores.repo.read_set import ReadSet
from asynctensor.kvstores.repo.run import Run
from asynctensor.storage.partial_value import Written


@dataclass(frozen=True, slots=True)
class Part:
    """Runs of one transaction.

    Attributes:
        branch: The id of the branch that the transaction is for.
        txn: The transaction's id.
        worker: Who wrote it.
        attempt: At which try of its task.
        families: Those of the runs.
        runs: One for each space.
        reads: What must not have changed since the transaction's base.
        written: Of values that were written in part, which part: by what they are chunks of.
        of: The object of the part that this one is, but for keys that are merged elsewhere.
    """

    branch: str
    txn: bytes
    worker: str
    attempt: int
    families: tuple[Family, ...]
    runs: tuple[Run, ...]
    reads: ReadSet = field(default_factory=ReadSet, compare=False)
    written: tuple[tuple[bytes, tuple[Run, ...]], ...] = field(default=(), compare=False)
    of: str = ""

    def encode(self) -> bytes:
        """The body of the part's object.

        Raises:
            InvalidArgument: A field cannot be stored.
        """
        return frame.encode(
            Kind.PART,
            without_trailing_defaults(
                [
                    branch_bytes(self.branch),
                    sized(self.txn, TXN_BYTES, "a transaction id"),
                    self.worker,
                    counted(self.attempt, "an attempt"),
                    [family.key for family in self.families],
                    [run.payload() for run in self.runs],
                    self.reads.payload(),
                    [[form, [run.payload() for run in runs]] for form, runs in self.written]
                    or None,
                    self.of or None,
                ]
            ),
        )

    def written_at(self, space: bytes, key: bytes) -> Written | None:
        """Which part of a value was written; None: all."""
        return written_at(self.written, space, key)

    def without(self, keys: Mapping[bytes, Collection[bytes]], of: str) -> Part:
        """The part but for some keys.

        Args:
            keys: By space.
            of: The part's object.
        """
        runs = [_run_without(run, keys.get(run.space, ())) for run in self.runs]
        return replace(self, runs=tuple(run for run in runs if len(run)), written=(), of=of)

    def ref(self, object: str, data: bytes) -> PartRef:
        """What a commit says of it.

        Args:
            object: Its name.
            data: Its body.
        """
        spans = [Span.of(run) for run in self.runs if len(run)]
        count = sum(span.count for span in spans)
        crc = google_crc32c.value(data)
        return PartRef(object, len(data), crc, count, tuple(spans), self.worker, self.attempt)

    @staticmethod
    def decode(data: bytes, *, object: str) -> Part:
        """The part whose body is `data`.

        Raises:
            DataLoss: `data` is none, or is damaged.
            Unimplemented: `data` is in a newer version of the format.
        """
        payload = frame.decode(Kind.PART, data, object=object)
        fields = Fields(payload, object=object, where="part", least=6)
        return Part(
            fields.binary(0, "branch", size=BRANCH_BYTES).hex(),
            fields.binary(1, "transaction id", size=TXN_BYTES),
            fields.text(2, "worker"),
            fields.uint(3, "attempt", below=1 << 63),
            unpack_families(fields, 4),
            unpack_runs(fields, 5),
            ReadSet.of_payload(fields.array(6, "reads")),
            tuple(
                (each.binary(0, "form"), unpack_runs(each, 1))
                for each in fields.array(7, "parts of values").each("form", least=2)
            ),
            fields.text(8, "part that it is of", default=""),
        )


def written_at(
    written: Sequence[tuple[bytes, tuple[Run, ...]]], space: bytes, key: bytes
) -> Written | None:
    """Which part of a value was written; see `Part.written`. None: all."""
    for form, runs in written:
        for run in runs:
            if run.space == space and (at := run.find(key)) >= 0:
                ref = run.ref(at)
                return None if ref is None or ref.inline is None else Written(form, ref.inline)
    return None


def _run_without(run: Run, keys: Collection[bytes]) -> Run:
    keep = np.ones(len(run), np.bool_)
    for key in keys:
        if (at := run.find(key)) >= 0:
            keep[at] = False
    return run if keep.all() else run.take(keep)


def decode_part(data: bytes, ref: PartRef) -> Part:
    """The part whose body is `data`, which `ref` refers to.

    Raises:
        DataLoss: `data` is not that part, or is damaged.
        Unimplemented: `data` is in a newer version of the format.
    """
    _check(data, ref.object, ref.size, ref.crc)
    part = Part.decode(data, object=ref.object)
    if part.ref(ref.object, data).spans != ref.spans:
        raise DataLoss("the part has other keys than its commit says", key=ref.object)
    return part


@dataclass(frozen=True, slots=True, eq=False)
class PartLeaf(Leaf):
    """A run of a part as a page.

    Attributes:
        reads: What the part rests on.
        families: Those of its keys.
    """

    reads: ReadSet = field(default_factory=ReadSet)
    families: tuple[Family, ...] = ()


def decode_part_page(data: bytes, page: PartPage) -> PartLeaf:
    """The run whose part's body is `data`, which `page` refers to.

    Raises:
        DataLoss, Unimplemented: See `decode_part`.
    """
    _check(data, page.object, page.size, page.crc)
    part = Part.decode(data, object=page.object)
    if page.index == READS:
        return PartLeaf(Run.of(DOCUMENTS, ()), reads=part.reads, families=part.families)
    runs = [run for run in part.runs if len(run)]
    if page.index >= len(runs) or len(runs[page.index]) != page.count:
        raise DataLoss("the part has other keys than its commit says", key=page.object)
    return PartLeaf(runs[page.index], reads=part.reads, families=part.families)


def _check(data: bytes, object: str, size: int, crc: int) -> None:
    if len(data) != size or google_crc32c.value(data) != crc:
        raise DataLoss(
            f"these {len(data)} bytes are not the part of {size} bytes that a commit names, or are "
            "damaged",
            key=object,
        )
