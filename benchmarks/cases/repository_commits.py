"""What one commit costs in a large repository, and in one that has seen many commits."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.case import RowSpec, Scene, Target, WrongResult
from benchmarks.distant import Distant
from benchmarks.peers import peer_class
from benchmarks.repositories import (
    LENGTH,
    PEERS,
    Making,
    Process,
    check,
    far,
    made,
    row_of,
    turn_of,
)
from tests.servers.distant_s3 import DistantS3

#: What this process has opened, by peer, setting and name.
_opened: dict[tuple[str, str, str], tuple[Any, Any]] = {}


async def opened(scene: Scene, peer: str, setting: str, name: str) -> tuple[Any, Any]:
    """A peer, and a repository that it has opened and read from."""
    key = (peer, setting, name)
    if key not in _opened:
        instance: Any = peer_class(peer)(setting)
        repository = await instance.open_repository(far(scene, peer, setting, name))
        await instance.read_rows(repository, 0, 1)
        _opened[key] = instance, repository
    return _opened[key]


async def cost(
    peer: Any, repository: Any, number: int, salt: int, server: DistantS3
) -> dict[str, float]:
    """What the commit of one row costs, which is looked at then."""
    server.counts()
    staged = await peer.stage(repository, number, row_of(number, LENGTH, salt))
    before = server.counts()
    started = time.perf_counter()
    await peer.commit(staged)
    seconds = time.perf_counter() - started
    counts = server.counts()
    await check(peer, repository, [number], salt)
    return {
        "serial": counts.serial,
        "time": seconds * 1e3,
        "bytes": before.sent + counts.sent - 2 * LENGTH,
        "begin": before.serial,
    }


async def compared(
    scene: Scene, peer: str, setting: str, few: Making, many: Making, times: int
) -> dict[str, float]:
    """Costs of commits in the second of two repositories, and the growth against the first.

    They take turns, so that whatever else the machine does meanwhile falls on both.
    """
    turn = turn_of(many.name, peer, setting)
    found: dict[str, dict[str, list[float]]] = {few.name: {}, many.name: {}}
    for k in range(times):
        salt = 1 + turn * times + k
        for one in (few, many):
            instance, repository = await opened(scene, peer, setting, one.name)
            number = salt * 7919 % one.rows
            costs = await cost(instance, repository, number, salt, scene.server)
            for key, value in costs.items():
                found[one.name].setdefault(key, []).append(value)
    mine = {key: statistics.median(values) for key, values in found[many.name].items()}
    return {**mine, "growth": mine["time"] / statistics.median(found[few.name]["time"])}


@dataclass(frozen=True)
class LargeRepository(Distant):
    """Commits one chunk of a large array, and of a small one; opens the large one cold."""

    peers: tuple[str, ...] = PEERS
    name: str = "repo-large"
    rows: tuple[RowSpec, ...] = (
        RowSpec(
            "20 ms away: commit of one chunk among 10⁶, from the commit call: requests one after "
            "the other",
            "",
            Target(2, 1, is_ratio=False),
            "serial",
        ),
        RowSpec("the same: time", "ms", None, "time"),
        RowSpec(
            "the same: bytes written beyond the chunk",
            "",
            Target(2048, 1024, is_ratio=False),
            "bytes",
        ),
        RowSpec(
            "the same: to begin the transaction, and to stage: requests one after the other",
            "",
            Target(1, 0, is_ratio=False),
            "begin",
        ),
        RowSpec(
            "the same: time, divided by that among 10³",
            "times",
            Target(1.3, 1.05, is_ratio=False),
            "growth",
        ),
        RowSpec(
            "20 ms away: cold open, and read of one chunk among 10⁶: requests one after the other",
            "",
            Target(5, 4, is_ratio=False),
            "cold-serial",
        ),
        RowSpec("the same: bytes read", "KB", Target(200, 120, is_ratio=False), "cold-bytes"),
        RowSpec("the same: time", "ms", None, "cold-time"),
    )
    fresh_process: bool = False

    async def _measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        few, many = Making("small", 1000), Making("large", 20_000 if scene.quick else 1_000_000)
        await made(scene, self.peers, [many, few], peer)
        cold = await self._cold(peer, setting, scene, many)
        times = 4 if scene.quick else 8
        return {**cold, **await compared(scene, peer, setting, few, many, times)}

    async def _cold(self, peer: str, setting: str, scene: Scene, many: Making) -> dict[str, float]:
        # A row that no commit changes.
        number = many.rows * 2 // 3 // 7919 * 7919 + 1
        job = {
            "do": "cold",
            "peer": peer,
            "setting": setting,
            "ground": asdict(far(scene, peer, setting, many.name)),
            "row": number,
            # What is not cold is the library.
            "other": asdict(far(scene, peer, setting, "small")),
        }
        process = await asyncio.to_thread(Process, job)
        scene.server.counts()
        seconds, found = await asyncio.to_thread(process.turn)
        counts = scene.server.counts()
        process.close()
        if found != row_of(number, LENGTH).tolist():
            raise WrongResult(f"{peer} read something else")
        return {
            "cold-serial": counts.serial,
            "cold-bytes": counts.received / 1e3,
            "cold-time": seconds * 1e3,
        }


@dataclass(frozen=True)
class LongHistory(Distant):
    """Commits one chunk in a repository of 5,000 commits, and in one of 10."""

    peers: tuple[str, ...] = PEERS
    name: str = "repo-history"
    rows: tuple[RowSpec, ...] = (
        RowSpec("20 ms away: commit of one chunk, the 5,000th: time", "ms", None, "time"),
        RowSpec(
            "the same: time, divided by that of the 10th",
            "times",
            Target(1.3, 1.05, is_ratio=False),
            "growth",
        ),
        RowSpec("the same, the 5,000th: bytes written beyond the chunk", "", None, "bytes"),
    )
    fresh_process: bool = False

    async def _measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        few = Making("young", 1000, 10)
        many = Making("old", 1000, 500 if scene.quick else 5000)
        await made(scene, self.peers, [many, few], peer)
        times = 4 if scene.quick else 8
        return await compared(scene, peer, setting, few, many, times)


CASES = (LargeRepository(), LongHistory())
