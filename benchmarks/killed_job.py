"""What jobs share that are done while their processes are killed: what they write, what is counted.

The array has shards of 128², and a job writes it in parts that are no multiple of anything. Of each
part that is in `VICTIMS`, the process that has it in hand is killed once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import asynctensor as at

EDGE, SHARD, CHUNK = 528, 128, 64
#: Rows of the array that a task has.
ROWS = 24
TASKS = EDGE // ROWS
#: The tasks that are killed.
VICTIMS = (2, 9, 17)

Array = npt.NDArray[Any]


def values() -> Array:
    """What is computed; nowhere 0, which is what was never written."""
    return np.arange(1, EDGE * EDGE + 1, dtype="int32").reshape(EDGE, EDGE)


def kill_once(folder: str, task: int, process: int | None = None) -> None:
    """Kills a process, this one by default, the first time that a task of `VICTIMS` comes by."""
    mark = Path(folder) / f"killed {task}"
    if task in VICTIMS and not mark.exists():
        mark.touch()
        os.kill(os.getpid() if process is None else process, signal.SIGKILL)


@contextmanager
def told(folder: Path, victims: Sequence[int] = VICTIMS) -> Iterator[None]:
    """Says that all is there, and waits to be told to go on; see `loaded.timed`."""
    print("ready", flush=True)
    sys.stdin.readline()
    yield
    killed = len(list(folder.glob("killed *")))
    if killed != len(victims):
        raise SystemExit(f"{killed} processes were killed, and not {len(victims)}")


def opened(folder: Path, labels: Sequence[str] = ("", "")) -> tuple[at.Repository, at.TensorStore]:
    """A new repository, and the array in it that is to be written."""
    repository = at.Repository.open(folder / "repository", create=True).result()
    layout = at.ChunkLayout(write_chunk_shape=[SHARD] * 2, read_chunk_shape=[CHUNK] * 2)
    array = at.open(
        {"driver": "zarr3", "kvstore": repository.kvstore("array/")}, create=True, dtype="int32",
        domain=at.IndexDomain(shape=[EDGE] * 2, labels=labels), chunk_layout=layout,
    ).result()  # fmt: skip
    return repository, array


def answer(repository: at.Repository, array: at.TensorStore, parts: int, tasks: int) -> None:
    """Says of how many chunks something was lost, and how many parts and chunks are too many.

    Args:
        repository: Where it was committed: the job is the second commit in it.
        array: What was written.
        parts: That were committed.
        tasks: That there were.
    """
    repository.refresh().result()
    wrong = array.read().result() != values()
    lost = sum(
        bool(wrong[i : i + CHUNK, j : j + CHUNK].any())
        for i in range(0, EDGE, CHUNK)
        for j in range(0, EDGE, CHUNK)
    )
    job, *before = repository.log()
    assert len(before) == 1
    shards = sum(job.changes.chunks.values())
    doubled = abs(parts - tasks) + abs(shards - (-(-EDGE // SHARD)) ** 2)
    print(json.dumps([lost, doubled]), flush=True)
