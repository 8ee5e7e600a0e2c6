"""What is in OCDBT's manifests and in the nodes of its B+trees. Pure.

Bodies of envelopes::

    manifest = config [files versions older]     ; without these, they are in a numbered manifest
    config   = uuid(16) kind max_inline max_node arity_log2(1) compression [level(4)]
    files    = count, then columns: shared prefix with the last path (not of the first), length of
               the rest, length of the base path, rests
    versions = count, then columns: generation, height(1), file, offset, length, keys, tree bytes,
               value bytes, time(8)
    node     = height(1) files count keys ...
    keys     = columns: shared prefix (not of the first), length of the rest; of nodes above leaves
               also how much of the key all below share; rests
    leaf     = columns: length, kind (0 here, 1 elsewhere); of those elsewhere file and offset; the
               bytes of those here
    interior = columns: file, offset, length, keys, tree bytes, value bytes

Numbers are varints unless their size is given. A file's path is relative to the folder of the
database. The base path of a file leads to another database's folder, to which the paths in a node
that lies there are relative.

Source: TensorStore's ``kvstore/ocdbt`` documentation, "Storage format".
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from asynctensor.errors import DataLoss
from asynctensor.kvstores.ocdbt.envelope import MANIFEST, NODE, Fields, opened
from asynctensor.runtime.workers import yield_gil

#: Where an empty tree has its root.
_NOWHERE: Final = (1 << 64) - 1
#: Longer keys and paths are none (TensorStore's bound).
_MAX_KEY: Final = 65_535
#: Bytes of config between the numbers.
_UUID_BYTES, _LEVEL_BYTES, _TIME_BYTES = 16, 4, 8
#: Of memory, for an entry without its bytes.
_ENTRY_BYTES: Final = 200
#: Entries parsed between two chances for other threads, about half a millisecond.
_PIECE: Final = 500


@dataclass(frozen=True, slots=True)
class Place:
    """Where bytes lie.

    Attributes:
        base: The folder to which paths in them are relative, itself relative to the database's.
        path: The rest of the file's path.
        offset: Where they begin.
        length: How many there are.
    """

    base: str
    path: str
    offset: int
    length: int

    @property
    def file(self) -> str:
        """The path of the file, relative to the database's folder."""
        return self.base + self.path


