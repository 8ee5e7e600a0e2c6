"""One field of an array of records, as an array of its own; or the bytes of whole elements.

A field is read and written as the bytes that it has in each element, through a driver of these, so
that writing one leaves the others alone, under all the rules that hold for parts of chunks. A field
that is an array itself has its dimensions after those of the array, and bytes and characters have
one for themselves, as in TensorStore.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from asynctensor.chunked.adapter import AdapterDriver
from asynctensor.chunked.array_driver import ArrayDriver, ProgressFunction, ResizeRequest
from asynctensor.chunked.bytes_format import BytesFormat
from asynctensor.chunked.codec import Array
from asynctensor.chunked.destination import Into, output
from asynctensor.chunked.driver import ChunkedDriver
from asynctensor.chunked.part import Part, is_bytes, part_type
from asynctensor.chunked.schema_match import finished_layout
from asynctensor.chunked.source import shaped_source
from asynctensor.errors import FailedPrecondition, OutOfRange
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.output_map import OutputIndexMap
from asynctensor.index_space.transform import IndexTransform
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.clock import Deadline
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.runtime.write_futures import WriteFutures
from asynctensor.schema.schema import Schema
from asynctensor.storage.kvstore import Json


class PartDriver(AdapterDriver):
    """What both have in common: a driver of bytes below, whose options say which part it is.

    Args:
        bytes_driver: Sees the array as bytes along its last dimension.
        said: The members of the spec that say which part.
    """

    def __init__(self, bytes_driver: ChunkedDriver[Any], said: dict[str, Json]) -> None:
        super().__init__(bytes_driver)
        self.chunks, self.said = bytes_driver, said
        self.driver = bytes_driver.driver

    def over(self, below: ArrayDriver) -> ArrayDriver:
        assert isinstance(below, ChunkedDriver)
        return type(self)(below, self.said)

    def spec_json(self) -> dict[str, Json]:
        return {**self.below.spec_json(), **self.said}

    def base(self, transform: IndexTransform) -> None:
        """To users it is no adapter."""


class FieldDriver(PartDriver):
    """One field.

    Args:
        bytes_driver: Sees the records as bytes along its last dimension.
        said: ``{"field": name}``, or empty for the only field that there is.

    Raises:
        FailedPrecondition: There is no such field.
    """

    def __init__(self, bytes_driver: ChunkedDriver[Any], said: dict[str, Json]) -> None:
        super().__init__(bytes_driver, said)
        self._record = self._stored_record()
        name = str(said.get("field", (self._record.names or ("",))[0]))
        fields = _fields_of(self._record)
        if name not in fields:
            raise FailedPrecondition(
                f'Requested field "{name}" is not one of: {[*(self._record.names or ())]}'
            )
        stored, self._offset = fields[name]
        part = part_type(Part(name), self._record)
        self.data_type, self._shape = part.element, part.hidden_shape
        #: One element of the field as it is stored.
        self._unit = part.element.numpy_dtype if is_bytes(stored.base) else stored.base
        self._bytes = stored.itemsize

    def _stored_record(self) -> np.dtype[Any]:
        record = self.chunks.format.record(self.chunks.metadata)
        if record is None or not record.names:
            raise FailedPrecondition(
                'the array is not one of records; open it without "field"', array=self.below.driver
            )
        return record

    def _is_flat(self, transform: IndexTransform) -> bool:
        """Whether a view has all of the field's own dimensions, as they are, at its end."""
        rank = transform.input_rank - len(self._shape)
        inner = transform.output[len(transform.output) - len(self._shape) :]
        if rank < 0 or any(
            m.input_dimension != rank + axis or (m.offset, m.stride) != (0, 1)
            for axis, m in enumerate(inner)
        ):
            return False
        domain = transform.domain
        if any(domain.inclusive_min[rank:]) or domain.exclusive_max[rank:] != self._shape:
            return False
        outer = transform.output[: len(transform.output) - len(self._shape)]
        return all(
            m.input_dimension is None or m.input_dimension < rank
            if m.index_array is None
            else m.index_array.shape[rank:] == (1,) * len(self._shape)
            for m in outer
        )

    def _flat(self, transform: IndexTransform) -> IndexTransform:
        """The same view of the bytes, in which all those of the field come last."""
        rank = transform.input_rank - len(self._shape)
        maps = [
            m
            if m.index_array is None
            else _with_array(m, m.index_array.reshape((*m.index_array.shape[:rank], 1)))
            for m in transform.output[: len(transform.output) - len(self._shape)]
        ]
        maps.append(OutputIndexMap(offset=self._offset, stride=1, input_dimension=rank))
        domain = _extended(transform.domain, rank, self._bytes)
        return IndexTransform(domain=domain, output=maps)

    def _scattered(self, transform: IndexTransform) -> IndexTransform:
        """The same view of the bytes, in which those of each element come last.

        Raises:
            OutOfRange: It leaves the field.
        """
        maps = [
            m if m.index_array is None else _with_array(m, m.index_array[..., np.newaxis])
            for m in transform.output[: len(transform.output) - len(self._shape)]
        ]
        place = np.zeros((1,) * transform.input_rank, np.int64)
        for size, each in zip(self._shape, transform.output[len(maps) :], strict=True):
            index = _indices(each, transform.domain)
            if index.size and (index.min() < 0 or index.max() >= size):
                raise OutOfRange(
                    f"indices {index.min()} to {index.max()} are not in a dimension of the field "
                    f"of size {size}"
                )
            place = place * size + index
        of_bytes = np.arange(self._unit.itemsize)
        place = self._offset + place[..., np.newaxis] * self._unit.itemsize + of_bytes
        maps.append(OutputIndexMap(index_array=place))
        return IndexTransform(
            domain=_extended(transform.domain, transform.input_rank, self._unit.itemsize),
            output=maps,
        )

    # -- the contract -----------------------------------------------------------------------

    def inner(self, transform: IndexTransform) -> IndexTransform:
        return self._flat(transform) if self._is_flat(transform) else self._scattered(transform)

    def transform(self) -> IndexTransform:
        domain = self.below.transform().domain
        rank, kept = domain.rank - 1, self._shape
        return IndexTransform(
            IndexDomain(
                inclusive_min=[*domain.inclusive_min[:rank], *([0] * len(kept))],
                exclusive_max=[*domain.exclusive_max[:rank], *kept],
                implicit_lower_bounds=[False] * (rank + len(kept)),
                implicit_upper_bounds=[
                    *domain.implicit_upper_bounds[:rank],
                    *([False] * len(kept)),
                ],
                labels=[*domain.labels[:rank], *([""] * len(kept))],
            )
        )

    def read(
        self,
        transform: IndexTransform,
        into: Into,
        limit: Deadline,
        progress: ProgressFunction | None,
        batch: Batch | None,
    ) -> Future[Array]:
        # The bytes of an element lie together only in C order.
        found = self.below.read(self.inner(transform), "C", limit, progress, batch)
        # Of the bytes of one field, or of one element; and the array may have become smaller.
        inner = self._shape if self._is_flat(transform) else ()
        if found.done() and found.exception() is None:
            return Future.resolved(self._joined(found.result(), inner, into))
        return start(self._joined_later, found, inner, into)

    async def _joined_later(
        self, found: Future[Array], inner: tuple[int, ...], into: Into
    ) -> Array:
        return await self.chunks.pools.workers.run(self._joined, await found, inner, into)

    def _joined(self, data: Array, inner: tuple[int, ...], into: Into) -> Array:
        shape = (*data.shape[:-1], *inner)
        whole = data.reshape(-1).view(self._unit).reshape(shape)
        if isinstance(into, str) and into == "C" and whole.dtype == self.data_type.numpy_dtype:
            return whole
        found = output(shape, self.data_type.numpy_dtype, into)
        found[...] = whole
        return found

    def write(
        self,
        transform: IndexTransform,
        source: Array,
        limit: Deadline,
        progress: ProgressFunction | None,
    ) -> WriteFutures:
        inner = self.inner(transform)
        whole = shaped_source(source, transform.domain)
        if 0 in inner.domain.shape:
            whole = np.empty(transform.domain.shape, self._unit)
        data = np.array(whole, self._unit, order="C").reshape(-1).view("V1")
        return self.below.write(inner, data.reshape(inner.domain.shape), limit, progress)

    async def resize(self, request: ResizeRequest, progress: ProgressFunction | None) -> None:
        upper = request.exclusive_max
        rank = len(upper) - len(self._shape)
        own = zip(upper[rank:], self._shape, strict=True)
        if any(bound not in (None, size) for bound, size in own):
            raise FailedPrecondition("the dimensions of a field cannot be resized")
        await self.below.resize(replace(request, exclusive_max=(*upper[:rank], None)), progress)

    async def grow(self, dimension: int, count: int) -> int:
        return await self.below.grow(dimension, count)

    def schema(self) -> Schema:
        whole = self.below.schema()
        domain = self.transform().domain
        hidden = self._shape
        rank = domain.rank - len(hidden)
        layout = whole.chunk_layout
        write, read = layout.write_chunk.shape or (), layout.read_chunk.shape or ()
        order = [axis for axis in layout.inner_order or () if axis < rank]
        found = Schema(
            dtype=self.data_type,
            domain=domain,
            chunk_layout=finished_layout(
                [*map(_known, write[:rank]), *hidden],
                [*map(_known, read[:rank]), *hidden],
                [*order, *range(rank, rank + len(hidden))],
            ),
            codec=whole.codec,
        )
        if whole.fill_value is not None:
            found.update(fill_value=self._fill(np.asarray(whole.fill_value)))
        units = whole.dimension_units
        if units is not None and any(units):
            found.update(dimension_units=[*units[:rank], *(None for _ in hidden)])
        return found

    def _fill(self, whole: Array) -> Array:
        data = np.ascontiguousarray(whole).reshape(-1)[self._offset : self._offset + self._bytes]
        return data.view(self._unit).astype(self.data_type.numpy_dtype).reshape(self._shape)


