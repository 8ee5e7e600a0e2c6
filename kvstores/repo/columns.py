"""Columns of unsigned integers and of byte strings inside a body.

A column of n integers is one of (little-endian; all sums modulo 2**64)::

    uint                            ; n times that number
    bin                             ; n numbers of w bytes, w = 1, 2, 4 or 8
    [base, bin]                     ; each is base + its number in bin
    [first, step]                   ; first, first + step, first + 2 step, ...
    [first, step, bin]              ; each is the one before + step + its of the n-1 numbers

and a column of n byte strings::

    [prefix, lengths, bin]          ; each is prefix + its part of bin; lengths is a column of n

The writer takes the shortest, so that equal columns are equal bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from asynctensor.kvstores.repo.fields import Fields

U64 = NDArray[np.uint64]

_WIDTHS = (1, 2, 4, 8)
_DTYPES = {width: np.dtype(f"<u{width}") for width in _WIDTHS}
_MODULUS = 1 << 64


def pack(values: NDArray[np.unsignedinteger]) -> object:
    """The column that holds `values`."""
    if not len(values):
        return 0
    low, high = int(values.min()), int(values.max())
    if low == high:
        return low
    if values.dtype != np.uint64:
        values = values.astype(np.uint64)
    width = _width(high - low)
    if len(values) > 2 or width == 8:
        stepped = _stepped(values, width)
        if stepped is not None:
            return stepped
    if width == _width(high):
        return values.astype(_DTYPES[width]).tobytes()
    return [low, (values - np.uint64(low)).astype(_DTYPES[width]).tobytes()]


def _stepped(values: U64, width: int) -> list[object] | None:
    """`values` by their differences, if that is shorter than `width` bytes each."""
    steps = np.diff(values).view(np.int64)
    least, most = int(steps.min()), int(steps.max())
    if least == most:
        return [int(values[0]), least % _MODULUS]
    narrow = _width(most - least)
    if narrow >= width:
        return None
    rest = (steps - np.int64(least)).astype(_DTYPES[narrow]).tobytes()
    return [int(values[0]), least % _MODULUS, rest]


def _width(largest: int) -> int:
    for width in _WIDTHS:
        if largest < 1 << 8 * width:
            return width
    return 8


def unpack(fields: Fields, index: int, what: str, count: int, *, below: int = 1 << 64) -> U64:
    """The column of `count` integers, each below `below`, that is element `index` of `fields`.

    The caller has made sure that `count` values fit what the body holds.

    Raises:
        DataLoss: It is no such column.
    """
    value = fields.get(index)
    if type(value) is bytes:
        values = _numbers(fields, what, value, count)
    elif type(value) is list:
        values = _sums(fields.array(index, what, least=2), count)
    else:
        # An absent one is 0 throughout.
        constant = fields.uint(index, what, below=below, default=0)
        return np.full(count, constant, dtype=np.uint64)
    if below < 1 << 64 and count and int(values.max()) >= below:
        fields.fail(f"has {int(values.max())} among its {what}, which must be below {below}")
    return values


def _sums(column: Fields, count: int) -> U64:
    first = np.uint64(column.uint(0, "first"))
    if len(column) == 2 and type(column.get(1)) is bytes:
        return first + _numbers(column, "numbers", column.binary(1, "numbers"), count)
    step = np.uint64(column.uint(1, "step"))
    values = np.full(count, step, dtype=np.uint64)
    if len(column) > 2:
        values[1:] += _numbers(column, "steps", column.binary(2, "steps"), max(count - 1, 0))
    if count:
        values[0] = first
    return np.cumsum(values, dtype=np.uint64)


def _numbers(fields: Fields, what: str, data: bytes, count: int) -> U64:
    width, rest = divmod(len(data), count) if count else (1, len(data))
    if rest or width not in _DTYPES:
        fields.fail(f"has {len(data)} bytes for {count} {what}")
    return np.frombuffer(data, dtype=_DTYPES[width]).astype(np.uint64)


def pack_strings(strings: Sequence[bytes], *, ascending: bool = False) -> list[object]:
    """The column that holds `strings`."""
    prefix = _shared([strings[0], strings[-1]] if ascending and strings else strings)
    skip = len(prefix)
    lengths = np.fromiter(map(len, strings), dtype=np.uint64, count=len(strings)) - np.uint64(skip)
    rest = b"".join([each[skip:] for each in strings]) if skip else b"".join(strings)
    return [prefix, pack(lengths), rest]


def unpack_strings(fields: Fields, index: int, what: str, count: int) -> list[bytes]:
    """The column of `count` byte strings that is element `index` of `fields`.

    Raises:
        DataLoss: It is no such column.
    """
    column = fields.array(index, what, least=3)
    prefix, rest = column.binary(0, "prefix"), column.binary(2, "bytes")
    # Prefixes are repeated in memory, so their sum is bounded too.
    if len(prefix) * count > 1 << 28:
        column.fail(f"has a prefix of {len(prefix)} bytes for {count} strings")
    lengths = unpack(column, 1, "lengths", count, below=len(rest) + 1)
    ends = np.zeros(count + 1, dtype=np.uint64)
    np.cumsum(lengths, out=ends[1:])
    if int(ends[-1]) != len(rest):
        column.fail(f"has {len(rest)} bytes, and lengths for {int(ends[-1])}")
    cuts: list[int] = ends.tolist()
    if not prefix:
        return [rest[start:stop] for start, stop in pairwise(cuts)]
    return [prefix + rest[start:stop] for start, stop in pairwise(cuts)]


def _shared(strings: Sequence[bytes]) -> bytes:
    """The longest prefix that all have: that of the least and the greatest."""
    if not strings:
        return b""
    low, high = min(strings), max(strings)
    length = 0
    while length < len(low) and low[length] == high[length]:
        length += 1
    return low[:length]
