"""`CloudFaultSuite`: what every cloud's store survives, or tells, in the words of its service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from asynctensor.errors import DataLoss, Unimplemented
from asynctensor.kvstores._http.network_store import ObjectStore
from asynctensor.runtime.event_loop import start
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import ReadOptions
from asynctensor.testing.fault_proxy import FaultProxy
from asynctensor.testing.kvstore_calls import entries, fill, keys, read, write
from asynctensor.testing.network_faults import Fault
from tests.servers.scripted import Asked, Said, ScriptedServer

Store = ObjectStore[Any, Any, Any]


def name_of(fault: Fault) -> str:
    return f"{type(fault).__name__}-{getattr(fault, 'status', getattr(fault, 'after', ''))}"


def is_delete(head: bytes) -> bool:
    return head.startswith(b"DELETE")


class CloudFaultSuite:
    """The tests; a subclass has the fixtures `proxy` and `store`, and says what its service says.

    Attributes:
        undone: The server has not done it, whatever it is.
        lost: It has, and the answer is lost.
        at_writes: Those of them that conditional writes are tried with.
        damaged_listings: Answers to a listing that are none.
        value_fields: Fields of an answer with the value ``value``, checksum included.
        is_batch: Tells the request that deletes many; None: there is none of that kind.
    """

    undone: ClassVar[Sequence[Fault]]
    lost: ClassVar[Sequence[Fault]]
    at_writes: ClassVar[Sequence[Fault]]
    damaged_listings: ClassVar[Sequence[bytes]]
    value_fields: ClassVar[Sequence[tuple[tuple[str, str], ...]]]
    is_batch: ClassVar[Any] = None

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Has each test run with what the service says."""
        given = {
            "fault": [*self.undone, *self.lost],
            "write_fault": self.at_writes,
            "listing": self.damaged_listings,
            "fields": self.value_fields,
        }
        for argument, values in given.items():
            if argument in metafunc.fixturenames:
                is_fault = argument.endswith("fault")
                metafunc.parametrize(argument, values, ids=name_of if is_fault else None)

    @staticmethod
    def is_put(head: bytes) -> bool:
        """Whether a request puts an object."""
        return head.startswith(b"PUT")

    def scripted(self, url: str) -> Store:
        """A store of a server that says what it is told."""
        raise NotImplementedError

    async def checks_deletes(self, store: Store) -> bool:
        """Whether the server checks conditions of deletes."""
        return True

    async def test_every_operation_survives(
        self, store: Store, proxy: FaultProxy, fault: Fault
    ) -> None:
        async def faulty(call: Any, fault: Fault = fault) -> Any:
            proxy.plan(fault)
            before = proxy.statistics.faults
            result = await call
            assert proxy.statistics.faults == before + 1
            return result

        value = b"value" * 100
        stamp = await faulty(write(store, "a/b", value))
        found = await faulty(read(store, "a/b"))
        assert (found.value, found.stamp.generation) == (value, stamp.generation)
        for low, high in ((1, 3), (-2, None)):
            wanted = ReadOptions(ByteRange(low, high))
            assert (await faulty(read(store, "a/b", wanted))).value == value[low:high]
        assert [e.key for e in await faulty(entries(store))] == ["a/b"]
        assert (await faulty(write(store, "a/b", None))).generation == NO_VALUE
        await fill(store, ["a/c", "a/d", "e"])
        meant = fault if self.is_batch is None else replace(fault, when=self.is_batch)
        await faulty(start(store.delete_range, KeyRange.prefix("a/")), meant)
        assert await keys(store) == ["e"]

    async def test_conditional_writes_are_found_again(
        self, store: Store, proxy: FaultProxy, write_fault: Fault
    ) -> None:
        at_put = replace(write_fault, when=self.is_put)
        proxy.plan(at_put)
        first = await write(store, "k", b"1", NO_VALUE)
        assert (await read(store, "k")).stamp.generation == first.generation != UNKNOWN
        proxy.plan(at_put)
        second = await write(store, "k", b"2", first.generation)
        found = await read(store, "k")
        assert (found.value, found.stamp.generation) == (b"2", second.generation)
        # One that fails is not taken for one that was done.
        proxy.plan(at_put)
        assert (await write(store, "k", b"3", first.generation)).generation == UNKNOWN
        if not await self.checks_deletes(store):
            with pytest.raises(Unimplemented, match="conditional_delete"):
                await write(store, "k", None, second.generation)
            assert (await read(store, "k")).value == b"2"
            return
        proxy.plan(replace(write_fault, when=is_delete))
        assert (await write(store, "k", None, second.generation)).generation == NO_VALUE
        assert await keys(store) == []
        assert proxy.statistics.faults == 4

    async def test_damage_on_the_way_is_noticed(self, fields: tuple[tuple[str, str], ...]) -> None:
        bodies = {"k": b"value", "damaged": b"valve"}

        def script(asked: Asked) -> Said:
            place = asked.target.partition("?")[0].rpartition("/")[2]
            return Said(200, fields, bodies[place])

        with ScriptedServer(script) as server:
            store = self.scripted(server.url)
            assert (await read(store, "k")).value == b"value"
            with pytest.raises(DataLoss, match="the bytes that came have the"):
                await read(store, "damaged")

    async def test_damaged_listings_are_refused(self, listing: bytes) -> None:
        with (
            ScriptedServer(lambda asked: Said(200, body=listing)) as server,
            pytest.raises(DataLoss),
        ):
            await entries(self.scripted(server.url))
