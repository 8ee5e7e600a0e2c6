"""A process in which Dask writes an array by two further ones; see `loaded.timed`.

Its answer: in how many elements what was stored differs from what was computed; of how many blocks
something was lost; and how many more parts than blocks were counted.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import zarr
from distributed import Client, LocalCluster, get_worker

import asynctensor as at
from asynctensor.integrations.dask import Target, gather, store

EDGE, SHARD, CHUNK = 512, 128, 64
#: Of Dask: neither shards nor chunks are multiples of them.
BLOCK = (48, 80)


def values() -> np.ndarray[Any, Any]:
    """What is computed; nowhere 0, which is what was never written."""
    return np.arange(1, EDGE * EDGE + 1, dtype="int32").reshape(EDGE, EDGE)


def dies_once(block: np.ndarray[Any, Any], folder: str, block_info: Any) -> np.ndarray[Any, Any]:
    """Kills the process that computes it, the first time for some blocks."""
    place = block_info[0]["chunk-location"]
    mark = Path(folder) / "-".join(map(str, place))
    if sum(place) == 2 and not mark.exists():
        mark.touch()
        get_worker()
        os._exit(1)
    return block


def by_asynctensor(source: da.Array, folder: Path, *, plainly: bool) -> tuple[Any, int]:
    """Stores it in one commit; what is there then, and how many parts were counted."""
    repository = at.Repository.open(folder / "repository", create=True).result()
    array = at.open(
        {"driver": "zarr3", "kvstore": repository.kvstore("array/")}, create=True, dtype="int32",
        shape=[EDGE, EDGE], chunk_layout=at.ChunkLayout(
            write_chunk_shape=[SHARD, SHARD], read_chunk_shape=[CHUNK, CHUNK]
        ),
    ).result()  # fmt: skip
    with repository.transaction(message="by Dask") as txn:
        into = array.with_transaction(txn)
        if plainly:
            da.store(source, Target.of(into), lock=False)
            gather(txn).result()
        else:
            store(source, into)
        parts = len(txn.receipts)
    return array.read().result(), parts


def by_zarr(source: da.Array, folder: Path) -> Any:
    """Stores it as zarr-python's users do; what is there then."""
    array = zarr.create_array(
        folder / "array", shape=(EDGE, EDGE), dtype="int32", shards=(SHARD, SHARD),
        chunks=(CHUNK, CHUNK),
    )  # fmt: skip
    da.store(source, array, lock=False)
    return array[...]


def main(job: dict[str, Any]) -> None:
    """Stores it once."""
    folder = Path(job["folder"])
    wanted = values()
    source = da.from_array(wanted, chunks=BLOCK)
    if job["kills"]:
        marks = folder / "marks"
        marks.mkdir()
        source = source.map_blocks(dies_once, folder=str(marks), dtype="int32")
    with (
        dask.config.set(
            {
                "distributed.scheduler.allowed-failures": 20,
                "temporary-directory": str(folder),
                "logging.distributed": "critical",
            }
        ),
        LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        print("ready", flush=True)
        sys.stdin.readline()
        parts = source.npartitions
        if job["peer"] == "asynctensor":
            found, parts = by_asynctensor(source, folder, plainly=not job["kills"])
        else:
            found = by_zarr(source, folder)
    wrong = found != wanted
    lost = sum(
        bool(wrong[i : i + BLOCK[0], j : j + BLOCK[1]].any())
        for i in range(0, EDGE, BLOCK[0])
        for j in range(0, EDGE, BLOCK[1])
    )
    print(json.dumps([int(wrong.sum()), lost, parts - source.npartitions]), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
