"""One field of an array of records, as an array of its own; or the bytes of whole elements.

A field is read and written as the bytes that it has in each element, through a driver of these, so
that writing one leaves the others alone, under all the rules that hold for parts of chunks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from asynctensor.chunked.adapter import AdapterDriver
from asynctensor.chunked.array_driver import ArrayDriver, ProgressFunction, ResizeRequest
from asynctensor.chunked.bytes_format import BytesFormat
from asynctensor.chunked.codec import Array
from asynctensor.chunked.destination import Into, order_of, output
from asynctensor.chunked.driver import ChunkedDriver
from asynctensor.chunked.schema_match import finished_layout
from asynctensor.chunked.source import shaped_source
from asynctensor.errors import FailedPrecondition, Unimplemented
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.output_map import OutputIndexMap
from asynctensor.index_space.transform import IndexTransform
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.clock import Deadline
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.runtime.write_futures import WriteFutures
from asynctensor.schema.data_type import dtype
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
        Unimplemented: It is an array of numbers itself.
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
        if stored.subdtype is not None and stored.base.itemsize > 1:
            raise Unimplemented(
                f'the field "{name}" is an array itself; read whole records, and take it from them'
            )
        self._stored = stored
        kind = stored.base.kind
        is_number = kind not in "SV" or stored.names
        is_small = stored.base.type.__module__.startswith("ml_dtypes")
        #: Bytes stay along a dimension of their own, as TensorStore has them.
        self._keeps_dimension = not (is_number or is_small)
        if self._keeps_dimension:
            self.data_type = dtype("char" if kind == "S" else "byte")
        else:
            self.data_type = dtype(stored)

    def _stored_record(self) -> np.dtype[Any]:
        record = self.chunks.format.record(self.chunks.metadata)
        if record is None or not record.names:
            raise FailedPrecondition(
                'the array is not one of records; open it without "field"', array=self.below.driver
            )
        return record

    def _below(self, transform: IndexTransform) -> IndexTransform:
        """The same view of the bytes, in which the field's come last."""
        maps = [
            m
            if m.index_array is None
            else OutputIndexMap(
                offset=m.offset,
                stride=m.stride,
                index_array=m.index_array[..., np.newaxis],
                index_range=m.index_range,
            )
            for m in transform.output
        ]
        maps.append(
            OutputIndexMap(offset=self._offset, stride=1, input_dimension=transform.input_rank)
        )
        return IndexTransform(domain=self._extended(transform.domain), output=maps)

    def _extended(self, domain: IndexDomain) -> IndexDomain:
        return IndexDomain(
            inclusive_min=[*domain.inclusive_min, 0],
            exclusive_max=[*domain.exclusive_max, self._stored.itemsize],
            implicit_lower_bounds=[*domain.implicit_lower_bounds, False],
            implicit_upper_bounds=[*domain.implicit_upper_bounds, False],
            labels=[*domain.labels, ""],
        )

    def _shifted(self, transform: IndexTransform) -> IndexTransform:
        """The same view of the bytes: those of the field begin at its offset."""
        *others, last = transform.output
        offset = last.offset + self._offset
        if last.index_array is not None:
            moved = OutputIndexMap(
                offset=offset,
                stride=last.stride,
                index_array=last.index_array,
                index_range=last.index_range,
            )
        elif last.input_dimension is not None:
            moved = OutputIndexMap(
                offset=offset, stride=last.stride, input_dimension=last.input_dimension
            )
        else:
            moved = OutputIndexMap(offset=offset)
        return IndexTransform(domain=transform.domain, output=[*others, moved])

    # -- the contract -----------------------------------------------------------------------

    def inner(self, transform: IndexTransform) -> IndexTransform:
        return self._shifted(transform) if self._keeps_dimension else self._below(transform)

    def transform(self) -> IndexTransform:
        below = self.below.transform()
        size = self._stored.itemsize
        domain = below.domain
        kept = [size] if self._keeps_dimension else []
        rank = domain.rank - 1
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
        layout = order_of(into) if self._keeps_dimension else "C"
        found = self.below.read(self.inner(transform), layout, limit, progress, batch)
        if found.done() and found.exception() is None:
            return Future.resolved(self._joined(found.result(), into))
        return start(self._joined_later, found, into)

    async def _joined_later(self, found: Future[Array], into: Into) -> Array:
        return await self.chunks.pools.workers.run(self._joined, await found, into)

    def _joined(self, data: Array, into: Into) -> Array:
        native = self.data_type.numpy_dtype
        if self._keeps_dimension:
            whole = data.view(native)
            if isinstance(into, str):
                return whole
        else:
            whole = data.view(self._stored.base).reshape(data.shape[:-1])
        found = output(whole.shape, native, into)
        found[...] = whole
        return found

    def write(
        self,
        transform: IndexTransform,
        source: Array,
        limit: Deadline,
        progress: ProgressFunction | None,
    ) -> WriteFutures:
        if self._keeps_dimension:
            data = source.astype("S1" if self.data_type.name == "char" else "V1").view("V1")
            return self.below.write(self.inner(transform), data, limit, progress)
        whole = shaped_source(source, transform.domain)
        stored = np.array(whole, self._stored.base, order="C")
        data = stored.reshape(-1).view("V1").reshape((*stored.shape, self._stored.itemsize))
        return self.below.write(self.inner(transform), data, limit, progress)

    async def resize(self, request: ResizeRequest, progress: ProgressFunction | None) -> None:
        upper = request.exclusive_max
        if not self._keeps_dimension:
            upper = (*upper, None)
        elif upper[-1] not in (None, self._stored.itemsize):
            raise FailedPrecondition("the bytes of a field cannot be resized")
        else:
            upper = (*upper[:-1], None)
        await self.below.resize(replace(request, exclusive_max=upper), progress)

    async def grow(self, dimension: int, count: int) -> int:
        return await self.below.grow(dimension, count)

    def schema(self) -> Schema:
        whole = self.below.schema()
        domain = self.transform().domain
        rank = domain.rank - self._keeps_dimension
        hidden = [self._stored.itemsize] * self._keeps_dimension
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
        size = self._stored.itemsize
        data = np.ascontiguousarray(whole).reshape(-1)[self._offset : self._offset + size]
        if self._keeps_dimension:
            return data.view(self.data_type.numpy_dtype)
        return data.view(self._stored.base)[0:1].astype(self.data_type.numpy_dtype).reshape(())


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
        FailedPrecondition, Unimplemented: There is no such part.
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
