"""Runs cases: all competitors in turn, the order rotated in each round."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from benchmarks.case import Case, Outcome, Row, ServedCase, WrongResult
from benchmarks.peers import peer_class
from benchmarks.worker import Place, Worker, WorkerFailed

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """How everything is measured.

    Attributes:
        data_folder: Where volumes and arrays are written.
        edge: Edge length of the volume.
        rounds: How many values are taken of each competitor.
        seconds: After this time in one case, a competitor that has three values is left out of
            its further rounds.
        quick: Whether a rough answer in seconds is wanted.
    """

    data_folder: Path
    edge: int
    rounds: int
    seconds: float
    quick: bool


@dataclass
class _Competitor:
    peer: str
    setting: str
    outcomes: dict[str, Outcome]
    worker: Worker | None = None
    spent: float = 0.0

    @property
    def values(self) -> int:
        return max(len(outcome.values) for outcome in self.outcomes.values())

    def fail(self, error: str) -> None:
        for outcome in self.outcomes.values():
            outcome.error = error


def settings_of(peer: str) -> list[str]:
    """The settings of a peer; one that cannot be imported has the default, which then fails."""
    try:
        return list(peer_class(peer).SETTINGS)
    except ImportError:
        return ["default"]


def run_case(case: Case, options: Options, say: Callable[[str], None]) -> list[Row]:
    """Measures one case.

    Raises:
        WrongResult: A peer returned or wrote something wrong.
    """
    folder = (options.data_folder / case.name).absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    place = Place(folder, options.data_folder.absolute(), options.edge, options.quick)
    competitors = [
        _Competitor(peer, setting, {row.key: Outcome(peer, setting) for row in case.rows})
        for peer in case.peers
        for setting in settings_of(peer)[: 1 if options.quick else None]
    ]
    try:
        _once(lambda worker: worker.prepare(case, place))
        with _served(case, place) as place:
            warm_up = 0 if case.fresh_process else 1
            for turn in range(options.rounds + warm_up):
                first = turn % len(competitors)
                for competitor in competitors[first:] + competitors[:first]:
                    _measure(case, competitor, place, options, keep=turn >= warm_up)
                say(f"{case.name}: round {turn + 1 - warm_up} of {options.rounds}")
    finally:
        for competitor in competitors:
            if competitor.worker is not None:
                competitor.worker.close()
        shutil.rmtree(folder, ignore_errors=True)
    return [
        Row(
            f"{case.name}{'-' if row.key else ''}{row.key}",
            row,
            [competitor.outcomes[row.key] for competitor in competitors],
        )
        for row in case.rows
    ]


@contextmanager
def _served(case: Case, place: Place) -> Iterator[Place]:
    """The place, with the case's server if it has one."""
    if not isinstance(case, ServedCase):
        yield place
        return
    with case.serve(place.folder) as server:
        yield replace(place, server=server)


def _measure(
    case: Case, competitor: _Competitor, place: Place, options: Options, *, keep: bool
) -> None:
    failed = any(outcome.error for outcome in competitor.outcomes.values())
    if failed or (competitor.spent > options.seconds and competitor.values >= 3):
        return
    started = time.perf_counter()
    try:
        if case.fresh_process:
            values = _once(
                lambda worker: worker.measure(case, competitor.peer, competitor.setting, place)
            )
        else:
            competitor.worker = competitor.worker or Worker()
            values = competitor.worker.measure(case, competitor.peer, competitor.setting, place)
    except WorkerFailed as error:
        competitor.fail(str(error))
        return
    except WrongResult as error:
        raise WrongResult(
            f"{case.name}, {competitor.peer} ({competitor.setting}): {error}"
        ) from error
    competitor.spent += time.perf_counter() - started
    if keep:
        for key, outcome in competitor.outcomes.items():
            if key in values:
                outcome.values.append(values[key])


def _once(job: Callable[[Worker], T]) -> T:
    worker = Worker()
    try:
        return job(worker)
    finally:
        worker.close()
