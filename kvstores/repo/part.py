"""Parts: runs of one transaction that a worker wrote in an object of their own.

::

    part      = [branch, txn, worker, attempt, families, runs]       ; in a frame
    branch    = bin                          ; 6 bytes
    txn       = bin                          ; 16 bytes
    worker    = text                         ; who wrote it
    attempt   = uint                         ; at which try of its task
    families  = [text ...]                   ; keys in the catalog, of the runs
    runs      = [run ...]                    ; `run`; one for each space; no seqs, no places
"""

from __future__ import annotations

from dataclasses import dataclass

import google_crc32c

from asynctensor.kvstores.repo import frame
from asynctensor.kvstores.repo.commit_entry import (
    branch_bytes,
    counted,
    sized,
    unpack_families,
    unpack_runs,
)
from asynctensor.kvstores.repo.family import Family
from asynctensor.kvstores.repo.fields import Fields
from asynctensor.kvstores.repo.frame import Kind
from asynctensor.kvstores.repo.objects import BRANCH_BYTES, TXN_BYTES
from asynctensor.kvstores.repo.part_ref import PartRef, Span
from asynctensor.kvstores.repo.run import Run


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
    """

    branch: str
    txn: bytes
    worker: str
    attempt: int
    families: tuple[Family, ...]
    runs: tuple[Run, ...]

    def encode(self) -> bytes:
        """The body of the part's object.

        Raises:
            InvalidArgument: A field cannot be stored.
        """
        return frame.encode(
            Kind.PART,
            [
                branch_bytes(self.branch),
                sized(self.txn, TXN_BYTES, "a transaction id"),
                self.worker,
                counted(self.attempt, "an attempt"),
                [family.key for family in self.families],
                [run.payload() for run in self.runs],
            ],
        )

    def ref(self, object: str, data: bytes) -> PartRef:
        """What a commit says of it.

        Args:
            object: Its name.
            data: Its body.
        """
        spans = [
            Span(run.space, run.key(0), run.key(len(run) - 1), len(run))
            for run in self.runs
            if len(run)
        ]
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
        )
