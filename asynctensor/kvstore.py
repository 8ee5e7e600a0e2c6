"""`KvStore`: a key-value store as users hold it, with TensorStore's API.

A thin, typed face: it joins the path prefix with the keys, turns bytes keys into text and back, and
starts the store's coroutines on the I/O loop.
"""

from __future__ import annotations

import builtins
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar

from asynctensor.errors import (
    Error,
    FailedPrecondition,
    IncompatibleType,
    InvalidArgument,
    NotFound,
    Unimplemented,
)
from asynctensor.kvstore_handle import KvStoreHandle
from asynctensor.kvstore_spec import KvStoreSpec
from asynctensor.kvstore_values import (
    KeyLike,
    PublicKeyRange,
    PublicReadResult,
    PublicStamp,
    to_byte_range,
    to_bytes,
    to_key,
)
from asynctensor.public_kvstore_spec import PublicKvStoreSpec, kvstore_value
from asynctensor.runtime.context import Context
from asynctensor.runtime.event_loop import start, start_begun
from asynctensor.runtime.future import Future
from asynctensor.runtime.last_trouble import at_work_on
from asynctensor.schema.json_repr import json_repr
from asynctensor.schema.keywords import optional_type
from asynctensor.storage.generation import UNKNOWN
from asynctensor.storage.key_range import KeyRange as StoredRange
from asynctensor.storage.kvstore import Arrival, Buffer, KeyValueStore, ReadOptions
from asynctensor.storage.store_name import store_name
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.transaction import Transaction

T = TypeVar("T")
ValueLike: TypeAlias = str | Buffer


class KvStoreOpener(Protocol):
    """What knows the drivers by name, and so how to open a store."""

    async def __call__(self, spec: Any, context: Any) -> KvStore:
        """Opens what a `KvStore.Spec`, its JSON or a URL names."""
        ...


