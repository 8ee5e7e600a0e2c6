"""A commit of many chunks, written by one process or by a thousand workers: on files."""

from __future__ import annotations

import asyncio
import gc
import pickle
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.case import RowSpec, Scene, Target, WrongResult
from benchmarks.cases.far_reads import loop
from benchmarks.cases.peak_memory import reset_peak, resident
from benchmarks.peers import Ground, peer_class
from benchmarks.repositories import LENGTH, Process, row_of, turn_of


@dataclass(frozen=True)
class ManyChunks:
    """Writes 10,000 chunks of 4 KB in one transaction; durable."""

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
        # The first turn does not count.
        turn = turn_of(self.name, peer, setting)
        count, length = (1000 if scene.quick or not turn else 10_000), 2048
        # Each time another place: a process remembers where there was a repository.
        ground = Ground(str(scene.folder / f"{peer}-{setting}-{turn}"))
        instance: Any = peer_class(peer)(setting)
        repository = await instance.create_repository(ground, count, length)
        data = np.random.default_rng(4).integers(1, 60_000, (count, length), np.uint16)
        began = time.perf_counter()
        await instance.commit(await instance.stage(repository, 0, data))
        seconds = time.perf_counter() - began
        if not np.array_equal(await instance.read_rows(repository, 0, count), data):
            raise WrongResult(f"{peer} committed something else")
        shutil.rmtree(ground.path)
        return {"": seconds}


#: Workers of one commit, and chunks of each.
WORKERS = 1000
EACH = 10_000
#: Processes that do the work of all of them.
PROCESSES = 2


@dataclass(frozen=True)
class ManyWorkers:
    """Commits what a thousand workers have written: 10⁷ chunks of 16 bytes. Measured once."""

    peers: tuple[str, ...] = ("asynctensor",)
    name: str = "repo-many-workers"
    rows: tuple[RowSpec, ...] = (
        RowSpec(
            "files: one commit of 10⁷ chunks of 1,000 workers: memory of who commits, beyond idle",
            "MiB",
            Target(200, 50, is_ratio=False),
            "memory",
        ),
        RowSpec("the same: time of the commit call", "s", None, "time"),
        RowSpec(
            "the same: memory until the index behind it is made, too",
            "MiB",
            Target(200, 50, is_ratio=False),
            "fold",
        ),
    )
    fresh_process: bool = True

    def prepare(self, scene: Scene) -> None:
        pass

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        folder = scene.folder / "lab"
        if folder.exists():
            # It takes a minute: once will do.
            return {}
        return loop().run(self._measure(folder, scene))

    async def _measure(self, folder: Path, scene: Scene) -> dict[str, float]:
        import asynctensor as at

        workers, each = (100, 1000) if scene.quick else (WORKERS, EACH)
        repository = await at.Repository.open(folder, create=True)
        txn = repository.transaction(message="survey")
        await at.open(
            {"driver": "zarr3", "kvstore": repository.kvstore("array/")},
            create=True,
            transaction=txn,
            dtype="uint16",
            shape=[workers * each, LENGTH],
            chunk_layout=at.ChunkLayout(chunk_shape=[1, LENGTH]),
        )
        (scene.folder / "token").write_bytes(pickle.dumps(txn.share()))
        files = await asyncio.gather(
            *(
                asyncio.to_thread(_worked, scene.folder, range(first, workers, PROCESSES), each)
                for first in range(PROCESSES)
            )
        )
        gc.collect()
        reset_peak()
        before = resident("VmRSS")
        began = time.perf_counter()
        for file in files:
            txn.add_many(pickle.loads(file.read_bytes()))
        await txn.commit_async()
        seconds = time.perf_counter() - began
        committed = resident("VmHWM")
        while not any((folder / "ckpt").rglob("*/*")):
            await asyncio.sleep(0.1)
        peak = resident("VmHWM")
        array = await at.open({"driver": "zarr3", "kvstore": repository.kvstore("array/")})
        chance = np.random.default_rng(7)
        for number in [0, workers * each - 1, *chance.integers(0, workers * each, 50).tolist()]:
            if not np.array_equal(await array[number : number + 1].read(), row_of(number, LENGTH)):
                raise WrongResult(f"row {number} is not as a worker wrote it")
        return {"memory": committed - before, "time": seconds, "fold": peak - before}


def _worked(folder: Path, numbers: range, each: int) -> Path:
    """Does the work of some workers; the file of their receipts."""
    job = {
        "do": "work",
        "peer": "asynctensor",
        "setting": "default",
        "ground": asdict(Ground(str(folder))),
        "numbers": list(numbers),
        "each": each,
    }
    process = Process(job)
    try:
        return Path(process.turn())
    finally:
        process.close()


CASES = (
    ManyChunks(("asynctensor", "icechunk"), "repo-many-chunks", Target(10, 25)),
    ManyChunks(("asynctensor", "ocdbt"), "repo-many-chunks-ocdbt", Target(0.5, 0.8)),
    ManyWorkers(),
)
