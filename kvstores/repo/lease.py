"""Leases: objects that say which states are in use, so that a collector leaves them alone.

::

    lease     = [branch, seq, place, log, txn, time]     ; in a frame
    branch    = bin                          ; 6 bytes; with seq and place the state that is held
    seq, place = uint
    log       = bin                          ; 6 bytes: of the branch whose log will decide ...
    txn       = bin                          ; ... this transaction, which needs the state
    time      = uint                         ; when it was taken, or released

Entry 0 takes the lease, entry 1 releases it, once the outcome of the transaction is in that log. A
shared transaction's lease is named after its id: whoever has its token can release it.
"""

from __future__ import annotations

from dataclasses import dataclass

from asynctensor.kvstores.repo import frame, objects
from asynctensor.kvstores.repo.commit_entry import branch_bytes, sized
from asynctensor.kvstores.repo.fields import Fields
from asynctensor.kvstores.repo.frame import Kind
from asynctensor.kvstores.repo.objects import BRANCH_BYTES, RANDOM_BYTES, SEQ_LIMIT, TXN_BYTES


@dataclass(frozen=True, slots=True)
class Lease:
    """One entry of a lease.

    Attributes:
        branch: The id of the branch of the state that is held.
        version: The commit that the state is after.
        log: The id of the branch whose log decides the transaction.
        txn: The transaction's id.
        time: When it was taken, or released, in microseconds since the Unix epoch.
    """

    branch: str
    version: tuple[int, int]
    log: str
    txn: bytes
    time: int

    def name(self, k: int) -> str:
        """The name of the object of entry `k`."""
        return objects.lease(self.txn[:RANDOM_BYTES].hex(), k)

    def encode(self) -> bytes:
        """The body of the entry's object."""
        seq, place = self.version
        txn = sized(self.txn, TXN_BYTES, "a transaction id")
        return frame.encode(
            Kind.LEASE,
            [branch_bytes(self.branch), seq, place, branch_bytes(self.log), txn, self.time],
        )

    @staticmethod
    def decode(data: bytes, *, object: str) -> Lease:
        """The entry whose body is `data`.

        Raises:
            DataLoss: `data` is none, or is damaged.
            Unimplemented: `data` is in a newer version of the format.
        """
        payload = frame.decode(Kind.LEASE, data, object=object)
        fields = Fields(payload, object=object, where="lease", least=6)
        return Lease(
            fields.binary(0, "branch", size=BRANCH_BYTES).hex(),
            (fields.uint(1, "seq", below=SEQ_LIMIT), fields.uint(2, "place", below=1 << 16)),
            fields.binary(3, "log", size=BRANCH_BYTES).hex(),
            fields.binary(4, "transaction id", size=TXN_BYTES),
            fields.uint(5, "time", below=1 << 63),
        )
