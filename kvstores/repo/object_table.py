"""The object names that one run refers to, once each.

::

    table   = [data, packs, others]
    data    = nil | [random, days, txns, txn, index]   ; m data packs, in the order of `objects`:
    random  = bin                                      ;   6 m bytes
    days    = column of m                              ;   yyyymmdd
    txns    = bin                                      ;   16 bytes for each transaction once
    txn     = column of m                              ;   number of the transaction in txns
    index   = column of m
    packs   = nil | bin                                ; 8 bytes for each pack of pages
    others  = nil | [text ...]                         ; any other name

Rows refer to names by position: first data, then packs, then others. A name that follows the
pattern of `objects.data_pack` or `objects.page_pack` is never among the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from asynctensor.kvstores.repo import columns, objects
from asynctensor.kvstores.repo.fields import Fields, without_trailing_defaults

#: Length of a data pack's name in memory, and where its parts are.
_DATA_BYTES = 31
_RANDOM, _DAY, _TXN, _INDEX = slice(1, 7), slice(7, 11), slice(11, 27), slice(27, 31)

Names = tuple[bytes, ...]


def ordered(names: Sequence[bytes]) -> list[int]:
    """The positions of `names`, which are distinct short forms, in the order that is stored."""
    return sorted(range(len(names)), key=lambda position: names[position])


def pack(names: Sequence[bytes]) -> list[object] | None:
    """The table of `names`, which are in stored order."""
    data = [name for name in names if name[0] == 0x64]
    packs = [name[1:] for name in names if name[0] == 0x69]
    others = [name[1:].decode() for name in names if name[0] == 0x6F]
    fields: list[object] = [
        _pack_data(data) if data else None,
        b"".join(packs) if packs else None,
        others or None,
    ]
    return without_trailing_defaults(fields) or None


def _pack_data(names: list[bytes]) -> list[object]:
    rows = np.frombuffer(b"".join(names), dtype=np.uint8).reshape(len(names), _DATA_BYTES)
    txns, txn = np.unique(
        np.ascontiguousarray(rows[:, _TXN]).view("S16")[:, 0], return_inverse=True
    )
    return [
        rows[:, _RANDOM].tobytes(),
        columns.pack(_big_endian(rows[:, _DAY])),
        txns.tobytes(),
        columns.pack(txn.astype(np.uint64)),
        columns.pack(_big_endian(rows[:, _INDEX])),
    ]


def _big_endian(digits: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(digits).view(">u4")[:, 0].astype(np.uint64)


def unpack(fields: Fields, index: int) -> Names:
    """The names of the table that is element `index` of `fields`.

    Raises:
        DataLoss: It is no such table.
    """
    if fields.get(index) is None:
        return ()
    table = fields.array(index, "objects")
    data: list[bytes] = []
    if table.get(0) is not None:
        data = _unpack_data(table.array(0, "data packs", least=5))
    packs = table.binary(1, "packs of pages")
    size = objects.RANDOM_BYTES
    if len(packs) % size:
        table.fail(f"has {len(packs)} bytes for names of {size}")
    others = [_other(table, each) for each in _listed(table)]
    return (*data, *(b"i" + packs[at : at + size] for at in range(0, len(packs), size)), *others)


def _listed(table: Fields) -> list[str]:
    names = table.array(2, "other names")
    return [names.text(index, f"name {index}") for index in range(len(names))]


def _other(table: Fields, name: str) -> bytes:
    short = objects.packed(name)
    if short[0] != 0x6F or not 0 < len(name) <= objects.MAX_NAME:
        table.fail(f"has {name[:64]!r} among its other names")
    return short


def _unpack_data(data: Fields) -> list[bytes]:
    random = data.binary(0, "random parts")
    count, rest = divmod(len(random), objects.DATA_RANDOM_BYTES)
    txns = data.binary(2, "transactions")
    known, odd = divmod(len(txns), objects.TXN_BYTES)
    if rest or odd or not count or not known:
        data.fail(f"has {len(random)} bytes of random parts and {len(txns)} of transaction ids")
    rows = np.empty((count, _DATA_BYTES), dtype=np.uint8)
    rows[:, 0] = 0x64
    rows[:, _RANDOM] = np.frombuffer(random, dtype=np.uint8).reshape(count, -1)
    rows[:, _DAY] = _digits(columns.unpack(data, 1, "days", count, below=100_000_000))
    txn = columns.unpack(data, 3, "numbers of transactions", count, below=known)
    rows[:, _TXN] = np.frombuffer(txns, dtype=np.uint8).reshape(known, -1)[txn.astype(np.intp)]
    rows[:, _INDEX] = _digits(columns.unpack(data, 4, "numbers of packs", count, below=10**9))
    flat = rows.tobytes()
    return [flat[at : at + _DATA_BYTES] for at in range(0, len(flat), _DATA_BYTES)]


def _digits(values: NDArray[np.uint64]) -> NDArray[np.uint8]:
    return values.astype(">u4").view(np.uint8).reshape(len(values), 4)
