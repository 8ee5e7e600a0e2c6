"""How benchmark results are judged: the better setting counts, ratios are to the best peer."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.case import Outcome, Row, RowSpec, Target
from benchmarks.every_case import ALL
from benchmarks.layouts import LAYOUTS, make_volume
from benchmarks.part import Part, joined
from benchmarks.report import failures, table

RATIO = Target(1.3, 1.7)
BOUND = Target(8, 5, is_ratio=False)


def row(target: Target, ours: list[float], *theirs: tuple[str, str, list[float]]) -> Row:
    outcomes = [Outcome("asynctensor", "default", ours)]
    outcomes += [Outcome(*their) for their in theirs]
    return Row("case", RowSpec("a case", "s", target), outcomes)


def test_the_better_setting_of_the_best_peer_counts() -> None:
    measured = row(
        RATIO,
        [1.0, 9.0, 1.1],
        ("tensorstore", "default", [3.0]),
        ("tensorstore", "tuned", [2.2]),
        ("zarr", "default", [4.0]),
    )
    assert measured.ratio() == pytest.approx(2.0)


@pytest.mark.parametrize(("ours", "verdict"), [(1.0, "aim"), (1.4, "held"), (1.9, "short")])
def test_a_ratio_is_judged(ours: float, verdict: str) -> None:
    assert row(RATIO, [ours], ("zarrs", "default", [2.0])).verdict() == verdict


@pytest.mark.parametrize(("ours", "verdict"), [(5.0, "aim"), (8.0, "held"), (8.1, "short")])
def test_a_bound_is_judged_without_peers(ours: float, verdict: str) -> None:
    assert row(BOUND, [ours]).verdict() == verdict


def test_a_failure_is_shown_and_judged_as_nothing() -> None:
    failed = row(RATIO, [], ("tensorstore", "default", [3.0]))
    failed.outcomes[0].error = "it broke"
    assert failed.verdict() == ""
    assert "| failed |" in table([failed])
    assert "it broke" in failures([failed])[0]


def test_a_row_is_shown_where_it_was_measured() -> None:
    def part(*rows: Row) -> Part:
        return Part(list(rows), "", {}, {}, 1, 16, 1.0)

    def named(name: str, values: list[float]) -> Row:
        return Row(name, RowSpec(name, "s"), [Outcome("asynctensor", "default", values)])

    one, two = joined(
        [part(named("a", [1]), named("b", []), named("c", [])), part(named("b", [2.0]))]
    )
    assert [row.name for row in one.rows] == ["a", "c"]
    assert [row.name for row in two.rows] == ["b"]


def test_names_of_cases_are_unique() -> None:
    assert len({case.name for case in ALL}) == len(ALL)


def test_names_of_layouts_are_unique() -> None:
    assert len({layout.name for layout in LAYOUTS}) == len(LAYOUTS)


def test_the_volume_is_the_same_each_time() -> None:
    volume = make_volume(16)
    assert (volume == make_volume(16)).all()
    assert volume.std() > 8


def test_a_measuring_process_loads_no_peer_and_no_other_case() -> None:
    # Each spawned process imports the main module and its case.
    program = (
        "import sys, benchmarks.__main__, benchmarks.cases.gathered_reads; print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout.split()
    assert not {"asynctensor", "tensorstore", "zarr", "xarray", "obstore", "torch"} & set(loaded)
