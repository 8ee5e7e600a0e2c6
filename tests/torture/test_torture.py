"""The harness finds what is wrong with wrong stores, and nothing wrong with ours."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from asynctensor.errors import DataLoss
from asynctensor.testing.fault_presets import PRESETS, Faults
from asynctensor.testing.forgetful import ForgetfulFileSystem
from asynctensor.testing.history import Outcome
from tests.mutants.laboratory import Trial, Verdict
from tests.mutants.mutant import ROOT, Mutant
from tests.torture import crashes, killing, plain, programmes
from tests.torture.domains import DOMAINS
from tests.torture.report import Tally, page
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
#: What is written is often on its way for long; reads are answered.
LATE = Faults(
    late=0.6,
    lost_answer=0.1,
    patience=0.1,
    latest=30.0,
    when=lambda operation, key: operation == "write",
)


@pytest.mark.parametrize("name", DOMAINS)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_ten_worlds_without_anomaly(name, workload) -> None:
    worlds = [run_world(seed, DOMAINS[name], workload=workload) for seed in SEEDS]
    assert [str(world) for world in worlds if world.anomalies] == []
    assert sum(world.outcomes[Outcome.COMMITTED] for world in worlds) > 100
    assert sum((world.counts for world in worlds), Counter()).total() > 50


def test_forty_worlds_of_a_repository() -> None:
    worlds = [run_world(seed, DOMAINS["repo"], workload=ListAppend) for seed in range(100, 140)]
    assert [str(world) for world in worlds if world.anomalies] == []
    assert sum(world.outcomes[Outcome.UNKNOWN] for world in worlds) > 10


def test_worlds_in_which_answers_are_late() -> None:
    """Commits land when their clients have been told that nobody knows, or have asked."""
    outcomes: Counter[Outcome] = Counter()
    # In world 55 a late commit must be found again.
    for seed in range(45, 70):
        world = run_world(seed, DOMAINS["repo"], workload=ListAppend, faults=LATE)
        assert not world.anomalies, str(world)
        outcomes += world.outcomes
    assert min(outcomes[outcome] for outcome in Outcome) > 10


def test_a_repository_finds_out_that_records_were_replaced() -> None:
    """On a store that creates what is there already."""
    found = 0
    for seed in range(10):
        try:
            run_world(seed, DOMAINS["repo"], workload=ListAppend, faults=PRESETS["lying"])
        except* DataLoss:
            found += 1
    assert found


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
    assert found(TornToy, workload=ListAppend) >= {"G-single"}


def test_a_commit_reported_as_aborted_is_found_out() -> None:
    assert found(DenyingToy) >= {"G1a"}


def test_a_store_that_never_answers_is_found_out() -> None:
    assert "Deadlock" in found(HangingToy, 3)


def test_the_page_says_what_was_done() -> None:
    tally, other = Tally(), Tally()
    for seed in range(3):
        tally.add(run_world(seed, DOMAINS["memory"]))
        other.add(run_world(seed, LostUpdateToy, workload=ListAppend))
    mutant = Mutant("m", "something", "test", {})
    trials = [Trial(mutant, Verdict.KILLED, 1.0), Trial(mutant, Verdict.SURVIVED, 1.0)]
    text = page(
        {"memory": tally, "toy": other},
        trials,
        crashed=crashes.Crashes(points=9, states=7, commits=3, wrong=()),
        commit="abc",
        first=0,
        last=2,
        seconds=90,
        versions="Python 3",
    )
    assert "Commit `abc`, seeds 0 to 2, 1.5 minutes, Python 3." in text
    assert "| worlds | 3 | 3 |" in text
    assert f"| transactions committed | {tally.outcomes[Outcome.COMMITTED]} |" in text
    assert f"| anomalies | 0 | {other.anomalies.total()} |" in text
    assert f"| lost | 0 | {other.anomalies['lost']} |" in text
    assert "| different states, all recovered | 7 |" in text
    assert "1 of 2 killed" in text
    assert "| `m` | something | survived |" in text


def test_the_command_plays_worlds_and_gives_a_seed_again() -> None:
    command = [sys.executable, "-m", "tests.torture", "--seeds", "3", "--first", "7", "--verbose"]
    runs = [
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert "memory: seed 9" in runs[0]
    assert "anomalies: 0" in runs[0]


def test_killed_processes_leave_whole_commits(tmp_path) -> None:
    found = killing.run(tmp_path, kills=2, children=2, seed=1)
    assert found.wrong == ()
    assert found.landed >= found.acknowledged > 0


def test_processes_that_do_anything_and_are_killed(tmp_path) -> None:
    found = programmes.run(tmp_path, seconds=1.0, children=2, seed=3, least=3)
    assert found.wrong == []
    assert found.killed >= 2
    assert sum(n for (_, outcome), n in found.counts.items() if outcome != "unknown") >= 6


def test_killed_processes_leave_whole_parts_of_plain_arrays(tmp_path) -> None:
    found = plain.run(tmp_path, seconds=0.0, children=2, seed=1)
    assert found.wrong == []
    assert found.killed == 2
    assert found.acknowledged >= 2


def test_whatever_a_crash_leaves_has_all_that_was_acknowledged(tmp_path) -> None:
    found = crashes.run(tmp_path, commits=2, seed=1)
    assert found.states > 20
    assert found.wrong == ()


def test_a_disk_that_keeps_nothing_is_found_out(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(ForgetfulFileSystem, "_after_fsync", lambda self, _, fd: None)
    with pytest.raises(DataLoss, match=r"repo\.json"):
        crashes.run(tmp_path, commits=1, seed=1)
