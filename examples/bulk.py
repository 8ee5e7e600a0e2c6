"""A bulk ingestion: many tasks in several processes, one commit, and no work lost by a kill.

``python -m examples.bulk FOLDER`` fills the array ``picture/`` of a repository in `FOLDER`. Nobody
sees anything of it before its one commit. Kill it, with its workers, and run it again: it goes on
with the tasks that are left.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
from tqdm import tqdm

import asynctensor as at
from asynctensor.errors import Aborted

WIDTH, HEIGHT, ROWS = 256, 512, 16


def picture(first: int) -> np.ndarray:
    """Rows `first` to ``first + ROWS`` of the picture: what the task has to find out."""
    y, x = np.mgrid[first : first + ROWS, 0:WIDTH]
    point = (x / WIDTH * 3 - 2) + 1j * (y / HEIGHT * 2.4 - 1.2)
    value, steps = np.zeros_like(point), np.zeros(point.shape, np.uint8)
    for _ in range(60):
        inside = np.abs(value) < 2
        value[inside] = value[inside] ** 2 + point[inside]
        steps += inside
    return steps


async def work(token: at.SharedTransaction, first: int) -> at.Receipt:
    """One task, in whatever process: writes its rows, and says so."""
    async with await at.Transaction.join(token) as part:
        spec = {"driver": "zarr3", "kvstore": {**token.store, "path": "picture/"}}
        store = await at.open(spec, transaction=part)
        await store[first : first + ROWS].write(picture(first))
        # Done twice, it counts once: its name is the task's.
        return await part.finish(worker=f"rows {first}")


def run_task(token: at.SharedTransaction, first: int) -> at.Receipt:
    return asyncio.run(work(token, first))


def kept(job: Path) -> at.SharedTransaction | None:
    """The token in a file of ours, if there is one."""
    return pickle.loads(job.read_bytes()) if job.exists() else None


def keep(job: Path, token: at.SharedTransaction) -> None:
    new = job.with_suffix(".new")
    new.write_bytes(pickle.dumps(token))
    new.rename(job)


async def begin(folder: Path, job: Path) -> at.Transaction:
    """A new transaction, whose token is kept in the file `job`; or the one that is kept there."""
    token = kept(job)
    if token is not None:
        # If somebody changed what it rested on, that stands in the log: all of it is done anew.
        with suppress(Aborted):
            return await at.Transaction.resume(token)
    repository = await at.Repository.open(folder, create=True)
    transaction = repository.transaction(message="the picture", author="bulk")
    await at.open(
        {"driver": "zarr3", "kvstore": repository.kvstore("picture/")},
        create=True,
        transaction=transaction,
        dtype="uint8",
        shape=[HEIGHT, WIDTH],
        chunk_layout=at.ChunkLayout(chunk_shape=[ROWS, 64]),
    )
    keep(job, transaction.share())
    return transaction


async def ingest(folder: Path, processes: int) -> str | None:
    """Does what is left to do, and commits; gives the commit's id."""
    job = folder / "bulk.job"
    transaction = await begin(folder / "repository", job)
    transaction.add_many(await transaction.find_receipts())
    done = {each.worker for each in transaction.receipts}
    if done:
        print(f"{len(done)} tasks were done before")
    left = [first for first in range(0, HEIGHT, ROWS) if f"rows {first}" not in done]
    token = transaction.share()
    spawn = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(processes, mp_context=spawn) as pool,
        tqdm(
            total=HEIGHT // ROWS, initial=len(done), unit="task", mininterval=0, file=sys.stdout
        ) as bar,
    ):
        loop = asyncio.get_running_loop()
        tasks = [loop.run_in_executor(pool, run_task, token, first) for first in left]
        for task in asyncio.as_completed(tasks):
            bar.update(transaction.add(await task))
    await transaction.commit_async()
    job.unlink()
    print(f"committed {transaction.commit_id}")
    return transaction.commit_id


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(ingest(given.folder, given.processes))


if __name__ == "__main__":
    main()
