"""``obstore``: a store of obstore (Rust's object_store) as a kvstore.

Conditions are obstore's own: ``mode="create"`` and updates by ETag of ``put_async``, ``if_match``
and ``if_none_match`` of ``get_async``. It has none for deletes. Its coroutines run on the guest
loop, where Python code that it may call (a provider of credentials) disturbs nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotModifiedError,
    NotSupportedError,
    PreconditionError,
)
from obstore.exceptions import PermissionDeniedError as Forbidden
from obstore.exceptions import UnauthenticatedError as Unauthenticated
from obstore.store import LocalStore, MemoryStore

from asynctensor.errors import InvalidArgument, PermissionDenied, Unavailable, Unimplemented
from asynctensor.integrations.obstore_place import ObstorePlace
from asynctensor.integrations.store_errors import errors_mapped
from asynctensor.runtime.guest import Guest
from asynctensor.runtime.seen_through import seen_through
from asynctensor.runtime.sources import SOURCES
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import (
    DEFAULT_READ,
    Buffer,
    Capabilities,
    Json,
    KeyValueStore,
    ListEntry,
    ReadOptions,
    ReadResult,
)

#: Objects that are deleted by one call.
_GROUP: Final = 1000
#: Before the ETag, and before what stands for one where a server gives none.
_TAG, _STAMP = b"etag ", b"time "


class ObstoreStore(KeyValueStore):
    """A store of obstore's.

    Args:
        place: The store, and what is to be said of it.
    """

    driver = "obstore"

    def __init__(self, place: ObstorePlace) -> None:
        self._place = place
        self._store = place.store
        self._guest = Guest()
        near = isinstance(self._store, LocalStore | MemoryStore)
        self.capabilities = Capabilities(
            writable=place.writable,
            can_create_if_absent=place.writable,
            can_compare_and_swap=place.writable and not isinstance(self._store, LocalStore),
            suffix_ranges=True,
            durable=place.writable and not near,
            remote=not near,
        )

    def __repr__(self) -> str:
        return f"ObstoreStore({self._place})"

    def __reduce__(self) -> tuple[object, ...]:
        return ObstoreStore, (self._place,)

    @property
    def identity(self) -> object:
        return self.driver, self._place.identity

    def spec_json(self, path: str) -> dict[str, Json]:
        spec: dict[str, Json] = {"driver": self.driver, "url": self._place.url}
        if self._place.public_config:
            spec["config"] = dict(self._place.public_config)
        if self._place.handle is not None:
            spec["opened"] = self._place.handle
        if path:
            spec["path"] = path
        return spec

    def url(self, path: str) -> str:
        raise Unimplemented('a kvstore of driver "obstore" has no URL of its own; its spec is JSON')

    async def _call(self, name: str, *args: Any, **options: Any) -> Any:
        function = getattr(obstore, name)

        async def called() -> Any:
            return await function(self._store, *args, **options)

        try:
            return await self._guest.call(called)
        except (Forbidden, Unauthenticated) as error:
            raise PermissionDenied(_first_line(error)) from error
        except NotSupportedError as error:
            raise Unimplemented(_first_line(error)) from error

    # -- Reading ------------------------------------------------------------------------------

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        _check(key)
        with errors_mapped(key, self, "read"):
            try:
                return await self._read(key, options)
            except BaseError as error:
                raise Unavailable(_first_line(error)) from error

    async def _read(self, key: str, options: ReadOptions) -> ReadResult:
        asked, time = _asked(options), SOURCES.time()
        if options.byte_range == ByteRange(0, 0) or options.if_equal == NO_VALUE:
            return await self._look(key, options)
        try:
            meta, value = await self._get(key, asked)
        except FileNotFoundError:
            unmet = options.if_equal not in (UNKNOWN, NO_VALUE)
            stamp = TimestampedStorageGeneration(NO_VALUE, time)
            return ReadResult("unspecified" if unmet else "missing", b"", stamp)
        except NotModifiedError:
            stamp = TimestampedStorageGeneration(options.if_not_equal, time)
            return ReadResult("unspecified", b"", stamp)
        except (BaseError, ValueError):
            # A condition that does not hold, or a range that is not there; which, a look tells.
            return await self._look(key, options)
        stamp = TimestampedStorageGeneration(_generation(meta), time)
        if _is_unmet(options, stamp.generation):
            return ReadResult("unspecified", b"", stamp)
        start, stop = options.byte_range.resolve(meta["size"])
        if len(value) != stop - start:
            raise Unavailable(f"{len(value)} bytes came, expected {stop - start}")
        return ReadResult("value", value, stamp)

    async def _get(self, key: str, asked: Mapping[str, Any]) -> tuple[Mapping[str, Any], bytes]:
        async def got() -> tuple[Mapping[str, Any], bytes]:
            options: Any = asked
            found = await obstore.get_async(self._store, key, options=options)
            return found.meta, bytes(await found.bytes_async())

        result: tuple[Mapping[str, Any], bytes] = await self._guest.call(got)
        return result

    async def _look(self, key: str, options: ReadOptions) -> ReadResult:
        """What a read finds that needs no bytes, or cannot have them."""
        time = SOURCES.time()
        try:
            meta = await self._call("head_async", key)
        except FileNotFoundError:
            unmet = options.if_equal not in (UNKNOWN, NO_VALUE)
            stamp = TimestampedStorageGeneration(NO_VALUE, time)
            return ReadResult("unspecified" if unmet else "missing", b"", stamp)
        stamp = TimestampedStorageGeneration(_generation(meta), time)
        if _is_unmet(options, stamp.generation):
            return ReadResult("unspecified", b"", stamp)
        start, stop = options.byte_range.resolve(meta["size"])
        if stop > start:
            # Changed since the first request; or a server without suffix ranges.
            asked = {"range": (start, stop)}
            meta, value = await self._get(key, asked)
            if _generation(meta) != stamp.generation:
                raise Unavailable("the object changes while it is read")
            return ReadResult("value", value, stamp)
        return ReadResult("value", b"", stamp)

    # -- Writing ------------------------------------------------------------------------------

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
    ) -> TimestampedStorageGeneration:
        _check(key)
        with errors_mapped(key, self, "write" if value is not None else "delete"):
            if not self.capabilities.writable:
                raise Unimplemented("obstore cannot write here")
            try:
                if value is None:
                    return await seen_through(self._delete(key, if_equal))
                return await seen_through(self._put(key, bytes(value), if_equal))
            except BaseError as error:
                raise Unavailable(_first_line(error)) from error

    async def _put(self, key: str, data: bytes, if_equal: bytes) -> TimestampedStorageGeneration:
        mode = _mode(if_equal)
        if mode is None:
            return TimestampedStorageGeneration.now(UNKNOWN)
        if isinstance(mode, dict) and not self.capabilities.can_compare_and_swap:
            raise Unimplemented("this store of obstore's creates only if absent, no more")
        whole = {} if mode == "overwrite" else {"use_multipart": False}
        try:
            made = await self._call("put_async", key, data, mode=mode, **whole)
        except (AlreadyExistsError, PreconditionError, FileNotFoundError, NotModifiedError) as e:
            if mode == "overwrite" or (mode == "create" and isinstance(e, FileNotFoundError)):
                # What is missing is the bucket.
                raise
            repeats = self.capabilities.remote and self._place.repeats
            if repeats and await self._is_stored(key, data):
                # A repeated request may have met what the first one wrote.
                raise Unavailable("whether this write or an equal one was done, is unknown") from e
            return TimestampedStorageGeneration.now(UNKNOWN)
        if made.get("e_tag") is None:
            made = await self._call("head_async", key)
        return TimestampedStorageGeneration.now(_generation(made))

    async def _is_stored(self, key: str, data: bytes) -> bool:
        with suppress(FileNotFoundError):
            return (await self._get(key, {}))[1] == data
        return False

    async def _delete(self, key: str, if_equal: bytes) -> TimestampedStorageGeneration:
        if if_equal == NO_VALUE:
            found = await self._look(key, DEFAULT_READ_OF_NOTHING)
            absent = found.state == "missing"
            return TimestampedStorageGeneration.now(NO_VALUE if absent else UNKNOWN)
        if if_equal != UNKNOWN:
            raise Unimplemented("obstore deletes without conditions only")
        with suppress(FileNotFoundError):
            await self._call("delete_async", key)
        return TimestampedStorageGeneration.now(NO_VALUE)

    async def delete_range(self, key_range: KeyRange) -> None:
        keys = [entry.key async for entry in self.list(key_range)]
        for first in range(0, len(keys), _GROUP):
            with errors_mapped(key_range.common_prefix, self, "delete"):
                group = keys[first : first + _GROUP]
                await seen_through(self._delete_all(group))

    async def _delete_all(self, keys: Sequence[str]) -> None:
        try:
            await self._call("delete_async", list(keys))
        except FileNotFoundError:
            # Somebody else deleted one of them meanwhile; which, it does not say.
            await asyncio.gather(*(self._delete(key, UNKNOWN) for key in keys))

    # -- Listing ------------------------------------------------------------------------------

    async def list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        if key_range.empty:
            return
        folder = key_range.common_prefix.rpartition("/")[0]
        with errors_mapped(folder, self, "list"):
            async for group in self._guest.iterate(partial(self._groups, folder)):
                for meta in group:
                    if meta["path"] in key_range:
                        yield _entry(meta)

    async def _groups(self, folder: str) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        async for group in obstore.list(self._store, prefix=folder or None):
            yield group

    async def list_directory(self, prefix: str) -> AsyncIterator[ListEntry]:
        with errors_mapped(prefix, self, "list"):
            found = await self._call("list_with_delimiter_async", prefix or None)
            for folder in found["common_prefixes"]:
                yield ListEntry(f"{folder}/")
            for meta in found["objects"]:
                if meta["path"].startswith(prefix):
                    yield _entry(meta)


DEFAULT_READ_OF_NOTHING: Final = ReadOptions(ByteRange(0, 0))


def _check(key: str) -> None:
    parts = key.split("/")
    if not all(parts) or {".", ".."} & set(parts):
        raise InvalidArgument(
            f"{key!r} can name no object of obstore's: its components must be neither empty, . "
            "nor ..",
            key=key,
        )


def _generation(meta: Mapping[str, Any]) -> bytes:
    tag = meta.get("e_tag")
    if tag:
        return _TAG + str(tag).encode() + b"\0" + str(meta.get("version") or "").encode()
    return _STAMP + repr((meta.get("last_modified"), meta.get("size"))).encode()


def _parts(generation: bytes) -> tuple[str, str] | None:
    """ETag and version of a generation, if it is of obstore's."""
    if not generation.startswith(_TAG):
        return None
    tag, _, version = generation[len(_TAG) :].partition(b"\0")
    return tag.decode(errors="replace"), version.decode(errors="replace")


