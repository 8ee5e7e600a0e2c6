"""Columns of distinct, ascending keys of one space.

In memory they are a list of byte strings, or for a family an array of fixed-width byte strings,
whose elements numpy cuts off before trailing NULs: `at` gives them whole. In a body::

    keys = strings of n              ; of a space of strings: `columns`
         | [column of n ...]         ; of a family: one for each coordinate, at most 64
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import numpy as np
from numpy.typing import NDArray

from asynctensor.errors import InvalidArgument
from asynctensor.kvstores.repo import columns
from asynctensor.kvstores.repo.family import (
    CALLER_KEYS,
    CATALOG,
    COORDINATE_LIMIT,
    DOCUMENTS,
    ID_BYTES,
    MAX_RANK,
    Keys,
    coordinates,
    keys_of,
)
from asynctensor.kvstores.repo.fields import Fields

KeyColumn = list[bytes] | Keys


def of(space: bytes, keys: list[bytes]) -> KeyColumn:
    """`keys` as the column of their space.

    Raises:
        InvalidArgument: `space` is a family's, and its keys are not all of one length, a multiple
            of 8.
    """
    if len(space) != ID_BYTES:
        return keys
    width = len(keys[0]) if keys else 8
    if width % 8 or not width or any(len(key) != width for key in keys):
        raise InvalidArgument("the keys of one family have different lengths, or none")
    return np.array(keys, dtype=(np.bytes_, width))


def at(keys: KeyColumn, index: int) -> bytes:
    """The key at `index`, whole."""
    if isinstance(keys, list):
        return keys[index]
    return bytes(keys[index]).ljust(keys.dtype.itemsize, b"\0")


def position(keys: KeyColumn, key: bytes) -> int:
    """The number of keys below `key`."""
    if isinstance(keys, list):
        return bisect_left(keys, key)
    # Elements come without their trailing NULs, which order them no differently. (`searchsorted`
    # gives up the GIL for a microsecond's work, and waits for it.)
    elements = cast("Sequence[bytes]", keys)
    width = keys.dtype.itemsize
    if len(key) > width:
        # Above the key that it begins with.
        return bisect_right(elements, key[:width].rstrip(b"\0"))
    return bisect_left(elements, key.rstrip(b"\0"))


def contained(keys: KeyColumn, others: KeyColumn) -> NDArray[np.bool_]:
    """Which of `keys` are among `others`, which ascend."""
    if isinstance(keys, list) or isinstance(others, list):
        there = set(others)
        return np.fromiter((key in there for key in keys), dtype=np.bool_, count=len(keys))
    if not len(others):
        return np.zeros(len(keys), np.bool_)
    found = np.minimum(np.searchsorted(others, keys), len(others) - 1)
    return cast("NDArray[np.bool_]", others[found] == keys)


def order(keys: KeyColumn) -> NDArray[np.intp]:
    """The positions of `keys`, ascending; one sorted part behind the other takes linear time."""
    if isinstance(keys, list):
        return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.intp)
    return np.argsort(keys, kind="stable")


def ascending(keys: KeyColumn) -> bool:
    """Whether each key is above the one before."""
    if isinstance(keys, list):
        return all(one < other for one, other in pairwise(keys))
    return len(keys) < 2 or bool((keys[1:] > keys[:-1]).all())


def pack(keys: KeyColumn) -> list[object]:
    """What a body holds of `keys`.

    Raises:
        InvalidArgument: A key of a space of strings is no UTF-8 text.
    """
    if isinstance(keys, list):
        if not _are_text(keys):
            raise InvalidArgument("a key that is not Unicode text cannot be stored")
        return columns.pack_strings(keys, ascending=True)
    return [columns.pack(axis) for axis in coordinates(keys, keys.dtype.itemsize // 8).T]


def unpack(fields: Fields, index: int, space: bytes, count: int) -> KeyColumn:
    """The `count` keys of `space` that are element `index` of `fields`; `count` is checked.

    Raises:
        DataLoss: They are none.
    """
    keys: KeyColumn
    if len(space) != ID_BYTES:
        strings = columns.unpack_strings(fields, index, "keys", count)
        if not _are_text(strings):
            fields.fail("has keys that are no text")
        keys = strings
    else:
        axes = fields.array(index, "coordinates", least=1)
        if len(axes) > MAX_RANK:
            axes.fail(f"are {len(axes)}; no key has more than {MAX_RANK}")
        positions = np.empty((count, len(axes)), dtype=np.uint64)
        for axis in range(len(axes)):
            positions[:, axis] = columns.unpack(
                axes, axis, f"numbers of dimension {axis}", count, below=COORDINATE_LIMIT
            )
        keys = keys_of(positions)
    if not ascending(keys):
        fields.fail("has keys that do not ascend")
    return keys


def unpack_space(fields: Fields, index: int) -> bytes:
    """The space that is element `index` of `fields`.

    Raises:
        DataLoss: It is none.
    """
    space = fields.binary(index, "space")
    if space not in (DOCUMENTS, CATALOG, CALLER_KEYS) and len(space) != ID_BYTES:
        fields.fail(f"names the space {space[:16].hex()!r}, which is none")
    return space


def _are_text(keys: list[bytes]) -> bool:
    if b"".join(keys).isascii():
        return True
    try:
        for key in keys:
            key.decode()
    except UnicodeDecodeError:
        return False
    return True