@dataclass(frozen=True, slots=True)
class Root:
    """A version's tree.

    Attributes:
        generation: The number of the version.
        height: Of the root; 0: it is a leaf.
        place: Where the root is; None: there are no keys.
        numbered: Whether a numbered manifest names it.
    """

    generation: int
    height: int
    place: Place | None
    numbered: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a tree.

    Attributes:
        height: 0 for leaves.
        keys: Sorted; what all keys of the node share is not in them.
        shared: Of nodes above leaves: how many bytes of a key all keys below it share.
        entries: For each key a child, or the place of a value, or the value.
        size: About how many bytes of memory it takes.
    """

    height: int
    keys: list[bytes]
    shared: list[int]
    entries: list[Place | bytes]
    size: int

    def child(self, key: bytes) -> tuple[Place, bytes] | None:
        """The child that may have a key, and what is left of the key there."""
        at = bisect_right(self.keys, key) - 1
        if at < 0:
            return None
        prefix = self.keys[at][: self.shared[at]]
        entry = self.entries[at]
        assert isinstance(entry, Place)
        return (entry, key[len(prefix) :]) if key.startswith(prefix) else None

    def value(self, key: bytes) -> Place | bytes | None:
        """The value of a key in a leaf, or where it is; None: it has none."""
        at = bisect_right(self.keys, key) - 1
        return self.entries[at] if at >= 0 and self.keys[at] == key else None


def newest_root(data: bytes) -> Root | None:
    """The newest version that a manifest names; None: numbered manifests do.

    Raises:
        DataLoss, Unimplemented, ResourceExhausted: See `opened`.
    """
    fields = opened(MANIFEST, data)
    fields.take(_UUID_BYTES)
    kind, _, _ = fields.numbers(3)
    fields.byte()
    if fields.number():
        fields.take(_LEVEL_BYTES)
    if kind == 1:
        fields.end()
        return None
    if kind != 0:
        raise DataLoss(f"it is of kind {kind}, and there are 0 and 1")
    files = _files(fields, "")
    count = fields.count()
    generations = fields.numbers(count)
    heights = list(fields.take(count))
    places = _places(fields, files, count)
    if not count or generations != sorted(set(generations)):
        raise DataLoss("it has no versions, or not in order")
    return Root(generations[-1], heights[-1], places[-1])


def node(data: bytes, base: str) -> Node:
    """A node.

    Args:
        data: Its bytes.
        base: Of the place where it lies.

    Raises:
        DataLoss, Unimplemented, ResourceExhausted: See `opened`.
    """
    fields = opened(NODE, data)
    height = fields.byte()
    files = _files(fields, base)
    count = fields.count()
    if not count:
        raise DataLoss("it has no entries")
    keys, shared = _keys(fields, count, with_shared=height > 0)
    if height:
        places = _places(fields, files, count)
        entries: list[Place | bytes] = [place for place in places if place is not None]
        fields.numbers(3 * count)
    else:
        entries = _values(fields, files, count)
    fields.end()
    if len(entries) != count or any(one >= other for one, other in pairwise(keys)):
        raise DataLoss("its keys are not in order, or one has no place")
    here = sum(len(entry) for entry in entries if isinstance(entry, bytes))
    size = here + sum(map(len, keys)) + count * _ENTRY_BYTES
    return Node(height, keys, shared, entries, size)


def _files(fields: Fields, base: str) -> list[tuple[str, str]]:
    """The files that are named: base path and rest."""
    count = fields.count()
    prefixes = [0, *fields.numbers(max(0, count - 1))]
    lengths, bases = fields.numbers(count), fields.numbers(count)
    found, last = [], b""
    for prefix, length, split in zip(prefixes[:count], lengths, bases, strict=True):
        last = _joined(last, prefix, fields, length)
        if split > len(last):
            raise DataLoss("the base of a path is longer than the path")
        try:
            folder, rest = base + last[:split].decode(), last[split:].decode()
        except UnicodeDecodeError as error:
            raise DataLoss(f"the path {last!r} is no text") from error
        found.append((folder, rest))
    return found


def _keys(fields: Fields, count: int, *, with_shared: bool) -> tuple[list[bytes], list[int]]:
    prefixes, lengths = [0, *fields.numbers(count - 1)], fields.numbers(count)
    shared = fields.numbers(count) if with_shared else []
    keys, last = [], b""
    for number, (prefix, length) in enumerate(zip(prefixes, lengths, strict=True)):
        if number % _PIECE == 0:
            yield_gil()
        last = _joined(last, prefix, fields, length)
        keys.append(last)
    if any(size > len(key) for size, key in zip(shared, keys, strict=False)):
        raise DataLoss("more of a key is shared than it has")
    return keys, shared


def _joined(last: bytes, prefix: int, fields: Fields, length: int) -> bytes:
    """What shares a prefix with the last one."""
    if prefix > len(last) or prefix + length > _MAX_KEY:
        raise DataLoss(f"{prefix} and {length} bytes are no key after one of {len(last)}")
    return last[:prefix] + fields.take(length)


def _places(fields: Fields, files: Sequence[tuple[str, str]], count: int) -> list[Place | None]:
    numbers, offsets, lengths = (fields.numbers(count) for _ in range(3))
    found: list[Place | None] = []
    for number, offset, length in zip(numbers, offsets, lengths, strict=True):
        if length == _NOWHERE:
            found.append(None)
        else:
            found.append(Place(*_file(files, number), offset, length))
    return found


def _values(fields: Fields, files: Sequence[tuple[str, str]], count: int) -> list[Place | bytes]:
    lengths, kinds = fields.numbers(count), fields.numbers(count)
    if not set(kinds) <= {0, 1}:
        raise DataLoss(f"values are of kinds {sorted(set(kinds))}, and there are 0 and 1")
    elsewhere = sum(kinds)
    numbers, offsets = fields.numbers(elsewhere), fields.numbers(elsewhere)
    places = zip(numbers, offsets, strict=True)
    found: list[Place | bytes] = []
    for length, kind in zip(lengths, kinds, strict=True):
        if kind:
            number, offset = next(places)
            found.append(Place(*_file(files, number), offset, length))
        else:
            found.append(fields.take(length))
    return found


def _file(files: Sequence[tuple[str, str]], number: int) -> tuple[str, str]:
    if number >= len(files):
        raise DataLoss(f"there are {len(files)} files, and it names number {number}")
    folder, rest = files[number]
    if {"", ".", ".."} & set((folder + rest).split("/")):
        raise DataLoss(f"the path {folder + rest!r} leads out of the database, or nowhere")
    return folder, rest
