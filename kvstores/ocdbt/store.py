"""``ocdbt``: the newest version of an OCDBT database as a kvstore, for reading.

TensorStore writes them, and with it Orbax. The manifest says where the root of the newest version's
B+tree is; nodes of the tree never change, and are kept once they were read, so that a value costs
one request more than the nodes on the way that nobody has passed yet, and the manifest.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from asynctensor.errors import DataLoss, Error, OutOfRange, Unimplemented
from asynctensor.kvstores.ocdbt.nodes import Node, Place, Root, newest_root, node
from asynctensor.runtime.clock import SYSTEM_CLOCK
from asynctensor.runtime.workers import WorkerPool, data_copy_pool
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import (
    DEFAULT_READ,
    Buffer,
    Capabilities,
    Json,
    KeyValueStore,
    ListEntry,
    ReadOptions,
    ReadResult,
)

#: The file that makes a folder a database.
MANIFEST: Final = "manifest.ocdbt"
#: What numbered manifests are called: this, and 16 hexadecimal digits.
_NUMBERED: Final = "manifest."
_DIGITS: Final = 16
#: Bytes of nodes that are kept.
_MOST_KEPT: Final = 1 << 26
#: Trees that TensorStore makes have a height of 3 or so.
_MAX_HEIGHT: Final = 64
#: What may stand unescaped in a component of a URL pipeline: what TensorStore leaves as it is.
_URL_SAFE: Final = "/:!$&'()*+,;="


class OcdbtStore(KeyValueStore):
    """The newest version of a database.

    Args:
        base: Where it is.
        base_path: Its folder there: empty, or it ends in ``/``.
        pool: Threads that decode (``data_copy_concurrency``).
    """

    driver = "ocdbt"
    capabilities = Capabilities(writable=False, lists_in_order=True, suffix_ranges=True)

    def __init__(self, base: KeyValueStore, base_path: str, pool: WorkerPool | None = None) -> None:
        self._base, self._path = base, base_path
        self._pool = data_copy_pool() if pool is None else pool
        #: The newest version that was seen, and the stamp of the manifest.
        self._held: tuple[Root, TimestampedStorageGeneration] | None = None
        self._nodes: OrderedDict[Place, Node] = OrderedDict()
        self._kept = 0

    def __repr__(self) -> str:
        return f"OcdbtStore({self._base!r}, {self._path!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Threads, and what was read, are this process's own.
        return OcdbtStore, (self._base, self._path)

    @property
    def below(self) -> tuple[KeyValueStore, str]:
        return self._base, self._path

    @property
    def identity(self) -> object:
        return self.driver, self._base.identity, self._path

    def spec_json(self, path: str) -> dict[str, Json]:
        spec: dict[str, Json] = {"driver": self.driver, "base": self._base.spec_json(self._path)}
        return {**spec, "path": path} if path else spec

    def url(self, path: str) -> str:
        return f"{self._base.url(self._path)}|{self.driver}:{quote(path, safe=_URL_SAFE)}"

    # -- Reading ------------------------------------------------------------------------------

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        """See `KeyValueStore.read`.

        Raises:
            DataLoss: It is damaged.
            Unimplemented: It is of a version that is not known.
        """
        try:
            return await self._read(key, options)
        except Error as error:
            error.located(key=key, operation="read")
            raise

    async def _read(self, key: str, options: ReadOptions) -> ReadResult:
        root, time = await self._root(min(options.staleness_bound, SYSTEM_CLOCK.time()))
        found = await self._find(root, key.encode())
        generation = NO_VALUE if found is None else _generation(found)
        stamp = TimestampedStorageGeneration(generation, time)
        if options.if_equal not in (UNKNOWN, generation) or options.if_not_equal == generation:
            return ReadResult("unspecified", b"", stamp)
        if found is None:
            return ReadResult("missing", b"", stamp)
        size = found.length if isinstance(found, Place) else len(found)
        start, stop = options.byte_range.resolve(size)
        if isinstance(found, Place):
            return ReadResult("value", await self._bytes(found, start, stop), stamp)
        return ReadResult("value", found[start:stop], stamp)

    async def _find(self, root: Root, key: bytes) -> Place | bytes | None:
        """The value of a key, or where it is."""
        place, height, left = root.place, root.height, key
        while place is not None:
            at = await self._node(place, height)
            if not height:
                return at.value(left)
            child = at.child(left)
            if child is None:
                return None
            place, left = child
            height -= 1
        return None

    async def _root(self, since: float) -> tuple[Root, float]:
        """The newest version at a time at least as late, and when it was that."""
        held = self._held
        if held is not None and held[1].time >= since:
            return held[0], held[1].time
        # Of a numbered manifest another one takes the place: that it has not changed says nothing.
        known = UNKNOWN if held is None or held[0].numbered else held[1].generation
        options = ReadOptions(if_not_equal=known, staleness_bound=since)
        found = await self._base.read(self._path + MANIFEST, options)
        if found.state == "unspecified" and held is not None:
            root = held[0]
        elif found.state == "value":
            newest: Root | None = await self._decoded(MANIFEST, newest_root, found.value)
            root = await self._numbered() if newest is None else newest
        else:
            # As in TensorStore: what is not there is empty.
            root = Root(0, 0, None)
        if root.height > _MAX_HEIGHT:
            raise DataLoss(f"{MANIFEST} names a tree of height {root.height}")
        self._held = root, found.stamp
        return root, found.stamp.time

    async def _numbered(self) -> Root:
        """What the newest of the numbered manifests says."""
        prefix = self._path + _NUMBERED
        names = [entry.key async for entry in self._base.list(KeyRange.prefix(prefix))]
        numbers = [name for name in names if _is_numbered(name[len(prefix) :])]
        if not numbers:
            raise DataLoss(f"{MANIFEST} says that numbered manifests follow, and there is none")
        found = await self._base.read(max(numbers))
        root: Root | None = await self._decoded(max(numbers), newest_root, found.value)
        if root is None:
            raise DataLoss(f"{max(numbers)} names no version")
        return replace(root, numbered=True)

    async def _node(self, place: Place, height: int) -> Node:
        kept = self._nodes.get(place)
        if kept is None:
            data = await self._bytes(place, 0, place.length)
            kept = await self._decoded(place.file, node, data, place.base)
            if kept.height != height:
                raise DataLoss(
                    f"the node at byte {place.offset} of {place.file!r} is of height "
                    f"{kept.height}, and should be of {height}"
                )
            self._keep(place, kept)
        else:
            self._nodes.move_to_end(place)
        return kept

    def _keep(self, place: Place, kept: Node) -> None:
        if place not in self._nodes:
            self._nodes[place] = kept
            self._kept += kept.size
        while self._kept > _MOST_KEPT and len(self._nodes) > 1:
            self._kept -= self._nodes.popitem(last=False)[1].size

    async def _decoded(self, file: str, decode: Any, *args: Any) -> Any:
        try:
            return await self._pool.run(decode, *args)
        except Error as error:
            error.message = f"{file!r} of an OCDBT database: {error.message}"
            error.args = (error.message,)
            raise

    async def _bytes(self, place: Place, start: int, stop: int) -> bytes:
        if start == stop:
            return b""
        part = ByteRange(place.offset + start, place.offset + stop)
        try:
            found = await self._base.read(self._path + place.file, ReadOptions(part))
        except OutOfRange as error:
            raise DataLoss(f"{place.file!r} of an OCDBT database is cut off") from error
        if found.state != "value":
            raise DataLoss(f"{place.file!r} of an OCDBT database is missing")
        return found.value

    # -- Listing ------------------------------------------------------------------------------

    async def list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        root, _ = await self._root(SYSTEM_CLOCK.time())
        if root.place is None or key_range.empty:
            return
        async for entry in self._below(root.place, root.height, b"", key_range):
            yield entry

    async def _below(
        self, place: Place, height: int, prefix: bytes, key_range: KeyRange
    ) -> AsyncIterator[ListEntry]:
        at = await self._node(place, height)
        low, high = key_range.inclusive_min.encode(), key_range.exclusive_max.encode()
        for number, (key, entry) in enumerate(zip(at.keys, at.entries, strict=True)):
            full = prefix + key
            if high and full >= high:
                return
            if not height:
                if full >= low:
                    size = entry.length if isinstance(entry, Place) else len(entry)
                    yield ListEntry(_text(full), size)
                continue
            after = at.keys[number + 1] if number + 1 < len(at.keys) else None
            if after is not None and prefix + after <= low:
                # All of it is before the range.
                continue
            assert isinstance(entry, Place)
            shared = prefix + key[: at.shared[number]]
            async for found in self._below(entry, height - 1, shared, key_range):
                yield found

    # -- Writing ------------------------------------------------------------------------------

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
    ) -> TimestampedStorageGeneration:
        raise Unimplemented(_READ_ONLY, key=key, operation="write")

    async def delete_range(self, key_range: KeyRange) -> None:
        raise Unimplemented(_READ_ONLY, operation="delete")


_READ_ONLY: Final = (
    "OCDBT databases are only read here; a repository is what can be written, with a history"
)


def _generation(found: Place | bytes) -> bytes:
    """Of a value: where it is, which nothing else ever is; or a hash."""
    if isinstance(found, Place):
        return f"at {found.offset} {found.length} {found.file}".encode()
    return b"is " + hashlib.blake2b(found, digest_size=16).digest()


def _is_numbered(digits: str) -> bool:
    return len(digits) == _DIGITS and set(digits) <= set("0123456789abcdef")


def _text(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError as error:
        raise Unimplemented(f"the key {key!r} of an OCDBT database is no UTF-8") from error
