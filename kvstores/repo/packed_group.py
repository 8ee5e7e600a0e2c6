"""Values that are parts of objects of the base store, read a few at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from asynctensor.errors import Error
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.storage.checksum import crc32c
from asynctensor.storage.kvstore import (
    UNREAD,
    BlockingFace,
    Buffer,
    KeyGroup,
    OpenValue,
    Unread,
)

if TYPE_CHECKING:
    from asynctensor.kvstores.repo.face import RepositoryFace
    from asynctensor.kvstores.repo.place import Place

#: Objects that are open at the same time.
_MOST_OPEN = 4


class PackedGroup(KeyGroup):
    """Looks all keys up at once, and opens an object that holds many of the values once.

    Args:
        face: The state of the repository.
        place: Where the repository is.
        base: The face of its store.
        keys: Which.
    """

    def __init__(
        self, face: RepositoryFace, place: Place, base: BlockingFace, keys: Sequence[str]
    ) -> None:
        self._place, self._base = place, base
        self._places = face.places(keys)
        #: How many of the values each object has.
        self._shares = Counter([each[1].object for each in self._places or () if each is not None])
        self._opened: dict[str, OpenValue] = {}

    def read(
        self, start: int, stop: int, buffer: memoryview, size: int
    ) -> Sequence[Buffer | None | Unread]:
        """See `BlockingFace.read_group`."""
        found: list[Buffer | None | Unread] = [UNREAD] * (stop - start)
        if self._places is None:
            return found
        wanted: list[tuple[int, Ref]] = []
        for i, each in enumerate(self._places[start:stop]):
            if each is None:
                found[i] = None
            elif each[1].inline is not None:
                found[i] = each[1].inline if each[1].size <= size else UNREAD
            elif 0 < each[1].size <= size:
                wanted.append((i, each[1]))
        self._read_alone(wanted, found, buffer, size)
        for i, ref in wanted:
            if found[i] is UNREAD:
                part = buffer[i * size : i * size + ref.size]
                if self._read_part(ref, part):
                    found[i] = part
        return found

    def _read_alone(
        self,
        wanted: Sequence[tuple[int, Ref]],
        found: list[Buffer | None | Unread],
        buffer: memoryview,
        size: int,
    ) -> None:
        """Reads objects that seem to be one value each."""
        alone = [(i, ref) for i, ref in wanted if not ref.offset and self._shares[ref.object] == 1]
        # Each value has its place: neighbours are read by one call.
        for _, some in groupby(enumerate(alone), lambda each: each[1][0] - each[0]):
            run = [each for _, each in some]
            first, last = run[0][0], run[-1][0]
            names = [self._place.key(ref.object) for _, ref in run]
            read = self._base.read_group(names, buffer[first * size : (last + 1) * size], size)
            for (i, ref), value in zip(run, read, strict=True):
                # None, or too few or too many bytes: whoever opens it finds out what is wrong.
                if value is None or isinstance(value, Unread) or len(value) < ref.size:
                    continue
                part = memoryview(value)[: ref.size]
                if crc32c(part) == ref.crc:
                    found[i] = part

    def _read_part(self, ref: Ref, part: memoryview) -> bool:
        """Reads a value; False if that does not plainly work.

        Whoever opens it by itself is told what is wrong with it.
        """
        try:
            opened = self._opened.get(ref.object)
            if opened is None:
                opened = self._base.open(self._place.key(ref.object))
                if opened is None:
                    return False
                if len(self._opened) >= _MOST_OPEN:
                    self.close()
                self._opened[ref.object] = opened
            opened.read_into(part, ref.offset)
            return crc32c(part) == ref.crc
        except Error:
            return False

    def close(self) -> None:
        """See `KeyGroup.close`."""
        opened, self._opened = self._opened, {}
        for each in opened.values():
            each.close()
