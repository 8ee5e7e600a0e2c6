"""Groups of dimensions whose segments follow from arithmetic: nothing is kept for each point."""

from __future__ import annotations

from collections.abc import Sequence

from asynctensor.chunked.segment import Segment


class StridedSet:
    """One input dimension ``x`` in [low, high), at ``offset + stride * x`` of one array dimension.

    Attributes:
        in_dims: The input dimension.
        out_dims: The array dimension.
        count: Number of cells touched.
    """

    __slots__ = (
        "_first", "_high", "_leading", "_low", "_offset", "_origin", "_size", "_stride", "count",
        "in_dims", "out_dims",
    )  # fmt: skip

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        offset: int,
        stride: int,
        low: int,
        high: int,
        origin: int,
        size: int,
    ) -> None:
        self.in_dims = (in_dim,)
        self.out_dims = (out_dim,)
        self._offset, self._stride = offset, stride
        self._low, self._high, self._origin = low, high, origin
        self._size = size
        self._leading: Segment | None = None
        first = offset + stride * low
        last = offset + stride * (high - 1)
        self._first = first // size
        if high <= low:
            self.count = 0
        elif abs(stride) <= size:
            self.count = abs(last // size - self._first) + 1
        else:
            self.count = high - low

    @property
    def length(self) -> int:
        """Number of positions."""
        return self._high - self._low

    def leading(self) -> Segment:
        """The first segment, kept for who asks again."""
        if self._leading is None:
            self._leading = self.segment(0)
        return self._leading

    def segment(self, i: int) -> Segment:
        """The `i`-th segment in order of the input dimension."""
        offset, stride, size = self._offset, self._stride, self._size
        if stride == 1:
            cell = self._first + i
            low = max(self._low, cell * size - offset)
            high = min(self._high, (cell + 1) * size - offset)
        elif abs(stride) > size:
            low = self._low + i
            high = low + 1
            cell = (offset + stride * low) // size
        elif stride > 0:
            cell = self._first + i
            low = max(self._low, -((offset - cell * size) // stride))
            high = min(self._high, -((offset - (cell + 1) * size) // stride))
        else:
            cell = self._first - i
            low = max(self._low, (offset - (cell + 1) * size) // -stride + 1)
            high = min(self._high, (offset - cell * size) // -stride + 1)
        start = offset + stride * low - cell * size
        count = high - low
        stop: int | None = start + stride * (count - 1) + (1 if stride > 0 else -1)
        if stop is not None and stop < 0:
            stop = None
        full = count == size and (stride in (1, -1) or count == 1)
        return Segment(
            (cell,),
            (slice(start, stop, stride),),
            (slice(low - self._origin, high - self._origin),),
            count,
            full,
            low,
            high,
        )

    def whole(self) -> range:
        """Which segments are all of their cell, element by element in order."""
        if self._stride != 1 or not self.count:
            return range(0)
        begins = self._first * self._size - self._offset
        first = 0 if begins >= self._low else 1
        ends = begins + self.count * self._size
        stop = self.count if ends <= self._high else self.count - 1
        return range(first, max(first, stop))

    def touches(self, cell: tuple[int, ...]) -> bool:
        """Whether a segment lies in `cell`."""
        if not self.count:
            return False
        begin, end = cell[0] * self._size - self._offset, (cell[0] + 1) * self._size - self._offset
        # Positions x with begin <= stride * x < end.
        if self._stride > 0:
            low, high = -(-begin // self._stride), -(-end // self._stride)
        else:
            low, high = -end // -self._stride + 1, -begin // -self._stride + 1
        return max(low, self._low) < min(high, self._high)

    def within(self, segment: Segment, sizes: Sequence[int]) -> StridedSet:
        """The part in `segment`, on a finer grid that starts where its cell starts."""
        (cell,) = segment.cell
        begin = cell * self._size
        return StridedSet(
            self.in_dims[0],
            self.out_dims[0],
            self._offset - begin,
            self._stride,
            segment.low,
            segment.high,
            self._origin,
            sizes[self.out_dims[0]],
        )


class ConstantSet:
    """One array dimension at a fixed index."""

    __slots__ = ("_index", "_size", "count", "in_dims", "out_dims")

    def __init__(self, out_dim: int, index: int, size: int) -> None:
        self.in_dims: tuple[int, ...] = ()
        self.out_dims = (out_dim,)
        self.count = 1
        self._index, self._size = index, size

    def segment(self, i: int) -> Segment:
        """The only segment."""
        cell, index = divmod(self._index, self._size)
        return Segment((cell,), (index,), (), 1, self._size == 1)

    def touches(self, cell: tuple[int, ...]) -> bool:
        """Whether `cell` is its cell."""
        return self._index // self._size == cell[0]

    def within(self, segment: Segment, sizes: Sequence[int]) -> ConstantSet:
        """The same on a finer grid that starts where the segment's cell starts."""
        out_dim = self.out_dims[0]
        begin = segment.cell[0] * self._size
        return ConstantSet(out_dim, self._index - begin, sizes[out_dim])


class UnusedSet:
    """One input dimension that no array dimension depends on: its positions share their data."""

    __slots__ = ("_length", "count", "in_dims", "out_dims")

    def __init__(self, in_dim: int, length: int) -> None:
        self.in_dims = (in_dim,)
        self.out_dims: tuple[int, ...] = ()
        self.count = 1 if length > 0 else 0
        self._length = length

    def segment(self, i: int) -> Segment:
        """The only segment."""
        return Segment((), (), (slice(0, self._length),), self._length, True)

    def touches(self, cell: tuple[int, ...]) -> bool:
        """Whether there is anything at all."""
        return self.count > 0

    def within(self, segment: Segment, sizes: Sequence[int]) -> UnusedSet:
        """Itself: a grid does not matter to it."""
        return self
