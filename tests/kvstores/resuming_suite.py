"""`ResumingSuite`: of a large answer that is cut off, a store asks for the rest."""

from __future__ import annotations

import os
import re

import pytest

from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.kvstore import KeyValueStore, ReadOptions
from asynctensor.testing.fault_proxy import FaultProxy
from asynctensor.testing.kvstore_calls import read
from asynctensor.testing.network_faults import Reset, Truncate

SIZE = 300_000
_RANGE = re.compile(rb"\r\n(?:x-ms-)?range: bytes=(\d+)-(\d+)\r\n", re.IGNORECASE)


def is_get(head: bytes) -> bool:
    return head.startswith(b"GET")


def part_of(head: bytes) -> tuple[int, int]:
    """The part of known ends that a request asks for; none if it asks for another one."""
    said = _RANGE.search(head)
    return (0, 0) if said is None else (int(said[1]), int(said[2]) + 1)


class ResumingSuite:
    """The tests, to be mixed into a `NetworkSuite`, whose fixtures they use."""

    @pytest.mark.parametrize("fault", [Truncate, Reset])
    @pytest.mark.parametrize(
        "wanted", [ByteRange(), ByteRange(50_000, 290_000), ByteRange(-280_000)], ids=str
    )
    async def test_the_rest_is_asked_for(
        self, store: KeyValueStore, proxy: FaultProxy, fault: type[Truncate], wanted: ByteRange
    ) -> None:
        value = os.urandom(SIZE)
        await self.put(store, "k", value)  # type: ignore[attr-defined]
        proxy.forget()
        proxy.plan(fault(after=120_000, when=is_get))
        begin, end = wanted.resolve(SIZE)
        found = await read(store, "k", ReadOptions(wanted))
        assert found.value == value[begin:end]
        assert proxy.statistics.faults == 1
        first, second = [head for head in proxy.statistics.requests if is_get(head)]
        if fault is Reset and part_of(second) == part_of(first):
            # It did away with what had come.
            return
        at, stop = part_of(second)
        assert begin + (1 << 16) <= at < stop == end
