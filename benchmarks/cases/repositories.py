"""Commits, their history, and what they cost: on S3 with 20 ms for each request, and on files."""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.case import RowSpec, Scene, Target, WrongResult
from benchmarks.cases.far_reads import loop, quantile
from benchmarks.layouts import Volume
from benchmarks.peers import Ground, peer_class
from benchmarks.repository_worker import latencies, row_of
from tests.servers.distant_s3 import DistantS3, distant_s3

DELAY = 0.020
#: Values of a row, which is a chunk, in arrays of very many.
LENGTH = 8
#: Rows that are written by one commit while a large array is made.
_AT_ONCE = 100_000
PEERS = ("asynctensor", "icechunk", "ocdbt")
#: What this process has made and opened, by peer, setting and size.
_kept: dict[tuple[str, str, int], tuple[Any, Any]] = {}


def far(scene: Scene, peer: str, setting: str, count: int) -> Ground:
    """Where a peer's repository of a size is, on the server of the case."""
    return Ground(f"{peer}-{setting}-{count}", scene.server.endpoint)


async def made(
    ground: Ground, peer: str, setting: str, count: int, length: int = LENGTH
) -> tuple[Any, Any]:
    """A peer and its repository, all rows of which are written."""
    known = _kept.get((peer, setting, count))
    if known is None:
        instance: Any = peer_class(peer)(setting)
        opened = await instance.create_repository(ground, count, length)
        for first in range(0, count, _AT_ONCE):
            rows = rows_of(first, min(count, first + _AT_ONCE), length)
            await instance.commit(await instance.stage(opened, first, rows))
        for first in {0, count // 2, count - 1}:
            await check(instance, opened, [first], length, 0)
        known = _kept[peer, setting, count] = instance, opened
    return known


def rows_of(first: int, last: int, length: int) -> Volume:
    """What `row_of` gives for many."""
    numbers = (np.arange(first, last) * 7 % 60_000 + 1).astype(np.uint16)
    return np.repeat(numbers[:, None], length, axis=1)


async def check(peer: Any, opened: Any, rows: list[int], length: int, salt: int) -> None:
    """Compares rows with what was committed."""
    for number in rows:
        found = await peer.read_rows(opened, number, number + 1)
        if not np.array_equal(found, row_of(number, length, salt)):
            raise WrongResult(f"row {number} is not as it was committed")


def sizes(scene: Scene) -> tuple[int, int]:
    """A small and a large number of chunks."""
    return (1000, 20_000) if scene.quick else (1000, 1_000_000)


@dataclass(frozen=True)
class OneChunk:
    """Commits one chunk of a large array, and of a small one."""

    peers: tuple[str, ...] = PEERS
    name: str = "repo-one-chunk"
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
    )
    fresh_process: bool = False

    def prepare(self, scene: Scene) -> None:
        pass

    def serve(self, folder: Path) -> AbstractContextManager[DistantS3]:
        return distant_s3(folder / "server", DELAY)

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        return loop().run(self._measure(peer, setting, scene))

    async def _measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        small, large = sizes(scene)
        few = await self._commits(peer, setting, scene, small)
        many = await self._commits(peer, setting, scene, large)
        return {**many, "growth": many["time"] / few["time"]}

    async def _commits(self, peer: str, setting: str, scene: Scene, count: int) -> dict[str, float]:
        instance, opened = await made(far(scene, peer, setting, count), peer, setting, count)
        found: dict[str, list[float]] = {}
        server = scene.server
        for turn in range(4 if scene.quick else 12):
            number, salt = (turn * 7919 + 13) % count, turn + 1
            server.counts()
            staged = await instance.stage(opened, number, row_of(number, LENGTH, salt))
            before = server.counts()
            started = time.perf_counter()
            await instance.commit(staged)
            seconds = time.perf_counter() - started
            counts = server.counts()
            values = {
                "serial": counts.serial,
                "time": seconds * 1e3,
                "bytes": before.sent + counts.sent - 2 * LENGTH,
                "begin": before.serial,
            }
            for key, value in values.items():
                found.setdefault(key, []).append(value)
            await check(instance, opened, [number], LENGTH, salt)
        return {key: statistics.median(values) for key, values in found.items()}


def started(job: dict[str, Any]) -> subprocess.Popen[str]:
    """A worker that is ready."""
    command = [sys.executable, "-m", "benchmarks.repository_worker", json.dumps(job)]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    if worker.stdout.readline() != "ready\n":
        raise RuntimeError("a writer did not start")
    return worker


