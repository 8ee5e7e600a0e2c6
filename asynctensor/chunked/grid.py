"""Which chunks a view touches, and which elements of each: pure planning, in constant memory.

A `Partition` is the product of a view's independent dimension groups (`dim_sets`). Its cells are
produced on demand, so that the first can be fetched before the last is known, and a plan over a
million chunks holds no million of anything.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Self, TypeAlias, TypeVar, cast

from asynctensor.chunked.codec import Array
from asynctensor.chunked.dim_sets import DimSet, aligned_sets, dim_sets
from asynctensor.chunked.index_set import IndexSet
from asynctensor.chunked.rows import copy_rows
from asynctensor.chunked.segment import Segment, Term, points_of
from asynctensor.chunked.strided_set import ConstantSet, StridedSet

#: One touched cell: a segment of every group, in the order of `Partition.sets`.
Cell: TypeAlias = tuple[Segment, ...]

T = TypeVar("T")

#: Segments made at once per group; bounds what a plan holds, and amortises its Python overhead.
_BLOCK = 512


class Partition:
    """The cells of a regular grid that a view touches.

    Attributes:
        sets: The independent groups of dimensions.
        rank: Rank of the array.
        view_shape: Shape of the view.
        count: Number of touched cells.
        within: Of a view of one cell, what of its inner chunks it touches, once somebody has asked:
            the shard's layout, and those parts (`shard_read.inner_parts`).
    """

    __slots__ = (
        "_by_in", "_by_out", "_expand", "_inverse", "_only", "_perm", "_plain", "_squeeze", "count",
        "keeps_order", "rank", "sets", "view_shape", "within",
    )  # fmt: skip

    def __init__(self, sets: Sequence[DimSet], rank: int, view_shape: tuple[int, ...]) -> None:
        self.sets = tuple(sets)
        self.rank = rank
        self.view_shape = view_shape
        self.count = math.prod(s.count for s in self.sets)
        self._by_out = _places(self.sets, rank, out=True)
        self._by_in = _places(self.sets, len(view_shape), out=False)
        arrays = [s for s in self.sets if isinstance(s, IndexSet)]
        constants = any(isinstance(s, ConstantSet) for s in self.sets)
        # Slices, with at most one index array and no integer beside it, keep NumPy's axes in
        # place; everything else is done with a full set of index arrays.
        self._plain = not arrays or (
            len(arrays) == 1
            and not constants
            and len(arrays[0].in_dims) == len(arrays[0].out_dims) == 1
        )
        order = [
            s.in_dims[0]
            for s in (self.sets[k] for k, _ in self._by_out)
            if isinstance(s, StridedSet | IndexSet)
        ]
        self._only: Cell | None = None
        self.within: tuple[object, Sequence[tuple[int, Partition, Cell]]] | None = None
        self._perm: tuple[int, ...] | None = None
        self._inverse: tuple[int, ...] = ()
        self._expand: tuple[slice | None, ...] | None = None
        self._squeeze: tuple[slice | int, ...] | None = None
        if self._plain:
            perm = tuple(sorted(range(len(order)), key=order.__getitem__))
            if perm != tuple(range(len(perm))):
                self._perm = perm
                self._inverse = tuple(sorted(range(len(perm)), key=perm.__getitem__))
            if len(order) != len(view_shape):
                used = set(order)
                dims = range(len(view_shape))
                self._expand = tuple(slice(None) if d in used else None for d in dims)
                self._squeeze = tuple(slice(None) if d in used else -1 for d in dims)

        #: Whether chunk and view have the same axes, in the same order, without index arrays.
        self.keeps_order = (
            self._plain
            and self._perm is None
            and self._expand is None
            and all([isinstance(s, StridedSet) for s in self.sets])
        )

    @classmethod
    def of(cls, transform: Any, chunk_shape: Sequence[int], extents: Sequence[int]) -> Self:
        """Splits `transform`'s view of an array of shape `extents` by chunks of `chunk_shape`.

        Raises:
            OutOfRange: The view leaves the array.
        """
        aligned = aligned_sets(transform, chunk_shape, extents)
        if aligned is not None:
            return cls._of_aligned(aligned)
        sets = dim_sets(transform, chunk_shape, extents)
        return cls(sets, len(extents), tuple(transform.input_shape))

    @classmethod
    def _of_aligned(
        cls, sets: Sequence[StridedSet], view_shape: tuple[int, ...] | None = None
    ) -> Self:
        """`__init__` for one strided set per dimension, all in order.

        Args:
            sets: Of the array's dimensions.
            view_shape: Of the view; None: the sets are all of it.
        """
        self = cls.__new__(cls)
        self.sets = tuple(sets)
        self.rank = rank = len(sets)
        self.view_shape = tuple([s.length for s in sets]) if view_shape is None else view_shape
        count = 1
        for s in sets:
            count *= s.count
        self.count = count
        self._by_out = self._by_in = _in_order(rank)
        self._plain = self.keeps_order = True
        self._perm = self._expand = self._squeeze = self._only = self.within = None
        self._inverse = ()
        return self

    def cells(self) -> Iterator[Cell]:
        """Every touched cell once, in blocks of neighbours."""
        if self.count <= 1:
            if self.count:
                # Asked for again and again on the way of a small read.
                if self._only is None:
                    self._only = tuple(
                        [
                            s.leading() if isinstance(s, StridedSet) else s.segment(0)
                            for s in self.sets
                        ]
                    )
                yield self._only
            return
        blocks = [
            [range(i, min(i + _BLOCK, s.count)) for i in range(0, s.count, _BLOCK)]
            if s.count <= _BLOCK * _BLOCK
            else _Blocks(s.count)
            for s in self.sets
        ]
        made: list[tuple[range, list[Segment]] | None] = [None] * len(self.sets)
        for ranges in _product(blocks):
            lists = []
            for k, r in enumerate(ranges):
                known = made[k]
                if known is None or known[0] != r:
                    segment = self.sets[k].segment
                    known = made[k] = (r, [segment(i) for i in r])
                lists.append(known[1])
            yield from itertools.product(*lists)

    def index(self, cell: Cell) -> tuple[int, ...]:
        """The grid position of `cell`."""
        return tuple([cell[k].cell[i] for k, i in self._by_out])

    def touches(self, index: Sequence[int]) -> bool:
        """Whether the view has elements in the chunk at grid position `index`."""
        return all(s.touches(tuple(index[d] for d in s.out_dims)) for s in self.sets)

    def is_full(self, cell: Cell) -> bool:
        """Whether `cell` covers its whole chunk; one that the array ends in is never covered."""
        return all([segment.full for segment in cell])

    def is_whole(self, cell: Cell, shape: Sequence[int]) -> bool:
        """Whether `cell` is all of a chunk of `shape`, element by element in order."""
        for segment, n in zip(cell, shape, strict=True):
            term = segment.chunk[0]
            if segment.count != n or not isinstance(term, slice) or (term.step or 1) != 1:
                return False
        return True

    def box(self, cell: Cell) -> tuple[slice, ...] | None:
        """The elements of its chunk that `cell` has, if they are a box."""
        found: list[slice] = []
        for k, i in self._by_out:
            term = cell[k].chunk[i]
            if isinstance(term, int):
                found.append(slice(term, term + 1))
            elif not isinstance(term, slice) or (term.step or 1) != 1:
                return None
            else:
                found.append(slice(term.start, term.stop))
        return tuple(found)

    def finer(self, cell: Cell, sizes: Sequence[int]) -> Partition:
        """The part of the view in `cell`, on a finer grid whose origin is that of the cell."""
        sets = [s.within(segment, sizes) for s, segment in zip(self.sets, cell, strict=True)]
        if self._by_out is _in_order(self.rank):
            # They are of the same kinds.
            return self._of_aligned(cast("list[StridedSet]", sets), self.view_shape)
        return Partition(sets, self.rank, self.view_shape)

    def size(self, cell: Cell) -> int:
        """Number of elements of the view in `cell`."""
        return math.prod([segment.count for segment in cell])

    def view_part(self, data: Array, cell: Cell) -> Array | None:
        """The part of `data` (of the view's shape) that lies in `cell`, if it is one slice.

        Its axes are those of the chunk in order only if `keeps_order`.
        """
        if not self._plain:
            return None
        # The ellipsis keeps an array where there are no dimensions.
        part: Array = data[(*[cell[k].view[i] for k, i in self._by_in], ...)]
        return part

    def gather(self, chunk: Array, data: Array, cell: Cell) -> None:
        """Copies what the view shows of `chunk` into `data`, which has the view's shape."""
        if not self._plain:
            chunk_index, data_index = self._meshes(cell)
            data[data_index] = chunk[chunk_index]
            return
        part = chunk[tuple([cell[k].chunk[i] for k, i in self._by_out])]
        if self._perm is not None:
            part = part.transpose(self._perm)
        if self._expand is not None:
            part = part[self._expand]
        place = tuple([cell[k].view[i] for k, i in self._by_in])
        if self.keeps_order and place:
            copy_rows(data[place], part)
        else:
            data[place] = part

    def fill(self, value: Array, data: Array, cell: Cell) -> None:
        """Puts `value` (0-dimensional, or a whole chunk) wherever the view shows that of `cell`."""
        if value.ndim:
            self.gather(value, data, cell)
            return
        if self._plain:
            data[tuple([cell[k].view[i] for k, i in self._by_in])] = value
        else:
            data[self._meshes(cell)[1]] = value

    def scatter(self, data: Array, chunk: Array, cell: Cell) -> None:
        """Copies the part of `data` in `cell` into `chunk`; of several values the last stays."""
        if not self._plain:
            chunk_index, data_index = self._meshes(cell)
            last = tuple(
                m if self.sets[k].out_dims else m.take([-1], axis=k)
                for m, (k, _) in zip(data_index, self._by_in, strict=True)
            )
            chunk[chunk_index] = data[last]
            return
        part = data[tuple([cell[k].view[i] for k, i in self._by_in])]
        if self._squeeze is not None:
            part = part[self._squeeze]
        if self._perm is not None:
            part = part.transpose(self._inverse)
        place = tuple([cell[k].chunk[i] for k, i in self._by_out])
        if self.keeps_order and place:
            copy_rows(chunk[place], part)
        else:
            chunk[place] = part

    def _meshes(self, cell: Cell) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """Index arrays into chunk and view, one axis per group of dimensions."""
        rank = len(self.sets)

        def column(k: int, term: Term) -> Array:
            points = points_of(term, cell[k].count)
            return points.reshape([1] * k + [-1] + [1] * (rank - 1 - k))

        chunk_index = tuple(column(k, cell[k].chunk[i]) for k, i in self._by_out)
        data_index = tuple(column(k, cell[k].view[i]) for k, i in self._by_in)
        return chunk_index, data_index


@cache
def _in_order(rank: int) -> list[tuple[int, int]]:
    return [(k, 0) for k in range(rank)]


def _places(sets: Sequence[DimSet], rank: int, *, out: bool) -> list[tuple[int, int]]:
    """Per dimension: which set holds it, and as its how manieth."""
    places = [(0, 0)] * rank
    for k, s in enumerate(sets):
        for i, d in enumerate(s.out_dims if out else s.in_dims):
            places[d] = (k, i)
    return places


class _Blocks:
    """The blocks of a very long set, made as they are needed."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __iter__(self) -> Iterator[range]:
        for i in range(0, self._count, _BLOCK):
            yield range(i, min(i + _BLOCK, self._count))


def _product(blocks: Sequence[Iterable[T]]) -> Iterator[tuple[T, ...]]:
    """`itertools.product`, which would hold every element of every operand."""
    if not blocks:
        yield ()
        return
    for first in blocks[0]:
        for rest in _product(blocks[1:]):
            yield (first, *rest)


def product_of_ranges(ranges: Sequence[range]) -> Iterator[tuple[int, ...]]:
    """Positions in C order, none of which is held."""
    if math.prod([len(r) for r in ranges]) <= _BLOCK * _BLOCK:
        return itertools.product(*ranges)
    return _product(ranges)
