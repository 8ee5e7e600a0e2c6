"""Repositories that are measured: where they are, what is in them, and the processes that use them.

An array of uint16 whose chunks are its rows; what a row holds follows from its number and a salt.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.case import Scene, WrongResult
from benchmarks.layouts import Volume
from benchmarks.peers import Ground
from benchmarks.runner import settings_of

#: Seconds in which the server answers.
DELAY = 0.020
#: Values of a row, which is a chunk, in arrays of very many.
LENGTH = 8
PEERS = ("asynctensor", "icechunk", "ocdbt")
#: How often this process has measured a case, a peer and a setting.
_turns: Counter[tuple[str, str, str]] = Counter()


def turn_of(case: str, peer: str, setting: str) -> int:
    """How often this was asked in this process before."""
    name = (case, peer, setting)
    _turns[name] += 1
    return _turns[name] - 1


def row_of(number: int, length: int, salt: int = 0) -> Volume:
    """What a row holds once it was committed."""
    return np.full((1, length), (number * 7 + salt) % 60_000 + 1, np.uint16)


def rows_of(first: int, last: int, length: int) -> Volume:
    """What `row_of` gives for many."""
    numbers = (np.arange(first, last) * 7 % 60_000 + 1).astype(np.uint16)
    return np.repeat(numbers[:, None], length, axis=1)


async def check(peer: Any, opened: Any, rows: Iterable[int], salt: int) -> None:
    """Compares rows with what was committed.

    Raises:
        WrongResult: One differs.
    """
    for number in rows:
        found = await peer.read_rows(opened, number, number + 1)
        if not np.array_equal(found, row_of(number, LENGTH, salt)):
            raise WrongResult(f"row {number} is not as it was committed")


async def check_together(
    peer: Any, opened: Any, count: int, rows: Iterable[int], salt: int
) -> None:
    """The same of many of the first `count` rows, which are read at once.

    Raises:
        WrongResult: One differs.
    """
    found = await peer.read_rows(opened, 0, count)
    for number in rows:
        if not np.array_equal(found[number : number + 1], row_of(number, LENGTH, salt)):
            raise WrongResult(f"row {number} is not as it was committed")


def far(scene: Scene, peer: str, setting: str, name: str) -> Ground:
    """Where a peer's repository is, on the server of the case."""
    return Ground(f"{peer}-{setting}-{name}", scene.server.endpoint)


class Process:
    """A `repository_worker`, which has said that it is ready.

    Args:
        job: What it does, as JSON.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        command = [sys.executable, "-m", "benchmarks.repository_worker", json.dumps(job)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self._line()

    def turn(self, **what: Any) -> Any:
        """Has it do its job once.

        Returns:
            Its answer.
        """
        self.go(**what)
        return self.answer()

    def go(self, **what: Any) -> None:
        """Has it begin."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(what)}\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """What it found, once it is done."""
        return json.loads(self._line())

    def close(self) -> None:
        """Ends it."""
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process ended with {self._process.wait()}")
        return line


@dataclass(frozen=True)
class Making:
    """A repository to be made by a process of its own.

    Attributes:
        name: Of the repository, among those of its peer and setting.
        rows: Rows of its array.
        commits: Commits of one row each, in turn; 0: all rows are written, very many by a commit.
    """

    name: str
    rows: int
    commits: int = 0


async def made(scene: Scene, peers: Sequence[str], some: Sequence[Making], peer: str) -> None:
    """Returns when the repositories of all peers and settings are made, at once for the case.

    They are made side by side, as many as there are processors, and without a delay.

    Raises:
        RuntimeError: Those of `peer` could not be made.
    """
    marker = scene.folder / "made.json"
    if not marker.exists():
        scene.server.delay(0)
        jobs = {
            (each, setting, one.name): {
                "do": "make",
                "peer": each,
                "setting": setting,
                "ground": asdict(far(scene, each, setting, one.name)),
                "rows": one.rows,
                "commits": one.commits,
            }
            # What takes longest first.
            for one in some
            for each in reversed(peers)
            for setting in settings_of(each)[: 1 if scene.quick else None]
        }
        free = asyncio.Semaphore(os.cpu_count() or 1)

        async def make(name: tuple[str, str, str]) -> str | None:
            async with free:
                try:
                    await asyncio.to_thread(_made, jobs[name])
                except RuntimeError as error:
                    return f"{name}: {error}"
            return None

        failed = await asyncio.gather(*(make(name) for name in jobs))
        found = {each: error for (each, *_), error in zip(jobs, failed, strict=True) if error}
        marker.write_text(json.dumps(found))
        scene.server.delay(DELAY)
    error = json.loads(marker.read_text()).get(peer)
    if error is not None:
        raise RuntimeError(error)


def _made(job: dict[str, Any]) -> None:
    process = Process(job)
    try:
        process.turn()
    finally:
        process.close()
