"""A read that touches a million chunks of an empty array: time, memory, time to first request."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.case import RowSpec, Scene, Target, WrongResult
from benchmarks.cases.peak_memory import reset_peak, resident
from benchmarks.peers import peer_class

CHUNK = 3
SHAPE = (300, 300, 300)
FILL = 7


@dataclass(frozen=True)
class Plan:
    """Reads an array of 10^6 chunks, none of which is stored, from memory."""

    peers: tuple[str, ...] = ("asynctensor", "tensorstore")
    name: str = "plan"
    rows: tuple[RowSpec, ...] = (
        RowSpec("plan of 10⁶ chunks: time", "s", Target(2, 1, is_ratio=False), "plan"),
        RowSpec("plan of 10⁶ chunks: memory", "MiB", Target(250, 150, is_ratio=False), "memory"),
        RowSpec(
            "plan of 10⁶ chunks: time to the first store request",
            "ms",
            Target(100, 50, is_ratio=False),
            "first",
        ),
        RowSpec("read of 10⁶ chunks that are not stored, from memory", "s", None, "read"),
    )
    fresh_process: bool = True

    def prepare(self, scene: Scene) -> None:
        del scene

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        del setting, scene
        library: Any = peer_class(peer).library  # type: ignore[attr-defined]
        values = {"plan": plan_alone(library)} if peer == "asynctensor" else {}
        return values | asyncio.run(read_empty(library, watched=peer == "asynctensor"))


async def read_empty(library: Any, *, watched: bool) -> dict[str, float]:
    """Reads everything and tells what it took; `watched`: also when the store was first asked."""
    array = await library.open(
        {"driver": "zarr3", "kvstore": {"driver": "memory"}},
        create=True,
        dtype=library.uint8,
        shape=SHAPE,
        chunk_layout=library.ChunkLayout(chunk_shape=[CHUNK] * 3),
        fill_value=FILL,
    )
    values: dict[str, float] = {}
    with first_request() if watched else no_watch() as asked:
        reset_peak()
        before = resident("VmRSS")
        started = time.perf_counter()
        found = await array.read()
        values["read"] = time.perf_counter() - started
    values["memory"] = resident("VmHWM") - before - found.nbytes / 2**20
    if found.shape != SHAPE or not np.all(found == FILL):
        raise WrongResult("an empty array is not all fill value")
    if asked:
        values["first"] = (asked[0] - started) * 1e3
    return values


def plan_alone(library: Any) -> float:
    """Seconds to compute the key's position and the parts of all chunks, without any request."""
    grid = importlib.import_module("asynctensor.chunked.grid")
    transform = library.IndexTransform(domain=library.IndexDomain(shape=SHAPE))
    started = time.perf_counter()
    partition = grid.Partition.of(transform, [CHUNK] * 3, SHAPE)
    count = sum(1 for cell in partition.cells() if partition.index(cell))
    seconds = time.perf_counter() - started
    if count != 1_000_000:
        raise WrongResult(f"the plan has {count} chunks")
    return seconds


@contextmanager
def first_request() -> Iterator[list[float]]:
    """Records when asynctensor's memory store is first asked for a value."""
    face = importlib.import_module("asynctensor.kvstores.memory.store").MemoryFace
    original = face.read_group
    asked: list[float] = []

    def recording(self: Any, *arguments: Any) -> Any:
        asked.append(time.perf_counter())
        face.read_group = original
        return original(self, *arguments)

    face.read_group = recording
    try:
        yield asked
    finally:
        face.read_group = original


@contextmanager
def no_watch() -> Iterator[list[float]]:
    """Records nothing: there is no way to see a peer's requests from outside."""
    yield []


CASES = (Plan(),)
