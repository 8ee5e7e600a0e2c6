from __future__ import annotations

import asyncio
import logging

import pytest

from asynctensor.runtime.process import PROCESS
from asynctensor.runtime.promise import Promise
from asynctensor.runtime.sources import SOURCES
from asynctensor.runtime.turn import BREATH, TurnCollector, breath_due, end_turn


class Deliveries(list):
    def __init__(self) -> None:
        super().__init__()
        self.collector = TurnCollector(self.append)


def test_without_a_loop_each_item_is_delivered_at_once() -> None:
    got = Deliveries()
    got.collector.add(1)
    got.collector.add(2)
    assert got == [[1], [2]]


def test_items_of_one_turn_are_delivered_together(run) -> None:
    got = Deliveries()

    async def one(i: int) -> None:
        got.collector.add(i)

    async def main() -> None:
        await asyncio.gather(*(one(i) for i in range(5)))
        await asyncio.sleep(0)
        assert got == [[0, 1, 2, 3, 4]]
        got.collector.add(5)
        got.collector.add(6)
        assert len(got) == 1
        await asyncio.sleep(0)

    run(main())
    assert got == [[0, 1, 2, 3, 4], [5, 6]]


def test_collectors_do_not_mix(run) -> None:
    one, two = Deliveries(), Deliveries()

    async def main() -> None:
        one.collector.add(1)
        two.collector.add("a")
        one.collector.add(2)
        await asyncio.sleep(0)

    run(main())
    assert (one, two) == ([[1, 2]], [["a"]])


def test_a_thread_about_to_block_delivers_first(run) -> None:
    got = Deliveries()

    async def main() -> None:
        got.collector.add(1)
        end_turn()
        assert got == [[1]]
        got.collector.add(2)
        await asyncio.sleep(0)
        assert got == [[1], [2]]

    run(main())


def test_result_ends_the_turn_before_it_blocks(run) -> None:
    promise, future = Promise.new()
    collector = TurnCollector(lambda items: promise.set_result(items))

    async def main() -> None:
        collector.add("x")
        # It would wait for ever if the turn did not end now.
        assert future.result() == ["x"]

    run(main())


def test_each_thread_has_a_turn_of_its_own(run, in_thread) -> None:
    got = Deliveries()

    async def main() -> None:
        got.collector.add("here")
        in_thread(got.collector.add, "there").result()
        assert got == [["there"]]

    run(main())
    assert got == [["there"], ["here"]]


def test_what_a_stopped_loop_left_is_delivered_by_the_next_turn() -> None:
    got = Deliveries()
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()

    async def add(item: int) -> None:
        got.collector.add(item)

    async def add_and_turn(item: int) -> None:
        got.collector.add(item)
        await asyncio.sleep(0)

    first.call_soon(first.stop)
    first.create_task(add(1))
    first.run_forever()
    second.run_until_complete(add_and_turn(2))
    assert got == [[1], [2]]
    first.close()
    second.close()


def test_a_delivery_that_fails_does_not_keep_the_others(run, caplog) -> None:
    def fail(items: list) -> None:
        raise RuntimeError("no")

    bad, good = TurnCollector(fail), Deliveries()

    async def main() -> None:
        bad.add(1)
        good.collector.add(2)
        await asyncio.sleep(0)

    with caplog.at_level(logging.ERROR):
        run(main())
    assert good == [[2]]
    assert "RuntimeError: no" in caplog.text
    with pytest.raises(RuntimeError):
        bad.add(1)


def test_items_added_during_delivery_come_in_the_next_turn(run) -> None:
    got: list[list[int]] = []

    def deliver(items: list[int]) -> None:
        got.append(items)
        if items == [1]:
            collector.add(2)

    collector = TurnCollector(deliver)

    async def main() -> None:
        collector.add(1)
        await asyncio.sleep(0)
        assert got == [[1]]
        await asyncio.sleep(0)
        assert got == [[1], [2]]

    run(main())


def test_no_breath_without_a_loop() -> None:
    assert not breath_due()


def test_a_breath_is_due_until_the_loop_came_round(run, monkeypatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(SOURCES, "monotonic", lambda: now[0])
    monkeypatch.setattr(PROCESS.local, "breath_until", 0.0)

    async def main() -> None:
        assert breath_due()
        # Every task is told, not only the first: together they must not hold the loop.
        assert breath_due()
        await asyncio.sleep(0)
        assert not breath_due()
        now[0] += 0.9 * BREATH
        assert not breath_due()
        now[0] += 0.2 * BREATH
        assert breath_due()

    run(main())
