"""Publishes an array of a repository to wherever obstore reaches, and later what has changed.

``python -m examples.publish FOLDER [URL]`` makes a mosaic of satellite images in a repository in
`FOLDER`, and copies it to `URL` as plain zarr, which everybody can read: ``s3://bucket/mosaic``,
``gs://...``, ``az://...``, with credentials from the environment, or by default a folder beside it.
Then one scene is replaced; the second time, only its tiles are sent. Needs
``pip install 'asynctensor[obstore]'``.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import numpy as np
from obstore.store import from_url

import asynctensor as at
from asynctensor.integrations.obstore import kvstore

SHAPE, TILE = (1024, 1536), 128
ARRAY = {"driver": "zarr3"}
#: The value that says which commit is published.
LABEL = "published"


async def record(repo: at.Repository) -> None:
    """A mosaic, in one commit."""
    layout = at.ChunkLayout(chunk_shape=[TILE, TILE])
    async with repo.transaction(message="a mosaic of June") as txn:
        mosaic = await at.open(
            {**ARRAY, "kvstore": repo.kvstore("mosaic/")}, transaction=txn, create=True,
            dtype="uint16", shape=SHAPE, chunk_layout=layout,
        )  # fmt: skip
        await mosaic.write(np.random.default_rng(6).integers(200, 3000, SHAPE, dtype="uint16"))


async def replace(repo: at.Repository) -> None:
    """A scene without clouds, in a part of the mosaic."""
    async with repo.transaction(message="a clear day in July") as txn:
        mosaic = await at.open({**ARRAY, "kvstore": repo.kvstore("mosaic/")}, transaction=txn)
        scene = np.random.default_rng(7).integers(200, 900, (300, 400), dtype="uint16")
        await mosaic[500:800, 700:1100].write(scene)


async def publish(repo: at.Repository, bucket: at.KvStore) -> int:
    """Sends what was committed since the last time; gives how many pixels that were.

    Killed in the middle, it is done again: what is published is named when all of it is there.
    """
    newest = await anext(aiter(repo.log(limit=1)))
    source = await at.open({**ARRAY, "kvstore": repo.kvstore("mosaic/", snapshot=newest.id)})
    target = await at.open(
        ARRAY, kvstore=bucket / "mosaic/", schema=source.schema, open=True, create=True
    )
    known = await bucket.read(LABEL)
    if known.state == "missing":
        regions = [source.domain]
    else:
        changes = await repo.diff(known.value.decode(), newest.id)
        regions = [region for change in changes.arrays for region in change.regions]
    await asyncio.gather(*(target[region].write(source[region]) for region in regions))
    await bucket.write(LABEL, newest.id.encode())
    return sum(region.size for region in regions)


async def main(folder: Path, url: str | None = None) -> list[int]:
    """Publishes a mosaic, and again when a scene is replaced.

    Returns:
        How many pixels were sent each time.
    """
    repo = await at.Repository.open(folder / "scenes", create=True)
    await record(repo)
    place = folder / "bucket"
    place.mkdir(parents=True, exist_ok=True)
    bucket = kvstore(from_url(url or place.absolute().as_uri()))
    sent = [await publish(repo, bucket)]
    await replace(repo)
    sent.append(await publish(repo, bucket))
    async for commit in repo.log():
        print(commit)
    print(f"{sent[0]} pixels were sent, and {sent[1]} when a scene was replaced")
    return sent


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("url", nargs="?")
    given = parser.parse_args()
    asyncio.run(main(given.folder, given.url))
