"""Hints: where reading a branch's log may start. Nothing rests on one; it may be old, or missing.

::

    hint = [branch, seq, checkpoint, copy]   ; in a frame
    seq  = uint                              ; of a record that was in the log
    checkpoint = nil | uint                  ; seq of a checkpoint that was there
    copy = bin                               ; the body of that checkpoint; absent: not given
"""

from __future__ import annotations

from dataclasses import dataclass

from asynctensor.kvstores.repo import frame
from asynctensor.kvstores.repo.checkpoint import Checkpoint
from asynctensor.kvstores.repo.commit_entry import branch_bytes, counted
from asynctensor.kvstores.repo.fields import Fields
from asynctensor.kvstores.repo.frame import Kind
from asynctensor.kvstores.repo.objects import BRANCH_BYTES, SEQ_LIMIT


@dataclass(frozen=True, slots=True)
class Hint:
    """Where reading may start.

    Attributes:
        branch: The id of the branch.
        seq: The sequence number of a record that was in the log.
        checkpoint: That of the newest checkpoint that was known; None if none was.
        copy: That checkpoint, which saves asking for it; None: not given.
    """

    branch: str
    seq: int
    checkpoint: int | None = None
    copy: Checkpoint | None = None

    def encode(self) -> bytes:
        """The body of the hint's object."""
        seq = counted(self.seq, "a sequence number")
        known: list[object] = [branch_bytes(self.branch), seq, self.checkpoint]
        if self.copy is not None:
            known.append(self.copy.encode())
        return frame.encode(Kind.HINT, known)

    @staticmethod
    def decode(data: bytes, *, object: str) -> Hint:
        """The hint whose body is `data`.

        Raises:
            DataLoss: `data` is none, or is damaged: go on as if there were none.
            Unimplemented: `data` is in a newer version of the format.
        """
        payload = frame.decode(Kind.HINT, data, object=object)
        fields = Fields(payload, object=object, where="hint", least=2)
        checkpoint, body = fields.get(2), fields.binary(3, "copy")
        copy = Checkpoint.decode(body, object=object) if body else None
        if copy is not None and copy.seq != checkpoint:
            fields.fail(f"has a copy of checkpoint {copy.seq}, not of {checkpoint}")
        return Hint(
            fields.binary(0, "branch", size=BRANCH_BYTES).hex(),
            fields.uint(1, "seq", below=SEQ_LIMIT),
            None if checkpoint is None else fields.uint(2, "checkpoint", below=SEQ_LIMIT),
            copy,
        )
