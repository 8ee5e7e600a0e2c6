"""What a receipt says of a part; it never reaches the store.

::

    body      = [part_ref, families, reads]  ; msgpack; `part_ref`
    families  = [text ...]                   ; as in the part
    reads     = nil | [cleared, [[space, count, keys] ...]]     ; as in the part, or more
"""

from __future__ import annotations

from dataclasses import dataclass

from asynctensor.errors import DataLoss, InvalidArgument
from asynctensor.kvstores.repo import frame
from asynctensor.kvstores.repo.commit_entry import unpack_families
from asynctensor.kvstores.repo.family import Family
from asynctensor.kvstores.repo.fields import Fields
from asynctensor.kvstores.repo.part import Part
from asynctensor.kvstores.repo.part_ref import PartRef
from asynctensor.kvstores.repo.read_set import ReadSet
from asynctensor.storage.shared_transaction import Receipt

#: Keys of one space that a receipt names one by one.
_MOST_KEYS = 16


@dataclass(frozen=True, slots=True)
class PartReceipt:
    """A part, as far as its commit needs to know it.

    Attributes:
        ref: Where it is, and between which keys it writes.
        families: Those of its keys.
        reads: What it rests on, or more.
    """

    ref: PartRef
    families: tuple[Family, ...]
    reads: ReadSet

    @staticmethod
    def of(part: Part, ref: PartRef) -> PartReceipt:
        """That of a part that is stored."""
        known = {family.id: family for family in part.families}
        return PartReceipt(ref, part.families, part.reads.coarsened(known, _MOST_KEYS))

    def receipt(self, txn: str) -> Receipt:
        """What is handed over."""
        body = frame.packed(
            [
                self.ref.payload(),
                [family.key for family in self.families],
                self.reads.payload(),
            ]
        )
        return Receipt(txn, self.ref.worker, self.ref.attempt, self.ref.count, body)

    @staticmethod
    def read(receipt: Receipt) -> PartReceipt:
        """What a receipt says.

        Raises:
            InvalidArgument: It is none.
        """
        where = f"the receipt of {receipt.worker!r}"
        try:
            fields = Fields(
                frame.unpacked(receipt.body, object=where), object=where, where="receipt", least=3
            )
            return PartReceipt(
                PartRef.of_payload(fields.array(0, "part", least=5)),
                unpack_families(fields, 1),
                ReadSet.of_payload(fields.array(2, "reads")),
            )
        except DataLoss as error:
            raise InvalidArgument(f"{where} is none, or is damaged: {error}") from error
