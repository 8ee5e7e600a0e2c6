"""Writes NIfTI volumes as sharded, compressed zarr v3 arrays: many coroutines, one commit."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import asynctensor as at
from examples.nifti import Volume, read_volume

#: What is read at once: a plane of a volume touches few of these.
INNER_CHUNK = 32
#: What is stored as one value: 64 inner chunks.
SHARD = 128
Progress = Callable[[int], Any]


@dataclass(frozen=True)
class Ingested:
    """What one transaction wrote: its commit, arrays, voxels' bytes, coroutines, seconds."""

    commit: str
    arrays: int
    data_bytes: int
    coroutines: int
    seconds: float


def blocks(shape: tuple[int, ...], edge: int) -> Iterator[tuple[slice, ...]]:
    """The cubes of this edge length that tile an array; those at the border are cut off."""
    spans = [[slice(i, min(i + edge, n)) for i in range(0, n, edge)] for n in shape]
    return itertools.product(*spans)


async def create_array(group: at.Group, source: Path, volume: Volume) -> at.TensorStore:
    """Creates an array for a volume, with what is known of it as attributes."""
    return await group.create_array(
        name_of(source),
        dtype=volume.voxels.dtype,
        domain=at.IndexDomain(labels=["x", "y", "z"], shape=volume.voxels.shape),
        dimension_units=[f"{size:g} mm" for size in volume.voxel_size],
        chunk_layout=at.ChunkLayout(
            read_chunk_shape=[INNER_CHUNK] * 3, write_chunk_shape=[SHARD] * 3
        ),
        codec=at.CodecSpec(
            {
                "driver": "zarr3",
                "codecs": [
                    {
                        "name": "sharding_indexed",
                        "configuration": {"codecs": [{"name": "zstd"}]},
                    }
                ],
            }
        ),
        attributes={"source": source.name, "voxel_size_mm": list(volume.voxel_size)},
    )


async def ingest(
    sources: list[Path],
    repository: at.Repository,
    folder: str,
    progress: Progress,
    *,
    message: str,
) -> Ingested:
    """Writes every source into an array of its name: all of them in one commit, or none.

    Args:
        sources: NIfTI-1 files.
        repository: Where to.
        folder: The group in it that is made for them; it ends in ``/``.
        progress: Called with the number of bytes of each block that has been staged.
        message: Why.
    """
    started = time.perf_counter()
    volumes = [await asyncio.to_thread(read_volume, source) for source in sources]
    async with repository.transaction(message=message, author="the demo") as transaction:
        group = await at.create_group(
            repository.kvstore(folder),
            transaction=transaction,
            attributes={"subject": "MNI152", "volumes": [name_of(each) for each in sources]},
        )
        stores = await asyncio.gather(
            *(create_array(group, s, v) for s, v in zip(sources, volumes, strict=True))
        )

        async def write_block(
            store: at.TensorStore, voxels: np.ndarray[Any, Any], block: tuple[slice, ...]
        ) -> None:
            await store[block].write(voxels[block])
            progress(voxels[block].nbytes)

        writes = [
            write_block(store, volume.voxels, block)
            for store, volume in zip(stores, volumes, strict=True)
            for block in blocks(volume.voxels.shape, INNER_CHUNK)
        ]
        await asyncio.gather(*writes)
    assert transaction.commit_id is not None
    return Ingested(
        commit=transaction.commit_id,
        arrays=len(stores),
        data_bytes=sum(volume.voxels.nbytes for volume in volumes),
        coroutines=len(writes),
        seconds=time.perf_counter() - started,
    )


def file_sizes(folder: Path) -> list[int]:
    """The size of every file below a folder."""
    return [path.stat().st_size for path in folder.rglob("*") if path.is_file()]


def name_of(source: Path) -> str:
    """``mni152_t1.nii.gz`` becomes ``t1``."""
    return source.name.split(".", 1)[0].rpartition("_")[2]
