"""Finding out what is stored at a place: which format, and inside which containers.

A *file* (any path that does not end in ``/``) is looked at by its first and last bytes, a
*directory* by the keys that mark a format. Where a file is a container (a zip file), the search
goes on inside it. Whatever is found must be the only candidate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from asynctensor.errors import Error, FailedPrecondition, InvalidArgument, NotFound, OutOfRange
from asynctensor.kvstore_spec import KvStoreSpec
from asynctensor.pipeline_url import shown_url
from asynctensor.registry import REGISTRY, containers, file_formats, markers
from asynctensor.runtime.context import Context, ContextResource
from asynctensor.spec_rules import Signature
from asynctensor.spec_state import SpecState
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import KeyValueStore, ReadOptions
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.transaction import Transaction

#: Opens a kvstore: the store, and the key prefix in it.
OpenStore: TypeAlias = Callable[[KvStoreSpec, Context], tuple[KeyValueStore, str]]

#: Containers within containers; who nests deeper wants to keep us busy.
_MOST_STEPS = 8
#: Keys listed to tell which arrays are below a place that is none.
_MOST_KEYS = 10_000
_MOST_ARRAYS = 10


async def detected(
    state: SpecState, open_store: OpenStore, context: Context, transaction: Transaction | None
) -> SpecState:
    """A spec of driver ``auto`` with the driver and the kvstore that were found out.

    Where there is nothing and the spec says ``create``, it is a new zarr v3 array.

    Args:
        state: The spec.
        open_store: Opens kvstores.
        context: Where resources come from.
        transaction: What reads belong to.

    Raises:
        FailedPrecondition: There are several formats, or none of those that are known; the message
            names the arrays below, should there be some.
        NotFound: There is nothing at all.
        Error: The store failed.
    """
    kvstore = state.kvstore
    if kvstore is None:
        raise InvalidArgument('the spec has no "kvstore"; say where the array is')
    if "context" in state.options:
        context = Context(state.options["context"], context)
    own = {k: v for k, v in state.options.items() if isinstance(v, ContextResource)}
    context = context.holding(own)
    for _ in range(_MOST_STEPS):
        store, path = open_store(kvstore, context)
        view = store if transaction is None else StagedStore(store, transaction)
        try:
            driver, container = await _look(view, path)
            if driver is None and container is None:
                driver = await _nothing_found(view, path, create=state.open_mode.create)
        except Error as error:
            error.located(store=_described(kvstore), operation="open")
            raise
        if container is not None:
            kvstore = KvStoreSpec.of(container, base=kvstore, rules=kvstore.rules).bound(context)
            continue
        assert driver is not None
        if state.rules.driver(driver).is_directory:
            kvstore = kvstore.as_directory()
        found = state.found_to_be(driver)
        return replace(found, kvstore=kvstore, open_mode=state.open_mode.normalized())
    raise FailedPrecondition(
        f"there are more than {_MOST_STEPS} containers in each other; give the format and the path "
        "within by a spec",
        store=_described(kvstore),
    )


async def _look(view: KeyValueStore, path: str) -> tuple[str | None, str | None]:
    """The one driver, or the one container, that is there; neither if there is nothing known."""
    known = list(markers().items())
    folder = _folder(path)
    if isinstance(view, StagedStore):
        # What is opened then says itself what it relies upon.
        looks = [view.glance(folder + key) for key, _ in known]
    else:
        looks = [view.read(folder + key, ReadOptions(ByteRange(0, 0))) for key, _ in known]
    file = _file_candidates(view, path)
    found, (formats, inside) = await asyncio.gather(asyncio.gather(*looks), file)
    drivers = [name for (_, name), read in zip(known, found, strict=True) if read.state == "value"]
    drivers += formats
    names = sorted([REGISTRY.driver(name).scheme or name for name in drivers] + inside)
    if len(names) > 1:
        raise FailedPrecondition(
            f"Multiple possible formats detected: {{{', '.join(names)}}}; say which with driver="
        )
    return next(iter(drivers), None), next(iter(inside), None)


async def _file_candidates(view: KeyValueStore, path: str) -> tuple[list[str], list[str]]:
    """The formats and the containers that the value at `path` may be."""
    if not path or path.endswith("/"):
        return [], []
    formats, inside = file_formats(), containers()
    signatures = [*formats.values(), *inside.values()]
    ends = await _ends(
        view,
        path,
        max((each.head_bytes for each in signatures), default=0),
        max((each.tail_bytes for each in signatures), default=0),
    )
    if ends is None:
        return [], []
    return _matching(formats, *ends), _matching(inside, *ends)


def _matching(known: dict[str, Signature], head: bytes, tail: bytes) -> list[str]:
    return [name for name, signature in known.items() if signature.matches(head, tail)]


async def _ends(
    view: KeyValueStore, path: str, head_bytes: int, tail_bytes: int
) -> tuple[bytes, bytes] | None:
    """The first and the last bytes of a value, fewer where it is shorter; None if there is none."""
    try:
        head = ByteRange(0, head_bytes)
        tail = ByteRange(-tail_bytes) if view.capabilities.suffix_ranges else ByteRange()
        first, last = await asyncio.gather(
            view.read(path, ReadOptions(head)), view.read(path, ReadOptions(tail))
        )
    except OutOfRange:
        first = last = await view.read(path)
    if last.state != "value":
        return None
    return first.value[:head_bytes], last.value[-tail_bytes:]


async def _nothing_found(view: KeyValueStore, path: str, *, create: bool) -> str:
    """What to do where no format was found: a new array, or an error that helps."""
    if create:
        return "zarr3"
    arrays = await _arrays_below(view, path)
    if arrays:
        raise FailedPrecondition(f"Failed to detect format: {_below(arrays)}")
    if path and (await view.read(path, ReadOptions(ByteRange(0, 0)))).state == "value":
        raise FailedPrecondition(
            "Failed to detect format: the file is of none that is known; say which with driver="
        )
    async for _ in view.list(KeyRange.prefix(_folder(path))):
        raise FailedPrecondition(
            "Failed to detect format: none of the keys here marks an array of a known format"
        )
    raise NotFound("Failed to detect format: nothing is here; pass create=True to make an array")


async def tell_arrays_below(
    error: Error,
    state: SpecState,
    open_store: OpenStore,
    context: Context,
    transaction: Transaction | None,
) -> None:
    """Says in the error of opening `state`, which was detected, which arrays are below it."""
    if state.kvstore is None:
        return
    store, path = open_store(state.kvstore, context)
    view = store if transaction is None else StagedStore(store, transaction)
    arrays = await _arrays_below(view, path)
    if arrays:
        error.message = f"{error.message}; {_below(arrays)}"
        error.args = (error.message,)


async def _arrays_below(view: KeyValueStore, path: str) -> list[str]:
    """Paths of arrays below `path`, or of groups that may hold some: the first that are found."""
    folder = _folder(path)
    arrays: set[str] = set()
    seen = 0
    if not view.capabilities.listable:
        return []
    async for entry in view.list(KeyRange.prefix(folder)):
        parent, _, name = entry.key[len(folder) :].rpartition("/")
        if parent and name in markers():
            arrays.add(parent)
        seen += 1
        if seen == _MOST_KEYS or len(arrays) == _MOST_ARRAYS:
            break
    return sorted(arrays)


def _below(arrays: list[str]) -> str:
    """Tells which arrays are below a place that is none."""
    names = ", ".join(repr(name) for name in arrays)
    more = " and perhaps more" if len(arrays) == _MOST_ARRAYS else ""
    return f"arrays below this place: {names}{more}; open one of them"


def _folder(path: str) -> str:
    return path if not path or path.endswith("/") else path + "/"


def _described(kvstore: KvStoreSpec) -> str:
    try:
        return shown_url(kvstore.url)
    except Error:
        return kvstore.driver
