"""Many writers at once, of as many processes or of one: on S3 with 20 ms for each request."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.case import RowSpec, Scene, Target
from benchmarks.cases.far_reads import quantile
from benchmarks.cases.repository_commits import opened
from benchmarks.distant import Distant
from benchmarks.peers import peer_class
from benchmarks.repositories import Making, Process, check_together, far, made, turn_of
from benchmarks.repository_worker import latencies

ARRAY = Making("array", 1024)
WRITERS = 16
TASKS = 64
#: The writers that this process has, by peer and setting.
_writers: dict[tuple[str, str], list[Process]] = {}


def seconds_of(scene: Scene) -> float:
    """Seconds in which commits are begun."""
    return 1.0 if scene.quick else 3.0


async def writers(scene: Scene, peer: str, setting: str) -> list[Process]:
    """Processes that have opened the repository, and each committed once."""
    if (peer, setting) not in _writers:
        jobs = [
            {
                "do": "commit",
                "peer": peer,
                "setting": setting,
                "ground": asdict(far(scene, peer, setting, ARRAY.name)),
                "rows": list(range(writer, ARRAY.rows, WRITERS)),
            }
            for writer in range(WRITERS)
        ]
        started = await asyncio.gather(*(asyncio.to_thread(Process, job) for job in jobs))
        _writers[peer, setting] = started
    return _writers[peer, setting]


def rows_done(taken: list[list[float]], step: int) -> list[int]:
    """The rows that writers of the numbers 0, 1, 2 ... have written, each `step` rows apart."""
    each = ARRAY.rows // step
    return [
        writer + step * turn
        for writer, mine in enumerate(taken)
        for turn in range(min(len(mine), each))
    ]


@dataclass(frozen=True)
class Writers(Distant):
    """16 processes commit to chunks of their own, as fast as they can."""

    peers: tuple[str, ...] = ("asynctensor", "icechunk")
    name: str = "repo-writers"
    rows: tuple[RowSpec, ...] = (
        RowSpec(
            "20 ms away: 16 processes, disjoint chunks: time per commit",
            "ms",
            Target(8, 14),
            "time",
        ),
        RowSpec("the same: p95 of a commit", "s", Target(1.0, 0.3, is_ratio=False), "p95"),
    )
    fresh_process: bool = False

    async def _measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        await made(scene, self.peers, [ARRAY], peer)
        turn = turn_of(self.name, peer, setting)
        # The first turn does not count: each commits once.
        seconds, salt = (seconds_of(scene) if turn else 0.0), turn + 1
        mine = await writers(scene, peer, setting)
        began = time.perf_counter()
        for each in mine:
            each.go(seconds=seconds, salt=salt)
        found = await asyncio.gather(*(asyncio.to_thread(each.answer) for each in mine))
        seconds = time.perf_counter() - began
        fresh: Any = peer_class(peer)(setting)
        repository = await fresh.open_repository(far(scene, peer, setting, ARRAY.name))
        if peer == "asynctensor":
            # This process has opened it before, and has heard of no commit of others.
            await repository[0].refresh()
        rows = rows_done(found, WRITERS)
        await check_together(fresh, repository, ARRAY.rows, rows, salt)
        taken = [one for each in found for one in each]
        return {"time": seconds / len(taken) * 1e3, "p95": quantile(taken, 0.95)}


@dataclass(frozen=True)
class Tasks(Distant):
    """64 tasks of one process commit to chunks of their own, as fast as they can."""

    peers: tuple[str, ...] = ("asynctensor", "ocdbt")
    name: str = "repo-tasks"
    rows: tuple[RowSpec, ...] = (
        RowSpec(
            "20 ms away: 64 tasks of one process, disjoint chunks: time per commit",
            "ms",
            Target(5.0, 1000 / 450, is_ratio=False),
        ),
    )
    fresh_process: bool = False

    async def _measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        await made(scene, self.peers, [ARRAY], peer)
        instance, repository = await opened(scene, peer, setting, ARRAY.name)
        turn = turn_of(self.name, peer, setting)
        seconds, salt = (seconds_of(scene) if turn else 0.0), turn + 1
        rows = [list(range(task, ARRAY.rows, TASKS)) for task in range(TASKS)]
        began = time.perf_counter()
        found = await asyncio.gather(
            *(latencies(instance, repository, mine, salt, seconds) for mine in rows)
        )
        taken = time.perf_counter() - began
        await check_together(instance, repository, ARRAY.rows, rows_done(found, TASKS), salt)
        return {"": taken / sum(map(len, found)) * 1e3}


CASES = (Writers(), Tasks())