def _mode(if_equal: bytes) -> Any:
    """The ``PutMode`` of a condition; None for one that nothing can meet."""
    if if_equal == UNKNOWN:
        return "overwrite"
    if if_equal == NO_VALUE:
        return "create"
    parts = _parts(if_equal)
    if parts is None:
        return None
    return {"e_tag": parts[0]} | ({"version": parts[1]} if parts[1] else {})


def _asked(options: ReadOptions) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    part = options.byte_range
    if part.inclusive_min < 0:
        asked["range"] = {"suffix": -part.inclusive_min}
    elif part.exclusive_max is not None:
        asked["range"] = (part.inclusive_min, part.exclusive_max)
    elif part.inclusive_min:
        asked["range"] = {"offset": part.inclusive_min}
    if (equal := _parts(options.if_equal)) is not None:
        asked["if_match"] = equal[0]
    if (other := _parts(options.if_not_equal)) is not None:
        asked["if_none_match"] = other[0]
    return asked


def _is_unmet(options: ReadOptions, generation: bytes) -> bool:
    wanted, unwanted = options.if_equal, options.if_not_equal
    return wanted not in (UNKNOWN, generation) or unwanted == generation


def _entry(meta: Mapping[str, Any]) -> ListEntry:
    modified = meta.get("last_modified")
    return ListEntry(meta["path"], meta["size"], modified.timestamp() if modified else None)


def _first_line(error: Exception) -> str:
    # What follows is for debugging, and may show requests.
    return str(error).partition("\n")[0] or type(error).__name__
