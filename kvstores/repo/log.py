"""The log of one branch: its slots as far as they were read, and the one way to fill the next."""

from __future__ import annotations

import asyncio
from enum import Enum

from asynctensor.errors import DataLoss, DeadlineExceeded, Error, Unavailable
from asynctensor.kvstores.repo.lineage import Lineage
from asynctensor.kvstores.repo.objects import log_slot
from asynctensor.kvstores.repo.place import Created, Place
from asynctensor.kvstores.repo.record import Record
from asynctensor.runtime.entropy import uniform

#: Slots that are asked for side by side while a long tail is read.
_AHEAD = 16
_MOST_AHEAD = 128
#: Attempts at one slot whose outcome the store does not tell.
_ATTEMPTS = 4
#: Looks at a slot that is taken and not shown: caches forget. Seconds of the first pause, halved.
_LOOKS = 5
_PAUSE = 0.01


class Filled(Enum):
    """How an attempt at the next slot ended: by our record, by another, or not known."""

    OURS = "ours"
    OTHER = "other"
    UNKNOWN = "unknown"


class Log:
    """Slots `first` to `tail` of one branch, in order and without a hole. For the I/O loop.

    Args:
        place: Where the repository is.
        lineage: The branch.
        tail: A slot known to be filled, or the fork point: reading starts behind it.
        digest: Of what is in that slot; None where it is not known.

    Attributes:
        tail: The last slot that is known to be filled (R10: the end of the contiguous run read).
    """

    def __init__(self, place: Place, lineage: Lineage, tail: int, digest: bytes | None) -> None:
        self.place = place
        self.lineage = lineage
        self.branch = lineage.branch
        self.tail = tail
        self._digest = digest
        self._slots: dict[int, Record] = {}
        #: A slot that survives a crash, with all before it.
        self._durable = tail

    @property
    def digest(self) -> bytes:
        """The digest of the last slot: what the next record names as its parent."""
        if self._digest is None:
            raise DataLoss("the last record of the log was not read", key=self.branch)
        return self._digest

    def slot(self, seq: int) -> Record | None:
        """A slot that was read and is still kept."""
        return self._slots.get(seq)

    def forget_before(self, seq: int) -> None:
        """Lets go of older slots; they are read again when they are needed."""
        for old in [each for each in self._slots if each < seq]:
            del self._slots[old]

    async def read(self, seq: int) -> Record | None:
        """Slot `seq`, or None if it is not filled; see `read_slot`."""
        known = self._slots.get(seq)
        if known is not None:
            return known
        return await read_slot(self.place, self.lineage.at(seq).branch, seq)

    async def advance(self, expected: int = 0) -> list[Record]:
        """Reads what was committed since; gives it, oldest first.

        Args:
            expected: A slot that is probably filled; those up to it are asked for at once.

        Raises:
            DataLoss: A record is damaged, or does not follow the one before it.
            Error: The store failed.
        """
        news: list[Record] = []
        width = min(max(1, expected + 1 - self.tail), _MOST_AHEAD)
        while True:
            seqs = range(self.tail + 1, self.tail + 1 + width)
            found = await asyncio.gather(*(self.read(seq) for seq in seqs))
            for record in found:
                if record is None:
                    return news
                self._add(record)
                news.append(record)
            width = min(4 * width, _AHEAD)

    async def peek(self, width: int) -> bool:
        """Reads the next `width` slots at once, and what is filled of them without a hole.

        Returns:
            Whether all of them are: there may be more.

        Raises:
            DataLoss, Error: See `advance`.
        """
        seqs = range(self.tail + 1, self.tail + 1 + width)
        for record in await asyncio.gather(*(self.read(seq) for seq in seqs)):
            if record is None:
                return False
            self._add(record)
        return True

    def _add(self, record: Record) -> None:
        """Takes in the slot behind the tail; what lies behind a missing one is never added."""
        if self._digest is not None and record.parent != self._digest:
            raise DataLoss(
                f"record {record.seq} does not follow the record before it: another repository "
                "was written here, or the store lost or replaced an object",
                key=self.place.key(log_slot(self.branch, record.seq)),
            )
        self._slots[record.seq] = record
        self.tail = record.seq
        self._digest = record.digest

    async def fill(self, record: Record) -> Filled:
        """Tries to put `record`, which follows the tail, into the next slot.

        An attempt that the store does not answer is repeated at this slot only, until somebody's
        record is seen there (R1).

        Returns:
            How it ended. Unless that is not known, the tail is there then.

        Raises:
            DataLoss: The slot's record is damaged.
            Error: The store failed, and surely wrote nothing.
        """
        assert record.seq == self.tail + 1
        await self.confirm(self.tail)
        body = record.encode()
        name = log_slot(self.branch, record.seq)
        undecided = False
        for _ in range(_ATTEMPTS):
            try:
                outcome = await self.place.create(name, body)
                if outcome is Created.CREATED:
                    self._add(record)
                    self._durable = record.seq
                    return Filled.OURS
                # Also where it is taken: an attempt that the store made for us may have been
                # the one.
                undecided = True
                found = await self._look(record.seq, again=outcome is Created.TAKEN)
                if found is not None and (outcome is Created.TAKEN or not self.place.may_forget):
                    self._add(found)
                    self._durable = record.seq
                    return Filled.OURS if found == record else Filled.OTHER
            except Error:
                if not undecided:
                    raise
                return Filled.UNKNOWN
        return Filled.UNKNOWN

    async def confirm(self, seq: int) -> None:
        """Returns when a filled slot, and all before it, survive a crash.

        See `Place.confirm`; all slots of a branch are in one directory.

        Raises:
            Unavailable: It may not survive.
            Error: The store failed.
        """
        if seq <= self._durable or not self.place.may_forget:
            return
        name = log_slot(self.lineage.at(seq).branch, seq)
        record = await self.read(seq)
        if record is None:
            raise Unavailable("a record may not survive a crash", key=self.place.key(name))
        await self.place.confirm(name, record.encode())
        self._durable = seq

    async def _look(self, seq: int, *, again: bool) -> Record | None:
        """What is in a slot after an attempt; a miss is not believed where it was taken (R10)."""
        for attempt in range(_LOOKS if again else 1):
            if attempt:
                await asyncio.sleep(_PAUSE * 2**attempt * uniform(0.5, 1.0))
            try:
                found = await self.read(seq)
            except (Unavailable, DeadlineExceeded):
                continue
            if found is not None:
                return found
        return None


async def read_slot(place: Place, branch: str, seq: int) -> Record | None:
    """A slot of a branch's log, or None if it is not filled.

    Raises:
        DataLoss: The record is damaged, or is one of another slot.
        Error: The store failed.
    """
    name = log_slot(branch, seq)
    body = await place.get(name)
    if body is None:
        return None
    record = Record.decode(body, object=name)
    if (record.branch, record.seq) != (branch, seq):
        raise DataLoss(
            f"the record says that it is {record.branch} {record.seq}", key=place.key(name)
        )
    return record