def go(worker: subprocess.Popen[str]) -> None:
    """Has a worker begin."""
    assert worker.stdin is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()


def answer(worker: subprocess.Popen[str]) -> Any:
    """What a worker found."""
    output, _ = worker.communicate()
    if worker.returncode:
        raise RuntimeError("a writer failed")
    return json.loads(output)


WRITERS = 16


@dataclass(frozen=True)
class Writers:
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

    def prepare(self, scene: Scene) -> None:
        pass

    def serve(self, folder: Path) -> AbstractContextManager[DistantS3]:
        return distant_s3(folder / "server", DELAY)

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        return loop().run(self._measure(peer, setting, scene))

    async def _measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        ground = far(scene, peer, setting, 1000)
        instance, _ = await made(ground, peer, setting, 1000)
        each = 3 if scene.quick else 12
        salt = int(time.time()) % 1000 + 1
        jobs = [
            {
                "peer": peer,
                "setting": setting,
                "ground": asdict(ground),
                "cold": False,
                "rows": [writer + WRITERS * turn for turn in range(each)],
                "length": LENGTH,
                "salt": salt,
            }
            for writer in range(WRITERS)
        ]
        workers = await asyncio.gather(*(asyncio.to_thread(started, job) for job in jobs))
        began = time.perf_counter()
        for worker in workers:
            go(worker)
        found = await asyncio.gather(*(asyncio.to_thread(answer, each) for each in workers))
        seconds = time.perf_counter() - began
        del instance
        fresh: Any = peer_class(peer)(setting)
        opened = await fresh.open_repository(ground)
        if peer == "asynctensor":
            await opened[0].refresh()
        await check(fresh, opened, list(range(WRITERS * each)), LENGTH, salt)
        taken = [one for each in found for one in each]
        return {"time": seconds / len(taken) * 1e3, "p95": quantile(taken, 0.95)}


TASKS = 64


@dataclass(frozen=True)
class Tasks:
    """64 tasks of one process commit to chunks of their own, as fast as they can."""

    peers: tuple[str, ...] = PEERS
    name: str = "repo-tasks"
    rows: tuple[RowSpec, ...] = (
        RowSpec(
            "20 ms away: 64 tasks of one process, disjoint chunks: time per commit",
            "ms",
            Target(5.0, 1000 / 450, is_ratio=False),
        ),
    )
    fresh_process: bool = False

    def prepare(self, scene: Scene) -> None:
        pass

    def serve(self, folder: Path) -> AbstractContextManager[DistantS3]:
        return distant_s3(folder / "server", DELAY)

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        return loop().run(self._measure(peer, setting, scene))

    async def _measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        ground = far(scene, peer, setting, 1000)
        instance, opened = await made(ground, peer, setting, 1000)
        # Where commits exclude each other, few are enough.
        each = 12 if peer == "asynctensor" else 1
        salt = int(time.time()) % 1000 + 1
        rows = [[task + TASKS * turn for turn in range(each)] for task in range(TASKS)]
        began = time.perf_counter()
        await asyncio.gather(*(latencies(instance, opened, mine, LENGTH, salt) for mine in rows))
        seconds = time.perf_counter() - began
        await check(instance, opened, list(range(TASKS * each)), LENGTH, salt)
        return {"": seconds / (TASKS * each) * 1e3}


@dataclass(frozen=True)
class ManyChunks:
    """Writes 10,000 chunks of 4 KB in one transaction, on files; durable."""

    peers: tuple[str, ...]
    name: str
    target: Target
    fresh_process: bool = False

    @property
    def rows(self) -> tuple[RowSpec, ...]:
        title = "files: write and commit of 10,000 chunks of 4 KB, codec `bytes`, durable"
        return (RowSpec(title, "s", self.target),)

    def prepare(self, scene: Scene) -> None:
        pass

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        return loop().run(self._measure(peer, setting, scene))

    async def _measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        count, length = (1000 if scene.quick else 10_000), 2048
        last = _kept.get((peer, setting, 0))
        if last is not None:
            shutil.rmtree(last[0])
        # Each time another place: a process remembers where there was a repository.
        ground = Ground(str(scene.folder / f"{peer}-{setting}-{time.monotonic_ns()}"))
        _kept[peer, setting, 0] = ground.path, None
        instance: Any = peer_class(peer)(setting)
        opened = await instance.create_repository(ground, count, length)
        data = np.random.default_rng(4).integers(1, 60_000, (count, length), np.uint16)
        began = time.perf_counter()
        await instance.commit(await instance.stage(opened, 0, data))
        seconds = time.perf_counter() - began
        if not np.array_equal(await instance.read_rows(opened, 0, count), data):
            raise WrongResult(f"{peer} committed something else")
        return {"": seconds}


