"""Limits are kept, flows take turns, and everybody gets through."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from asynctensor.scheduler.admission import GREATEST, INITIAL, Admission, Ticket


def test_flows_take_turns() -> None:
    admission = Admission(10**9)
    for _ in range(100):
        admission.ask(Ticket("h", "huge"))
    first = list(admission.admit())
    assert len(first) == INITIAL
    small = Ticket("h", "small")
    admission.ask(small)
    admission.release(first[0], now=0, pushed_back=False, ok=True)
    admission.release(first[1], now=0, pushed_back=False, ok=True)
    assert small in list(admission.admit())


def test_the_budget_holds_and_lets_one_large_request_through() -> None:
    admission = Admission(100)
    large, other = Ticket("h", 1, 500), Ticket("h", 2, 10)
    admission.ask(large)
    admission.ask(other)
    assert list(admission.admit()) == [large]
    assert list(admission.admit()) == []
    admission.release(large, now=0, pushed_back=False, ok=True)
    assert list(admission.admit()) == [other]


def test_a_large_request_is_not_kept_out_by_small_ones() -> None:
    admission = Admission(100)
    under_way = []
    for k in range(10):
        admission.ask(Ticket("h", k, 10))
    under_way += admission.admit()
    large = Ticket("g", "large", 90)
    admission.ask(large)
    for k in range(30):
        admission.ask(Ticket("h", 10 + k, 10))
        admission.release(under_way.pop(0), now=0, pushed_back=False, ok=True)
        under_way += admission.admit()
        if large in under_way:
            break
    assert k < 12


def test_nobody_is_admitted_at_once_while_somebody_waits() -> None:
    admission = Admission(100)
    first = Ticket("h", 1, 60)
    admission.ask(first)
    assert list(admission.admit()) == [first]
    large, small = Ticket("h", 2, 50), Ticket("h", 3, 10)
    admission.ask(large)
    assert list(admission.admit()) == []
    assert not admission.admit_now(small)
    # Who has been let through cannot be withdrawn.
    assert not admission.withdraw(first)
    assert admission.waiting() == 1
    assert admission.withdraw(large)
    assert admission.waiting() == 0
    assert admission.admit_now(small)


def test_a_host_that_complains_gets_less_once_per_burst() -> None:
    admission = Admission(10**9)
    tickets = [Ticket("h", 1) for _ in range(10)]
    for ticket in tickets:
        admission.ask(ticket)
    assert len(list(admission.admit())) == 10
    for ticket in tickets[:5]:
        admission.release(ticket, now=10.0, pushed_back=True, ok=False)
    assert admission.limit_of("h") == INITIAL // 2
    admission.release(tickets[5], now=12.0, pushed_back=True, ok=False)
    assert admission.limit_of("h") == INITIAL // 4
    assert admission.limit_of("another") == INITIAL


def served(admission: Admission, count: int, took: float) -> None:
    """Has a host answer so many requests, each after so many seconds."""
    for ticket in [Ticket("h", 1) for _ in range(count)]:
        admission.ask(ticket)
    under_way = list(admission.admit())
    while under_way:
        ticket = under_way.pop(0)
        ticket.began = -took
        admission.release(ticket, now=0, pushed_back=False, ok=True)
        under_way += admission.admit()


def test_the_limit_doubles_until_the_first_complaint() -> None:
    admission = Admission(10**9)
    served(admission, 4 * INITIAL, 0.03)
    assert admission.limit_of("h") >= 2 * INITIAL
    ticket = Ticket("h", 1)
    admission.ask(ticket)
    list(admission.admit())
    before = admission.limit_of("h")
    admission.release(ticket, now=10.0, pushed_back=True, ok=False)
    assert before // 2 == admission.limit_of("h")
    served(admission, 2 * before, 0.03)
    assert before // 2 < admission.limit_of("h") < before // 2 + 8


def test_a_read_that_is_made_again_need_not_wait_for_its_own_answers() -> None:
    admission = Admission(10**9)
    for _ in range(4):
        served(admission, GREATEST, 0.1)
    assert admission.limit_of("h") == GREATEST
    # What nobody waited for shows nothing.
    admission = Admission(10**9)
    for _ in range(20):
        served(admission, INITIAL, 0.1)
    assert admission.limit_of("h") == INITIAL


def test_only_what_was_under_way_when_others_waited_counts() -> None:
    admission = Admission(10**9)
    tickets = [Ticket("h", 1) for _ in range(INITIAL + 1)]
    for ticket in tickets:
        admission.ask(ticket)
    list(admission.admit())
    admission.release(tickets[0], now=0, pushed_back=False, ok=True)
    assert list(admission.admit()) == [tickets[-1]]
    # It is the first for which there was more than enough room.
    assert admission.limit_of("h") == INITIAL + 1
    admission.release(tickets[-1], now=0, pushed_back=False, ok=True)
    assert admission.limit_of("h") == INITIAL + 1
    for ticket in tickets[1:-1]:
        admission.release(ticket, now=0, pushed_back=False, ok=True)
    assert admission.limit_of("h") == 2 * INITIAL


def test_what_only_makes_requests_wait_for_each_other_does_not_grow() -> None:
    admission = Admission(10**9)
    served(admission, 2, 0.01)
    served(admission, 1000, 0.05)
    assert admission.limit_of("h") == INITIAL


def test_a_limit_that_is_used_up_grows() -> None:
    admission = Admission(10**12)
    waiting = [Ticket("h", 1) for _ in range(20_000)]
    for ticket in waiting:
        admission.ask(ticket)
    under_way = list(admission.admit())
    for _ in range(19_000):
        admission.release(under_way.pop(0), now=0, pushed_back=False, ok=True)
        under_way += admission.admit()
    assert INITIAL < admission.limit_of("h") <= GREATEST
    admission.ask(Ticket("h", 2), most=8)
    assert admission.limit_of("h") == 8


def test_random_life() -> None:
    for seed in range(30):
        chance = random.Random(seed)
        admission = Admission(1000)
        under_way: list[Ticket] = []
        served: Counter[object] = Counter()
        asked: Counter[object] = Counter()
        for _ in range(400):
            match chance.randrange(3):
                case 0:
                    flow, host = chance.randrange(4), chance.randrange(3)
                    ticket = Ticket(host, flow, chance.randrange(600))
                    admission.ask(ticket)
                    if chance.random() < 0.1 and admission.withdraw(ticket):
                        continue
                    asked[host, flow] += 1
                case 1 if under_way:
                    ticket = under_way.pop(chance.randrange(len(under_way)))
                    admission.release(
                        ticket, now=chance.random() * 100, pushed_back=chance.random() < 0.1,
                        ok=True,
                    )  # fmt: skip
                case _:
                    for ticket in admission.admit():
                        under_way.append(ticket)
                        served[ticket.host, ticket.flow] += 1
            assert sum(t.weight for t in under_way) == admission.bytes_under_way
            assert admission.bytes_under_way <= 1000 or len(under_way) == 1
            for host in range(3):
                assert sum(t.host == host for t in under_way) <= GREATEST
        while under_way or admission.waiting():
            under_way += (more := list(admission.admit()))
            for ticket in more:
                served[ticket.host, ticket.flow] += 1
            admission.release(under_way.pop(), now=1e6, pushed_back=False, ok=True)
        assert served == asked
        assert admission.bytes_under_way == 0


events = st.lists(
    st.tuples(
        st.sampled_from(["ask", "answer", "push back", "leave"]),
        st.integers(0, 2),
        st.integers(0, 3),
        st.integers(0, 150),
    ),
    max_size=150,
)


@given(events)
def test_limits_hold_and_everybody_is_served(
    steps: list[tuple[str, int, int, int]],
) -> None:
    admission = Admission(100)
    waiting: list[Ticket] = []
    under_way: list[Ticket] = []
    now = 0.0

    def look() -> None:
        for ticket in admission.admit():
            waiting.remove(ticket)
            under_way.append(ticket)
        weights = [ticket.weight for ticket in under_way]
        assert sum(weights) == admission.bytes_under_way
        # More than the budget only for one that found nothing heavy under way.
        assert sum(weights) <= 100 or sum(weight > 0 for weight in weights) == 1
        for host in range(3):
            assert sum(t.host == host for t in under_way) <= max(most[host], 1)
        assert admission.waiting() == len(waiting)

    most = [3, 5, 40]
    for what, host, flow, weight in steps:
        now += 0.3
        if what == "ask":
            ticket = Ticket(host, flow, weight)
            waiting.append(ticket)
            admission.ask(ticket, most[host])
        elif what == "leave" and waiting:
            assert admission.withdraw(waiting.pop(flow % len(waiting)))
        elif under_way:
            ticket = under_way.pop(flow % len(under_way))
            pushed_back = what == "push back"
            admission.release(ticket, now=now, pushed_back=pushed_back, ok=not pushed_back)
        look()
    while under_way:
        ticket = under_way.pop(0)
        admission.release(ticket, now=now, pushed_back=False, ok=True)
        look()
    assert not waiting


@given(st.integers(1, 8), st.integers(1, 60))
def test_nobody_waits_longer_than_a_round_of_all(flows: int, held: int) -> None:
    admission = Admission(10**9)
    for flow in range(flows):
        for _ in range(held):
            admission.ask(Ticket("h", flow), most=1)
    late = Ticket("h", "late")
    (first,) = admission.admit()
    admission.ask(late, most=1)
    for _ in range(flows + 1):
        admission.release(first, now=0, pushed_back=False, ok=True)
        served = list(admission.admit())
        if late in served:
            return
        first = served[0]
    raise AssertionError("others were served twice before")
