"""`NetworkSuite`: what a store over a network promises when the network or the server fails.

Subclass it in a test module for pytest (with pytest-asyncio), and say how to make a `FaultProxy` in
front of the server, and a store that reaches the server through it::

    class TestMyStoreFaults(NetworkSuite):
        @pytest.fixture
        def proxy(self, server):
            with FaultProxy(server.host, server.port) as proxy:
                yield proxy

        @pytest.fixture
        def store(self, proxy):
            return MyStore(proxy.url, retries=RetryPolicy(max_retries=4, initial_delay=0.001))

The store is to repeat failed requests at least three times, and soon. A store that only reads says
in `put` how values come to be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from asynctensor.errors import DeadlineExceeded, Error, OutOfRange, Unavailable
from asynctensor.runtime.event_loop import start
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import KeyValueStore, ReadOptions
from asynctensor.testing.fault_proxy import FaultProxy
from asynctensor.testing.kvstore_calls import keys, read, write
from asynctensor.testing.network_faults import (
    Alter,
    Fault,
    Follow,
    Refuse,
    Reply,
    Reset,
    Stall,
    Truncate,
)

VALUE = bytes(range(256)) * 40
#: Each passes when the request is made again.
PASSING: tuple[Fault, ...] = (
    Reply(status=503),
    Reply(status=503, headers=(("Retry-After", "0"),)),
    Reply(status=429, headers=(("Retry-After", "0"),)),
    Reply(status=500),
    Reply(status=502),
    Reply(status=504),
    Refuse(),
    Reset(after=0),
    Reset(after=20),
    Truncate(after=0),
    Truncate(after=20),
    Alter(change=lambda answer: b"\0" + answer),
    Alter(change=lambda answer: answer.replace(b"\r\n", b"\r\nno field\r\n", 1)),
)
#: With these, the server has done what it was asked, and the answer is lost.
LOST: tuple[Fault, ...] = (Reset(after=0), Reset(after=20), Truncate(after=20))
MANY = 100


def _name(fault: Fault) -> str:
    detail = getattr(fault, "status", getattr(fault, "after", ""))
    return f"{type(fault).__name__}{detail}"


def _lengthened(answer: bytes, by: int) -> bytes:
    """An answer whose ``Content-Length`` is wrong."""
    head, mark, body = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    for place, line in enumerate(lines):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            lines[place] = b"%s: %d" % (name, max(0, int(value) + by))
    return b"\r\n".join(lines) + mark + body


@pytest.mark.asyncio
class NetworkSuite:
    """The tests. See the module."""

    #: Reads that are cancelled, at different moments.
    cancelled_reads: ClassVar[int] = 400
    #: After how many bytes of an answer the connection is reset, one after the other.
    resets: ClassVar[Sequence[int]] = (*range(0, 600, 23), 5000, 10_000)

    @pytest.fixture
    def proxy(self) -> FaultProxy:
        """A proxy in front of the server."""
        raise NotImplementedError("say where the server is: define a fixture `proxy`")

    @pytest.fixture
    def store(self) -> KeyValueStore:
        """A store that is new and empty, behind `proxy`."""
        raise NotImplementedError("say how to make a store: define a fixture `store`")

    async def put(self, store: KeyValueStore, key: str, value: bytes) -> None:
        """Makes a value; nothing goes wrong meanwhile."""
        await write(store, key, value)

    # -- Reading ------------------------------------------------------------------------------

    @pytest.mark.parametrize("fault", PASSING, ids=_name)
    async def test_reads_survive_what_passes(
        self, store: KeyValueStore, proxy: FaultProxy, fault: Fault
    ) -> None:
        await self.put(store, "k", VALUE)
        proxy.forget()
        for options, value in (
            (ReadOptions(), VALUE),
            (ReadOptions(ByteRange(10, 20)), VALUE[10:20]),
            (ReadOptions(ByteRange(5000)), VALUE[5000:]),
        ):
            proxy.plan(fault)
            assert (await read(store, "k", options)).value == value
        assert (await read(store, "none")).state == "missing"
        assert proxy.statistics.faults == 3

    @pytest.mark.parametrize("fault", [Reply(status=503), Reset(after=50)], ids=_name)
    async def test_what_does_not_pass_is_told(
        self, store: KeyValueStore, proxy: FaultProxy, fault: Fault
    ) -> None:
        await self.put(store, "k", VALUE)
        proxy.plan(*[fault] * MANY)
        with pytest.raises(Unavailable, match="attempts") as caught:
            await read(store, "k")
        assert caught.value.key is not None
        assert caught.value.key.endswith("k")
        assert caught.value.__cause__ is not None
        proxy.forget()
        assert (await read(store, "k")).value == VALUE

    async def test_a_reset_at_any_byte(self, store: KeyValueStore, proxy: FaultProxy) -> None:
        await self.put(store, "k", VALUE)
        for after in self.resets:
            proxy.plan(Reset(after=after))
            assert (await read(store, "k")).value == VALUE, after
            proxy.forget()

    @pytest.mark.parametrize("by", [-20, -1, 1, 20])
    async def test_wrong_lengths_never_give_wrong_bytes(
        self, store: KeyValueStore, proxy: FaultProxy, by: int
    ) -> None:
        await self.put(store, "k", VALUE)
        proxy.forget()
        proxy.plan(*[Alter(change=lambda answer: _lengthened(answer, by))] * MANY)
        # A server that promises too much is waited for in vain.
        call = start(store.read, "k", ReadOptions(ByteRange(3, 9)), timeout=0.3)
        (outcome,) = await asyncio.gather(call, return_exceptions=True)
        if isinstance(outcome, BaseException):
            assert isinstance(outcome, Error)
            assert not isinstance(outcome, OutOfRange)
        else:
            assert outcome.value == VALUE[3:9]
        proxy.forget()
        assert (await read(store, "k", ReadOptions(ByteRange(3, 9)))).value == VALUE[3:9]

    async def test_what_follows_an_answer_is_no_answer(
        self, store: KeyValueStore, proxy: FaultProxy
    ) -> None:
        for key in ("a", "b"):
            await self.put(store, key, key.encode() * 9)
        smuggled = b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\nETag: "x"\r\n\r\nsmuggled!'
        proxy.forget()
        proxy.plan(Follow(data=smuggled))
        assert (await read(store, "a")).value == b"a" * 9
        assert (await read(store, "b")).value == b"b" * 9

    @pytest.mark.parametrize("after", [0, 100, 3000])
    async def test_a_stall_ends_with_the_deadline(
        self, store: KeyValueStore, proxy: FaultProxy, after: int
    ) -> None:
        await self.put(store, "k", VALUE)
        proxy.forget()
        proxy.plan(Stall(after=after))
        outcomes: list[object] = []
        for timeout in (0.1, 1.0, 10.0):
            call = start(store.read, "k", timeout=timeout)
            outcomes += await asyncio.gather(call, return_exceptions=True)
            if proxy.statistics.faults:
                break
            # The time ran out before the request was there.
        assert isinstance(outcomes[0], DeadlineExceeded)
        assert (await read(store, "k")).value == VALUE
        assert proxy.statistics.faults == 1

    async def test_a_server_that_was_restarted(
        self, store: KeyValueStore, proxy: FaultProxy
    ) -> None:
        await self.put(store, "k", VALUE)
        for _ in range(3):
            assert (await read(store, "k")).value == VALUE
            proxy.stop()
            proxy.restart()
        assert (await read(store, "k")).value == VALUE
        proxy.stop()
        with pytest.raises(Unavailable):
            await read(store, "k")
        proxy.restart()
        assert (await read(store, "k")).value == VALUE

    async def test_cancelled_reads_leave_nothing(
        self, store: KeyValueStore, proxy: FaultProxy
    ) -> None:
        await self.put(store, "k", VALUE)
        assert (await read(store, "k")).value == VALUE

        async def cancelled(moment: int) -> None:
            task = asyncio.ensure_future(read(store, "k"))
            await asyncio.sleep(moment % 16 * 0.0002)
            task.cancel()
            await asyncio.wait([task])

        width = 16
        for round_ in range(self.cancelled_reads // width):
            await asyncio.gather(*(cancelled(round_ + place) for place in range(width)))
        left = await start(_tasks)
        assert (await read(store, "k")).value == VALUE
        assert not [task for task in left if "send" in task], left
        # No more than were in use at once are kept.
        assert await start(_settled, proxy, 2 * width) <= 2 * width
        assert _sockets(proxy.port) <= 2 * width

    # -- Writing ------------------------------------------------------------------------------

    @pytest.mark.parametrize("fault", PASSING, ids=_name)
    async def test_writes_survive_what_passes(
        self, store: KeyValueStore, proxy: FaultProxy, fault: Fault
    ) -> None:
        if not store.capabilities.writable:
            return
        proxy.plan(fault)
        stamp = await write(store, "k", VALUE)
        found = await read(store, "k")
        assert (found.value, found.stamp.generation) == (VALUE, stamp.generation)
        proxy.plan(fault)
        assert (await write(store, "k", None)).generation == NO_VALUE
        assert (await read(store, "k")).state == "missing"

    @pytest.mark.parametrize("fault", PASSING, ids=_name)
    async def test_conditional_writes_are_resolved(
        self, store: KeyValueStore, proxy: FaultProxy, fault: Fault
    ) -> None:
        """What a conditional write answers is true, even where an answer was lost."""
        if not store.capabilities.can_create_if_absent:
            return
        for key, value, condition, wins in (
            ("new", b"1", NO_VALUE, True),
            ("new", b"2", NO_VALUE, False),
        ):
            proxy.plan(fault)
            stamp = await write(store, key, value, condition)
            assert (stamp.generation != UNKNOWN) is wins
            proxy.forget()
        found = await read(store, "new")
        assert found.value == b"1"
        if not store.capabilities.can_compare_and_swap:
            return
        proxy.plan(fault)
        second = await write(store, "new", b"3", found.stamp.generation)
        proxy.forget()
        again = await read(store, "new")
        assert (again.value, again.stamp.generation) == (b"3", second.generation)
        proxy.plan(fault)
        assert (await write(store, "new", b"4", found.stamp.generation)).generation == UNKNOWN
        proxy.forget()
        assert (await read(store, "new")).value == b"3"

    @pytest.mark.parametrize("fault", LOST, ids=_name)
    async def test_only_one_creator_wins_when_answers_are_lost(
        self, store: KeyValueStore, proxy: FaultProxy, fault: Fault
    ) -> None:
        if not store.capabilities.can_create_if_absent:
            return
        proxy.plan(*[fault] * 3)
        values = [b"%d" % place for place in range(5)]
        stamps = await asyncio.gather(*(write(store, "k", value, NO_VALUE) for value in values))
        won = [place for place, stamp in enumerate(stamps) if stamp.generation != UNKNOWN]
        assert len(won) == 1
        found = await read(store, "k")
        assert (found.value, found.stamp.generation) == (
            values[won[0]],
            stamps[won[0]].generation,
        )

    # -- Listing ------------------------------------------------------------------------------

    @pytest.mark.parametrize("fault", PASSING[:9], ids=_name)
    async def test_listings_and_ranges_survive_what_passes(
        self, store: KeyValueStore, proxy: FaultProxy, fault: Fault
    ) -> None:
        if not store.capabilities.listable:
            return
        names = ["a/b", "a/c", "d"]
        for name in names:
            await self.put(store, name, b"1")
        proxy.forget()
        proxy.plan(fault)
        assert await keys(store) == names
        if store.capabilities.writable:
            proxy.plan(fault)
            await start(store.delete_range, KeyRange.prefix("a/"))
            assert await keys(store) == ["d"]


async def _tasks() -> list[str]:
    """What is going on on the I/O loop, when what was given up has had its turn."""
    for _ in range(10):
        await asyncio.sleep(0)
    return [repr(task.get_coro()) for task in asyncio.all_tasks()]


async def _settled(proxy: FaultProxy, wanted: int) -> int:
    """The open connections of a proxy, once those that were closed are closed there too."""
    for _ in range(6000):
        if proxy.statistics.open <= wanted:
            break
        await asyncio.sleep(0.01)
    return proxy.statistics.open


def _sockets(port: int) -> int:
    """The sockets of this process that are connected to a port of the loopback."""
    table = Path("/proc/self/net/tcp")
    if not table.exists():
        return 0
    remote = f":{port:04X}"
    lines = [line.split() for line in table.read_text().splitlines()[1:]]
    inodes = {f"socket:[{line[9]}]" for line in lines if line[2].endswith(remote)}
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            count += str(link.readlink()) in inodes
        except OSError:
            continue
    return count
