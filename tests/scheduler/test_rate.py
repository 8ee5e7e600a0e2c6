"""No window of time has more permits than its rate allows, and every permit comes."""

from __future__ import annotations

import asyncio
import math
import pickle
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynctensor.errors import DeadlineExceeded
from asynctensor.runtime.clock import Deadline
from asynctensor.runtime.rate_limits import RateLimits
from asynctensor.scheduler.fair_queue import FairQueue
from asynctensor.scheduler.flow import FLOW
from asynctensor.scheduler.rate import RateLimiter
from asynctensor.scheduler.rate_gate import RateGate, rate_gate

rates = st.floats(0.01, 10_000)
doublings = st.sampled_from([0.0, math.inf, -1.0]) | st.floats(0.05, 1e6)


@given(rate=rates, doubling=doublings, pauses=st.lists(st.floats(0, 50), max_size=40))
def test_never_above_the_rate_and_never_stuck(
    rate: float, doubling: float, pauses: list[float]
) -> None:
    now = 1e6
    limiter = RateLimiter(rate, doubling, now)
    taken = []
    for pause in [0.0] * 30 + pauses:
        now += pause / rate
        while (wait := limiter.wait(now)) > 0:
            assert wait <= 1.01 / rate
            now += wait
        limiter.take(now)
        taken.append(now)
    for k, begin in enumerate(taken):
        for count, end in enumerate(taken[k:], 1):
            greatest = limiter.rate(end)
            assert count <= 1.001 + max(1.0, 0.1 * greatest) + greatest * (end - begin)


def test_the_rate_doubles() -> None:
    limiter, now, times = RateLimiter(10.0, 5.0, 0.0), 0.0, []
    while now < 20:
        now += limiter.wait(now)
        limiter.take(now)
        times.append(now)
    counts = [sum(begin <= t < begin + 5 for t in times) for begin in (0, 5, 10, 15)]
    assert all(1.9 < b / a < 2.1 for a, b in pairwise(counts))
    # After hours there is no limit left, and no overflow.
    assert limiter.wait(1e6) == 0


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=60))
def test_flows_take_turns(events: list[tuple[int, bool]]) -> None:
    queue: FairQueue[tuple[int, int]] = FairQueue()
    held: dict[int, list[tuple[int, int]]] = {}
    for number, (flow, leaves) in enumerate(events):
        if leaves and held.get(flow):
            item = held[flow].pop(len(held[flow]) // 2)
            assert queue.remove(flow, item)
            assert not queue.remove(flow, item)
        else:
            queue.push(flow, (flow, number))
            held.setdefault(flow, []).append((flow, number))
    flows = sum(bool(items) for items in held.values())
    first_round = [queue.pop() for _ in range(flows)]
    assert len({flow for flow, _ in first_round}) == flows
    rest = [queue.pop() for _ in range(len(queue))]
    assert queue.first() is None
    for flow, items in held.items():
        assert [item for item in first_round + rest if item[0] == flow] == items


async def test_a_small_operation_passes_a_huge_one() -> None:
    gate, order = RateGate(RateLimiter(2000.0, 0.0, -1e9)), []
    gone_before: list[int] = []

    async def request(name: str) -> None:
        FLOW.set(name)
        if name == "small":
            # However long this process was kept waiting meanwhile.
            gone_before.append(400 - len(gate))
        await gate.turn()
        order.append(name)

    huge = [asyncio.ensure_future(request("huge")) for _ in range(400)]
    await asyncio.sleep(0)
    small = asyncio.ensure_future(request("small"))
    # Where the process was kept waiting, it may have gone through already.
    huge[300].cancel()
    await small
    assert order.index("small") <= gone_before[0] + 2
    await asyncio.gather(*huge, return_exceptions=True)
    assert order.count("huge") == 400 - huge[300].cancelled()
    assert len(gate) == 0


async def test_the_deadline_covers_the_wait() -> None:
    gate = RateGate(RateLimiter(0.001, 0.0, -1e9))
    await gate.turn()
    with pytest.raises(DeadlineExceeded, match="rate limit"):
        await gate.turn(Deadline.of(0.01))
    assert len(gate) == 0


async def test_reads_and_writes_have_limits_of_their_own() -> None:
    limits = RateLimits(read_rate=5.0)
    assert rate_gate(limits, writes=True) is None
    gate = rate_gate(limits, writes=False)
    assert gate is rate_gate(limits, writes=False)
    copy = pickle.loads(pickle.dumps(limits))
    assert (copy.read_rate, copy.slots) == (5.0, {})


def test_a_gate_outlives_the_loop_that_it_was_used_on() -> None:
    limits = RateLimits(read_rate=random.uniform(1e4, 2e4))

    async def turns() -> None:
        gate = rate_gate(limits, writes=False)
        assert gate is not None
        await asyncio.gather(*(gate.turn() for _ in range(20)))

    asyncio.run(turns())
    asyncio.run(turns())
