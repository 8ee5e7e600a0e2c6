"""A process that commits to a repository, or opens it cold; started by `cases.repositories`.

``python -m benchmarks.repository_worker JOB``, JOB being JSON. It says ``ready`` on a line of its
own, waits for a line, and answers with a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import numpy as np

from benchmarks.layouts import Volume
from benchmarks.peers import Ground, peer_class


def row_of(number: int, length: int, salt: int = 0) -> Volume:
    """What a row holds once it was committed."""
    return np.full((1, length), (number * 7 + salt) % 60_000 + 1, np.uint16)


async def latencies(peer: Any, opened: Any, rows: list[int], length: int, salt: int) -> list[float]:
    """Commits rows one after the other; the seconds that each took."""
    taken = []
    for number in rows:
        started = time.perf_counter()
        await peer.commit(await peer.stage(opened, number, row_of(number, length, salt)))
        taken.append(time.perf_counter() - started)
    return taken


async def main(job: dict[str, Any]) -> None:
    peer: Any = peer_class(job["peer"])(job["setting"])
    ground = Ground(**job["ground"])
    rows = job["rows"]
    opened = None if job["cold"] else await peer.open_repository(ground)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    if job["cold"]:
        started = time.perf_counter()
        opened = await peer.open_repository(ground)
        found = await peer.read_rows(opened, rows[0], rows[0] + 1)
        answer: Any = [time.perf_counter() - started, found.tolist()]
    else:
        answer = await latencies(peer, opened, rows, job["length"], job["salt"])
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