@dataclass(frozen=True)
class ColdRead:
    """A new process opens a repository of a large array, and reads one chunk."""

    peers: tuple[str, ...] = PEERS
    name: str = "repo-cold"
    rows: tuple[RowSpec, ...] = (
        RowSpec(
            "20 ms away: cold open, and read of one chunk among 10⁶: requests one after the other",
            "",
            Target(5, 4, is_ratio=False),
            "serial",
        ),
        RowSpec("the same: bytes read", "KB", Target(200, 120, is_ratio=False), "bytes"),
        RowSpec("the same: time", "ms", None, "time"),
    )
    fresh_process: bool = False

    def prepare(self, scene: Scene) -> None:
        pass

    def serve(self, folder: Path) -> AbstractContextManager[DistantS3]:
        return distant_s3(folder / "server", DELAY)

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        return loop().run(self._measure(peer, setting, scene))

    async def _measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        count = sizes(scene)[1]
        ground = far(scene, peer, setting, count)
        await made(ground, peer, setting, count)
        number = count * 2 // 3
        job = {
            "peer": peer,
            "setting": setting,
            "ground": asdict(ground),
            "cold": True,
            "rows": [number],
        }
        worker = await asyncio.to_thread(started, job)
        scene.server.counts()
        go(worker)
        seconds, found = await asyncio.to_thread(answer, worker)
        counts = scene.server.counts()
        if found != row_of(number, LENGTH).tolist():
            raise WrongResult(f"{peer} read something else")
        return {
            "serial": counts.serial,
            "bytes": counts.received / 1e3,
            "time": seconds * 1e3,
        }


@dataclass(frozen=True)
class ThroughRepository:
    """Reads the whole volume through a repository, and from a plain array."""

    peers: tuple[str, ...] = ("asynctensor",)
    name: str = "repo-whole-read"
    rows: tuple[RowSpec, ...] = (
        RowSpec(
            "files: whole read through a repository, 64³ chunks, blosc, divided by that of a plain "
            "array",
            "times",
            Target(1.15, 1.0, is_ratio=False),
        ),
    )
    fresh_process: bool = False

    def prepare(self, scene: Scene) -> None:
        pass

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        return loop().run(self._measure(scene))

    async def _measure(self, scene: Scene) -> dict[str, float]:
        import asynctensor as at

        known = _kept.get(("whole", "", 0))
        if known is None:
            repository = await at.Repository.open(scene.folder / "repository", create=True)
            arrays = []
            for store in (
                repository.kvstore("array/"),
                {"driver": "file", "path": f"{scene.folder}/plain/"},
            ):
                array = await at.open(
                    {"driver": "zarr3", "kvstore": store},
                    create=True,
                    dtype="uint16",
                    shape=scene.data.shape,
                    chunk_layout=at.ChunkLayout(chunk_shape=[64, 64, 64]),
                    codec=at.CodecSpec(
                        {
                            "driver": "zarr3",
                            "codecs": [
                                {
                                    "name": "blosc",
                                    "configuration": {
                                        "cname": "lz4",
                                        "clevel": 5,
                                        "shuffle": "shuffle",
                                    },
                                }
                            ],
                        }
                    ),
                )
                await array.write(np.asarray(scene.data))
                arrays.append(array)
            known = _kept["whole", "", 0] = arrays[0], arrays[1]
        taken: list[list[float]] = [[], []]
        for _ in range(2 if scene.quick else 5):
            for array, mine in zip(known, taken, strict=True):
                began = time.perf_counter()
                found = await array.read()
                mine.append(time.perf_counter() - began)
                if not np.array_equal(found, scene.data):
                    raise WrongResult("a whole read found something else")
        return {"": min(taken[0]) / min(taken[1])}


CASES = (
    OneChunk(),
    Writers(),
    Tasks(),
    ManyChunks(("asynctensor", "icechunk"), "repo-many-chunks", Target(10, 25)),
    ManyChunks(("asynctensor", "ocdbt"), "repo-many-chunks-ocdbt", Target(0.5, 0.8)),
    ColdRead(),
    ThroughRepository(),
)
