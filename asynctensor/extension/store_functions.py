"""Few plain or asynchronous functions as a store that keeps the whole contract."""

from __future__ import annotations

import hashlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from asynctensor.errors import IncompatibleType, InvalidArgument, Unimplemented
from asynctensor.runtime.guest import Guest
from asynctensor.runtime.sources import SOURCES
from asynctensor.storage.byte_range import FULL, ByteRange
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import (
    Buffer,
    Capabilities,
    KeyValueStore,
    ListEntry,
    ReadOptions,
    ReadResult,
)


class StoreCalls(ABC):
    """What a store does, called on the I/O loop, of a user's object that runs elsewhere."""

    @abstractmethod
    async def read(self, key: str, options: ReadOptions) -> ReadResult:
        """See `KeyValueStore.read`."""

    @abstractmethod
    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes
    ) -> TimestampedStorageGeneration:
        """See `KeyValueStore.write`."""

    @abstractmethod
    async def delete_range(self, key_range: KeyRange) -> None:
        """See `KeyValueStore.delete_range`."""

    @abstractmethod
    def list(self, key_range: KeyRange) -> AsyncGenerator[ListEntry, None]:
        """See `KeyValueStore.list`."""


class ContractCalls(StoreCalls):
    """A user's `KeyValueStore`."""

    def __init__(self, store: KeyValueStore, guest: Guest) -> None:
        self._store, self._guest = store, guest

    async def read(self, key: str, options: ReadOptions) -> ReadResult:
        found = await self._guest.call(self._store.read, key, options)
        if not isinstance(found, ReadResult):
            raise _wrong("read", "a ReadResult", found)
        return found

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes
    ) -> TimestampedStorageGeneration:
        found = await self._guest.call(self._store.write, key, value, if_equal)
        if not isinstance(found, TimestampedStorageGeneration):
            raise _wrong("write", "a TimestampedStorageGeneration", found)
        return found

    async def delete_range(self, key_range: KeyRange) -> None:
        await self._guest.call(self._store.delete_range, key_range)

    async def list(self, key_range: KeyRange) -> AsyncGenerator[ListEntry, None]:
        async with aclosing(self._guest.iterate(self._store.list, key_range)) as entries:
            async for entry in entries:
                yield _entry(entry)


class FunctionCalls(StoreCalls):
    """The functions ``read``, ``write`` and ``list`` of a user's object.

    See `asynctensor.extending.register_kvstore` for what they are given and return.
    """

    def __init__(self, functions: object, guest: Guest) -> None:
        self._guest = guest
        self._read = getattr(functions, "read", None)
        self._write = getattr(functions, "write", None)
        self._list = getattr(functions, "list", None)
        self._ranges = takes(self._read, "byte_range")
        self._conditional = takes(self._write, "if_equal")

    async def read(self, key: str, options: ReadOptions) -> ReadResult:
        read, asked = _there(self._read, "read"), SOURCES.time()
        ranged = self._ranges and not options.byte_range.is_full
        if ranged:
            found = await self._guest.call(read, key, options.byte_range)
        elif self._ranges:
            found = await self._guest.call(read, key, FULL)
        else:
            found = await self._guest.call(read, key)
        if found is None:
            unmet = options.if_equal not in (UNKNOWN, NO_VALUE)
            stamp = TimestampedStorageGeneration(NO_VALUE, asked)
            return ReadResult("unspecified" if unmet else "missing", b"", stamp)
        value, generation = _value_and_generation(found, needs_generation=ranged)
        stamp = TimestampedStorageGeneration(generation, asked)
        if options.if_equal not in (UNKNOWN, generation) or options.if_not_equal == generation:
            return ReadResult("unspecified", b"", stamp)
        if not ranged:
            start, stop = options.byte_range.resolve(len(value))
            value = value[start:stop]
        else:
            _check_length(value, options.byte_range)
        return ReadResult("value", value, stamp)

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes
    ) -> TimestampedStorageGeneration:
        write = _there(self._write, "write")
        data = None if value is None else bytes(value)
        if self._conditional:
            found = await self._guest.call(write, key, data, if_equal)
            if found is None and if_equal != UNKNOWN:
                return TimestampedStorageGeneration.now(UNKNOWN)
        else:
            if if_equal != UNKNOWN:
                raise Unimplemented(
                    "this store cannot check a condition: its write function has no parameter "
                    "if_equal",
                    key=key,
                    operation="write",
                )
            found = await self._guest.call(write, key, data)
        if data is None:
            return TimestampedStorageGeneration.now(NO_VALUE)
        if found is None:
            found = _hash(data)
        if not isinstance(found, bytes) or found in (UNKNOWN, NO_VALUE):
            raise _wrong("write", "None or the new generation, as bytes", found)
        return TimestampedStorageGeneration.now(found)

    async def delete_range(self, key_range: KeyRange) -> None:
        async with aclosing(self.list(key_range)) as entries:
            keys = [entry.key async for entry in entries]
        for key in keys:
            await self.write(key, None, UNKNOWN)

    async def list(self, key_range: KeyRange) -> AsyncGenerator[ListEntry, None]:
        listing = _there(self._list, "list")
        async with aclosing(self._guest.iterate(listing, key_range.common_prefix)) as entries:
            async for found in entries:
                entry = _entry(found)
                if entry.key in key_range:
                    yield entry


