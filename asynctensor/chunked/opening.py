"""Opening and creating chunked arrays: one pure decision table and the awaiting shell around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from asynctensor.chunked.array import ChunkOptions
from asynctensor.chunked.array_driver import ArrayDriver
from asynctensor.chunked.cache import ChunkCache
from asynctensor.chunked.documents import created as created_alike
from asynctensor.chunked.documents import glance
from asynctensor.chunked.driver import ChunkedDriver, ChunkedOptions, Pools
from asynctensor.chunked.driver_request import DriverRequest, Mode
from asynctensor.chunked.field_driver import part_of
from asynctensor.chunked.format import ArrayFormat
from asynctensor.chunked.part import part_of_options
from asynctensor.chunked.schema_match import check_schema, without_hidden
from asynctensor.errors import AlreadyExists, Error, NotFound
from asynctensor.runtime.clock import SYSTEM_CLOCK
from asynctensor.schema.schema import Schema
from asynctensor.schema.schema_state import SchemaState
from asynctensor.storage.clearing import clear
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.kvstore import Json, KeyValueStore
from asynctensor.storage.store_name import store_name
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.transaction import Transaction

M = TypeVar("M")


#: Members of a chunked spec that are given back by `TensorStore.spec`.
_KEPT = (
    "fill_missing_data_reads",
    "metadata_key",
    "recheck_cached_data",
    "recheck_cached_metadata",
    "store_data_equal_to_fill_value",
)


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """What is to be opened: `constraints` is the spec's partial ``metadata``."""

    store: KeyValueStore
    path: str
    mode: Mode
    pools: Pools
    constraints: dict[str, Json] = field(default_factory=dict)
    schema: Schema = field(default_factory=Schema)
    options: ChunkedOptions = field(default_factory=ChunkedOptions)
    transaction: Transaction | None = None


async def open_format(fmt: ArrayFormat[M], request: DriverRequest) -> ArrayDriver:
    """`open_chunked`, of what a spec says; perhaps one field of it, or its bytes."""
    store, path = request.stored()
    part = part_of_options(request.options)
    key = request.options.get("metadata_key")
    if key is not None:
        fmt = fmt.with_metadata_key(key)
    metadata = dict(request.options.get("metadata", {}))
    schema = request.schema
    seen = part or fmt.implied_part(metadata, schema)
    if seen is not None:
        schema = _of_whole(schema, fmt.fixed_rank(metadata, seen))
    driver = await open_chunked(
        fmt,
        OpenRequest(
            store,
            path,
            request.mode,
            _pools(request),
            metadata,
            schema,
            _options(request.options),
            request.transaction,
        ),
    )
    if part is None and not _is_one_field(driver, request.schema):
        return driver
    found = part_of(driver, {} if part is None else part.options())
    check_schema(found.schema(), request.schema)
    return found


def _of_whole(schema: Schema, hidden: int) -> Schema:
    """What a schema for parts of elements says of an array of whole ones.

    Args:
        schema: The schema.
        hidden: How many dimensions of the part follow those of the array.
    """
    state = schema.state
    if state.rank is None:
        return Schema.from_state(replace(state, dtype=None, fill_value=None))
    rank = state.rank - hidden
    domain = state.domain
    return Schema.from_state(
        SchemaState(
            rank=rank,
            domain=None if domain is None else domain[:rank],
            layout=without_hidden(state.layout, rank),
            codec=state.codec,
            units=state.units[:rank],
        )
    )


def _is_one_field(driver: ChunkedDriver[Any], schema: Schema) -> bool:
    """Whether records have one field only, which then, as in TensorStore, is the array."""
    record = driver.format.record(driver.metadata)
    one = record is not None and len(record.names or ()) == 1
    return one and schema.dtype != driver.data_type


def _pools(request: DriverRequest) -> Pools:
    pool = request.resource("cache_pool")
    cache = pool.slots.setdefault("chunks", ChunkCache(pool.total_bytes_limit))
    io_workers = request.context.resolve("file_io_concurrency").value
    return Pools(cache, request.resource("data_copy_concurrency"), io_workers)


