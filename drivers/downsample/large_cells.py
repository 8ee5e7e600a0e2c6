"""A cell that is too large to be held: reduced piece by piece, in constant memory.

Sums of integers are exact; those of floating-point numbers are taken piece by piece, and may differ
in the last digits from those of a cell that is held whole.
"""

from __future__ import annotations

from math import prod
from typing import Any, Final, Protocol

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.drivers.downsample.methods import reduced
from asynctensor.errors import ResourceExhausted

#: Cells up to this size are held whole.
HELD_BYTES: Final = 64 * 2**20
#: So are those of methods that need every element at once; larger ones are refused.
_MOST_BYTES: Final = 2**30


class Accumulator(Protocol):
    """What becomes of one cell."""

    def add(self, data: Array) -> None:
        """Takes a piece of the cell, which is not empty."""
        ...

    def result(self) -> Any:
        """The element that stands for the cell."""
        ...


def check_cells(factors: tuple[int, ...], itemsize: int, method: str) -> None:
    """Refuses cells that would have to be held whole, and are too large for that.

    Raises:
        ResourceExhausted: They are.
    """
    size = prod(factors) * itemsize
    if method in ("median", "mode") and size > _MOST_BYTES:
        raise ResourceExhausted(
            f'a cell has up to {size} bytes, and the method "{method}" needs all of them at once; '
            f"at most {_MOST_BYTES} are held. Use smaller factors, or the method "
            '"mean", "min" or "max"'
        )


def accumulator(method: str, kind: np.dtype[Any]) -> Accumulator | None:
    """What reduces a cell of this type piece by piece; None where it must be held whole."""
    if method in ("min", "max"):
        return _Extreme(method)
    if method != "mean":
        return None
    if kind.kind in "fcV" and kind.name not in ("int2", "int4"):
        return _FloatMean(kind)
    return _WholeMean(kind)


def _one(data: Array, method: str) -> Array:
    """One element of an array that is one cell."""
    block = data.reshape([each for size in data.shape for each in (1, size)])
    return reduced(block, method).reshape(())


class _Extreme:
    def __init__(self, method: str) -> None:
        self._method, self._found = method, np.empty(0)

    def add(self, data: Array) -> None:
        new = _one(data, self._method).reshape(1)
        if self._found.size:
            new = _one(np.concatenate([self._found, new]), self._method).reshape(1)
        self._found = new

    def result(self) -> Any:
        return self._found[0]


class _WholeMean:
    """Integers, rounded half to even; of bools the mode, of which a tie is False."""

    def __init__(self, kind: np.dtype[Any]) -> None:
        self._kind, self._sum, self._count = kind, 0, 0

    def add(self, data: Array) -> None:
        self._count += data.size
        if data.dtype.kind not in "iu":
            data = data.astype(np.int8)
        if data.dtype.itemsize < 8:
            self._sum += int(data.sum(dtype=np.int64))
        else:
            # Neither half leaves 64 bits, in a piece that can be held.
            low = int((data & data.dtype.type(0xFFFFFFFF)).sum(dtype=np.uint64))
            self._sum += (int((data >> data.dtype.type(32)).sum(dtype=np.int64)) << 32) + low

    def result(self) -> Any:
        if self._kind.kind == "b":
            return self._sum * 2 > self._count
        whole, rest = divmod(self._sum, self._count)
        up = rest * 2 > self._count or (rest * 2 == self._count and whole % 2 == 1)
        return np.array(whole + up).astype(self._kind)[()]


class _FloatMean:
    def __init__(self, kind: np.dtype[Any]) -> None:
        self._kind, self._count = kind, 0
        wide = kind if kind.itemsize >= 4 and kind.kind in "fc" else np.dtype(np.float32)
        self._sum = wide.type(0)

    def add(self, data: Array) -> None:
        self._count += data.size
        with np.errstate(all="ignore"):
            self._sum = self._sum + data.sum(dtype=self._sum.dtype)

    def result(self) -> Any:
        with np.errstate(all="ignore"):
            return np.array(self._sum / self._sum.dtype.type(self._count)).astype(self._kind)[()]