class KvStore(KvStoreHandle):
    """A key-value store and a path prefix in it; keys are appended to the prefix as they are.

    Cheap to make and to copy. All methods may be called from any thread, inside and outside of
    event loops; they return at once, with a `Future`. The operators (``store[key]``, ``del``,
    ``in``) wait.

    >>> store = at.KvStore.open("memory://notes/").result()
    >>> store["a"] = b"first"
    >>> store["a"], "b" in store, store.list().result()
    (b'first', False, [b'a'])
    >>> stamp = store.write("a", b"second").result()
    >>> store.write("a", b"third", if_equal=b"an old generation").result().generation
    b''
    >>> (store / "below").url
    'memory://notes/below'

    Args:
        store: The store.
        path: The prefix of every key.
        transaction: What reads and writes belong to.
        context: The `Context` it was opened with.
        opened: The spec that was opened, bound to the resources it uses.
    """

    KeyRange: TypeAlias = PublicKeyRange
    Spec: TypeAlias = PublicKvStoreSpec
    ReadResult: TypeAlias = PublicReadResult
    TimestampedStorageGeneration: TypeAlias = PublicStamp

    #: Installed by the module that opens things, which stands above this one.
    opener: ClassVar[KvStoreOpener | None] = None

    __iter__: ClassVar[None] = None
    __slots__ = ()

    @staticmethod
    def open(
        spec: KvStoreSpec | Any,
        *,
        context: Any = None,
        transaction: Transaction | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[KvStore]:
        """Opens a store.

        Args:
            spec: A `KvStore.Spec`, its JSON, or a URL.
            context: The `Context` whose resources (pools, locks, memory) it uses; by default a
                new one, which shares nothing with other stores.
            transaction: What reads and writes shall belong to.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of the store. Cancelling it leaves nothing behind.

        Raises:
            InvalidArgument: The spec is wrong; the message gives the member's path.
            IncompatibleType: An argument is of another type.
        """
        opener = KvStore.opener
        if opener is None:
            raise Unimplemented("no drivers are known here: import asynctensor first")

        optional_type(context, Context, "context")
        optional_type(transaction, Transaction, "transaction")
        value = kvstore_value(getattr(spec, "bound_spec", spec))

        async def opened() -> KvStore:
            return (await opener(value, context)).with_transaction(transaction)

        return start(opened, timeout=timeout, deadline=deadline)

    def __reduce__(self) -> tuple[object, ...]:
        if self._transaction is not None:
            raise FailedPrecondition(
                "a KvStore bound to a transaction cannot be pickled: its staged writes are in this "
                "process; use with_transaction(None)"
            )
        opened = self._opened
        if opened is not None:
            # As the store says it: without the secrets that it was opened with.
            opened = KvStoreSpec(self._store.spec_json(self._path)).bound_as(opened)
        return (_restore, (self._store, self._path, self._context, opened))

    def __repr__(self) -> str:
        return f"KvStore({json_repr(self.spec(unbind_context=True).to_json())})"

    # -- I/O ----------------------------------------------------------------------------------

    def read(
        self,
        key: KeyLike,
        *,
        if_not_equal: KeyLike | None = None,
        if_equal: KeyLike | None = None,
        staleness_bound: float | None = None,
        batch: object = None,
        byte_range: slice | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[PublicReadResult]:
        """Reads one value, or a part of it.

        Args:
            key: Appended to the path as it is.
            if_not_equal: Do not read if this is the generation (state ``"unspecified"``).
            if_equal: Read only if this is the generation.
            staleness_bound: A cached answer at least this new (Unix seconds) will do.
            batch: Accepted; reads of whole keys gain nothing from it and start at once.
            byte_range: ``slice(start, stop)``, ``slice(start, None)`` or ``slice(-n, None)``.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of the result; a missing key is one, with state ``"missing"``. It fails with
            `OutOfRange` if the value is shorter than the byte range needs, with `InvalidArgument`
            if the key can name nothing, and with what the store raises. A cancelled read leaves
            nothing behind.

        Raises:
            InvalidArgument: `byte_range` is of another form.
            IncompatibleType: An argument is of another type.
        """
        del batch
        options = ReadOptions(
            to_byte_range(byte_range),
            _generation(if_equal),
            _generation(if_not_equal),
            float("inf") if staleness_bound is None else float(staleness_bound),
        )
        plain = self._transaction is None and not self._store.capabilities.never_waits
        if plain and timeout is None and deadline is None:
            return start_begun(self._begin_read, self._read, self._key(key), options)
        return self._start(
            "read", self._read, self._key(key), options, timeout=timeout, deadline=deadline
        )

    def _begin_read(
        self,
        key: str,
        options: ReadOptions,
        told: Callable[[PublicReadResult | Error | None], object],
    ) -> Callable[[], object] | None:
        """What `_read` does, without a task (`KeyValueStore.begin_read`)."""

        def arrived(arrival: Arrival | Error | None) -> None:
            if not isinstance(arrival, Arrival):
                told(arrival)
                return
            stamp = PublicStamp.of(arrival.stamp)
            told(PublicReadResult(arrival.state, bytes(arrival.value), stamp))

        return self._store.begin_read(key, options, arrived)

    async def _read(self, key: str, options: ReadOptions) -> PublicReadResult:
        found = await self._target().read(key, options)
        return PublicReadResult(found.state, found.value, PublicStamp.of(found.stamp))

    def write(
        self,
        key: KeyLike,
        value: ValueLike | None,
        *,
        if_equal: KeyLike | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[PublicStamp]:
        r"""Writes or deletes one value.

        Args:
            key: Appended to the path as it is.
            value: The new value (copied, unless it is bytes, before this returns); None deletes.
            if_equal: Write only if this is the generation; ``b"\x02"``: only if there is none.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of the new generation (``b"\x02"`` after a delete), durable as far as the
            store's options say. It is empty if the condition did not hold, and nothing was
            changed then. In a transaction it is done when the write is staged. When a
            cancellation is delivered, the write has happened or never will.

        Raises:
            IncompatibleType: An argument is of another type.
        """
        data = None if value is None else _value(value)
        return self._start(
            "write" if data is not None else "delete",
            self._write,
            self._key(key),
            data,
            _generation(if_equal),
            timeout=timeout,
            deadline=deadline,
        )

    async def _write(self, key: str, value: bytes | None, if_equal: bytes) -> PublicStamp:
        return PublicStamp.of(await self._target().write(key, value, if_equal))

    def delete_range(
        self,
        range: PublicKeyRange,  # noqa: A002 -- TensorStore's name
        *,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[None]:
        """Deletes the keys of a range; not atomic.

        Args:
            range: The range, relative to the path.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future that is done when they are gone. If it fails or is cancelled, some may be.
        """
        key_range = self._range(range)
        return self._limited(
            "delete", self._delete_range, key_range, timeout=timeout, deadline=deadline
        )

    async def _delete_range(self, key_range: StoredRange) -> None:
        await self._target().delete_range(key_range)

    def list(
        self,
        range: PublicKeyRange | None = None,  # noqa: A002 -- TensorStore's name
        strip_prefix_length: int = 0,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[builtins.list[bytes]]:
        """The keys in a range, without the path; all in memory at once.

        Args:
            range: Relative to the path; None for all.
            strip_prefix_length: Bytes to leave out at the start of each key.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of the keys, in no particular order.

        Raises:
            InvalidArgument: `strip_prefix_length` is negative.
        """
        if strip_prefix_length < 0:
            raise InvalidArgument(f"strip_prefix_length is {strip_prefix_length}: expected >= 0")
        key_range = self._range(PublicKeyRange() if range is None else range)
        strip = len(to_bytes(self._path)) + strip_prefix_length
        return self._limited(
            "list", self._list, key_range, strip, timeout=timeout, deadline=deadline
        )

    async def _list(self, key_range: StoredRange, strip: int) -> builtins.list[bytes]:
        return [to_bytes(entry.key)[strip:] async for entry in self._target().list(key_range)]

    def experimental_copy_range_to(
        self,
        target: KvStore,
        source_range: PublicKeyRange | None = None,
        source_staleness_bound: float | None = None,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[None]:
        """Copies a range of keys, one after the other, over what the target has.

        Args:
            target: Where to; keys keep what follows the path. The ranges must not overlap.
            source_range: Relative to the path; None for all.
            source_staleness_bound: Cached values at least this new (Unix seconds) will do.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future that is done when all are written. If it fails or is cancelled, some are.
        """
        key_range = self._range(PublicKeyRange() if source_range is None else source_range)
        bound = float("inf") if source_staleness_bound is None else float(source_staleness_bound)
        return start(self._copy, target, key_range, bound, timeout=timeout, deadline=deadline)

    async def _copy(self, target: KvStore, key_range: StoredRange, bound: float) -> None:
        source, into = self._target(), target._target()
        options = ReadOptions(staleness_bound=bound)
        keys = [entry.key async for entry in source.list(key_range)]
        for key in keys:
            found = await source.read(key, options)
            if found.state == "value":
                await into.write(target.key_prefix + key[len(self._path) :], found.value)

    # -- Synchronous I/O ----------------------------------------------------------------------

    def __getitem__(self, key: KeyLike) -> bytes:
        """The value of `key`.

        Raises:
            NotFound: There is none; it is a KeyError.
            Error: The store failed.
        """
        found = self.read(key).result()
        if found.state != "value":
            raise NotFound("nothing is stored under this key", key=to_key(key), operation="read")
        return found.value

    def __setitem__(self, key: KeyLike, value: ValueLike | None) -> None:
        """Writes the value of `key`, and waits for it; None deletes it."""
        self.write(key, value).result()

    def __delitem__(self, key: KeyLike) -> None:
        """Deletes the value of `key`, if there is one, and waits for it."""
        self.write(key, None).result()

    def __contains__(self, key: KeyLike) -> bool:
        """Whether `key` has a value."""
        # 0:0 asks for no bytes, and so for the generation alone.
        return self.read(key, byte_range=slice(0, 0)).result().state == "value"

    # -- Inside -------------------------------------------------------------------------------

    def _key(self, key: KeyLike) -> str:
        return self._path + to_key(key)

    def _range(self, key_range: PublicKeyRange) -> StoredRange:
        if not isinstance(key_range, PublicKeyRange):
            raise IncompatibleType(
                f"a range is a KvStore.KeyRange, not {type(key_range).__name__}: {key_range!r}"
            )
        if key_range.empty:
            return StoredRange("0", "/")  # An empty one; `under` would lose that at an empty bound.
        return key_range.key_range.under(self._path)

    def _target(self) -> KeyValueStore:
        if self._transaction is None:
            return self._store
        return StagedStore(self._store, self._transaction)

    def _start(
        self,
        operation: str,
        function: Callable[..., Awaitable[T]],
        *args: Any,
        timeout: float | None,
        deadline: float | None,
    ) -> Future[T]:
        """Starts an operation on one key; does it at once where that cannot take long."""
        if (
            not self._store.capabilities.never_waits
            or self._transaction is not None
            or timeout is not None
            or deadline is not None
        ):
            return self._limited(operation, function, *args, timeout=timeout, deadline=deadline)
        step = function(*args).__await__()
        try:
            next(step)
        except StopIteration as done:
            return Future.resolved(done.value)
        except Exception as error:  # noqa: BLE001 -- told by the Future
            return Future.failed(error)
        raise AssertionError(f"{self._store!r} never waits, but it did")

    def _limited(
        self,
        operation: str,
        function: Callable[..., Awaitable[T]],
        *args: Any,
        timeout: float | None,
        deadline: float | None,
    ) -> Future[T]:
        """Starts an operation; should its time run out, the error says where."""
        if timeout is None and deadline is None:
            return start(function, *args)
        key = args[0] if isinstance(args[0], str) else self._path

        async def placed() -> T:
            at_work_on(key, store_name(self._store), operation)
            return await function(*args)

        return start(placed, timeout=timeout, deadline=deadline)


def _restore(store: KeyValueStore, path: str, context: Any, opened: KvStoreSpec | None) -> KvStore:
    return KvStore(store, path, context=context, opened=opened)


def _generation(generation: KeyLike | None) -> bytes:
    return UNKNOWN if generation is None else to_bytes(generation)


def _value(value: ValueLike) -> bytes:
    """The bytes of a value, which the caller cannot change any more."""
    if type(value) is bytes:
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise IncompatibleType(
        f"a value is str, bytes, bytearray or memoryview, not {type(value).__name__}"
    )
