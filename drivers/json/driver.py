"""``json``: a JSON document in a kvstore, or a part of it, as an array of rank 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from asynctensor.chunked.array_driver import (
    ArrayDriver,
    Progress,
    ProgressFunction,
    ResizeRequest,
)
from asynctensor.chunked.codec import Array
from asynctensor.chunked.destination import Into, output
from asynctensor.chunked.driver_request import DriverRequest
from asynctensor.chunked.explanation import Explanation
from asynctensor.chunked.source import shaped_source
from asynctensor.drivers.json.document import JsonDocument
from asynctensor.drivers.json.edit import Edit
from asynctensor.drivers.json.pointer import Tokens, find, format_pointer, parse_pointer
from asynctensor.drivers.json.spec import effective_schema
from asynctensor.drivers.json.staged import StagedEdits
from asynctensor.drivers.json.text import parse
from asynctensor.errors import Error, NotFound, Unimplemented
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.transform import IndexTransform
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.clock import SYSTEM_CLOCK, Deadline
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.runtime.write_futures import WriteFutures
from asynctensor.schema.data_type import dtype
from asynctensor.schema.json_element import copied
from asynctensor.schema.schema import Schema
from asynctensor.storage.directory import stat
from asynctensor.storage.kvstore import Json, KeyValueStore, ListEntry
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.transaction import Transaction


@dataclass(frozen=True, slots=True)
class JsonStatistics:
    """Nothing is counted of a single value."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Which part of which document, and when what is known of it will do.

    Attributes:
        recheck: As in the spec: always, never, or before this time (Unix seconds).
    """

    store: KeyValueStore
    key: str
    tokens: Tokens
    recheck: bool | float
    spec: dict[str, Json]
    schema: Schema


class JsonDriver(ArrayDriver):
    """One part of one document.

    Args:
        place: Which.
        document: What is known of it in this process.
        transaction: What reads and writes belong to.
    """

    driver = "json"
    data_type = dtype("json")

    def __init__(
        self, place: _Place, document: JsonDocument, transaction: Transaction | None
    ) -> None:
        self._place, self._document, self.transaction = place, document, transaction
        store = place.store
        self._view = store if transaction is None else StagedStore(store, transaction)

    def transform(self) -> IndexTransform:
        return IndexTransform(input_rank=0)

    def read(
        self,
        transform: IndexTransform,
        into: Into,
        limit: Deadline,
        progress: ProgressFunction | None,
        batch: Batch | None,
    ) -> Future[Array]:
        async def done() -> Array:
            try:
                value = await self._value()
            except Error as error:
                error.located(key=self._place.key, operation="read")
                raise
            found = output(tuple(transform.input_shape), np.dtype(object), into)
            for index in np.ndindex(found.shape):
                # Whoever changes one of them changes no other, and nothing that is kept here.
                found[index] = copied(value)
            if progress is not None:
                await self._document.call(progress, Progress("read", 1, 1))
            return found

        return start(done, timeout=None if limit.never else limit.remaining())

    async def _value(self) -> Any:
        if isinstance(self._view, StagedStore):
            read = await self._view.read(self._place.key)
            exists = read.state == "value"
            value = parse(read.value) if exists else None
        else:
            exists, value = await self._document.value(_since(self._place.recheck))
        if not exists:
            raise NotFound("there is no such JSON document; writing to it makes one")
        return find(value, self._place.tokens)

    def write(
        self,
        transform: IndexTransform,
        source: Array,
        limit: Deadline,
        progress: ProgressFunction | None,
    ) -> WriteFutures:
        values = shaped_source(source, transform.domain).reshape(-1)
        # All elements of a view are the one value: the last one stays.
        edits = [Edit(self._place.tokens, copied(each)) for each in values[-1:]]

        async def done() -> None:
            try:
                for edit in edits:
                    await self._document.edit(edit)
            except Error as error:
                error.located(key=self._place.key, operation="write")
                raise
            if progress is not None:
                await self._document.call(progress, Progress("write", 1, 1))

        copy: Future[None] = Future.resolved(None)
        if isinstance(self._view, StagedStore):
            self._stage(self._view, edits)
            return WriteFutures(copy, Future.resolved(None))
        return WriteFutures(copy, start(done, timeout=None if limit.never else limit.remaining()))

    def _stage(self, view: StagedStore, edits: list[Edit]) -> None:
        staging = view.staging()
        key = self._place.key

        def stage() -> None:
            for edit in edits:
                staged = staging.staged(key)
                if not isinstance(staged, StagedEdits):
                    staged = StagedEdits(staged)
                staged.add(edit)
                staging.stage(key, staged)

        view.transaction.queue.run(stage)

    async def resize(self, request: ResizeRequest, progress: ProgressFunction | None) -> None:
        raise Unimplemented("Resize not supported: a JSON value has rank 0")

    async def refresh(self) -> None:
        """There are no bounds to look at."""

    async def stored_chunks(self, transform: IndexTransform, enough: bool) -> tuple[int, int]:
        raise Unimplemented("Storage statistics not supported: a JSON value has no chunks")

    async def explain(self, transform: IndexTransform) -> Explanation:
        store, key = self._place.store, self._place.key
        found = await stat(store, key) if store.capabilities.listable else ListEntry(key)
        stored = found is not None
        size = 0 if found is None else max(0, found.size)
        return Explanation(
            shape=tuple(transform.input_shape),
            dtype=self.data_type.name,
            driver=self.driver,
            url=f"{store.driver}:{key}",
            chunks=1,
            chunks_stored=int(stored),
            inner_chunks=1,
            decoded=int(stored),
            requests=1,
            store_reads=int(stored),
            bytes_read=size,
            bytes_decoded=size,
            estimated=found is not None and found.size < 0,
        )

    def schema(self) -> Schema:
        known = Schema(dtype=self.data_type, rank=0, domain=IndexDomain([]))
        known.update(schema=self._place.schema)
        return known

    def spec_json(self) -> dict[str, Json]:
        spec: dict[str, Json] = {
            "driver": self.driver,
            "dtype": "json",
            "kvstore": self._place.store.spec_json(self._place.key),
            **self._place.spec,
        }
        pointer = format_pointer(self._place.tokens)
        if pointer:
            spec["json_pointer"] = pointer
        return spec

    def kvstore(self) -> tuple[KeyValueStore, str] | None:
        return self._view, self._place.key

    def bound(self, transaction: Transaction | None) -> JsonDriver:
        return JsonDriver(self._place, self._document, transaction)

    def statistics(self) -> JsonStatistics:
        return JsonStatistics()


def _since(recheck: bool | float) -> float:
    """The oldest time at which a kept value may have been current."""
    if recheck is False:
        return float("-inf")
    return SYSTEM_CLOCK.time() if recheck is True else recheck


async def open_driver(request: DriverRequest) -> JsonDriver:
    """The part of a document that a spec names. Nothing is read: there may be none yet.

    Raises:
        InvalidArgument: The schema does not fit a JSON value, or the spec names no kvstore.
    """
    store, key = request.stored()
    effective_schema({}, request.schema)
    recheck = request.options.get("recheck_cached_data", "open")
    place = _Place(
        store,
        key,
        parse_pointer(request.options.get("json_pointer", "")),
        SYSTEM_CLOCK.time() if isinstance(recheck, str) else recheck,
        {} if recheck == "open" else {"recheck_cached_data": recheck},
        request.schema,
    )
    slots = request.resource("cache_pool").slots
    documents: WeakValueDictionary[object, JsonDocument]
    documents = slots.setdefault("json", WeakValueDictionary())
    document = JsonDocument(store, key, request.resource("data_copy_concurrency"))
    document = documents.setdefault((store.identity, key), document)
    return JsonDriver(place, document, request.transaction)
