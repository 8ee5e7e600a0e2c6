"""`FaultyStore`: a store without blocking face whose requests are recorded, held and failed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from asynctensor.runtime.future import Future
from asynctensor.runtime.promise import Promise
from asynctensor.storage.commit_domain import CommitDomain
from asynctensor.storage.generation import UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import (
    DEFAULT_READ,
    Buffer,
    Json,
    KeyValueStore,
    ListEntry,
    ReadOptions,
    ReadResult,
)

#: Which requests are meant, by key (for ranges of keys: their lower bound).
When: TypeAlias = Callable[[str], bool]


def _always(key: str) -> bool:
    return True


@dataclass(eq=False, slots=True)
class Request:
    """One request that the store was sent.

    Attributes:
        operation: ``"read"``, ``"write"``, ``"delete_range"`` or ``"list"``.
        key: The key; for a range of keys, its lower bound.
        state: ``"in flight"``, ``"done"``, ``"failed"`` or ``"cancelled"``.
    """

    operation: str
    key: str
    state: str = "in flight"


@dataclass(eq=False, slots=True)
class _Fault:
    operation: str
    error: BaseException
    when: When
    times: int
    after: bool


class Gate:
    """Holds requests back until it is opened; made by `FaultyStore.hold`."""

    def __init__(self, when: When, stubborn: bool, after: bool = False) -> None:
        self.when = when
        self.after = after
        self.stubborn = stubborn
        self._lock = threading.Lock()
        self._open = False
        self._arrived = 0
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._watchers: list[tuple[int, Promise[None]]] = []

    @property
    def arrived(self) -> int:
        """How many requests have come to it so far."""
        return self._arrived

    def reached(self, count: int = 1) -> Future[None]:
        """Done once `count` requests have come to the gate."""
        promise: Promise[None]
        promise, future = Promise.new()
        with self._lock:
            if self._arrived < count:
                self._watchers.append((count, promise))
                return future
        promise.set_result(None)
        return future

    def open(self) -> None:
        """Lets all requests through, those that come later too."""
        with self._lock:
            self._open = True
            waiting, self._waiting = self._waiting, []
        for loop, future in waiting:
            loop.call_soon_threadsafe(_resolve, future)

    async def passed(self) -> None:
        """Returns once the gate is open."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            self._arrived += 1
            met = [p for count, p in self._watchers if count <= self._arrived]
            self._watchers = [w for w in self._watchers if w[0] > self._arrived]
            if self._open:
                future.set_result(None)
            else:
                self._waiting.append((loop, future))
        for promise in met:
            promise.set_result(None)
        if not self.stubborn:
            await future
            return
        # What is on the wire already does not come back.
        cancelled: asyncio.CancelledError | None = None
        while not future.done():
            try:
                await asyncio.shield(future)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class FaultyStore(KeyValueStore):
    """A store around another: asynchronous only, as one behind a network.

    Every request is recorded; `hold` keeps requests in flight until told otherwise, `fail` has
    them fail. Commits over many keys go past it, to the base.

    Args:
        base: The store that does the work.
        **capabilities: Capabilities to change from those of `base`.

    Attributes:
        requests: Every request, in the order in which they came.
    """

    def __init__(self, base: KeyValueStore, **capabilities: bool) -> None:
        self.base = base
        self.driver = base.driver
        self.capabilities = replace(base.capabilities, never_waits=False, **capabilities)
        self.requests: list[Request] = []
        self._gates: dict[str, list[Gate]] = {}
        self._faults: list[_Fault] = []

    # -- what a test asks and orders --------------------------------------------------------

    @property
    def in_flight(self) -> list[Request]:
        """Requests that have begun and not ended."""
        return [r for r in self.requests if r.state == "in flight"]

    def count(self, operation: str, when: When = _always) -> int:
        """How many requests there were so far."""
        return sum(r.operation == operation and when(r.key) for r in self.requests)

    def fail(
        self,
        operation: str,
        error: BaseException,
        *,
        when: When = _always,
        times: int = 1,
        after: bool = False,
    ) -> None:
        """Plans failures.

        Args:
            operation: See `Request`.
            error: What is raised.
            when: Which requests.
            times: How many of them.
            after: Do what was asked and raise then, as when a reply is lost.
        """
        self._faults.append(_Fault(operation, error, when, times, after))

    def hold(
        self,
        operation: str,
        *,
        when: When = _always,
        stubborn: bool = False,
        after: bool = False,
    ) -> Gate:
        """Holds requests back from now on, until the gate is opened.

        Args:
            operation: See `Request`.
            when: Which requests.
            stubborn: A held request that is cancelled goes on all the same, as one does that a
                server has received already; its cancellation is delivered when it is over.
            after: Do what was asked, and hold the reply.
        """
        gate = Gate(when, stubborn, after)
        self._gates.setdefault(operation, []).append(gate)
        return gate

    def open_gates(self) -> None:
        """Opens every gate, so that nothing waits any more."""
        for gates in self._gates.values():
            for gate in gates:
                gate.open()

    # -- the store --------------------------------------------------------------------------

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        """See `KeyValueStore.read`."""
        found: ReadResult = await self._done("read", key, lambda: self.base.read(key, options))
        return found

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
    ) -> TimestampedStorageGeneration:
        """See `KeyValueStore.write`."""
        stamp: TimestampedStorageGeneration = await self._done(
            "write", key, lambda: self.base.write(key, value, if_equal)
        )
        return stamp

    async def delete_range(self, key_range: KeyRange) -> None:
        """See `KeyValueStore.delete_range`."""
        first = key_range.inclusive_min
        await self._done("delete_range", first, lambda: self.base.delete_range(key_range))

    async def precious(self, prefix: str) -> str | None:
        """See `KeyValueStore.precious`."""
        return await self.base.precious(prefix)

    async def list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        """See `KeyValueStore.list`."""

        async def collected() -> list[ListEntry]:
            return [entry async for entry in self.base.list(key_range)]

        for entry in await self._done("list", key_range.inclusive_min, collected):
            yield entry

    async def _done(self, operation: str, key: str, act: Callable[[], Any]) -> Any:
        request = Request(operation, key)
        self.requests.append(request)
        try:
            result = await self._answered(operation, key, act)
        except asyncio.CancelledError:
            request.state = "cancelled"
            raise
        except BaseException:
            request.state = "failed"
            raise
        request.state = "done"
        return result

    async def _answered(self, operation: str, key: str, act: Callable[[], Any]) -> Any:
        # Nothing behind a network answers in the turn in which it is asked.
        await asyncio.sleep(0)
        cancelled: asyncio.CancelledError | None = None
        for gate in self._gates.get(operation, ()):
            if gate.when(key) and not gate.after:
                try:
                    await gate.passed()
                except asyncio.CancelledError as error:
                    if not gate.stubborn:
                        raise
                    cancelled = error
        for fault in self._faults:
            if fault.operation == operation and fault.times > 0 and fault.when(key):
                fault.times -= 1
                if fault.after:
                    await act()
                raise fault.error
        result = await act()
        for gate in self._gates.get(operation, ()):
            if gate.when(key) and gate.after:
                await gate.passed()
        if cancelled is not None:
            raise cancelled
        return result

    def spec_json(self, path: str) -> dict[str, Json]:
        """See `KeyValueStore.spec_json`."""
        return self.base.spec_json(path)

    def url(self, path: str) -> str:
        """See `KeyValueStore.url`."""
        return self.base.url(path)

    @property
    def identity(self) -> object:
        """See `KeyValueStore.identity`."""
        return ("faulty", id(self))

    @property
    def commit_domain(self) -> CommitDomain | None:
        """See `KeyValueStore.commit_domain`."""
        return self.base.commit_domain
