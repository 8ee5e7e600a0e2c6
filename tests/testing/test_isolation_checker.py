"""The checker finds each class of anomaly, names it rightly, and finds none where there is none."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynctensor.errors import InvalidArgument
from asynctensor.testing.dependency_graph import DependencyGraph
from asynctensor.testing.history import Append, Operation, Outcome, Read, Transacted, Write
from asynctensor.testing.isolation_checker import FINAL, check, check_invariant


def t(name: str, *operations: Operation, outcome=Outcome.COMMITTED, at=(0.0, 1.0)) -> Transacted:
    return Transacted(name, operations, outcome, *at)


def kinds(history, **options) -> list[str]:
    return [anomaly.kind for anomaly in check(history, **options)]


A, B = "a", "b"
SERIAL = [
    t("1", Append(A, 1), Read(A, (1,)), Append(B, 1)),
    t("2", Read(A, (1,)), Append(A, 2)),
    t("3", Read(A, (1, 2)), Read(B, (1,))),
]

ANOMALIES: dict[str, tuple[list[Transacted], dict[str, Any], list[str]]] = {
    "G0": (
        [t("1", Append(A, 1), Append(B, 1)), t("2", Append(A, 2), Append(B, 2))],
        {"final": {A: (1, 2), B: (2, 1)}},
        ["G0"],
    ),
    "G0 within one list": (
        [t("1", Append(A, 1), Append(A, 3)), t("2", Append(A, 2))],
        {"final": {A: (1, 2, 3)}},
        ["G0"],
    ),
    "G1a": (
        [t("1", Append(A, 1), outcome=Outcome.ABORTED), t("2", Read(A, (1,)))],
        {},
        ["G1a"],
    ),
    "G1a register": (
        [t("1", Write(A, 1), outcome=Outcome.ABORTED), t("2", Read(A, 1))],
        {},
        ["G1a"],
    ),
    "G1b": (
        [t("1", Append(A, 1), Append(A, 2)), t("2", Read(A, (1,)))],
        {"final": {A: (1, 2)}},
        ["G1b", "G-single"],
    ),
    "G1b register": ([t("1", Write(A, 1), Write(A, 2)), t("2", Read(A, 1))], {}, ["G1b"]),
    "G1c": (
        [t("1", Append(A, 1), Read(B, (1,))), t("2", Append(B, 1), Read(A, (1,)))],
        {},
        ["G1c"],
    ),
    "G1c register": (
        [t("1", Write(A, 1), Read(B, 1)), t("2", Write(B, 1), Read(A, 1))],
        {},
        ["G1c"],
    ),
    "G-single: read skew": (
        [t("1", Append(A, 1), Append(B, 1)), t("2", Read(A, (1,)), Read(B, ()))],
        {"final": {A: (1,), B: (1,)}},
        ["G-single"],
    ),
    "G-single: read skew of registers": (
        [t("1", Write(A, 1), Write(B, 1)), t("2", Read(A, 1), Read(B, None))],
        {},
        ["G-single"],
    ),
    "G-single: lost update of a known order": (
        [t("1", Read(A, None), Write(A, 1)), t("2", Read(A, None), Write(A, 2))],
        {"versions": {A: [1, 2]}},
        ["lost-update", "G-single"],
    ),
    "lost update": (
        [t("1", Read(A, None), Write(A, 1)), t("2", Read(A, None), Write(A, 2))],
        {},
        ["lost-update", "G2"],
    ),
    "G2: write skew": (
        [t("1", Read(A, ()), Append(B, 1)), t("2", Read(B, ()), Append(A, 1))],
        {"final": {A: (1,), B: (1,)}},
        ["G2"],
    ),
    "G2: write skew of registers": (
        [t("1", Read(A, None), Write(B, 1)), t("2", Read(B, None), Write(A, 1))],
        {},
        ["G2"],
    ),
    "G2: appends that only the end shows": (
        [t("1", Read(A, ()), Append(B, 1)), t("2", Read(B, ()), Append(A, 1))],
        {},
        ["G2"],
    ),
    "realtime": (
        [t("1", Append(A, 1), at=(0, 1)), t("2", Read(A, ()), at=(2, 3))],
        {"final": {A: (1,)}, "realtime": True},
        ["G-single-realtime"],
    ),
    "realtime of three": (
        [
            t("1", Append(A, 1), at=(0, 1)),
            t("2", Append(B, 1), at=(2, 3)),
            t("3", Read(A, ()), at=(4, 5)),
        ],
        {"final": {A: (1,), B: (1,)}, "realtime": True},
        ["G-single-realtime"],
    ),
    "realtime G0": (
        [t("1", Append(A, 1), at=(2, 3)), t("2", Append(A, 2), at=(0, 1))],
        {"final": {A: (1, 2)}, "realtime": True},
        ["G0-realtime"],
    ),
    "internal: own append not seen": ([t("1", Append(A, 1), Read(A, ()))], {}, ["internal"]),
    "internal: own write not seen": ([t("1", Write(A, 1), Read(A, None))], {}, ["internal"]),
    "internal: not repeatable": (
        [t("1", Append(A, 1)), t("2", Read(A, ()), Read(A, (1,)))],
        {},
        ["internal"],
    ),
    "lost": ([t("1", Append(A, 1))], {"final": {A: ()}}, ["lost", "G-single-realtime"]),
    "duplicate": ([t("1", Append(A, 1))], {"final": {A: (1, 1)}}, ["duplicate"]),
    "order": (
        [
            t("1", Append(A, 1)),
            t("2", Append(A, 2)),
            t("3", Read(A, (1, 2))),
            t("4", Read(A, (2, 1))),
        ],
        {},
        ["order"],
    ),
    "invented": ([t("1", Read(A, (7,)))], {}, ["invented"]),
    "an unknown one was seen half": (
        [
            t("1", Append(A, 1), Append(B, 1), outcome=Outcome.UNKNOWN),
            t("2", Read(A, (1,)), Read(B, ())),
        ],
        {},
        ["G-single"],
    ),
}


@pytest.mark.parametrize("name", ANOMALIES)
def test_each_class_is_found(name) -> None:
    history, options, expected = ANOMALIES[name]
    if name == "lost":
        options = {**options, "realtime": True}
    for order in itertools.permutations(history):
        assert kinds(order, **options) == expected


def test_a_serial_history_has_none() -> None:
    for order in itertools.permutations(SERIAL):
        assert kinds(order, final={A: (1, 2), B: (1,)}, realtime=False) == []


def test_registers_in_series_have_none() -> None:
    history = [
        t("1", Write(A, 1), Read(A, 1)),
        t("2", Read(A, 1), Write(A, 2), Write(A, 3)),
        t("3", Read(A, 3), Read(B, None)),
    ]
    assert kinds(history, final={A: 3, B: None}) == []
    assert kinds(history, versions={A: [1, 3]}) == []


def test_what_is_unknown_and_unseen_counts_for_nothing() -> None:
    lost = t("1", Append(A, 1), Read(B, (9,)), outcome=Outcome.UNKNOWN)
    assert kinds([lost, t("2", Append(A, 2))], final={A: (2,)}) == []


def test_what_is_unknown_may_happen_after_its_client_gave_up() -> None:
    late = t("1", Append(A, 1), outcome=Outcome.UNKNOWN, at=(0, 1))
    history = [late, t("2", Read(A, ()), at=(2, 3)), t("3", Read(A, (1,)), at=(4, 5))]
    assert kinds(history, realtime=True) == []


def test_the_report_names_the_circle() -> None:
    history, options, _ = ANOMALIES["G-single: read skew"]
    (anomaly,) = check(history, **options)
    assert set(anomaly.transactions) == {"1", "2"}
    assert str(anomaly) == "G-single: 2 -rw(b)-> 1 -wr(a)-> 2"


def test_the_shortest_circle_is_reported() -> None:
    graph = DependencyGraph()
    for before in range(10):
        graph.add(before, (before + 1) % 10, "ww", "x")
    graph.add(6, 4, "ww", "y")
    circle = graph.shortest_cycle(("ww",), "ww")
    assert circle is not None
    assert {edge[0] for edge in circle} == {4, 5, 6}
    assert graph.shortest_cycle(("wr",), "wr") is None


def test_long_chains_are_no_trouble() -> None:
    graph = DependencyGraph()
    for before in range(20_000):
        graph.add(before, before + 1, "wr", "x")
    assert graph.shortest_cycle(("wr",), "wr") is None


def test_histories_must_name_their_writes_uniquely() -> None:
    with pytest.raises(InvalidArgument, match="twice"):
        check([t("1", Append(A, 1)), t("2", Append(A, 1))])
    with pytest.raises(InvalidArgument, match="same name"):
        check([t("1"), t("1")])
    with pytest.raises(InvalidArgument, match="same name"):
        check([t(FINAL)], final={})


def test_invariants() -> None:
    history = [
        t("1", Read(A, 50), Read(B, 50), Write(A, 40), Write(B, 60), Read(A, 40)),
        t("2", Read(A, 40), Read(B, 50)),
        t("3", Read(A, 0), Read(B, 0), outcome=Outcome.ABORTED),
        t("4", Read(A, 1)),
    ]
    (anomaly,) = check_invariant(history, (A, B), lambda values: sum(values) == 100, "bank")
    assert (anomaly.kind, anomaly.transactions) == ("bank", ("2",))


# -- against trying every order -------------------------------------------------------------------


@st.composite
def executions(draw) -> tuple[list[Transacted], dict[str, tuple[int, ...]]]:
    """Transactions that run step by step on shared lists, each read now or from its beginning."""
    count = draw(st.integers(2, 4))
    plans = [
        draw(st.lists(st.tuples(st.booleans(), st.sampled_from("ab")), min_size=1, max_size=3))
        for _ in range(count)
    ]
    steps = draw(st.permutations([at for at, plan in enumerate(plans) for _ in plan]))
    state: dict[str, list[int]] = {A: [], B: []}
    begun: dict[int, dict[str, list[int]]] = {}
    done: list[list[Operation]] = [[] for _ in plans]
    serial = itertools.count(1)
    for at in steps:
        begun.setdefault(at, {key: list(values) for key, values in state.items()})
        appends, key = plans[at][len(done[at])]
        if appends:
            value = next(serial)
            state[key].append(value)
            done[at].append(Append(key, value))
        else:
            old = draw(st.booleans())
            own = [o.value for o in done[at] if isinstance(o, Append) and o.key == key]
            seen = begun[at][key] + own if old else state[key]
            done[at].append(Read(key, tuple(seen)))
    history = [t(str(at), *operations) for at, operations in enumerate(done)]
    return history, {key: tuple(values) for key, values in state.items()}


def explained_by(order, final) -> bool:
    state: dict[str, tuple[Any, ...]] = {A: (), B: ()}
    for transacted in order:
        for operation in transacted.operations:
            if isinstance(operation, Append):
                state[operation.key] += (operation.value,)
            elif state[operation.key] != operation.value:
                return False
    return state == final


@given(executions())
def test_it_agrees_with_trying_every_order(execution) -> None:
    history, final = execution
    serializable = any(explained_by(order, final) for order in itertools.permutations(history))
    assert (check(history, final=final) == []) == serializable
