"""The harness finds what is wrong with wrong stores, and nothing wrong with ours."""

from __future__ import annotations

from collections import Counter

import pytest

from asynctensor.testing.history import Outcome
from tests.torture.domains import DOMAINS
from tests.torture.toys import (
    DenyingToy,
    DirtyToy,
    HangingToy,
    LostUpdateToy,
    SnapshotToy,
    TornToy,
    ToyDomain,
)
from tests.torture.workloads import WORKLOADS, Bank, ListAppend, OnCall
from tests.torture.world import World, run_world

#: What every change is tried with; `make torture` does the rest.
SEEDS = range(10)


@pytest.mark.parametrize("name", DOMAINS)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_ten_worlds_without_anomaly(name, workload) -> None:
    worlds = [run_world(seed, DOMAINS[name], workload=workload) for seed in SEEDS]
    assert [str(world) for world in worlds if world.anomalies] == []
    assert sum(world.outcomes[Outcome.COMMITTED] for world in worlds) > 100
    assert sum((world.counts for world in worlds), Counter()).total() > 50


@pytest.mark.parametrize("name", DOMAINS)
def test_a_seed_gives_the_same_world_every_time(name) -> None:
    for seed in range(3):
        assert run_world(seed, DOMAINS[name]) == run_world(seed, DOMAINS[name])


def found(toy: type[ToyDomain], seeds: int = 40, **options) -> set[str]:
    worlds: list[World] = [run_world(seed, toy, **options) for seed in range(seeds)]
    return {anomaly.kind for world in worlds for anomaly in world.anomalies}


def test_a_right_store_passes() -> None:
    assert found(ToyDomain, 80) == set()


def test_snapshot_isolation_shows_write_skew_and_nothing_less() -> None:
    assert found(SnapshotToy, workload=ListAppend) - {"G2-realtime"} == {"G2"}
    assert found(SnapshotToy, workload=OnCall) - {"G2-realtime"} == {"G2", "write-skew"}
    assert found(SnapshotToy, workload=Bank) == set()


def test_a_store_that_loses_updates_is_found_out() -> None:
    assert found(LostUpdateToy, workload=ListAppend) >= {"lost"}
    assert found(LostUpdateToy, workload=Bank) >= {"bank", "lost-update"}


def test_reads_of_what_is_not_committed_are_found_out() -> None:
    assert found(DirtyToy, workload=ListAppend) >= {"G1c", "G-single"}


def test_commits_that_are_seen_by_halves_are_found_out() -> None:
    assert found(TornToy) >= {"G-single"}


def test_a_commit_reported_as_aborted_is_found_out() -> None:
    assert found(DenyingToy) >= {"G1a"}


def test_a_store_that_never_answers_is_found_out() -> None:
    assert "Deadlock" in found(HangingToy, 3)