def _with_array(each: OutputIndexMap, array: Array) -> OutputIndexMap:
    return OutputIndexMap(
        offset=each.offset,
        stride=each.stride,
        index_array=array,
        index_range=each.index_range,
    )


def _indices(each: OutputIndexMap, domain: IndexDomain) -> Array:
    """The output indices of a map, of the rank of the domain, with sizes of 1 where they repeat."""
    shape = [1] * domain.rank
    if each.index_array is not None:
        return each.offset + (each.stride or 0) * each.index_array
    if each.input_dimension is None:
        return np.full(shape, each.offset, np.int64)
    axis = each.input_dimension
    shape[axis] = domain.shape[axis]
    values = np.arange(domain.inclusive_min[axis], domain.exclusive_max[axis], dtype=np.int64)
    return (each.offset + (each.stride or 0) * values).reshape(shape)


def _extended(domain: IndexDomain, rank: int, size: int) -> IndexDomain:
    """The first `rank` dimensions of `domain`, and one of bytes."""
    return IndexDomain(
        inclusive_min=[*domain.inclusive_min[:rank], 0],
        exclusive_max=[*domain.exclusive_max[:rank], size],
        implicit_lower_bounds=[*domain.implicit_lower_bounds[:rank], False],
        implicit_upper_bounds=[*domain.implicit_upper_bounds[:rank], False],
        labels=[*domain.labels[:rank], ""],
    )


def _fields_of(record: np.dtype[Any]) -> dict[str, tuple[np.dtype[Any], int]]:
    """The type of each field, and where its bytes begin."""
    return {name: (field[0], field[1]) for name, field in (record.fields or {}).items()}


def _known(size: int | None) -> int:
    assert size is not None
    return size


def part_of(driver: ChunkedDriver[Any], options: dict[str, Any]) -> ArrayDriver:
    """What a spec's ``field`` and ``open_as_void`` make of an array.

    Args:
        driver: The array, opened as a whole.
        options: Members of the spec.

    Raises:
        FailedPrecondition: There is no such part.
        Unimplemented: The elements have no bytes.
    """
    fmt: BytesFormat[Any] = BytesFormat(driver.format)
    below = ChunkedDriver(
        fmt,
        driver.store,
        driver.path,
        driver.format.as_bytes(driver.metadata),
        driver.generation,
        driver.options,
        driver.pools,
        driver.transaction,
    )
    if options.get("open_as_void"):
        return PartDriver(below, {"open_as_void": True})
    field = options.get("field")
    return FieldDriver(below, {} if field is None else {"field": field})
