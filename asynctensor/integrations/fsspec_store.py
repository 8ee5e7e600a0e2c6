"""``fsspec``: the files of an fsspec file system as a kvstore.

What fsspec promises is less than the store contract asks for; this is how the rest is made:

- A read asks for the file's description first and for its bytes then, so that what a generation
  says is never newer than the bytes; with a condition, the description is asked for again.
- A generation is what the description has of the kind of an ETag or a number of a version; where
  there is none, times and the size: two writes within the resolution of the file system's times
  may look like one.
- Local files are written beside their place and moved there. Other file systems are trusted to
  show a value whole or not at all, as object stores do.
- A value is created only if absent where that is known to be kept: local files, S3 through s3fs,
  Azure through adlfs, and Google Cloud Storage through gcsfs. Nothing else is conditional.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from fsspec import AbstractFileSystem

from asynctensor.errors import InvalidArgument, Unavailable, Unimplemented
from asynctensor.integrations.fsspec_calls import FilesystemCalls
from asynctensor.integrations.store_errors import errors_mapped
from asynctensor.runtime.entropy import random_hex
from asynctensor.runtime.seen_through import seen_through
from asynctensor.runtime.sources import SOURCES
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

_LOCAL: Final = "fsspec.implementations.local"
_MEMORY: Final = "fsspec.implementations.memory"
#: Of clouds, whose services check by themselves whether there is a value: how they are told to. Not
#: of that of gcsfs which writes to zonal buckets, too: it replaces what it should only create.
_CREATING: Final[Mapping[str, Mapping[str, object]]] = {
    "adlfs.spec": {"overwrite": False},
    "gcsfs.core": {"mode": "create"},
    "s3fs.core": {"mode": "create"},
}
#: What tells versions apart by itself, best first.
_VERSIONS: Final = ("ETag", "etag", "e_tag", "generation", "sha", "md5Hash", "content_md5")
#: When a file was written; the first that is there.
_TIMES: Final = ("mtime", "LastModified", "last_modified", "modified", "updated", "created")
#: Names under which values are written before they are moved to their places.
_UNFINISHED: Final = re.compile(r"\.asynctensor-[0-9a-f]{16}")
#: How often a read begins again because the file changes under it.
_ATTEMPTS: Final = 10
#: Files that are deleted side by side.
_SIDE_BY_SIDE: Final = 32
_ABSENT: Final = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class FsspecStore(KeyValueStore):
    """A store of the files of one file system below a folder.

    Args:
        calls: The file system.
        root: The folder, as its own paths have it; empty or ending in ``/``.
    """

    driver = "fsspec"

    def __init__(self, calls: FilesystemCalls, root: str = "") -> None:
        self._calls, self.root = calls, root
        stripped = str(calls.filesystem._strip_protocol(root)) if root else ""
        base = stripped.rstrip("/")
        self._base = f"{base}/" if base or calls.filesystem.root_marker == "/" else ""
        module = calls.module
        self.capabilities = Capabilities(
            can_create_if_absent=module == _LOCAL or _creates(calls.filesystem, module),
            lists_in_order=True,
            suffix_ranges=True,
            durable=module in _CREATING,
            remote=module not in (_LOCAL, _MEMORY),
        )

    def __repr__(self) -> str:
        return f"FsspecStore({self._calls.protocol!r}, {self.root!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return FsspecStore, (self._calls, self.root)

    def at(self, path: str) -> tuple[FsspecStore, str]:
        if path.startswith(self.root):
            return self, path[len(self.root) :]
        root, slash, key = path.rpartition("/")
        return FsspecStore(self._calls, root + slash), key

    @property
    def identity(self) -> object:
        return self.driver, self._calls.identity, self._base

    def spec_json(self, path: str) -> dict[str, Json]:
        spec: dict[str, Json] = {"driver": self.driver, "protocol": self._calls.protocol}
        if self._calls.public_options:
            spec["storage_options"] = self._calls.public_options
        if self._calls.handle is not None:
            spec["opened"] = self._calls.handle
        if self.root + path:
            spec["path"] = self.root + path
        return spec

    def url(self, path: str) -> str:
        raise Unimplemented('a kvstore of driver "fsspec" has no URL; its spec is JSON')

    def _path(self, key: str) -> str:
        parts = key.split("/")
        if not all(parts) or {".", ".."} & set(parts) or "\0" in key:
            raise InvalidArgument(
                f"{key!r} can name no file: its components must be neither empty, . nor ..",
                key=key,
            )
        if _UNFINISHED.search(parts[-1]):
            raise InvalidArgument(f"{key!r} is a name for values that are being written", key=key)
        return self._base + key

    # -- Reading ------------------------------------------------------------------------------

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        path = self._path(key)
        with errors_mapped(key, self, "read"):
            for _ in range(_ATTEMPTS):
                found = await self._read(path, options)
                if found is not None:
                    return found
            raise Unavailable("the file changes again and again while it is read")

    async def _read(self, path: str, options: ReadOptions) -> ReadResult | None:
        """What is read; None if it was changed meanwhile."""
        asked = SOURCES.time()
        info = await self._info(path)
        now = TimestampedStorageGeneration(_generation(info), asked)
        if options.if_equal not in (UNKNOWN, now.generation) or (
            options.if_not_equal not in (UNKNOWN, NO_VALUE)
            and options.if_not_equal == now.generation
        ):
            return ReadResult("unspecified", b"", now)
        if info is None:
            return ReadResult("missing", b"", now)
        start, stop = options.byte_range.resolve(_size(info))
        value = b""
        if stop > start:
            is_part = (start, stop) != (0, _size(info))
            part = {"start": start, "end": stop} if is_part else {}
            try:
                value = bytes(await self._calls("cat_file", path, **part))
            except _ABSENT:
                return None
        if len(value) != stop - start:
            return None
        if options.if_equal != UNKNOWN and _generation(await self._info(path)) != now.generation:
            return None
        return ReadResult("value", value, now)

    async def _info(self, path: str) -> Mapping[str, Any] | None:
        try:
            info: Mapping[str, Any] = await self._calls.fresh("info", path)
        except _ABSENT:
            return None
        return info if info.get("type") == "file" else None

    # -- Writing ------------------------------------------------------------------------------

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
    ) -> TimestampedStorageGeneration:
        path = self._path(key)
        can = self.capabilities.can_create_if_absent
        if if_equal != UNKNOWN and not (if_equal == NO_VALUE and can):
            raise Unimplemented(
                f"a file system {self._calls.protocol!r} of fsspec cannot check the condition of "
                "a write",
                key=key,
                operation="write",
            )
        with errors_mapped(key, self, "write" if value is not None else "delete"):
            if value is None:
                if if_equal == NO_VALUE:
                    absent = await self._info(path) is None
                    return TimestampedStorageGeneration.now(NO_VALUE if absent else UNKNOWN)
                return await seen_through(self._delete(path))
            write = self._write_beside if self._calls.module == _LOCAL else self._pipe
            made = await seen_through(write(path, bytes(value), create=if_equal == NO_VALUE))
            return TimestampedStorageGeneration.now(made)

    async def _pipe(self, path: str, data: bytes, *, create: bool) -> bytes:
        options = _CREATING[self._calls.module] if create else {}
        try:
            answer = await self._into_folder("pipe_file", path, path, data, **options)
        except FileExistsError as error:
            if not create:
                raise
            if await self._calls("cat_file", path) != data:
                return UNKNOWN
            # Its own retries may have met what an earlier attempt wrote.
            raise Unavailable(
                "whether this write or an equal one was first, is not known"
            ) from error
        info = answer if isinstance(answer, Mapping) and _version(answer) else None
        return _generation(info) if info else await self._written(path, len(data))

    async def _write_beside(self, path: str, data: bytes, *, create: bool) -> bytes:
        unfinished = f"{path}.asynctensor-{random_hex(8)}"
        await self._into_folder("pipe_file", path, unfinished, data)
        try:
            info = await self._info(unfinished)
            if create:
                try:
                    await self._calls("link", unfinished, path)
                except FileExistsError:
                    return UNKNOWN
            else:
                await self._moved(unfinished, path)
        finally:
            with suppress(*_ABSENT):
                await self._calls("rm_file", unfinished)
        return _generation(info)

    async def _moved(self, unfinished: str, path: str) -> None:
        if await self._calls("isdir", path):
            # Moving a file onto a folder puts it into the folder.
            await self._clear(path)
        await self._calls("mv", unfinished, path)

    async def _into_folder(self, name: str, path: str, *args: Any, **options: Any) -> Any:
        """Writes a file, whose folder may have to be made, and whose place may be a folder."""
        try:
            return await self._calls(name, *args, **options)
        except FileNotFoundError:
            await self._calls("makedirs", path.rpartition("/")[0], exist_ok=True)
        except IsADirectoryError:
            await self._clear(path)
        return await self._calls(name, *args, **options)

    async def _clear(self, path: str) -> None:
        """Deletes the empty folders at and below `path`; what is not empty raises."""
        folders = await self._calls("find", path, withdirs=True, detail=True)
        below = sorted(name for name, info in folders.items() if info["type"] == "directory")
        for folder in reversed([path, *(name for name in below if name.rstrip("/") != path)]):
            await self._calls("rmdir", folder)

    async def _written(self, path: str, size: int) -> bytes:
        info = await self._info(path)
        if info is None or _size(info) != size:
            # Somebody else has written since: what was written here has no version any more.
            return b"superseded " + random_hex(8).encode()
        return _generation(info)

    async def _delete(self, path: str) -> TimestampedStorageGeneration:
        if await self._info(path) is not None:
            with suppress(*_ABSENT):
                await self._calls("rm_file", path)
        return TimestampedStorageGeneration.now(NO_VALUE)

    async def delete_range(self, key_range: KeyRange) -> None:
        keys = [entry.key async for entry in self.list(key_range)]
        for first in range(0, len(keys), _SIDE_BY_SIDE):
            group = keys[first : first + _SIDE_BY_SIDE]
            with errors_mapped(key_range.common_prefix, self, "delete"):
                await asyncio.gather(*(self._delete(self._base + key) for key in group))

    # -- Listing ------------------------------------------------------------------------------

    async def list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        if key_range.empty:
            return
        folder = key_range.common_prefix.rpartition("/")[0]
        with errors_mapped(folder, self, "list"):
            try:
                found = await self._calls.fresh("find", self._base + folder, detail=True)
            except _ABSENT:
                return
        entries = [e for name, info in found.items() if (e := self._entry(name, info))]
        for entry in sorted(entries, key=lambda each: each.key):
            if entry.key in key_range:
                yield entry

    async def list_directory(self, prefix: str) -> AsyncIterator[ListEntry]:
        with errors_mapped(prefix, self, "list"):
            try:
                path = (self._base + prefix).rstrip("/") or self._base
                found = await self._calls.fresh("ls", path, detail=True)
            except _ABSENT:
                return
        for info in found:
            name = str(info["name"]).rstrip("/")
            if info["type"] == "directory" and name.startswith(self._base + prefix):
                yield ListEntry(name[len(self._base) :] + "/")
            elif (entry := self._entry(name, info)) and entry.key.startswith(prefix):
                yield entry

    def _entry(self, name: str, info: Mapping[str, Any]) -> ListEntry | None:
        if info["type"] != "file" or not name.startswith(self._base) or _UNFINISHED.search(name):
            return None
        key = name[len(self._base) :]
        return ListEntry(key, _size(info), _time(info)) if key else None


def _creates(filesystem: AbstractFileSystem, module: str) -> bool:
    """Whether it creates files only if absent: what older ones do not know, they disregard."""
    options = _CREATING.get(module)
    if options is None:
        return False
    known = inspect.signature(getattr(filesystem, "_pipe_file")).parameters  # noqa: B009
    return all(name in known for name in options)


def _size(info: Mapping[str, Any]) -> int:
    size = info.get("size")
    if not isinstance(size, int) or size < 0:
        raise Unavailable(f"the file system does not tell how long the file is: {size!r:.40}")
    return size


def _version(info: Mapping[str, Any]) -> bytes | None:
    for name in _VERSIONS:
        if info.get(name):
            return f"{name.lower()} {info[name]}".encode()
    return None


def _generation(info: Mapping[str, Any] | None) -> bytes:
    """The version of a file as its description tells it."""
    if info is None:
        return NO_VALUE
    found = _version(info)
    if found is None:
        time = next((info[name] for name in _TIMES if info.get(name) is not None), None)
        found = repr((info.get("ino"), time, info.get("size"))).encode()
    return hashlib.blake2b(found, digest_size=16).digest()


def _time(info: Mapping[str, Any]) -> float | None:
    for name in _TIMES:
        value = info.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None
