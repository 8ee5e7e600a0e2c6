"""The body of an intent: a transaction that others may commit.

::

    intent    = [branch, bin, reads]     ; in a frame of its own; bin: a commit (`commit_entry`)
    reads     = nil | [...]              ; `read_set`
"""

from __future__ import annotations

from dataclasses import dataclass, field

from asynctensor.kvstores.repo import frame
from asynctensor.kvstores.repo.commit_entry import CommitEntry, branch_bytes
from asynctensor.kvstores.repo.fields import Fields
from asynctensor.kvstores.repo.frame import Kind
from asynctensor.kvstores.repo.objects import BRANCH_BYTES
from asynctensor.kvstores.repo.read_set import ReadSet


@dataclass(frozen=True, slots=True)
class Intent:
    """A transaction that whoever writes the branch's next record may take into it.

    Attributes:
        branch: The id of the branch.
        commit: What it would do.
        reads: What must not have changed since its base.
    """

    branch: str
    commit: CommitEntry
    reads: ReadSet = field(default_factory=ReadSet, compare=False)

    def encode(self) -> bytes:
        """The body of the intent's object.

        Raises:
            InvalidArgument: A field cannot be stored.
        """
        return frame.encode(
            Kind.INTENT,
            [branch_bytes(self.branch), self.commit.encoded, self.reads.payload()],
        )

    @staticmethod
    def decode(data: bytes, *, object: str) -> Intent:
        """The intent whose body is `data`.

        Raises:
            DataLoss: `data` is none, or is damaged.
            Unimplemented: `data` is in a newer version of the format.
        """
        payload = frame.decode(Kind.INTENT, data, object=object)
        fields = Fields(payload, object=object, where="intent", least=2)
        branch = fields.binary(0, "branch", size=BRANCH_BYTES).hex()
        commit = CommitEntry.decode(fields.binary(1, "commit"), object=object)
        return Intent(branch, commit, ReadSet.of_payload(fields.array(2, "reads")))
