"""Reads what `examples.ingest` wrote the way a service does: many small reads at once.

Run in a process of its own, so that nothing is left over from writing:
``python -m examples.service --tag TAG REPOSITORY ARRAY=SOURCE...``
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import asynctensor as at
from examples.nifti import read_volume

CLIENTS = 300
REQUESTS_EACH = 4
CACHE_BYTES = 64 << 20
Plane = np.ndarray[Any, np.dtype[np.uint8]]


async def open_arrays(location: Path, tag: str, paths: list[str]) -> list[at.TensorStore]:
    """Opens arrays of a repository as they were at a tag; all share one cache."""
    context = at.Context({"cache_pool": {"total_bytes_limit": CACHE_BYTES}})
    repository = await at.Repository.open(location, context=context)
    return await asyncio.gather(
        *(
            at.open(
                {"driver": "zarr3", "kvstore": repository.kvstore(path, tag=tag)},
                context=context,
                recheck_cached=False,
            )
            for path in paths
        )
    )


async def serve(stores: list[at.TensorStore]) -> list[float]:
    """Serves all clients at once; each asks for random planes, one after the other.

    Returns:
        The seconds that each request took.
    """

    async def client(number: int) -> list[float]:
        chance = random.Random(number)
        latencies = []
        for _ in range(REQUESTS_EACH):
            store = chance.choice(stores)
            axis = chance.randrange(store.rank)
            position = chance.randrange(store.shape[axis])
            started = time.perf_counter()
            await store[(slice(None),) * axis + (position,)].read()
            latencies.append(time.perf_counter() - started)
        return latencies

    served = await asyncio.gather(*map(client, range(CLIENTS)))
    return sorted(latency for latencies in served for latency in latencies)


async def count_differences(store: at.TensorStore, source: Path) -> int:
    """The number of voxels in which the array differs from its source."""
    expected = await asyncio.to_thread(read_volume, source)
    found = await store.read()
    return int(np.count_nonzero(found != expected.voxels))


async def draw(stores: list[at.TensorStore], target: Path) -> None:
    """Writes a PNG of three planes through the centre, T1 with grey and white matter tinted."""
    t1, grey, white = stores
    centre = [length // 2 for length in t1.shape]
    panels = []
    for axis in range(3):
        index = (slice(None),) * axis + (centre[axis],)
        planes = await asyncio.gather(*(store[index].read() for store in (t1, grey, white)))
        # Rows run from superior (or anterior) to inferior (or posterior).
        panels.append(tint(*(np.asarray(plane).T[::-1] for plane in planes)))
    height = max(panel.shape[0] for panel in panels)
    padded = [np.pad(panel, ((0, height - panel.shape[0]), (0, 0), (0, 0))) for panel in panels]
    image = Image.fromarray(np.concatenate(padded, axis=1))
    image = image.resize((image.width * 2, image.height * 2), Image.Resampling.BICUBIC)
    await asyncio.to_thread(image.save, target)


def tint(t1: Plane, grey: Plane, white: Plane) -> Plane:
    """One coloured picture: lightness from T1, orange where grey matter is, blue where white."""
    light = t1.astype(np.float32)[..., None] / 255
    orange = grey.astype(np.float32)[..., None] / 255 * np.array([1.0, 0.55, 0.2], np.float32)
    blue = white.astype(np.float32)[..., None] / 255 * np.array([0.3, 0.55, 1.0], np.float32)
    colour = light * (0.55 + 0.45 * np.clip(orange + blue, 0, 1)) + 0.12 * (orange + blue)
    return (np.clip(colour, 0, 1) * 255).astype(np.uint8)


async def run(location: Path, tag: str, arrays: dict[str, Path]) -> int:
    """Serves, verifies and draws. Returns the number of voxels that differ."""
    stores = await open_arrays(location, tag, list(arrays))
    started = time.perf_counter()
    latencies = await serve(stores)
    seconds = time.perf_counter() - started
    print(
        f"  {CLIENTS} clients at once, {len(latencies):,} reads of a plane: {seconds:.2f} s, "
        f"{len(latencies) / seconds:,.0f} reads/s; latency median "
        f"{latencies[len(latencies) // 2] * 1e3:.0f} ms, max {latencies[-1] * 1e3:.0f} ms"
    )
    print_counters(stores)
    started = time.perf_counter()
    differing = sum(await asyncio.gather(*map(count_differences, stores, arrays.values())))
    voxels = sum(int(np.prod(store.shape)) for store in stores)
    print(
        f"  verified against the source: {voxels:,} voxels, {differing} differ "
        f"({time.perf_counter() - started:.2f} s)"
    )
    picture = location.with_name("slices.png")
    await draw(stores, picture)
    print(f"  picture: {picture}")
    return differing


def print_counters(stores: list[at.TensorStore]) -> None:
    """Prints what the library counted since the arrays were opened."""
    counted = [store.statistics() for store in stores]

    def total(name: str) -> int:
        return sum(getattr(statistics, name) for statistics in counted)

    print(
        f"  {total('reads'):,} requests: {total('chunks_decoded'):,} chunks decoded, "
        f"{total('cache_hits'):,} cache hits; {total('store_reads'):,} reads of files, "
        f"{total('bytes_read') / 1e6:.1f} MB"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tag", required=True, help="the state to read")
    parser.add_argument("repository", type=Path)
    parser.add_argument("arrays", nargs="+", help="where each is, and the file it came from")
    arguments = parser.parse_args()
    arrays = {path: Path(source) for path, source in (a.split("=", 1) for a in arguments.arrays)}
    return 1 if asyncio.run(run(arguments.repository, arguments.tag, arrays)) else 0


if __name__ == "__main__":
    raise SystemExit(main())
