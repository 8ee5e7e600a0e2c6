"""A process that makes a repository, commits to one, or opens one cold; see `repositories.Process`.

``python -m benchmarks.repository_worker JOB``, JOB being JSON. It says ``ready`` on a line of its
own. Each line that comes then is JSON, too, and one more turn of its job; it answers with a line.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.peers import Ground, peer_class
from benchmarks.repositories import LENGTH, check, row_of, rows_of

Turn: TypeAlias = Callable[..., Awaitable[Any]]
#: Rows that are written by one commit while a large array is made.
_AT_ONCE = 100_000


async def latencies(
    peer: Any, opened: Any, rows: Sequence[int], salt: int, seconds: float
) -> list[float]:
    """Commits rows one after the other for some time, and again from the first on.

    Returns:
        The seconds that each commit took.
    """
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while not taken or time.perf_counter() < until:
        number = rows[len(taken) % len(rows)]
        started = time.perf_counter()
        await peer.commit(await peer.stage(opened, number, row_of(number, LENGTH, salt)))
        taken.append(time.perf_counter() - started)
    return taken


async def make(peer: Any, ground: Ground, job: dict[str, Any]) -> Turn:
    """Makes a repository, and looks at it."""

    async def turn() -> None:
        rows, commits = job["rows"], job["commits"]
        opened = await peer.create_repository(ground, rows, LENGTH)
        if commits:
            for number in range(commits):
                row = row_of(number % rows, LENGTH)
                await peer.commit(await peer.stage(opened, number % rows, row))
        else:
            for first in range(0, rows, _AT_ONCE):
                some = rows_of(first, min(rows, first + _AT_ONCE), LENGTH)
                await peer.commit(await peer.stage(opened, first, some))
        await peer.settle(opened)
        last = min(rows, commits or rows) - 1
        await check(peer, opened, {0, last // 2, last}, 0)

    return turn


async def commit(peer: Any, ground: Ground, job: dict[str, Any]) -> Turn:
    """Commits rows as fast as it can; the repository is open."""
    opened = await peer.open_repository(ground)

    async def turn(seconds: float, salt: int) -> list[float]:
        return await latencies(peer, opened, job["rows"], salt, seconds)

    return turn


async def cold(peer: Any, ground: Ground, job: dict[str, Any]) -> Turn:
    """Opens a repository and reads one row; for one turn. Has read from another one before."""
    other = await peer.open_repository(Ground(**job["other"]))
    await peer.read_rows(other, 0, 1)

    async def turn() -> list[Any]:
        started = time.perf_counter()
        opened = await peer.open_repository(ground)
        found = await peer.read_rows(opened, job["row"], job["row"] + 1)
        return [time.perf_counter() - started, found.tolist()]

    return turn


async def work(peer: Any, ground: Ground, job: dict[str, Any]) -> Turn:
    """Writes what some workers of a shared transaction write, whose token is in a file."""
    import asynctensor as at

    folder, each = Path(ground.path), job["each"]
    token = pickle.loads((folder / "token").read_bytes())
    spec = {"driver": "zarr3", "kvstore": {**token.store, "path": "array/"}}

    async def turn() -> str:
        receipts = []
        for number in job["numbers"]:
            first, last = number * each, (number + 1) * each
            async with await at.Transaction.join(token) as part:
                array = await at.open(spec, transaction=part)
                await array[first:last].write(rows_of(first, last, LENGTH))
                receipts.append(await part.finish(worker=str(number)))
        file = folder / f"receipts-{job['numbers'][0]}"
        file.write_bytes(pickle.dumps(receipts))
        return str(file)

    return turn


JOBS = {"make": make, "commit": commit, "cold": cold, "work": work}


async def main(job: dict[str, Any]) -> None:
    peer: Any = peer_class(job["peer"])(job["setting"])
    turn = await JOBS[job["do"]](peer, Ground(**job["ground"]), job)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await turn(**json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
