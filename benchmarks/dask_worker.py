"""A process in which Dask writes an array by two further ones; see `loaded.timed`.

Its answer: in how many elements what was stored differs from what was computed, alone in a list;
where processes are killed, that of `killed_job`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster, get_worker

import asynctensor as at
from asynctensor.integrations.dask import Target, gather, store
from benchmarks import killed_job

EDGE, SHARD, CHUNK = 512, 128, 64
#: Of Dask: neither shards nor chunks are multiples of them.
BLOCK = (48, 80)


def values() -> np.ndarray[Any, Any]:
    """What is computed; nowhere 0, which is what was never written."""
    return np.arange(1, EDGE * EDGE + 1, dtype="int32").reshape(EDGE, EDGE)


def by_asynctensor(source: da.Array, folder: Path) -> Any:
    """Stores it in one commit; what is there then."""
    repository = at.Repository.open(folder / "repository", create=True).result()
    array = at.open(
        {"driver": "zarr3", "kvstore": repository.kvstore("array/")}, create=True, dtype="int32",
        shape=[EDGE, EDGE], chunk_layout=at.ChunkLayout(
            write_chunk_shape=[SHARD, SHARD], read_chunk_shape=[CHUNK, CHUNK]
        ),
    ).result()  # fmt: skip
    with repository.transaction(message="by Dask") as txn:
        da.store(source, Target.of(array.with_transaction(txn)), lock=False)
        gather(txn).result()
    return array.read().result()


def by_zarr(source: da.Array, folder: Path) -> Any:
    """Stores it as zarr-python's users do; what is there then."""
    # Processes that compute begin by this module: what they do not need is not loaded in them.
    import zarr

    array = zarr.create_array(
        folder / "array", shape=(EDGE, EDGE), dtype="int32", shards=(SHARD, SHARD),
        chunks=(CHUNK, CHUNK),
    )  # fmt: skip
    da.store(source, array, lock=False)
    return array[...]


def lines_up_nowhere(peer: str, folder: Path) -> None:
    """Stores blocks that are no multiple of anything."""
    print("ready", flush=True)
    sys.stdin.readline()
    source = da.from_array(values(), chunks=BLOCK)
    by = by_asynctensor if peer == "asynctensor" else by_zarr
    print(json.dumps([int((by(source, folder) != values()).sum())]), flush=True)


def killed(block: np.ndarray[Any, Any], folder: str, block_info: Any) -> np.ndarray[Any, Any]:
    """Kills the process that computes a block, the first time for some."""
    get_worker()
    killed_job.kill_once(folder, block_info[0]["chunk-location"][0])
    return block


def while_processes_are_killed(folder: Path) -> None:
    """Stores blocks of whole rows."""
    with killed_job.told(folder):
        repository, array = killed_job.opened(folder)
        blocks = da.from_array(killed_job.values(), chunks=(killed_job.ROWS, -1))
        blocks = blocks.map_blocks(killed, folder=str(folder), dtype="int32")
        with repository.transaction(message="by Dask") as txn:
            store(blocks, array.with_transaction(txn))
            parts = len(txn.receipts)
    killed_job.answer(repository, array, parts, blocks.npartitions)


def main(job: dict[str, Any]) -> None:
    """Stores it once."""
    folder = Path(job["folder"])
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
        if job["kills"]:
            while_processes_are_killed(folder)
        else:
            lines_up_nowhere(job["peer"], folder)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
