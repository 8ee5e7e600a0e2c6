"""Whoever waits at the gate gets through, and whoever leaves takes nothing along."""

from __future__ import annotations

import asyncio

import pytest

from asynctensor.scheduler.admission import INITIAL
from asynctensor.scheduler.flow import FLOW
from asynctensor.scheduler.gate import Gate, GateStatistics

NOTHING = GateStatistics(0, 0)


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_than_the_limit_and_all_in_the_end() -> None:
    gate, inside, most = Gate(), 0, 0

    async def request() -> None:
        nonlocal inside, most
        async with gate.admitted("h", 10) as outcome:
            inside += 1
            most = max(most, inside)
            await turns()
            inside -= 1
            outcome.ok = True

    await asyncio.gather(*(request() for _ in range(500)))
    assert INITIAL <= most <= gate.limit_of("h")
    assert gate.statistics() == NOTHING


async def test_a_turn_that_comes_at_once_is_told_by_the_answer_alone() -> None:
    """Whoever asks without a task has no ticket yet while he asks."""
    gate = Gate()
    called: list[str] = []
    # Of the first two, one is at a host that nobody has asked before.
    asked = [gate.ask("h", 1, 2, lambda n=name: called.append(n)) for name in ("a", "b", "c")]
    assert ([is_now for _, is_now in asked], called) == ([True, True, False], [])
    gate.release(asked[0][0], 0.0, pushed_back=False, ok=True)
    assert called == ["c"]
    for ticket, _ in asked[1:]:
        gate.release(ticket, 0.0, pushed_back=False, ok=True)
    assert gate.statistics() == NOTHING


async def test_bytes_are_bounded() -> None:
    gate, under_way = Gate(budget=100), []

    async def request(weight: int) -> None:
        async with gate.admitted("h", weight):
            under_way.append(gate.statistics().bytes_under_way)
            await turns()

    await asyncio.gather(*(request(40) for _ in range(10)), request(500))
    assert max(w for w in under_way if w != 500) <= 100
    assert gate.statistics() == NOTHING


async def test_who_leaves_the_queue_holds_up_nobody() -> None:
    gate, opened = Gate(), asyncio.Event()

    async def request() -> None:
        async with gate.admitted("h", 1, most=1):
            await opened.wait()

    first, second, third = [asyncio.ensure_future(request()) for _ in range(3)]
    await turns()
    second.cancel()
    opened.set()
    await asyncio.gather(first, third)
    with pytest.raises(asyncio.CancelledError):
        await second
    assert gate.statistics() == NOTHING


async def test_who_is_let_through_and_cancelled_at_once_gives_the_place_back() -> None:
    gate = Gate()

    async def request(hold: asyncio.Event) -> None:
        async with gate.admitted("h", 1, most=1):
            await hold.wait()

    holds = [asyncio.Event() for _ in range(3)]
    first, second, third = [asyncio.ensure_future(request(hold)) for hold in holds]
    await turns()
    first.cancel()
    await asyncio.sleep(0)
    # The first has just made room for the second, which has not run since.
    second.cancel()
    await turns()
    holds[2].set()
    await third
    await asyncio.gather(first, second, return_exceptions=True)
    assert gate.statistics() == NOTHING


async def test_a_small_operation_does_not_wait_for_a_huge_one() -> None:
    gate, order = Gate(), []

    async def request(name: str) -> None:
        async with gate.admitted("h", 1, most=1):
            order.append(name)
            await turns()

    async def operation(name: str, count: int) -> None:
        FLOW.set(name)
        await asyncio.gather(*(request(name) for _ in range(count)))

    await asyncio.gather(operation("huge", 100), operation("small", 1))
    assert order.index("small") <= 3
