"""Where the chunks of a virtual array begin and end: TensorStore's rules."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from asynctensor.chunked.chunk_choice import choose_chunk_shape
from asynctensor.chunked.codec import Array
from asynctensor.errors import InvalidArgument
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.interval import UNBOUNDED_MAX, UNBOUNDED_MIN
from asynctensor.schema.chunk_layout import ChunkLayout
from asynctensor.schema.data_type import dtype as data_type
from asynctensor.schema.layout_state import LayoutState
from asynctensor.schema.schema import Schema


@dataclass(frozen=True, slots=True)
class VirtualLayout:
    """A regular grid over a domain that may be infinite. Chunks end where the domain does.

    Attributes:
        dtype: Data type of the elements.
        domain: With explicit bounds.
        chunk_shape: Size of a whole chunk.
        grid_origin: Where chunk 0 begins, per dimension.
        inner_order: Order of the dimensions in the memory of a chunk, slowest first.
        units: Per dimension, or empty.
    """

    dtype: data_type
    domain: IndexDomain
    chunk_shape: tuple[int, ...]
    grid_origin: tuple[int, ...]
    inner_order: tuple[int, ...]
    units: tuple[Any, ...] = ()

    @classmethod
    def of(cls, schema: Schema) -> VirtualLayout:
        """The layout that satisfies a schema.

        Raises:
            InvalidArgument: It leaves out the rank or the data type, contradicts itself, or
                constrains what a virtual array does not have.
        """
        if schema.rank is None:
            raise InvalidArgument("rank must be specified")
        if schema.dtype is None:
            raise InvalidArgument("dtype must be specified")
        if schema.fill_value is not None:
            raise InvalidArgument("fill_value not supported")
        domain = schema.domain
        domain = IndexDomain(schema.rank) if domain is None else domain
        domain = domain.mark_bounds_implicit[False]
        state = schema.chunk_layout.state.with_rank(schema.rank)
        if any(size is not None and size.hard for size in state.codec.shape):
            raise InvalidArgument("codec_chunk_shape not supported")
        shape = _chunk_shape(state, domain)
        order = state.inner_order
        return cls(
            schema.dtype,
            domain,
            shape,
            _grid_origin(state, domain, shape),
            tuple(range(schema.rank)) if order is None else order.value,
            schema.dimension_units or (),
        )

    def schema(self) -> Schema:
        """All of it, as a schema."""
        rank = self.domain.rank
        layout = ChunkLayout(rank=rank)
        if rank:
            layout.update(
                inner_order=self.inner_order,
                grid_origin=self.grid_origin,
                write_chunk_shape=self.chunk_shape,
                read_chunk_shape=self.chunk_shape,
            )
        schema = Schema(dtype=self.dtype, domain=self.domain, chunk_layout=layout)
        if any(unit is not None for unit in self.units):
            schema.update(dimension_units=self.units)
        return schema

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a whole chunk."""
        return math.prod(self.chunk_shape) * self.dtype.numpy_dtype.itemsize

    def bounds(self, cell: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """First index, and one past the last, of the chunk at `cell`."""
        lower, upper = [], []
        for dim, k in enumerate(cell):
            size, origin = self.chunk_shape[dim], self.grid_origin[dim]
            lower.append(max(origin + k * size, self.domain.inclusive_min[dim]))
            upper.append(min(origin + (k + 1) * size, self.domain.exclusive_max[dim]))
        return tuple(lower), tuple(upper)

    def cell_domain(self, cell: tuple[int, ...]) -> IndexDomain:
        """The domain of the chunk at `cell`, with the labels of the array."""
        lower, upper = self.bounds(cell)
        return IndexDomain(inclusive_min=lower, exclusive_max=upper, labels=self.domain.labels)

    def new_chunk(self, cell: tuple[int, ...]) -> Array:
        """Memory for the chunk at `cell`: contiguous in `inner_order`, all zero."""
        lower, upper = self.bounds(cell)
        shape = tuple(high - low for low, high in zip(lower, upper, strict=True))
        memory = np.zeros([shape[dim] for dim in self.inner_order], self.dtype.numpy_dtype)
        return memory.transpose(np.argsort(self.inner_order)) if shape else memory


def _chunk_shape(state: LayoutState, domain: IndexDomain) -> tuple[int, ...]:
    try:
        grid = state.read.merged(state.write)
    except InvalidArgument as error:
        raise InvalidArgument(
            "Failed to compute chunk grid: write_chunk constraints not compatible with existing "
            f"read_chunk constraints: {error.message}"
        ) from error
    for dim, size in enumerate(grid.shape):
        lower, upper = domain.inclusive_min[dim], domain.exclusive_max[dim]
        infinite = lower <= UNBOUNDED_MIN or upper >= UNBOUNDED_MAX
        if size is not None and size.value == -1 and infinite:
            raise InvalidArgument(
                f"Failed to compute chunk grid: Cannot match chunk size for dimension {dim} to "
                f"unbounded domain {domain[dim]}"
            )
    if not grid.shape and domain.rank:
        grid = replace(grid, shape=(None,) * domain.rank)
    return choose_chunk_shape(grid, tuple(domain.shape))


def _grid_origin(
    state: LayoutState, domain: IndexDomain, shape: tuple[int, ...]
) -> tuple[int, ...]:
    given = state.grid_origin or (None,) * domain.rank
    found = []
    for dim, origin in enumerate(given):
        lower = domain.inclusive_min[dim]
        if origin is not None:
            found.append(origin.value)
        else:
            found.append(0 if lower <= UNBOUNDED_MIN else lower % shape[dim])
    return tuple(found)
