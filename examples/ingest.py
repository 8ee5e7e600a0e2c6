"""Writes NIfTI volumes as sharded, compressed zarr v3 arrays, many coroutines at once."""

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
#: What is one file: 64 inner chunks.
SHARD = 128
Progress = Callable[[int], Any]


@dataclass(frozen=True)
class Ingested:
    """What one run wrote: arrays, voxels' bytes, coroutines, bytes and files on disk, seconds."""

    arrays: int
    data_bytes: int
    coroutines: int
    stored_bytes: int
    files: int
    seconds: float


def blocks(shape: tuple[int, ...], edge: int) -> Iterator[tuple[slice, ...]]:
    """The cubes of this edge length that tile an array; those at the border are cut off."""
    spans = [[slice(i, min(i + edge, n)) for i in range(0, n, edge)] for n in shape]
    return itertools.product(*spans)


async def create_array(location: Path, volume: Volume) -> at.TensorStore:
    """Creates an array for the volume, in place of one that may be there."""
    return await at.open(
        location,
        create=True,
        delete_existing=True,
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
    )


async def ingest(sources: list[Path], target: Path, progress: Progress) -> Ingested:
    """Writes every source into an array of its name below the target.

    Args:
        sources: NIfTI-1 files.
        target: The folder to write to.
        progress: Called with the number of bytes of each block that has been committed.
    """
    started = time.perf_counter()
    volumes = [await asyncio.to_thread(read_volume, source) for source in sources]
    stores = await asyncio.gather(
        *(create_array(target / name_of(s), v) for s, v in zip(sources, volumes, strict=True))
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
    seconds = time.perf_counter() - started
    stored = await asyncio.to_thread(file_sizes, target)
    return Ingested(
        arrays=len(stores),
        data_bytes=sum(volume.voxels.nbytes for volume in volumes),
        coroutines=len(writes),
        stored_bytes=sum(stored),
        files=len(stored),
        seconds=seconds,
    )


def file_sizes(folder: Path) -> list[int]:
    """The size of every file below a folder."""
    return [path.stat().st_size for path in folder.rglob("*") if path.is_file()]


def name_of(source: Path) -> str:
    """``mni152_t1.nii.gz`` becomes ``mni152_t1.zarr``."""
    return source.name.split(".", 1)[0] + ".zarr"