def takes(function: object, parameter: str) -> bool:
    """Whether `function` has a parameter of this name."""
    return callable(function) and parameter in inspect.signature(function).parameters


def capabilities_of(functions: object) -> Capabilities:
    """What a store of these functions can do: an object, or the class of one."""
    given = getattr(functions, "capabilities", None)
    if isinstance(given, Capabilities):
        return replace(given, never_waits=False)  # it runs elsewhere, and is waited for
    conditional = takes(getattr(functions, "write", None), "if_equal")
    return Capabilities(
        readable=callable(getattr(functions, "read", None)),
        writable=callable(getattr(functions, "write", None)),
        listable=callable(getattr(functions, "list", None)),
        can_create_if_absent=conditional,
        can_compare_and_swap=conditional,
        suffix_ranges=True,
    )


def _there(function: Any, name: str) -> Callable[..., Any]:
    if not callable(function):
        raise Unimplemented(f"this store has no function {name!r}", operation=name)
    found: Callable[..., Any] = function
    return found


def _value_and_generation(found: Any, *, needs_generation: bool) -> tuple[bytes, bytes]:
    if isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], bytes):
        value, generation = found
    elif needs_generation:
        # A part says nothing of the version of the whole.
        raise _wrong("read", "(bytes, generation) where it has a parameter byte_range", found)
    else:
        value, generation = found, None
    if not isinstance(value, bytes | bytearray | memoryview):
        raise _wrong("read", "None, bytes, or (bytes, generation)", found)
    value = bytes(value)
    if generation is None:
        generation = _hash(value)
    if generation in (UNKNOWN, NO_VALUE):
        raise InvalidArgument(f"{generation!r} is the generation of no value; return None instead")
    return value, generation


def _check_length(value: bytes, byte_range: ByteRange) -> None:
    stop, start = byte_range.exclusive_max, byte_range.inclusive_min
    wanted = stop - start if stop is not None else -start if start < 0 else None
    if wanted is not None and len(value) != wanted:
        raise InvalidArgument(
            f"the read function gave {len(value)} bytes for the range {byte_range} of {wanted} "
            "bytes; it raises OutOfRange if the value is too short"
        )


def _hash(value: bytes) -> bytes:
    """A generation of a value that has none: equal for equal bytes."""
    return hashlib.blake2b(value, digest_size=16).digest()


def _entry(found: Any) -> ListEntry:
    if isinstance(found, ListEntry):
        return found
    if isinstance(found, str):
        return ListEntry(found)
    if isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], str):
        return ListEntry(found[0], int(found[1]))
    raise _wrong("list", "keys, or (key, size)", found)


def _wrong(function: str, wanted: str, found: object) -> IncompatibleType:
    return IncompatibleType(
        f"the function {function!r} of a store must return {wanted}, but returned: {found!r:.200}"
    )