def _options(options: Mapping[str, Any]) -> ChunkedOptions:
    return ChunkedOptions(
        recheck_data=_recheck(options.get("recheck_cached_data", True)),
        recheck_metadata=_recheck(options.get("recheck_cached_metadata", "open")),
        chunks=ChunkOptions(
            fill_missing_data_reads=options.get("fill_missing_data_reads", True),
            store_data_equal_to_fill_value=options.get("store_data_equal_to_fill_value", False),
        ),
        spec=tuple((name, options[name]) for name in _KEPT if name in options),
    )


def _recheck(option: bool | float | str) -> bool | float:
    return SYSTEM_CLOCK.time() if isinstance(option, str) else option


async def open_chunked(fmt: ArrayFormat[M], request: OpenRequest) -> ChunkedDriver[M]:
    """Opens or creates an array.

    Raises:
        NotFound, AlreadyExists: It is not, or already, there.
        FailedPrecondition: What is stored does not satisfy the constraints.
        InvalidArgument: They contradict each other, or leave out what creating needs.
        DataLoss: The stored metadata is damaged.

    A cancelled call may have created the array, or have deleted parts of the existing one if that
    was asked for; it leaves no half-written metadata.
    """
    fmt.check_constraints(request.constraints)
    path = request.path if not request.path or request.path.endswith("/") else request.path + "/"
    key = path + fmt.metadata_key
    view = request.store
    if request.transaction is not None:
        view = StagedStore(request.store, request.transaction)
    try:
        metadata, generation = await _metadata(fmt, view, path, key, request)
        driver = ChunkedDriver(
            fmt, request.store, path, metadata, generation, request.options, request.pools,
            request.transaction,
        )  # fmt: skip
    except Error as error:
        error.located(store=store_name(request.store, path), key=key, operation="open")
        raise
    # In a transaction, handles share the array, which may have been made anew since.
    driver.array.layout = fmt.layout(metadata)
    driver.rely_on_meaning()
    return driver


async def _metadata(
    fmt: ArrayFormat[M], view: KeyValueStore, path: str, key: str, request: OpenRequest
) -> tuple[M, bytes]:
    mode, constraints, schema = request.mode, request.constraints, request.schema
    if mode.assume_metadata:
        return fmt.create(constraints, schema), UNKNOWN
    if mode.delete_existing:
        # Worked out first: a mistake in the call must not cost the existing array.
        metadata = fmt.create(constraints, schema)
        await clear(view, path)
        created = await _create(fmt, view, key, metadata)
        if created is None:
            raise AlreadyExists("somebody else created an array here at the same time")
        return metadata, created
    while True:
        if mode.open:
            found = await glance(view, key)
            if found.state == "value":
                metadata = fmt.parse(found.value)
                fmt.check(metadata, constraints, schema)
                return metadata, found.stamp.generation
            if not mode.create:
                # Whoever is told so relies upon it.
                await view.read(key)
                raise NotFound(f"there is no {fmt.driver} array here; pass create=True to make one")
        metadata = fmt.create(constraints, schema)
        if mode.open and isinstance(view, StagedStore):
            document = fmt.serialize(metadata)
            created = await created_alike(view, key, document, fmt.merge_rules)
        else:
            created = await _create(fmt, view, key, metadata)
        if created is not None:
            return metadata, created
        if not mode.open:
            raise AlreadyExists(
                "there is an array here already; pass open=True to use it, or "
                "delete_existing=True to replace it"
            )


async def _create(fmt: ArrayFormat[M], view: KeyValueStore, key: str, metadata: M) -> bytes | None:
    """Stores new metadata; None if some is there already."""
    document = fmt.serialize(metadata)
    if view.capabilities.can_create_if_absent:
        stamp = await view.write(key, document, NO_VALUE)
        return None if stamp.generation == UNKNOWN else stamp.generation
    if (await view.read(key)).state != "missing":
        return None
    return (await view.write(key, document)).generation
