"""Values that are in packs before the transaction is in the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from asynctensor.kvstores.repo.damage import damaged, lost
from asynctensor.kvstores.repo.objects import TXN_BYTES
from asynctensor.kvstores.repo.packs import Packs
from asynctensor.kvstores.repo.place import Place
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.runtime.entropy import random_bytes
from asynctensor.storage.checksum import crc32c
from asynctensor.storage.kvstore import Buffer
from asynctensor.storage.stash import Stash, StoredValue

#: Documents up to this size may well stay in the record.
_SMALL = 8 * 1024
#: Behind every slot.
_NEVER = 2**63


class PackedValue(StoredValue):
    """A value in a pack.

    Attributes:
        ref: Where it is.
        stash: Who stored it.
    """

    __slots__ = ("ref", "stash")

    def __init__(self, ref: Ref, stash: PackStash) -> None:
        self.size = ref.size
        self.ref, self.stash = ref, stash


class PackStash(Stash):
    """Stores the values of one transaction.

    Args:
        place: Where the repository is.
        txn: The id of the transaction; by default a new one.
        begin: Gives the end of the log, for a transaction that begins with this stash.

    Attributes:
        txn: The id of the transaction, after which its packs are named.
        packs: Its packs.
        began: A slot behind which its outcome stands, if anywhere (R2); None: nothing is stored.
    """

    def __init__(
        self,
        place: Place,
        txn: bytes | None = None,
        begin: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        self.txn = random_bytes(TXN_BYTES) if txn is None else txn
        self._place = place
        self.packs = Packs(place, self.txn)
        self._claimed = False
        self._begin = begin
        self.began: int | None = None

    def claim(self) -> bool:
        """Whether no commit was made of it before: a second one has an id of its own (R12)."""
        claimed, self._claimed = self._claimed, True
        return not claimed

    def _begun(self) -> tuple[int, ...]:
        return (_NEVER,) if self.began is None else (self.began,)

    async def store(self, values: Mapping[str, Buffer]) -> Mapping[str, PackedValue]:
        """See `Stash.store`: documents that may fit a record are left to the commit."""
        large = {
            key: value
            for key, value in values.items()
            if len(value) > _SMALL or "0" <= key[-1:] <= "9"
        }
        if self._begin is not None and self.began is None:
            # Of stores side by side the one that began first ends this first.
            self.began = min(await self._begin(), *self._begun())
        stored = await self.packs.pack(large)
        return {key: PackedValue(ref, self) for key, ref in stored.items()}

    async def discard(self) -> None:
        """See `Stash.discard`."""
        await self.packs.discard()

    async def read(self, key: str, value: StoredValue) -> bytes:
        """See `Stash.read`."""
        assert isinstance(value, PackedValue)
        ref = value.ref
        data = await self._place.get_part(ref.object, ref.offset, ref.size) if ref.size else b""
        if data is None:
            raise lost(key, ref.object)
        if crc32c(data) != ref.crc:
            raise damaged(key, ref.object)
        return data
