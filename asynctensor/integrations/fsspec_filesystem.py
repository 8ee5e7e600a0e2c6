"""`AsynctensorFileSystem`: any kvstore, or state of a repository, as an fsspec file system."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fsspec.asyn import AsyncFileSystem, sync
from fsspec.spec import AbstractBufferedFile
from fsspec.utils import tokenize

from asynctensor.errors import Aborted, FailedPrecondition, InvalidArgument, OutOfRange
from asynctensor.integrations.given_kvstore import State, given_kvstore, target_of
from asynctensor.kvstore import KvStore
from asynctensor.runtime.context import Context
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.listing import Listing
from asynctensor.storage.directory import list_directory, stat
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import ListEntry
from asynctensor.transaction.transaction import Transaction


class AsynctensorFileSystem(AsyncFileSystem):  # type: ignore[misc]
    """The keys of a kvstore as files: ``fsspec.filesystem("asynctensor", kvstore=...)``.

    A file is written as a whole when it is closed; who reads it sees all of it or nothing. There
    are no folders but those that the keys have in them. Nothing is cached. Pickles and JSON
    (`to_json`) hold the spec of the kvstore, and no secrets.

    Args:
        kvstore: A `KvStore`, a `Repository`, a `KvStore.Spec` or its JSON, a URL, or a path.
        branch: Of a repository: a branch.
        tag: A tag.
        snapshot: The state after the commit of this id.
        as_of: The state of ``main`` at a time.
        transaction: What reads and writes belong to.
        context: Resources to use, where `kvstore` is not open yet.
        **options: Those of fsspec's asynchronous file systems.

    Raises:
        InvalidArgument: `kvstore` is none, or has no such states.
    """

    protocol = "asynctensor"
    cachable = False

    def __init__(
        self,
        kvstore: Any = None,
        *,
        branch: str | None = None,
        tag: str | None = None,
        snapshot: str | None = None,
        as_of: Any = None,
        transaction: Transaction | None = None,
        context: Context | None = None,
        **options: Any,
    ) -> None:
        if kvstore is None:
            raise InvalidArgument('say which kvstore: kvstore="file:///data/" or the like')
        super().__init__(**options)
        self._options = {name: each for name, each in options.items() if name != "loop"}
        self._kvstore = given_kvstore(
            kvstore,
            context=context,
            transaction=transaction,
            state=State(branch=branch, tag=tag, snapshot=snapshot, as_of=as_of),
        )

    @property
    def kvstore(self) -> KvStore:
        """What it stands on."""
        return self._kvstore

    @property
    def fsid(self) -> str:
        """Tells it from other file systems."""
        return f"asynctensor {self._kvstore.place}"

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        return str(path).removeprefix("asynctensor://").strip("/")

    @property
    def _fs_token(self) -> Any:
        # fsspec's own is of the arguments' texts: those of two stores in memory are the same.
        kvstore = self._kvstore
        within = kvstore.transaction
        who = (kvstore.store.identity, kvstore.key_prefix, None if within is None else id(within))
        return tokenize(hash(who), self._options)

    def __dask_tokenize__(self) -> Any:
        # The same in all processes; a transaction is in one.
        return self._fs_token if self._kvstore.transaction is not None else self.to_json()

    def to_dict(self, *, include_password: bool = True) -> dict[str, Any]:
        """What `from_dict` makes a file system over the same kvstore of, anywhere.

        Args:
            include_password: Of no concern: no secret is in it, whatever this says.

        Raises:
            FailedPrecondition: It is in a transaction, which other processes do not see.
        """
        del include_password
        if self._kvstore.transaction is not None:
            raise FailedPrecondition(
                "a file system in a transaction has no JSON: its staged writes are in this process"
            )
        cls = type(self)
        return {
            "cls": f"{cls.__module__}:{cls.__name__}",
            "protocol": self.protocol,
            "args": [],
            "kvstore": self._kvstore.spec(unbind_context=True).to_json(),
            **self._options,
        }

    def __reduce__(self) -> Any:
        return _restored, (self._kvstore, self._options)

    # -- Looking ------------------------------------------------------------------------------

    def _key(self, path: str) -> str:
        return str(self._kvstore.key_prefix + self._strip_protocol(path))

    def _described(self, entry: ListEntry) -> dict[str, Any]:
        name = entry.key[len(self._kvstore.key_prefix) :]
        if name.endswith("/"):
            return {"name": name[:-1], "size": 0, "type": "directory"}
        size = entry.size if entry.size >= 0 else None
        found = {"name": name, "size": size, "type": "file"}
        return found if entry.time is None else found | {"mtime": entry.time}

    async def _entries(self, folder: str, *, deep: bool) -> AsyncGenerator[ListEntry, None]:
        target, prefix = target_of(self._kvstore), f"{folder}/" if folder else ""
        below = self._kvstore.key_prefix + prefix

        def entries() -> AsyncIterator[ListEntry]:
            return target.list(KeyRange.prefix(below)) if deep else list_directory(target, below)

        async with aclosing(aiter(Listing(entries))) as found:
            async for entry in found:
                yield entry

    async def _info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        name = self._strip_protocol(path)
        if name:
            found = await start(stat, target_of(self._kvstore), self._key(name))
            if found is not None:
                size = found.size if found.size >= 0 else len(await self._cat_file(name))
                version = (await self._kvstore.read(name, byte_range=slice(0, 0))).stamp
                described = self._described(found) | {"size": size}
                return described | {"generation": version.generation.hex()}
        async with aclosing(self._entries(name, deep=False)) as below:
            async for _ in below:
                return {"name": name, "size": 0, "type": "directory"}
        if not name:
            return {"name": "", "size": 0, "type": "directory"}
        raise FileNotFoundError(path)

    async def _ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        name = self._strip_protocol(path)
        found = [self._described(each) async for each in self._entries(name, deep=False)]
        if not found and name:
            info = await self._info(name)
            found = [info] if info["type"] == "file" else []
        found.sort(key=lambda each: each["name"])
        return found if detail else [each["name"] for each in found]

    async def _find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        **kwargs: Any,
    ) -> Any:
        if maxdepth is not None or withdirs:
            return await super()._find(path, maxdepth=maxdepth, withdirs=withdirs, **kwargs)
        name = self._strip_protocol(path)
        # One listing for all of it.
        found = [self._described(each) async for each in self._entries(name, deep=True)]
        if not found and name and (await self._exists(name)):
            found = [await self._info(name)]
        by_name = {each["name"]: each for each in sorted(found, key=lambda each: each["name"])}
        return by_name if kwargs.get("detail") else list(by_name)

    async def _created(self, path: str) -> datetime:
        return await self._modified(path)

    async def _modified(self, path: str) -> datetime:
        time = (await self._info(path)).get("mtime")
        if time is None:
            raise NotImplementedError("this kvstore does not tell when values were written")
        return datetime.fromtimestamp(time, UTC)

    def created(self, path: str) -> datetime:
        """When the value was written; values are never changed."""
        return self.modified(path)

    def modified(self, path: str) -> datetime:
        """When the value was written, by the store's clock."""
        wait: Any = sync  # fsspec infers None
        found: datetime = wait(self.loop, self._modified, path)
        return found

    # -- Reading ------------------------------------------------------------------------------

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any
    ) -> bytes:
        name = self._strip_protocol(path)
        if not name:
            raise IsADirectoryError(path)
        part = _part(start, end)
        try:
            if part is None:
                # Counted from the end, as only the whole size tells.
                size = (await self._info(name))["size"]
                first, last, _ = slice(start, end).indices(size)
                part = slice(first, max(first, last))
            found = await self._kvstore.read(name, byte_range=part)
        except OutOfRange:
            whole = (await self._kvstore.read(name)).value
            return bytes(whole[slice(start, end)])
        if found.state != "value":
            raise FileNotFoundError(path)
        return bytes(found.value)

    async def _get_file(self, rpath: str, lpath: Any, **kwargs: Any) -> None:
        if await self._isdir(rpath):
            await asyncio.to_thread(lambda: Path(lpath).mkdir(parents=True, exist_ok=True))
            return
        value = await self._cat_file(rpath)
        await asyncio.to_thread(_saved, Path(lpath), value)

    # -- Writing ------------------------------------------------------------------------------

    async def _pipe_file(
        self, path: str, value: Any, mode: str = "overwrite", **kwargs: Any
    ) -> dict[str, str]:
        condition = NO_VALUE if mode == "create" else None
        found = await self._written(path, value, condition)
        if found is None:
            raise FileExistsError(path)
        return {"generation": found.hex()}

    async def _written(self, path: str, value: Any, if_equal: bytes | None) -> bytes | None:
        """The generation of what was written; None if that is not what is there."""
        data = value if isinstance(value, bytes) else bytes(value)
        made = await self._kvstore.write(self._strip_protocol(path), data, if_equal=if_equal)
        return None if made.generation == UNKNOWN else made.generation

    async def _version(self, path: str) -> tuple[bytes, bytes | None]:
        """A value, empty where there is none, and the generation to replace it by."""
        found = await self._kvstore.read(self._strip_protocol(path))
        conditional = self._kvstore.store.capabilities.can_compare_and_swap
        return bytes(found.value), found.stamp.generation if conditional else None

    async def _put_file(
        self, lpath: Any, rpath: str, mode: str = "overwrite", **kwargs: Any
    ) -> None:
        source = Path(lpath)
        if await asyncio.to_thread(source.is_dir):
            return
        await self._pipe_file(rpath, await asyncio.to_thread(source.read_bytes), mode=mode)

    async def _cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        if await self._isdir(path1):
            return
        await self._pipe_file(path2, await self._cat_file(path1))

    async def _rm_file(self, path: str, **kwargs: Any) -> Any:
        name = self._strip_protocol(path)
        if (await self._kvstore.read(name, byte_range=slice(0, 0))).state != "value":
            if await self._isdir(name):
                return
            raise FileNotFoundError(path)
        await self._kvstore.write(name, None)

    async def _rm(
        self,
        path: Any,
        recursive: bool = False,
        batch_size: int | None = None,
        maxdepth: int | None = None,
        **kwargs: Any,
    ) -> Any:
        names = await self._expand_path(path, recursive=recursive, maxdepth=maxdepth)
        # Folders go with what is in them.
        await asyncio.gather(*(self._kvstore.write(name, None) for name in names if name))

    async def _mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        """Nothing: folders are there as soon as something is in them."""

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Nothing: see `_mkdir`."""

    async def _rmdir(self, path: str) -> None:
        if [each async for each in self._entries(self._strip_protocol(path), deep=False)]:
            raise OSError(f"the folder is not empty: {path}")

    def rmdir(self, path: str) -> None:
        """Nothing, where nothing is in it: see `_mkdir`."""
        sync(self.loop, self._rmdir, path)

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: Any = None,
        autocommit: bool = True,
        cache_options: Any = None,
        **kwargs: Any,
    ) -> Any:
        if mode not in ("rb", "wb", "ab", "xb"):
            raise NotImplementedError(f"files are opened for reading or writing, not {mode!r}")
        if mode == "xb" and self.exists(path):
            # And again when it is written: somebody else may be quicker.
            raise FileExistsError(path)
        return ValueFile(
            self, path, mode, block_size or "default", autocommit, cache_options=cache_options
        )


class ValueFile(AbstractBufferedFile):  # type: ignore[misc]
    """A value that is read in blocks, or written as a whole when it is closed."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        found: bytes = self.fs.cat_file(self.path, start, end)
        return found

    def _initiate_upload(self) -> None:
        self._pieces: list[bytes] = []
        self._if_equal = NO_VALUE if self.mode == "xb" else None
        if self.mode == "ab":
            wait: Any = sync  # fsspec infers None
            there, self._if_equal = wait(self.fs.loop, self.fs._version, self.path)
            self._pieces.append(there)

    def _upload_chunk(self, final: bool = False) -> Any:
        self._pieces.append(self.buffer.getvalue())
        if final and self.autocommit:
            self.commit()
        return True

    def commit(self) -> None:
        """Writes the value.

        Raises:
            FileExistsError: It was to be made, and somebody else was quicker.
            Aborted: It was to become longer, and somebody else has changed it meanwhile.
        """
        wait: Any = sync  # fsspec infers None
        data = b"".join(self._pieces)
        if wait(self.fs.loop, self.fs._written, self.path, data, self._if_equal) is not None:
            return
        if self.mode == "xb":
            raise FileExistsError(self.path)
        raise Aborted(
            "the file was changed by others since it was read; open it again", key=self.path
        )

    def discard(self) -> None:
        """Forgets it."""
        self._pieces = []


def _restored(kvstore: KvStore, options: dict[str, Any]) -> AsynctensorFileSystem:
    return AsynctensorFileSystem(kvstore, **options)


def _part(start: int | None, end: int | None) -> slice | None:
    """The bytes that are meant, for a read; None where that takes the size."""
    if start is None or start >= 0:
        first = start or 0
        if end is None:
            return slice(first, None)
        return slice(first, max(first, end)) if end >= 0 else None
    return slice(start, None) if end is None else None


def _saved(path: Path, value: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(value)
